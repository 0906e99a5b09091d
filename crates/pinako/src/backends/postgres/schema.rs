//! The tables, and what the store says of itself. FORMAT.md explains every column.

use std::fmt::Write;

use tokio_postgres::SimpleQueryMessage;

use super::connection::Connection;
use super::sql::{Query, literal};
use crate::backend::Properties;
use crate::backends::{FORMAT_VERSION, other_format};
use crate::checksum;
use crate::descriptor::Id;
use crate::error::{Error, Result};

/// Most bytes of the label names.
const MOST_LABEL_NAMES: usize = 16 << 20;

/// How many of the latest changes have their tokens in the store.
const MARKS: usize = 16;

// A row of up to half a page keeps its bytes: taken out of the row they would be more, in a table and an index of their
// own. Longer ones stand in chunks there, uncompressed, so that any of them is reached without the rest.
fn tables(schema: &str) -> String {
    format!(
        "CREATE TABLE {schema}.store (
             key       text PRIMARY KEY,
             value     text NOT NULL,
             checksum  bigint NOT NULL
         );
         CREATE TABLE {schema}.image (
             id                   bigint PRIMARY KEY,
             name                 text COLLATE \"C\",
             height               bigint NOT NULL,
             width                bigint NOT NULL,
             channels             bigint NOT NULL,
             sample_type          text NOT NULL,
             encoding             text NOT NULL,
             label                bigint,
             attributes           text,
             payload_length       bigint NOT NULL,
             checksum             bigint NOT NULL,
             descriptor_checksum  bigint NOT NULL
         );
         CREATE UNIQUE INDEX image_name ON {schema}.image (name) WHERE name IS NOT NULL;
         CREATE TABLE {schema}.payload (
             id          bigint,
             piece       integer,
             descriptor  bytea,
             bytes       bytea NOT NULL,
             PRIMARY KEY (id, piece)
         ) WITH (toast_tuple_target = 4080);
         ALTER TABLE {schema}.payload ALTER COLUMN bytes SET STORAGE EXTERNAL;"
    )
}

/// What stands under a schema's name.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    NoSchema,
    Empty,
    /// The tables of a store, and perhaps others.
    Store,
    /// Some of the tables of a store.
    Ruin,
    Other(String),
}

fn look(connection: &mut Connection, name: &str) -> Result<Found> {
    let name = literal(name);
    let rows = connection.batch(&format!(
        "SELECT name FROM (
             SELECT nspname AS name, 0 AS rank, oid FROM pg_namespace
             UNION ALL SELECT relname, 1, relnamespace FROM pg_class WHERE relkind <> 'i'
             UNION ALL SELECT proname, 2, pronamespace FROM pg_proc
             UNION ALL SELECT typname, 3, typnamespace FROM pg_type WHERE typrelid = 0 AND typelem = 0
         ) AS thing WHERE oid = (SELECT oid FROM pg_namespace WHERE nspname = {name}) ORDER BY rank, name"
    ))?;
    let mut names = rows.iter().filter_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if names.next().is_none() {
        return Ok(Found::NoSchema);
    }
    let names: Vec<&str> = names.collect();
    let ours = ["store", "image", "payload"].iter().filter(|table| names.contains(table)).count();
    Ok(match (ours, names.first()) {
        (_, None) => Found::Empty,
        (3, _) => Found::Store,
        (2, _) => Found::Ruin,
        (_, Some(other)) => Found::Other((*other).to_owned()),
    })
}

/// Makes the tables of a new store in the schema of that name, all or nothing.
///
/// # Errors
/// `Conflict` where a store is there, or something else.
pub(super) fn create(connection: &mut Connection, name: &str, schema: &str) -> Result<()> {
    if let Some(other) = connection.parameter("server_encoding").filter(|encoding| *encoding != "UTF8") {
        return Err(Error::unsupported(format!("the database has the encoding {other}, a store needs UTF8"))
            .with_hint("make one by: createdb -E UTF8 -T template0 NAME"));
    }
    let make_schema = match look(connection, name)? {
        Found::NoSchema => format!("CREATE SCHEMA {schema};"),
        Found::Empty => String::new(),
        Found::Store | Found::Ruin => {
            return Err(Error::conflict(format!("there is a store in the schema {name:?} already"))
                .with_hint("open it instead, or choose another by ?schema="));
        }
        Found::Other(other) => {
            return Err(Error::conflict(format!("the schema {name:?} has {other:?} in it"))
                .with_hint("a new store needs a schema of its own: choose one by ?schema="));
        }
    };
    let mut values = String::new();
    let first = Totals { next_id: 0, images: 0, payload_bytes: 0 };
    let fixed = [("format", "pinako".to_owned()), ("version", FORMAT_VERSION.to_string())];
    let begun = [("label_names", "[]".to_owned()), ("changes", Marks::default().to_string())];
    for (key, value) in fixed.into_iter().chain(first.values()).chain(begun) {
        let separator = if values.is_empty() { "" } else { ", " };
        let _ = write!(values, "{separator}('{key}', '{value}', {})", sum(key, &value));
    }
    connection.begin(&format!("BEGIN; {make_schema}"), std::time::Duration::ZERO).and_then(|_| {
        let tables = tables(schema);
        connection.end(&format!("{tables} INSERT INTO {schema}.store VALUES {values}; COMMIT"))
    })
}

/// Checks that there is a store that this version can read.
///
/// # Errors
/// `NotFound` where there is none, `InvalidInput` where there is something else, `Unsupported` where it is of another
/// format, `Corrupt` where it is damaged.
pub(super) fn check(connection: &mut Connection, name: &str) -> Result<()> {
    match look(connection, name)? {
        Found::NoSchema | Found::Empty => {
            return Err(Error::not_found(format!("there is no store in the schema {name:?}"))
                .with_hint("name another by ?schema=, or create one"));
        }
        Found::Ruin => return Err(Error::corrupt(format!("the store in the schema {name:?} has lost a table"))),
        Found::Other(other) => {
            return Err(Error::invalid(format!("the schema {name:?} has {other:?} in it, but no Pinako store"))
                .with_hint("name another by ?schema="));
        }
        Found::Store => {}
    }
    let state = load(connection)?;
    let version = state.get("version").ok_or_else(|| missing("version"))?;
    if state.get("format") != Some("pinako") {
        return Err(Error::invalid(format!("the tables in the schema {name:?} are no Pinako store's")));
    }
    match version.parse::<u32>() {
        Ok(FORMAT_VERSION) => Ok(()),
        Ok(newer) if newer > FORMAT_VERSION => Err(other_format(newer)),
        Ok(older) if older > 0 => Err(Error::unsupported(format!(
            "it has format version {older} and needs migration: this version of Pinako reads {FORMAT_VERSION}"
        ))
        .with_hint("with the version that wrote it, copy it into a store of files: that this one reads")),
        _ => Err(Error::corrupt(format!("its format has the impossible version {version:?}"))),
    }
}

/// The numbers that every change keeps up to date.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    pub(super) next_id: Id,
    pub(super) images: u64,
    pub(super) payload_bytes: u64,
}

impl Totals {
    pub(super) fn values(self) -> [(&'static str, String); 3] {
        [
            ("next_id", self.next_id.to_string()),
            ("images", self.images.to_string()),
            ("payload_bytes", self.payload_bytes.to_string()),
        ]
    }
}

/// The tokens of the latest changes, by which one whose connection was cut as it committed finds out what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Changes since the store was made.
    count: u64,
    /// The tokens of the latest ones, the latest first.
    tokens: Vec<String>,
}

impl Marks {
    /// The number of the next change.
    pub(super) fn next(&self) -> u64 {
        self.count.saturating_add(1)
    }

    /// With one change more.
    pub(super) fn and(&self, token: &str) -> Self {
        let latest = std::iter::once(token.to_owned());
        Marks { count: self.next(), tokens: latest.chain(self.tokens.iter().cloned()).take(MARKS).collect() }
    }

    /// Whether change `number` is the one with this token; `None` where there were too many since.
    pub(super) fn has(&self, number: u64, token: &str) -> Option<bool> {
        let Some(since) = self.count.checked_sub(number) else { return Some(false) };
        let found = self.tokens.get(usize::try_from(since).ok()?)?;
        Some(found == token)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let count = words.next()?.parse().ok()?;
        Some(Marks { count, tokens: words.map(str::to_owned).collect() })
    }
}

impl std::fmt::Display for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.count)?;
        self.tokens.iter().try_for_each(|token| write!(f, " {token}"))
    }
}

/// The rows of the table `store`.
pub(super) struct State(Vec<(String, String)>);

impl State {
    /// Takes a row; one whose checksum is wrong is as good as none.
    fn push(&mut self, key: &str, value: &str, checksum: i64) {
        if checksum == i64::from(sum(key, value)) {
            self.0.push((key.to_owned(), value.to_owned()));
        }
    }

    /// Those that a transaction's first message had.
    pub(super) fn of_messages(messages: &[SimpleQueryMessage]) -> Self {
        let mut state = State(Vec::new());
        for message in messages {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let column = |at: usize| row.try_get(at).ok().flatten();
            let (Some(key), Some(value), Some(Ok(sum))) = (column(0), column(1), column(2).map(str::parse)) else {
                continue;
            };
            state.push(key, value, sum);
        }
        state
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| &**value)
    }

    fn number(&self, key: &str) -> Result<u64> {
        let number = self.get(key).and_then(|value| value.parse().ok());
        number.filter(|&number| number <= i64::MAX as u64).ok_or_else(|| missing(key))
    }

    pub(super) fn totals(&self) -> Result<Totals> {
        Ok(Totals {
            next_id: self.number("next_id")?,
            images: self.number("images")?,
            payload_bytes: self.number("payload_bytes")?,
        })
    }

    pub(super) fn label_names(&self) -> Result<Vec<String>> {
        let names = self.get("label_names").and_then(|text| serde_json::from_str(text).ok());
        names.ok_or_else(|| missing("label_names"))
    }

    pub(super) fn marks(&self) -> Result<Marks> {
        self.get("changes").and_then(Marks::parse).ok_or_else(|| missing("changes"))
    }

    pub(super) fn properties(&self) -> Result<Properties> {
        let (totals, label_names) = (self.totals()?, self.label_names()?);
        Ok(Properties { format_version: FORMAT_VERSION, label_names, count: totals.images, next_id: totals.next_id })
    }
}

/// What the store says of itself.
pub(super) fn load(connection: &mut Connection) -> Result<State> {
    let mut state = State(Vec::new());
    let mut rows = connection.query(Query::Store, &[])?;
    while let Some(row) = rows.next()? {
        let unsound = |error| Error::corrupt("its table \"store\" is not of our form").with_source(error);
        let key = row.try_get(0).map_err(unsound)?;
        state.push(key, row.try_get(1).map_err(unsound)?, row.try_get(2).map_err(unsound)?);
    }
    Ok(state)
}

/// The text and the checksum of a list of label names.
pub(super) fn label_names_value(names: &[String]) -> Result<(String, i64)> {
    let text = serde_json::to_string(names)
        .map_err(|error| Error::invalid("the label names have no JSON form").with_source(error))?;
    if text.len() > MOST_LABEL_NAMES {
        let (length, most) = (text.len(), MOST_LABEL_NAMES);
        return Err(Error::invalid(format!("label names of {length} bytes are more than the {most} that fit")));
    }
    let sum = sum("label_names", &text).into();
    Ok((text, sum))
}

/// The statement that sets values, which are numbers and tokens and need no quoting.
pub(super) fn set_values(schema: &str, values: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut rows = String::new();
    for (key, value) in values {
        let separator = if rows.is_empty() { "" } else { ", " };
        let _ = write!(rows, "{separator}('{key}', '{value}', {})", sum(key, &value));
    }
    format!(
        "UPDATE {schema}.store SET value = new.value, checksum = new.checksum \
         FROM (VALUES {rows}) AS new (key, value, checksum) WHERE store.key = new.key"
    )
}

/// The checksum of a value: that of the key and, after it, the value.
fn sum(key: &str, value: &str) -> u32 {
    checksum::of_keyed(key.as_bytes(), value.as_bytes())
}

fn missing(key: &str) -> Error {
    Error::corrupt(format!("its table \"store\" has no sound value for \"{key}\""))
}

/// A number as PostgreSQL keeps it.
pub(super) fn as_bigint(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::invalid(format!("{number} is more than this backend takes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_what_became_of_a_change_while_they_can() {
        let mut marks = Marks::default();
        assert_eq!(marks.to_string(), "0");
        for number in 1..=40u64 {
            assert_eq!(marks.next(), number);
            assert_eq!(marks.has(number, &format!("t{number}")), Some(false), "not made yet");
            marks = marks.and(&format!("t{number}"));
            assert_eq!(Marks::parse(&marks.to_string()), Some(marks.clone()));
            let oldest = number.saturating_sub(MARKS as u64 - 1).max(1);
            for known in oldest..=number {
                assert_eq!(marks.has(known, &format!("t{known}")), Some(true));
                assert_eq!(marks.has(known, "another"), Some(false));
            }
            if oldest > 1 {
                assert_eq!(marks.has(oldest - 1, &format!("t{}", oldest - 1)), None);
            }
        }
        assert_eq!(Marks::parse("x"), None);
    }
}
