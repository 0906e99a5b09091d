//! What is asked of the server: a fixed set of statements, each of which a connection has parsed once.
//!
//! Every statement reaches rows by the primary keys, whatever the planner thinks of tables that it has no statistics of
//! yet: the connection's settings leave it no other way (see [`settings`]). Many ids are one array, and come back with
//! their place in it, in its order.

use std::fmt::Write;
use std::time::Duration;

use super::payload::PIECE;
use super::room::LONGEST_ROW;
use crate::backend::Durability;
use crate::descriptor::columns;

/// The statements.
#[derive(Debug, Clone, Copy)]
pub(super) enum Query {
    /// The descriptor's record and the bytes of one image, where they stand in one row.
    FetchOne,
    /// The same of many images, after the place; nothing where they do not.
    Fetch,
    /// All of many images, wherever it stands: the place, the columns, number and bytes of a piece.
    FetchPieces,
    /// Ranges of payloads: the place, the payload's length, then number, length and asked part of a piece.
    Read,
    /// The place and the columns of many images.
    Describe,
    /// The columns of so many images from an id on.
    Scan,
    /// The place and the columns of images of these names.
    Find,
    /// Everything that the store says of itself.
    Store,
    /// Removes images; their number and the sum of their payloads' lengths.
    Remove,
    /// Replaces a value of the store.
    SetValue,
    /// Bytes that the tables take.
    Size,
    /// Of each row of a table, in their order: its length, that of a value outside of it, and of its entries in indexes.
    RoomOfStore,
    RoomOfImages,
    RoomOfPayloads,
    CopyImages,
    CopyPayloads,
}

/// The text of the statements, for one schema.
#[derive(Debug)]
pub(super) struct Sql {
    texts: [String; Query::COUNT],
    /// The schema's name, quoted.
    pub(super) schema: String,
}

impl Query {
    pub(super) const COUNT: usize = 16;

    const ALL: [Query; Query::COUNT] = [
        Query::FetchOne,
        Query::Fetch,
        Query::FetchPieces,
        Query::Read,
        Query::Describe,
        Query::Scan,
        Query::Find,
        Query::Store,
        Query::Remove,
        Query::SetValue,
        Query::Size,
        Query::RoomOfStore,
        Query::RoomOfImages,
        Query::RoomOfPayloads,
        Query::CopyImages,
        Query::CopyPayloads,
    ];
}

impl Sql {
    pub(super) fn new(schema: &str) -> Self {
        let schema = quoted(schema);
        let texts = Query::ALL.map(|query| text(query, &schema));
        Sql { texts, schema }
    }

    pub(super) fn of(&self, query: Query) -> &str {
        &self.texts[query as usize]
    }
}

/// A name as it stands in a statement, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as it stands in a statement.
pub(super) fn literal(text: &str) -> String {
    // With the E, a backslash means the same whatever the server's settings.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn text(query: Query, schema: &str) -> String {
    let columns = columns::NAMES.map(|column| format!("image.{column}")).join(", ");
    // Those that may be long are sent once, with the first piece.
    let columns_once = columns
        .replace("image.attributes", "CASE WHEN payload.piece > 0 THEN NULL ELSE image.attributes END AS attributes");
    match query {
        Query::FetchOne => {
            format!(
                "SELECT descriptor, bytes FROM {schema}.payload WHERE id = $1 AND piece = 0 AND descriptor IS NOT NULL"
            )
        }
        Query::Fetch => format!(
            "SELECT wanted.place, descriptor, bytes
             FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place)
             LEFT JOIN {schema}.payload ON payload.id = wanted.id AND piece = 0 AND descriptor IS NOT NULL"
        ),
        Query::FetchPieces => format!(
            "SELECT wanted.place, {columns_once}, payload.piece, payload.bytes
             FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place)
             LEFT JOIN {schema}.image ON image.id = wanted.id
             LEFT JOIN LATERAL (
                 SELECT piece, bytes FROM {schema}.payload WHERE payload.id = image.id ORDER BY piece
             ) AS payload ON true"
        ),
        Query::Read => format!(
            "SELECT wanted.place, image.payload_length, payload.piece, payload.length, payload.part
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS wanted (id, first, after, place)
             LEFT JOIN {schema}.image ON image.id = wanted.id
             LEFT JOIN LATERAL (
                 SELECT piece, octet_length(bytes) AS length, substring(
                     bytes
                     FROM (greatest(wanted.first - piece * {PIECE}::bigint, 0) + 1)::integer
                     FOR (least(wanted.after - piece * {PIECE}::bigint, {PIECE})
                          - greatest(wanted.first - piece * {PIECE}::bigint, 0))::integer
                 ) AS part
                 FROM {schema}.payload
                 WHERE payload.id = image.id AND wanted.first < wanted.after
                 AND piece >= wanted.first / {PIECE} AND piece <= (wanted.after - 1) / {PIECE} ORDER BY piece
             ) AS payload ON true"
        ),
        Query::Describe => format!(
            "SELECT wanted.place, {columns}
             FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place)
             LEFT JOIN {schema}.image ON image.id = wanted.id"
        ),
        Query::Scan => {
            format!("SELECT {columns} FROM {schema}.image WHERE image.id >= $1 ORDER BY image.id LIMIT $2")
        }
        Query::Find => format!(
            "SELECT wanted.place, {columns}
             FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
             JOIN {schema}.image ON image.name = wanted.name"
        ),
        Query::Store => format!("SELECT key, value, checksum FROM {schema}.store"),
        // What is damaged is to be removed too, and its length may be impossible.
        Query::Remove => format!(
            "WITH gone AS (DELETE FROM {schema}.image WHERE id = any($1::bigint[]) RETURNING payload_length),
                  pieces AS (DELETE FROM {schema}.payload WHERE id = any($1::bigint[]))
             SELECT count(*), least(coalesce(sum(greatest(payload_length, 0)), 0), {})::bigint FROM gone",
            i64::MAX
        ),
        Query::SetValue => format!("UPDATE {schema}.store SET value = $2, checksum = $3 WHERE key = $1"),
        Query::Size => {
            let mut text = "SELECT (0".to_owned();
            for table in ["store", "image", "payload"] {
                let _ = write!(text, " + pg_total_relation_size({})", literal(&format!("{schema}.{table}")));
            }
            text + ")::bigint"
        }
        Query::RoomOfStore => room(schema, "store", &["key", "value", "checksum"], "value", LONG, &entry("key")),
        Query::RoomOfImages => {
            let entries = format!("20 + coalesce({}, 0)", entry("name"));
            room(schema, "image", &columns::NAMES, "attributes", LONG, &entries)
        }
        Query::RoomOfPayloads => {
            // Uncompressed, it stands in the row where there is room for it.
            let long = format!(
                "((pg_column_size(ROW(id, piece, descriptor)) + 3) & ~3) + 4 + octet_length(bytes) > {LONGEST_ROW}"
            );
            room(schema, "payload", &["id", "piece", "descriptor", "bytes"], "bytes", &long, "28")
        }
        Query::CopyImages => format!("COPY {schema}.image ({}) FROM STDIN BINARY", columns::NAMES.join(", ")),
        Query::CopyPayloads => format!("COPY {schema}.payload (id, piece, descriptor, bytes) FROM STDIN BINARY"),
    }
}

/// As long as what stands in a row for a value outside of it, with a byte of its own before it.
const POINTER: &str = "seventeen letters";

/// Whether a value stands outside of its row, where it may be compressed.
const LONG: &str = "pg_column_size({}) > 1900";

/// Bytes that an index has of a text.
fn entry(column: &str) -> String {
    format!("((pg_column_size({column}) + 15) & ~7) + 4")
}

/// The query for the room of a table's rows, of which one column may be so `long` that it stands elsewhere, with a pointer
/// of 18 bytes to it.
fn room(schema: &str, table: &str, columns: &[&str], outside: &str, long: &str, entries: &str) -> String {
    let long = long.replace("{}", outside);
    let near: Vec<String> = columns
        .iter()
        .map(|&column| match column == outside {
            true => format!("CASE WHEN {long} THEN '{POINTER}' ELSE {column} END"),
            false => column.to_owned(),
        })
        .collect();
    format!(
        "SELECT pg_column_size(ROW({})), CASE WHEN {long} THEN pg_column_size({outside}) END, {entries}
         FROM {schema}.{table}",
        near.join(", ")
    )
}

/// A period as PostgreSQL's timeouts have it, for which 0 is none.
pub(super) fn millis(period: Duration) -> u128 {
    period.as_millis().clamp(1, i32::MAX as u128)
}

/// What a connection is told first: how statements are planned, how long they may take, and what a commit means.
pub(super) fn settings(statement_timeout: Duration, durability: Durability, writes: bool) -> String {
    // Somebody may have made reading the default, which is for those who do not say what they want.
    let reads_only = if writes { "off" } else { "on" };
    let mut settings = format!(
        "SET statement_timeout = {}; SET lock_timeout = 0; SET client_min_messages = error; \
         SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; \
         SET enable_hashjoin = off; SET enable_mergejoin = off; \
         SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
         SET default_transaction_read_only = {reads_only}; ",
        millis(statement_timeout)
    );
    settings.push_str(match durability {
        _ if !writes => "",
        Durability::Buffered => "SET synchronous_commit = off",
        // Whatever else a server's owner has chosen, of replicas above all, is durable.
        Durability::Full => {
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        }
    });
    settings
}
