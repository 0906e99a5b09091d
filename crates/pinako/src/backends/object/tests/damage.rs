//! Objects that are not what was put.

use proptest::prelude::*;

use super::*;
use crate::backends::sealed::Header;
use crate::backends::{FORMAT_VERSION, sealed};

/// What comes of everything that a store can be asked.
fn ask_all(service: &Rigged) -> Result<Images> {
    let store = open(service, Mode::Read, SMALL)?;
    let mut ids = Vec::new();
    store.scan(0, &mut |descriptor| {
        ids.push(descriptor.id);
        Ok(ControlFlow::Continue(()))
    })?;
    store.find(&["image 0", "image 16", "image 30"])?;
    store.describe(&ids, &mut |_, _| Ok(()))?;
    Ok(fetch(&store, &ids)?.into_iter().flatten().collect())
}

#[test]
fn an_object_that_is_missing_cut_or_another_is_named() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let all = mixed(&store);
    assert_eq!(ask_all(&service).unwrap(), all);
    let parts: Vec<ObjectPath> = objects(&service).into_iter().filter(|path| !is_manifest(path)).collect();
    for (place, path) in parts.iter().enumerate() {
        let whole = contents(&service, path);
        let check = |what: &str| {
            let error = ask_all(&service).expect_err(what);
            let name = path.filename().unwrap();
            assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(name), "{what}: {error}");
        };
        delete(&service, path);
        check("missing");
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            replace(&service, path, whole[..length].to_vec());
            check("cut");
        }
        replace(&service, path, contents(&service, &parts[(place + 1) % parts.len()]));
        if contents(&service, path).len() != whole.len() {
            check("swapped");
        }
        replace(&service, path, whole);
    }
    assert_eq!(ask_all(&service).unwrap(), all);
}

#[test]
fn parts_that_were_swapped_give_no_wrong_images() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    append(&store, vec![image(1, 40)], &mut Vec::new());
    append(&store, vec![image(3, 40)], &mut Vec::new());
    let paths: Vec<ObjectPath> = objects(&service).into_iter().filter(|path| !is_manifest(path)).collect();
    let (one, other) = (contents(&service, &paths[0]), contents(&service, &paths[1]));
    assert_eq!(one.len(), other.len());
    replace(&service, &paths[0], other);
    replace(&service, &paths[1], one);
    // Each is a sound part: only the payloads of other images come, with the descriptors that they belong to.
    let found = ask_all(&service).unwrap();
    assert!(found.iter().all(|(descriptor, bytes)| crc32c::crc32c(bytes) == descriptor.checksum));
}

#[test]
fn a_manifest_that_is_none_is_an_error_that_names_it() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    mixed(&store);
    let path = store.objects.manifest(store.known().number);
    let whole = contents(&service, &path);
    let header = |header: Header| {
        let mut text = Vec::new();
        sealed::write(&header, &mut text).unwrap();
        text.extend_from_slice(&whole[whole.iter().position(|&byte| byte == b'\n').unwrap() + 1..]);
        text
    };
    let newer = Header { format_version: FORMAT_VERSION + 1, ..Header::new("object") };
    let bad = [
        (b"garbage".to_vec(), ErrorKind::Corrupt),
        (Vec::new(), ErrorKind::Corrupt),
        (vec![0xff; 3000], ErrorKind::Corrupt),
        (header(Header::new("hdf5")), ErrorKind::Corrupt),
        (header(newer), ErrorKind::Unsupported),
        ([&whole[..], b"{}\n"].concat(), ErrorKind::Corrupt),
    ];
    for (text, kind) in bad {
        replace(&service, &path, text);
        let error = ask_all(&service).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(path.filename().unwrap()), "{error:?}");
        assert_eq!(store.reload().map(drop).unwrap_err().kind(), kind);
    }
    for length in 0..whole.len() {
        replace(&service, &path, whole[..length].to_vec());
        assert!(ask_all(&service).is_err(), "cut at {length}");
    }
    replace(&service, &path, whole);
    ask_all(&service).unwrap();
    // What a service's web page makes where somebody asks for a folder is none of the store's.
    for marker in ["some/where/manifest", "some/where/manifest/0", "some/where/manifest/.DS_Store"] {
        replace(&service, &ObjectPath::from(marker), Vec::new());
    }
    ask_all(&service).unwrap();
    replace(&service, &ObjectPath::from("some/where/manifest/0 notes.txt"), vec![1]);
    assert!(ask_all(&service).unwrap_err().to_string().contains("notes.txt"));
}

/// A part and the bytes of its head.
fn head() -> (Part, Vec<u8>) {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    append(&store, (0..9).map(|seed| image(seed, 10)).collect(), &mut Vec::new());
    let part = store.known().manifest.parts()[0].clone();
    let bytes = contents(&service, &store.objects.part(part.part))[..part.head_bytes as usize].to_vec();
    (part, bytes)
}

/// Asks a head for everything that it may say.
fn ask_head(bytes: Vec<u8>, part: &Part) -> Option<Vec<Descriptor>> {
    let head = Head::open(bytes.into(), part).ok()?;
    let removed = IdSet::default();
    for row in 0..head.rows() {
        head.row(head.id(row));
        let _ = head.payload(row);
        head.payload_length(row);
    }
    head.find("image 4", super::super::super::manifest::name_hash("image 4"), &removed);
    (0..head.rows()).map(|row| head.descriptor(row).ok()).collect()
}

#[test]
fn every_bit_of_a_head_that_is_turned_is_found_or_not_read() {
    let (part, bytes) = head();
    let expected = ask_head(bytes.clone(), &part).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut turned = bytes.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        if let Some(found) = ask_head(turned, &part) {
            assert_eq!(found, expected, "bit {bit}");
        }
    }
    for length in 0..bytes.len() {
        if let Some(found) = ask_head(bytes[..length].to_vec(), &part) {
            assert_eq!(found, expected, "cut at {length}");
        }
    }
}

proptest! {
    #[test]
    fn a_head_of_any_bytes_is_never_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 1..20),
        cut in any::<prop::sample::Index>(),
        count in 1u64..40,
    ) {
        let (part, mut bytes) = head();
        for (place, change) in changes {
            let place = place.index(bytes.len() - 4);
            bytes[place..place + 4].copy_from_slice(&change);
        }
        bytes.truncate(cut.index(2 * bytes.len()));
        ask_head(bytes, &Part { count, last: part.first + count - 1, ..part });
    }
}
