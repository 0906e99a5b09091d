//! Ids, and appends that are all or none.

use std::io::Read;

use super::Fixture;
use super::samples::*;
use crate::ErrorKind;
use crate::backend::{Backend, Entry, Payload};
use crate::descriptor::Descriptor;

pub fn a_new_store_is_empty(fixture: &dyn Fixture) {
    let store = fixture.create();
    for store in [store, fixture.open()] {
        assert_holds(&*store, &[]);
        let properties = store.properties().unwrap();
        assert_eq!((properties.count, properties.next_id), (0, 0));
        assert!(properties.label_names.is_empty() && properties.format_version > 0);
        assert_eq!(store.footprint().unwrap().payload_bytes, 0);
        assert_eq!(find(&*store, "x"), None);
        assert_eq!(describe(&*store, &[0, u64::MAX]), [None, None]);
        assert_eq!(fetch(&*store, &[0]).unwrap(), [None]);
    }
}

pub fn ids_ascend_from_zero_without_gaps(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..30);
    let mut next = 0;
    for batch in [0..1, 1..2, 2..12, 12..30] {
        let ids = append(&*store, &mut images[batch]);
        assert_eq!(ids.start, next, "a batch's first id is the next id of before");
        next = ids.end;
        assert_eq!(store.properties().unwrap().next_id, next);
    }
    assert_holds(&*store, &images);
}

pub fn ids_go_on_after_opening_again(fixture: &dyn Fixture) {
    let mut images = small(0..20);
    append(&*fixture.create(), &mut images[..5]);
    for batch in [5..6, 6..15, 15..20] {
        let store = fixture.open();
        assert_holds(&*store, &images[..batch.start]);
        append(&*store, &mut images[batch]);
    }
    assert_holds(&*fixture.open(), &images);
}

pub fn an_empty_batch_changes_nothing(fixture: &dyn Fixture) {
    let store = fixture.create();
    assert_eq!(store.append(&mut []).unwrap(), 0..0);
    let mut images = small(0..3);
    append(&*store, &mut images);
    assert_eq!(store.append(&mut []).unwrap(), 3..3);
    assert_eq!(store.properties().unwrap().next_id, 3);
    assert_holds(&*store, &images);
}

pub fn a_name_in_the_store_undoes_the_whole_batch(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = vec![(named("taken", b"first"), b"first".to_vec())];
    append(&*store, &mut images);
    for place in 0..5 {
        let mut batch = small(0..5);
        batch[place].0.name = Some("taken".into());
        let error = assert_refused(&*store, &images, ErrorKind::Conflict, || store.append(&mut entries(&batch)));
        assert!(error.to_string().contains("taken"), "the error says which name: {error}");
    }
    images.extend(small(0..5));
    append(&*store, &mut images[1..]);
    assert_holds(&*store, &images);
    assert_holds(&*fixture.open(), &images);
}

pub fn a_name_twice_in_a_batch_undoes_it(fixture: &dyn Fixture) {
    let store = fixture.create();
    for (one, other) in [(0, 1), (0, 4), (2, 3)] {
        let mut batch = small(0..5);
        batch[one].0.name = Some("twice".into());
        batch[other].0.name = Some("twice".into());
        let error = assert_refused(&*store, &[], ErrorKind::Conflict, || store.append(&mut entries(&batch)));
        assert!(error.to_string().contains("twice"), "the error says which name: {error}");
        assert_eq!(find(&*store, "twice"), None);
    }
    let mut images = small(0..5);
    append(&*store, &mut images);
    assert_holds(&*store, &images);
}

/// A store's first four images.
fn held() -> Vec<Stored> {
    let numbered = |(id, (descriptor, payload))| (Descriptor { id, ..descriptor }, payload);
    (0..).zip(small(0..4)).map(numbered).collect()
}

/// Asserts that a batch of `others` with a bad entry among them is refused by a store of the [`held`] images.
#[track_caller]
fn assert_undone<'a>(store: &dyn Backend, kind: ErrorKind, others: &'a [Stored], bad: Entry<'a>) {
    // In the middle: something may have been written before it.
    let mut batch = entries(others);
    batch.insert(2, bad);
    assert_refused(store, &held(), kind, || store.append(&mut batch));
}

pub fn a_wrong_payload_length_undoes_the_whole_batch(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..4);
    append(&*store, &mut images);
    assert_eq!(images, held());
    let others = small(10..14);
    for length in [1, 100, 5000, 300_000] {
        let bytes = pattern(7, 0, length);
        for promised in [length - 1, length + 1, length * 2] {
            let descriptor = Descriptor { payload_length: promised as u64, ..named("wrong", &bytes) };
            let bad = Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(&bytes) };
            assert_undone(&*store, ErrorKind::InvalidInput, &others, bad);
            let descriptor = Descriptor { checksum: 0, ..descriptor };
            let bad = Entry { descriptor, payload: Payload::Stream(&mut &bytes[..]) };
            assert_undone(&*store, ErrorKind::InvalidInput, &others, bad);
        }
    }
    images.push((named("wrong", b"right"), b"right".to_vec()));
    append(&*store, &mut images[4..]);
    assert_holds(&*store, &images);
    assert_holds(&*fixture.open(), &images);
}

struct FailingReader;

impl Read for FailingReader {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, "the reader broke"))
    }
}

pub fn a_reader_that_fails_undoes_the_whole_batch(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..4);
    append(&*store, &mut images);
    let others = small(10..14);
    let length = 3 << 20;
    for good in [0, 1, 4096, 777_777, (1 << 20) + 1, length] {
        // The last fails where the reader is asked whether there is more.
        let mut reader = pattern_reader(1, good).chain(FailingReader);
        let descriptor = Descriptor { payload_length: length, checksum: 0, ..named("broken", b"") };
        // The kind is that of `Error::io` for the reader's error.
        let bad = Entry { descriptor, payload: Payload::Stream(&mut reader) };
        assert_undone(&*store, ErrorKind::Denied, &others, bad);
    }
    images.push((named("broken", b"whole"), b"whole".to_vec()));
    append(&*store, &mut images[4..]);
    assert_holds(&*store, &images);
    assert_holds(&*fixture.open(), &images);
}

pub fn a_stream_gets_its_checksum(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images: Vec<Stored> = [0, 1, 5000, 2 << 20]
        .into_iter()
        .map(|length| {
            let payload = pattern(length as u64, 0, length);
            (named(&format!("stream {length}"), &payload), payload)
        })
        .collect();
    let plain = (opaque(b"plain"), b"plain".to_vec());
    images.insert(2, plain);
    let mut readers: Vec<&[u8]> = images.iter().map(|(_, payload)| &payload[..]).collect();
    let mut batch: Vec<Entry<'_>> = (readers.iter_mut().zip(&images).enumerate())
        .map(|(place, (reader, (descriptor, payload)))| match place {
            2 => Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) },
            _ => {
                Entry { descriptor: Descriptor { checksum: 0, ..descriptor.clone() }, payload: Payload::Stream(reader) }
            }
        })
        .collect();
    assert_eq!(store.append(&mut batch).unwrap(), 0..5);
    for (id, (descriptor, _)) in (0..).zip(&mut images) {
        descriptor.id = id;
    }
    assert_holds(&*store, &images);
    assert_holds(&*fixture.open(), &images);
}

pub fn many_images_in_one_batch(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..1500);
    append(&*store, &mut images);
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn many_small_batches(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..60);
    for batch in images.chunks_mut(2) {
        append(&*store, batch);
    }
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}
