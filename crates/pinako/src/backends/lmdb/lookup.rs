//! Looking up many ids, and reading along what stands around a descriptor.

use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use heed::types::Bytes;
use heed::{RoRange, RoTxn};

use super::table::Table;
use crate::backends::read_ahead::advise;
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
