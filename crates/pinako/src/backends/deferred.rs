//! A store that is made by the first change to it, so that a job that fails before it has anything to store leaves
//! nothing behind.
//!
//! Until then it is an empty store. Others may make it meanwhile: each call looks, and from then on it is theirs too.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Location, Memory, Mode, open_at};
use crate::backend::{
    Backend, DescribeSink, Durability, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink,
    ScanSink, Traffic, Vacuumed, WRITER_PATIENCE,
};
use crate::descriptor::Id;
use crate::error::{ErrorKind, Result};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Deferred {
    location: Location,
    durability: Durability,
    store: OnceLock<Box<dyn Backend>>,
    /// Held while the store is opened or made, which is done once.
    opening: Mutex<()>,
    /// What stands for it until then; nothing is ever put in.
    empty: Memory,
}

impl Deferred {
    /// The store at `location`, an absolute path.
    pub(super) fn new(location: Location, durability: Durability) -> Self {
        Deferred { location, durability, store: OnceLock::new(), opening: Mutex::new(()), empty: Memory::new() }
    }

    /// The store if there is one by now, else an empty one.
    fn as_it_is(&self) -> Result<&dyn Backend> {
        self.opened(|| self.location.open_if_there(|mode| self.open(mode)))
    }

    /// The store, made if need be.
    fn made(&self) -> Result<&dyn Backend> {
        self.opened(|| open_or_create(|mode| self.open(mode)).map(Some))
    }

    /// The store as it was opened, by `open` where it was not yet; an empty one where that finds none.
    fn opened(&self, open: impl FnOnce() -> Result<Option<Box<dyn Backend>>>) -> Result<&dyn Backend> {
        let _opening = match self.store.get() {
            Some(store) => return Ok(&**store),
            None => self.opening.lock(),
        };
        if self.store.get().is_none() {
            let Some(store) = open()? else { return Ok(&self.empty) };
            let _ = self.store.set(store);
        }
        Ok(self.store.get().map_or(&self.empty, |store| &**store))
    }

    fn open(&self, mode: Mode) -> Result<Box<dyn Backend>> {
        open_at(&self.location, mode, self.durability, WRITER_PATIENCE)
    }
}

/// Opens a store, or makes it where there is none or only what a creation left that was broken off.
pub(super) fn open_or_create<T>(open: impl Fn(Mode) -> Result<T>) -> Result<T> {
    match open(Mode::Write) {
        // Whether it is no store or not one yet, creating it finds out.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => match open(Mode::Create)
        {
            // Another process was faster, or something else is there.
            Err(conflict) if conflict.kind() == ErrorKind::Conflict => {
                open(Mode::Write).map_err(|error| match (error.kind(), conflict.hint()) {
                    (ErrorKind::InvalidInput, Some(hint)) => error.with_hint(hint),
                    (ErrorKind::NotFound, _) => conflict,
                    _ => error,
                })
            }
            created => created,
        },
        opened => opened,
    }
}

impl Backend for Deferred {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        if entries.is_empty() { self.as_it_is()?.append(entries) } else { self.made()?.append(entries) }
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        self.as_it_is()?.fetch(ids, sink)
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        self.as_it_is()?.read(requests, sink)
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.as_it_is()?.describe(ids, sink)
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        self.as_it_is()?.scan(first, sink)
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        self.as_it_is()?.find(names)
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        self.as_it_is()?.remove(ids)
    }

    fn properties(&self) -> Result<Properties> {
        self.as_it_is()?.properties()
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        self.made()?.set_label_names(names, before)
    }

    fn footprint(&self) -> Result<Footprint> {
        self.as_it_is()?.footprint()
    }

    fn io_hints(&self) -> IoHints {
        // A long job asks once, at its beginning, when nothing is made yet.
        self.location.io_hints()
    }

    fn compact(&self) -> Result<()> {
        self.as_it_is()?.compact()
    }

    fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        self.as_it_is()?.vacuum(keep, rehearsal)
    }

    fn sync(&self) -> Result<()> {
        self.as_it_is()?.sync()
    }

    fn traffic(&self) -> Traffic {
        self.store.get().map_or_else(Traffic::default, |store| store.traffic())
    }
}
