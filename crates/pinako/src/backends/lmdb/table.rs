//! A database whose values are looked at before they are lent.
//!
//! LMDB lends a value as its page describes it. One flipped bit in a size, and what it lends reaches beyond the file,
//! where touching the map ends the process with a SIGBUS. So each value is held against the map first.

use std::ops::Deref;

use heed::types::Bytes;
use heed::{Database, MdbError, RoTxn};

/// The part of the map that the file fills, as addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub(super) start: usize,
    /// Where the last page in use ends, and where the map does.
    pub(super) filled: usize,
    pub(super) end: usize,
}

impl Map {
    /// What is outside of the map is a page that the write transaction has made.
    fn holds(&self, value: &[u8]) -> bool {
        let start = value.as_ptr().addr();
        !(self.start..self.end).contains(&start) || value.len() <= self.filled.saturating_sub(start)
    }
}

/// A database as one transaction sees it.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) database: Database<'static, Bytes, Bytes>,
    pub(super) map: Option<Map>,
}

impl Table {
    /// The value of `key`, which lies within the map.
    pub(super) fn get<'t>(&self, txn: &'t RoTxn<'_>, key: &[u8]) -> heed::Result<Option<&'t [u8]>> {
        self.database.get(txn, key)?.map(|value| self.check(value)).transpose()
    }

    /// Checks a value that a cursor has lent.
    pub(super) fn check<'t>(&self, value: &'t [u8]) -> heed::Result<&'t [u8]> {
        match &self.map {
            Some(map) if !map.holds(value) => Err(heed::Error::Mdb(MdbError::Corrupted)),
            _ => Ok(value),
        }
    }
}

impl Deref for Table {
    type Target = Database<'static, Bytes, Bytes>;

    fn deref(&self) -> &Self::Target {
        &self.database
    }
}
