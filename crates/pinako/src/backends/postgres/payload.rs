//! Payloads as rows of the table `payload`, a piece a row.
//!
//! PostgreSQL holds a value as a whole in memory, at most 1 GB, more than once while it is written; pieces bound that.
//! Inside, it keeps what is longer than a part of a page out of the row, in chunks of some 2,000 bytes: from a piece
//! that is not compressed it takes exactly the chunks with the bytes that are asked for.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::Row;

use super::connection::CopyIn;
use super::image::value;
use super::schema::as_bigint;
use crate::backend::{Entry, Payload};
use crate::descriptor::{Descriptor, Id, record};
use crate::error::{Error, Result};

/// Bytes of every piece but the last, which has what is left. A payload of no bytes has one empty piece.
pub(super) const PIECE: u64 = 1 << 20;

/// Most bytes of a payload: the number of a piece is an integer.
pub(super) const MAX_LENGTH: u64 = PIECE << 31;

/// Bytes of a message of `COPY`.
const MESSAGE: usize = 64 << 10;

/// What `COPY ... BINARY` begins with: the format's mark, no flags, nothing more.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows on their way into a table.
pub(super) struct Copy<'a> {
    copy: CopyIn<'a>,
    /// What was not sent yet.
    message: BytesMut,
    /// The record that stands beside the next piece; empty where none does.
    record: Vec<u8>,
}

impl<'a> Copy<'a> {
    pub(super) fn new(copy: CopyIn<'a>) -> Self {
        let mut message = BytesMut::with_capacity(2 * MESSAGE);
        message.put_slice(SIGNATURE);
        Copy { copy, message, record: Vec::new() }
    }

    /// Adds a row, which `encode` puts.
    pub(super) fn row(&mut self, encode: impl FnOnce(&mut BytesMut) -> Result<()>) -> Result<()> {
        encode(&mut self.message)?;
        self.send_full()
    }

    /// Adds the payload of the image `id`; a stream's descriptor gets its checksum.
    pub(super) fn payload(&mut self, id: Id, entry: &mut Entry<'_>) -> Result<()> {
        let row_id = as_bigint(id)?;
        if let Payload::Bytes(bytes) = entry.payload {
            // One piece is mostly all there is, and then has all that is known of the image beside it.
            self.record.clear();
            if bytes.len() as u64 <= PIECE {
                record::encode(id, &entry.descriptor, &mut self.record);
            }
            let mut pieces = bytes.chunks(PIECE as usize);
            let mut number = 0;
            loop {
                let piece = pieces.next().unwrap_or_default();
                self.begin_piece(row_id, number, piece.len());
                for part in piece.chunks(MESSAGE) {
                    self.message.put_slice(part);
                    self.send_full()?;
                }
                number += 1;
                if pieces.len() == 0 {
                    return Ok(());
                }
            }
        }
        self.record.clear();
        let mut reader = entry.payload_reader();
        let mut number = 0;
        loop {
            let mut left = reader.remaining().min(PIECE) as usize;
            self.begin_piece(row_id, number, left);
            while left > 0 {
                let start = self.message.len();
                let part = left.min(MESSAGE);
                self.message.resize(start + part, 0);
                reader.fill(&mut self.message[start..])?;
                left -= part;
                self.send_full()?;
            }
            number += 1;
            if reader.remaining() == 0 {
                break;
            }
        }
        entry.descriptor.checksum = reader.finish()?;
        Ok(())
    }

    /// Begins the row of a piece, of whose bytes so many follow.
    fn begin_piece(&mut self, id: i64, number: i32, length: usize) {
        self.message.put_i16(4);
        self.message.put_i32(8);
        self.message.put_i64(id);
        self.message.put_i32(4);
        self.message.put_i32(number);
        match self.record.len() {
            0 => self.message.put_i32(-1),
            // A descriptor is far shorter than 2 GiB.
            length => self.message.put_i32(length as i32),
        }
        self.message.put_slice(&self.record);
        self.message.put_i32(length as i32);
    }

    fn send_full(&mut self) -> Result<()> {
        if self.message.len() < MESSAGE {
            return Ok(());
        }
        let next = BytesMut::with_capacity(2 * MESSAGE);
        let message: Bytes = std::mem::replace(&mut self.message, next).freeze();
        self.copy.send(message)
    }

    /// Ends the copy: the rows are in the table, for this transaction.
    pub(super) fn finish(mut self) -> Result<()> {
        self.message.put_i16(-1);
        self.copy.send(self.message.freeze())?;
        self.copy.finish()
    }
}

/// The length of a payload in a row's column; `None` where there is no such image.
pub(super) fn length(row: &Row, column: usize) -> Result<Option<u64>> {
    let length: Option<i64> = value(row, column, "payload_length")?;
    let impossible = |_| Error::corrupt("its payload has no possible length");
    length.map(|length| u64::try_from(length).map_err(impossible)).transpose()
}

/// The number and the bytes of a piece, in a row's columns from `first` on.
pub(super) fn piece(row: &Row, first: usize) -> Result<(i32, &[u8])> {
    match (value(row, first, "piece")?, value(row, first + 1, "bytes")?) {
        (Some(number), Some(bytes)) => Ok((number, bytes)),
        _ => Err(missing(0)),
    }
}

/// Has `gathered` take the part of a piece in a row's columns from `first` on: the piece's number, its length, and the
/// part. See [`Gathered::take`].
pub(super) fn part<'a>(row: &'a Row, first: usize, gathered: &'a mut Gathered) -> Result<Option<&'a [u8]>> {
    let number = value(row, first, "piece")?;
    let length: Option<i32> = value(row, first + 1, "bytes")?;
    match (number, length, value(row, first + 2, "bytes")?) {
        (Some(number), Some(length), Some(part)) => gathered.take(number, u64::from(length.unsigned_abs()), part),
        _ => Err(gathered.incomplete()),
    }
}

/// The descriptor and the payload of the image `id`, which stand in the columns of one row from `first` on; `None` where
/// they do not.
pub(super) fn whole(id: Id, row: &Row, first: usize) -> Result<Option<(Descriptor, &[u8])>> {
    let (Some(record), Some(bytes)) = (value(row, first, "descriptor")?, value::<&[u8]>(row, first + 1, "bytes")?)
    else {
        return Ok(None);
    };
    let descriptor = record::decode(id, record)?;
    if bytes.len() as u64 != descriptor.payload_length {
        let (found, expected) = (bytes.len(), descriptor.payload_length);
        return Err(Error::corrupt(format!("piece 0 of its payload has {found} bytes instead of {expected}")));
    }
    Ok(Some((descriptor, bytes)))
}

/// A range of a payload, of which pieces come one after another.
pub(super) struct Gathered {
    range: Range<u64>,
    /// Bytes of the whole payload.
    length: u64,
    /// How many bytes came.
    taken: u64,
    /// Those that came, where not all of them come at once.
    bytes: Vec<u8>,
}

impl Gathered {
    /// A range that lies inside a payload of `length` bytes.
    pub(super) fn new(range: Range<u64>, length: u64) -> Self {
        Gathered { range, length, taken: 0, bytes: Vec::new() }
    }

    /// The number of the piece that is to come next.
    fn next_piece(&self) -> u64 {
        (self.range.start + self.taken) / PIECE
    }

    /// The error where no more pieces come.
    pub(super) fn incomplete(&self) -> Error {
        missing(self.next_piece())
    }

    /// Takes the `part` of a piece of `piece_length` bytes which lies in the range; gives the range's bytes when they
    /// are all there.
    ///
    /// # Errors
    /// `Corrupt` where the piece is not the next one or not as long as it should be, `InvalidInput` where the bytes do
    /// not fit in memory.
    pub(super) fn take<'a>(&'a mut self, number: i32, piece_length: u64, part: &'a [u8]) -> Result<Option<&'a [u8]>> {
        if u64::try_from(number) != Ok(self.next_piece()) {
            return Err(self.incomplete());
        }
        let start = u64::from(number.unsigned_abs()) * PIECE;
        let expected = PIECE.min(self.length - start);
        if piece_length != expected {
            return Err(Error::corrupt(format!(
                "piece {number} of its payload has {piece_length} bytes instead of {expected}"
            )));
        }
        let asked = self.range.end.min(start + PIECE) - self.range.start.max(start);
        if part.len() as u64 != asked {
            return Err(Error::corrupt(format!(
                "of a piece of its payload {} bytes came instead of {asked}",
                part.len()
            )));
        }
        let is_first = self.taken == 0;
        self.taken += asked;
        let is_last = self.range.start + self.taken == self.range.end;
        if is_first && is_last {
            return Ok(Some(part));
        }
        // Only what has come is believed.
        self.bytes.try_reserve(part.len()).map_err(|_| {
            let count = self.range.end - self.range.start;
            Error::invalid(format!("{count} bytes do not fit in memory")).with_hint("read smaller ranges")
        })?;
        self.bytes.extend_from_slice(part);
        Ok(is_last.then_some(&self.bytes))
    }
}

/// The error for a piece that is not there.
fn missing(number: u64) -> Error {
    Error::corrupt(format!("piece {number} of its payload is missing"))
}
