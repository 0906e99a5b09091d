//! Payloads in the database `payload`: one value each, or several where they are long.
//!
//! A payload up to [`PIECE`] bytes is the value of its id. A longer one is cut into pieces of that length, the last one
//! shorter: the first is the value of the id, the others of the id and the piece's number. LMDB keeps a value in
//! neighbouring pages and makes them in memory first; pieces bound both.
//!
//! To find a thumbnail costs more than to copy it, and its descriptor would have to be found as well. So before a
//! payload of [`WITH_RECORD`] bytes its value has the image's record, after four bytes of the record's length. Smaller
//! ones would take a noticeable share more space, larger ones would gain nothing. A value's length says whether it has
//! a record, wherever it is one of these lengths: the payloads that stand alone are shorter or longer.

use std::ops::{Range, RangeInclusive};

use heed::RoTxn;

use super::lookup::Lookup;
use super::open::{Tables, failed};
use super::table::Table;
use crate::backends::read_ahead::will_need;
use crate::descriptor::{Descriptor, Id, record};
use crate::error::{Error, Result};

/// Bytes of a piece of a payload; the last one has fewer.
pub(super) const PIECE: usize = 16 << 20;

/// Bytes of the record's length.
const RECORD_LENGTH: usize = 4;

/// Bytes of a payload that stands behind its image's record.
const WITH_RECORD: RangeInclusive<u64> = 1 << 10..=32 << 10;

/// Whether a payload of so many bytes stands behind its image's record.
pub(super) fn has_record(length: u64) -> bool {
    WITH_RECORD.contains(&length)
}

/// Puts the image's record, before which its length stands, in `value`, for its payload to follow.
pub(super) fn put_record(id: Id, descriptor: &Descriptor, value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&[0; RECORD_LENGTH]);
    record::encode(id, descriptor, value);
    let length = (value.len() - RECORD_LENGTH) as u32;
    value[..RECORD_LENGTH].copy_from_slice(&length.to_le_bytes());
}

/// The descriptor and the payload in a value that has both.
///
/// # Errors
/// `Corrupt` where it has not, or they are damaged.
pub(super) fn split_record(id: Id, value: &[u8]) -> Result<(Descriptor, &[u8])> {
    let split = value
        .split_first_chunk::<RECORD_LENGTH>()
        .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
    let damaged = || Error::corrupt("the record before its payload is damaged").at_id(id);
    let (record, payload) = split.ok_or_else(damaged)?;
    let descriptor = record::decode(id, record)?;
    if descriptor.payload_length != payload.len() as u64 {
        return Err(damaged());
    }
    Ok((descriptor, payload))
}

/// The key of a piece: the id, and after it the piece's number unless that is 0, both big endian.
pub(super) struct Key {
    bytes: [u8; 12],
    length: usize,
}

impl Key {
    pub(super) fn new(id: Id, piece: u32) -> Self {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&id.to_be_bytes());
        bytes[8..].copy_from_slice(&piece.to_be_bytes());
        Key { bytes, length: if piece == 0 { 8 } else { 12 } }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Where the bytes are that were asked for.
pub(super) enum Found<'t> {
    /// In one piece, in the map.
    Lent(&'t [u8]),
    /// In several pieces.
    Spread(Pieces<'t>, Range<u64>),
}

impl<'t> Found<'t> {
    pub(super) fn lent(&self) -> Option<&'t [u8]> {
        if let Found::Lent(bytes) = self { Some(bytes) } else { None }
    }

    /// Gives `sink` the bytes, gathered where they must be.
    pub(super) fn push(self, sink: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Found::Lent(bytes) => sink(bytes),
            Found::Spread(pieces, range) => sink(&pieces.gather(range)?),
        }
    }
}

/// Where an image is, with its whole payload.
pub(super) enum Image<'t> {
    /// In one value, which is not looked into before all of it is wanted: it may not be in memory yet.
    Together(Id, &'t [u8]),
    Apart(Descriptor, Found<'t>),
}

impl<'t> Image<'t> {
    pub(super) fn lent(&self) -> Option<&'t [u8]> {
        match self {
            Image::Together(_, value) => Some(value),
            Image::Apart(_, found) => found.lent(),
        }
    }

    /// Gives `sink` the descriptor and the payload.
    pub(super) fn push(self, sink: impl FnOnce(Descriptor, &[u8]) -> Result<()>) -> Result<()> {
        match self {
            Image::Together(id, value) => {
                let (descriptor, payload) = split_record(id, value)?;
                sink(descriptor, payload)
            }
            Image::Apart(descriptor, found) => found.push(|payload| sink(descriptor, payload)),
        }
    }
}

/// Finds an image; `describe` looks its descriptor up where it stands alone. `is_given` says whether an id whose
/// payload is there has been given away: an append that is under way, or was broken off, has put payloads of later
/// ones.
pub(super) fn image<'t>(
    tables: &'t Tables,
    txn: &'t RoTxn<'t>,
    payloads: &mut Lookup<'t>,
    id: Id,
    is_given: impl FnOnce() -> Result<bool>,
    describe: impl FnOnce() -> Result<Option<Descriptor>>,
) -> Result<Option<Image<'t>>> {
    let value = payloads.get(id).map_err(|error| cannot_read(id, error))?;
    if let Some(value) = value.filter(|value| has_record(value.len() as u64)) {
        return Ok(is_given()?.then_some(Image::Together(id, value)));
    }
    let Some(descriptor) = describe()? else { return Ok(None) };
    let length = descriptor.payload_length;
    let whole = Pieces::new(&tables.payload, txn, id, length, value)?;
    Ok(Some(Image::Apart(descriptor, whole.find(0..length)?)))
}

/// Finds the payload of an image; `None` where there is no such image. `is_given` as for [`image()`].
pub(super) fn payload<'t>(
    tables: &'t Tables,
    txn: &'t RoTxn<'t>,
    payloads: &mut Lookup<'t>,
    id: Id,
    is_given: impl FnOnce() -> Result<bool>,
) -> Result<Option<Pieces<'t>>> {
    let value = payloads.get(id).map_err(|error| cannot_read(id, error))?;
    let length = match value {
        Some(_) if !is_given()? => None,
        Some(value) if value.len() < *WITH_RECORD.start() as usize => Some(value.len() as u64),
        _ => descriptor(tables, txn, id)?.map(|descriptor| descriptor.payload_length),
    };
    length.map(|length| Pieces::new(&tables.payload, txn, id, length, value)).transpose()
}

/// An image's descriptor.
pub(super) fn descriptor(tables: &Tables, txn: &RoTxn<'_>, id: Id) -> Result<Option<Descriptor>> {
    let record = tables.descriptor.get(txn, &id.to_be_bytes()).map_err(|error| cannot_read(id, error))?;
    record.map(|record| record::decode(id, record)).transpose()
}

/// A payload, in as many pieces as it has.
#[derive(Clone, Copy)]
pub(super) struct Pieces<'t> {
    table: &'t Table,
    txn: &'t RoTxn<'t>,
    id: Id,
    length: u64,
    first: &'t [u8],
}

impl<'t> Pieces<'t> {
    /// The payload of `length` bytes whose first piece is at the beginning of `value`.
    fn new(table: &'t Table, txn: &'t RoTxn<'t>, id: Id, length: u64, value: Option<&'t [u8]>) -> Result<Self> {
        let value =
            value.ok_or_else(|| Error::corrupt(format!("its payload of {length} bytes is missing")).at_id(id))?;
        // Before it may be its record; a value that is too short is found by who reads it.
        let before = if has_record(length) { value.len().saturating_sub(length as usize) } else { 0 };
        let first = &value[before..];
        Ok(Pieces { table, txn, id, length, first })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn find(self, range: Range<u64>) -> Result<Found<'t>> {
        if range.is_empty() {
            return Ok(Found::Lent(&[]));
        }
        let numbers = Self::numbers(&range);
        // Looked at even where there are more, so that a length that is not true asks for no memory.
        let first = self.part(numbers.start, &range)?;
        if numbers.end - numbers.start == 1 {
            return Ok(Found::Lent(first));
        }
        Ok(Found::Spread(self, range))
    }

    /// The pieces that `range`, which is not empty, lies in.
    fn numbers(range: &Range<u64>) -> Range<u64> {
        range.start / PIECE as u64..(range.end - 1) / PIECE as u64 + 1
    }

    /// The bytes of `range`, gathered.
    fn gather(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let length = range.end - range.start;
        usize::try_from(length)
            .ok()
            .and_then(|length| bytes.try_reserve_exact(length).ok())
            .ok_or_else(|| Error::invalid(format!("{length} bytes do not fit in memory")).at_id(self.id))?;
        for number in Self::numbers(&range) {
            let part = self.part(number, &range)?;
            will_need(&mut [part]);
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }

    /// What of `range` lies in the piece of that number.
    fn part(&self, number: u64, range: &Range<u64>) -> Result<&'t [u8]> {
        let offset = number * PIECE as u64;
        let expected = (self.length - offset).min(PIECE as u64);
        let piece = match u32::try_from(number) {
            Ok(0) => Some(self.first),
            Ok(number) => self
                .table
                .get(self.txn, Key::new(self.id, number).as_bytes())
                .map_err(|error| cannot_read(self.id, error))?,
            Err(_) => None,
        };
        match piece {
            Some(piece) if piece.len() as u64 == expected => {
                let start = range.start.saturating_sub(offset);
                let end = (range.end - offset).min(expected);
                Ok(&piece[start as usize..end as usize])
            }
            found => Err(Error::corrupt(format!(
                "piece {number} of its payload has {} bytes instead of {expected}",
                found.map_or(0, <[u8]>::len)
            ))
            .at_id(self.id)),
        }
    }
}

fn cannot_read(id: Id, error: heed::Error) -> Error {
    failed("cannot read it", error).at_id(id)
}
