//! What a store in a bucket does when things go wrong between it and its server: it tries again what may pass, and tells
//! clearly what does not; nothing that was acknowledged is lost, nothing is there by halves, and no call hangs.
#![cfg(feature = "cloud")]

mod proxy;
#[path = "../servers/mod.rs"]
mod servers;

use std::env;
use std::error::Error as _;
use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use pinako::backend::{Backend, Entry, Payload, ReadRequest};
use pinako::backends::{self, Mode};
use pinako::conformance::{assert_holds, pattern};
use pinako::{Descriptor, Durability, Encoding, Error, ErrorKind, Id, ImageFormat, Result, SampleType, Shape};
use proxy::{Fault, Proxy};
use servers::fresh_url;

/// Long enough to try again, and short enough to wait for.
const TIMEOUT: &str = "timeout=1s";

type Images = Vec<(Descriptor, Vec<u8>)>;

/// A place for a store, with a server before it that fails on order.
struct Place {
    proxy: Proxy,
    url: String,
}

impl Place {
    /// Before S3, where most is the same for all services.
    fn new() -> Option<Place> {
        Place::before("S3")
    }

    /// `None` where there is no server of that name.
    fn before(name: &str) -> Option<Place> {
        let url = fresh_url(name)?;
        let endpoint = match name {
            "S3" => env::var("AWS_ENDPOINT_URL").unwrap(),
            "AZ" => env::var("AZURE_STORAGE_ENDPOINT").unwrap(),
            _ => {
                let account = fs::read_to_string(env::var("GOOGLE_SERVICE_ACCOUNT").unwrap()).unwrap();
                let (_, url) = account.split_once(r#""gcs_base_url": ""#).unwrap();
                url.split('"').next().unwrap().to_owned()
            }
        };
        let server = endpoint.strip_prefix("http://").unwrap();
        let (server, path) = server.split_at(server.find('/').unwrap_or(server.len()));
        let proxy = Proxy::start(server);
        let url = format!("{url}?{TIMEOUT}&endpoint=http://127.0.0.1:{}{path}", proxy.port);
        Some(Place { proxy, url })
    }

    fn open(&self, mode: Mode) -> Result<Box<dyn Backend>> {
        open(&self.url, mode)
    }

    /// A store of one batch, and what it holds.
    fn filled(&self) -> (Box<dyn Backend>, Images) {
        let store = self.open(Mode::Create).unwrap();
        let images = images(0..5);
        assert_eq!(append(&*store, &images).unwrap(), 0..5);
        (store, images)
    }
}

fn open(url: &str, mode: Mode) -> Result<Box<dyn Backend>> {
    backends::open(url, mode, Durability::Full)
}

/// Images with these ids.
fn images(ids: Range<Id>) -> Images {
    let image = |id| {
        let payload = pattern(id, 0, 50_000);
        let descriptor = Descriptor {
            id,
            name: Some(format!("image {id}")),
            shape: Shape::new(5, 4, 3).unwrap(),
            sample_type: SampleType::U8,
            encoding: Encoding::Kept(ImageFormat::Jpeg),
            label: None,
            attributes: None,
            payload_length: payload.len() as u64,
            checksum: crc32c::crc32c(&payload),
        };
        (descriptor, payload)
    };
    ids.map(image).collect()
}

fn append(store: &dyn Backend, images: &[(Descriptor, Vec<u8>)]) -> Result<Range<Id>> {
    let entries = images.iter().map(|(descriptor, payload)| Entry {
        descriptor: Descriptor { id: 0, ..descriptor.clone() },
        payload: Payload::Bytes(payload),
    });
    store.append(&mut entries.collect::<Vec<_>>())
}

/// The bytes of an image in the middle of its payload.
fn read(store: &dyn Backend, id: Id) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    store.read(&[ReadRequest::new(id, 1000..40_000)], &mut |_, bytes| {
        read = bytes.unwrap().to_vec();
        Ok(())
    })?;
    Ok(read)
}

fn whole(error: &Error) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}; hint: {}", error.hint().unwrap_or_default())
}

#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, words: &[&str]) {
    let whole = whole(error);
    assert_eq!(error.kind(), kind, "{whole}");
    for word in words {
        assert!(whole.contains(word), "{word:?} is not in {whole:?}");
    }
}

#[test]
fn without_a_server_that_is_said_before_long() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (scheme, options) in [("s3", ""), ("gs", ""), ("az", "&account=a")] {
        let url = format!("{scheme}://bucket/a?anonymous=true&timeout=200ms&endpoint=http://127.0.0.1:{port}{options}");
        for mode in [Mode::Read, Mode::Write, Mode::Create] {
            let error = open(&url, mode).unwrap_err();
            assert_says(&error, ErrorKind::Transient, &["Connection refused", "endpoint"]);
        }
    }
}

#[test]
fn a_missing_bucket_is_not_a_missing_store() {
    for name in ["S3", "GS", "AZ"] {
        let Some(url) = fresh_url(name) else { continue };
        for mode in [Mode::Read, Mode::Write] {
            assert_says(&open(&url, mode).unwrap_err(), ErrorKind::NotFound, &["no store"]);
        }
        let (scheme, _) = url.split_once("://").unwrap();
        for mode in [Mode::Read, Mode::Write, Mode::Create] {
            let error = open(&format!("{scheme}://no-such-bucket-here/a"), mode).unwrap_err();
            assert_says(&error, ErrorKind::NotFound, &["no such bucket", "404"]);
        }
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    let Some(place) = Place::new() else { return };
    let (store, images) = place.filled();
    let date = |seconds: i64| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let date = chrono::DateTime::from_timestamp(now + seconds, 0).unwrap();
        format!("Date: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT"))
    };
    for (status, code, header, words) in [
        (403, "InvalidAccessKeyId", String::new(), "credentials are wrong"),
        (403, "SignatureDoesNotMatch", String::new(), "credentials are wrong"),
        (400, "ExpiredToken", String::new(), "have expired"),
        (403, "AccessDenied", String::new(), "lacks the permission"),
        (403, "RequestTimeTooSkewed", date(2000), "clock is 33 minutes behind"),
        (403, "RequestTimeTooSkewed", date(-5000), "clock is 83 minutes ahead"),
    ] {
        for method in ["GET", "PUT"] {
            place.proxy.order(method, "", Fault::Refuse(status, code, header.clone()), usize::MAX);
            let error = match method {
                "GET" => place.open(Mode::Read).map(drop).unwrap_err(),
                _ => append(&*store, &self::images(5..7)).unwrap_err(),
            };
            assert_says(&error, ErrorKind::Denied, &[code, words]);
            place.proxy.clear();
        }
    }
    assert_holds(&*store, &images);
}

fn try_again(place: &Place) {
    let busy = Fault::Refuse(503, "SlowDown", String::new());
    let broken = Fault::Refuse(500, "InternalError", String::new());
    let raced = Fault::Refuse(409, "ConditionalRequestConflict", String::new());
    place.proxy.order("PUT", "manifest/", broken, 2);
    let store = place.open(Mode::Create).unwrap();
    for fault in [&busy, &Fault::CutAnswer] {
        place.proxy.order("GET", "list", fault.clone(), 1);
        place.open(Mode::Read).unwrap();
        place.proxy.assert_came();
    }
    let mut all = Vec::new();
    for (path, fault) in ["parts/", "manifest/"].into_iter().flat_map(|path| {
        let faults = [&busy, &raced, &Fault::CutRequest, &Fault::CutBeforeAnswer, &Fault::Silence];
        faults.map(|fault| (path, fault.clone()))
    }) {
        let before = store.traffic().requests;
        place.proxy.order("PUT", path, fault.clone(), 1);
        let next = all.len() as Id;
        let more = images(next..next + 3);
        assert_eq!(append(&*store, &more).unwrap(), next..next + 3, "{path} {fault:?}");
        place.proxy.assert_came();
        assert!(store.traffic().requests >= before + 3, "{path} {fault:?}");
        all.extend(more);
    }
    for fault in [busy, Fault::CutBeforeAnswer, Fault::CutAnswer, Fault::Silence] {
        for path in ["parts/", "manifest/"] {
            place.proxy.order("GET", path, fault.clone(), 1);
            let store = place.open(Mode::Read).unwrap();
            assert_eq!(read(&*store, 2).unwrap(), &pattern(2, 0, 50_000)[1000..40_000], "{path} {fault:?}");
            place.proxy.assert_came();
        }
    }
    assert_holds(&*place.open(Mode::Read).unwrap(), &all);
    assert_holds(&*store, &all);
}

#[test]
fn what_may_pass_is_tried_again_at_s3() {
    Place::before("S3").iter().for_each(try_again);
}

#[test]
fn what_may_pass_is_tried_again_at_gcs() {
    Place::before("GS").iter().for_each(try_again);
}

#[test]
fn what_may_pass_is_tried_again_at_azure() {
    Place::before("AZ").iter().for_each(try_again);
}

#[test]
fn an_append_that_fails_leaves_nothing_behind_or_says_that_it_may() {
    let Some(place) = Place::new() else { return };
    let (store, mut all) = place.filled();
    let busy = Fault::Refuse(503, "SlowDown", String::new());
    for (path, fault) in [
        ("parts/", busy),
        ("parts/", Fault::CutRequest),
        ("parts/", Fault::Silence),
        ("manifest/", Fault::CutBeforeAnswer),
        ("manifest/", Fault::Silence),
    ] {
        let next = all.len() as Id;
        place.proxy.order("PUT", path, fault.clone(), usize::MAX);
        let appended = append(&*store, &images(next..next + 3));
        place.proxy.clear();
        if let Err(error) = &appended {
            // It names what failed; of a manifest it says that what became of it is not known.
            let word = if path == "parts/" { path } else { "unknown" };
            assert_says(error, ErrorKind::Transient, &[word]);
        }
        // One whose answers were lost is there, whatever was said.
        let there = store.properties().unwrap().next_id;
        let was_done = matches!(fault, Fault::CutBeforeAnswer) && path == "manifest/";
        assert_eq!(there, if was_done { next + 3 } else { next }, "{path} {fault:?}: {appended:?}");
        assert!(was_done || appended.is_err(), "{path} {fault:?}");
        all.extend(images(next..there));
        assert_holds(&*store, &all);
        assert_holds(&*place.open(Mode::Read).unwrap(), &all);
        // The handle goes on.
        append(&*store, &images(there..there + 2)).unwrap();
        all.extend(images(there..there + 2));
    }
    assert_holds(&*store, &all);
}

#[test]
fn reads_that_fail_say_of_which_object() {
    let Some(place) = Place::new() else { return };
    drop(place.filled());
    for (fault, kind) in [
        (Fault::Refuse(404, "NoSuchKey", String::new()), ErrorKind::Corrupt),
        (Fault::HalfBody, ErrorKind::Corrupt),
        (Fault::Garbage, ErrorKind::Corrupt),
        (Fault::CutAnswer, ErrorKind::Transient),
        (Fault::CutBeforeAnswer, ErrorKind::Transient),
        (Fault::Silence, ErrorKind::Transient),
    ] {
        let store = place.open(Mode::Read).unwrap();
        place.proxy.order("GET", "parts/", fault.clone(), usize::MAX);
        let error = store.describe(&[1], &mut |_, _| Ok(())).unwrap_err();
        assert_says(&error, kind, &["parts/"]);
        place.proxy.clear();
        // The handle goes on, after the moment for which it remembers that a part is lost.
        let cleared = Instant::now();
        let mut again = read(&*store, 1);
        while again.is_err() && cleared.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(50));
            again = read(&*store, 1);
        }
        assert_eq!(again.unwrap().len(), 39_000);
    }
    for (fault, kind) in [
        (Fault::HalfBody, ErrorKind::Corrupt),
        (Fault::Garbage, ErrorKind::Corrupt),
        (Fault::CutAnswer, ErrorKind::Transient),
        (Fault::Silence, ErrorKind::Transient),
    ] {
        place.proxy.order("GET", "manifest/1", fault.clone(), usize::MAX);
        let error = place.open(Mode::Read).unwrap_err();
        assert_says(&error, kind, &["manifest/"]);
        place.proxy.clear();
    }
}

#[test]
fn nobody_waits_for_a_server_that_says_nothing_for_longer_than_the_timeout() {
    let Some(place) = Place::new() else { return };
    let (store, images) = place.filled();
    for method in ["GET", "PUT", "POST", "DELETE", "HEAD"] {
        place.proxy.order(method, "", Fault::Silence, usize::MAX);
    }
    let begun = std::time::Instant::now();
    for error in [
        place.open(Mode::Write).map(drop).unwrap_err(),
        read(&*store, 1).map(drop).unwrap_err(),
        store.properties().map(drop).unwrap_err(),
    ] {
        assert_says(&error, ErrorKind::Transient, &["nothing came", "?timeout="]);
    }
    let error = append(&*store, &self::images(5..6)).unwrap_err();
    assert_says(&error, ErrorKind::Transient, &[]);
    // A dozen times what the four calls need; a hang would last for ever.
    assert!(begun.elapsed() < Duration::from_secs(60));
    place.proxy.clear();
    assert_holds(&*store, &images);
}
