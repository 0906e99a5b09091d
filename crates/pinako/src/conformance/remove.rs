//! Removal.

use super::Fixture;
use super::samples::*;
use crate::backend::{Backend, ReadRequest};
use crate::descriptor::Id;

/// Removes `ids`, all of which are there, from the store and from `images`.
#[track_caller]
fn remove(store: &dyn Backend, images: &mut Vec<Stored>, ids: &[Id]) {
    assert_eq!(store.remove(ids).unwrap(), ids.len() as u64, "the images that were there");
    images.retain(|(descriptor, _)| !ids.contains(&descriptor.id));
    assert_holds(store, images);
    assert!(describe(store, ids).iter().all(Option::is_none));
    assert!(fetch(store, ids).unwrap().iter().all(Option::is_none));
    let requests: Vec<_> = ids.iter().map(|&id| ReadRequest::new(id, 0..1)).collect();
    assert!(read(store, &requests).unwrap().iter().all(Option::is_none));
}

pub fn removed_images_are_gone(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..50);
    append(&*store, &mut images[..20]);
    append(&*store, &mut images[20..]);
    remove(&*store, &mut images, &[0]);
    remove(&*store, &mut images, &[49]);
    remove(&*store, &mut images, &[30, 3, 21, 19, 20]);
    assert_eq!(find(&*store, "small 0"), None);
    assert_eq!(find(&*store, "small 30"), None);
    assert_eq!(store.properties().unwrap().next_id, 50);
}

pub fn removing_what_is_not_there_is_no_error(fixture: &dyn Fixture) {
    let store = fixture.create();
    assert_eq!(store.remove(&[]).unwrap(), 0);
    assert_eq!(store.remove(&[0, 1, u64::MAX]).unwrap(), 0);
    let mut images = small(0..5);
    append(&*store, &mut images);
    assert_eq!(store.remove(&[7, 2, u64::MAX, 2, 2, 5]).unwrap(), 1);
    assert_eq!(store.remove(&[2]).unwrap(), 0);
    images.remove(2);
    assert_holds(&*store, &images);
}

pub fn a_removed_name_is_free_again(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = Vec::new();
    for round in 0..4u8 {
        images.push((named("again", &[round]), vec![round]));
        append(&*store, &mut images);
        assert_eq!(images[0].0.id, u64::from(round), "a name's next image has an id of its own");
        assert_holds(&*store, &images);
        let id = images[0].0.id;
        remove(&*store, &mut images, &[id]);
        assert_eq!(find(&*store, "again"), None);
    }
}

pub fn ids_are_never_reused(fixture: &dyn Fixture) {
    let mut images = small(0..4);
    let store = fixture.create();
    append(&*store, &mut images);
    remove(&*store, &mut images, &[3]);
    assert_eq!(store.properties().unwrap().next_id, 4);
    drop(store);

    let store = fixture.open();
    assert_eq!(store.properties().unwrap().next_id, 4);
    images.extend(small(10..11));
    assert_eq!(append(&*store, &mut images[3..]), 4..5);
    remove(&*store, &mut images, &[4, 2]);
    store.compact().unwrap();
    drop(store);

    let store = fixture.open();
    images.extend(small(20..21));
    assert_eq!(append(&*store, &mut images[2..]), 5..6);
    assert_holds(&*store, &images);
}

pub fn everything_may_be_removed(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..300);
    append(&*store, &mut images);
    remove(&*store, &mut images, &(0..300).collect::<Vec<_>>());
    store.compact().unwrap();
    drop(store);
    let store = fixture.open();
    assert_holds(&*store, &[]);
    images.extend(small(0..10));
    assert_eq!(append(&*store, &mut images), 300..310);
    assert_holds(&*store, &images);
}

pub fn removal_survives_opening_again(fixture: &dyn Fixture) {
    let mut images = small(0..30);
    let store = fixture.create();
    append(&*store, &mut images);
    remove(&*store, &mut images, &[0, 15, 29]);
    drop(store);
    for store in [fixture.open(), fixture.open()] {
        assert_holds(&*store, &images);
        assert_eq!(find(&*store, "small 15"), None);
    }
}
