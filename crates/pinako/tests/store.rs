//! The store above its backends: what users see, on every embedded backend.

mod schemes;

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use pinako::{
    Attributes, Encoding, ErrorKind, Image, ImageFormat, NewImage, PixelEncoding, Progress, Region, SampleType, Shape,
    Store,
};
use schemes::SCHEMES;

/// Runs `test` on a fresh store of every embedded backend; the folder is where its files are.
fn on_every_backend(test: impl Fn(&Store, &Path)) {
    for scheme in ["memory"].iter().chain(SCHEMES) {
        println!("on {scheme}:");
        let folder = tempfile::tempdir().unwrap();
        test(&create(scheme, folder.path(), "store"), folder.path());
    }
}

fn create(scheme: &str, folder: &Path, name: &str) -> Store {
    match scheme {
        "memory" => Store::create("memory:").unwrap(),
        _ => Store::create(&format!("{scheme}:{}", folder.join(name).display())).unwrap(),
    }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// An image whose samples depend on `seed` and place.
fn image(seed: u32, height: u32, width: u32, channels: u16, sample: SampleType) -> Image {
    let shape = Shape::new(height, width, channels).unwrap();
    let count = (shape.byte_length(sample) / sample.size() as u64) as u32;
    let values = (0..count).map(|i| i.wrapping_mul(seed * 2 + 1).wrapping_add(seed) % 251);
    match sample {
        SampleType::U8 => Image::from_samples(shape, &values.map(|v| v as u8).collect::<Vec<_>>()),
        SampleType::U16 => Image::from_samples(shape, &values.map(|v| v as u16 * 200).collect::<Vec<_>>()),
        SampleType::I16 => Image::from_samples(shape, &values.map(|v| v as i16 - 100).collect::<Vec<_>>()),
        SampleType::U32 => Image::from_samples(shape, &values.map(|v| v << 20).collect::<Vec<_>>()),
        SampleType::F32 => Image::from_samples(shape, &values.map(|v| v as f32 / 7.0).collect::<Vec<_>>()),
        _ => Image::from_samples(shape, &values.map(|v| f64::from(v) / 7.0).collect::<Vec<_>>()),
    }
    .unwrap()
}

/// Images of every sample type and several shapes.
fn motley() -> Vec<Image> {
    let shapes = [(1, 1, 1), (5, 3, 3), (32, 32, 3), (17, 64, 4), (2, 2, 7)];
    SampleType::ALL.iter().flat_map(|&sample| shapes.map(|(h, w, c)| image(h + w, h, w, c, sample))).collect()
}

#[test]
fn images_of_all_kinds_share_a_store_and_come_back() {
    on_every_backend(|store, _| {
        let images = motley();
        let ids = store.append(images.iter().map(NewImage::pixels)).unwrap();
        assert_eq!(ids, 0..images.len() as u64);
        for (id, image) in ids.clone().zip(&images) {
            assert_eq!(&store.image(id).unwrap(), image);
        }
        let backwards: Vec<u64> = ids.rev().collect();
        assert!(store.images(&backwards).unwrap().iter().eq(images.iter().rev()));
        assert_eq!(store.images(&[]).unwrap(), []);
    });
}

#[test]
fn many_images_of_one_shape_fill_a_buffer_in_the_order_asked() {
    on_every_backend(|store, _| {
        let images: Vec<Image> = (0..600).map(|seed| image(seed, 4, 4, 3, SampleType::U8)).collect();
        let label = |id: u64| (!id.is_multiple_of(3)).then_some(id as i64 * 5);
        store.append(images.iter().zip(0..).map(|(image, id)| NewImage::pixels(image).label(label(id)))).unwrap();
        let ids: Vec<u64> = (0..2000).map(|i| i * 7 % 600).collect();
        let mut out = vec![0; ids.len() * 48];
        let labels = store.images_into(&ids, &mut out).unwrap();
        assert!(labels.into_iter().eq(ids.iter().map(|&id| label(id))));
        for (id, bytes) in ids.iter().zip(out.chunks(48)) {
            assert_eq!(bytes, images[*id as usize].bytes());
        }
        let mut planes = vec![0; out.len()];
        let labels = store.planes_into(&ids, &mut planes).unwrap();
        assert!(labels.into_iter().eq(ids.iter().map(|&id| label(id))));
        for (planes, pixels) in planes.chunks(48).zip(out.chunks(48)) {
            assert!((0..48).all(|at| planes[at] == pixels[at % 16 * 3 + at / 16]));
        }
        assert_eq!(store.images_into(&ids, &mut out[1..]).unwrap_err().kind(), ErrorKind::InvalidInput);
        store.images_into(&[], &mut []).unwrap();

        let other = image(1, 4, 4, 1, SampleType::U8);
        let odd = store.append([NewImage::pixels(&other)]).unwrap().start;
        let error = store.images_into(&[0, odd], &mut out[..96]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::InvalidInput, Some(odd)));
        let error = store.images_into(&[0, 9999], &mut out[..96]).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::NotFound, Some(9999)));
    });
}

#[test]
fn names_labels_and_attributes_are_kept() {
    on_every_backend(|store, _| {
        store.set_label_names(&["cat".into(), "dog".into()]).unwrap();
        let picture = image(3, 4, 4, 3, SampleType::U8);
        let attributes = Attributes::parse(r#"{"iso": 100}"#).unwrap();
        let new = NewImage::pixels(&picture).name("rex").label(1).attributes(attributes.clone());
        let id = store.append([new]).unwrap().start;
        let descriptor = store.descriptor(id).unwrap();
        assert_eq!(descriptor.name.as_deref(), Some("rex"));
        assert_eq!((descriptor.label, descriptor.attributes), (Some(1), Some(attributes)));
        assert_eq!((store.find("rex").unwrap(), store.find("tom").unwrap()), (Some(id), None));

        let misfit = store.append([NewImage::pixels(&picture).label(2)]).unwrap_err();
        assert!(misfit.to_string().contains("label 2") && misfit.hint().is_some(), "{misfit}");
        let taken = store.append([NewImage::pixels(&picture).name("rex")]).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict);
        assert_eq!(store.append([NewImage::pixels(&picture).name("")]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(store.count().unwrap(), 1);
        assert_eq!(store.remove(&[id, id + 1]).unwrap(), 1);
        assert_eq!(store.image(id).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.append([NewImage::pixels(&picture).name("rex")]).unwrap().start, id + 1);
    });
}

#[test]
fn files_are_kept_as_they_came_and_png_is_made_where_asked() {
    on_every_backend(|store, _| {
        let picture = image(3, 20, 30, 3, SampleType::U8);
        let first = store.append([NewImage::encoded(picture.view(), PixelEncoding::Png)]).unwrap().start;
        let file = store.payload(first).unwrap();
        assert_eq!(&file[..4], b"\x89PNG");
        let kept = store.append([NewImage::file(&file[..])]).unwrap().start;
        assert_eq!(store.descriptor(kept).unwrap().encoding, Encoding::Kept(ImageFormat::Png));
        assert_eq!(store.payload(kept).unwrap(), file);
        assert_eq!((store.image(first).unwrap(), store.image(kept).unwrap()), (picture.clone(), picture));
        assert_eq!(store.append([NewImage::file(&b"hello"[..])]).unwrap_err().kind(), ErrorKind::Unsupported);
        let cut_off = store.append([NewImage::file(&file[..]), NewImage::file(&file[..file.len() - 20])]).unwrap_err();
        assert_eq!((cut_off.kind(), cut_off.to_string().contains("image 1 of the batch")), (ErrorKind::Corrupt, true));
        let floats = image(1, 2, 2, 1, SampleType::F32);
        let error = store.append([NewImage::encoded(floats.view(), PixelEncoding::Png)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn linked_files_stay_where_they_are_and_changes_are_found_out() {
    on_every_backend(|store, folder| {
        let picture = image(9, 8, 8, 1, SampleType::U8);
        let maker = Store::create("memory:").unwrap();
        maker.append([NewImage::encoded(picture.view(), PixelEncoding::Png)]).unwrap();
        let path = folder.join("photo.png");
        std::fs::write(&path, maker.payload(0).unwrap()).unwrap();

        let id = store.append([NewImage::linked(&path)]).unwrap().start;
        assert_eq!(store.image(id).unwrap(), picture);
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = create("memory", elsewhere.path(), "copy");
        store.copy_to(&copy, &mut go_on).unwrap();
        assert_eq!(copy.image(0).unwrap(), picture);

        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mut problems = Vec::new();
        store.verify(&mut |problem| problems.push(problem), &mut go_on).unwrap();
        assert_eq!((problems.len(), problems[0].id), (1, Some(id)));
        let text = problems[0].error.to_string();
        assert!(text.contains("photo.png was changed"), "{text}");
        std::fs::remove_file(&path).unwrap();
        let error = store.image(id).unwrap_err();
        assert!(error.to_string().contains("photo.png") && error.hint().unwrap().contains("moved"), "{error}");
    });
}

#[test]
fn a_vacuum_keeps_what_was_replaced_for_an_hour_at_least_whatever_the_store() {
    let hour = Duration::from_secs(3600);
    on_every_backend(|store, _| {
        assert_eq!(store.vacuum(hour - Duration::from_secs(1), true).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(store.vacuum(hour, true).unwrap().objects, 0);
    });
}

#[test]
fn regions_are_crops() {
    on_every_backend(|store, _| {
        let picture = image(5, 20, 30, 3, SampleType::U16);
        let id = store.append([NewImage::pixels(&picture)]).unwrap().start;
        let region = Region::new(3, 4, 20, 10).unwrap();
        assert_eq!(store.region(id, region).unwrap(), picture.view().crop(region).unwrap());
        assert_eq!(store.regions(&[(id, region), (id, region)]).unwrap().len(), 2);
        let outside = store.region(id, Region::new(3, 4, 28, 10).unwrap()).unwrap_err();
        assert_eq!((outside.kind(), outside.id()), (ErrorKind::InvalidInput, Some(id)));
    });
}

/// Gives some of its bytes at a time.
struct Trickle<'a>(&'a [u8]);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = out.len().min(100_000);
        self.0.read(&mut out[..most])
    }
}

#[test]
fn an_image_larger_than_a_batch_streams_in_and_through_a_copy() {
    let shape = Shape::new(3000, 2000, 3).unwrap();
    let bytes: Vec<u8> = (0..18_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    on_every_backend(|store, folder| {
        let small = image(1, 2, 2, 1, SampleType::U8);
        let mut stream = Trickle(&bytes);
        let large = NewImage::stream(shape, SampleType::U8, &mut stream).name("large");
        store.append([NewImage::pixels(&small), large, NewImage::pixels(&small)]).unwrap();
        let copy = create("memory", folder, "copy");
        assert_eq!(store.copy_to(&copy, &mut go_on).unwrap().images, 3);
        for store in [store, &copy] {
            assert_eq!(store.verify(&mut |problem| panic!("{problem:?}"), &mut go_on).unwrap().images, 3);
            assert!(store.image(1).unwrap().bytes() == bytes);
        }
    });
}

#[test]
fn a_stream_with_too_little_or_too_much_leaves_nothing() {
    let shape = Shape::new(1000, 1000, 1).unwrap();
    on_every_backend(|store, _| {
        for layout in ["row", "hilbert:64"] {
            for length in [999_999, 1_000_001] {
                let bytes = vec![1; length];
                let mut stream = &bytes[..];
                let new = NewImage::stream_in(layout.parse().unwrap(), shape, SampleType::U8, &mut stream);
                let error = store.append([new]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{layout} {length}: {error}");
                assert_eq!(store.count().unwrap(), 0);
            }
        }
        let bytes = vec![1; 1_000_000];
        let mut stream = &bytes[..];
        let id = store.append([NewImage::stream(shape, SampleType::U8, &mut stream)]).unwrap().start;
        assert_eq!(store.descriptor(id).unwrap().encoding.to_string(), "raw:hilbert:64");
        assert!(store.image(id).unwrap().bytes() == bytes);
    });
}

#[test]
fn a_damaged_image_larger_than_a_batch_is_found_by_a_store_that_reads_without_checking_too() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("files:{}", folder.path().join("store").display());
    let large = image(1, 3000, 2000, 3, SampleType::U8);
    Store::create(&url).unwrap().append([NewImage::encoded(large.view(), PixelEncoding::Raw)]).unwrap();
    let file = std::fs::File::options().write(true).open(folder.path().join("store/00000000.raw")).unwrap();
    file.write_all_at(&[!large.bytes()[17_999_999]], 17_999_999).unwrap();
    let store = Store::options().verify_checksums(false).open(&url).unwrap();
    assert_eq!(store.verify(&mut drop, &mut go_on).unwrap().problems, 1);
}

#[cfg(feature = "hdf5")]
#[test]
fn images_whose_payloads_are_not_where_they_should_be_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = create("hdf5", folder.path(), "store");
    let images = [3, 4, 5].map(|height| image(1, height, 10, 1, SampleType::U8));
    store.append(images.iter().map(NewImage::pixels)).unwrap();
    let part = folder.path().join("store/parts/00000000.h5");
    let mut bytes = std::fs::read(&part).unwrap();
    let offsets = [30u64, 70, 120].map(u64::to_le_bytes).concat();
    let place = bytes.windows(24).position(|found| found == offsets).unwrap();
    bytes[place + 8..place + 16].fill(0xff);
    std::fs::write(&part, bytes).unwrap();
    let store = Store::open(store.url()).unwrap();
    assert_eq!(store.image(1).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.remove(&[1, 2]).unwrap(), 2);
    store.compact().unwrap();
    assert_eq!(store.verify(&mut drop, &mut go_on).unwrap().problems, 0);
    assert_eq!(store.image(0).unwrap(), images[0]);
}

/// A watch that breaks off once something was done.
/// What goes wrong in a part: it is gone, or nothing of it is left, or it cannot be opened, even by root.
#[cfg(feature = "hdf5")]
const LOSSES: [fn(&Path); 3] = [
    |part| std::fs::remove_file(part).unwrap(),
    |part| std::fs::write(part, "").unwrap(),
    |part| {
        std::fs::remove_file(part).unwrap();
        std::os::unix::fs::symlink(part, part).unwrap();
    },
];

/// The files of the three parts of a store, in the order of their ids.
#[cfg(feature = "hdf5")]
fn three_parts(scheme: &str, store: &Path) -> [std::path::PathBuf; 3] {
    let list = |folder: &str| -> Vec<_> {
        let mut files: Vec<_> = store.join(folder).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let files = match scheme {
        "hdf5" => list("parts"),
        _ => {
            let newest = std::fs::read_to_string(&list("manifest")[0]).unwrap();
            let numbers = newest.split("{\"part\":").skip(1).map(|rest| rest.split(',').next().unwrap());
            let path = |number: &str| format!("parts/{:016x}.arrow", number.parse::<u64>().unwrap());
            numbers.map(|number| store.join(path(number))).collect()
        }
    };
    files.try_into().unwrap()
}

#[cfg(feature = "hdf5")]
#[test]
fn a_store_that_lost_parts_goes_on_without_their_images() {
    use pinako::Durability::{Buffered, Full};
    // Of two the parts were not synced yet, which whoever writes next makes up for.
    let losses =
        LOSSES.into_iter().zip([Buffered, Buffered, Full]).map(|(lose, durability)| ("hdf5", lose, durability));
    // What cannot be opened in a bucket is not taken for lost.
    let of_objects = LOSSES.into_iter().take(2).map(|lose| ("object", lose, Full));
    for (scheme, lose, durability) in losses.chain(of_objects).filter(|(scheme, ..)| SCHEMES.contains(scheme)) {
        let folder = tempfile::tempdir().unwrap();
        let pixels = image(1, 1, 1, 1, SampleType::U8);
        let named = |name: u64| NewImage::pixels(&pixels).name(format!("image {name}"));
        let url = format!("{scheme}:{}", folder.path().join("store").display());
        let store = Store::options().durability(durability).create(&url).unwrap();
        // So many names that the manifest does not list them; and gaps in the first part that is lost.
        store.append((0..20).map(named)).unwrap();
        store.append((20..40).map(named)).unwrap();
        store.remove(&[5, 25, 26]).unwrap();
        store.compact().unwrap();
        store.append((40..60).map(named)).unwrap();
        store.append((60..80).map(named)).unwrap();
        let [first, _, last] = &three_parts(scheme, &folder.path().join("store"));
        [first, last].into_iter().for_each(|part| lose(part));

        let store = Store::open(&url).unwrap();
        let mut problems = Vec::new();
        store.verify(&mut |problem| problems.push(problem.id), &mut go_on).unwrap();
        let named_by_verify: Vec<u64> = problems.into_iter().flatten().collect();
        let lost: Vec<u64> = (0..40).chain(60..80).collect();
        let is_named = |id: &u64| [5, 25, 26].contains(id) || named_by_verify.contains(id);
        assert!(lost.iter().all(is_named), "{named_by_verify:?}");
        assert!(named_by_verify.iter().all(|id| lost.contains(id)), "the others are sound: {named_by_verify:?}");
        assert_eq!(store.find("image 50").unwrap(), Some(50));
        assert_eq!(store.descriptors(&[3]).unwrap_err().id(), Some(3));

        assert_eq!(store.remove(&[41]).unwrap(), 1);
        assert_eq!(store.remove(&named_by_verify).unwrap(), 37 + 20, "as many as there were");
        assert_eq!(store.remove(&named_by_verify).unwrap(), 0);
        let ids = || store.scan(0).map(|found| found.unwrap().id).collect::<Vec<_>>();
        let left: Vec<u64> = (40..60).filter(|id| *id != 41).collect();
        assert_eq!((ids(), store.properties().unwrap().count), (left.clone(), 19));
        store.append([named(0)]).unwrap();
        store.remove(&[80]).unwrap();
        store.compact().unwrap();
        let _ = [first, last].map(std::fs::remove_file); // a compaction removes files only, no links
        assert_eq!((ids(), store.footprint().unwrap().payload_bytes), (left, 19));
        assert_eq!(store.verify(&mut |_| (), &mut go_on).unwrap().problems, 0);
    }
}

fn stop_midway(progress: Progress) -> ControlFlow<()> {
    if progress.images > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[test]
fn a_copy_is_equal_and_goes_on_where_it_was_interrupted() {
    on_every_backend(|store, folder| {
        store.set_label_names(&["a".into(), "b".into()]).unwrap();
        let picture = image(7, 500, 800, 3, SampleType::U8);
        let new = |i: i64| NewImage::encoded(picture.view(), PixelEncoding::Raw).label(i % 2).name(format!("n{i}"));
        store.append((0..18).map(new)).unwrap(); // 22 MB: more than a batch
        store.remove(&[3]).unwrap();

        for scheme in SCHEMES {
            let copy = create(scheme, folder, &format!("copy-{scheme}"));
            copy.set_label_names(&["b".into()]).unwrap();
            let stopped = store.copy_to(&copy, &mut stop_midway).unwrap_err();
            assert_eq!(stopped.kind(), ErrorKind::Interrupted);
            let before = copy.count().unwrap();
            assert!(before > 0 && before < 17, "{before} images were copied");
            let rest = store.copy_to(&copy, &mut go_on).unwrap();
            assert_eq!((rest.present, rest.images), (before, 17 - before));
            assert_eq!(store.copy_to(&copy, &mut go_on).unwrap().images, 0);

            assert_eq!(copy.label_names().unwrap(), ["b", "a"]);
            for (from, to) in store.scan(0).zip(copy.scan(0)) {
                let (from, to) = (from.unwrap(), to.unwrap());
                assert_eq!((&from.name, from.label.map(|label| 1 - label)), (&to.name, to.label));
                assert_eq!(store.payload(from.id).unwrap(), copy.payload(to.id).unwrap());
            }
        }
    });
}

#[test]
fn of_two_equal_copies_at_once_each_skips_what_the_other_brought_over() {
    on_every_backend(|from, folder| {
        from.set_label_names(&["cat".into()]).unwrap();
        let images: Vec<Image> = (0..40).map(|seed| image(seed, 4, 4, 3, SampleType::U8)).collect();
        let new = |(i, image)| NewImage::pixels(image).name(format!("n{i}")).label(0);
        from.append(images.iter().enumerate().map(new)).unwrap();
        let to = create("memory", folder, "copy");
        let mut rival = 0;
        // The other one has its turn when this one has just seen an empty store.
        let copied = from.copy_to(&to, &mut |_| {
            if rival == 0 {
                rival = from.copy_to(&to, &mut go_on).unwrap().images;
            }
            ControlFlow::Continue(())
        });
        let copied = copied.unwrap();
        assert_eq!((rival, copied.images, copied.bytes, copied.present), (40, 0, 0, 40));
        assert_eq!((to.count().unwrap(), to.label_names().unwrap()), (40, vec!["cat".to_owned()]));
    });
}

#[test]
fn a_copy_whose_source_lost_an_image_meanwhile_brings_over_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let from = create("memory", folder.path(), "from");
    let shape = Shape::new(2400, 2400, 3).unwrap(); // by itself more than a batch
    let large = Image::from_bytes(shape, SampleType::U8, vec![7; 2400 * 2400 * 3]).unwrap();
    let small: Vec<Image> = (0..3).map(|seed| image(seed, 4, 4, 3, SampleType::U8)).collect();
    let images = [&small[0], &large, &small[1]];
    from.append(images.iter().enumerate().map(|(i, image)| NewImage::pixels(image).name(format!("n{i}")))).unwrap();
    let to = create("memory", folder.path(), "to");
    from.copy_to(&to, &mut go_on).unwrap();
    from.remove(&[0]).unwrap();
    from.append([NewImage::pixels(&small[2]).name("new")]).unwrap();
    let copied = from.copy_to(&to, &mut go_on).unwrap();
    assert_eq!((copied.images, copied.present), (1, 2));
    assert_eq!((to.image(1).unwrap(), to.image(3).unwrap()), (large, small[2].clone()));

    // Another image of a name is none that was brought over.
    to.remove(&[3]).unwrap();
    to.append([NewImage::pixels(&small[0]).name("new")]).unwrap();
    let error = from.copy_to(&to, &mut go_on).unwrap_err();
    assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Conflict, true));
    assert!(error.to_string().contains("image 3: the store has an image 4 named \"new\""), "{error}");
}

#[test]
fn a_store_whose_linked_files_are_gone_is_copied_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    let png = {
        let store = create("memory", folder.path(), "any");
        let pixels = image(1, 4, 4, 3, SampleType::U8);
        store.append([NewImage::encoded(pixels.view(), PixelEncoding::Png)]).unwrap();
        store.payload(0).unwrap()
    };
    let from = create("files", folder.path(), "from");
    for name in ["a.png", "b.png"] {
        std::fs::write(pictures.join(name), &png).unwrap();
        from.append([NewImage::linked(pictures.join(name))]).unwrap();
    }
    std::fs::create_dir(folder.path().join("deeper")).unwrap();
    for (place, lost) in [pictures.join("b.png"), pictures.clone()].into_iter().enumerate() {
        match lost.is_dir() {
            true => std::fs::remove_dir_all(&lost).unwrap(),
            false => std::fs::remove_file(&lost).unwrap(),
        }
        let to = create("files", folder.path(), &format!("deeper/{place}"));
        assert_eq!(from.copy_to(&to, &mut go_on).unwrap().images, 2);
        assert_eq!(to.payload(0).unwrap(), b"../../pictures/a.png");
        assert_eq!(to.payload(1).unwrap(), b"../../pictures/b.png");
        assert_eq!(to.image(0).is_ok(), place == 0);
        let error = to.image(1).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::NotFound, true), "{error}");
    }
}

#[test]
fn a_scan_longer_than_a_batch_sees_every_image_once() {
    on_every_backend(|store, _| {
        let picture = image(1, 1, 1, 1, SampleType::U8);
        store.append((0..2500).map(|_| NewImage::encoded(picture.view(), PixelEncoding::Raw))).unwrap();
        store.remove(&[0, 1023, 1024, 2499]).unwrap();
        let ids: Vec<u64> = store.scan(2).map(|found| found.unwrap().id).collect();
        assert_eq!(ids, (2..2499).filter(|id| ![1023, 1024].contains(id)).collect::<Vec<_>>());
        assert_eq!(store.scan(u64::MAX).count(), 0);
    });
}

#[test]
fn a_store_is_made_by_its_first_image_or_label_names_and_not_before() {
    let picture = image(1, 4, 4, 3, SampleType::U8);
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let url = format!("{scheme}:{}", path.display());
        let [one, other] = [0, 1].map(|_| Store::options().open_or_create(&url).unwrap());
        assert_eq!((one.count().unwrap(), one.find("x").unwrap(), one.scan(0).count()), (0, None, 0));
        assert_eq!(one.append([NewImage::file(&b"no image"[..])]).unwrap_err().kind(), ErrorKind::Unsupported);
        one.sync().unwrap();
        assert!(!path.exists(), "{url}");

        one.append([NewImage::pixels(&picture).name("x")]).unwrap();
        assert_eq!((other.find("x").unwrap(), other.count().unwrap()), (Some(0), 1), "{url}");
        other.append([NewImage::pixels(&picture)]).unwrap();
        assert_eq!(Store::open(&url).unwrap().count().unwrap(), 2);
    }
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("new").display().to_string();
    Store::options().open_or_create(&url).unwrap().set_label_names(&["cat".into()]).unwrap();
    assert_eq!(Store::open(&url).unwrap().label_names().unwrap(), ["cat"]);
}

#[test]
fn a_copy_of_an_empty_store_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name).display().to_string());
    let copy = Store::options().open_or_create(&to).unwrap();
    Store::create(&from).unwrap().copy_to(&copy, &mut go_on).unwrap();
    assert_eq!(Store::open(&to).unwrap().count().unwrap(), 0);
}

#[test]
fn a_copy_that_fails_before_its_first_image_leaves_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let from = Store::create(&format!("files:{}", folder.path().join("from").display())).unwrap();
    from.set_label_names(&["cat".into()]).unwrap();
    from.append([NewImage::file(&b"P6 1 1 255\n\x01\x02\x03"[..]).label(0)]).unwrap();
    std::fs::write(folder.path().join("from/00000000.pnm"), b"P6 1 1 255\n\x01\x02\x04").unwrap();
    let to = folder.path().join("to");
    let copy = Store::options().open_or_create(&to.display().to_string()).unwrap();
    assert_eq!(from.copy_to(&copy, &mut go_on).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(!to.exists());
}

#[test]
fn a_url_of_a_kind_that_is_not_known_makes_no_folder() {
    let error = Store::create("ftp://bucket/store").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!Path::new("ftp:").exists());
}

#[test]
fn a_store_opened_by_a_relative_path_stays_usable_in_another_folder() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Nothing else in this file goes by a relative path.
    let before = std::env::current_dir().unwrap();
    for scheme in SCHEMES {
        std::env::set_current_dir(folder.path()).unwrap();
        let store = Store::create(&format!("{scheme}:{scheme}")).unwrap();
        std::env::set_current_dir(other.path()).unwrap();
        let image = image(1, 2, 2, 1, SampleType::U8);
        store.append([NewImage::pixels(&image)]).unwrap();
        assert_eq!(store.image(0).unwrap(), image);
    }
    std::env::set_current_dir(before).unwrap();
}

#[test]
fn a_store_that_is_moved_while_it_is_open_goes_on_or_says_so_and_is_whole() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let store = create(scheme, folder.path(), "before");
        let picture = image(3, 4, 4, 3, SampleType::U8);
        store.append([NewImage::pixels(&picture)]).unwrap();
        std::fs::rename(folder.path().join("before"), folder.path().join("after")).unwrap();

        let read = store.image(0);
        let appended = store.append([NewImage::pixels(&picture)]);
        assert!(read.map_or(true, |found| found == picture), "{scheme}");
        drop(store);
        let store = Store::open(&folder.path().join("after").display().to_string()).unwrap();
        assert_eq!(store.count().unwrap(), 1 + u64::from(appended.is_ok()), "{scheme}");
        assert!(store.scan(0).all(|found| store.image(found.unwrap().id).unwrap() == picture), "{scheme}");
        assert!(!folder.path().join("before").exists(), "{scheme}");
    }
}
