//! What a store takes, and giving it back.

use super::Fixture;
use super::samples::*;
use crate::backend::{Backend, Entry, Payload};
use crate::descriptor::{Descriptor, Id};

pub fn the_footprint_counts_payload_bytes(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..30);
    append(&*store, &mut images);
    let check = |store: &dyn Backend, images: &[Stored]| {
        let expected: u64 = images.iter().map(|(_, payload)| payload.len() as u64).sum();
        assert_eq!(store.footprint().unwrap().payload_bytes, expected);
    };
    check(&*store, &images);
    let payload = pattern(0, 0, 1 << 20);
    let descriptor = Descriptor { checksum: 0, ..opaque(&payload) };
    store.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut &payload[..]) }]).unwrap();
    images.push((Descriptor { id: 30, ..opaque(&payload) }, payload));
    check(&*store, &images);
    store.remove(&[3, 4, 99]).unwrap();
    images.drain(3..5);
    check(&*store, &images);
    check(&*fixture.open(), &images);
    store.compact().unwrap();
    check(&*store, &images);
    store.remove(&(0..31).collect::<Vec<Id>>()).unwrap();
    check(&*store, &[]);
}

pub fn compaction_keeps_ids_names_and_contents(fixture: &dyn Fixture) {
    let store = fixture.create();
    store.compact().unwrap();
    assert_holds(&*store, &[]);
    let label_names = vec!["cat".to_owned(), "dog".to_owned()];
    store.set_label_names(&label_names, None).unwrap();

    let mut images = small(0..200);
    for batch in images.chunks_mut(9) {
        append(&*store, batch);
    }
    store.compact().unwrap();
    assert_holds(&*store, &images);
    for (round, removed) in [0..10, 50..150, 199..200].into_iter().enumerate() {
        store.remove(&removed.clone().collect::<Vec<Id>>()).unwrap();
        images.retain(|(descriptor, _)| !removed.contains(&descriptor.id));
        store.compact().unwrap();
        assert_holds(&*store, &images);
        assert_holds(&*fixture.open(), &images);
        let start = images.len();
        let seed = 1000 * (round as u64 + 1);
        images.extend(small(seed..seed + 7));
        append(&*store, &mut images[start..]);
        assert_holds(&*store, &images);
    }
    assert_eq!(store.properties().unwrap().label_names, label_names);
    assert_eq!(store.properties().unwrap().next_id, 221);
}

pub fn compaction_gives_back_space(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images: Vec<Stored> = (0..40)
        .map(|seed| {
            let payload = pattern(seed, 0, 100_000);
            (opaque(&payload), payload)
        })
        .collect();
    for batch in images.chunks_mut(4) {
        append(&*store, batch);
    }
    let before = store.footprint().unwrap().disk_bytes;
    store.remove(&(5..40).collect::<Vec<Id>>()).unwrap();
    images.truncate(5);
    store.compact().unwrap();
    assert_holds(&*store, &images);
    let after = store.footprint().unwrap().disk_bytes;
    // 3,500,000 bytes of payload went; what an engine keeps for itself may stay.
    assert!(after <= before.saturating_sub(2_500_000), "{before} bytes on the disk became {after}");
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn sync_changes_nothing(fixture: &dyn Fixture) {
    let store = fixture.create();
    store.sync().unwrap();
    let mut images = small(0..10);
    append(&*store, &mut images);
    store.sync().unwrap();
    store.sync().unwrap();
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}
