//! Payloads of every size and shape.

use super::Fixture;
use super::samples::*;
use crate::backend::{Entry, Payload, ReadRequest};
use crate::checksum;
use crate::descriptor::{Attributes, Descriptor};
use crate::image::{SampleType, Shape};

pub fn payloads_of_every_size(fixture: &dyn Fixture) {
    let store = fixture.create();
    let edges = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
    let mut lengths = vec![0, 1, 2, 3, 7, 100, 0];
    lengths.extend(edges.iter().flat_map(|edge| edge - 2..=edge + 2));
    // A page less what an engine keeps in it.
    lengths.extend([4096 - 16, 4096 - 64, 2 * 4096 - 16, 1 << 20, (1 << 20) + 1]);
    let mut images: Vec<Stored> = (0..)
        .zip(&lengths)
        .map(|(seed, &length)| {
            let payload = pattern(seed, 0, length);
            (opaque(&payload), payload)
        })
        .collect();
    let (together, alone) = images.split_at_mut(30);
    append(&*store, together);
    for image in alone.chunks_mut(1) {
        append(&*store, image);
    }
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

/// What is known of an image may be far longer than its payload.
pub fn payloads_beside_long_attributes(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images: Vec<Stored> = [900, 1024, 2000, 30_000, 32_768, 40_000]
        .into_iter()
        .flat_map(|length| [0, 100, 2000, 31_000, 40_000].map(|text| (length, text)))
        .map(|(length, text)| {
            let payload = pattern(text as u64, 0, length);
            let attributes = Attributes::parse(&format!(r#"{{"text":"{}"}}"#, "x".repeat(text))).unwrap();
            (Descriptor { attributes: Some(attributes), ..opaque(&payload) }, payload)
        })
        .collect();
    append(&*store, &mut images);
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn payloads_of_the_same_shape(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = Vec::new();
    for sample_type in SampleType::ALL {
        for (height, width, channels) in [(8, 9, 3), (1, 1, 1), (5, 7, 1)] {
            let shape = Shape::new(height, width, channels).unwrap();
            let start = images.len();
            images.extend((0..20).map(|seed| {
                let (descriptor, payload) = raw(start as u64 + seed, shape, sample_type);
                (Descriptor { label: Some(seed as i64 % 10), ..descriptor }, payload)
            }));
            append(&*store, &mut images[start..]);
        }
    }
    assert_holds(&*store, &images);
    // All kinds in one batch, a stream among them.
    let start = images.len();
    let mut mixed: Vec<Stored> = images.iter().step_by(7).cloned().collect();
    append(&*store, &mut mixed);
    images.extend(mixed);
    assert_eq!(images[start].0.id, start as u64);
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn payloads_that_do_not_match_their_shape(fixture: &dyn Fixture) {
    // Whether a payload makes sense is not a backend's business.
    let store = fixture.create();
    let shape = Shape::new(4, 4, 3).unwrap();
    let mut images: Vec<Stored> = (0..6).map(|seed| raw(seed, shape, SampleType::U8)).collect();
    for (place, length) in [(1, 0), (2, 47), (4, 49)] {
        let payload = pattern(place as u64, 0, length);
        let checksum = checksum::crc32c(&payload);
        images[place] = (Descriptor { payload_length: length as u64, checksum, ..images[place].0.clone() }, payload);
    }
    append(&*store, &mut images);
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn a_payload_larger_than_a_piece_is_streamed_and_read_anywhere(fixture: &dyn Fixture) {
    let store = fixture.create();
    let length = (40 << 20) + 12_345;
    let checksum = (0..length).step_by(1 << 20).fold(0, |sum, offset| {
        checksum::crc32c_append(sum, &pattern(9, offset, (length - offset).min(1 << 20) as usize))
    });
    let shape = Shape::new(1, length as u32, 1).unwrap();
    let (raw_descriptor, _) = raw(0, Shape::new(1, 1, 1).unwrap(), SampleType::U8);
    let descriptor = Descriptor { shape, payload_length: length, checksum: 0, ..raw_descriptor };
    let small = pattern(1, 0, 10);
    let mut batch = [
        Entry { descriptor: opaque(&small), payload: Payload::Bytes(&small) },
        Entry { descriptor: descriptor.clone(), payload: Payload::Stream(&mut pattern_reader(9, length)) },
        Entry { descriptor: opaque(&small), payload: Payload::Bytes(&small) },
    ];
    assert_eq!(store.append(&mut batch).unwrap(), 0..3);
    drop(store);

    let store = fixture.open();
    assert_eq!(describe(&*store, &[1]), [Some(Descriptor { id: 1, checksum, ..descriptor })]);
    let mut ranges = vec![0..10, length - 10..length, length..length];
    ranges.extend((0..40).map(|mib| (mib << 20) - (mib << 20).min(5)..(mib << 20) + 5));
    ranges.extend((0..20).map(|seed| {
        let start = seed * 7_654_321 % length;
        start..(start + 100_000 + seed).min(length)
    }));
    ranges.push(12_345_678..12_345_678 + (9 << 20));
    let requests: Vec<_> = ranges.iter().map(|range| ReadRequest::new(1, range.clone())).collect();
    for (range, bytes) in ranges.iter().zip(read(&*store, &requests).unwrap()) {
        let expected = pattern(9, range.start, (range.end - range.start) as usize);
        assert!(bytes.as_ref() == Some(&expected), "the bytes {range:?}");
    }
    let images = fetch(&*store, &[2, 1, 0]).unwrap();
    let payloads: Vec<Vec<u8>> = images.into_iter().map(|image| image.unwrap().1).collect();
    assert_eq!((payloads[1].len() as u64, checksum::crc32c(&payloads[1])), (length, checksum));
    assert_eq!([&payloads[0], &payloads[2]], [&small, &small]);
}
