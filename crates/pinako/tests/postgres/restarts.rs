//! Servers that end and come back under open stores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pinako::ErrorKind;
use pinako::backend::{Entry, Payload};
use pinako::backends::Mode;
use pinako::conformance::assert_holds;

use crate::cluster::Cluster;
use crate::samples::{Stored, append, assert_kind, image, open};

#[test]
fn an_open_store_outlives_its_server() {
    let Some(cluster) = Cluster::new() else { return };
    let url = cluster.url("pinako");
    let [store, reader] = [Mode::Create, Mode::Read].map(|mode| open(&url, mode).unwrap());
    let mut images: Vec<Stored> = (0..10).map(|id| image(id, 3000)).collect();
    append(&*store, &images).unwrap();
    assert_holds(&*reader, &images);
    for restart in [Cluster::crash, Cluster::kill] {
        restart(&cluster);
        cluster.start();
        assert_holds(&*reader, &images);
        restart(&cluster);
        cluster.start();
        // The readers of streams, too, were not touched when the connection was found dead.
        let next = image(images.len() as u64, 100_000);
        let mut stream = &next.1[..];
        let descriptor = pinako::Descriptor { id: 0, checksum: 0, ..next.0.clone() };
        store.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut stream) }]).unwrap();
        images.push(next);
        assert_holds(&*store, &images);
        store.sync().unwrap();
    }

    cluster.crash();
    let gone = assert_kind(open(&url, Mode::Read), ErrorKind::Transient);
    assert!(gone.hint().unwrap().contains("pg_isready -h 127.0.0.1 -p "), "{gone:?}");
    cluster.start();
    assert_holds(&*reader, &images);
}

#[test]
fn what_was_acknowledged_is_there_after_a_server_was_killed_while_four_threads_append() {
    let Some(cluster) = Cluster::new() else { return };
    let url = cluster.url("pinako");
    let store = open(&url, Mode::Create).unwrap();
    let ended = AtomicBool::new(false);
    let mut images: Vec<Stored> = thread::scope(|scope| {
        let writers = [0, 1, 2, 3].map(|writer| {
            let (store, ended) = (&store, &ended);
            scope.spawn(move || {
                let mut appended = Vec::new();
                for number in (writer..).step_by(4) {
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let mut batch: Vec<Stored> = (0..5).map(|place| image(number * 5 + place, 2000)).collect();
                    // The server is back in time for each to be made, once.
                    let ids = append(&**store, &batch).unwrap();
                    (ids.zip(&mut batch)).for_each(|(id, image)| image.0.id = id);
                    appended.extend(batch);
                }
                appended
            })
        });
        for (round, restart) in [Cluster::crash, Cluster::kill, Cluster::crash, Cluster::kill].iter().enumerate() {
            thread::sleep(Duration::from_millis(150 + 37 * round as u64));
            restart(&cluster);
            cluster.start();
        }
        thread::sleep(Duration::from_millis(100));
        ended.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    images.sort_by_key(|(descriptor, _)| descriptor.id);
    assert!(images.iter().map(|(descriptor, _)| descriptor.id).eq(0..images.len() as u64), "ids have no gap");
    assert_holds(&*open(&url, Mode::Read).unwrap(), &images);
}
