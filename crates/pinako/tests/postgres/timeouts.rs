//! Servers and networks that say nothing any more: no call waits for ever.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use pinako::ErrorKind;
use pinako::backend::Backend;
use pinako::backends::{self, Mode};
use pinako::conformance::assert_holds;
use pinako::{Durability, Result};

use crate::proxy::{Accident, Proxy, Way};
use crate::samples::{Stored, append, assert_kind, assert_says, image, open};
use crate::servers::{drop_fresh, fresh_url, psql};

/// Far more than the timeouts, which are of a second, and than a slow machine takes.
const FOR_EVER: Duration = Duration::from_secs(60);

fn impatient(url: &str) -> String {
    format!("{url}&statement_timeout=1s&connect_timeout=1")
}

/// Does `work` and asserts that it ends.
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = work();
    assert!(start.elapsed() < FOR_EVER, "it took {:?}", start.elapsed());
    value
}

#[test]
fn a_network_that_freezes_is_an_error_in_time_and_loses_nothing() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let mut images: Vec<Stored> = (0..30).map(|id| image(id, 30_000)).collect();
    append(&*open(&url, Mode::Create).unwrap(), &images).unwrap();
    for (way, after) in [(Way::ToServer, 0), (Way::ToServer, 50_000), (Way::ToClient, 0), (Way::ToClient, 100_000)] {
        let proxy = Proxy::new(&url);
        let patience = Duration::from_millis(500);
        let place = impatient(&proxy.url(&url));
        let store = backends::open_with_patience(&place, Mode::Write, Durability::Full, patience).unwrap();
        let before = store.properties().unwrap().next_id;
        proxy.order(way, after, Accident::Freeze);
        let fetch = |store: &dyn Backend| store.fetch(&(0..30).collect::<Vec<u64>>(), &mut |_, _| Ok(()));
        if way == Way::ToClient {
            assert_says(&assert_kind(in_time(|| fetch(&*store)), ErrorKind::Transient), "said nothing", "");
        } else {
            let more: Vec<Stored> = (before..before + 3).map(|id| image(id, 90_000)).collect();
            assert_kind(in_time(|| append(&*store, &more)), ErrorKind::Transient);
        }
        assert_kind(in_time(|| fetch(&*store)), ErrorKind::Transient);
        proxy.thaw();
        assert_holds(&*store, &images);
        let more = image(before, 10);
        append(&*store, std::slice::from_ref(&more)).unwrap();
        images.push(more);
        assert_holds(&*store, &images);
    }
    drop_fresh(&url);
}

#[test]
fn a_server_that_says_nothing_from_the_start_is_an_error_in_time() {
    // Connections wait in the listener's queue, as they do before a machine that hangs.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://ann:secret@127.0.0.1:{port}/db?connect_timeout=1");
    let error = assert_kind(in_time(|| open(&url, Mode::Read)), ErrorKind::Transient);
    assert_says(&error, "did not answer within 1 seconds", "connect_timeout");
}

#[test]
fn a_server_that_says_little_for_ever_is_an_error_in_time() {
    let trickling = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = trickling.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in trickling.incoming() {
            thread::spawn(move || {
                let mut client = client.unwrap();
                // The beginning of a message that is long: each byte is a sign of life.
                let _ = client.write_all(b"R\x00\x01\x00\x00");
                while client.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
    let url = format!("postgres://ann:secret@127.0.0.1:{port}/db?connect_timeout=1&sslmode=disable");
    let error = assert_kind(in_time(|| open(&url, Mode::Read)), ErrorKind::Transient);
    assert_says(&error, "did not answer within 1 seconds", "connect_timeout");
}

#[test]
fn a_server_of_this_machine_that_takes_no_connections_is_an_error_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".s.PGSQL.5432");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // It has room for one that waits.
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let url = format!("postgres://ann@/db?host={}&connect_timeout=1", folder.path().display());
    let error = assert_kind(in_time(|| open(&url, Mode::Read)), ErrorKind::Transient);
    assert_says(&error, "did not answer within 1 seconds", "connect_timeout");
}

#[test]
fn a_statement_that_waits_too_long_is_an_error_that_says_so() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&url, Mode::Create).unwrap();
    append(&*store, &[image(0, 10)]).unwrap();
    let patient = Duration::from_secs(30);
    let hasty = backends::open_with_patience(&impatient(&url), Mode::Write, Durability::Full, patient).unwrap();
    let schema = url.split_once("?schema=").unwrap().1.to_owned();
    let lock = &format!("BEGIN; LOCK TABLE {schema}.image; SELECT pg_sleep(4); COMMIT");
    thread::scope(|scope| {
        let locked = scope.spawn(|| psql(&url, lock));
        let told: Result<()> = loop {
            match in_time(|| hasty.find(&["image 0"])) {
                Ok(found) => assert_eq!(found, [Some(0)], "not locked yet"),
                Err(error) => break Err(error),
            }
        };
        assert_says(&assert_kind(told, ErrorKind::Transient), "took too long", "statement_timeout");
        locked.join().unwrap();
    });
    assert_eq!(hasty.find(&["image 0"]).unwrap(), [Some(0)]);
    drop_fresh(&url);
}

#[test]
fn a_sink_may_take_longer_than_a_statement() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&impatient(&url), Mode::Create).unwrap();
    // More than the sockets hold, so that the server waits for the sink.
    let images: Vec<Stored> = (0..40).map(|id| image(id, 1_000_000)).collect();
    for batch in images.chunks(10) {
        append(&*store, batch).unwrap();
    }
    let mut count = 0;
    store
        .fetch(&(0..40).collect::<Vec<u64>>(), &mut |place, found| {
            assert!(found.unwrap().1 == images[place].1);
            count += 1;
            thread::sleep(Duration::from_millis(60));
            Ok(())
        })
        .unwrap();
    assert_eq!(count, 40);
    drop_fresh(&url);
}

#[test]
fn all_connections_in_use_are_waited_for() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&url, Mode::Create).unwrap();
    append(&*store, &[image(0, 10), image(1, 10)]).unwrap();
    thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut count = 0;
                store
                    .fetch(&[0, 1], &mut |_, found| {
                        assert!(found.is_some());
                        count += 1;
                        thread::sleep(Duration::from_millis(20));
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(count, 2);
            });
        }
    });
    drop_fresh(&url);
}
