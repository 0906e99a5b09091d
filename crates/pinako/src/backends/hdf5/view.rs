//! What one call sees: the store as it was when the call began.

use std::ops::Range;
use std::sync::Arc;

use super::Hdf5;
use super::part::OpenPart;
use crate::backend::ReadRequest;
use crate::backends::manifest::{Kind, Manifest, Part};
use crate::backends::read_ahead::{will_need, will_need_if_long};
use crate::descriptor::{Descriptor, Id};
use crate::error::{Error, Result};

/// The store as it was at some moment. Where parts are gone since, because they were merged, it moves on to now.
pub(super) struct View<'a> {
    store: &'a Hdf5,
    pub(super) manifest: Arc<Manifest>,
    /// The part that was used last: neighbours in a batch are often neighbours in a part.
    last: Option<Arc<OpenPart>>,
}

impl<'a> View<'a> {
    pub(super) fn new(store: &'a Hdf5) -> Result<Self> {
        Ok(View { store, manifest: store.manifest()?, last: None })
    }

    /// Opens a part of the view's manifest; `None` where it is gone and the view has moved on.
    pub(super) fn open(&mut self, part: &Part) -> Result<Option<Arc<OpenPart>>> {
        let opened = self.store.files.part(part)?;
        if opened.is_none() {
            self.move_on(part.part)?;
        }
        Ok(opened)
    }

    fn move_on(&mut self, gone: u64) -> Result<()> {
        let now = self.store.manifest()?;
        if Arc::ptr_eq(&now, &self.manifest) {
            return Err(self.store.files.gone(gone));
        }
        self.manifest = now;
        Ok(())
    }

    /// The part and row of the image `id`.
    ///
    /// # Errors
    /// Where the part that has it cannot be opened, the error names the image.
    pub(super) fn find(&mut self, id: Id) -> Result<Option<(&Arc<OpenPart>, u64)>> {
        let open = loop {
            let Some(part) = self.manifest.part_of(id) else { return Ok(None) };
            if let Some(last) = self.last.take_if(|last| last.part().part == part.part) {
                break last;
            }
            let part = part.clone();
            if let Some(open) = self.open(&part).map_err(|error| error.at_id(id))? {
                break open;
            }
        };
        let open = self.last.insert(open);
        Ok(open.row(id).map(|row| (&*open, row)))
    }

    /// The first part with ids from `id` on that were not removed.
    ///
    /// # Errors
    /// Where it cannot be opened, the error names the first image that may be in it: whoever goes on behind that image
    /// finds out about each, and about the parts that follow.
    pub(super) fn part_from(&mut self, id: Id) -> Result<Option<Arc<OpenPart>>> {
        loop {
            let Some((first, part)) = self.manifest.first_from(id) else { return Ok(None) };
            let part = part.clone();
            if let Some(open) = self.open(&part).map_err(|error| error.at_id(first))? {
                return Ok(Some(open));
            }
        }
    }

    /// Pushes an image. If it is the first of some `neighbours`, the others will follow.
    pub(super) fn fetch(
        &mut self,
        id: Id,
        neighbours: u64,
        mut sink: impl FnMut(Option<(Descriptor, &[u8])>) -> Result<()>,
    ) -> Result<()> {
        let store = self.store;
        loop {
            let Some((open, row)) = self.find(id)? else { return sink(None) };
            let part = open.part();
            let at_part = |error| store.at_part(part, error);
            if neighbours > 1 {
                open.expect_descriptors(row, neighbours);
                open.expect_payloads(row, neighbours);
            }
            let descriptor = open.descriptor(row).map_err(at_part)?;
            if part.kind == Kind::Pieces {
                let part = part.clone();
                let range = 0..part.payload_bytes;
                if self.read_pieces(&part, range, &mut |bytes| sink(Some((descriptor.clone(), bytes))))? {
                    return Ok(());
                }
                continue;
            }
            let payload = open.payload(row).map_err(at_part)?;
            if neighbours == 1 {
                will_need_if_long(payload);
            }
            return sink(Some((descriptor, payload)));
        }
    }

    /// Has the system fetch what `requests`, all of one image, ask for, without waiting for it. What is wrong with them is
    /// found by who reads.
    pub(super) fn expect(&mut self, requests: &[ReadRequest]) -> Result<()> {
        let Some(first) = requests.first() else { return Ok(()) };
        let store = self.store;
        let Some((open, row)) = self.find(first.id)? else { return Ok(()) };
        let part = open.part();
        if part.kind != Kind::Pieces {
            let payload = open.payload(row).unwrap_or_default();
            let ranges = requests.iter().filter_map(|request| request.range_in(payload.len() as u64).ok());
            let bytes = ranges.map(|range| &payload[range.start as usize..range.end as usize]);
            will_need(&mut bytes.collect::<Vec<_>>());
            return Ok(());
        }
        let mut start = 0;
        for piece in &part.pieces {
            let end = start + piece.payload_bytes;
            let within = |request: &ReadRequest| request.range.start.max(start)..request.range.end.min(end);
            let mut ranges = requests.iter().map(within).filter(|range| range.start < range.end).peekable();
            if ranges.peek().is_some()
                && let Some(open) = store.files.piece(piece)?
            {
                let bytes = open.payload();
                let bytes = ranges.map(|range| &bytes[(range.start - start) as usize..(range.end - start) as usize]);
                will_need(&mut bytes.collect::<Vec<_>>());
            }
            start = end;
        }
        Ok(())
    }

    /// Pushes what a request asks for.
    pub(super) fn read(
        &mut self,
        request: &ReadRequest,
        sink: &mut dyn FnMut(Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let store = self.store;
        loop {
            let Some((open, row)) = self.find(request.id)? else { return sink(None) };
            let part = open.part();
            if part.kind == Kind::Pieces {
                let part = part.clone();
                let range = request.range_in(part.payload_bytes)?;
                if self.read_pieces(&part, range, &mut |bytes| sink(Some(bytes)))? {
                    return Ok(());
                }
                continue;
            }
            let payload = open.payload(row).map_err(|error| store.at_part(part, error))?;
            let range = request.range_in(payload.len() as u64)?;
            return sink(Some(&payload[range.start as usize..range.end as usize]));
        }
    }

    /// Pushes some bytes of a payload in pieces; `false` where they are gone and the view has moved on.
    fn read_pieces(
        &mut self,
        part: &Part,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        let mut gathered = Vec::new();
        let mut start = 0;
        for piece in &part.pieces {
            let end = start + piece.payload_bytes;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                let Some(open) = self.store.files.piece(piece)? else {
                    self.move_on(piece.part)?;
                    return Ok(false);
                };
                let bytes = &open.payload()[(from - start) as usize..(to - start) as usize];
                will_need_if_long(bytes);
                if bytes.len() as u64 == range.end - range.start {
                    sink(bytes)?;
                    return Ok(true);
                }
                if gathered.is_empty() {
                    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                    gathered.try_reserve_exact(length).map_err(|_| {
                        Error::invalid(format!("{length} bytes at once do not fit in memory")).at_id(part.first)
                    })?;
                }
                gathered.extend_from_slice(bytes);
            }
            start = end;
        }
        sink(&gathered)?;
        Ok(true)
    }
}

/// How many of `ids` follow one after another from the first on, as far as is worth looking ahead.
pub(super) fn in_a_row(ids: impl Iterator<Item = Id>) -> usize {
    const AHEAD: usize = 1024;
    let mut next = None;
    ids.take(AHEAD).take_while(|&id| next.replace(id.wrapping_add(1)).is_none_or(|next| next == id)).count()
}
