//! A sealed line: a JSON object whose last field is a checksum of what stands before it.
//!
//! ```text
//! {"next_id":10, ... ,"crc32c":"0a1b2c3d"}\n
//! \_______body______/
//! ```
//!
//! `crc32c` is the CRC32C of the body's bytes, as eight hexadecimal digits. Any JSON parser reads the line, and one
//! that was torn by a crash or damaged on the disk is known from one that was not. All that is kept as text is kept so.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, other_format};
use crate::checksum;
use crate::error::{Error, Result};

pub(crate) const KEY: &str = "crc32c";
const BEFORE_SUM: &[u8] = b",\"crc32c\":\"";
const DIGITS: usize = 8;
const AFTER_SUM: &[u8] = b"\"}";
const SEAL: usize = BEFORE_SUM.len() + DIGITS + AFTER_SUM.len();

/// What says of a store's text whether the rest can be understood.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Which backend wrote it.
    pub(crate) pinako: String,
    pub(crate) format_version: u32,
}

impl Header {
    /// That of a new store of `kind`.
    pub(crate) fn new(kind: &str) -> Self {
        Header { pinako: kind.to_owned(), format_version: FORMAT_VERSION }
    }

    /// Checks that this version can read a text of `kind` with this header.
    ///
    /// # Errors
    /// `Unsupported` where another version wrote it, `Corrupt` where another backend did.
    pub(crate) fn check(&self, kind: &str) -> Result<()> {
        if self.pinako != kind {
            return Err(Error::corrupt(format!("it is of a store of the kind {:?}, not {kind:?}", self.pinako)));
        }
        if self.format_version != FORMAT_VERSION {
            return Err(other_format(self.format_version));
        }
        Ok(())
    }
}

/// Appends the line of `value`, which has at least one field, to `out`, with its line feed.
///
/// # Errors
/// `InvalidInput` where it has no JSON form.
pub(crate) fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value)
        .map_err(|error| Error::invalid("what is to be stored has no JSON form").with_source(error))?;
    out.pop();
    let sum = digits(&out[start..]);
    for bytes in [BEFORE_SUM, &sum, AFTER_SUM, b"\n"] {
        out.extend_from_slice(bytes);
    }
    Ok(())
}

/// The value of a line.
///
/// # Errors
/// `Corrupt` where it is not what [`write()`] made.
pub(crate) fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    let object = [check(line)?, b"}"].concat();
    serde_json::from_slice(&object).map_err(|error| {
        Error::corrupt("a line is sound, but not of a form that this version knows").with_source(error)
    })
}

/// The body of a line, with or without its line feed, if its checksum is right.
///
/// # Errors
/// `Corrupt` where it is not.
pub(crate) fn check(line: &[u8]) -> Result<&[u8]> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let parts = line.len().checked_sub(SEAL).and_then(|body| line.split_at_checked(body));
    let Some((body, said)) = parts.and_then(|(body, seal)| {
        let said = seal.strip_prefix(BEFORE_SUM)?.strip_suffix(AFTER_SUM)?;
        Some((body, said))
    }) else {
        return Err(Error::corrupt(format!("a line does not end with its checksum, \"{KEY}\"")).with_hint(RESTORE));
    };
    let found = digits(body);
    if said != found {
        let (said, found) = (String::from_utf8_lossy(said), String::from_utf8_lossy(&found));
        return Err(Error::corrupt(format!("a line says that its checksum is {said}, but it is {found}"))
            .with_hint(format!("{RESTORE}; after a change by hand, put {found} there")));
    }
    Ok(body)
}

const RESTORE: &str = "the file was damaged or changed: restore it from a copy";

/// The checksum of `body` as it stands in a line.
fn digits(body: &[u8]) -> [u8; DIGITS] {
    let sum = checksum::crc32c(body);
    std::array::from_fn(|place| b"0123456789abcdef"[(sum >> (28 - 4 * place) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_line_is_found_out() {
        let mut line = b"before\n".to_vec();
        write(&serde_json::json!({"a": [1, 2], "b": "x"}), &mut line).unwrap();
        let line = line.strip_prefix(b"before\n").unwrap();
        assert_eq!(line, b"{\"a\":[1,2],\"b\":\"x\",\"crc32c\":\"4cdb35e6\"}\n");
        let value: serde_json::Value = read(line).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, 2], "b": "x"}));
        for length in 0..line.len() - 1 {
            assert!(read::<serde_json::Value>(&line[..length]).is_err(), "cut at {length}");
        }
        for bit in 0..line.len() * 8 {
            let mut flipped = line.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read::<serde_json::Value>(&flipped).is_err(), "bit {bit}");
        }
    }
}
