//! Payloads as rows of the table `payload`, a piece a row.
//!
//! SQLite writes a blob as a whole, at most 1 GB, and holds it in memory to do so; pieces bound that.

use std::ops::Range;
use std::sync::LazyLock;

use rusqlite::blob::Blob;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, ErrorCode, MAIN_DB, Row, Transaction, params};

use super::error::failed;
use super::image::row_id;
use crate::backend::{Entry, Payload};
use crate::descriptor::{Id, columns};
use crate::error::{Error, Result};

/// Bytes of every piece but the last, which has what is left. A payload of no bytes has one empty piece.
pub(super) const PIECE: u64 = 1 << 20;

/// Bits of a row's id that are the image's; those above number the piece. So the first piece, mostly the only one, has
/// the id of its image, and the first pieces of images in a row stand in a row.
const IMAGE_BITS: u32 = 40;

/// The largest id of an image.
pub(super) const MAX_ID: Id = (1 << IMAGE_BITS) - 1;

/// Most bytes of a payload: 8 TiB.
pub(super) const MAX_LENGTH: u64 = PIECE << (63 - IMAGE_BITS);

/// Ids, payload lengths and, up to 64 KiB, payloads of the images from an id on.
pub(super) static SELECT_FROM: LazyLock<String> = LazyLock::new(|| select_from("image.id, payload_length"));

/// All columns of the images from an id on, and after them what [`SELECT_FROM`] lends.
pub(super) static SELECT_IMAGES_FROM: LazyLock<String> =
    LazyLock::new(|| select_from(&columns::NAMES.map(|column| format!("image.{column}")).join(", ")));

/// Short payloads are lent from SQLite's own memory, whichever range is asked of them; of longer ones only the range is
/// read.
fn select_from(columns: &str) -> String {
    format!(
        "SELECT {columns}, CASE WHEN payload_length <= 65536 THEN bytes END
         FROM image LEFT JOIN payload USING (id)
         WHERE image.id >= ?1 ORDER BY image.id"
    )
}

/// The row of a piece of an image's payload.
fn row_id_of(id: Id, piece: u64) -> i64 {
    debug_assert!(id <= MAX_ID && piece < MAX_LENGTH / PIECE);
    (piece << IMAGE_BITS | id) as i64
}

/// The rows of an image's pieces, by the payload's length.
pub(super) fn row_ids(id: Id, length: u64) -> impl Iterator<Item = i64> {
    (0..length.min(MAX_LENGTH).div_ceil(PIECE).max(1)).map(move |piece| row_id_of(id, piece))
}

/// A statement that puts payloads in.
pub(super) struct Insert<'a> {
    statement: CachedStatement<'a>,
    piece: Vec<u8>,
}

impl<'a> Insert<'a> {
    pub(super) fn new(transaction: &'a Transaction<'_>) -> Result<Self> {
        let insert = transaction.prepare_cached("INSERT INTO payload VALUES (?1, ?2)");
        Ok(Insert { statement: insert.map_err(failed)?, piece: Vec::new() })
    }

    /// Puts in the payload of the image `id`; a stream's descriptor gets its checksum.
    pub(super) fn execute(&mut self, id: Id, entry: &mut Entry<'_>) -> Result<()> {
        let mut rows = row_ids(id, entry.descriptor.payload_length);
        if let Payload::Bytes(bytes) = entry.payload {
            let mut pieces = bytes.chunks(PIECE as usize);
            return rows.try_for_each(|row| self.insert(row, pieces.next().unwrap_or_default()));
        }
        let mut reader = entry.payload_reader();
        let mut piece = std::mem::take(&mut self.piece);
        for row in rows {
            piece.resize(reader.remaining().min(PIECE) as usize, 0);
            reader.fill(&mut piece)?;
            self.insert(row, &piece)?;
        }
        self.piece = piece;
        entry.descriptor.checksum = reader.finish()?;
        Ok(())
    }

    fn insert(&mut self, row: i64, piece: &[u8]) -> Result<()> {
        self.statement.execute(params![row, piece]).map(drop).map_err(failed)
    }
}

/// What a row of [`SELECT_FROM`] says of a payload.
pub(super) struct Found<'a> {
    pub(super) id: Id,
    pub(super) length: u64,
    /// The payload, where it is lent: `None` where it is long, or missing, which who looks for it will notice.
    bytes: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    /// `length` and `bytes` are the columns of the payload's length and of what is lent of it.
    pub(super) fn new(row: &'a Row<'_>, length: usize, bytes: usize) -> Result<Self> {
        let id = row_id(row)?;
        let at_id = |message: String| Err(Error::corrupt(message).at_id(id));
        let length = match row.get_ref(length).map_err(failed)? {
            ValueRef::Integer(length) if (0..=MAX_LENGTH as i64).contains(&length) => length as u64,
            _ => return at_id("its payload has no possible length".to_owned()),
        };
        let bytes = match row.get_ref(bytes).map_err(failed)? {
            ValueRef::Null => None,
            ValueRef::Blob(bytes) if bytes.len() as u64 == length => Some(bytes),
            ValueRef::Blob(bytes) => {
                return at_id(format!("its payload has {} bytes, its descriptor says {length}", bytes.len()));
            }
            _ => return at_id("its payload is no blob".to_owned()),
        };
        Ok(Found { id, length, bytes })
    }
}

/// Reads ranges of payloads in one batch.
pub(super) struct Pieces<'a> {
    cursor: Cursor<'a>,
    gathered: Vec<u8>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Pieces { cursor: Cursor { connection, piece: None }, gathered: Vec::new() }
    }

    /// The bytes of a range, which must lie inside the payload.
    pub(super) fn read<'b>(&'b mut self, found: &Found<'b>, range: Range<u64>) -> Result<&'b [u8]> {
        if let Some(bytes) = found.bytes {
            return Ok(&bytes[range.start as usize..range.end as usize]);
        }
        self.gather(found, range).map_err(|error| error.at_id(found.id))?;
        Ok(&self.gathered)
    }

    fn gather(&mut self, found: &Found<'_>, range: Range<u64>) -> Result<()> {
        self.gathered.clear();
        if range.is_empty() {
            return Ok(());
        }
        // The last piece first, so that a length that is not true asks for no memory.
        self.cursor.go_to(found, (range.end - 1) / PIECE)?;
        let count = range.end - range.start;
        usize::try_from(count).ok().and_then(|count| self.gathered.try_reserve_exact(count).ok()).ok_or_else(|| {
            Error::invalid(format!("{count} bytes do not fit in memory")).with_hint("read smaller ranges")
        })?;
        let mut at = range.start;
        while at < range.end {
            let (number, within) = (at / PIECE, at % PIECE);
            let blob = self.cursor.go_to(found, number)?;
            let take = (PIECE - within).min(range.end - at);
            let filled = self.gathered.len();
            self.gathered.resize(filled + take as usize, 0);
            blob.read_at_exact(&mut self.gathered[filled..], within as usize).map_err(failed)?;
            at += take;
        }
        Ok(())
    }
}

/// A handle on the bytes of one piece, which is moved from one to the next.
struct Cursor<'a> {
    connection: &'a Connection,
    /// The piece's row, and its bytes.
    piece: Option<(i64, Blob<'a>)>,
}

impl<'a> Cursor<'a> {
    /// The bytes of a piece, which must be as many as there have to be.
    fn go_to(&mut self, found: &Found<'_>, number: u64) -> Result<&Blob<'a>> {
        let row = row_id_of(found.id, number);
        let reached = match self.piece.take() {
            Some((at, blob)) if at == row => Ok(blob),
            Some((_, mut blob)) => blob.reopen(row).map(|()| blob),
            None => self.connection.blob_open(MAIN_DB, c"payload", c"bytes", row, true),
        };
        let blob = reached.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::Unknown) => {
                Error::corrupt(format!("piece {number} of its payload is missing")).with_source(error)
            }
            _ => failed(error),
        })?;
        let (has, expected) = (blob.len() as u64, PIECE.min(found.length - number * PIECE));
        if has != expected {
            return Err(Error::corrupt(format!("piece {number} of its payload has {has} bytes instead of {expected}")));
        }
        Ok(&self.piece.insert((row, blob)).1)
    }
}
