//! `postgres://USER@HOST/DATABASE` keeps everything in three tables of a schema, which any client of PostgreSQL can read.
//!
//! The tables are [`schema`]'s: descriptors are rows of one, payloads rows of another, the third has what the store says
//! of itself, and a change is a transaction. What there is to it is round trips: a batch, however large, is one statement
//! ([`sql`]), whose rows are pushed on as they come; and what a round trip takes ([`wire`]). A server may also go away at
//! any moment: [`pool`] says how reading goes on, [`change`] how a writer finds out what became of its commit.

mod change;
mod connection;
mod error;
mod image;
mod password;
mod payload;
mod place;
mod pool;
mod room;
mod schema;
mod sql;
mod tls;
mod upkeep;
mod wire;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_postgres::Row;

use self::change::Change;
use self::connection::Connection;
use self::payload::{Copy, Gathered};
use self::place::Place;
use self::pool::Pool;
use self::sql::{Query, Sql};
use super::{Mode, check_found, check_label_names, name_taken, read_only};
use crate::backend::{
    Backend, DescribeSink, Durability, Entry, FetchSink, Footprint, IoHints, Payload, Properties, ReadRequest,
    ReadSink, ScanSink, Traffic, Vacuumed,
};
use crate::descriptor::{Descriptor, Id, columns};
use crate::error::{Error, ErrorKind, Result};

/// Most ids, names or ranges of one statement.
const BATCH: usize = 16_384;

/// Images of the first statement of a scan, which are those that a store asks for at once; and most of a later one. What
/// is sent beyond the place where a sink breaks off is sent in vain.
const FIRST_PAGE: i64 = 1024;
const LARGEST_PAGE: i64 = 8192;

/// Images of the first statement of a removal, and how long one should take: the server says nothing meanwhile.
const FIRST_REMOVED: usize = 64;
const REMOVAL: Duration = Duration::from_millis(500);

/// What one must be allowed to do more than read.
const CREATING: &str = "the owner can GRANT it; creating a store takes CREATE on the database, or on an empty schema";
const CHANGING: &str =
    "the owner can GRANT it; appending and removing take INSERT, UPDATE and DELETE on the tables, beside SELECT";
const DELETING: &str = "do it as the user who created it";

struct Postgres {
    pool: Pool,
    durability: Durability,
    /// How long a writer waits for others; `None` on a handle for reading only.
    patience: Option<Duration>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("place", &self.pool.place).finish_non_exhaustive()
    }
}

/// Opens or creates the store that `url` names.
pub(crate) fn open(url: &str, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    let place = Place::new(url)?;
    let writes = mode != Mode::Read;
    let settings = sql::settings(place.statement_timeout, durability, writes);
    let sql = Sql::new(&place.schema);
    let pool = Pool::new(place, sql, settings);
    {
        let mut connection = pool.take()?;
        let (name, schema) = (&pool.place.schema, &pool.sql.schema);
        match mode {
            Mode::Create => {
                schema::create(&mut connection, name, schema).map_err(|error| error::needing(CREATING, error))?
            }
            Mode::Read | Mode::Write => schema::check(&mut connection, name)?,
        }
    }
    Ok(Box::new(Postgres { pool, durability, patience: writes.then_some(patience) }))
}

/// Deletes the store that `url` names, and its schema where nothing else is in it.
pub(crate) fn delete(url: &str) -> Result<()> {
    let place = Place::new(url)?;
    let settings = sql::settings(place.statement_timeout, Durability::Full, true);
    let sql = Sql::new(&place.schema);
    let pool = Pool::new(place, sql, settings);
    let mut connection = pool.take()?;
    schema::check(&mut connection, &pool.place.schema)?;
    upkeep::delete(&mut connection, &pool.sql.schema).map_err(|error| error::needing(DELETING, error))
}

/// The place in a batch that a row is about, by its first column.
fn place_of(row: &Row, base: usize) -> Result<usize> {
    let place: i64 = image::value(row, 0, "place")?.unwrap_or(0);
    let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
    place.map(|place| base + place).ok_or_else(out_of_order)
}

/// The error for a row of an image that is not the next one.
fn out_of_place(ids: &[i64], place: usize, next: usize) -> Error {
    match ids.get(place) {
        Some(id) if place < next => {
            Error::corrupt("its payload has more pieces than it should").at_id(id.unsigned_abs())
        }
        _ => out_of_order(),
    }
}

fn out_of_order() -> Error {
    Error::new(ErrorKind::Backend, "the server's answer is not in the order of what was asked")
}

impl Postgres {
    /// Makes a change; see [`Pool::change`].
    fn change<T>(&self, can_be_repeated: bool, work: impl FnMut(&mut Change<'_>) -> Result<T>) -> Result<T> {
        let Some(patience) = self.patience else { return Err(read_only()) };
        self.pool.change(patience, can_be_repeated, work).map_err(|error| error::needing(CHANGING, error))
    }

    /// Fetches those of `ids` from the place `next` on of which one row says all, and moves it on; the places of the
    /// others go to `left`.
    fn fetch_from(
        connection: &mut Connection,
        ids: &[Id],
        next: &mut usize,
        left: &mut VecDeque<usize>,
        sink: &mut FetchSink<'_>,
    ) -> Result<()> {
        let base = *next;
        let batch = &ids[base..ids.len().min(base + BATCH)];
        let wanted = image::as_bigints(batch.iter().copied());
        // One image has no place in its row.
        let is_one = batch.len() == 1;
        let mut rows = match is_one {
            true => connection.query(Query::FetchOne, &[&wanted[0]])?,
            false => connection.query(Query::Fetch, &[&wanted])?,
        };
        while let Some(row) = rows.next()? {
            let place = if is_one { base } else { place_of(&row, base)? };
            let Some(&id) = ids.get(place).filter(|_| place == *next) else { return Err(out_of_order()) };
            let found = payload::whole(id, &row, usize::from(!is_one)).map_err(|error| error.at_id(id))?;
            *next += 1;
            match found {
                Some((descriptor, bytes)) => sink(place, Some((descriptor, bytes)))?,
                None => left.push_back(place),
            }
        }
        if is_one && *next == base {
            left.push_back(base);
            *next += 1;
        }
        if *next == base + batch.len() { Ok(()) } else { Err(out_of_order()) }
    }

    /// Fetches the images at the places `left` among `ids`, in their order, and takes them from there.
    fn fetch_pieces(
        connection: &mut Connection,
        ids: &[Id],
        left: &mut VecDeque<usize>,
        sink: &mut FetchSink<'_>,
    ) -> Result<()> {
        let places: Vec<usize> = left.iter().copied().take(BATCH).collect();
        let wanted = image::as_bigints(places.iter().map(|&place| ids[place]));
        let mut rows = connection.query(Query::FetchPieces, &[&wanted])?;
        let mut places = places.into_iter();
        let (mut index, mut place) = (0, places.next());
        let mut begun: Option<(Descriptor, Gathered)> = None;
        while let Some(row) = rows.next()? {
            let Some(at) = place.filter(|_| place_of(&row, 0).is_ok_and(|found| found == index)) else {
                return Err(out_of_place(&wanted, place_of(&row, 0)?, index));
            };
            let (descriptor, mut gathered) = match begun.take() {
                Some(begun) => begun,
                None => match image::descriptor(&row, 1)? {
                    Some(descriptor) => {
                        let length = descriptor.payload_length;
                        (descriptor, Gathered::new(0..length, length))
                    }
                    None => {
                        left.pop_front();
                        (index, place) = (index + 1, places.next());
                        sink(at, None)?;
                        continue;
                    }
                },
            };
            let piece = payload::piece(&row, 1 + columns::NAMES.len())
                .and_then(|(number, bytes)| gathered.take(number, bytes.len() as u64, bytes));
            match piece.map_err(|error| error.at_id(descriptor.id))? {
                Some(bytes) => {
                    left.pop_front();
                    (index, place) = (index + 1, places.next());
                    sink(at, Some((descriptor, bytes)))?;
                }
                None => begun = Some((descriptor, gathered)),
            }
        }
        match begun {
            Some((descriptor, gathered)) => Err(gathered.incomplete().at_id(descriptor.id)),
            None if place.is_none() => Ok(()),
            None => Err(out_of_order()),
        }
    }

    /// Reads those of `requests` from the place `pushed` on, and moves it on.
    fn read_from(
        connection: &mut Connection,
        requests: &[ReadRequest],
        pushed: &mut usize,
        sink: &mut ReadSink<'_>,
    ) -> Result<()> {
        let base = *pushed;
        let batch = &requests[base..requests.len().min(base + BATCH)];
        let ids = image::as_bigints(batch.iter().map(|request| request.id));
        let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        let starts: Vec<i64> = batch.iter().map(|request| bound(request.range.start)).collect();
        let ends: Vec<i64> = batch.iter().map(|request| bound(request.range.end)).collect();
        let mut rows = connection.query(Query::Read, &[&ids, &starts, &ends])?;
        let mut begun: Option<Gathered> = None;
        while let Some(row) = rows.next()? {
            let place = place_of(&row, base)?;
            let Some(request) = requests.get(place).filter(|_| place == *pushed) else { return Err(out_of_order()) };
            let mut gathered = match begun.take() {
                Some(begun) => begun,
                None => match payload::length(&row, 1).map_err(|error| error.at_id(request.id))? {
                    Some(length) => Gathered::new(request.range_in(length)?, length),
                    None => {
                        *pushed += 1;
                        sink(place, None)?;
                        continue;
                    }
                },
            };
            let piece =
                if request.range.is_empty() { Ok(Some(&[][..])) } else { payload::part(&row, 2, &mut gathered) };
            match piece.map_err(|error| error.at_id(request.id))? {
                Some(bytes) => {
                    *pushed += 1;
                    sink(place, Some(bytes))?;
                }
                None => begun = Some(gathered),
            }
        }
        match begun {
            Some(gathered) => Err(gathered.incomplete().at_id(requests[*pushed].id)),
            None if *pushed == base + batch.len() => Ok(()),
            None => Err(out_of_order()),
        }
    }

    /// Describes those of `ids` from the place `pushed` on, and moves it on.
    fn describe_from(
        connection: &mut Connection,
        ids: &[Id],
        pushed: &mut usize,
        sink: &mut DescribeSink<'_>,
    ) -> Result<()> {
        let base = *pushed;
        let batch = &ids[base..ids.len().min(base + BATCH)];
        let wanted = image::as_bigints(batch.iter().copied());
        let mut rows = connection.query(Query::Describe, &[&wanted])?;
        while let Some(row) = rows.next()? {
            let place = place_of(&row, base)?;
            if place != *pushed {
                return Err(out_of_order());
            }
            let descriptor = image::descriptor(&row, 1)?;
            *pushed += 1;
            sink(place, descriptor)?;
        }
        if *pushed == base + batch.len() { Ok(()) } else { Err(out_of_order()) }
    }
}

/// Does `work` from place to place until all `count` are pushed, also where a connection is cut.
fn in_batches(
    pool: &Pool,
    count: usize,
    mut work: impl FnMut(&mut Connection, &mut usize) -> Result<()>,
) -> Result<()> {
    let mut pushed = 0;
    if count == 0 {
        return Ok(());
    }
    pool.read(|connection, got_further| {
        while pushed < count {
            let before = pushed;
            let done = work(connection, &mut pushed);
            *got_further |= pushed > before;
            done?;
        }
        Ok(())
    })
}

/// On loopback. One range alone takes the round trip, and each of many in a batch an eighth of that.
pub(super) const IO_HINTS: IoHints = IoHints { read_seconds: 9e-5, byte_seconds: 1.5e-9, parallel_reads: 8, block: 1 };

impl Backend for Postgres {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        if self.patience.is_none() {
            return Err(read_only());
        }
        let mut names = HashSet::new();
        let mut streams = false;
        for entry in &*entries {
            entry.check_length()?;
            let length = entry.descriptor.payload_length;
            if length > payload::MAX_LENGTH {
                return Err(Error::invalid(format!("a payload of {length} bytes is more than this backend takes")));
            }
            if let Some(name) = entry.descriptor.name.as_deref().filter(|name| !names.insert(*name)) {
                return Err(name_taken(name));
            }
            streams |= matches!(entry.payload, Payload::Stream(_));
        }
        drop(names);
        if entries.is_empty() {
            let next_id = self.properties()?.next_id;
            return Ok(next_id..next_id);
        }
        let appended = self.change(!streams, |change| {
            let first = change.totals.next_id;
            let count = entries.len() as u64;
            let end = first.checked_add(count).filter(|&end| end <= image::MAX_ID + 1);
            let end = end.ok_or_else(|| Error::invalid("the store has given all the ids that PostgreSQL takes"))?;
            // Names that are taken are found before the payloads are sent; of streams, the checksums come first.
            if streams {
                copy_payloads(change.connection, first, entries)?;
            }
            copy_images(change.connection, first, entries)?;
            if !streams {
                copy_payloads(change.connection, first, entries)?;
            }
            let totals = &mut change.totals;
            totals.next_id = end;
            totals.images += count;
            for entry in &*entries {
                totals.payload_bytes = totals.payload_bytes.saturating_add(entry.descriptor.payload_length);
            }
            Ok(first..end)
        });
        appended.map_err(|error| match error.kind() {
            ErrorKind::Conflict if error::is_name_taken(&error) => self.taken(entries).unwrap_or(error),
            _ => error,
        })
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        let (mut next, mut left) = (0, VecDeque::new());
        if ids.is_empty() {
            return Ok(());
        }
        self.pool.read(|connection, got_further| {
            while next < ids.len() || !left.is_empty() {
                let before = (next, left.len());
                let done = match left.is_empty() {
                    true => Self::fetch_from(connection, ids, &mut next, &mut left, sink),
                    false => Self::fetch_pieces(connection, ids, &mut left, sink),
                };
                *got_further |= (next, left.len()) != before;
                done?;
            }
            Ok(())
        })
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        in_batches(&self.pool, requests.len(), |connection, pushed| Self::read_from(connection, requests, pushed, sink))
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        in_batches(&self.pool, ids.len(), |connection, pushed| Self::describe_from(connection, ids, pushed, sink))
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        let Ok(mut next) = i64::try_from(first) else { return Ok(()) };
        let mut page = FIRST_PAGE;
        self.pool.read(|connection, got_further| {
            loop {
                let mut count = 0;
                let mut rows = connection.query(Query::Scan, &[&next, &page])?;
                while let Some(row) = rows.next()? {
                    let descriptor = image::descriptor(&row, 0)?
                        .ok_or_else(|| Error::corrupt("its table \"image\" has a row without an id"))?;
                    count += 1;
                    next = schema::as_bigint(descriptor.id)?.saturating_add(1);
                    *got_further = true;
                    if let ControlFlow::Break(()) = sink(descriptor)? {
                        return rows.skip_rest();
                    }
                }
                if count < page {
                    return Ok(());
                }
                page = (page * 2).min(LARGEST_PAGE);
            }
        })
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        let mut found = vec![None; names.len()];
        for (base, batch) in (0..).step_by(BATCH).zip(names.chunks(BATCH)) {
            // No name of ours has a NUL, and PostgreSQL takes none.
            let batch: Vec<&str> = batch.iter().map(|&name| if name.contains('\0') { "" } else { name }).collect();
            self.pool.read(|connection, _| {
                let mut rows = connection.query(Query::Find, &[&batch])?;
                while let Some(row) = rows.next()? {
                    let place = place_of(&row, base)?;
                    // The row is found by an index, which has names of its own.
                    let descriptor = image::descriptor(&row, 1)?;
                    let (Some(name), Some(id)) = (names.get(place), descriptor.as_ref().map(|found| found.id)) else {
                        return Err(out_of_order());
                    };
                    found[place] = Some(check_found(name, id, descriptor.as_ref())?);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let ids = image::as_bigints(ids.iter().copied());
        self.change(true, |change| {
            let (mut left, mut most, mut all) = (&*ids, FIRST_REMOVED, 0u64);
            while !left.is_empty() {
                let (batch, rest) = left.split_at(left.len().min(most));
                let begun = Instant::now();
                let row = change.connection.query_one(Query::Remove, &[&batch])?;
                let number = |at| image::value::<i64>(&row, at, "count").map(|count| count.unwrap_or(0).unsigned_abs());
                let (removed, bytes) = (number(0)?, number(1)?);
                all += removed;
                change.totals.images = change.totals.images.saturating_sub(removed);
                change.totals.payload_bytes = change.totals.payload_bytes.saturating_sub(bytes);
                most = if begun.elapsed() < REMOVAL { (most * 2).min(BATCH) } else { (most / 2).max(1) };
                left = rest;
            }
            Ok(all)
        })
    }

    fn properties(&self) -> Result<Properties> {
        self.pool.read(|connection, _| schema::load(connection))?.properties()
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        let (text, sum) = schema::label_names_value(names)?;
        self.change(true, |change| {
            if before.is_some() {
                check_label_names(&schema::load(change.connection)?.label_names()?, before)?;
            }
            change.connection.execute(Query::SetValue, &[&"label_names", &text, &sum])
        })?;
        self.sync()
    }

    fn footprint(&self) -> Result<Footprint> {
        let (state, row) =
            self.pool.read(|connection, _| Ok((schema::load(connection)?, connection.query_one(Query::Size, &[])?)))?;
        let disk_bytes = image::value::<i64>(&row, 0, "size")?.unwrap_or(0).unsigned_abs();
        Ok(Footprint { disk_bytes, payload_bytes: state.totals()?.payload_bytes })
    }

    fn io_hints(&self) -> IoHints {
        IO_HINTS
    }

    fn compact(&self) -> Result<()> {
        let Some(patience) = self.patience else { return Err(read_only()) };
        let mut connection = self.pool.take()?;
        upkeep::compact(&mut connection, &self.pool.sql.schema, patience)
    }

    fn vacuum(&self, _keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        if self.patience.is_none() && !rehearsal {
            return Err(read_only());
        }
        // What a transaction replaced, or one left that was killed, PostgreSQL's own vacuum collects.
        Ok(Vacuumed::default())
    }

    fn sync(&self) -> Result<()> {
        if self.durability == Durability::Full || self.patience.is_none() {
            return Ok(());
        }
        // The server's log is one: when this commit is in it and on the disk, so are all before.
        let schema = &self.pool.sql.schema;
        self.pool.read(|connection, _| {
            connection.begin("BEGIN; SET LOCAL synchronous_commit = on", Duration::ZERO)?;
            connection.end(&format!("UPDATE {schema}.store SET value = value WHERE key = 'format'; COMMIT"))
        })
    }

    fn traffic(&self) -> Traffic {
        let counters = &self.pool.counters;
        Traffic {
            requests: counters.requests.load(Ordering::Relaxed),
            sent: counters.sent.load(Ordering::Relaxed),
            received: counters.received.load(Ordering::Relaxed),
        }
    }
}

impl Postgres {
    /// The error for the name among those of `entries` that is taken, if there still is one.
    fn taken(&self, entries: &[Entry<'_>]) -> Option<Error> {
        let names: Vec<&str> = entries.iter().filter_map(|entry| entry.descriptor.name.as_deref()).collect();
        let found = self.find(&names).ok()?;
        names.iter().zip(found).find(|(_, found)| found.is_some()).map(|(name, _)| name_taken(name))
    }
}

fn copy_images(connection: &mut Connection, first: Id, entries: &[Entry<'_>]) -> Result<()> {
    let mut copy = Copy::new(connection.copy_in(Query::CopyImages)?);
    for (id, entry) in (first..).zip(entries) {
        copy.row(|out| image::encode(id, &entry.descriptor, out))?;
    }
    copy.finish()
}

fn copy_payloads(connection: &mut Connection, first: Id, entries: &mut [Entry<'_>]) -> Result<()> {
    let mut copy = Copy::new(connection.copy_in(Query::CopyPayloads)?);
    for (id, entry) in (first..).zip(entries) {
        copy.payload(id, entry)?;
    }
    copy.finish()
}
