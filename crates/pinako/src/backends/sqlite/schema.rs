//! The tables, and what the store says of itself. FORMAT.md explains every column.

use std::fmt::Display;

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::connection::LONGEST_VALUE;
use super::error::failed;
use crate::backend::Properties;
use crate::backends::{FORMAT_VERSION, other_format};
use crate::checksum;
use crate::descriptor::Id;
use crate::error::{Error, Result};

/// SQLite's mark for the kind of file: "PNKO".
pub(super) const APPLICATION_ID: i32 = 0x504e_4b4f;

/// Bytes a page. With 16 KiB, five images of 3 KiB share a page and 6 % of it is lost; with 8 KiB it is a quarter.
const PAGE_SIZE: u32 = 16 << 10;

// The `id` of a row of `payload` is that of its image, with the number of the piece in the bits from 40 on.
const TABLES: &str = "
CREATE TABLE store (
    key       TEXT PRIMARY KEY,
    value     NOT NULL,
    checksum  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE image (
    id                   INTEGER PRIMARY KEY,
    name                 TEXT,
    height               INTEGER NOT NULL,
    width                INTEGER NOT NULL,
    channels             INTEGER NOT NULL,
    sample_type          TEXT NOT NULL,
    encoding             TEXT NOT NULL,
    label                INTEGER,
    attributes           TEXT,
    payload_length       INTEGER NOT NULL,
    checksum             INTEGER NOT NULL,
    descriptor_checksum  INTEGER NOT NULL
);
CREATE UNIQUE INDEX image_name ON image (name) WHERE name IS NOT NULL;
CREATE TABLE payload (
    id     INTEGER PRIMARY KEY,
    bytes  BLOB NOT NULL
);
";

/// The database's mark for its kind, 0 where it has none.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// Whether the database, as a transaction sees it, has our mark; `None` where it has no mark and no tables either.
fn is_ours(transaction: &Transaction<'_>) -> rusqlite::Result<Option<bool>> {
    let mark = mark(transaction)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((mark != 0 || tables != 0).then_some(mark == APPLICATION_ID))
}

/// Makes the tables of a new store, all or nothing: others see no file, an empty one, or the store.
///
/// # Errors
/// `Conflict` where the database is not empty.
pub(super) fn create(connection: &mut Connection) -> Result<()> {
    connection.pragma_update(None, "page_size", PAGE_SIZE).map_err(failed)?;
    // For its map of pages: by it, SQLite reaches the middle of a blob without following the chain of its pages. It is
    // set when the statement is compiled; to run it would commit a database without tables, which others could see.
    drop(connection.prepare("PRAGMA auto_vacuum = INCREMENTAL").map_err(failed)?);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    match is_ours(&transaction).map_err(failed)? {
        None => {}
        Some(true) => return Err(Error::conflict("there is a store already").with_hint("open it instead")),
        Some(false) => {
            return Err(Error::conflict("there is another database already").with_hint("choose another path"));
        }
    }
    transaction.execute_batch(TABLES).map_err(failed)?;
    set(&transaction, "format", "pinako")?;
    set(&transaction, "version", FORMAT_VERSION)?;
    Totals { next_id: 0, images: 0, payload_bytes: 0 }.save(&transaction)?;
    set_label_names(&transaction, &[])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", FORMAT_VERSION).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Checks that the database is a store that this version can read.
///
/// # Errors
/// `InvalidInput` where it is no store, `Unsupported` where it is of a newer format, `Corrupt` where it is damaged.
pub(super) fn check(connection: &Connection) -> Result<()> {
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    match is_ours(&snapshot).map_err(failed)? {
        None => return Err(Error::invalid("an empty database, no Pinako store").with_hint("create a store there")),
        Some(false) => return Err(Error::invalid("a SQLite database, but no Pinako store")),
        Some(true) => {}
    }
    let version: i64 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    match u32::try_from(version) {
        Ok(1..=FORMAT_VERSION) => Ok(()),
        Ok(newer @ FORMAT_VERSION..) => Err(other_format(newer)),
        _ => Err(Error::corrupt(format!("its format has the impossible version {version}"))),
    }
}

/// The numbers that every commit keeps up to date.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    pub(super) next_id: Id,
    pub(super) images: u64,
    pub(super) payload_bytes: u64,
}

impl Totals {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        load(connection).map(|(totals, _)| totals)
    }

    pub(super) fn save(self, transaction: &Transaction<'_>) -> Result<()> {
        set(transaction, "next_id", as_integer(self.next_id)?)?;
        set(transaction, "images", as_integer(self.images)?)?;
        set(transaction, "payload_bytes", as_integer(self.payload_bytes)?)
    }
}

/// What the store says of itself.
pub(super) fn properties(connection: &Connection) -> Result<Properties> {
    let (totals, label_names) = load(connection)?;
    Ok(Properties { format_version: FORMAT_VERSION, label_names, count: totals.images, next_id: totals.next_id })
}

pub(super) fn set_label_names(transaction: &Transaction<'_>, names: &[String]) -> Result<()> {
    let text = serde_json::to_string(names)
        .map_err(|error| Error::invalid("the label names have no JSON form").with_source(error))?;
    // A little less than the limit, which is one for the whole row.
    let most = LONGEST_VALUE as usize - 1024;
    if text.len() > most {
        return Err(Error::invalid(format!("label names of {} bytes are more than the {most} that fit", text.len())));
    }
    set(transaction, "label_names", text)
}

fn set(transaction: &Transaction<'_>, key: &str, value: impl ToSql + Display) -> Result<()> {
    let sum = checksum::of_keyed(key.as_bytes(), value.to_string().as_bytes());
    let mut set = transaction.prepare_cached("REPLACE INTO store VALUES (?1, ?2, ?3)").map_err(failed)?;
    set.execute(params![key, value, sum]).map(drop).map_err(failed)
}

fn load(connection: &Connection) -> Result<(Totals, Vec<String>)> {
    let (mut next_id, mut images, mut payload_bytes, mut label_names) = (None, None, None, None);
    let mut select = connection.prepare_cached("SELECT key, value, checksum FROM store").map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (ValueRef::Text(key), value) = (row.get_ref(0).map_err(failed)?, row.get_ref(1).map_err(failed)?) else {
            continue;
        };
        let sound = is_sound(key, value, row.get_ref(2).map_err(failed)?).then_some(value);
        match key {
            b"next_id" => next_id = sound.and_then(natural),
            b"images" => images = sound.and_then(natural),
            b"payload_bytes" => payload_bytes = sound.and_then(natural),
            b"label_names" => label_names = sound.and_then(names),
            _ => {} // for people, or of a later version that adds to this one
        }
    }
    let totals = Totals {
        next_id: next_id.ok_or_else(|| missing("next_id"))?,
        images: images.ok_or_else(|| missing("images"))?,
        payload_bytes: payload_bytes.ok_or_else(|| missing("payload_bytes"))?,
    };
    Ok((totals, label_names.ok_or_else(|| missing("label_names"))?))
}

/// Whether a value has the checksum that stands beside it: that of the key and the value as text.
fn is_sound(key: &[u8], value: ValueRef<'_>, sum: ValueRef<'_>) -> bool {
    let found = match value {
        ValueRef::Integer(value) => checksum::of_keyed(key, value.to_string().as_bytes()),
        ValueRef::Text(value) => checksum::of_keyed(key, value),
        _ => return false,
    };
    sum == ValueRef::Integer(found.into())
}

fn natural(value: ValueRef<'_>) -> Option<u64> {
    value.as_i64().ok().and_then(|value| u64::try_from(value).ok())
}

fn names(value: ValueRef<'_>) -> Option<Vec<String>> {
    serde_json::from_str(value.as_str().ok()?).ok()
}

fn missing(key: &str) -> Error {
    Error::corrupt(format!("its table \"store\" has no sound value for \"{key}\""))
}

/// A number as SQLite keeps it.
pub(super) fn as_integer(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::invalid(format!("{number} is more than this backend takes")))
}
