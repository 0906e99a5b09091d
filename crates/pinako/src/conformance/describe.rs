//! Descriptors, names, label names: everything that is not a payload.

use std::ops::ControlFlow;

use super::Fixture;
use super::samples::*;
use crate::descriptor::{Attributes, Descriptor, Encoding, ImageFormat, Layout, Link};
use crate::image::{SampleType, Shape};

pub fn every_field_of_a_descriptor_survives(fixture: &dyn Fixture) {
    let mut encodings = vec![Encoding::Raw(Layout::Row), Encoding::Png];
    encodings.extend(ImageFormat::ALL.map(Encoding::Kept));
    encodings.extend(
        ImageFormat::ALL.map(|format| Encoding::Linked(Link { format, length: u64::MAX >> 1, checksum: 0x0a0b_0c0d })),
    );
    let labels = [None, Some(0), Some(-1), Some(i64::MIN), Some(i64::MAX), Some(1 << 53 | 1)];
    let long = format!(r#"{{"text":"{}"}}"#, "x\\n".repeat(2000));
    let attributes = [
        None,
        Some("{}"),
        Some(r#"{"a":[1,2.5,null,true],"b":{"c":"d"}}"#),
        Some(r#"{"id":7,"file_name":"x.png","label":"no label","päth\"":"\\\n\t\u0000 ü 猫"}"#),
        Some(&long),
    ];
    let shapes = [(1, 1, 1), (32, 32, 3), (1, u32::MAX, 1), (u32::MAX, 1, 1), (1, 1, u16::MAX), (7, 5, 4)];

    let store = fixture.create();
    let mut images = Vec::new();
    for (place, &encoding) in encodings.iter().cycle().take(encodings.len() * 6).enumerate() {
        let payload = match encoding {
            Encoding::Linked(_) => format!("../pictures/ü {place}.jpg").into_bytes(),
            _ => pattern(place as u64, 0, 20 + place),
        };
        let (height, width, channels) = shapes[place / 2 % shapes.len()];
        let descriptor = Descriptor {
            name: (place % 4 != 0).then(|| format!("image {place}")),
            shape: Shape::new(height, width, channels).unwrap(),
            sample_type: SampleType::ALL[place % 6],
            encoding,
            label: labels[place / 3 % labels.len()],
            attributes: attributes[place % attributes.len()].map(|text| Attributes::parse(text).unwrap()),
            ..opaque(&payload)
        };
        images.push((descriptor, payload));
    }
    let longest = format!(r#"{{"text":"{}"}}"#, "x".repeat(Attributes::MAX_LENGTH - r#"{"text":""}"#.len()));
    images[5].0.attributes = Some(Attributes::parse(&longest).unwrap());
    for batch in images.chunks_mut(40) {
        append(&*store, batch);
    }
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn names_of_every_kind_survive(fixture: &dyn Fixture) {
    let mut names: Vec<String> = [
        "a",
        "A",
        "ab",
        "b",
        "0",
        "00000000",
        "-1",
        "é",
        "e\u{301}",
        "猫",
        "🐈",
        "a/b/c.png",
        "/etc/passwd",
        "../../x",
        ".",
        "..",
        "~",
        " ",
        " a",
        "a ",
        "a.",
        "it's",
        "\"quoted\"",
        "back\\slash",
        "100%",
        "%00",
        "a,b",
        "a;b",
        "--",
        "*",
        "NULL",
        "null",
        "con",
        "metadata.jsonl",
        "x'; drop table image; --",
        "\u{200b}",
        "\u{feff}bom",
        "\u{10ffff}",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(Descriptor::MAX_NAME));
    names.push("x".repeat(Descriptor::MAX_NAME - 1));
    names.push("ü".repeat(Descriptor::MAX_NAME / 2));
    names.push("🐈".repeat(Descriptor::MAX_NAME / 4));
    let store = fixture.create();
    let mut images: Vec<Stored> =
        names.iter().map(|name| (named(name, name.as_bytes()), name.clone().into_bytes())).collect();
    append(&*store, &mut images);
    assert_holds(&*store, &images);
    drop(store);
    assert_holds(&*fixture.open(), &images);
}

pub fn describe_keeps_places_and_pushes_none_for_missing_ids(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..10);
    append(&*store, &mut images);
    store.remove(&[4]).unwrap();
    let described = describe(&*store, &[9, 4, 0, 10, u64::MAX, 9, 3, 9]);
    let expected = [Some(9), None, Some(0), None, None, Some(9), Some(3), Some(9)];
    assert_eq!(described, expected.map(|place: Option<usize>| place.map(|place| images[place].0.clone())));
}

pub fn a_scan_starts_anywhere_and_breaks_off(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..3000);
    append(&*store, &mut images[..2700]);
    append(&*store, &mut images[2700..]);
    store.remove(&(1000..1500).collect::<Vec<_>>()).unwrap();
    store.remove(&[0, 2999]).unwrap();
    for first in [0, 1, 2, 999, 1000, 1250, 1499, 1500, 2699, 2700, 2998, 2999, 3000, u64::MAX] {
        let there = |id: &u64| *id >= first && !(1000..1500).contains(id) && ![0, 2999].contains(id);
        let expected: Vec<_> = (0..3000).filter(there).map(|id| images[id as usize].0.clone()).collect();
        assert!(scan(&*store, first) == expected, "a scan from {first}");

        for wanted in [1, 2, 1024, 2000] {
            let mut seen = Vec::new();
            store
                .scan(first, &mut |descriptor| {
                    seen.push(descriptor);
                    Ok(if seen.len() == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })
                .unwrap();
            assert!(seen == expected[..wanted.min(expected.len())], "{wanted} of a scan from {first}");
        }
    }
}

pub fn find_is_exact(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images: Vec<Stored> =
        ["cat", "Cat", "cat/1", "ä"].map(|name| (named(name, b"payload"), b"payload".to_vec())).into();
    images.push((opaque(b"no name"), b"no name".to_vec()));
    append(&*store, &mut images);
    assert_holds(&*store, &images);
    let long = "x".repeat(100_000);
    for unknown in ["", "c", "ca", "cats", "CAT", "cat/", "cat ", " cat", "a\u{308}", "%", "cat\0", "\0", "\n", &long] {
        assert_eq!(find(&*store, unknown), None, "{unknown:?}");
    }
}

pub fn label_names_of_every_kind_survive_and_change_only_from_what_is_expected(fixture: &dyn Fixture) {
    let store = fixture.create();
    let mut images = small(0..3);
    append(&*store, &mut images);
    let odd = ["", " ", "cat", "cat", "Katze ü", "猫", "a,b", "\"", "'", "\\", "a\nb", "\t", "\0", "\r\n", "🐈", ""];
    let lists: [Vec<String>; 6] = [
        odd.map(str::to_owned).into(),
        vec![String::new()],
        (0..5000).map(|label| format!("class {label}")).collect(),
        vec!["x".repeat(100_000)],
        Vec::new(),
        ["cat", "dog"].map(str::to_owned).into(),
    ];
    for list in lists {
        store.set_label_names(&list, None).unwrap();
        assert_eq!(store.properties().unwrap().label_names, list);
        assert_eq!(fixture.open().properties().unwrap().label_names, list);
        images.extend(small(100 + images.len() as u64..101 + images.len() as u64));
        append(&*store, images.last_mut().map(std::slice::from_mut).unwrap());
        assert_eq!(store.properties().unwrap().label_names, list, "an append keeps the label names");
    }
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let more = list(&["cat", "dog", "emu"]);
    for before in [list(&[]), list(&["cat"]), list(&["dog", "cat"]), more.clone()] {
        let attempt = || store.set_label_names(&more, Some(&before));
        assert_refused(&*store, &images, crate::ErrorKind::Conflict, attempt);
    }
    store.set_label_names(&more, Some(&list(&["cat", "dog"]))).unwrap();
    assert_eq!(fixture.open().properties().unwrap().label_names, more);
    assert_holds(&*store, &images);
}

pub fn label_names_of_an_empty_store_survive_opening_again(fixture: &dyn Fixture) {
    let label_names = vec!["cat".to_owned(), "dog".to_owned()];
    fixture.create().set_label_names(&label_names, None).unwrap();
    let store = fixture.open();
    assert_eq!(store.properties().unwrap().label_names, label_names);
    let mut images = small(0..3);
    append(&*store, &mut images);
    store.remove(&[0, 1, 2]).unwrap();
    drop(store);
    assert_eq!(fixture.open().properties().unwrap().label_names, label_names);
    assert_holds(&*fixture.open(), &[]);
}

pub fn hints_are_sound(fixture: &dyn Fixture) {
    let hints = fixture.create().io_hints();
    assert!(hints.read_seconds.is_finite() && hints.read_seconds >= 0.0);
    assert!(hints.byte_seconds.is_finite() && hints.byte_seconds >= 0.0);
    assert!(hints.parallel_reads > 0 && hints.block > 0);
}
