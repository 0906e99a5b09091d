//! `sqlite:FILE` keeps everything in one SQLite database, which any client of SQLite's can read.
//!
//! Descriptors are rows of one table, payloads rows of another (see [`schema`]), and an append is a transaction. What
//! there is to it is speed: [`connection`] says how commits come to write each payload once, [`image::visit`] how a
//! batch is read by stepping along a table.

mod connection;
mod error;
mod image;
mod payload;
mod schema;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{OptionalExtension, Row};
use rustix::fs::Access;

use self::connection::{Connections, Journal, with_suffix};
use self::error::failed;
use self::payload::{Found, Pieces};
use self::schema::Totals;
use super::folder::Folder;
use super::{Mode, check_label_names};
use crate::backend::{
    Backend, DescribeSink, Durability, Entry, FetchSink, Footprint, IoHints, Payload, Properties, ReadRequest,
    ReadSink, ScanSink, Traffic, Vacuumed,
};
use crate::descriptor::{Id, columns};
use crate::error::{Error, Result};

/// Ends the name of an empty file beside the store's from before that is made until it has its tables. SQLite makes a
/// file empty first; so what a creation leaves that was killed is told from a store that has lost everything.
const MAKING: &str = "-new";

/// Bytes of payload from which on a batch is worth a change of the journal.
const LARGE_BATCH: u64 = 8 << 20;

#[derive(Debug)]
struct Sqlite {
    /// Absolute, so that nothing in it means anything special to SQLite.
    path: PathBuf,
    connections: Connections,
    durability: Durability,
}

/// Opens or creates the store at `path`.
pub(crate) fn open(path: &Path, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    let about = |error: io::Error| Error::io(format!("cannot open {}", path.display()), error);
    let path = std::path::absolute(path).map_err(about)?;
    if is_emptied(&path) {
        return Err(emptied(&path));
    }
    let connections = match (mode, std::fs::metadata(&path)) {
        // A crash while a store is made leaves an empty file, or one that its journal makes empty again.
        (Mode::Create, Ok(there))
            if !there.is_file() || there.len() > 0 && !with_suffix(&path, "-journal").exists() =>
        {
            return Err(Error::conflict(format!("there is something at {} already", path.display()))
                .with_hint("a new store needs a path of its own"));
        }
        (Mode::Create, _) => {
            let making = with_suffix(&path, MAKING);
            let cannot = |error| Error::io(format!("cannot make {}", making.display()), error);
            std::fs::File::create(&making).map_err(cannot)?;
            Folder::open(path.parent().unwrap_or(&path))?.sync_names()?;
            Connections::for_writing(path.clone(), true, durability, patience, schema::create)
        }
        (_, Err(error)) => return Err(about(error)),
        (_, Ok(there)) if !there.is_file() => return Err(Error::invalid("a folder, not a SQLite database")),
        (Mode::Write, Ok(_)) => {
            // SQLite would not say what forbids it.
            rustix::fs::access(&path, Access::WRITE_OK)
                .map_err(|error| Error::io(format!("cannot write to {}", path.display()), error.into()))?;
            Connections::for_writing(path.clone(), false, durability, patience, |connection| schema::check(connection))
        }
        (Mode::Read, Ok(_)) => Connections::for_reading(path.clone(), patience, schema::check),
    }?;
    if mode != Mode::Read {
        let _ = std::fs::remove_file(with_suffix(&path, MAKING));
    }
    Ok(Box::new(Sqlite { path, connections, durability }))
}

/// Whether there is such a store at `path`, as far as a quick look tells. A file that cannot be read, or a database
/// whose header is damaged, is taken for one: opening it says what is wrong with it.
pub(crate) fn is_at(path: &Path) -> bool {
    // Not by opening the file: to close it again would drop the locks of all other connections of this process to it.
    // As one that nobody changes: then SQLite neither waits for writers nor undoes what one that died left half done,
    // which opening the store does. The mark has been in the file since the store was made, never in a log only.
    path.is_file()
        && std::path::absolute(path).is_ok_and(|path| {
            let mark = Connections::at_rest(&path).and_then(|connection| schema::mark(&connection));
            mark.map_or_else(|error| error::is_ours_to_tell(&error), |mark| mark == schema::APPLICATION_ID)
        })
}

/// Whether there is what a creation of such a store leaves that was killed.
pub(crate) fn is_begun(path: &Path) -> bool {
    is_empty(path) && with_suffix(path, MAKING).exists()
}

/// Whether there is an empty file, which may have been a store.
pub(crate) fn is_emptied(path: &Path) -> bool {
    // Once more at the end: a store that was being made may have been finished in between.
    is_empty(path) && !with_suffix(path, MAKING).exists() && is_empty(path)
}

fn is_empty(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.len() == 0)
}

/// The error for an empty file.
pub(crate) fn emptied(path: &Path) -> Error {
    Error::corrupt(format!("{} is empty: if it was a store, all that was in it is lost", path.display()))
        .with_hint("restore it from a copy; to begin anew, remove it")
}

impl Sqlite {
    /// Calls `take` for each of `ids` with its place and the row that `select` gives of it, all as of one moment.
    fn visit(
        &self,
        ids: impl Iterator<Item = Id>,
        select: &str,
        mut take: impl FnMut(usize, Option<&Row<'_>>, &mut Pieces<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut wanted: Vec<(Id, usize)> = ids.zip(0..).collect();
        wanted.sort_unstable();
        let connection = self.connections.reader()?;
        let _snapshot = connection.snapshot(wanted.len())?;
        let mut select = connection.prepare_cached(select).map_err(failed)?;
        let mut pieces = Pieces::new(&connection);
        image::visit(&mut select, &wanted, |place, row| take(place, row, &mut pieces))
    }
}

/// SQLite reads one page after the other.
pub(super) const IO_HINTS: IoHints = IoHints { read_seconds: 3e-6, byte_seconds: 1e-10, parallel_reads: 1, block: 1 };

impl Backend for Sqlite {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        let mut writer = self.connections.writer()?;
        let mut bytes = 0u64;
        let mut streams = false;
        for entry in &*entries {
            entry.check_length()?;
            let length = entry.descriptor.payload_length;
            if length > payload::MAX_LENGTH {
                return Err(Error::invalid(format!("a payload of {length} bytes is more than SQLite takes")));
            }
            bytes = bytes.saturating_add(length);
            streams |= matches!(entry.payload, Payload::Stream(_));
        }
        if !entries.is_empty() {
            let straight = bytes >= LARGE_BATCH && !streams;
            writer.set_journal(if straight { Journal::Rollback } else { Journal::WriteAhead })?;
        }
        let transaction = writer.begin()?;
        let mut totals = Totals::load(&transaction)?;
        let first = totals.next_id;
        if !entries.is_empty() {
            {
                let mut payloads = payload::Insert::new(&transaction)?;
                let mut images = image::Insert::new(&transaction)?;
                for entry in entries {
                    let id = totals.next_id;
                    if id > payload::MAX_ID {
                        return Err(Error::invalid("the store has given all the ids that SQLite takes"));
                    }
                    payloads.execute(id, entry)?;
                    images.execute(id as i64, &entry.descriptor)?;
                    totals.next_id += 1;
                    totals.images += 1;
                    totals.payload_bytes = totals.payload_bytes.saturating_add(entry.descriptor.payload_length);
                }
            }
            totals.save(&transaction)?;
            transaction.commit().map_err(failed)?;
        }
        Ok(first..totals.next_id)
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        self.visit(ids.iter().copied(), &payload::SELECT_IMAGES_FROM, |place, row, pieces| {
            let Some(row) = row else { return sink(place, None) };
            let descriptor = image::descriptor(row)?;
            let found = Found::new(row, image::PAYLOAD_LENGTH, columns::NAMES.len())?;
            let payload = pieces.read(&found, 0..found.length)?;
            sink(place, Some((descriptor, payload)))
        })
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        self.visit(requests.iter().map(|request| request.id), &payload::SELECT_FROM, |place, row, pieces| {
            let Some(row) = row else { return sink(place, None) };
            let found = Found::new(row, 1, 2)?;
            let range = requests[place].range_in(found.length)?;
            sink(place, Some(pieces.read(&found, range)?))
        })
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.visit(ids.iter().copied(), &image::SELECT_FROM, |place, row, _| {
            sink(place, row.map(image::descriptor).transpose()?)
        })
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        if first > payload::MAX_ID {
            return Ok(());
        }
        let connection = self.connections.reader()?;
        let mut select = connection.prepare_cached(&image::SELECT_FROM).map_err(failed)?;
        let mut rows = select.query([first as i64]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if let ControlFlow::Break(()) = sink(image::descriptor(row)?)? {
                break;
            }
        }
        Ok(())
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        let connection = self.connections.reader()?;
        let _snapshot = connection.snapshot(names.len())?;
        names.iter().map(|name| image::find(&connection, name)).collect()
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let mut writer = self.connections.writer()?;
        let transaction = writer.begin()?;
        let mut totals = Totals::load(&transaction)?;
        let mut removed = 0;
        {
            // What is damaged is to be removed too, and its length may be no number.
            let mut image = transaction
                .prepare_cached("DELETE FROM image WHERE id = ?1 RETURNING CAST(payload_length AS INTEGER)")
                .map_err(failed)?;
            let mut payload = transaction.prepare_cached("DELETE FROM payload WHERE id = ?1").map_err(failed)?;
            for &id in ids.iter().filter(|&&id| id <= payload::MAX_ID) {
                let length: Option<i64> = image.query_row([id as i64], |row| row.get(0)).optional().map_err(failed)?;
                let Some(length) = length else { continue };
                for row in payload::row_ids(id, payload::MAX_LENGTH) {
                    if payload.execute([row]).map_err(failed)? == 0 {
                        break;
                    }
                }
                removed += 1;
                totals.images = totals.images.saturating_sub(1);
                totals.payload_bytes = totals.payload_bytes.saturating_sub(length.max(0) as u64);
            }
        }
        totals.save(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(removed)
    }

    fn properties(&self) -> Result<Properties> {
        schema::properties(&*self.connections.reader()?)
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        let mut writer = self.connections.writer()?;
        let transaction = writer.begin()?;
        check_label_names(&schema::properties(&transaction)?.label_names, before)?;
        schema::set_label_names(&transaction, names)?;
        transaction.commit().map_err(failed)?;
        self.sync()
    }

    fn footprint(&self) -> Result<Footprint> {
        use std::os::unix::fs::MetadataExt;
        let payload_bytes = Totals::load(&*self.connections.reader()?)?.payload_bytes;
        let mut disk_bytes = 0;
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let path = with_suffix(&self.path, suffix);
            match std::fs::metadata(&path) {
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
        let mut writer = self.connections.writer()?;
        let totals = Totals::load(&writer)?;
        let free: i64 = writer.pragma_query_value(None, "freelist_count", |row| row.get(0)).map_err(failed)?;
        if totals.images < totals.next_id || free > 0 {
            // Through the log, so that readers go on meanwhile. It writes the store anew in SQLite's temporary folder
            // first: where images were removed here and there, half-empty pages must be filled, and free ones are few.
            writer.set_journal(Journal::WriteAhead)?;
            writer.execute_batch("VACUUM").map_err(failed)?;
        }
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(failed)
    }

    fn vacuum(&self, _keep: Duration, _rehearsal: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }

    fn sync(&self) -> Result<()> {
        if self.durability == Durability::Full {
            return Ok(());
        }
        // What a checkpoint brought into the file was synced by it; what is still in the log, or a rollback journal's
        // deletion, was not.
        let log = with_suffix(&self.path, "-wal");
        match std::fs::File::open(&log).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot sync {}", log.display()), error));
            }
            _ => {}
        }
        Folder::open(self.path.parent().unwrap_or(&self.path))?.sync_names()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
