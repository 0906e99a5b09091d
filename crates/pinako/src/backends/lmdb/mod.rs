//! `lmdb:DIR` keeps everything in one LMDB environment.
//!
//! LMDB is a B+ tree in a memory map: a read lends slices of the map, so that what is in the page cache costs no copy
//! and no system call; a write is one transaction that copies the pages it changes. FORMAT.md says what the databases
//! hold.
//!
//! - [`environment`] shares the environment and grows its map, [`open`](mod@open) opens it; LMDB believes its files, so
//!   [`header`] and [`table`] look at what it would follow, and [`lock_file`] takes the room that it needs;
//! - [`payload`] knows how a payload is kept, [`lookup`] finds many at once, [`properties`] are the store's own;
//! - [`append`] stores batches, [`remove`] takes images out, [`compact`] shrinks the file.
//!
//! With [`Durability::Buffered`] a commit still waits until the disk has the pages, but not until it has the note that
//! makes them the current ones. A commit that waits for neither (LMDB's `MDB_NOSYNC`) may leave a note on the disk that
//! points to pages which never got there: that is a damaged store, not a lost batch.

mod append;
mod compact;
mod environment;
mod header;
mod lock_file;
mod lookup;
mod open;
mod payload;
mod properties;
mod remove;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heed::RoTxn;

use super::folder::Folder;
use super::read_ahead::in_windows;
use super::{Mode, check_found, check_label_names, not_empty, read_only};
use crate::backend::{
    Backend, DescribeSink, Durability, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink,
    ScanSink, Traffic, Vacuumed,
};
use crate::descriptor::{Descriptor, Id, record};
use crate::error::{Error, Result};
use environment::{Environment, TURN_FILE, Turn};
use lookup::{Lookup, Surroundings};
pub(crate) use open::check_never_written;
use open::{DATA_FILE, LOCK_FILE, Tables, failed};
use payload::Pieces;
use remove::remove_images;

/// Opens or creates the store at `path`.
pub(crate) fn open(path: &Path, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    if mode == Mode::Create {
        prepare_folder(path)?;
    } else if !is_at(path) {
        check_never_written(path)?;
        return Err(match path.metadata() {
            Ok(_) => Error::invalid(format!("{} is no LMDB environment: it has no {DATA_FILE}", path.display()))
                .with_hint("give the folder of a store; to make one of image files: pinako import IMAGES lmdb:STORE"),
            Err(error) => Error::io(format!("cannot open {}", path.display()), error),
        });
    }
    let environment = Environment::at(path, mode)?;
    let store =
        Lmdb { environment, mode, durability, patience, given: AtomicU64::new(0), surroundings: Surroundings::new() };
    match mode {
        Mode::Create => store.make_durable()?,
        Mode::Write => store.environment.check_writable()?,
        Mode::Read => {}
    }
    Ok(Box::new(store))
}

/// Whether there is such a store at `path`, as far as a quick look tells.
pub(crate) fn is_at(path: &Path) -> bool {
    path.join(DATA_FILE).is_file()
}

/// Makes the folder of a new store, or checks that nothing in it gets lost.
fn prepare_folder(path: &Path) -> Result<()> {
    Folder::create(path)?;
    let cannot = |error| Error::io(format!("cannot list {}", path.display()), error);
    for entry in fs::read_dir(path).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        // Files of these names may be all that is left of a store whose making was broken off.
        if ![DATA_FILE, LOCK_FILE, TURN_FILE].iter().any(|ours| name == *ours) {
            return Err(not_empty(path, &name));
        }
    }
    let data = path.join(DATA_FILE);
    let is_whole = is_at(path) && header::read(&data)?.is_some();
    if is_whole { Ok(()) } else { open::check_never_written(path) }
}

/// A handle of a store in LMDB.
#[derive(Debug)]
struct Lmdb {
    environment: Arc<Environment>,
    mode: Mode,
    durability: Durability,
    /// How long it waits for other writers.
    patience: Duration,
    /// Ids below this one have been given away, as some transaction of this handle has seen.
    given: AtomicU64,
    surroundings: Surroundings,
}

impl Lmdb {
    fn turn(&self) -> Result<Turn<'_>> {
        if self.mode == Mode::Read {
            return Err(read_only());
        }
        self.environment.turn(self.patience)
    }

    /// Waits until the disk has what was committed.
    fn force_sync(&self) -> Result<()> {
        #[cfg(test)]
        super::folder::faults::may_sync(&self.environment.folder().join(DATA_FILE))
            .map_err(|error| Error::io("cannot sync", error))?;
        self.environment.with(|open| open.env.force_sync().map_err(|error| failed("cannot sync", error)))
    }

    fn settle(&self) -> Result<()> {
        if self.durability == Durability::Full { self.force_sync() } else { Ok(()) }
    }

    /// Makes a new store survive a crash of the machine, its folder too.
    fn make_durable(&self) -> Result<()> {
        self.force_sync()?;
        let folder = Folder::open(self.environment.folder())?;
        folder.sync_names()?;
        folder.sync_own_name()
    }

    fn descriptor(&self, records: &mut Lookup<'_>, id: Id) -> Result<Option<Descriptor>> {
        let record = records.get(id).map_err(|error| failed("cannot read its descriptor", error).at_id(id))?;
        let Some(record) = record else { return Ok(None) };
        self.surroundings.read_along(record);
        record::decode(id, record).map(Some)
    }

    /// Whether `id` has been given away.
    fn is_given(&self, tables: &Tables, txn: &RoTxn<'_>, id: Id) -> Result<bool> {
        if id < self.given.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let next = properties::next_id(&tables.store, txn)?;
        self.given.fetch_max(next, Ordering::Relaxed);
        Ok(id < next)
    }
}

/// A page fault that goes to a solid-state disk, and what such a disk gives in a second.
pub(super) const IO_HINTS: IoHints = IoHints { read_seconds: 6e-5, byte_seconds: 1e-9, parallel_reads: 8, block: 4096 };

impl Backend for Lmdb {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<std::ops::Range<Id>> {
        for entry in entries.iter() {
            entry.check_length()?;
        }
        let turn = self.turn()?;
        if entries.is_empty() {
            let next = turn.read(|txn, tables| properties::next_id(&tables.store, txn))?;
            return Ok(next..next);
        }
        let ids = append::append(&turn, self.environment.folder(), entries)?;
        // Others may have seen the images, but nobody was told that they stay.
        self.settle().inspect_err(|_| drop(remove_images(&turn, &Vec::from_iter(ids.clone()))))?;
        Ok(ids)
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        self.environment.read(|txn, tables| {
            let mut records = Lookup::new(&tables.descriptor, txn);
            let mut payloads = Lookup::new(&tables.payload, txn);
            let find = |&id: &Id| {
                let is_given = || self.is_given(tables, txn, id);
                payload::image(tables, txn, &mut payloads, id, is_given, || self.descriptor(&mut records, id))
            };
            in_windows(ids, find, |image| image.as_ref()?.lent(), &mut |place, image| match image {
                None => sink(place, None),
                Some(image) => image.push(|descriptor, payload| sink(place, Some((descriptor, payload)))),
            })
        })
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        self.environment.read(|txn, tables| {
            let mut payloads = Lookup::new(&tables.payload, txn);
            // Many ranges of one image are asked for one after another: it is searched for once.
            let mut last: Option<(Id, Option<Pieces<'_>>)> = None;
            let find = |request: &ReadRequest| {
                let id = request.id;
                let payload = match last {
                    Some((found, payload)) if found == id => payload,
                    _ => payload::payload(tables, txn, &mut payloads, id, || self.is_given(tables, txn, id))?,
                };
                last = Some((id, payload));
                let Some(payload) = payload else { return Ok(None) };
                payload.find(request.range_in(payload.length())?).map(Some)
            };
            in_windows(requests, find, |found| found.as_ref()?.lent(), &mut |place, found| match found {
                None => sink(place, None),
                Some(found) => found.push(|bytes| sink(place, Some(bytes))),
            })
        })
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.environment.read(|txn, tables| {
            let mut records = Lookup::new(&tables.descriptor, txn);
            for (place, &id) in ids.iter().enumerate() {
                sink(place, self.descriptor(&mut records, id)?)?;
            }
            Ok(())
        })
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        let cannot = |error| failed("cannot read the descriptors", error);
        self.environment.read(|txn, tables| {
            let first = first.to_be_bytes();
            let range = (Bound::Included(&first[..]), Bound::Unbounded);
            for entry in tables.descriptor.range(txn, &range).map_err(cannot)? {
                let (key, record) = entry.map_err(cannot)?;
                let id = id_of(key)?;
                let record = tables.descriptor.check(record).map_err(|error| cannot(error).at_id(id))?;
                self.surroundings.read_along(record);
                if let ControlFlow::Break(()) = sink(record::decode(id, record)?)? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        self.environment.read(|txn, tables| {
            names
                .iter()
                .map(|name| {
                    if name.is_empty() || name.len() > crate::Descriptor::MAX_NAME {
                        return Ok(None); // LMDB takes no such key
                    }
                    let id = tables
                        .name
                        .get(txn, name.as_bytes())
                        .map_err(|error| failed("cannot look up a name", error))?;
                    let Some(id) = id.map(id_of).transpose()? else { return Ok(None) };
                    check_found(name, id, payload::descriptor(tables, txn, id)?.as_ref()).map(Some)
                })
                .collect()
        })
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let turn = self.turn()?;
        let removed = remove_images(&turn, ids)?;
        self.settle()?;
        Ok(removed)
    }

    fn properties(&self) -> Result<Properties> {
        self.environment.read(|txn, tables| {
            Ok(Properties {
                format_version: super::FORMAT_VERSION,
                label_names: properties::label_names(&tables.store, txn)?,
                count: tables.descriptor.len(txn).map_err(|error| failed("cannot count the images", error))?,
                next_id: properties::next_id(&tables.store, txn)?,
            })
        })
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        let text = properties::label_names_text(names)?;
        let turn = self.turn()?;
        let room = text.len() as u64 + (1 << 20);
        turn.write(room, |txn, tables| {
            check_label_names(&properties::label_names(&tables.store, txn)?, before)?;
            properties::set_label_names(&tables.store, txn, &text)
        })?;
        self.force_sync()
    }

    fn footprint(&self) -> Result<Footprint> {
        let payload_bytes = self.environment.read(|txn, tables| properties::payload_bytes(&tables.store, txn))?;
        let mut disk_bytes = 0;
        for name in [DATA_FILE, LOCK_FILE, TURN_FILE] {
            let path = self.environment.folder().join(name);
            match path.metadata() {
                Ok(file) => disk_bytes += file.blocks() * 512,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(format!("cannot look at {}", path.display()), error)),
            }
        }
        Ok(Footprint { disk_bytes, payload_bytes })
    }

    fn io_hints(&self) -> IoHints {
        IO_HINTS
    }

    fn compact(&self) -> Result<()> {
        compact::compact(&self.turn()?, &self.environment)
    }

    fn vacuum(&self, _keep: Duration, _rehearsal: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }

    fn sync(&self) -> Result<()> {
        if self.mode == Mode::Read { Ok(()) } else { self.force_sync() }
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

fn id_of(key: &[u8]) -> Result<Id> {
    key.try_into()
        .map(Id::from_be_bytes)
        .map_err(|_| Error::corrupt(format!("an id in the store has {} bytes instead of 8", key.len())))
}
