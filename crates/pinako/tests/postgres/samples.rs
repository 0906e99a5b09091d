//! Images to store, and whether they are there.

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{self, Mode};
use pinako::conformance::pattern;
use pinako::{
    Attributes, Descriptor, Durability, Encoding, Error, ErrorKind, Id, ImageFormat, Result, SampleType, Shape,
};

pub type Stored = (Descriptor, Vec<u8>);

/// Bytes of a piece; see FORMAT.md.
pub const PIECE: usize = 1 << 20;

pub fn open(url: &str, mode: Mode) -> Result<Box<dyn Backend>> {
    backends::open(url, mode, Durability::Full)
}

pub fn image(id: Id, length: usize) -> Stored {
    let payload = pattern(id, 0, length);
    let descriptor = Descriptor {
        id,
        name: Some(format!("image {id}")),
        shape: Shape::new(4, 5, 3).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Kept(ImageFormat::Jpeg),
        label: Some(id as i64),
        attributes: Some(Attributes::parse(r#"{"a":"\u0000"}"#).unwrap()),
        payload_length: length as u64,
        checksum: crc32c::crc32c(&payload),
    };
    (descriptor, payload)
}

pub fn append(store: &dyn Backend, images: &[Stored]) -> Result<std::ops::Range<Id>> {
    let entry = |(descriptor, payload): &'_ Stored| (Descriptor { id: 0, ..descriptor.clone() }, payload.clone());
    let copies: Vec<Stored> = images.iter().map(entry).collect();
    let entries = copies
        .iter()
        .map(|(descriptor, payload)| Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) });
    store.append(&mut entries.collect::<Vec<_>>())
}

#[track_caller]
pub fn assert_kind<T>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

/// Asserts that the message and the hint have these words, and that no secret is in any of it.
#[track_caller]
pub fn assert_says(error: &Error, message: &str, hint: &str) {
    assert!(error.to_string().contains(message), "{error:?}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
