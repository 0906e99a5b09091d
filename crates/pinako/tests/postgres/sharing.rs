//! What readers and writers of one store have to wait for, and what they have not.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{self, Mode};
use pinako::conformance::assert_holds;
use pinako::{Descriptor, Durability, ErrorKind, Id};

use crate::proxy::Proxy;
use crate::samples::{Stored, append, assert_kind, image, open};
use crate::servers::{drop_fresh, fresh_url, psql, psql_session};

/// Long enough for threads and processes to come to where they wait.
const A_WHILE: Duration = Duration::from_millis(700);

fn schema(url: &str) -> &str {
    url.split_once("?schema=").unwrap().1
}

/// The bytes of an image that come when they are told to, from somebody who reads the same store first.
struct Slow<'a> {
    store: &'a dyn Backend,
    go: Receiver<()>,
    bytes: &'a [u8],
}

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let _ = self.go.recv();
        let found = self.store.find(&["image 0"]).map_err(io::Error::other)?;
        assert_eq!(found, [Some(0)]);
        self.bytes.read(out)
    }
}

#[test]
fn writers_that_wait_for_their_turn_keep_no_reader_of_their_handle_waiting() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&url, Mode::Create).unwrap();
    append(&*store, &[image(0, 1000)]).unwrap();
    let long = image(1, 50_000);
    let (go, waiting) = mpsc::channel();
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let mut stream = Slow { store: &*store, go: waiting, bytes: &long.1 };
            let descriptor = Descriptor { id: 0, checksum: 0, ..long.0.clone() };
            store.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut stream) }])
        });
        thread::sleep(A_WHILE);
        let others: Vec<_> = (2..14)
            .map(|id| {
                scope.spawn({
                    let store = &store;
                    move || append(&**store, &[image(id, 10)])
                })
            })
            .collect();
        thread::sleep(A_WHILE);
        assert_holds(&*store, &[image(0, 1000)]);
        drop(go);
        assert_eq!(slow.join().unwrap().unwrap(), 1..2);
        let mut ids: Vec<Id> = others.into_iter().map(|other| other.join().unwrap().unwrap().start).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(2..14));
    });
    drop_fresh(&url);
}

#[test]
fn a_removal_may_take_longer_than_a_statement() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let hasty = format!("{url}&statement_timeout=1s");
    let store = open(&hasty, Mode::Create).unwrap();
    let images: Vec<Stored> = (0..400).map(|id| image(id, 10)).collect();
    append(&*store, &images).unwrap();
    let schema = schema(&url);
    psql(
        &url,
        &format!(
            "CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep(0.008); RETURN OLD; END'; \
             CREATE TRIGGER slow BEFORE DELETE ON {schema}.image FOR EACH ROW EXECUTE FUNCTION {schema}.slow()"
        ),
    );
    let ids: Vec<Id> = (0..399).chain([5, 5, 1000]).collect();
    assert_eq!(store.remove(&ids).unwrap(), 399);
    assert_holds(&*store, &images[399..]);
    assert_eq!(store.footprint().unwrap().payload_bytes, 10);
    drop_fresh(&url);
}

#[test]
fn a_scan_that_breaks_off_has_not_been_sent_the_rest() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&url, Mode::Create).unwrap();
    let images: Vec<Stored> = (0..5000).map(|id| image(id, 0)).collect();
    append(&*store, &images).unwrap();
    let received = |most: usize| {
        let (before, mut count) = (store.traffic().received, 0);
        let mut sink = |_| {
            count += 1;
            Ok(if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        store.scan(0, &mut sink).unwrap();
        store.traffic().received - before
    };
    received(1);
    // As many as a store asks for at once.
    let (some, all) = (received(1024), received(5000));
    assert!(some * 4 < all, "{some} of {all} bytes");
    drop_fresh(&url);
}

#[test]
fn a_reader_waits_for_a_compaction_as_long_as_for_any_statement() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let patience = Duration::from_millis(100);
    let store = backends::open_with_patience(&url, Mode::Create, Durability::Full, patience).unwrap();
    let images = [image(0, 10)];
    append(&*store, &images).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            // The locks that a compaction takes.
            let schema = schema(&url);
            psql(&url, &format!("BEGIN; LOCK TABLE {schema}.payload, {schema}.image; SELECT pg_sleep(2); COMMIT"));
        });
        thread::sleep(A_WHILE);
        assert_kind(append(&*store, &[image(1, 10)]), ErrorKind::Conflict);
        assert_holds(&*store, &images);
    });
    store.compact().unwrap();
    assert_holds(&*store, &images);
    drop_fresh(&url);
}

#[test]
fn a_compaction_whose_client_is_gone_ends() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let proxy = Proxy::new(&url);
    let patience = Duration::from_secs(300);
    let store = backends::open_with_patience(&proxy.url(&url), Mode::Create, Durability::Full, patience).unwrap();
    append(&*store, &(0..100).map(|id| image(id, 3000)).collect::<Vec<_>>()).unwrap();
    store.remove(&(0..100).collect::<Vec<Id>>()).unwrap();
    let schema = schema(&url);
    let look = format!("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM (FULL%{schema}%'");
    let comes_to = |count: &str| {
        let mut looks = (0..100).map(|_| {
            thread::sleep(A_WHILE / 7);
            psql(&url, &look)
        });
        looks.any(|found| found == count)
    };
    // It has to wait for somebody, as long as its patience lasts.
    let mut other = psql_session(&url).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(other.stdin.as_mut().unwrap(), "BEGIN; LOCK TABLE {schema}.payload IN ACCESS SHARE MODE;").unwrap();
    thread::sleep(A_WHILE);
    thread::scope(|scope| {
        let compaction = scope.spawn(|| store.compact());
        assert!(comes_to("1"));
        proxy.cut();
        assert_kind(compaction.join().unwrap(), ErrorKind::Transient);
        assert!(comes_to("0"), "the server goes on for nobody");
    });
    drop(other.stdin.take());
    other.wait().unwrap();
    drop_fresh(&url);
}

#[test]
fn a_store_is_deleted_after_the_writer_who_is_at_work() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    drop(open(&url, Mode::Create).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            // What a writer does, with time for others in between. `psql` fails if it is the victim of a deadlock.
            let schema = schema(&url);
            psql(
                &url,
                &format!(
                    "BEGIN; SELECT FROM {schema}.store WHERE key = 'next_id' FOR UPDATE; \
                     DELETE FROM {schema}.image; SELECT pg_sleep(2); DELETE FROM {schema}.payload; COMMIT"
                ),
            )
        });
        thread::sleep(A_WHILE);
        backends::delete(&url).unwrap();
    });
    assert_kind(open(&url, Mode::Read), ErrorKind::NotFound);
}
