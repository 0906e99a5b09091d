//! Descriptors as rows of the table `image`.

use std::sync::LazyLock;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Row, Statement, Transaction, ffi, params};

use super::error::failed;
use super::payload::MAX_ID;
use super::schema::as_integer;
use crate::backends::{check_found, name_taken};
use crate::descriptor::columns::{self, Columns};
use crate::descriptor::{Attributes, Descriptor, Id, record};
use crate::error::{Error, Result};

/// The place of `payload_length` among the columns.
pub(super) const PAYLOAD_LENGTH: usize = 9;

/// All columns of the images from an id on.
pub(super) static SELECT_FROM: LazyLock<String> = LazyLock::new(|| select("id >= ?1 ORDER BY id"));

static SELECT_NAMED: LazyLock<String> = LazyLock::new(|| select("name = ?1"));

fn select(which: &str) -> String {
    format!("SELECT {} FROM image WHERE {which}", columns::NAMES.join(", "))
}

const INSERT: &str = "INSERT INTO image VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// Ids that are asked for at most this far apart are reached by stepping over what is between; beyond, by searching.
const STEP_OVER: u64 = 8;

/// A statement that puts images in.
pub(super) struct Insert<'a>(rusqlite::CachedStatement<'a>);

impl<'a> Insert<'a> {
    pub(super) fn new(transaction: &'a Transaction<'_>) -> Result<Self> {
        transaction.prepare_cached(INSERT).map_err(failed).map(Insert)
    }

    /// Puts in an image under `id`.
    ///
    /// # Errors
    /// `Conflict` where its name is taken.
    pub(super) fn execute(&mut self, id: i64, descriptor: &Descriptor) -> Result<()> {
        let shape = descriptor.shape;
        let inserted = self.0.execute(params![
            id,
            descriptor.name,
            shape.height(),
            shape.width(),
            shape.channels(),
            descriptor.sample_type.name(),
            descriptor.encoding.to_string(),
            descriptor.label,
            descriptor.attributes.as_ref().map(Attributes::as_str),
            as_integer(descriptor.payload_length)?,
            descriptor.checksum,
            record::checksum(id as Id, descriptor),
        ]);
        match (inserted, &descriptor.name) {
            (Ok(_), _) => Ok(()),
            (Err(error), Some(name)) if is_unique(&error) => Err(name_taken(name)),
            (Err(error), _) => Err(failed(error)),
        }
    }
}

fn is_unique(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
        && error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// Calls `visit` for each of `wanted`, which ascend by id, with the wanted's own word and the row of that id.
///
/// `select` gives rows from an id on, in ascending order, the id first. Stepping from row to row is several times
/// cheaper than searching for each, and ids asked for together mostly stand together.
pub(super) fn visit<W: Copy>(
    select: &mut Statement<'_>,
    wanted: &[(Id, W)],
    mut visit: impl FnMut(W, Option<&Row<'_>>) -> Result<()>,
) -> Result<()> {
    let mut wanted = wanted.iter().copied().peekable();
    while let Some(&(first, word)) = wanted.peek() {
        if first > MAX_ID {
            wanted.next();
            visit(word, None)?;
            continue;
        }
        let mut rows = select.query([first as i64]).map_err(failed)?;
        loop {
            let row = rows.next().map_err(failed)?;
            let found = row.map(row_id).transpose()?;
            while let Some((_, word)) = wanted.next_if(|&(id, _)| found.is_none_or(|found| id < found)) {
                visit(word, None)?;
            }
            while let Some((_, word)) = wanted.next_if(|&(id, _)| found == Some(id)) {
                visit(word, row)?;
            }
            match (wanted.peek(), found) {
                (Some(&(next, _)), Some(found)) if next - found <= STEP_OVER => {}
                _ => break,
            }
        }
    }
    Ok(())
}

/// The id of the image of that name.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<Id>> {
    let mut select = connection.prepare_cached(&SELECT_NAMED).map_err(failed)?;
    let mut rows = select.query([name]).map_err(failed)?;
    // The row is found by an index, which has names of its own.
    let found = rows.next().map_err(failed)?.map(descriptor).transpose()?;
    found.map(|found| check_found(name, found.id, Some(&found))).transpose()
}

/// The id in a row's first column.
pub(super) fn row_id(row: &Row<'_>) -> Result<Id> {
    match row.get_ref(0) {
        Ok(ValueRef::Integer(id)) if (0..=MAX_ID as i64).contains(&id) => Ok(id as Id),
        Ok(other) => Err(Error::corrupt(format!("its table \"image\" has a row with the id {}", shown(other)))),
        Err(error) => Err(failed(error)),
    }
}

/// The descriptor in a row of [`SELECT_FROM`].
pub(super) fn descriptor(row: &Row<'_>) -> Result<Descriptor> {
    let id = row_id(row)?;
    checked(id, row).map_err(|error| error.at_id(id))
}

fn checked(id: Id, row: &Row<'_>) -> Result<Descriptor> {
    let columns = Columns {
        name: optional(row, 1, text)?,
        height: integer(row, 2)?,
        width: integer(row, 3)?,
        channels: integer(row, 4)?,
        sample_type: text(row, 5)?,
        encoding: text(row, 6)?,
        label: optional(row, 7, integer)?,
        attributes: optional(row, 8, text)?,
        payload_length: integer(row, PAYLOAD_LENGTH)?,
        checksum: integer(row, 10)?,
    };
    let descriptor = columns.descriptor(id)?;
    record::check(id, &descriptor, integer(row, 11)?)?;
    Ok(descriptor)
}

/// A number in a column, which must fit.
fn integer<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T> {
    match row.get_ref(column).map_err(failed)? {
        ValueRef::Integer(value) => T::try_from(value).map_err(|_| unsound(column, ValueRef::Integer(value))),
        other => Err(unsound(column, other)),
    }
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str> {
    let value = row.get_ref(column).map_err(failed)?;
    value.as_str().map_err(|_| unsound(column, value))
}

fn optional<'a, T>(
    row: &'a Row<'_>,
    column: usize,
    get: impl FnOnce(&'a Row<'_>, usize) -> Result<T>,
) -> Result<Option<T>> {
    match row.get_ref(column).map_err(failed)? {
        ValueRef::Null => Ok(None),
        _ => get(row, column).map(Some),
    }
}

fn unsound(column: usize, found: ValueRef<'_>) -> Error {
    Error::corrupt(format!("its column \"{}\" holds {}", columns::NAMES[column], shown(found)))
}

/// A value for a message, cut short.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "nothing".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(&text[..text.len().min(40)])),
        ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}
