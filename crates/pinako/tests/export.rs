//! What an export writes is what other programs expect, and nothing is left of one that fails.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use pinako::backend::{Backend, Entry, Payload};
use pinako::export::{Format, export};
use pinako::{
    Descriptor, Encoding, ErrorKind, Image, Layout, NewImage, PixelEncoding, Progress, SampleType, Shape, Store,
};

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn image(seed: usize, height: u32, width: u32, channels: u16) -> Image {
    let shape = Shape::new(height, width, channels).unwrap();
    let bytes = (0..shape.byte_length(SampleType::U8) as usize).map(|i| (i * 7 + seed * 31) as u8).collect();
    Image::from_bytes(shape, SampleType::U8, bytes).unwrap()
}

/// A store of `images`, labelled 0, 1, 0, 1, ... and named `test/n0`, `train/n1`, ...
fn store(images: &[Image]) -> Store {
    let store = Store::create("memory:").unwrap();
    store.set_label_names(&["cat".into(), "a/b".into()]).unwrap();
    let new = |(i, image)| {
        let folder = if i % 3 == 0 { "test" } else { "train" };
        NewImage::pixels(image).label(i as i64 % 2).name(format!("{folder}/n{i}.jpg"))
    };
    store.append(images.iter().enumerate().map(new)).unwrap();
    store
}

/// All files under `folder` by their relative paths.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes))),
            false => drop(found.insert(name, fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn folders_hold_a_file_for_each_image_under_its_class() {
    let images: Vec<Image> = (0..4).map(|seed| image(seed, 5 + seed as u32, 6, 3)).collect();
    let store = store(&images);
    let png =
        store.append([NewImage::encoded(images[0].view(), PixelEncoding::Png).label(0).name("other/n0")]).unwrap();
    let png = store.payload(png.start).unwrap();
    store.append([NewImage::file(&png[..])]).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    assert_eq!(export(&store, &out, Format::Folders, &mut go_on).unwrap().images, 6);
    let files = files(&out);
    let names: Vec<&str> = files.keys().map(|name| &**name).collect();
    assert_eq!(
        names,
        ["1/n1.png", "1/n3.png", "cat/n0-00000004.png", "cat/n0.png", "cat/n2.png", "unlabelled/00000005.png"]
    );
    assert_eq!(files["unlabelled/00000005.png"], png);
    let again = Store::create("memory:").unwrap();
    again.append([NewImage::file(&files["1/n3.png"][..])]).unwrap();
    assert_eq!(again.image(0).unwrap(), images[3]);
}

#[test]
fn npy_holds_all_images_and_labels() {
    let images: Vec<Image> = (0..5).map(|seed| image(seed, 5, 6, 3)).collect();
    let store = store(&images);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set.npy");
    assert_eq!(Format::of(&out), Format::Npy);
    export(&store, &out, Format::Npy, &mut go_on).unwrap();

    let array = npyz::NpyFile::new(fs::File::open(&out).unwrap()).unwrap();
    assert_eq!(array.shape(), [5, 5, 6, 3]);
    assert!(array.into_vec::<u8>().unwrap().iter().eq(images.iter().flat_map(Image::bytes)));
    let labels = npyz::NpyFile::new(fs::File::open(folder.path().join("set.labels.npy")).unwrap()).unwrap();
    assert_eq!(labels.shape(), [5]);
    assert_eq!(labels.into_vec::<i64>().unwrap(), [0, 1, 0, 1, 0]);
}

#[test]
fn no_label_is_minus_one_in_an_array_and_a_label_of_minus_one_is_refused() {
    let images: Vec<Image> = (0..3).map(|seed| image(seed, 2, 2, 1)).collect();
    let store = Store::create("memory:").unwrap();
    let labels = [Some(4), None, Some(0)];
    store.append(images.iter().zip(labels).map(|(image, label)| NewImage::pixels(image).label(label))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut outs = vec![(Format::Npy, folder.path().join("set.npy"))];
    if cfg!(feature = "hdf5") {
        outs.push((Format::Hdf5, folder.path().join("set.h5")));
    }
    for (format, out) in &outs {
        export(&store, out, *format, &mut go_on).unwrap();
        let back = Store::create("memory:").unwrap();
        let mut source = pinako::source::open(out).unwrap();
        back.import(&mut *source, &Default::default(), &mut |error| panic!("{error}"), &mut go_on).unwrap();
        assert!(back.scan(0).map(|found| found.unwrap().label).eq(labels), "{format:?}");
        fs::remove_file(out).unwrap();
    }
    fs::remove_file(folder.path().join("set.labels.npy")).unwrap();
    store.append([NewImage::pixels(&images[0]).label(-1)]).unwrap();
    for (format, out) in &outs {
        let error = export(&store, out, *format, &mut go_on).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::Unsupported, Some(3)));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn folders_keep_images_and_classes_apart_whatever_they_are_named() {
    let store = Store::create("memory:").unwrap();
    store.set_label_names(&["unlabelled", "1", "a/b", "3", "3"].map(str::to_owned)).unwrap();
    let images: Vec<Image> = (0..9).map(|seed| image(seed, 5, 6, 3)).collect();
    let named = [
        ("test/a.png", Some(0)),
        ("train/a-00000002.png", Some(0)),
        ("train/a.png", Some(0)),
        ("more/a-00000002.png", Some(0)),
        ("a.png", None),
        ("b.png", Some(1)),
        ("c.png", Some(2)),
        ("d.png", Some(3)),
        ("e.png", Some(4)),
    ];
    let new = named.iter().zip(&images).map(|((name, label), image)| NewImage::pixels(image).label(*label).name(*name));
    store.append(new).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    export(&store, &out, Format::Folders, &mut go_on).unwrap();
    let files = files(&out);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "1/b.png",
            "2/c.png",
            "3/d.png",
            "4/e.png",
            "unlabelled/a-00000002-00000003.png",
            "unlabelled/a-00000002.png",
            "unlabelled/a-00000002_.png",
            "unlabelled/a.png",
            "unlabelled_/a.png",
        ]
    );
}

#[test]
fn names_that_no_file_can_have_are_cut_or_left_out() {
    let store = Store::create("memory:").unwrap();
    let long = "\u{e9}".repeat(127); // 254 bytes
    store.set_label_names(&["cat".to_owned(), format!("{long}ab")]).unwrap();
    let image = image(0, 5, 6, 3);
    let longer = long[..250].repeat(2);
    let names = [&long[..250], &long, &longer, &format!("x/{long}"), "..", "a/..", "b/", "CON", "c\\d", ".e"];
    let new = names.iter().map(|name| NewImage::pixels(&image).label(0).name(*name));
    store.append(new.chain([NewImage::pixels(&image).label(1)])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    export(&store, &out, Format::Folders, &mut go_on).unwrap();
    let files = files(&out);
    let (whole, cut) = (&long[..250], &long[..200]);
    let mut expected = [
        format!("cat/{whole}.png"),
        format!("cat/{cut}-00000001.png"),
        format!("cat/{cut}-00000002.png"),
        format!("cat/{cut}-00000003.png"),
        "cat/00000004.png".to_owned(),
        "cat/00000005.png".to_owned(),
        "cat/00000006.png".to_owned(),
        "cat/CON.png".to_owned(),
        "cat/d.png".to_owned(),
        "cat/.e.png".to_owned(),
        "1/00000010.png".to_owned(),
    ];
    expected.sort();
    assert!(files.keys().eq(&expected), "{:#?}", files.keys());
}

#[test]
fn a_file_does_not_take_the_place_of_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.npy");
    fs::create_dir(&out).unwrap();
    let store = store(&[image(0, 5, 6, 3)]);
    assert_eq!(export(&store, &out, Format::Npy, &mut go_on).unwrap_err().kind(), ErrorKind::Conflict);
    export(&store, &out, Format::Folders, &mut go_on).unwrap();
}

#[test]
fn cifar_batches_have_ten_thousand_images() {
    let image = image(0, 32, 32, 3);
    let store = Store::create("memory:").unwrap();
    store.append((0..10_001).map(|_| NewImage::pixels(&image).label(0))).unwrap();
    store.append((0..3).map(|number| NewImage::pixels(&image).label(0).name(format!("test/{number}")))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    export(&store, &out, Format::CifarPython, &mut go_on).unwrap();
    let lengths: BTreeMap<String, usize> =
        files(&out).into_iter().map(|(name, bytes)| (name, bytes.len() / (32 * 32 * 3))).collect();
    let expected = [("batches.meta", 0), ("data_batch_1", 10_000), ("data_batch_2", 1), ("test_batch", 3)];
    assert!(expected.iter().map(|(name, _)| *name).eq(lengths.keys()));
    for (name, images) in expected {
        // Labels and file names come on top, some 30 bytes an image.
        assert!((images..=images + images / 80 + 1).contains(&lengths[name]), "{name}: {}", lengths[name]);
    }
}

#[test]
fn cifar_pickles_hold_planes_labels_and_file_names() {
    let images: Vec<Image> = (0..5).map(|seed| image(seed, 32, 32, 3)).collect();
    let store = store(&images);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("cifar-10-batches-py");
    export(&store, &out, Format::CifarPython, &mut go_on).unwrap();
    let files = files(&out);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["batches.meta", "data_batch_1", "test_batch"]);
    // Images 1, 2, 4: their planes stand in the pickle one after another.
    let planes: Vec<u8> = [1, 2, 4]
        .iter()
        .flat_map(|&i: &usize| (0..3).flat_map(move |c| (0..1024).map(move |p| (i, c, p))))
        .map(|(i, channel, place)| images[i].bytes()[place * 3 + channel])
        .collect();
    assert!(files["data_batch_1"].windows(planes.len()).any(|window| window == planes));
    assert!(files["test_batch"].windows(6).any(|window| window == b"n3.jpg"));
}

/// A watch that breaks off once something was done.
fn stop_midway(progress: Progress) -> ControlFlow<()> {
    if progress.images > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[test]
fn an_export_that_fails_leaves_nothing() {
    let images = [image(0, 32, 32, 3), image(1, 32, 31, 3)];
    let store = store(&images);
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in [(Format::Npy, "a.npy"), (Format::CifarPython, "c")] {
        let error = export(&store, &folder.path().join(name), format, &mut go_on).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.id().is_some() && error.hint().is_some(), "{error}");
    }
    let out = folder.path().join("f");
    let stopped = export(&store, &out, Format::Folders, &mut stop_midway).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Interrupted);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    fs::write(&out, "mine").unwrap();
    let taken = export(&store, &out, Format::Folders, &mut go_on).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    let missing = export(&store, &folder.path().join("x/y.npy"), Format::Npy, &mut go_on).unwrap_err();
    assert!(missing.hint().is_some(), "{missing}");
}

#[test]
fn an_image_that_claims_more_than_its_payload_holds_is_refused_before_memory_is_taken() {
    let backend = pinako::backends::Memory::new();
    for encoding in [Encoding::Raw(Layout::Row), Encoding::Png] {
        let descriptor = Descriptor {
            id: 0,
            name: None,
            shape: Shape::new(1 << 29, 1 << 29, 1).unwrap(),
            sample_type: SampleType::U8,
            encoding,
            label: None,
            attributes: None,
            payload_length: 10,
            checksum: 0,
        };
        let ids = backend.append(&mut [Entry { descriptor, payload: Payload::Bytes(&[0; 10]) }]).unwrap();
        assert_eq!(ids.end - ids.start, 1);
    }
    let store = Store::from_backend(backend);
    let folder = tempfile::tempdir().unwrap();
    let mut kinds = Vec::new();
    for id in [0, 1] {
        let error = export(&store, &folder.path().join("out.npy"), Format::Npy, &mut go_on).unwrap_err();
        assert_eq!(error.id(), Some(id), "{error}");
        kinds.push(error.kind());
        store.remove(&[id]).unwrap();
    }
    assert_eq!(kinds, [ErrorKind::Corrupt, ErrorKind::Unsupported]);
}
