//! Looking up many ids, and having the disk read many places at once.
//!
//! The map is opened without read-ahead, because most of what is near a page that is read at random is not wanted; but
//! then a page that is not in memory costs a trip to the disk each, one after another. What is going to be read is
//! known here before it is read, so it can be asked for in advance.

use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use heed::types::Bytes;
use heed::{RoRange, RoTxn};
use rustix::mm::{Advice, madvise};

use super::table::Table;
use crate::descriptor::Id;

/// Gets values by id; one that follows on the id before costs a step of a cursor instead of a search.
pub(super) struct Lookup<'t> {
    table: &'t Table,
    txn: &'t RoTxn<'t>,
    next: Option<Id>,
    cursor: Option<RoRange<'t, Bytes, Bytes>>,
}

impl<'t> Lookup<'t> {
    pub(super) fn new(table: &'t Table, txn: &'t RoTxn<'t>) -> Self {
        Lookup { table, txn, next: None, cursor: None }
    }

    pub(super) fn get(&mut self, id: Id) -> heed::Result<Option<&'t [u8]>> {
        let key = id.to_be_bytes();
        let follows = self.next == Some(id);
        self.next = id.checked_add(1);
        if !follows {
            self.cursor = None;
            return self.table.get(self.txn, &key);
        }
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => none.insert(self.table.range(self.txn, &(Bound::Included(&key[..]), Bound::Unbounded))?),
        };
        match cursor.next().transpose()? {
            Some((found, value)) if found == key => self.table.check(value).map(Some),
            _ => {
                self.cursor = None;
                self.table.get(self.txn, &key)
            }
        }
    }
}

/// Has the system read `places` of the map, all at once; what is in memory already stays as it is.
pub(super) fn will_need(places: &mut [&[u8]]) {
    /// Pages between two places that are read along.
    const GAP: usize = 32 << 10;
    places.sort_unstable_by_key(|place| place.as_ptr());
    let mut places = places.iter().map(|place| (place.as_ptr().addr(), place.as_ptr().addr() + place.len()));
    let Some((mut start, mut end)) = places.next() else { return };
    for (next_start, next_end) in places {
        if next_start <= end + GAP {
            end = end.max(next_end);
        } else {
            advise(start, end);
            (start, end) = (next_start, next_end);
        }
    }
    advise(start, end);
}

fn advise(start: usize, end: usize) {
    const PAGE: usize = 4096;
    let start = start / PAGE * PAGE;
    // SAFETY: this advice changes no memory, and addresses that are not mapped are an error, which does not matter.
    let _ = unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, Advice::WillNeed) };
}

/// Reads the surroundings of descriptors along, each once: descriptors of one batch stand together, many to a page.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The chunks of the map that were asked for last, by their number modulo the length.
    seen: Box<[AtomicUsize]>,
}

impl Surroundings {
    const CHUNK: usize = 256 << 10;
    const SEEN: usize = 1 << 12;

    pub(super) fn new() -> Self {
        Surroundings { seen: (0..Self::SEEN).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// Has the system read what is around `record`, unless it did before.
    pub(super) fn read_along(&self, record: &[u8]) {
        let chunk = record.as_ptr().addr() / Self::CHUNK;
        let seen = &self.seen[chunk % Self::SEEN];
        if seen.load(Ordering::Relaxed) != chunk {
            seen.store(chunk, Ordering::Relaxed);
            advise(chunk * Self::CHUNK, (chunk + 1) * Self::CHUNK);
        }
    }
}
