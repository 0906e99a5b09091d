//! Images too large to be held in memory, on their way into a store.

mod schemes;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;

use pinako::backends::{self, Mode};
use pinako::wrappers::{Fault, Faulty, Operation};
use pinako::{
    Attributes, Durability, Encoding, ErrorKind, Image, ImportEncoding, ImportOptions, Layout, NewImage, PixelEncoding,
    Progress, SampleType, Shape, Store, export, source,
};
use schemes::SCHEMES;

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A source of one image whose pixels come from a reader; as many are missing as said.
struct Streamed(Option<usize>);

/// The samples of that image.
fn streamed() -> Vec<u16> {
    (0..270 * 531u32).map(|at| (at.wrapping_mul(40_503) >> 7) as u16).collect()
}

impl source::Source for Streamed {
    fn describe(&self) -> String {
        "a reader".to_owned()
    }

    fn label_names(&self) -> &[String] {
        &[]
    }

    fn len(&self) -> Option<u64> {
        Some(1)
    }

    fn next(&mut self) -> Option<pinako::Result<source::Item>> {
        let mut bytes: Vec<u8> = streamed().iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.truncate(bytes.len() - self.0.take()?);
        let (shape, reader) = (Shape::new(531, 270, 1).unwrap(), Box::new(std::io::Cursor::new(bytes)));
        let content = source::Content::Stream { shape, sample_type: SampleType::U16, reader };
        let (name, origin) = ("large".to_owned(), "here".to_owned());
        Some(Ok(source::Item { name, label: Some(4), attributes: None, content, origin }))
    }
}

#[test]
fn images_that_come_from_a_reader_are_imported_in_any_way_and_known_again() {
    let import = |store: &Store, missing, encoding| {
        let options = ImportOptions { encoding, ..Default::default() };
        store.import(&mut Streamed(Some(missing)), &options, &mut |_| {}, &mut go_on)
    };
    for (encoding, stored) in [
        (ImportEncoding::AsTheyCame, "raw:row"),
        (ImportEncoding::RawIn("row".parse().unwrap()), "raw:row"),
        (ImportEncoding::RawIn("hilbert:8".parse().unwrap()), "raw:hilbert:8"),
        (ImportEncoding::Png, "png"),
    ] {
        let store = Store::create("memory:").unwrap();
        let error = import(&store, 1, encoding).unwrap_err();
        assert!(error.to_string().contains("here"), "{error}");
        assert_eq!(store.count().unwrap(), 0);
        assert_eq!(import(&store, 0, encoding).unwrap().images, 1);
        assert_eq!(store.image(0).unwrap().to_samples::<u16>().unwrap(), streamed(), "{stored}");
        let descriptor = store.descriptor(0).unwrap();
        assert_eq!((descriptor.encoding.to_string().as_str(), descriptor.label), (stored, Some(4)));
        assert_eq!(import(&store, 0, encoding).unwrap().present, 1, "{stored}");
        let others = ["row", "hilbert:1"].map(|layout| ImportEncoding::RawIn(layout.parse().unwrap()));
        for other in others {
            // In another layout it is the same image; as a file it is another.
            assert_eq!(import(&store, 0, other).is_ok(), stored != "png", "{stored} {other:?}");
        }
    }
    let store = Store::create("memory:").unwrap();
    let error = import(&store, 0, ImportEncoding::Link).unwrap_err();
    assert!(error.to_string().contains("only image files can be linked"), "{error}");
}

#[test]
fn a_large_array_is_imported_along_the_curve() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("set.npy");
    let bytes: Vec<u8> = (0..2 * 4100 * 8200u32).map(|at| (at.wrapping_mul(40_503) >> 7) as u8).collect();
    // A file of numpy's with these elements.
    let npy = |kind: &str, shape: &str, bytes: &[u8]| {
        let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), bytes].concat()
    };
    fs::write(&path, npy("|u1", "(2, 4100, 8200)", &bytes)).unwrap();
    fs::write(root.path().join("set.labels.npy"), npy("|i1", "(2,)", &[4, 255])).unwrap();
    // The same array in an archive, and in HDF5 as we export it.
    let mut archive = zip::ZipWriter::new(fs::File::create(root.path().join("set.npz")).unwrap());
    let deflated = zip::write::SimpleFileOptions::default().compression_level(Some(1));
    for (name, file) in [("images.npy", "set.npy"), ("labels.npy", "set.labels.npy")] {
        archive.start_file(name, deflated).unwrap();
        archive.write_all(&fs::read(root.path().join(file)).unwrap()).unwrap();
    }
    archive.finish().unwrap();
    let formats: &[_] = if cfg!(feature = "hdf5") { &["npy", "npz", "h5"] } else { &["npy", "npz"] };
    for format in formats {
        let url = format!("files:{}", root.path().join(format!("store of {format}")).display());
        let store = Store::options().open_or_create(&url).unwrap();
        let mut source = source::open(&path.with_extension(format)).unwrap();
        let options = ImportOptions::default();
        let imported = store.import(&mut *source, &options, &mut |_| {}, &mut go_on);
        assert_eq!(imported.unwrap().images, 2);
        for (id, label) in [(0, Some(4)), (1, None)] {
            let descriptor = store.descriptor(id).unwrap();
            assert_eq!((descriptor.encoding.to_string().as_str(), descriptor.label), ("raw:hilbert:64", label));
            assert!(store.image(id).unwrap().bytes() == &bytes[id as usize * 4100 * 8200..][..4100 * 8200], "{format}");
        }
        if *format == "npz" {
            // An image is known again in any layout.
            store.relayout(0, "row".parse().unwrap(), &mut go_on).unwrap();
            let mut source = source::open(&path.with_extension(format)).unwrap();
            let again = store.import(&mut *source, &options, &mut |_| {}, &mut go_on);
            assert_eq!(again.unwrap().present, 2);
        }
        if cfg!(feature = "hdf5") && *format == "npy" {
            let out = path.with_extension("h5");
            export::export(&store, &out, export::Format::Hdf5, &mut go_on).unwrap();
        }
    }
}

#[test]
fn large_image_files_are_imported_piece_by_piece() {
    let (width, height) = (8200, 4100);
    let pixels: Vec<u8> = (0..width * height).map(|at: u32| (at.wrapping_mul(40_503) >> 7) as u8).collect();
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let mut file = fs::File::create(path("a.png")).unwrap();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let file = fs::File::create(path("a.tif")).unwrap();
    let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray8>(width, height, &pixels).unwrap();
    for name in ["a.png", "a.tif"] {
        // Neither file nor image may be in memory, as far as the limit knows.
        let store = Store::options().max_image_bytes(1 << 20).create("memory:").unwrap();
        let import = |encoding| {
            let options = ImportOptions { encoding, ..Default::default() };
            let mut source = source::open(&path(name)).unwrap();
            store.import(&mut *source, &options, &mut |_| {}, &mut go_on)
        };
        for layout in ["hilbert:64", "row"] {
            assert_eq!(import(ImportEncoding::RawIn(layout.parse().unwrap())).unwrap().images, 1, "{name}");
            let image = store.image(store.find(name).unwrap().unwrap()).unwrap();
            assert!(image.bytes() == pixels, "{name} {layout}");
            store.remove(&[store.find(name).unwrap().unwrap()]).unwrap();
        }
        assert_eq!(import(ImportEncoding::AsTheyCame).unwrap_err().kind(), ErrorKind::Unsupported);
        let length = fs::metadata(path(name)).unwrap().len();
        fs::OpenOptions::new().write(true).open(path(name)).unwrap().set_len(length - 10_000).unwrap();
        let error = import(ImportEncoding::Raw).unwrap_err();
        assert_eq!((error.kind(), store.count().unwrap()), (ErrorKind::Corrupt, 0), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_relayout_gives_the_same_image_on_every_backend() {
    let bytes: Vec<u8> = (0..531 * 270 * 3u32).map(|at| (at.wrapping_mul(40_503) >> 7) as u8).collect();
    let image = Image::from_bytes(Shape::new(531, 270, 3).unwrap(), SampleType::U8, bytes).unwrap();
    for scheme in ["memory"].iter().chain(SCHEMES) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}:{}", folder.path().join("store").display());
        let store = Store::create(if *scheme == "memory" { "memory:" } else { &url }).unwrap();
        let row = PixelEncoding::RawIn(Layout::Row);
        let attributes = Attributes::parse(r#"{"sun":45}"#).unwrap();
        let named = NewImage::encoded(image.view(), row).name("a").label(3).attributes(attributes.clone());
        store.append([named, NewImage::encoded(image.view(), row)]).unwrap();
        for (id, name, layout) in [(0, Some("a"), "hilbert:64"), (1, None, "hilbert:1"), (3, Some("a"), "row")] {
            let layout = layout.parse().unwrap();
            let new = store.relayout(id, layout, &mut go_on).unwrap();
            assert!(new > id && store.descriptors(&[id]).unwrap()[0].is_none(), "{scheme}");
            let descriptor = store.descriptor(new).unwrap();
            assert_eq!((descriptor.encoding, descriptor.name.as_deref()), (Encoding::Raw(layout), name));
            assert_eq!(descriptor.label, name.map(|_| 3));
            assert_eq!(descriptor.attributes, name.map(|_| attributes.clone()));
            assert_eq!(store.image(new).unwrap(), image, "{scheme}");
            assert_eq!(store.relayout(new, layout, &mut go_on).unwrap(), new);
        }
        assert_eq!(store.count().unwrap(), 2);
    }
}

#[test]
fn a_relayout_is_seen_moving_and_ends_soundly_when_it_is_told_to() {
    let bytes: Vec<u8> = (0..1500 * 2000u32).map(|at| (at.wrapping_mul(40_503) >> 7) as u8).collect();
    let image = Image::from_bytes(Shape::new(2000, 1500, 1).unwrap(), SampleType::U8, bytes).unwrap();
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&format!("{scheme}:{}", folder.path().join("store").display())).unwrap();
        store.append([NewImage::encoded(image.view(), PixelEncoding::RawIn(Layout::Row)).name("a")]).unwrap();
        let error = store.relayout(0, "hilbert:4".parse().unwrap(), &mut |_| ControlFlow::Break(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{scheme} {error}");
        // Heard at its beginning, and about when it is stored aside, or once more.
        for (percent, layout) in [(1, "hilbert:4"), (60, "hilbert:2"), (80, "hilbert:1")] {
            let id = store.scan(0).next().unwrap().unwrap().id;
            let mut watch = |progress: Progress| match progress.percent {
                Some(done) if done >= percent => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            if let Err(error) = store.relayout(id, layout.parse().unwrap(), &mut watch) {
                assert_eq!(error.kind(), ErrorKind::Interrupted, "{scheme} {error}");
                let hint = error.hint().unwrap();
                let is_aside = store.count().unwrap() == 1 && store.find("a").unwrap().is_none();
                assert!(
                    hint.contains(if is_aside { "a relayout of that one" } else { "it can be started again" }),
                    "{hint}"
                );
            }
        }
        let id = store.scan(0).next().unwrap().unwrap().id;
        let id = store.relayout(id, "hilbert:8".parse().unwrap(), &mut go_on).unwrap();
        assert_eq!((store.count().unwrap(), store.find("a").unwrap()), (1, Some(id)), "{scheme}");
        assert_eq!(store.image(id).unwrap(), image, "{scheme}");
    }
}

#[test]
fn a_large_image_that_was_put_in_another_layout_since_it_was_copied_is_not_taken_for_another_one() {
    let image = Image::from_bytes(Shape::new(4100, 4200, 1).unwrap(), SampleType::U8, vec![7; 4100 * 4200]).unwrap();
    let [from, to] = [(); 2].map(|()| Store::create("memory:").unwrap());
    from.append([NewImage::encoded(image.view(), PixelEncoding::RawIn(Layout::Row)).name("a")]).unwrap();
    from.copy_to(&to, &mut go_on).unwrap();
    let id = to.relayout(0, "hilbert:64".parse().unwrap(), &mut go_on).unwrap();
    let error = from.copy_to(&to, &mut go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("in another layout") && error.hint().unwrap().contains("to row"), "{error:?}");
    to.relayout(id, Layout::Row, &mut go_on).unwrap();
    assert_eq!(from.copy_to(&to, &mut go_on).unwrap().present, 1);
}

#[test]
fn attributes_that_fill_all_they_may_cannot_be_put_aside_and_that_is_told_before_anything_changes() {
    let store = Store::create("memory:").unwrap();
    let ([image, _], layout) = one_and_another();
    for (length, is_room) in [(Attributes::MAX_LENGTH - 200, true), (Attributes::MAX_LENGTH, false)] {
        let attributes = Attributes::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8))).unwrap();
        let id = store.append([NewImage::pixels(&image).attributes(attributes)]).unwrap().start;
        match store.relayout(id, layout, &mut go_on) {
            Ok(_) => assert!(is_room),
            Err(error) => {
                assert!(!is_room && error.to_string().contains("some bytes more"), "{error}");
                assert_eq!((error.kind(), error.id()), (ErrorKind::InvalidInput, Some(id)));
                assert_eq!(store.image(id).unwrap(), image);
            }
        }
    }
}

#[test]
fn a_relayout_that_fails_at_any_step_keeps_the_image() {
    let image = Image::from_bytes(Shape::new(9, 8, 1).unwrap(), SampleType::U8, (0..72).collect()).unwrap();
    let operations = [Operation::Append, Operation::Remove, Operation::Read];
    for (operation, after) in operations.iter().flat_map(|&operation| (0..3).map(move |after| (operation, after))) {
        let faulty = Faulty::new(backends::open("memory:", Mode::Create, Durability::Full).unwrap());
        let faults = faulty.faults();
        let store = Store::from_backend(faulty);
        store.append([NewImage::encoded(image.view(), PixelEncoding::RawIn(Layout::Row)).name("a")]).unwrap();
        faults.order(Fault::Before(operation), after);
        let done = store.relayout(0, "hilbert:2".parse().unwrap(), &mut go_on);
        let found = ["a", "a (relayout)"].map(|name| store.find(name).unwrap());
        let found: Vec<u64> = found.into_iter().flatten().collect();
        assert!(!found.is_empty(), "{operation:?} {after}");
        assert!(done.is_err() || found == [2], "{operation:?} {after}: {found:?}");
        for id in &found {
            assert_eq!(store.image(*id).unwrap(), image);
        }
        if done.is_ok() {
            continue; // what was ordered never came to pass
        }
        // Whichever is there, the next relayout ends with the image under its own name, and nothing else.
        let id = store.relayout(found[after as usize % found.len()], "hilbert:4".parse().unwrap(), &mut go_on).unwrap();
        assert_eq!((store.count().unwrap(), store.find("a").unwrap()), (1, Some(id)), "{operation:?} {after}");
        assert_eq!(store.image(id).unwrap(), image);
    }
}

/// What a relayout of the image `of` has left that was killed.
fn aside<'a>(image: &'a Image, name: &str, of: u64, named: Option<&str>) -> NewImage<'a> {
    let mark = serde_json::json!({ "pinako:relayout": { "of": of, "name": named, "attributes": null } });
    let new = NewImage::encoded(image.view(), PixelEncoding::RawIn("hilbert:2".parse().unwrap()));
    new.name(name).attributes(Attributes::parse(&mark.to_string()).unwrap())
}

/// Two images, and the layout that they are put in.
fn one_and_another() -> ([Image; 2], Layout) {
    let of = |bytes: Vec<u8>| Image::from_bytes(Shape::new(9, 8, 1).unwrap(), SampleType::U8, bytes).unwrap();
    ([of((0..72).collect()), of(vec![7; 72])], "hilbert:4".parse().unwrap())
}

#[test]
fn a_relayout_touches_no_image_that_only_has_such_a_name() {
    let store = Store::create("memory:").unwrap();
    let ([image, other], layout) = one_and_another();
    store.append([NewImage::pixels(&image).name("a"), NewImage::pixels(&other).name("a (relayout)")]).unwrap();
    let error = store.relayout(0, layout, &mut go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(store.image(1).unwrap(), other);

    assert_eq!(store.find_aside("a").unwrap(), None);
    // What is aside, when another image has taken the name: neither goes, until somebody says which one.
    store.remove(&[1]).unwrap();
    let aside = store.append([aside(&other, "a (relayout)", 7, Some("a"))]).unwrap().start;
    assert_eq!((store.find_aside("a").unwrap(), store.find_aside("a (relayout)").unwrap()), (Some(aside), None));
    let error = store.relayout(aside, layout, &mut go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.hint().unwrap().contains("a relayout of that one finishes"), "{error:?}");
    let error = store.relayout(0, layout, &mut go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.hint().unwrap().contains(&format!("a relayout of image {aside}, or remove it")), "{error:?}");
    assert_eq!((store.image(0).unwrap(), store.image(aside).unwrap()), (image, other.clone()));
    store.remove(&[0]).unwrap();
    assert_eq!(store.image(store.relayout(aside, layout, &mut go_on).unwrap()).unwrap(), other);
    assert_eq!((store.count().unwrap(), store.find("a").unwrap().is_some()), (1, true));
}

#[test]
fn what_is_aside_of_an_image_without_a_name_stays_when_a_copy_has_another_image_of_that_id() {
    let store = Store::create("memory:").unwrap();
    let ([image, other], layout) = one_and_another();
    let left = aside(&other, "image 0 (relayout)", 0, None);
    store.append([NewImage::pixels(&image), left]).unwrap();
    let error = store.relayout(0, layout, &mut go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(store.count().unwrap(), 2);
    let finished = store.relayout(1, layout, &mut go_on).unwrap();
    assert_eq!((store.image(finished).unwrap(), store.descriptor(finished).unwrap().name), (other, None));
    assert_eq!(store.image(store.relayout(0, layout, &mut go_on).unwrap()).unwrap(), image);
    assert_eq!(store.count().unwrap(), 2);
}

#[test]
fn an_image_outlives_a_second_relayout_and_a_kill_while_the_first_one_is_at_work() {
    let ([image, _], layout) = one_and_another();
    for name in [Some("a"), None] {
        for (operation, after) in [(Operation::Append, 0), (Operation::Append, 1), (Operation::Remove, 1)] {
            let faulty = Faulty::new(backends::open("memory:", Mode::Create, Durability::Full).unwrap());
            let faults = faulty.faults();
            let store = Store::from_backend(faulty);
            let new = NewImage::pixels(&image);
            store.append([if let Some(name) = name { new.name(name) } else { new }]).unwrap();
            // The first one has come so far; the second one is killed, and so is the first, after its next step.
            store.append([aside(&image, name.map_or("image 0 (relayout)", |_| "a (relayout)"), 0, name)]).unwrap();
            faults.order(Fault::Before(operation), after);
            let _ = store.relayout(0, layout, &mut go_on);
            store.remove(&[0]).unwrap();
            let left = store.scan(0).next().expect("it is lost").unwrap();
            let new = store.relayout(left.id, "row".parse().unwrap(), &mut go_on).unwrap();
            assert_eq!(store.image(new).unwrap(), image, "{operation:?} {after}");
            assert_eq!((store.descriptor(new).unwrap().name.as_deref(), store.count().unwrap()), (name, 1));
        }
    }
}

#[test]
fn of_several_relayouts_of_one_image_at_once_one_is_done_and_nothing_is_lost() {
    let ([image, _], _) = one_and_another();
    for _ in 0..20 {
        let store = Store::create("memory:").unwrap();
        store.append([NewImage::pixels(&image).name("a")]).unwrap();
        std::thread::scope(|scope| {
            for layout in ["hilbert:1", "hilbert:2", "hilbert:4"] {
                scope.spawn(|| store.relayout(0, layout.parse().unwrap(), &mut go_on));
            }
        });
        let left: Vec<u64> = store.scan(0).map(|image| image.unwrap().id).collect();
        let id = store.relayout(*left.last().unwrap(), "hilbert:8".parse().unwrap(), &mut go_on).unwrap();
        assert_eq!((store.count().unwrap(), store.find("a").unwrap()), (1, Some(id)), "{left:?}");
        assert_eq!(store.image(id).unwrap(), image);
    }
}
