//! What the cases store, and the check that a store holds it.

use std::io::Read;
use std::ops::{ControlFlow, Range};

use crate::backend::{Backend, Entry, Payload, ReadRequest};
use crate::checksum;
use crate::descriptor::{Descriptor, Encoding, Id, ImageFormat, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};

/// `length` bytes from `offset` on of an endless sequence that differs for each `seed` (SplitMix64, eight bytes a
/// step), so that any range of a payload can be told without the rest.
pub fn pattern(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 16);
    let mut step = offset / 8;
    while bytes.len() < length + 8 {
        let mut word = seed.wrapping_mul(0xd1b5_4a32_d192_ed03).wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        step += 1;
    }
    bytes.drain(..(offset % 8) as usize);
    bytes.truncate(length);
    bytes
}

/// A reader of the first `length` bytes of a [`pattern`], which is never in memory as a whole.
pub fn pattern_reader(seed: u64, length: u64) -> impl Read + Send {
    PatternReader { seed, offset: 0, length }
}

struct PatternReader {
    seed: u64,
    offset: u64,
    length: u64,
}

impl Read for PatternReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        // An odd piece, so that no backend can rely on being given what it asked for.
        let count = (out.len() as u64).min(self.length - self.offset).min(99_991) as usize;
        out[..count].copy_from_slice(&pattern(self.seed, self.offset, count));
        self.offset += count as u64;
        Ok(count)
    }
}

/// An image as it must come back.
pub(super) type Stored = (Descriptor, Vec<u8>);

/// A descriptor for a payload that is an opaque file to every backend.
pub(super) fn opaque(payload: &[u8]) -> Descriptor {
    Descriptor {
        id: 0,
        name: None,
        shape: Shape::new(3, 5, 3).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Kept(ImageFormat::Jpeg),
        label: None,
        attributes: None,
        payload_length: payload.len() as u64,
        checksum: checksum::crc32c(payload),
    }
}

/// The same, of an image that has a name.
pub(super) fn named(name: &str, payload: &[u8]) -> Descriptor {
    Descriptor { name: Some(name.to_owned()), ..opaque(payload) }
}

/// An image of that shape and sample type, stored raw.
pub(super) fn raw(seed: u64, shape: Shape, sample_type: SampleType) -> Stored {
    let payload = pattern(seed, 0, shape.byte_length(sample_type) as usize);
    (Descriptor { shape, sample_type, encoding: Encoding::Raw(Layout::Row), ..opaque(&payload) }, payload)
}

/// `count` small images with labels, some with names, of different lengths.
pub(super) fn small(seeds: Range<u64>) -> Vec<Stored> {
    seeds
        .map(|seed| {
            let payload = pattern(seed, 0, 1 + (seed * 37 % 200) as usize);
            let name = (seed % 3 == 0).then(|| format!("small {seed}"));
            (Descriptor { name, label: Some(seed as i64), ..opaque(&payload) }, payload)
        })
        .collect()
}

/// The entries of `images`, each with all of its bytes.
pub(super) fn entries(images: &[Stored]) -> Vec<Entry<'_>> {
    images
        .iter()
        .map(|(descriptor, payload)| Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) })
        .collect()
}

/// Appends `images` as one batch and writes the ids that they got into them.
#[track_caller]
pub(super) fn append(store: &dyn Backend, images: &mut [Stored]) -> Range<Id> {
    let ids = store.append(&mut entries(images)).expect("the batch is sound");
    assert_eq!(ids.end - ids.start, images.len() as u64, "an id for each image");
    for (id, (descriptor, _)) in ids.clone().zip(images) {
        descriptor.id = id;
    }
    ids
}

/// The bytes that each of `requests` gives, which are pushed once.
#[track_caller]
pub(super) fn read(store: &dyn Backend, requests: &[ReadRequest]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut pushed = vec![None; requests.len()];
    store.read(requests, &mut |place, bytes| {
        let before = pushed[place].replace(bytes.map(<[u8]>::to_vec));
        assert!(before.is_none(), "request {place} was pushed twice");
        Ok(())
    })?;
    Ok(pushed.into_iter().map(|bytes| bytes.expect("every request is pushed")).collect())
}

/// The images with these ids, which are pushed once.
#[track_caller]
pub(super) fn fetch(store: &dyn Backend, ids: &[Id]) -> Result<Vec<Option<Stored>>> {
    let mut pushed = vec![None; ids.len()];
    store.fetch(ids, &mut |place, image| {
        let image = image.map(|(descriptor, payload)| (descriptor, payload.to_vec()));
        assert!(pushed[place].replace(image).is_none(), "id {place} was pushed twice");
        Ok(())
    })?;
    Ok(pushed.into_iter().map(|image| image.expect("every id is pushed")).collect())
}

/// Asks for the whole payload of an image.
pub(super) fn whole((descriptor, payload): &Stored) -> ReadRequest {
    ReadRequest::new(descriptor.id, 0..payload.len() as u64)
}

/// The descriptors of `ids`, which are pushed once.
#[track_caller]
pub(super) fn describe(store: &dyn Backend, ids: &[Id]) -> Vec<Option<Descriptor>> {
    let mut pushed = vec![None; ids.len()];
    store
        .describe(ids, &mut |place, descriptor| {
            let before = pushed[place].replace(descriptor);
            assert!(before.is_none(), "id {place} was pushed twice");
            Ok(())
        })
        .unwrap();
    pushed.into_iter().map(|descriptor| descriptor.expect("every id is pushed")).collect()
}

/// All descriptors from `first` on.
#[track_caller]
pub(super) fn scan(store: &dyn Backend, first: Id) -> Vec<Descriptor> {
    let mut seen = Vec::new();
    store
        .scan(first, &mut |descriptor| {
            seen.push(descriptor);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    seen
}

/// The id of the image of that name.
pub(super) fn find(store: &dyn Backend, name: &str) -> Option<Id> {
    store.find(&[name]).unwrap()[0]
}

/// Asserts that `store` holds exactly `images`, which are in ascending order of their ids: by every way of asking.
#[track_caller]
pub fn assert_holds(store: &dyn Backend, images: &[(Descriptor, Vec<u8>)]) {
    let ids: Vec<Id> = images.iter().map(|(descriptor, _)| descriptor.id).collect();
    let properties = store.properties().unwrap();
    assert_eq!(properties.count, images.len() as u64, "the count of images");
    assert!(ids.last().is_none_or(|&last| last < properties.next_id), "the next id is beyond all ids");

    let scanned = scan(store, 0);
    assert_eq!(scanned.len(), images.len(), "the images that a scan sees");
    for (scanned, (descriptor, _)) in scanned.iter().zip(images) {
        assert_eq!(scanned, descriptor, "what a scan says");
    }
    for (described, (descriptor, _)) in describe(store, &ids).iter().zip(images) {
        assert_eq!(described.as_ref(), Some(descriptor), "what describe says");
    }
    // A few at a time, so that large payloads are not all in memory.
    for images in images.chunks(500) {
        let ids: Vec<Id> = images.iter().map(|(descriptor, _)| descriptor.id).collect();
        let mut left = ids.len();
        store
            .fetch(&ids, &mut |place, image| {
                let (expected, payload) = &images[place];
                let (descriptor, bytes) = image.unwrap_or_else(|| panic!("image {} is there", expected.id));
                assert_eq!(&descriptor, expected, "what a fetch says");
                assert!(bytes == payload, "the payload of image {} is what was stored", expected.id);
                left -= 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(left, 0, "every image was pushed");
        let mut left = ids.len();
        store
            .read(&images.iter().map(whole).collect::<Vec<_>>(), &mut |place, bytes| {
                assert!(bytes == Some(&images[place].1), "all bytes of image {} are what was stored", ids[place]);
                left -= 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(left, 0, "every payload was pushed");
    }
    let named = images.iter().filter_map(|(descriptor, _)| Some((descriptor.name.as_deref()?, Some(descriptor.id))));
    let (names, ids): (Vec<&str>, Vec<_>) = named.unzip();
    assert_eq!(store.find(&names).unwrap(), ids, "the images named {names:?}");
}

/// Asserts that `attempt` fails with an error of `kind`, leaves the store as it is and the handle usable; returns the
/// error.
#[track_caller]
pub(super) fn assert_refused<T: std::fmt::Debug>(
    store: &dyn Backend,
    images: &[Stored],
    kind: ErrorKind,
    attempt: impl FnOnce() -> Result<T>,
) -> Error {
    let before = store.properties().unwrap();
    let error = attempt().expect_err("this is refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(store.properties().unwrap(), before, "what is refused changes nothing");
    assert_holds(store, images);
    error
}
