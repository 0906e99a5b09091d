//! Random operations on a store and on a plain map: whatever the order, they agree.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use pinako::backend::{Backend, Entry, Payload, ReadRequest};
use pinako::conformance::{Fixture, assert_holds, pattern};
use pinako::wrappers::{Fault, Faulty, Operation};
use pinako::{Attributes, Descriptor, Durability, Encoding, ErrorKind, Id, ImageFormat, Layout, SampleType, Shape};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fixtures::{MemoryFixture, UrlFixture};

#[test]
fn memory() {
    agrees_with_a_map(|| Box::new(MemoryFixture::default()));
}

#[test]
fn lmdb() {
    agrees_with_a_map(|| Box::new(UrlFixture::new("lmdb", Durability::Buffered)));
}

#[test]
fn files() {
    agrees_with_a_map(|| Box::new(UrlFixture::new("files", Durability::Buffered)));
}

#[cfg(feature = "cloud")]
#[test]
fn object() {
    agrees_with_a_map(|| Box::new(UrlFixture::new("object", Durability::Full)));
}

#[cfg(feature = "cloud")]
#[test]
fn s3() {
    if crate::servers::variable("PINAKO_TEST_S3").is_some() {
        agrees_with_a_map(|| Box::new(UrlFixture::on_server("S3", Durability::Full).unwrap()));
    }
}

#[cfg(feature = "hdf5")]
#[test]
fn hdf5() {
    agrees_with_a_map(|| Box::new(UrlFixture::new("hdf5", Durability::Buffered)));
}

#[test]
fn sqlite() {
    agrees_with_a_map(|| Box::new(UrlFixture::new("sqlite", Durability::Buffered)));
}

#[cfg(feature = "postgres")]
#[test]
fn postgres() {
    if crate::servers::variable("PINAKO_TEST_POSTGRES").is_some() {
        agrees_with_a_map(|| Box::new(UrlFixture::on_server("POSTGRES", Durability::Buffered).unwrap()));
    }
}

/// An image to be appended.
#[derive(Debug, Clone)]
struct New {
    /// One of few, so that they are taken at times.
    name: Option<u8>,
    label: Option<i64>,
    length: usize,
    seed: u64,
    raw: bool,
    streamed: bool,
    /// Whether the payload has a byte less than it should.
    short: bool,
    attributes: bool,
}

/// What is done next. Ids are taken modulo a little more than the next id.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<New>),
    Remove(Vec<Id>),
    SetLabelNames(Vec<String>),
    Compact,
    Sync,
    Reopen,
    Read(Vec<(Id, Option<(u64, u64)>)>),
    Fetch(Vec<Id>),
    Describe(Vec<Id>),
    Scan(Id, usize),
    Find(u8),
}

impl Step {
    fn operation(&self) -> Option<Operation> {
        Some(match self {
            Step::Append(_) => Operation::Append,
            Step::Remove(_) => Operation::Remove,
            Step::SetLabelNames(_) => Operation::SetLabelNames,
            Step::Compact => Operation::Compact,
            Step::Sync => Operation::Sync,
            Step::Read(_) => Operation::Read,
            Step::Fetch(_) => Operation::Fetch,
            Step::Describe(_) => Operation::Describe,
            Step::Scan(..) => Operation::Scan,
            Step::Find(_) => Operation::Find,
            Step::Reopen => return None,
        })
    }
}

fn new_image() -> impl Strategy<Value = New> {
    let length = prop_oneof![3 => 0..300usize, 1 => 4000..4200usize, 1 => 0..70_000usize];
    let seldom = || prop::bool::weighted(0.01);
    (option::of(any::<u8>()), option::of(any::<i64>()), length, any::<u64>(), any::<(bool, bool, bool)>(), seldom())
        .prop_map(|(name, label, length, seed, (raw, streamed, attributes), short)| New {
            name,
            label,
            length: length.max(usize::from(raw)),
            seed,
            raw,
            streamed,
            short,
            attributes,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let range = option::of((0..80_000u64, 0..5000u64));
    prop_oneof![
        6 => vec(new_image(), 0..12).prop_map(Step::Append),
        3 => vec(any::<Id>(), 0..6).prop_map(Step::Remove),
        1 => vec(".{0,12}", 0..5).prop_map(Step::SetLabelNames),
        1 => Just(Step::Compact),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        3 => vec((any::<Id>(), range), 0..20).prop_map(Step::Read),
        2 => vec(any::<Id>(), 0..20).prop_map(Step::Fetch),
        1 => vec(any::<Id>(), 0..20).prop_map(Step::Describe),
        1 => (any::<Id>(), 1..30usize).prop_map(|(first, count)| Step::Scan(first, count)),
        1 => any::<u8>().prop_map(Step::Find),
    ]
}

/// What a store must be like.
#[derive(Debug, Default, Clone)]
struct Model {
    images: BTreeMap<Id, (Descriptor, Vec<u8>)>,
    label_names: Vec<String>,
    next_id: Id,
}

impl Model {
    fn id(&self, any: Id) -> Id {
        any % (self.next_id + 3)
    }

    fn find(&self, name: &str) -> Option<Id> {
        let mut images = self.images.values();
        images.find(|(descriptor, _)| descriptor.name.as_deref() == Some(name)).map(|(descriptor, _)| descriptor.id)
    }

    /// The images that `new` stands for, with the ids they would get.
    fn images(&self, new: &[New]) -> Vec<(Descriptor, Vec<u8>)> {
        let image = |(id, new): (Id, &New)| {
            let payload = pattern(new.seed, 0, new.length);
            let (encoding, width) = match new.raw {
                true => (Encoding::Raw(Layout::Row), new.length as u32),
                false => (Encoding::Kept(ImageFormat::Jpeg), 10),
            };
            let descriptor = Descriptor {
                id,
                name: new.name.map(|name| format!("name {name}")),
                shape: Shape::new(1, width, 1).unwrap(),
                sample_type: SampleType::U8,
                encoding,
                label: new.label,
                attributes: new.attributes.then(|| Attributes::parse(&format!("{{\"seed\":{}}}", new.seed)).unwrap()),
                payload_length: new.length as u64,
                checksum: crc32c::crc32c(&payload),
            };
            (descriptor, payload)
        };
        (self.next_id..).zip(new).map(image).collect()
    }

    /// Why an append of `new` must fail, if it must: one of these.
    fn refusals(&self, new: &[New]) -> Vec<ErrorKind> {
        let mut refusals = Vec::new();
        let mut names: Vec<_> = new.iter().filter_map(|new| new.name).collect();
        names.sort_unstable();
        let taken = names.iter().any(|name| self.find(&format!("name {name}")).is_some());
        if taken || names.windows(2).any(|pair| pair[0] == pair[1]) {
            refusals.push(ErrorKind::Conflict);
        }
        if new.iter().any(|new| new.short && new.length > 0) {
            refusals.push(ErrorKind::InvalidInput);
        }
        refusals
    }

    fn append(&mut self, images: Vec<(Descriptor, Vec<u8>)>) {
        self.next_id += images.len() as Id;
        self.images.extend(images.into_iter().map(|image| (image.0.id, image)));
    }

    #[track_caller]
    fn assert_agrees(&self, store: &dyn Backend) {
        assert_holds(store, &self.images.values().cloned().collect::<Vec<_>>());
        let properties = store.properties().unwrap();
        assert_eq!((properties.next_id, &properties.label_names), (self.next_id, &self.label_names));
        let payload_bytes: usize = self.images.values().map(|(_, payload)| payload.len()).sum();
        assert_eq!(store.footprint().unwrap().payload_bytes, payload_bytes as u64);
    }
}

/// Does `step` to `store` and to `model`, and compares. An error is given back where the operation failed though it
/// should not; the model is then as if it had not been done.
#[track_caller]
fn take(store: &dyn Backend, model: &mut Model, step: &Step) -> pinako::Result<()> {
    match step {
        Step::Append(new) => {
            let images = model.images(new);
            let refusals = model.refusals(new);
            let short = |new: &New, payload: &[u8]| payload.len() - usize::from(new.short && new.length > 0);
            let mut readers: Vec<&[u8]> =
                new.iter().zip(&images).map(|(new, (_, payload))| &payload[..short(new, payload)]).collect();
            let mut batch: Vec<Entry<'_>> = (new.iter().zip(&images).zip(&mut readers))
                .map(|((new, (descriptor, _)), reader)| {
                    let descriptor = Descriptor { id: 0, ..descriptor.clone() };
                    match new.streamed {
                        true => Entry {
                            descriptor: Descriptor { checksum: 0, ..descriptor },
                            payload: Payload::Stream(reader),
                        },
                        false => Entry { descriptor, payload: Payload::Bytes(reader) },
                    }
                })
                .collect();
            match store.append(&mut batch) {
                Ok(ids) => {
                    assert!(refusals.is_empty(), "an append that must fail: {refusals:?}");
                    assert_eq!(ids, model.next_id..model.next_id + new.len() as Id);
                    drop(batch);
                    model.append(images);
                }
                Err(error) if refusals.contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Step::Remove(ids) => {
            let ids: Vec<Id> = ids.iter().map(|&id| model.id(id)).collect();
            let removed = store.remove(&ids)?;
            let before = model.images.len();
            model.images.retain(|id, _| !ids.contains(id));
            assert_eq!(removed as usize, before - model.images.len());
        }
        Step::SetLabelNames(names) => {
            store.set_label_names(names, None)?;
            model.label_names.clone_from(names);
        }
        Step::Compact => store.compact()?,
        Step::Sync => store.sync()?,
        Step::Reopen => {}
        Step::Read(requests) => {
            let requests: Vec<ReadRequest> = requests
                .iter()
                .map(|&(id, range)| {
                    let id = model.id(id);
                    let length = model.images.get(&id).map_or(0, |(_, payload)| payload.len() as u64);
                    let range = range.map_or(0..length, |(start, count)| {
                        let start = start % (length + 1);
                        start..length.min(start + count)
                    });
                    ReadRequest::new(id, range)
                })
                .collect();
            let mut left = requests.len();
            store.read(&requests, &mut |place, bytes| {
                let request = &requests[place];
                let expected = model.images.get(&request.id).map(|(_, payload)| {
                    let range = request.range_in(payload.len() as u64).unwrap();
                    &payload[range.start as usize..range.end as usize]
                });
                assert!(bytes == expected, "{request:?}");
                left -= 1;
                Ok(())
            })?;
            assert_eq!(left, 0);
        }
        Step::Fetch(ids) => {
            let ids: Vec<Id> = ids.iter().map(|&id| model.id(id)).collect();
            let mut left = ids.len();
            store.fetch(&ids, &mut |place, image| {
                let image = image.map(|(descriptor, payload)| (descriptor, payload.to_vec()));
                assert!(image.as_ref() == model.images.get(&ids[place]), "image {}", ids[place]);
                left -= 1;
                Ok(())
            })?;
            assert_eq!(left, 0);
        }
        Step::Describe(ids) => {
            let ids: Vec<Id> = ids.iter().map(|&id| model.id(id)).collect();
            let mut left = ids.len();
            store.describe(&ids, &mut |place, descriptor| {
                assert_eq!(descriptor.as_ref(), model.images.get(&ids[place]).map(|(descriptor, _)| descriptor));
                left -= 1;
                Ok(())
            })?;
            assert_eq!(left, 0);
        }
        Step::Scan(first, count) => {
            let first = model.id(*first);
            let mut seen = Vec::new();
            store.scan(first, &mut |descriptor| {
                seen.push(descriptor);
                Ok(if seen.len() == *count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            let expected: Vec<_> = model.images.range(first..).take(*count).map(|(_, image)| image.0.clone()).collect();
            assert_eq!(seen, expected);
        }
        Step::Find(name) => {
            let name = format!("name {name}");
            assert_eq!(store.find(&[&name])?, [model.find(&name)]);
        }
    }
    Ok(())
}

/// Runs `test` on random sequences of steps; `PROPTEST_CASES` says on how many.
fn check<S: std::fmt::Debug>(steps: impl Strategy<Value = Vec<S>>, test: impl Fn(&[S])) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 12;
    }
    TestRunner::new(config)
        .run(&steps, |steps| {
            test(&steps);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Takes random steps on a store, by two handles in turn.
fn agrees_with_a_map(fixture: impl Fn() -> Box<dyn Fixture>) {
    check(vec((step(), any::<bool>()), 1..40), |steps| {
        let fixture = fixture();
        let mut handles = [fixture.create(), fixture.open()];
        let mut model = Model::default();
        for (step, second) in steps {
            let handle = &mut handles[usize::from(*second)];
            if let Step::Reopen = step {
                *handle = fixture.open();
            }
            take(&**handle, &mut model, step).unwrap();
        }
        for handle in &handles {
            model.assert_agrees(&**handle);
        }
        drop(handles);
        model.assert_agrees(&*fixture.open());
    });
}

#[test]
fn an_operation_that_fails_took_effect_as_a_whole_or_not_at_all() {
    let fails_after = option::weighted(0.3, any::<bool>());
    check(vec((step(), fails_after), 1..60), |steps| {
        let store = Faulty::new(MemoryFixture::default().create());
        // Takes every step that takes effect, and nothing fails there.
        let twin = MemoryFixture::default().create();
        let mut model = Model::default();
        for (step, fails_after) in steps {
            let fault = fails_after.zip(step.operation()).map(|(after, operation)| match after {
                true => Fault::After(operation),
                false => Fault::Before(operation),
            });
            if let Some(fault) = fault {
                store.faults().order(fault, 0);
            }
            let outcome = take(&store, &mut model.clone(), step);
            assert_eq!(store.faults().clear(), 0, "the fault came");
            let refused = matches!(step, Step::Append(new) if !model.refusals(new).is_empty());
            assert!(refused || outcome.is_err() == fault.is_some(), "{fault:?} led to {outcome:?}");
            if !matches!(fault, Some(Fault::Before(_))) {
                take(&*twin, &mut model, step).unwrap();
            }
            model.assert_agrees(&store);
        }
    });
}
