//! A descriptor as bytes, for backends that keep it as one value.
//!
//! Little endian throughout. The fixed part comes first so that a reader in any language can unpack it with one
//! call (Python: `struct.unpack_from("<BBBBIIIHHQqII", record)`):
//!
//! ```text
//! offset  bytes
//!      0  1      record version, 1
//!      1  1      sample type: 0 u8, 1 u16, 2 u32, 3 i16, 4 f32, 5 f64
//!      2  1      encoding: 0 raw, 1 png, 2 kept, 3 linked
//!      3  1      raw: layout (0 row, 1 to 9 hilbert with blocks of 1, 2, 4, ... 256); kept, linked: format (0 jpeg, 1 png, 2 webp, 3 tiff, 4 bmp, 5 gif, 6 qoi, 7 pnm)
//!      4  4      checksum, CRC32C of the payload
//!      8  4      height
//!     12  4      width
//!     16  2      channels
//!     18  2      flags: 1 has a label, 2 has a name, 4 has attributes
//!     20  8      payload length
//!     28  8      label, 0 where there is none
//!     36  4      bytes of the name, 0 where there is none
//!     40  4      bytes of the attributes, 0 where there are none
//!     44  12     only where linked: 8 length and 4 CRC32C of the linked file
//!      .         name (UTF-8), attributes (JSON text)
//!      .  4      CRC32C of the id (8 bytes, big endian) and, after it, of all bytes of the record before these 4
//! ```
//!
//! The id is not in the record, for it is the record's key. But it is in the sum: a record that was damaged, or that
//! stands under another id than the one it was made for, is found out.

use super::{Attributes, BlockSide, Descriptor, Encoding, Id, ImageFormat, Layout, Link, check_name};
use crate::checksum;
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

const VERSION: u8 = 1;
const FIXED: usize = 44;
const SUM: usize = 4;
const HAS_LABEL: u16 = 1;
const HAS_NAME: u16 = 2;
const HAS_ATTRIBUTES: u16 = 4;

/// Appends the record of `descriptor` to `out`, to be kept under `id`, which counts instead of the descriptor's own.
pub fn encode(id: Id, descriptor: &Descriptor, out: &mut Vec<u8>) {
    let start = out.len();
    encode_parts(descriptor, out);
    let sum = sum(id, &out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// What the record of `descriptor` would end with, for backends that keep its parts in columns of their own.
pub(crate) fn checksum(id: Id, descriptor: &Descriptor) -> u32 {
    let mut record = Vec::with_capacity(2 * FIXED);
    encode_parts(descriptor, &mut record);
    sum(id, &record)
}

fn encode_parts(descriptor: &Descriptor, out: &mut Vec<u8>) {
    let (encoding, detail) = match descriptor.encoding {
        Encoding::Raw(Layout::Row) => (0, 0),
        Encoding::Raw(Layout::Hilbert(block)) => (0, 1 + block.side().trailing_zeros() as u8),
        Encoding::Png => (1, 0),
        Encoding::Kept(format) => (2, format_code(format)),
        Encoding::Linked(link) => (3, format_code(link.format)),
    };
    let sample = SampleType::ALL.iter().position(|&sample| sample == descriptor.sample_type).expect("one of all");
    let name = descriptor.name.as_deref();
    let attributes = descriptor.attributes.as_ref().map(Attributes::as_str);
    let flag = |set: bool, flag: u16| if set { flag } else { 0 };
    let flags = flag(descriptor.label.is_some(), HAS_LABEL)
        | flag(name.is_some(), HAS_NAME)
        | flag(attributes.is_some(), HAS_ATTRIBUTES);

    out.extend_from_slice(&[VERSION, sample as u8, encoding, detail]);
    out.extend_from_slice(&descriptor.checksum.to_le_bytes());
    out.extend_from_slice(&descriptor.shape.height().to_le_bytes());
    out.extend_from_slice(&descriptor.shape.width().to_le_bytes());
    out.extend_from_slice(&descriptor.shape.channels().to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&descriptor.payload_length.to_le_bytes());
    out.extend_from_slice(&descriptor.label.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&(name.map_or(0, str::len) as u32).to_le_bytes());
    out.extend_from_slice(&(attributes.map_or(0, str::len) as u32).to_le_bytes());
    if let Encoding::Linked(link) = descriptor.encoding {
        out.extend_from_slice(&link.length.to_le_bytes());
        out.extend_from_slice(&link.checksum.to_le_bytes());
    }
    out.extend_from_slice(name.unwrap_or_default().as_bytes());
    out.extend_from_slice(attributes.unwrap_or_default().as_bytes());
}

fn sum(id: Id, record: &[u8]) -> u32 {
    checksum::of_keyed(&id.to_be_bytes(), record)
}

/// The descriptor that `record`, which was kept under `id`, holds.
///
/// # Errors
/// `Corrupt` where the bytes are no record of that id, `Unsupported` where they have a newer version, layout or format.
pub fn decode(id: Id, record: &[u8]) -> Result<Descriptor> {
    decode_parts(id, record).map_err(|error| error.at_id(id))
}

fn decode_parts(id: Id, record: &[u8]) -> Result<Descriptor> {
    let parts = record.split_last_chunk::<SUM>();
    let Some((fixed, rest, expected)) = parts.and_then(|(summed, expected)| {
        let (fixed, rest) = summed.split_first_chunk::<FIXED>()?;
        Some((fixed, rest, u32::from_le_bytes(*expected)))
    }) else {
        let least = FIXED + SUM;
        return Err(Error::corrupt(format!("its descriptor has {} bytes, not at least {least}", record.len())));
    };
    if fixed[0] != VERSION {
        return Err(Error::unsupported(format!("its descriptor has version {}, not {VERSION}", fixed[0]))
            .with_hint("a newer version of Pinako may have written it"));
    }
    let found = sum(id, &record[..record.len() - SUM]);
    if found != expected {
        return Err(damaged(expected, found));
    }
    let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("4 bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("8 bytes"));

    let sample_type = *SampleType::ALL
        .get(usize::from(fixed[1]))
        .ok_or_else(|| Error::unsupported(format!("its sample type has the unknown code {}", fixed[1])))?;
    let format = || {
        ImageFormat::ALL
            .get(usize::from(fixed[3]))
            .copied()
            .ok_or_else(|| Error::unsupported(format!("its file format has the unknown code {}", fixed[3])))
    };
    let mut rest = rest;
    let encoding = match (fixed[2], fixed[3]) {
        (0, 0) => Encoding::Raw(Layout::Row),
        (0, log @ 1..=9) => Encoding::Raw(Layout::Hilbert(BlockSide::new(1 << (log - 1)).ok_or_else(cut)?)),
        (1, 0) => Encoding::Png,
        (2, _) => Encoding::Kept(format()?),
        (3, _) => {
            let Some((length, after)) = rest.split_first_chunk::<8>() else { return Err(cut()) };
            let Some((checksum, after)) = after.split_first_chunk::<4>() else { return Err(cut()) };
            rest = after;
            Encoding::Linked(Link {
                format: format()?,
                length: u64::from_le_bytes(*length),
                checksum: u32::from_le_bytes(*checksum),
            })
        }
        (encoding, detail) => {
            return Err(Error::unsupported(format!("its encoding has the unknown code {encoding}/{detail}"))
                .with_hint("a newer version of Pinako may have written it"));
        }
    };
    let shape = Shape::new(u32_at(8), u32_at(12), u16_at(16))
        .map_err(|error| Error::corrupt("its descriptor has an impossible shape").with_source(error))?;
    let flags = u16_at(18);
    let (name_length, attributes_length) = (u32_at(36) as usize, u32_at(40) as usize);
    if Some(rest.len()) != name_length.checked_add(attributes_length) {
        return Err(cut());
    }
    let (name, attributes) = rest.split_at(name_length);
    Ok(Descriptor {
        id,
        name: if flags & HAS_NAME == 0 { None } else { Some(name_of(name)?) },
        shape,
        sample_type,
        encoding,
        label: (flags & HAS_LABEL != 0).then_some(u64_at(28) as i64),
        attributes: if flags & HAS_ATTRIBUTES == 0 { None } else { Some(attributes_of(attributes)?) },
        payload_length: u64_at(20),
        checksum: u32_at(4),
    })
}

/// Checks the sum that stands beside the columns of `descriptor`, kept under `id`.
///
/// # Errors
/// `Corrupt` where it is another.
pub(crate) fn check(id: Id, descriptor: &Descriptor, expected: u32) -> Result<()> {
    match checksum(id, descriptor) {
        found if found == expected => Ok(()),
        found => Err(damaged(expected, found)),
    }
}

fn damaged(expected: u32, found: u32) -> Error {
    Error::corrupt(format!("its descriptor has the checksum {found:08x} instead of {expected:08x}"))
}

fn format_code(format: ImageFormat) -> u8 {
    ImageFormat::ALL.iter().position(|&other| other == format).expect("one of all") as u8
}

fn cut() -> Error {
    Error::corrupt("its descriptor's length does not agree with what it says of itself")
}

fn name_of(bytes: &[u8]) -> Result<String> {
    let name =
        std::str::from_utf8(bytes).map_err(|error| Error::corrupt("its name is not UTF-8").with_source(error))?;
    check_name(name).map_err(|error| Error::corrupt("its name is not sound").with_source(error))?;
    Ok(name.to_owned())
}

fn attributes_of(bytes: &[u8]) -> Result<Attributes> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::corrupt("its attributes are not UTF-8").with_source(error))
        .and_then(|text| {
            Attributes::parse(text)
                .map_err(|error| Error::corrupt("its attributes are not a JSON object").with_source(error))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Descriptor> {
        let plain = Descriptor {
            id: 5,
            name: None,
            shape: Shape::new(32, 31, 3).unwrap(),
            sample_type: SampleType::U8,
            encoding: Encoding::Raw(Layout::Row),
            label: None,
            attributes: None,
            payload_length: 2976,
            checksum: 0xdead_beef,
        };
        let link = Link { format: ImageFormat::WebP, length: 1 << 40, checksum: 7 };
        vec![
            plain.clone(),
            Descriptor { encoding: Encoding::Png, label: Some(-3), sample_type: SampleType::F64, ..plain.clone() },
            Descriptor {
                name: Some("katze/ä".into()),
                attributes: Some(Attributes::parse(r#"{"x":1}"#).unwrap()),
                encoding: Encoding::Linked(link),
                label: Some(i64::MAX),
                ..plain.clone()
            },
            Descriptor { encoding: Encoding::Kept(ImageFormat::Pnm), name: Some("n".into()), ..plain },
        ]
    }

    fn record(descriptor: &Descriptor) -> Vec<u8> {
        let mut record = Vec::new();
        encode(descriptor.id, descriptor, &mut record);
        record
    }

    #[test]
    fn a_record_gives_back_its_descriptor() {
        for descriptor in examples() {
            assert_eq!(decode(5, &record(&descriptor)).unwrap(), descriptor);
        }
    }

    #[test]
    fn a_record_that_was_cut_has_a_bit_flipped_or_is_of_another_id_is_an_error() {
        for descriptor in examples() {
            let record = record(&descriptor);
            for length in 0..record.len() {
                assert!(decode(5, &record[..length]).is_err(), "cut at {length}");
            }
            for bit in 0..record.len() * 8 {
                let mut flipped = record.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(5, &flipped).is_err(), "bit {bit}");
            }
            assert!(decode(6, &record).is_err());
        }
    }

    #[test]
    fn a_record_that_lies_under_a_true_checksum_is_never_a_panic() {
        for descriptor in examples() {
            let record = record(&descriptor);
            for bit in 0..(record.len() - SUM) * 8 {
                let mut lie = record[..record.len() - SUM].to_vec();
                lie[bit / 8] ^= 1 << (bit % 8);
                lie.extend_from_slice(&sum(5, &lie).to_le_bytes());
                let _ = decode(5, &lie);
            }
        }
    }
}
