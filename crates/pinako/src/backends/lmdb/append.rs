//! Appending a batch.
//!
//! LMDB makes the pages of a transaction in memory, so a batch that is larger than [`STAGE`] takes several
//! transactions. All but the last put nothing but payloads, under ids that have not been given away: nobody sees them.
//! The last one puts the descriptors and the names and gives the ids away, all at once. Other writers wait for their
//! turn until then. What a process that dies in between leaves behind is found at the next append by its ids, and
//! removed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use heed::{PutFlags, RoTxn, RwTxn};

use super::super::name_taken;
use super::compact::COPY_FILE;
use super::environment::Turn;
use super::open::{DATA_FILE, Open, Tables, failed};
use super::payload::{self, Key, PIECE};
use super::properties;
use super::table::Table;
use crate::backend::{Entry, Payload};
use crate::descriptor::{Id, record};
use crate::error::{Error, Result};

/// A transaction that has put this many bytes ends, and the next one goes on.
const STAGE: u64 = 64 << 20;

/// After so many bytes the disk is asked to begin writing what it has.
const HEAD_START: u64 = 4 << 20;

/// Appends `entries`, whose lengths have been checked, all or none.
pub(super) fn append(turn: &Turn<'_>, folder: &Path, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
    let _ = fs::remove_file(folder.join(COPY_FILE)); // of a compaction that was killed
    discard_leftovers(turn)?;
    let room = turn.with_room(0, |open| Ok(pages_needed(entries).saturating_mul(open.page_size())))?;
    let appended = turn.with_room(room, |open| {
        let mut txn = open.begin()?;
        let tables = open.tables();
        check_names(&tables, &txn, entries)?;
        let first = properties::next_id(&tables.store, &txn)?;
        let mut payload_bytes = properties::payload_bytes(&tables.store, &txn)?;
        let end = first.checked_add(entries.len() as u64).ok_or_else(|| Error::invalid("all ids are used up"))?;

        let mut stage = Stage::new(open, txn, folder, entries)?;
        for (id, entry) in (first..end).zip(entries.iter_mut()) {
            stage = stage.put(id, entry)?;
            payload_bytes = payload_bytes.saturating_add(entry.descriptor.payload_length);
        }
        txn = stage.txn;

        put_descriptors(open, &mut txn, first, entries)?;
        properties::set_next_id(&tables.store, &mut txn, end)?;
        properties::set_payload_bytes(&tables.store, &mut txn, payload_bytes)?;
        open.commit(txn)?;
        Ok(first..end)
    });
    if appended.is_err() {
        let _ = turn.trim(); // on a full disk this makes the room that a removal takes
        let _ = discard_leftovers(turn); // else the next append does it
    }
    appended
}

/// An upper bound of the pages that `entries` take.
fn pages_needed(entries: &[Entry<'_>]) -> u64 {
    const SMALLEST_PAGE: u64 = 4096;
    // A tree may be so deep, and a name may split a page on every level.
    const DEPTH: u64 = 10;
    let of = |bytes: u64| bytes / SMALLEST_PAGE + 2;
    let mut pages = 64 * DEPTH;
    for Entry { descriptor, .. } in entries {
        let attributes = descriptor.attributes.as_ref().map_or(0, |attributes| attributes.as_str().len());
        pages = pages
            .saturating_add(of(descriptor.payload_length))
            .saturating_add(descriptor.payload_length / PIECE as u64 * 2)
            .saturating_add(of((attributes + descriptor.name.as_ref().map_or(0, String::len)) as u64))
            .saturating_add(if descriptor.name.is_some() { 2 * DEPTH } else { 0 });
    }
    pages
}

fn check_names(tables: &Tables, txn: &RoTxn<'_>, entries: &[Entry<'_>]) -> Result<()> {
    let mut fresh = HashSet::new();
    for name in entries.iter().filter_map(|entry| entry.descriptor.name.as_deref()) {
        let taken = tables.name.get(txn, name.as_bytes()).map_err(|error| failed("cannot look up a name", error))?;
        if taken.is_some() || !fresh.insert(name) {
            return Err(name_taken(name));
        }
    }
    Ok(())
}

fn put_descriptors(open: &Open, txn: &mut RwTxn<'_>, first: Id, entries: &[Entry<'_>]) -> Result<()> {
    let tables = open.tables();
    let mut bytes = Vec::new();
    for (id, Entry { descriptor, .. }) in (first..).zip(entries) {
        let key = id.to_be_bytes();
        bytes.clear();
        record::encode(id, descriptor, &mut bytes);
        tables
            .descriptor
            .put_with_flags(txn, PutFlags::APPEND, &key, &bytes)
            .map_err(|error| cannot_put(open, id, error))?;
        if let Some(name) = &descriptor.name {
            tables.name.put(txn, name.as_bytes(), &key).map_err(|error| cannot_put(open, id, error))?;
        }
    }
    Ok(())
}

/// Removes the payloads of ids that were never given away.
fn discard_leftovers(turn: &Turn<'_>) -> Result<()> {
    let find = |txn: &RoTxn<'_>, tables: &Tables| {
        let next = properties::next_id(&tables.store, txn)?.to_be_bytes();
        let last = tables.payload.last(txn).map_err(|error| failed("cannot read the last payload", error))?;
        Ok(last.is_some_and(|(key, _)| key >= &next[..]).then_some(next))
    };
    let Some(next) = turn.read(find)? else { return Ok(()) };
    turn.rewrite(u64::MAX, |txn, tables| {
        tables
            .payload
            .delete_range(txn, &(Bound::Included(&next[..]), Bound::Unbounded))
            .map_err(|error| failed("cannot remove what an append has left behind", error))?;
        Ok(())
    })
}

/// Puts payloads, in ascending order of their ids, in as many transactions as it takes.
struct Stage<'a> {
    open: &'a Open,
    table: Table,
    txn: RwTxn<'a>,
    /// Bytes put in this transaction, and since the disk was last asked to begin.
    staged: u64,
    unwritten: u64,
    disk: Option<SyncSender<()>>,
    buffer: Vec<u8>,
}

impl<'a> Stage<'a> {
    fn new(open: &'a Open, txn: RwTxn<'a>, folder: &Path, entries: &[Entry<'_>]) -> Result<Self> {
        let lengths = entries.iter().map(|entry| entry.descriptor.payload_length);
        let is_long = lengths.fold(0, u64::saturating_add) >= 2 * HEAD_START;
        let disk = if is_long { Some(disk_thread(folder)?) } else { None };
        Ok(Stage { open, table: open.tables().payload, txn, staged: 0, unwritten: 0, disk, buffer: Vec::new() })
    }

    fn put(mut self, id: Id, entry: &mut Entry<'_>) -> Result<Self> {
        if payload::has_record(entry.descriptor.payload_length) {
            return self.put_with_record(id, entry);
        }
        if let Payload::Bytes(bytes) = entry.payload {
            let mut rest = bytes;
            for number in 0.. {
                let (piece, after) = rest.split_at(rest.len().min(PIECE));
                self = self.put_piece(id, number, piece)?;
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            return Ok(self);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut reader = entry.payload_reader();
        for number in 0.. {
            buffer.resize(reader.remaining().min(PIECE as u64) as usize, 0);
            reader.fill(&mut buffer)?;
            self = self.put_piece(id, number, &buffer)?;
            if reader.remaining() == 0 {
                break;
            }
        }
        entry.descriptor.checksum = reader.finish()?;
        self.buffer = buffer;
        Ok(self)
    }

    /// Puts a payload behind its image's record.
    fn put_with_record(mut self, id: Id, entry: &mut Entry<'_>) -> Result<Self> {
        let mut streamed = Vec::new();
        let payload = if let Payload::Bytes(bytes) = entry.payload {
            bytes
        } else {
            let mut reader = entry.payload_reader();
            streamed.resize(reader.remaining() as usize, 0);
            reader.fill(&mut streamed)?;
            entry.descriptor.checksum = reader.finish()?;
            &streamed
        };
        let mut value = std::mem::take(&mut self.buffer);
        payload::put_record(id, &entry.descriptor, &mut value);
        value.extend_from_slice(payload);
        self = self.put_piece(id, 0, &value)?;
        self.buffer = value;
        Ok(self)
    }

    fn put_piece(mut self, id: Id, number: u64, piece: &[u8]) -> Result<Self> {
        let number = u32::try_from(number).map_err(|_| Error::invalid("the payload is too long").at_id(id))?;
        let key = Key::new(id, number);
        self.table
            .put_with_flags(&mut self.txn, PutFlags::APPEND, key.as_bytes(), piece)
            .map_err(|error| cannot_put(self.open, id, error))?;
        self.staged += piece.len() as u64;
        self.unwritten += piece.len() as u64;
        if let Some(disk) = &self.disk
            && self.unwritten >= HEAD_START
        {
            self.unwritten = 0;
            let _ = disk.try_send(()); // where it is still busy it will be asked again
        }
        if self.staged >= STAGE {
            self.staged = 0;
            self.open.commit(self.txn)?;
            self.txn = self.open.begin()?;
        }
        Ok(self)
    }
}

/// A thread that has the disk write what LMDB has handed to the system, each time it is asked, while the next pages are
/// made. Only a head start: LMDB syncs and checks the outcome itself, through a file descriptor of its own.
fn disk_thread(folder: &Path) -> Result<SyncSender<()>> {
    let path = folder.join(DATA_FILE);
    let file = File::open(&path).map_err(|error| Error::io(format!("cannot open {}", path.display()), error))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || receiver.iter().for_each(|()| drop(file.sync_data())));
    Ok(sender)
}

fn cannot_put(open: &Open, id: Id, error: heed::Error) -> Error {
    open.cannot_write("cannot store it", error).at_id(id)
}
