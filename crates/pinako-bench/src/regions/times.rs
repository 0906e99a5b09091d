//! Tables 2 to 4: how long a query takes.
//!
//! The paper's ways read each run by itself. Beside them stand two that it has not: the optimal plan of this library, on
//! the same bytes along the curve, and the same on a row-major image, as merging gaps helps rows too. All ways get the
//! same queries, one after the other, each at another place of the file.

use std::ops::Range;
use std::time::{Duration, Instant};

use pinako::layout::Arrangement;
use pinako::plan::{Budget, Cost, Planner, Strategy};
use pinako::{BlockSide, Layout, Region, Result, SampleType, Shape};
use serde::Serialize;

use super::disk::{self, Disk, Unbuffered};
use super::played::Played;
use super::{Progress, Watch, paper};
use crate::random::Random;
use crate::summary::Summary;
use crate::{interrupted, invalid};

/// A way to read a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Row-major pixels, a read for each row.
    Row,
    /// Pixels along the curve, a read for each run of the region grown to multiples of 2^n.
    Grown(u32),
    /// Pixels along the curve, by the plan that takes the least time.
    Optimal,
    /// Row-major pixels, by the plan that takes the least time: rows with gaps read over.
    RowMerged,
}

impl Method {
    /// Those of every table, in the order of its columns: the paper's, then our own.
    pub const ALL: [Method; 8] = [
        Method::Row,
        Method::Grown(0),
        Method::Grown(1),
        Method::Grown(2),
        Method::Grown(3),
        Method::Grown(4),
        Method::Optimal,
        Method::RowMerged,
    ];

    /// The same with growing by n* where that is beyond the paper's columns: in that of a table, the best n may be there.
    pub fn with_n_star(n_star: u32) -> Vec<Method> {
        let mut methods = Self::ALL.to_vec();
        if !methods.contains(&Method::Grown(n_star)) {
            let place = methods.iter().position(|way| *way == Method::Optimal).unwrap_or(methods.len());
            methods.insert(place, Method::Grown(n_star));
        }
        methods
    }

    /// The heading of a table's column.
    pub fn title(self) -> String {
        match self {
            Method::Row => "row".to_owned(),
            Method::Grown(n) => format!("n = {n}"),
            Method::Optimal => "optimal".to_owned(),
            Method::RowMerged => "row, merged".to_owned(),
        }
    }
}

/// Tables 2 to 4, or one of them, with so many reads in flight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeTable {
    /// Its number in the paper.
    pub number: u32,
    /// Bytes of a pixel.
    pub pixel_size: u16,
    /// Reads in flight at once.
    pub in_flight: u32,
    /// What reads cost.
    pub cost: Cost,
    /// [n*](Cost::n_star), as it follows from the cost.
    pub n_star: u32,
    /// By query, in the paper's order.
    pub rows: Vec<TimeRow>,
}

/// The queries of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeRow {
    /// The query's side, in pixels.
    pub query: u32,
    /// By [`TimeTable::methods`].
    pub cells: Vec<Cell>,
    /// The paper's cells: row, then n = 0 to 4. Seconds, of one read in flight.
    pub paper: [f64; 6],
    /// The saving printed in the paper, in per cent.
    pub paper_saving: f64,
}

/// One way's queries of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The way.
    pub method: Method,
    /// Mean number of reads.
    pub reads: f64,
    /// Mean bytes of all reads of a query.
    pub bytes: f64,
    /// Mean seconds that the cost model says.
    pub predicted: f64,
    /// Queries that these means are of.
    pub queries: u64,
    /// Where it was measured: mean seconds of a query, special readings not counted, as in the paper.
    pub measured: Option<f64>,
    /// Where it was measured: the seconds of single queries.
    pub spread: Option<Summary>,
    /// How many readings took more than 1,000 times what they should.
    pub special: u64,
    /// Where it was predicted for a device, and this was played long enough to come to it.
    pub played: Option<Played>,
    /// The places of its queries, those first that are predicted to take about the mean.
    #[serde(skip)]
    pub(super) usual_first: Vec<usize>,
}

impl Cell {
    /// What was measured on a disk, or else predicted for a device: seconds.
    pub fn seconds(&self) -> f64 {
        self.measured.unwrap_or(self.predicted)
    }
}

impl TimeRow {
    /// The cell of that way; `None` where the time was up before.
    pub fn find(&self, method: Method) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.method == method)
    }

    /// The n that took the least time, of those read.
    pub fn best(&self) -> Option<(u32, &Cell)> {
        self.cells
            .iter()
            .filter_map(|cell| if let Method::Grown(n) = cell.method { Some((n, cell)) } else { None })
            .min_by(|(_, a), (_, b)| a.seconds().total_cmp(&b.seconds()))
    }

    /// What that n saves of the time of rows, in per cent, as the paper has it.
    pub fn saving(&self) -> Option<f64> {
        Some(saving(self.find(Method::Row)?.seconds(), self.best()?.1.seconds()))
    }
}

/// What a time saves of that of rows, in per cent.
pub(super) fn saving(row: f64, other: f64) -> f64 {
    (1.0 - other / row) * 100.0
}

/// An image of the paper with pixels of one size, in both layouts.
#[derive(Clone, Copy)]
pub(super) struct Images {
    row: Arrangement,
    curve: Arrangement,
}

impl Images {
    pub fn new(pixel_size: u16) -> Result<Self> {
        let shape = Shape::new(paper::SIDE, paper::SIDE, pixel_size)?;
        let block = BlockSide::new(1).ok_or_else(|| invalid("blocks of single pixels"))?;
        Ok(Images {
            row: Arrangement::new(Layout::Row, shape, SampleType::U8)?,
            curve: Arrangement::new(Layout::Hilbert(block), shape, SampleType::U8)?,
        })
    }

    /// The reads by which `method` gets `region`, in whole blocks.
    pub fn reads(&self, method: Method, region: Region, cost: Cost) -> Result<Vec<Range<u64>>> {
        let optimal = |arrangement| {
            let plan = Planner { arrangement, cost }.plan(region, Strategy::Optimal, Budget::default())?;
            Ok(plan.reads)
        };
        let block = cost.block();
        // Runs stay reads of their own even where their blocks are the same: nobody saw before that they would be.
        let each = |runs: Vec<Range<u64>>| {
            Ok(runs.into_iter().map(|run| run.start / block * block..run.end.next_multiple_of(block)).collect())
        };
        match method {
            Method::Row => each(self.row.runs(region)),
            Method::Grown(n) => each(self.curve.runs(self.curve.grow(region, n))),
            Method::Optimal => optimal(self.curve),
            Method::RowMerged => optimal(self.row),
        }
    }
}

/// What the queries of one cell came to.
#[derive(Default)]
struct Tally {
    reads: u64,
    bytes: u64,
    predicted: Vec<f64>,
    queries: u64,
    seconds: Vec<f64>,
    special: u64,
}

impl Tally {
    fn add(&mut self, reads: &[Range<u64>], cost: &Cost) {
        let bytes = reads.iter().map(|read| read.end - read.start).sum();
        self.queries += 1;
        self.reads += reads.len() as u64;
        self.bytes += bytes;
        self.predicted.push(cost.seconds(reads.len(), bytes));
    }

    /// `None` where there were no queries.
    fn cell(&self, method: Method) -> Option<Cell> {
        let mean = |sum: f64| sum / self.queries as f64;
        let predicted = mean(self.predicted.iter().sum());
        let mut usual_first: Vec<usize> = (0..self.predicted.len()).collect();
        let off = |place: usize| (self.predicted[place] - predicted).abs();
        usual_first.sort_by(|&a, &b| off(a).total_cmp(&off(b)));
        (self.queries > 0).then(|| Cell {
            method,
            reads: mean(self.reads as f64),
            bytes: mean(self.bytes as f64),
            predicted,
            queries: self.queries,
            measured: (!self.seconds.is_empty()).then(|| mean(self.seconds.iter().sum())),
            spread: Summary::of(&self.seconds),
            special: self.special,
            played: None,
            usual_first,
        })
    }
}

/// Queries of a size, at random places that are the same for all ways.
const PREDICTED_QUERIES: u64 = 32;

/// A table under way.
struct Draft {
    /// The paper's place of its pixel size: 0 is table 2.
    place: usize,
    images: Images,
    cost: Cost,
    n_star: u32,
    methods: Vec<Method>,
    /// By query, by way.
    tallies: Vec<Vec<Tally>>,
}

impl Draft {
    fn new(place: usize, cost: Cost) -> Result<Self> {
        let pixel_size = paper::PIXEL_SIZES[place];
        let n_star = cost.n_star(pixel_size.into());
        let methods = Method::with_n_star(n_star);
        let of_query = |_| methods.iter().map(|_| Tally::default()).collect();
        let tallies = paper::TIME_QUERIES.iter().map(of_query).collect();
        Ok(Draft { place, images: Images::new(pixel_size)?, cost, n_star, methods, tallies })
    }

    fn finish(self) -> TimeTable {
        let row = |(number, tallies): (usize, &Vec<Tally>)| TimeRow {
            query: paper::TIME_QUERIES[number],
            cells: tallies.iter().zip(&self.methods).filter_map(|(tally, &method)| tally.cell(method)).collect(),
            paper: paper::SECONDS[self.place][number],
            paper_saving: paper::SAVINGS[self.place][number],
        };
        TimeTable {
            number: self.place as u32 + 2,
            pixel_size: paper::PIXEL_SIZES[self.place],
            in_flight: self.cost.parallel_reads(),
            cost: self.cost,
            n_star: self.n_star,
            rows: self.tallies.iter().enumerate().map(row).collect(),
        }
    }
}

/// A query somewhere in the image.
pub(super) fn region_at_random(query: u32, random: &mut Random) -> Result<Region> {
    let places = u64::from(paper::SIDE - query) + 1;
    let (x, y) = (random.below(places) as u32, random.below(places) as u32);
    Region::new(x, y, query, query)
}

/// The places of as many queries as are predicted, by [`paper::TIME_QUERIES`]: the same for all ways, tables and devices.
pub(super) fn regions(seed: u64) -> Result<Vec<Vec<Region>>> {
    let mut random = Random::new(seed, 1);
    let mut of = |query| (0..PREDICTED_QUERIES).map(|_| region_at_random(query, &mut random)).collect();
    paper::TIME_QUERIES.into_iter().map(&mut of).collect()
}

/// The tables `places` (0 is table 2) as each of `costs` predicts them for queries of `regions`.
pub(super) fn predict(
    places: &[usize],
    costs: &[Cost],
    regions: &[Vec<Region>],
    watch: &mut Watch<'_>,
) -> Result<Vec<TimeTable>> {
    let mut tables = Vec::new();
    let mut queries = 0;
    for (&cost, &place) in costs.iter().flat_map(|cost| places.iter().map(move |place| (cost, place))) {
        let mut draft = Draft::new(place, cost)?;
        for (regions, tallies) in regions.iter().zip(&mut draft.tallies) {
            for &region in regions {
                if watch(Progress { step: "predicting", queries }).is_break() {
                    return Err(interrupted());
                }
                for (&method, tally) in draft.methods.iter().zip(tallies.iter_mut()) {
                    tally.add(&draft.images.reads(method, region, cost)?, &cost);
                    queries += 1;
                }
            }
        }
        tables.push(draft.finish());
    }
    Ok(tables)
}

/// How tables were measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measuring {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// How the page cache was kept out.
    pub unbuffered: Unbuffered,
    /// How long was to be measured, after it was found what reads cost.
    pub budget_seconds: f64,
    /// How long it was: the last query is not cut short.
    pub seconds: f64,
    /// All queries of all cells together.
    pub queries: u64,
    /// Readings that took more than 1,000 times what they should.
    pub special: u64,
    /// Of how many.
    pub readings: u64,
    /// Queries of the cell that has the fewest, and of the one that has the most.
    pub queries_per_cell: [u64; 2],
}

/// Measures the tables `places` (0 is table 2), with 1, 2, 4 and 8 reads in flight, for `budget`.
pub(super) fn measure(
    places: &[usize],
    disk: &Disk,
    budget: Duration,
    seed: u64,
    watch: &mut Watch<'_>,
) -> Result<(Vec<TimeTable>, f64)> {
    let mut random = Random::new(seed, 2);
    let mut drafts = Vec::new();
    for in_flight in Disk::IN_FLIGHT {
        if watch(Progress { step: "measuring what reads cost", queries: 0 }).is_break() {
            return Err(interrupted());
        }
        let cost = disk.calibrate(in_flight, budget / 100, &mut random)?;
        for &place in places {
            drafts.push(Draft::new(place, cost)?);
        }
    }
    let mut queries = 0;
    let began = Instant::now();
    'measuring: loop {
        for draft in &mut drafts {
            let Draft { place, images, cost, methods, tallies, .. } = draft;
            let step = format!("table {}, reads in flight: {}", *place + 2, cost.parallel_reads());
            for (query, tallies) in paper::TIME_QUERIES.into_iter().zip(tallies) {
                let region = region_at_random(query, &mut random)?;
                for (&method, tally) in methods.iter().zip(tallies) {
                    if watch(Progress { step: &step, queries }).is_break() {
                        return Err(interrupted());
                    }
                    if began.elapsed() >= budget {
                        break 'measuring;
                    }
                    let reads = images.reads(method, region, *cost)?;
                    let length = images.row.payload_bytes();
                    let start = disk.place(length, &mut random);
                    disk.forget(start, length)?;
                    let reading = disk.read(start, &reads, cost.parallel_reads(), disk::limit(cost))?;
                    tally.add(&reads, cost);
                    tally.seconds.push(reading.seconds);
                    tally.special += reading.special;
                    queries += 1;
                }
            }
        }
    }
    Ok((drafts.into_iter().map(Draft::finish).collect(), began.elapsed().as_secs_f64()))
}

/// The paper's disk, as its own tables have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PaperDisk {
    /// What its reads cost.
    pub cost: Cost,
    /// How far its cells are from what that predicts, at the mean, in per cent.
    pub error: f64,
}

/// The costs that explain tables 2 to 4 of the paper best: least squares of the relative errors of all their cells,
/// with the reads and bytes that such queries have at the mean. Reads are as long as they are asked for.
pub(super) fn paper_disk(seed: u64) -> Result<PaperDisk> {
    let mut random = Random::new(seed, 3);
    let unit = Cost::new(1.0, 1.0, 1, 1)?;
    // Of t1 reads + t2 bytes = seconds, divided by seconds.
    let mut cells: Vec<(f64, f64)> = Vec::new();
    for (pixel_size, of_size) in paper::PIXEL_SIZES.into_iter().zip(paper::SECONDS) {
        let images = Images::new(pixel_size)?;
        for (query, seconds) in paper::TIME_QUERIES.into_iter().zip(of_size) {
            let mut tallies: [Tally; 6] = Default::default();
            for _ in 0..PREDICTED_QUERIES {
                let region = region_at_random(query, &mut random)?;
                for (method, tally) in Method::ALL.into_iter().zip(&mut tallies) {
                    tally.add(&images.reads(method, region, unit)?, &unit);
                }
            }
            cells.extend(tallies.iter().zip(seconds).map(|(tally, seconds)| {
                let seconds = seconds * tally.queries as f64;
                (tally.reads as f64 / seconds, tally.bytes as f64 / seconds)
            }));
        }
    }
    let sum = |term: fn(&(f64, f64)) -> f64| cells.iter().map(term).sum::<f64>();
    let (aa, ab, bb) = (sum(|c| c.0 * c.0), sum(|c| c.0 * c.1), sum(|c| c.1 * c.1));
    let (a, b) = (sum(|c| c.0), sum(|c| c.1));
    let determinant = aa * bb - ab * ab;
    let cost = Cost::new((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant, 1, 1)?;
    let off = |cell: &(f64, f64)| (cell.0 * cost.read_seconds() + cell.1 * cost.byte_seconds() - 1.0).abs();
    let error = cells.iter().map(off).sum::<f64>() / cells.len() as f64 * 100.0;
    Ok(PaperDisk { cost, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optimal_plan_is_predicted_to_be_no_slower_than_any_other_way() {
        for (read, parallel, block) in [(1e-4, 1, 1), (1e-4, 4, 4096), (1e-7, 1, 1), (2e-2, 8, 1)] {
            let cost = Cost::new(read, 1e-9, parallel, block).unwrap();
            let regions = regions(5).unwrap();
            for table in predict(&[0, 1, 2], &[cost], &regions, &mut |_| std::ops::ControlFlow::Continue(())).unwrap() {
                for row in &table.rows {
                    let [optimal, merged] =
                        [Method::Optimal, Method::RowMerged].map(|way| row.find(way).unwrap().predicted);
                    assert!(row.best().unwrap().1.predicted >= optimal * 0.999_999, "{row:?}");
                    assert!(row.find(Method::Row).unwrap().predicted >= merged * 0.999_999, "{row:?}");
                }
            }
        }
    }

    #[test]
    fn the_costs_that_are_found_for_the_papers_disk_explain_its_tables() {
        let disk = paper_disk(0).unwrap();
        assert!(disk.error < 20.0, "{disk:?}");
    }
}
