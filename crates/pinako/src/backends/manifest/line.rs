//! One line of a manifest log: a JSON object whose last field is a checksum of what stands before it.
//!
//! ```text
//! {"next_id":10, ... ,"crc32c":"0a1b2c3d"}\n
//! \_______body______/
//! ```
//!
//! `crc32c` is the CRC32C of the body's bytes, as eight hexadecimal digits: any JSON parser reads the line, and a line
//! that was torn by a crash is known from one that was not.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum;
use crate::error::{Error, Result};

const KEY: &str = ",\"crc32c\":\"";
const SEAL: usize = KEY.len() + 8 + 2;

/// The line of `value`, which has at least one field, with its line feed.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)
        .map_err(|error| Error::invalid("what is to be committed has no JSON form").with_source(error))?;
    line.pop();
    let checksum = checksum::crc32c(&line);
    line.extend_from_slice(format!("{KEY}{checksum:08x}\"}}\n").as_bytes());
    Ok(line)
}

/// The value of a line, which comes without its line feed.
///
/// # Errors
/// `Corrupt` where it is not what [`encode`] made.
pub(crate) fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    let body = check(line).ok_or_else(|| Error::corrupt("a line does not have the checksum it should"))?;
    let object = [body, b"}"].concat();
    serde_json::from_slice(&object).map_err(|error| {
        Error::corrupt("a line is sound, but not of a form that this version knows").with_source(error)
    })
}

/// The body of a line, if its checksum is right.
fn check(line: &[u8]) -> Option<&[u8]> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
    let expected = format!("{KEY}{:08x}\"}}", checksum::crc32c(body));
    (seal == expected.as_bytes()).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_line_is_found_out() {
        let line = encode(&serde_json::json!({"a": [1, 2], "b": "x"})).unwrap();
        let line = line.strip_suffix(b"\n").unwrap();
        let value: serde_json::Value = decode(line).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, 2], "b": "x"}));
        let whole: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert!(whole["crc32c"].is_string());
        for length in 0..line.len() {
            assert!(decode::<serde_json::Value>(&line[..length]).is_err(), "cut at {length}");
        }
        for bit in 0..line.len() * 8 {
            let mut flipped = line.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<serde_json::Value>(&flipped).is_err(), "bit {bit}");
        }
    }
}
