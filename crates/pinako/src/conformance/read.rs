//! Whole images, payloads and ranges of them.

use std::ops::ControlFlow;

use super::Fixture;
use super::samples::*;
use crate::backend::{Backend, ReadRequest};
use crate::descriptor::Descriptor;
use crate::image::{SampleType, Shape};
use crate::{Error, ErrorKind};

pub fn a_read_gives_exactly_the_range(fixture: &dyn Fixture) {
    let store = fixture.create();
    let shape = Shape::new(100, 100, 1).unwrap();
    let opaque_payload = pattern(1, 0, 10_000);
    let mut images = vec![
        raw(0, shape, SampleType::U8),
        (opaque(&opaque_payload), opaque_payload),
        raw(2, shape, SampleType::U16),
        (opaque(b""), Vec::new()),
    ];
    append(&*store, &mut images);
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for (descriptor, payload) in &images {
        let length = payload.len();
        let edges = [0, 1, 2, 511, 512, 4095, 4096, 4097, 8191, 8192, 8193, length.saturating_sub(1), length];
        for start in edges {
            for end in edges {
                if start <= end && end <= length {
                    requests.push(ReadRequest::new(descriptor.id, start as u64..end as u64));
                    expected.push(Some(payload[start..end].to_vec()));
                }
            }
        }
    }
    assert!(read(&*store, &requests).unwrap() == expected);
    // One at a time they give the same.
    for (request, expected) in requests.iter().zip(&expected).step_by(5) {
        assert!(&read(&*store, std::slice::from_ref(request)).unwrap()[0] == expected, "{request:?}");
    }
}

pub fn a_range_beyond_the_payload_is_invalid(fixture: &dyn Fixture) {
    let store = fixture.create();
    let payload = pattern(0, 0, 10_000);
    let mut images = vec![(opaque(&payload), payload), (opaque(b""), Vec::new())];
    append(&*store, &mut images);
    let length = 10_000;
    for (id, start, end) in [
        (0, 0, length + 1),
        (0, length, length + 1),
        (0, length + 1, length + 1),
        (0, u64::MAX, u64::MAX),
        (0, 0, u64::MAX),
        (0, 5, 4),
        (0, u64::MAX, 0),
        (1, 0, 1),
        (1, 1, 1),
    ] {
        let requests = [whole(&images[0]), ReadRequest::new(id, start..end), whole(&images[1])];
        let error = assert_refused(&*store, &images, ErrorKind::InvalidInput, || read(&*store, &requests));
        assert_eq!(error.id(), Some(id), "the error says which image");
    }
}

pub fn a_missing_image_is_pushed_as_none(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..5);
    append(&*store, &mut images);
    store.remove(&[2]).unwrap();
    let requests = [
        whole(&images[2]),
        whole(&images[4]),
        ReadRequest::new(5, 0..0),
        ReadRequest::new(u64::MAX, 0..10),
        whole(&images[0]),
        // There is no payload that this range could be beyond of.
        ReadRequest::new(7, 10..u64::MAX),
    ];
    let payload = |place: usize| Some(images[place].1.clone());
    assert_eq!(read(&*store, &requests).unwrap(), [None, payload(4), None, None, payload(0), None]);
}

pub fn a_fetch_gives_descriptors_with_whole_payloads(fixture: &dyn Fixture) {
    let store = fixture.create();
    let long = pattern(3, 0, 3 << 20);
    let mut images = small(0..10);
    images.extend([(opaque(b""), Vec::new()), (named("long", &long), long)]);
    append(&*store, &mut images);
    store.remove(&[4]).unwrap();
    let ids = [11, 4, 0, 12, u64::MAX, 9, 10, 9, 1, 2, 3, 11];
    let expected = ids.map(|id| images.get(id as usize).filter(|_| id != 4).cloned());
    assert!(fetch(&*store, &ids).unwrap() == expected);
    // One at a time they are the same.
    for (id, expected) in ids.into_iter().zip(expected) {
        assert!(fetch(&*store, &[id]).unwrap() == [expected], "image {id}");
    }
}

pub fn an_image_may_be_asked_for_many_times_in_a_batch(fixture: &dyn Fixture) {
    let store = fixture.create();
    let payload = pattern(0, 0, 50_000);
    append(&*store, &mut [(opaque(&payload), payload.clone())]);
    let mut requests = vec![ReadRequest::new(0, 0..50_000); 2];
    requests.extend((0..500).map(|step| {
        let start = step * 7919 % 49_000;
        ReadRequest::new(0, start..start + 1000)
    }));
    requests.push(ReadRequest::new(0, 10..20));
    requests.push(ReadRequest::new(0, 10..20));
    for (request, bytes) in requests.iter().zip(read(&*store, &requests).unwrap()) {
        let range = request.range_in(50_000).unwrap();
        assert!(bytes.as_deref() == Some(&payload[range.start as usize..range.end as usize]), "{request:?}");
    }
}

pub fn large_batches_push_every_request_once(fixture: &dyn Fixture) {
    let store = fixture.create();
    let shape = Shape::new(4, 4, 3).unwrap();
    let mut images: Vec<_> = (0..1000).map(|seed| raw(seed, shape, SampleType::U8)).collect();
    append(&*store, &mut images);
    let ids: Vec<u64> = (0..10_000).map(|step| step * 7919 % 1100).collect();
    let requests: Vec<_> = ids.iter().map(|&id| ReadRequest::new(id, 0..48)).collect();
    for (id, bytes) in ids.iter().zip(read(&*store, &requests).unwrap()) {
        assert_eq!(bytes.as_ref(), images.get(*id as usize).map(|(_, payload)| payload), "image {id}");
    }
    for (id, image) in ids.iter().zip(fetch(&*store, &ids).unwrap()) {
        assert_eq!(image.as_ref(), images.get(*id as usize), "image {id}");
    }
    for (id, descriptor) in ids.iter().zip(describe(&*store, &ids)) {
        assert_eq!(descriptor.as_ref(), images.get(*id as usize).map(|(descriptor, _)| descriptor), "image {id}");
    }
}

pub fn an_empty_read_pushes_nothing(fixture: &dyn Fixture) {
    let store = fixture.create();
    append(&*store, &mut small(0..3));
    store.fetch(&[], &mut |_, _| panic!("nothing was asked")).unwrap();
    store.read(&[], &mut |_, _| panic!("nothing was asked")).unwrap();
    store.describe(&[], &mut |_, _| panic!("nothing was asked")).unwrap();
}

pub fn errors_of_sinks_come_back_as_they_are(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..20);
    append(&*store, &mut images);

    /// Calls with a sink that fails at its `last` call; no other follows.
    fn check(last: usize, call: impl FnOnce(&mut dyn FnMut() -> crate::Result<()>) -> crate::Result<()>) {
        let mut calls = 0;
        let error = call(&mut || {
            calls += 1;
            match calls == last {
                true => Err(Error::new(ErrorKind::Interrupted, "the sink had enough")),
                false => Ok(()),
            }
        })
        .expect_err("the sink's error ends the call");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Interrupted, "the sink had enough"));
        assert_eq!((error.store(), error.id(), error.hint()), (None, None, None));
        assert_eq!(calls, last, "the sink's error ends the call");
    }

    let ids: Vec<_> = (0..25).collect();
    let requests: Vec<_> = ids.iter().map(|&id| ReadRequest::new(id, 0..1)).collect();
    for last in [1, 2, 20] {
        check(last, |sink| store.fetch(&ids, &mut |_, _| sink()));
        check(last, |sink| store.read(&requests, &mut |_, _| sink()));
        check(last, |sink| store.describe(&ids, &mut |_, _| sink()));
        check(last, |sink| {
            store.scan(0, &mut |_: Descriptor| {
                sink()?;
                Ok(ControlFlow::Continue(()))
            })
        });
    }
    assert_holds(&*store, &images);
    images.extend(small(30..35));
    append(&*store as &dyn Backend, &mut images[20..]);
    assert_holds(&*store, &images);
}
