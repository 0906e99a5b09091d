//! Giving back the space of what was removed.

use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;

use super::connection::Connection;
use super::room;
use super::sql::{Query, literal, millis};
use crate::backend::WRITER_PATIENCE;
use crate::error::{Error, ErrorKind, Result};

/// How long transactions are waited for that may still see what was removed.
const OLD_VIEWS: Duration = Duration::from_secs(10);

/// How often they are looked for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// When a server that writes tables anew looks whether anybody waits for that. Older ones than PostgreSQL 14, and those on
/// some systems, cannot.
const LOOK_FOR_US: &str = "SET client_connection_check_interval = '2s'";

/// A table is left as it is that takes this part of what it needs more than that, or so many pages.
const TOLERATED_SHARE: u64 = 10;
const TOLERATED: u64 = 4;

/// A table of any size is looked through, or written anew, without a word.
const NO_LIMIT: Duration = Duration::from_secs(30 * 86_400);

/// Writes those tables anew that take more than they need, without what was removed. Readers and writers wait meanwhile,
/// each for as long as it waits.
///
/// # Errors
/// `Denied` where the tables belong to another user, `Conflict` where others use them for longer than `patience`.
pub(super) fn compact(connection: &mut Connection, schema: &str, patience: Duration) -> Result<()> {
    let payload = literal(&format!("{schema}.payload"));
    let own = first_value(
        &connection
            .batch(&format!("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = {payload}::regclass"))?,
    );
    if own.as_deref() != Some("t") {
        return Err(Error::new(ErrorKind::Denied, "only the owner of the tables can compact the store")
            .with_hint("do it as the user who created it"));
    }
    wait_for_old_views(connection)?;
    // It is not given back: the connection ends with this.
    let patience = millis(patience);
    connection.begin(&format!("SET statement_timeout = 0; SET lock_timeout = {patience}"), Duration::ZERO)?;
    connection.allow_silence(NO_LIMIT);
    let _ = connection.batch(LOOK_FOR_US);
    // Rows are looked through in the order in which they stand.
    connection.batch(
        "SET enable_seqscan = on; SET enable_indexscan = off; SET synchronize_seqscans = off; \
         SET max_parallel_workers_per_gather = 0",
    )?;
    let tables =
        [("payload", Query::RoomOfPayloads, 2), ("image", Query::RoomOfImages, 3), ("store", Query::RoomOfStore, 2)];
    for (table, room, indexes) in tables {
        if let Some(taken) = pages(connection, schema, table)? {
            let needed = room::needed(connection, room, indexes)?;
            if taken <= needed + needed / TOLERATED_SHARE + TOLERATED {
                continue;
            }
        }
        connection.batch(&format!("VACUUM (FULL, ANALYZE) {schema}.{table}"))?;
    }
    Ok(())
}

/// Pages that a table takes, with its long values and the indexes of both; `None` where they are not of the usual size.
fn pages(connection: &mut Connection, schema: &str, table: &str) -> Result<Option<u64>> {
    let table = literal(&format!("{schema}.{table}"));
    let pages = connection.batch(&format!(
        "SELECT sum(pg_relation_size(part)) / 8192 FROM pg_class,
         LATERAL (SELECT pg_class.oid UNION ALL SELECT reltoastrelid
                  UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid IN (pg_class.oid, reltoastrelid)) AS parts (part)
         WHERE pg_class.oid = {table}::regclass AND part <> 0 AND current_setting('block_size') = '8192'"
    ))?;
    Ok(first_value(&pages).and_then(|pages| pages.split('.').next()?.parse().ok()))
}

/// Drops the tables, and the schema if nothing else is in it. Readers and writers that are at work are waited for.
///
/// # Errors
/// `Denied` where the tables belong to another user, `Conflict` where others use them for too long.
pub(super) fn delete(connection: &mut Connection, schema: &str) -> Result<()> {
    // They are locked one after another: in the order in which writers do.
    let tables = ["store", "image", "payload"].map(|table| format!("{schema}.{table}")).join(", ");
    let patience = millis(WRITER_PATIENCE);
    let drop = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {patience}; LOCK TABLE {tables}; \
         DROP TABLE {tables}"
    );
    connection.begin(&drop, 3 * WRITER_PATIENCE)?;
    connection.end("COMMIT")?;
    // One in which somebody keeps other things stays, and so does one of somebody else's.
    let _ = connection.batch(&format!("DROP SCHEMA {schema}"));
    Ok(())
}

/// Waits until nobody has a view of the database from before now, in which what was removed is still there: it could not
/// be given back. Other users' views are not shown to everybody.
fn wait_for_old_views(connection: &mut Connection) -> Result<()> {
    let now = first_value(&connection.batch("SELECT txid_current() & (2 ^ 32 - 1)::bigint")?);
    let end = Instant::now() + OLD_VIEWS;
    let Some(now) = now else { return Ok(()) };
    let look = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
         AND greatest(age(backend_xmin), age(backend_xid)) >= age('{now}'::xid)"
    );
    while first_value(&connection.batch(&look)?).as_deref() != Some("0") && Instant::now() < end {
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// The first value of the first row.
fn first_value(messages: &[SimpleQueryMessage]) -> Option<String> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
