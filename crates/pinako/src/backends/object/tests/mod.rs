//! What the conformance suite cannot see from outside: which requests are made, and what happens when they fail, when
//! others are at work, and when objects are damaged.

mod damage;
mod losses;
mod names;
mod rigged;
mod upkeep;
mod writers;

use std::sync::atomic::Ordering;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use self::rigged::{Ask, Fate, Rigged};
use super::manifests::CERTAIN;
use super::*;
use crate::backend::Payload;
use crate::conformance::{assert_holds, pattern, pattern_reader};
use crate::descriptor::{Descriptor, Encoding, ImageFormat};
use crate::image::{SampleType, Shape};

/// Parts of so few bytes that a small test has several.
const SMALL: Limits = Limits { part_bytes: 1000, piece_bytes: 300, images: 20, ..Limits::USUAL };

type Stored = (Descriptor, Vec<u8>);
type Images = Vec<Stored>;

fn open(service: &Rigged, mode: Mode, limits: Limits) -> Result<Object> {
    open_patient(service, mode, limits, WRITER_PATIENCE)
}

fn open_patient(service: &Rigged, mode: Mode, limits: Limits, patience: Duration) -> Result<Object> {
    Object::open(Objects::new(place(service, true)), mode, patience, limits)
}

fn place(service: &Rigged, far: bool) -> Place {
    let prefix = ObjectPath::from("some/where");
    let pages = far.then(|| Arc::new(service.clone()) as Arc<dyn connect::Pages>);
    Place { store: Arc::new(service.clone()), pages, prefix, traffic: Arc::default(), far }
}

/// An empty store, whose making is not counted.
fn new_store(service: &Rigged, limits: Limits) -> Object {
    let store = open(service, Mode::Create, limits).unwrap();
    service.asked();
    store
}

fn image(seed: u64, length: usize) -> Stored {
    let payload = pattern(seed, 0, length);
    let descriptor = Descriptor {
        id: 0,
        name: seed.is_multiple_of(2).then(|| format!("image {seed}")),
        shape: Shape::new(2, 3, 1).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Kept(ImageFormat::Png),
        label: Some(seed as i64),
        attributes: None,
        payload_length: length as u64,
        checksum: crc32c::crc32c(&payload),
    };
    (descriptor, payload)
}

fn entries(images: &[Stored]) -> Vec<Entry<'_>> {
    images
        .iter()
        .map(|(descriptor, payload)| Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) })
        .collect()
}

fn append(store: &Object, mut images: Images, all: &mut Images) {
    let ids = store.append(&mut entries(&images)).unwrap();
    for (id, (descriptor, _)) in ids.zip(&mut images) {
        descriptor.id = id;
    }
    all.extend(images);
}

fn remove(store: &Object, ids: &[Id], all: &mut Images) {
    assert_eq!(store.remove(ids).unwrap(), ids.len() as u64);
    all.retain(|(descriptor, _)| !ids.contains(&descriptor.id));
}

/// Several parts, one of them in pieces, and a few removed images.
fn mixed(store: &Object) -> Images {
    let mut all = Vec::new();
    append(store, (0..30).map(|seed| image(seed, 10 * seed as usize)).collect(), &mut all);
    append(store, vec![image(30, 3500), image(31, 0), image(32, 20)], &mut all);
    remove(store, &[3, 4, 12], &mut all);
    all
}

fn fetch(store: &Object, ids: &[Id]) -> Result<Vec<Option<Stored>>> {
    let mut images = vec![None; ids.len()];
    store.fetch(ids, &mut |place, image| {
        images[place] = image.map(|(descriptor, bytes)| (descriptor, bytes.to_vec()));
        Ok(())
    })?;
    Ok(images)
}

/// How often each was asked: puts, gets, lists, deletions.
fn asked(service: &Rigged) -> [usize; 4] {
    let asked = service.asked();
    [Ask::Put, Ask::Get, Ask::List, Ask::Delete].map(|ask| asked.iter().filter(|(other, _)| *other == ask).count())
}

fn is_manifest(path: &ObjectPath) -> bool {
    number_of(path).is_some()
}

/// All objects of a service.
fn objects(service: &Rigged) -> Vec<ObjectPath> {
    let listed = wait_for(async {
        let listed: Vec<_> = futures_util::StreamExt::collect(service.inner.list(None)).await;
        Ok(listed)
    });
    let mut paths: Vec<ObjectPath> = listed.unwrap().into_iter().map(|object| object.unwrap().location).collect();
    paths.sort();
    paths
}

fn contents(service: &Rigged, path: &ObjectPath) -> Vec<u8> {
    wait_for(async { Ok(service.inner.get(path).await.unwrap().bytes().await.unwrap()) }).unwrap().to_vec()
}

fn replace(service: &Rigged, path: &ObjectPath, bytes: Vec<u8>) {
    wait_for(async { Ok(service.inner.put(path, bytes.into()).await.unwrap()) }).unwrap();
}

fn delete(service: &Rigged, path: &ObjectPath) {
    wait_for(async { service.inner.delete(path).await.map_err(|error| panic!("{error}")) }).unwrap();
}

#[test]
fn opening_takes_two_requests_and_an_append_one_for_its_part_and_one_for_the_manifest() {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    let mut all = Vec::new();
    append(&store, (0..100).map(|seed| image(seed, 50)).collect(), &mut all);
    assert_eq!(asked(&service), [2, 0, 0, 0]);
    append(&store, (100..200).map(|seed| image(seed, 50)).collect(), &mut all);
    assert_eq!(asked(&service), [2, 0, 0, 0]);
    let other = open(&service, Mode::Read, Limits::USUAL).unwrap();
    assert_eq!(asked(&service), [0, 1, 1, 0]);
    // Both heads, both payloads, and whether there is a newer manifest.
    assert_eq!(fetch(&other, &[0, 1, 150]).unwrap().into_iter().flatten().count(), 3);
    assert_eq!(asked(&service), [0, 5, 0, 0]);
    assert_eq!(fetch(&other, &[2, 151]).unwrap().into_iter().flatten().count(), 2);
    assert_eq!(asked(&service), [0, 3, 0, 0]);
    other.describe(&[5, 199], &mut |_, _| Ok(())).unwrap();
    assert_eq!(asked(&service), [0, 1, 0, 0]);
    assert_holds(&store, &all);
}

#[test]
fn opening_a_store_of_many_manifests_lists_a_few() {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    let mut all = Vec::new();
    (0..30).for_each(|seed| append(&store, vec![image(seed, 5)], &mut all));
    let before = service.listed.load(Ordering::Relaxed);
    let other = open(&service, Mode::Read, Limits::USUAL).unwrap();
    assert_eq!(service.listed.load(Ordering::Relaxed) - before, 10);
    assert_holds(&other, &all);
    // Markers of more folders than anybody makes.
    for number in 0..25 {
        replace(&service, &ObjectPath::from(format!("some/where/manifest/0{number}")), Vec::new());
    }
    assert_holds(&open(&service, Mode::Read, Limits::USUAL).unwrap(), &all);
}

#[test]
fn what_lies_close_together_is_read_by_one_request_and_no_request_is_longer_than_it_may_be() {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    let mut all = Vec::new();
    append(&store, (0..1000).map(|seed| image(seed, 50)).collect(), &mut all);
    append(&store, vec![image(1000, 40 << 20)], &mut all);
    asked(&service);
    let every_third: Vec<Id> = (0..1000).step_by(3).collect();
    assert_eq!(fetch(&store, &every_third).unwrap().len(), every_third.len());
    assert_eq!(asked(&service), [0, 2, 0, 0]);
    let read = fetch(&store, &[1000]).unwrap().pop().flatten().unwrap();
    assert!(read.1 == all[1000].1);
    assert_eq!(asked(&service), [0, 4, 0, 0], "three requests for 40 MiB");
}

#[test]
fn what_an_import_stores_at_once_goes_up_in_several_parts_and_they_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_folder_afar(folder.path(), Mode::Create, Duration::ZERO).unwrap();
    let (_, most_bytes) = crate::store::Store::from_backend(store).batch();
    let thumbnail = image(1, 3072).0;
    let parts = |images: u64| write::cut(std::iter::repeat_n(&thumbnail, images as usize), Limits::USUAL).len();
    assert!((4..=5).contains(&parts(most_bytes / 3072)), "{}", parts(most_bytes / 3072));
    // With the manifest, less than 20 puts; to read them, a request for each head and two for each part's payloads.
    assert!(parts(100_000) <= 12);
}

#[test]
fn a_payload_longer_than_a_part_goes_in_pieces_that_are_read_anywhere() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let (descriptor, payload) = image(5, 2345);
    let mut stream = pattern_reader(5, 2345);
    let mut batch = [
        Entry { descriptor: image(1, 7).0, payload: Payload::Bytes(&pattern(1, 0, 7)) },
        Entry { descriptor: Descriptor { checksum: 0, ..descriptor.clone() }, payload: Payload::Stream(&mut stream) },
    ];
    assert_eq!(store.append(&mut batch).unwrap(), 0..2);
    assert_eq!(asked(&service)[0], 1 + 8 + 1 + 1, "a part, eight pieces, their part, the manifest");
    assert_eq!(fetch(&store, &[1]).unwrap(), [Some((Descriptor { id: 1, ..descriptor }, payload.clone()))]);
    for range in [0..0, 0..1, 299..301, 300..600, 0..2345, 2345..2345, 599..1201] {
        let mut seen = false;
        let request = ReadRequest::new(1, range.start as u64..range.end as u64);
        store
            .read(&[request], &mut |_, bytes| {
                assert!(bytes == Some(&payload[range.clone()]), "{range:?}");
                seen = true;
                Ok(())
            })
            .unwrap();
        assert!(seen);
    }
}

#[test]
fn heads_that_were_not_used_for_longest_make_room() {
    let service = Rigged::new();
    let mut store = new_store(&service, SMALL);
    store.heads = Heads::new(20_000, 0);
    let all = mixed(&store);
    assert_holds(&store, &all);
    assert!((1..=20_000).contains(&store.heads.bytes()), "{}", store.heads.bytes());
    store.heads = Heads::new(0, 0);
    assert_holds(&store, &all);
    assert_eq!(store.heads.bytes(), 0);
}

#[test]
fn a_handle_that_has_not_looked_for_long_looks_for_the_newest_by_a_listing() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let idle = open(&service, Mode::Write, SMALL).unwrap();
    let mut all = mixed(&store);
    // A vacuum has deleted the manifests between.
    for path in objects(&service).into_iter().filter(is_manifest).skip(1) {
        delete(&service, &path);
    }
    let long_ago = Moment::of(CERTAIN + Duration::from_secs(1));
    let known = idle.known().confirmed_at(long_ago);
    *idle.known.write() = Arc::new(known);
    assert_holds(&idle, &all);
    let known = open(&service, Mode::Write, SMALL).unwrap().known().confirmed_at(long_ago);
    *idle.known.write() = Arc::new(known);
    append(&idle, vec![image(77, 7)], &mut all);
    assert_holds(&store, &all);
}

#[test]
fn a_folder_that_stands_for_a_server_counts_its_requests() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_folder_afar(folder.path(), Mode::Create, Duration::from_millis(1)).unwrap();
    let before = store.traffic();
    let images: Images = (0..10).map(|seed| image(seed, 50)).collect();
    store.append(&mut entries(&images)).unwrap();
    let appended = store.traffic();
    assert_eq!(appended.requests - before.requests, 2);
    assert!(appended.sent - before.sent > 500);
    let mut count = 0;
    store
        .fetch(&(0..10).collect::<Vec<Id>>(), &mut |place, image| {
            assert_eq!(image.unwrap().1, images[place].1);
            count += 1;
            Ok(())
        })
        .unwrap();
    let fetched = store.traffic();
    assert_eq!((count, fetched.requests - appended.requests, fetched.received - appended.received), (10, 2, 500));
}
