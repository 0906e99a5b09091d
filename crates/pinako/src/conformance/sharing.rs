//! Many handles and threads at once.

use std::io::Read;
use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::Fixture;
use super::samples::*;
use crate::ErrorKind;
use crate::backend::{Backend, Entry, Payload};
use crate::descriptor::{Descriptor, Id};

pub fn handles_see_each_others_changes(fixture: &dyn Fixture) {
    let one = fixture.create();
    let other = fixture.open();
    let mut images = Vec::new();
    for round in 0..4 {
        for (writer, reader) in [(&one, &other), (&other, &one)] {
            let start = images.len();
            let seed = 1000 + 2 * start as u64;
            images.extend(small(seed..seed + 10));
            append(&**writer, &mut images[start..]);
            assert_holds(&**reader, &images);

            let gone = images.remove(start / 2).0;
            assert_eq!(writer.remove(&[gone.id]).unwrap(), 1);
            assert_holds(&**reader, &images);
            assert_eq!(find(&**reader, gone.name.as_deref().unwrap_or("none")), None);

            let label_names = vec![format!("round {round}"), format!("{start}")];
            writer.set_label_names(&label_names, None).unwrap();
            assert_eq!(reader.properties().unwrap().label_names, label_names);

            writer.compact().unwrap();
            assert_holds(&**reader, &images);
        }
    }
}

pub fn a_reading_handle_sees_changes(fixture: &dyn Fixture) {
    let writer = fixture.create();
    let Some(reader) = fixture.open_read_only() else { return };
    let mut images = small(0..10);
    append(&*writer, &mut images);
    assert_holds(&*reader, &images);
    images.extend(small(10..20));
    append(&*writer, &mut images[10..]);
    writer.remove(&[0]).unwrap();
    images.remove(0);
    assert_holds(&*reader, &images);
    writer.compact().unwrap();
    assert_holds(&*reader, &images);
}

pub fn a_reading_handle_changes_nothing(fixture: &dyn Fixture) {
    let mut images = small(0..10);
    let store = fixture.create();
    append(&*store, &mut images);
    store.remove(&[9]).unwrap();
    images.pop();
    drop(store);
    let Some(reader) = fixture.open_read_only() else { return };
    assert_holds(&*reader, &images);
    let more = small(20..22);
    assert_refused(&*reader, &images, ErrorKind::Denied, || reader.append(&mut entries(&more)));
    assert_refused(&*reader, &images, ErrorKind::Denied, || reader.remove(&[0]));
    assert_refused(&*reader, &images, ErrorKind::Denied, || reader.set_label_names(&["x".into()], None));
    assert_refused(&*reader, &images, ErrorKind::Denied, || reader.compact());
    drop(reader);
    assert_holds(&*fixture.open(), &images);
}

/// Keeps reading images below `next` until `done`, in an order of its own, by every way of asking, and checks every
/// byte. An image that `may_be_gone` is there as a whole or not at all.
fn read_on(store: &dyn Backend, images: &[Stored], may_be_gone: fn(Id) -> bool, next: &AtomicU64, done: &AtomicBool) {
    let mut step = 1u64;
    while !done.load(Ordering::SeqCst) {
        // What was appended before a call began is there as a whole.
        let below = next.load(Ordering::SeqCst).max(1);
        let ids: Vec<Id> = (0..20).map(|place| (step + place) * 7919 % below).collect();
        step += 20;
        for (&id, image) in ids.iter().zip(fetch(store, &ids).unwrap()) {
            match image {
                Some(image) => assert!(image == images[id as usize], "image {id}"),
                None => assert!(may_be_gone(id), "image {id} is there"),
            }
        }
        let requests: Vec<_> = ids.iter().map(|&id| whole(&images[id as usize])).collect();
        for (&id, bytes) in ids.iter().zip(read(store, &requests).unwrap()) {
            match bytes {
                Some(bytes) => assert!(bytes == images[id as usize].1, "the payload of image {id}"),
                None => assert!(may_be_gone(id), "image {id} is there"),
            }
        }
        for (&id, descriptor) in ids.iter().zip(describe(store, &ids)) {
            match descriptor {
                Some(descriptor) => assert_eq!(descriptor, images[id as usize].0),
                None => assert!(may_be_gone(id), "image {id} is there"),
            }
        }
        let mut after = ids[0];
        // There may be others beyond those that this is about.
        for descriptor in scan(store, ids[0]).into_iter().filter(|descriptor| descriptor.id < images.len() as Id) {
            assert!((after..descriptor.id).all(may_be_gone), "a scan sees all images, in order");
            after = descriptor.id + 1;
            assert_eq!(descriptor, images[descriptor.id as usize].0);
        }
        assert!((after..below).all(may_be_gone), "a scan sees all images");
        if let Some(name) = &images[ids[0] as usize].0.name {
            let found = find(store, name);
            assert!(found == Some(ids[0]) || found.is_none() && may_be_gone(ids[0]), "{name} is {found:?}");
        }
        assert!(store.properties().unwrap().next_id >= below);
    }
}

/// Runs `write` beside threads that read: two over `store`'s own handle, two over handles of their own. `write` says
/// through its argument how many of `images` were appended; those that it removes `may_be_gone`.
fn beside_readers(
    fixture: &dyn Fixture,
    store: &dyn Backend,
    images: &[Stored],
    may_be_gone: fn(Id) -> bool,
    write: impl FnOnce(&AtomicU64),
) {
    /// Ends the readers even where the writer panics.
    struct Finish<'a>(&'a AtomicBool);
    impl Drop for Finish<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let others = [fixture.open(), fixture.open_read_only().unwrap_or_else(|| fixture.open())];
    let (next, done) = (AtomicU64::new(store.properties().unwrap().next_id), AtomicBool::new(false));
    thread::scope(|scope| {
        for reader in [store, store, &*others[0], &*others[1]] {
            scope.spawn(|| read_on(reader, images, may_be_gone, &next, &done));
        }
        let _finish = Finish(&done);
        write(&next);
    });
}

pub fn threads_read_while_one_appends(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images: Vec<Stored> = small(0..200);
    let large = pattern(5, 0, 500_000);
    images[100] = (named("large", &large), large);
    for (id, (descriptor, _)) in (0..).zip(&mut images) {
        descriptor.id = id;
    }
    store.append(&mut entries(&images[..10])).unwrap();
    beside_readers(
        fixture,
        &*store,
        &images,
        |_| false,
        |next| {
            for batch in images[10..].chunks(10) {
                let ids = store.append(&mut entries(batch)).unwrap();
                next.store(ids.end, Ordering::SeqCst);
            }
        },
    );
    assert_holds(&*store, &images);
}

pub fn threads_read_while_one_removes(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..200);
    for batch in images.chunks_mut(20) {
        append(&*store, batch);
    }
    let odd = |id: Id| id % 2 == 1;
    beside_readers(fixture, &*store, &images, odd, |_| {
        for start in (0..200).step_by(20) {
            let ids: Vec<Id> = (start..start + 20).filter(|&id| odd(id)).collect();
            assert_eq!(store.remove(&ids).unwrap(), 10);
            if start % 60 == 0 {
                store.compact().unwrap();
            }
        }
    });
    images.retain(|(descriptor, _)| !odd(descriptor.id));
    assert_holds(&*store, &images);
}

pub fn threads_read_while_one_compacts(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..120);
    for batch in images.chunks_mut(10) {
        append(&*store, batch);
    }
    beside_readers(
        fixture,
        &*store,
        &images,
        |id| id >= 120,
        |_| {
            for round in 0..5 {
                // Images beyond those that the readers look at come and go.
                let mut passing = small(1000 * (round + 1)..1000 * (round + 1) + 40);
                let ids: Vec<Id> = append(&*store, &mut passing).collect();
                assert_eq!(store.remove(&ids).unwrap(), 40);
                store.compact().unwrap();
            }
        },
    );
    assert_holds(&*store, &images);
}

/// Appends with a thread for each of `handles`, ten batches of five each, and checks that nothing got lost.
fn append_at_once(handles: &[&dyn Backend]) {
    let barrier = Barrier::new(handles.len());
    let mut images: Vec<Stored> = thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(handles)
            .map(|(number, handle)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let mut own = small(1000 * number..1000 * number + 50);
                    for batch in own.chunks_mut(5) {
                        append(*handle, batch);
                    }
                    own
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    images.sort_by_key(|(descriptor, _)| descriptor.id);
    let ids: Vec<Id> = images.iter().map(|(descriptor, _)| descriptor.id).collect();
    assert!(ids.iter().copied().eq(0..50 * handles.len() as u64), "every id is given once: {ids:?}");
    for handle in handles {
        assert_holds(*handle, &images);
    }
}

pub fn writers_at_once_lose_no_id(fixture: &dyn Fixture) {
    let (one, other) = (fixture.create(), fixture.open());
    append_at_once(&[&*one, &*other]);
}

pub fn threads_share_a_handle(fixture: &dyn Fixture) {
    let store = fixture.create();
    append_at_once(&[&*store, &*store, &*store]);
}

pub fn one_of_two_writers_gets_the_name(fixture: &dyn Fixture) {
    let (one, other) = (fixture.create(), fixture.open());
    let barrier = Barrier::new(2);
    let attempt = |store: &dyn Backend, name: &str, payload: &[u8]| {
        barrier.wait();
        store.append(&mut [Entry { descriptor: named(name, payload), payload: Payload::Bytes(payload) }])
    };
    for round in 0..10u64 {
        let name = format!("round {round}");
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| attempt(&*one, &name, b"one"));
            let second = attempt(&*other, &name, b"other");
            (first.join().unwrap(), second)
        });
        let (winner, loser, payload) = match (first, second) {
            (Ok(ids), Err(error)) => (ids, error, b"one".to_vec()),
            (Err(error), Ok(ids)) => (ids, error, b"other".to_vec()),
            both => panic!("exactly one of two gets the name: {both:?}"),
        };
        assert_eq!((winner, loser.kind()), (round..round + 1, ErrorKind::Conflict));
        assert_eq!(fetch(&*one, &[round]).unwrap().pop().flatten().unwrap().1, payload);
    }
}

/// Gives its bytes when it has met the other thread twice: it waits in between.
struct SlowReader<'a> {
    bytes: &'a [u8],
    meetings: Option<&'a Barrier>,
}

impl Read for SlowReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if let Some(meetings) = self.meetings.take() {
            meetings.wait();
            meetings.wait();
        }
        self.bytes.read(out)
    }
}

/// Appends a stream by handle `one`, and while its bytes are awaited calls `meanwhile` with the `other`; `meanwhile`
/// must meet the stream's reader to let it go on. Then the store holds what both appended.
fn beside_a_slow_writer(
    [one, other]: [Box<dyn Backend>; 2],
    meanwhile: impl FnOnce(&dyn Backend, &Barrier) -> Vec<Stored>,
) {
    let payload = pattern(3, 0, 100_000);
    let slow = named("slow", &payload);
    let meetings = Barrier::new(2);
    let (ids, mut images): (Range<Id>, _) = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut reader = SlowReader { bytes: &payload, meetings: Some(&meetings) };
            let descriptor = Descriptor { checksum: 0, ..slow.clone() };
            one.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut reader) }]).unwrap()
        });
        meetings.wait();
        let images = meanwhile(&*other, &meetings);
        (thread.join().unwrap(), images)
    });
    images.push((Descriptor { id: ids.start, ..slow }, payload.clone()));
    images.sort_by_key(|(descriptor, _)| descriptor.id);
    assert_holds(&*one, &images);
    assert_holds(&*other, &images);
    images.extend(small(50..55));
    let start = images.len() - 5;
    append(&*other, &mut images[start..]);
    assert_holds(&*one, &images);
}

pub fn a_writer_waits_for_a_slow_one(fixture: &dyn Fixture) {
    beside_a_slow_writer([fixture.create(), fixture.open()], |store, meetings| {
        let mut images = small(0..3);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                meetings.wait();
            });
            append(store, &mut images);
        });
        images
    });
}

pub fn a_writer_gives_up_in_the_end(fixture: &dyn Fixture) {
    beside_a_slow_writer([fixture.create(), fixture.open_impatient()], |store, meetings| {
        let mut images = small(0..3);
        // A backend that takes the bytes before it excludes others does not let them wait.
        match store.append(&mut entries(&images)) {
            Ok(ids) => (ids.zip(&mut images)).for_each(|(id, (descriptor, _))| descriptor.id = id),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                images.clear();
            }
        }
        meetings.wait();
        images
    });
}
