//! Queries on a device that is not there, or of a store that is, by the clock.
//!
//! The device is played ([`Delayed`]): the same reads that were predicted are asked of a store in memory, behind a
//! queue that makes each wait as long as the device would. What the clock then says has in it what the cost model
//! leaves out, from turns that are not full to a system that wakes sleepers late. Slow devices take long: to measure
//! all there is for a bucket in another country would take many minutes. So each way to read has the same time and
//! begins with the cells that are quickest, and each cell with the query that is nearest to its mean; what does not
//! fit in stays a prediction. A store that is there is read in the same way.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::time::{Duration, Instant};

use pinako::backend::{Backend, Entry, Payload, ReadRequest};
use pinako::backends::Memory;
use pinako::plan::Cost;
use pinako::wrappers::Delayed;
use pinako::{Descriptor, Encoding, Error, ErrorKind, Layout, Region, Result, SampleType, Shape};
use serde::Serialize;

use super::times::{Images, Method, TimeTable};
use super::{Progress, Watch, paper};
use crate::interrupted;
use crate::summary::Summary;

/// How a device was played.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Playing {
    /// How long it was to be played.
    pub budget_seconds: f64,
    /// How long it was: a query that would not have come to its end in that time was not begun.
    pub seconds: f64,
    /// Queries of all cells together.
    pub queries: u64,
    /// Cells that have any.
    pub cells: u64,
    /// Of how many.
    pub of_cells: u64,
    /// Seconds that the quickest of the others is predicted to take.
    pub quickest_left: Option<f64>,
    /// How many times as long as predicted queries took.
    pub ratio: Option<Summary>,
}

/// The queries of a cell that were read from a device that was played.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Played {
    /// How many.
    pub queries: u64,
    /// Mean seconds of a query.
    pub seconds: f64,
    /// Mean seconds that the cost model says of the same queries.
    pub predicted: f64,
    /// Mean number of requests that a server got; 0 where there is none.
    pub requests: f64,
}

/// A cell of a table: the places of the table, the query and the way.
#[derive(Clone, Copy)]
struct Place {
    table: usize,
    row: usize,
    method: usize,
}

/// Reads from the `devices` that `tables` were predicted for, query by query of `regions` (by the paper's sizes), for
/// `budget`, and notes in their cells what it took.
pub(super) fn play(
    tables: &mut [TimeTable],
    devices: &[Device],
    regions: &[Vec<Region>],
    budget: Duration,
    watch: &mut Watch<'_>,
) -> Result<Playing> {
    let images = tables.iter().map(|table| Images::new(table.pixel_size)).collect::<Result<Vec<Images>>>()?;
    let mut spent = HashMap::new();
    let mut ratios = Vec::new();
    let began = Instant::now();
    loop {
        let left = budget.saturating_sub(began.elapsed()).as_secs_f64();
        let Some(Place { table, row, method }) = next(tables, &spent, left) else { break };
        let step = format!("table {}, reads in flight: {}", tables[table].number, tables[table].in_flight);
        if watch(Progress { step: &step, queries: ratios.len() as u64 }).is_break() {
            return Err(interrupted());
        }
        let device = devices.iter().find(|device| device.cost.parallel_reads() == tables[table].in_flight);
        let Some(device) = device else { break };
        let cell = &mut tables[table].rows[row].cells[method];
        let mut played = cell.played.unwrap_or(Played { queries: 0, seconds: 0.0, predicted: 0.0, requests: 0.0 });
        let place = cell.usual_first.get(played.queries as usize);
        let Some(&region) = place.and_then(|&place| regions[row].get(place)) else { break };
        let reads = images[table].reads(cell.method, region, device.cost)?;
        let predicted = device.cost.seconds(reads.len(), reads.iter().map(|read| read.end - read.start).sum());
        let (seconds, requests) = device.read(reads)?;
        let with = |mean: f64, one: f64| mean + (one - mean) / (played.queries + 1) as f64;
        (played.seconds, played.predicted) = (with(played.seconds, seconds), with(played.predicted, predicted));
        played.requests = with(played.requests, requests as f64);
        played.queries += 1;
        cell.played = Some(played);
        *spent.entry(cell.method).or_default() += seconds;
        ratios.push(seconds / predicted);
    }
    let cells = || tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.cells);
    let left = cells().filter(|cell| cell.played.is_none()).map(|cell| cell.predicted);
    Ok(Playing {
        budget_seconds: budget.as_secs_f64(),
        seconds: began.elapsed().as_secs_f64(),
        queries: ratios.len() as u64,
        cells: cells().filter(|cell| cell.played.is_some()).count() as u64,
        of_cells: cells().count() as u64,
        quickest_left: left.min_by(f64::total_cmp),
        ratio: Summary::of(&ratios),
    })
}

/// The cell whose turn it is: of the ways that have a query which fits into the seconds that are `left`, the one that
/// has had least time; of its cells that with the fewest queries, and of these the quickest.
fn next(tables: &[TimeTable], spent: &HashMap<Method, f64>, left: f64) -> Option<Place> {
    let cells = tables.iter().enumerate().flat_map(|(table, of)| {
        of.rows.iter().enumerate().flat_map(move |(row, of)| {
            of.cells.iter().enumerate().map(move |(method, cell)| (Place { table, row, method }, cell))
        })
    });
    let queries = |cell: &super::Cell| cell.played.map_or(0, |played| played.queries);
    let could = cells.filter(|(_, cell)| cell.predicted <= left && (queries(cell) as usize) < cell.usual_first.len());
    let (place, _) = could.min_by(|(_, of_a), (_, of_b)| {
        let spent = |cell: &super::Cell| spent.get(&cell.method).copied().unwrap_or(0.0);
        let by_time = spent(of_a).total_cmp(&spent(of_b));
        by_time.then(queries(of_a).cmp(&queries(of_b))).then(of_a.predicted.total_cmp(&of_b.predicted))
    })?;
    Some(place)
}

/// A device with an image on it, the paper's largest.
pub(super) struct Device {
    cost: Cost,
    store: Box<dyn Backend>,
}

impl Device {
    /// One that is played: a store in memory that is made to wait.
    pub fn played(cost: Cost) -> Result<Self> {
        let store = Delayed::new(Box::new(Memory::new()), cost.into())?;
        Device::put_image(&store)?;
        Ok(Device { cost, store: Box::new(store) })
    }

    /// A store that has the image of [`put_image`](Self::put_image), and what reads of it cost.
    pub fn of_store(store: Box<dyn Backend>, cost: Cost) -> Self {
        Device { cost, store }
    }

    /// Puts the image into an empty store.
    pub fn put_image(store: &dyn Backend) -> Result<()> {
        let largest = paper::PIXEL_SIZES.into_iter().max().unwrap_or(1);
        let shape = Shape::new(paper::SIDE, paper::SIDE, largest)?;
        let length = shape.byte_length(SampleType::U8);
        let descriptor = Descriptor {
            id: 0,
            name: None,
            shape,
            sample_type: SampleType::U8,
            encoding: Encoding::Raw(Layout::Row),
            label: None,
            attributes: None,
            payload_length: length,
            checksum: 0,
        };
        let mut zeros = io::repeat(0).take(length);
        store.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut zeros) }])?;
        Ok(())
    }

    /// Reads `reads`, all asked for at once; returns how many seconds that took, and how many requests of a server.
    fn read(&self, reads: Vec<Range<u64>>) -> Result<(f64, u64)> {
        let requests: Vec<ReadRequest> = reads.into_iter().map(|range| ReadRequest::new(0, range)).collect();
        let wanted: u64 = requests.iter().map(|request| request.range.end - request.range.start).sum();
        let mut came = 0;
        let before = self.store.traffic().requests;
        let began = Instant::now();
        self.store.read(&requests, &mut |_, bytes| {
            came += bytes.map_or(0, |bytes| bytes.len() as u64);
            Ok(())
        })?;
        let seconds = began.elapsed().as_secs_f64();
        if came != wanted {
            return Err(Error::new(ErrorKind::Corrupt, format!("{came} bytes came of {wanted} that were asked for")));
        }
        Ok((seconds, self.store.traffic().requests - before))
    }
}
