//! Payloads in the database `payload`: one value each, or several where they are long.
//!
//! A payload up to [`PIECE`] bytes is the value of its id. A longer one is cut into pieces of that length, the last one
//! shorter: the first is the value of the id, the others of the id and the piece's number. LMDB keeps a value in
//! neighbouring pages and makes them in memory first; pieces bound both.

use std::ops::Range;

use heed::{RoTxn, RwTxn};

use super::lookup::{Lookup, will_need};
use super::open::{Tables, failed};
use super::table::Table;
use crate::backend::ReadRequest;
use crate::descriptor::{Descriptor, Id, record};
use crate::error::{Error, Result};

/// Bytes of a piece of a payload; the last one has fewer.
pub(super) const PIECE: usize = 16 << 20;

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

/// Finds the whole payload of an image.
pub(super) fn whole<'t>(
    tables: &'t Tables,
    txn: &'t RoTxn<'t>,
    payloads: &mut Lookup<'t>,
    descriptor: &Descriptor,
) -> Result<Found<'t>> {
    let (id, length) = (descriptor.id, descriptor.payload_length);
    let first = payloads.get(id).map_err(|error| cannot_read(id, error))?.ok_or_else(|| missing(id, length))?;
    Pieces { table: &tables.payload, txn, id, length, first }.find(0..length)
}

/// Finds the bytes that `request` asks for; `None` where there is no such image. `is_given` says whether an id whose
/// payload is there has been given away: an append that is under way, or was broken off, has put payloads of later ones.
pub(super) fn find<'t>(
    tables: &'t Tables,
    txn: &'t RoTxn<'t>,
    payloads: &mut Lookup<'t>,
    request: &ReadRequest,
    is_given: impl FnOnce(Id) -> Result<bool>,
) -> Result<Option<Found<'t>>> {
    let id = request.id;
    match payloads.get(id).map_err(|error| cannot_read(id, error))? {
        Some(_) if !is_given(id)? => Ok(None),
        Some(whole) if whole.len() < PIECE => {
            let range = request.range_in(whole.len() as u64)?;
            Ok(Some(Found::Lent(&whole[range.start as usize..range.end as usize])))
        }
        Some(first) => {
            let Some(length) = length(tables, txn, id)? else { return Ok(None) };
            let range = request.range_in(length)?;
            Pieces { table: &tables.payload, txn, id, length, first }.find(range).map(Some)
        }
        None => match length(tables, txn, id)? {
            Some(length) => Err(missing(id, length)),
            None => Ok(None),
        },
    }
}

fn missing(id: Id, length: u64) -> Error {
    Error::corrupt(format!("its payload of {length} bytes is missing")).at_id(id)
}

/// The length of an image's payload, as its descriptor says.
fn length(tables: &Tables, txn: &RoTxn<'_>, id: Id) -> Result<Option<u64>> {
    Ok(descriptor(tables, txn, id)?.map(|descriptor| descriptor.payload_length))
}

/// An image's descriptor.
pub(super) fn descriptor(tables: &Tables, txn: &RoTxn<'_>, id: Id) -> Result<Option<Descriptor>> {
    let record = tables.descriptor.get(txn, &id.to_be_bytes()).map_err(|error| cannot_read(id, error))?;
    record.map(|record| record::decode(id, record)).transpose()
}

/// A payload in pieces.
pub(super) struct Pieces<'t> {
    table: &'t Table,
    txn: &'t RoTxn<'t>,
    id: Id,
    length: u64,
    first: &'t [u8],
}

impl<'t> Pieces<'t> {
    fn find(self, range: Range<u64>) -> Result<Found<'t>> {
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

/// Removes an image in all that it has; says whether it was there.
pub(super) fn remove(tables: &Tables, txn: &mut RwTxn<'_>, descriptor: &Descriptor) -> Result<bool> {
    let id = descriptor.id;
    let cannot = |error| failed("cannot remove it", error).at_id(id);
    if !tables.descriptor.delete(txn, &id.to_be_bytes()).map_err(cannot)? {
        return Ok(false); // it was named twice
    }
    if let Some(name) = &descriptor.name {
        tables.name.delete(txn, name.as_bytes()).map_err(cannot)?;
    }
    let pieces = descriptor.payload_length.div_ceil(PIECE as u64).max(1);
    for number in 0..u32::try_from(pieces).unwrap_or(u32::MAX) {
        // A damaged descriptor may count any number of pieces that are not there.
        if !tables.payload.delete(txn, Key::new(id, number).as_bytes()).map_err(cannot)? {
            break;
        }
    }
    Ok(true)
}
