//! The database `store`: what holds for the store as a whole.
//!
//! ```text
//! key            value
//! format         the text pinako
//! version        the format version as decimal text
//! label_names    a JSON array of strings
//! next_id        8 bytes, big endian
//! payload_bytes  8 bytes, big endian: the sum of all payload lengths
//! ```
//!
//! The last three end with a checksum of key and value: 4 bytes, little endian. The others can have no value but one.

use heed::types::Bytes;
use heed::{Database, RoTxn, RwTxn};

use super::open::failed;
use super::table::Table;
use crate::backends::{FORMAT_VERSION, other_format};
use crate::checksum;
use crate::descriptor::Id;
use crate::error::{Error, Result};

const FORMAT: &[u8] = b"format";
const FORMAT_NAME: &[u8] = b"pinako";
const VERSION: &[u8] = b"version";
/// As text.
const LONGEST_VERSION: usize = 10;
const LABEL_NAMES: &[u8] = b"label_names";
const NEXT_ID: &[u8] = b"next_id";
const PAYLOAD_BYTES: &[u8] = b"payload_bytes";

/// Writes the properties of a store without images.
pub(super) fn write_new(table: &Database<'_, Bytes, Bytes>, txn: &mut RwTxn<'_>) -> heed::Result<()> {
    table.put(txn, FORMAT, FORMAT_NAME)?;
    table.put(txn, VERSION, FORMAT_VERSION.to_string().as_bytes())?;
    table.put(txn, LABEL_NAMES, &summed(LABEL_NAMES, b"[]"))?;
    for key in [NEXT_ID, PAYLOAD_BYTES] {
        table.put(txn, key, &summed(key, &0u64.to_be_bytes()))?;
    }
    Ok(())
}

/// Whether this is the table of a Pinako store.
///
/// # Errors
/// `Unsupported` where it is that of a newer version.
pub(super) fn check_format(table: &Database<'_, Bytes, Bytes>, txn: &RoTxn<'_>) -> Result<bool> {
    let get = |key| table.get(txn, key).map_err(|error| failed("cannot read the store's properties", error));
    if get(FORMAT)? != Some(FORMAT_NAME) {
        return Ok(false);
    }
    let version = get(VERSION)?.filter(|version| version.len() <= LONGEST_VERSION).unwrap_or_default();
    match parse_version(version) {
        Some(FORMAT_VERSION) => Ok(true),
        Some(found) if found > FORMAT_VERSION => Err(other_format(found)),
        _ => Err(Error::corrupt(format!("the store's format version is {:?}", String::from_utf8_lossy(version)))),
    }
}

/// The value that every store has.
pub(super) fn format<'t>(table: &Database<'_, Bytes, Bytes>, txn: &'t RoTxn<'_>) -> Result<&'t [u8]> {
    let found = table.get(txn, FORMAT).map_err(|error| failed("cannot read the store's properties", error))?;
    found.ok_or_else(|| Error::corrupt("the store's format is missing"))
}

fn parse_version(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn next_id(table: &Table, txn: &RoTxn<'_>) -> Result<Id> {
    number(table, txn, NEXT_ID)
}

pub(super) fn payload_bytes(table: &Table, txn: &RoTxn<'_>) -> Result<u64> {
    number(table, txn, PAYLOAD_BYTES)
}

pub(super) fn label_names(table: &Table, txn: &RoTxn<'_>) -> Result<Vec<String>> {
    let text = get(table, txn, LABEL_NAMES)?;
    serde_json::from_slice(text)
        .map_err(|error| Error::corrupt("the store's label names are not a JSON array of strings").with_source(error))
}

pub(super) fn set_next_id(table: &Table, txn: &mut RwTxn<'_>, id: Id) -> Result<()> {
    put(table, txn, NEXT_ID, &id.to_be_bytes())
}

pub(super) fn set_payload_bytes(table: &Table, txn: &mut RwTxn<'_>, bytes: u64) -> Result<()> {
    put(table, txn, PAYLOAD_BYTES, &bytes.to_be_bytes())
}

/// The names as they stand in the table.
pub(super) fn label_names_text(names: &[String]) -> Result<Vec<u8>> {
    serde_json::to_vec(names).map_err(|error| Error::invalid("the label names have no JSON form").with_source(error))
}

pub(super) fn set_label_names(table: &Table, txn: &mut RwTxn<'_>, text: &[u8]) -> Result<()> {
    put(table, txn, LABEL_NAMES, text)
}

fn get<'t>(table: &Table, txn: &'t RoTxn<'_>, key: &[u8]) -> Result<&'t [u8]> {
    let unsound = |how: &str| Error::corrupt(format!("the store's {:?} {how}", String::from_utf8_lossy(key)));
    let found = table.get(txn, key).map_err(|error| failed("cannot read the store's properties", error))?;
    let found = found.ok_or_else(|| unsound("is missing"))?;
    match found.split_last_chunk() {
        Some((value, sum)) if checksum::of_keyed(key, value) == u32::from_le_bytes(*sum) => Ok(value),
        _ => Err(unsound("does not have the checksum it should")),
    }
}

/// A value as it stands in the table, with its checksum.
fn summed(key: &[u8], value: &[u8]) -> Vec<u8> {
    [value, &checksum::of_keyed(key, value).to_le_bytes()].concat()
}

fn number(table: &Table, txn: &RoTxn<'_>, key: &[u8]) -> Result<u64> {
    let bytes = get(table, txn, key)?;
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| {
        let key = String::from_utf8_lossy(key);
        Error::corrupt(format!("the store's {key:?} has {} bytes instead of 8", bytes.len()))
    })
}

fn put(table: &Table, txn: &mut RwTxn<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    table.put(txn, key, &summed(key, value)).map_err(|error| failed("cannot write the store's properties", error))
}
