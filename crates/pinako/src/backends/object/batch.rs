//! Where the bytes of a batch are, and which requests give them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Object;
use super::head::Head;
use super::read::{Sink, Wanted, place_of};
use crate::backend::ReadRequest;
use crate::backends::manifest::{Kind, Manifest, Part};
use crate::descriptor::{Descriptor, Id};
use crate::error::{Error, Result};
use crate::plan;

/// Most bytes of one request.
pub(super) const MAX_REQUEST: u64 = 16 << 20;

/// Objects stand this far apart where all are planned as one: no gap between two is ever worth reading over.
const APART: u64 = 1 << 36;

/// What is wanted, found.
#[derive(Debug)]
struct Item {
    /// `None` where there is no such image.
    length: Option<u64>,
    descriptor: Option<Descriptor>,
    /// Bytes that have not come yet.
    awaited: u64,
    /// The bytes that have, where they come in several requests.
    gathered: Vec<u8>,
    is_given: bool,
}

/// Bytes of an item, in one object.
#[derive(Debug, Clone)]
struct Segment {
    item: usize,
    /// Where they are in the item.
    at: u64,
    /// Which object, and where they are in it.
    object: usize,
    range: Range<u64>,
}

/// Bytes that are asked for together.
#[derive(Debug)]
pub(super) struct Request {
    /// Which object; see [`Batch::object`].
    pub(super) object: usize,
    pub(super) range: Range<u64>,
    /// The segments that have some of them.
    segments: Vec<usize>,
}

/// What is wanted at once, by one manifest.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    wanted: &'a [Wanted],
    items: Vec<Item>,
    segments: Vec<Segment>,
    /// Number and length of each object.
    objects: Vec<(u64, u64)>,
    places: HashMap<u64, usize>,
    requests: Vec<Request>,
}

impl<'a> Batch<'a> {
    /// Finds out where `wanted` are, all of them in `parts` with these `heads`, or nowhere.
    pub(super) fn new(
        store: &Object,
        manifest: &Manifest,
        wanted: &'a [Wanted],
        parts: &[&Part],
        heads: &[Arc<Head>],
    ) -> Result<Self> {
        let mut batch = Batch {
            wanted,
            items: Vec::with_capacity(wanted.len()),
            segments: Vec::with_capacity(wanted.len()),
            objects: Vec::new(),
            places: HashMap::new(),
            requests: Vec::new(),
        };
        for wanted in wanted {
            let found = place_of(manifest, parts, wanted.id).and_then(|place| {
                let (part, head) = (parts[place], &heads[place]);
                head.row(wanted.id).map(|row| (part, head, row))
            });
            match found {
                None => batch.items.push(Item::none()),
                Some((part, head, row)) => {
                    let found = batch.add(wanted, part, head, row);
                    found.map_err(|error| store.in_object(part.part, wanted.id, error))?;
                }
            }
        }
        batch.segments.sort_unstable_by_key(|segment| (segment.object, segment.range.start));
        batch.plan(store);
        Ok(batch)
    }

    /// Adds what is wanted of the image in `row`.
    fn add(&mut self, wanted: &Wanted, part: &Part, head: &Head, row: usize) -> Result<()> {
        let descriptor = if wanted.range.is_none() { Some(head.descriptor(row)?) } else { None };
        let payload = match part.kind {
            Kind::Pieces => 0..part.payload_bytes,
            _ => head.payload(row)?,
        };
        let length = payload.end - payload.start;
        if head.payload_length(row) != Some(length) {
            let message = format!("its pieces have {length} bytes, its descriptor says otherwise");
            return Err(Error::corrupt(message));
        }
        let range = match &wanted.range {
            None => 0..length,
            Some(range) => ReadRequest::new(wanted.id, range.clone()).range_in(length)?,
        };
        let item = self.items.len();
        let wanted_bytes = range.end - range.start;
        self.items.push(Item {
            length: Some(wanted_bytes),
            descriptor,
            awaited: wanted_bytes,
            gathered: Vec::new(),
            is_given: false,
        });
        if wanted_bytes == 0 {
            return Ok(());
        }
        if part.kind != Kind::Pieces {
            let start = payload.start;
            return self.add_segment(
                item,
                0,
                part.part,
                part.file_bytes,
                part.head_bytes,
                start + range.start..start + range.end,
            );
        }
        let mut start = 0u64;
        for piece in &part.pieces {
            let end = start + piece.payload_bytes;
            let inside = range.start.max(start)..range.end.min(end);
            if inside.start < inside.end {
                let at = inside.start - range.start;
                let bytes = inside.start - start..inside.end - start;
                self.add_segment(item, at, piece.part, piece.file_bytes, piece.head_bytes, bytes)?;
            }
            start = end;
        }
        Ok(())
    }

    fn add_segment(
        &mut self,
        item: usize,
        at: u64,
        number: u64,
        length: u64,
        head_bytes: u64,
        bytes: Range<u64>,
    ) -> Result<()> {
        let range = head_bytes.checked_add(bytes.start).zip(head_bytes.checked_add(bytes.end));
        let Some((start, end)) = range.filter(|&(_, end)| end <= length && length < APART) else {
            return Err(Error::corrupt("its payloads are not where they should be"));
        };
        let next = self.objects.len();
        let object = *self.places.entry(number).or_insert(next);
        if object == next {
            self.objects.push((number, length));
        }
        self.segments.push(Segment { item, at, object, range: start..end });
        Ok(())
    }

    /// Chooses the requests.
    fn plan(&mut self, store: &Object) {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for Segment { object, range, .. } in &self.segments {
            let base = *object as u64 * APART;
            let run = base + range.start..base + range.end;
            match runs.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => runs.push(run),
            }
        }
        // Byte ranges were planned by whoever asks for them, and who counts them is to find as many.
        let is_planned = self.wanted.iter().all(|wanted| wanted.range.is_some());
        let reads = if is_planned { runs } else { plan::few_fast_reads(&runs, &store.cost) };
        for read in reads {
            let object = (read.start / APART) as usize;
            let (start, end) = (read.start % APART, read.end - read.start / APART * APART);
            let requests = (end - start).div_ceil(MAX_REQUEST);
            let each = (end - start).div_ceil(requests);
            self.requests.extend((0..requests).map(|place| {
                let from = start + place * each;
                Request { object, range: from..(from + each).min(end), segments: Vec::new() }
            }));
        }
        for (place, segment) in self.segments.iter().enumerate() {
            let first = self.requests.partition_point(|request| {
                (request.object, request.range.end) <= (segment.object, segment.range.start)
            });
            let has_some =
                |request: &&mut Request| request.object == segment.object && request.range.start < segment.range.end;
            self.requests[first..].iter_mut().take_while(has_some).for_each(|request| request.segments.push(place));
        }
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The number of an object, and its length.
    pub(super) fn object(&self, object: usize) -> (u64, u64) {
        self.objects[object]
    }

    /// What was not given out yet.
    pub(super) fn left(&self) -> impl Iterator<Item = &Wanted> {
        self.wanted.iter().zip(&self.items).filter(|(_, item)| !item.is_given).map(|(wanted, _)| wanted)
    }

    /// Gives out what needs no bytes.
    pub(super) fn give_out_at_once(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        for (item, wanted) in self.items.iter_mut().zip(self.wanted) {
            match item.length {
                None => {
                    item.is_given = true;
                    sink(wanted.place, None, None)?;
                }
                Some(0) => item.give(wanted, &[], sink)?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Gives out what the bytes of a request make complete.
    pub(super) fn give_out(&mut self, request: usize, bytes: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let Request { range, segments, .. } = &self.requests[request];
        for &segment in segments {
            let Segment { item: place, at, range: wanted_range, .. } = &self.segments[segment];
            let (item, wanted) = (&mut self.items[*place], &self.wanted[*place]);
            let inside = range.start.max(wanted_range.start)..range.end.min(wanted_range.end);
            let arrived = &bytes[(inside.start - range.start) as usize..(inside.end - range.start) as usize];
            if Some(arrived.len() as u64) == item.length {
                item.give(wanted, arrived, sink)?;
                continue;
            }
            item.gather(wanted.id, (at + inside.start - wanted_range.start) as usize, arrived)?;
            if item.awaited == 0 {
                let gathered = std::mem::take(&mut item.gathered);
                item.give(wanted, &gathered, sink)?;
            }
        }
        Ok(())
    }
}

impl Item {
    /// What there is of an image that is not there.
    fn none() -> Self {
        Item { length: None, descriptor: None, awaited: 0, gathered: Vec::new(), is_given: false }
    }

    fn give(&mut self, wanted: &Wanted, bytes: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        self.is_given = true;
        sink(wanted.place, self.descriptor.take(), Some(bytes))
    }

    /// Puts `arrived` where it belongs.
    fn gather(&mut self, id: Id, at: usize, arrived: &[u8]) -> Result<()> {
        if self.gathered.is_empty() {
            let length = self.length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
            self.gathered.try_reserve_exact(length).map_err(|error| {
                Error::invalid(format!("{length} bytes do not fit in memory")).at_id(id).with_source(error)
            })?;
            self.gathered.resize(length, 0);
        }
        self.gathered[at..at + arrived.len()].copy_from_slice(arrived);
        self.awaited -= arrived.len() as u64;
        Ok(())
    }
}
