//! Connections that are cut at any byte: nothing is lost or stored twice, and nobody notices who need not.

use pinako::ErrorKind;
use pinako::backend::{Backend, Entry, Payload, ReadRequest};
use pinako::backends::Mode;
use pinako::conformance::assert_holds;

use crate::proxy::{Accident, Proxy, Way};
use crate::samples::{PIECE, Stored, append, assert_kind, image, open};
use crate::servers::{drop_fresh, fresh_url};

/// A store reached through a proxy, and the same without one.
struct Place {
    url: String,
    proxy: Proxy,
}

impl Place {
    fn new() -> Option<Place> {
        let url = fresh_url("POSTGRES")?;
        let proxy = Proxy::new(&url);
        drop(open(&url, Mode::Create).unwrap());
        Some(Place { url, proxy })
    }

    fn open(&self) -> Box<dyn Backend> {
        open(&self.proxy.url(&self.url), Mode::Write).unwrap()
    }

    fn direct(&self) -> Box<dyn Backend> {
        open(&self.url, Mode::Read).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop_fresh(&self.url);
    }
}

/// Does `work` once to see how many bytes go which way, then again and again with the connection cut after 0, some, ...
/// and all of them: some ten times each way, and at every byte of the last few, where a commit is under way.
fn with_cuts_everywhere(place: &Place, mut work: impl FnMut(&dyn Backend)) {
    for way in [Way::ToServer, Way::ToClient] {
        let store = place.open();
        work(&*store);
        let before = place.proxy.count(way);
        work(&*store);
        let bytes = place.proxy.count(way) - before;
        let steps = (0..10).map(|step| step * bytes / 10);
        for after in steps.chain(bytes.saturating_sub(16)..bytes) {
            let connections = place.proxy.connections();
            place.proxy.order(way, after, Accident::Cut);
            work(&*store);
            if !place.proxy.take_back() {
                // Where all of the answer had come, the next call finds out.
                work(&*store);
                assert!(place.proxy.connections() > connections, "{way:?} after {after}");
            }
        }
    }
}

#[test]
fn an_append_whose_connection_is_cut_anywhere_is_made_once() {
    let Some(place) = Place::new() else { return };
    let mut images: Vec<Stored> = Vec::new();
    with_cuts_everywhere(&place, |store| {
        let first = images.len() as u64;
        images.extend([image(first, 5), image(first + 1, 70_000), image(first + 2, 0)]);
        let ids = append(store, &images[first as usize..]).unwrap();
        assert_eq!(ids, first..first + 3);
    });
    assert_holds(&*place.direct(), &images);
}

#[test]
fn a_stream_whose_connection_is_cut_anywhere_is_stored_or_not_as_it_is_told() {
    let Some(place) = Place::new() else { return };
    let mut images: Vec<Stored> = Vec::new();
    let mut refused = 0;
    with_cuts_everywhere(&place, |store| {
        let next = image(images.len() as u64, 90_000);
        let descriptor = pinako::Descriptor { id: 0, checksum: 0, ..next.0.clone() };
        let mut reader = &next.1[..];
        match store.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut reader) }]) {
            Ok(ids) => {
                assert_eq!(ids.start, next.0.id);
                images.push(next);
            }
            Err(error) => {
                assert_kind::<()>(Err(error), ErrorKind::Transient);
                refused += 1;
            }
        }
    });
    assert!(refused > 0, "a reader cannot be read twice");
    assert_holds(&*place.direct(), &images);
}

#[test]
fn a_change_whose_connection_is_cut_anywhere_is_made_once() {
    let Some(place) = Place::new() else { return };
    let count = 400;
    let images: Vec<Stored> = (0..count).map(|id| image(id, 10)).collect();
    append(&*place.open(), &images).unwrap();
    let mut gone = 0;
    with_cuts_everywhere(&place, |store| {
        assert_eq!(store.remove(&[gone, gone + count]).unwrap(), 1, "one of two was there");
        gone += 1;
        let before = store.properties().unwrap().label_names;
        store.set_label_names(&[format!("after {gone}")], Some(&before)).unwrap();
    });
    assert_eq!(place.direct().properties().unwrap().label_names, [format!("after {gone}")]);
    assert_holds(&*place.direct(), &images[gone as usize..]);
}

#[test]
fn reading_goes_on_where_its_connection_was_cut_and_pushes_nothing_twice() {
    let Some(place) = Place::new() else { return };
    let mut images: Vec<Stored> = (0..40).map(|id| image(id, 3000)).collect();
    images[20] = image(20, PIECE + 70_000);
    append(&*place.open(), &images).unwrap();
    with_cuts_everywhere(&place, |store| {
        let ids: Vec<u64> = (0..41).collect();
        let mut places = Vec::new();
        store
            .fetch(&ids, &mut |place, found| {
                let expected = images.get(place).map(|(descriptor, payload)| (descriptor.clone(), &payload[..]));
                assert!(found == expected, "image {place}");
                places.push(place);
                Ok(())
            })
            .unwrap();
        places.sort_unstable();
        assert!(places.iter().copied().eq(0..41), "each once: {places:?}");
    });
    with_cuts_everywhere(&place, |store| {
        let ranges = [0..3000, 5..5, 2999..3000, 17..1700];
        let request = |id| ReadRequest::new(id, ranges[id as usize % 4].clone());
        let mut requests: Vec<_> = (0..20).map(request).collect();
        requests.push(ReadRequest::new(20, 100..PIECE as u64 + 50_000));
        let mut places = Vec::new();
        store
            .read(&requests, &mut |place, bytes| {
                let ReadRequest { id, range } = &requests[place];
                let expected = &images[*id as usize].1[range.start as usize..range.end as usize];
                assert!(bytes == Some(expected), "request {place}");
                places.push(place);
                Ok(())
            })
            .unwrap();
        assert!(places.iter().copied().eq(0..21), "each once: {places:?}");
    });
    with_cuts_everywhere(&place, |store| assert_holds(store, &images));
}
