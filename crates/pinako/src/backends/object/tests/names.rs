//! What looking names up takes, and what is found where something is damaged.

use super::*;

/// Named images, more in a part than a manifest lists the names of.
fn named(seeds: Range<u64>) -> Images {
    let named = seeds.map(|seed| {
        let (descriptor, payload) = image(seed, 10);
        (Descriptor { name: Some(format!("image {seed}")), ..descriptor }, payload)
    });
    named.collect()
}

fn refuses(store: &Object, seed: u64) {
    let error = store.append(&mut entries(&named(seed..seed + 1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn a_handle_reads_the_names_of_each_part_once_whatever_heads_it_keeps() {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    let mut all = Vec::new();
    for batch in 0..5 {
        append(&store, named(20 * batch..20 * batch + 20), &mut all);
        assert_eq!(asked(&service), [2, 0, 0, 0], "it knows the names that it stored");
    }
    let mut other = open(&service, Mode::Write, Limits::USUAL).unwrap();
    other.heads = Heads::new(0, heads::MAX_NAMES);
    asked(&service);
    assert_eq!(other.find(&["new", "newer"]).unwrap(), [None, None]);
    assert_eq!(asked(&service), [0, 6, 0, 0], "five columns, and whether there is a newer manifest");
    for batch in 5..8 {
        append(&other, named(20 * batch..20 * batch + 20), &mut all);
        assert_eq!(asked(&service), [2, 0, 0, 0]);
        assert_eq!(other.find(&["new"]).unwrap(), [None]);
        assert_eq!(asked(&service), [0, 1, 0, 0]);
    }
    assert_eq!(other.find(&["image 3", "image 150"]).unwrap(), [Some(3), Some(150)]);
    assert_eq!(asked(&service), [0, 3, 0, 0], "the heads of those two");
    refuses(&other, 42);
    other.compact().unwrap();
    asked(&service);
    assert_eq!(other.find(&["new"]).unwrap(), [None]);
    assert_eq!(asked(&service), [0, 2, 0, 0], "those of the one part that the eight became");
    assert_holds(&other, &all);
}

#[test]
fn where_there_is_no_room_for_names_they_are_read_again() {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    let mut all = Vec::new();
    (0..3).for_each(|batch| append(&store, named(20 * batch..20 * batch + 20), &mut all));
    let mut other = open(&service, Mode::Write, Limits::USUAL).unwrap();
    other.heads = Heads::new(0, 2 * 20 * 8);
    other.find(&["new"]).unwrap();
    asked(&service);
    assert_eq!(other.find(&["new"]).unwrap(), [None]);
    assert_eq!(asked(&service), [0, 2, 0, 0]);
    refuses(&other, 42);
    append(&other, named(60..80), &mut all);
    assert_holds(&other, &all);
}

#[test]
fn a_new_name_costs_eight_bytes_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let open = |mode| open_folder_afar(folder.path(), mode, Duration::from_millis(1)).unwrap();
    open(Mode::Create).append(&mut entries(&named(0..1000))).unwrap();
    let store = open(Mode::Write);
    let received = || store.traffic().received;
    assert_eq!((store.find(&["new"]).unwrap(), received()), (vec![None], 8000));
    store.append(&mut entries(&named(1000..1001))).unwrap();
    assert_eq!(received(), 8000);
}

#[test]
fn hashes_of_names_that_are_damaged_are_found_and_lead_nowhere() {
    let service = Rigged::new();
    let store = new_store(&service, Limits::USUAL);
    append(&store, named(0..20), &mut Vec::new());
    let part = store.known().manifest.parts()[0].clone();
    let path = store.objects.part(part.part);
    let whole = contents(&service, &path);
    for place in part.names.unwrap().range(20).unwrap() {
        let mut damaged = whole.clone();
        damaged[place as usize] ^= 1;
        replace(&service, &path, damaged);
        let other = open(&service, Mode::Write, Limits::USUAL).unwrap();
        let found = other.find(&["image 3"]).unwrap_err();
        let scanned = other.scan(0, &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        for error in [found, scanned] {
            assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("name"), "{error}");
        }
        let appended = other.append(&mut entries(&named(3..4))).unwrap_err();
        assert_eq!(appended.kind(), ErrorKind::Corrupt);
    }
}
