//! What is imported is what was there, from every kind of source; what is damaged is an error that names it.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use pinako::export::{Format, export};
use pinako::{
    Image, ImportEncoding, ImportOptions, Imported, NewImage, PixelEncoding, Progress, Result, Shape, Store, source,
};

/// A PNG file of a small image that `seed` decides.
fn png(seed: u8) -> Vec<u8> {
    let image = picture(seed);
    let store = Store::create("memory:").unwrap();
    let ids = store.append([NewImage::encoded(image.view(), PixelEncoding::Png)]).unwrap();
    store.payload(ids.start).unwrap()
}

fn picture(seed: u8) -> Image {
    let samples: Vec<u8> = (0..27).map(|place: u8| place.wrapping_mul(seed).wrapping_add(seed)).collect();
    Image::from_samples(Shape::new(3, 3, 3).unwrap(), &samples).unwrap()
}

fn class_folders(root: &Path) {
    for (place, class) in ["cat", "dog"].into_iter().enumerate() {
        fs::create_dir_all(root.join(class)).unwrap();
        for number in 0..5 {
            fs::write(root.join(class).join(format!("{number}.png")), png((place * 5 + number) as u8)).unwrap();
        }
    }
}

fn import(store: &Store, path: &Path, options: &ImportOptions) -> (Result<Imported>, Vec<String>) {
    let mut skipped = Vec::new();
    let imported = store.import(
        &mut *source::open(path).unwrap(),
        options,
        &mut |error| skipped.push(error.to_string()),
        &mut |_| ControlFlow::Continue(()),
    );
    (imported, skipped)
}

#[test]
fn class_folders_are_imported_with_names_labels_and_bytes() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    for encoding in [ImportEncoding::AsTheyCame, ImportEncoding::Raw, ImportEncoding::Png, ImportEncoding::Link] {
        let store = Store::create("memory:").unwrap();
        let options = ImportOptions { encoding, ..Default::default() };
        let (imported, skipped) = import(&store, root.path(), &options);
        assert_eq!((imported.unwrap().images, skipped.len()), (10, 0));
        assert_eq!(store.label_names().unwrap(), ["cat", "dog"]);
        for (id, descriptor) in store.scan(0).enumerate() {
            let descriptor = descriptor.unwrap();
            assert_eq!(descriptor.name.unwrap(), format!("{}/{}.png", ["cat", "dog"][id / 5], id % 5));
            assert_eq!(descriptor.label, Some(id as i64 / 5));
            assert_eq!(store.image(id as u64).unwrap(), picture(id as u8), "{encoding:?}");
        }
    }
}

/// A watch that breaks off once something was done.
fn stop_midway(progress: Progress) -> ControlFlow<()> {
    if progress.images > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[test]
fn an_import_that_was_interrupted_goes_on_and_one_done_again_adds_nothing() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    let store = Store::create("memory:").unwrap();
    let options = ImportOptions::default();
    let mut source = source::open(&root.path().join("cat/3.png")).unwrap();
    store.import(&mut *source, &options, &mut |_| {}, &mut stop_midway).unwrap_err();
    assert_eq!(store.count().unwrap(), 1, "the batch before the break stays");

    assert_eq!(import(&store, root.path(), &options).0.unwrap().images, 10, "3.png is not cat/3.png");
    let again = import(&store, root.path(), &options).0.unwrap();
    assert_eq!((again.images, again.present), (0, 10));
    fs::write(root.path().join("cat/9.png"), png(99)).unwrap();
    let more = import(&store, root.path(), &options).0.unwrap();
    assert_eq!((more.images, more.present), (1, 10));
}

#[test]
fn of_two_equal_imports_at_once_each_skips_what_the_other_stored() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    let store = Store::create("memory:").unwrap();
    let mut rival = 0;
    // The other one has its turn when this one has just seen an empty store.
    let imported = store.import(
        &mut *source::open(root.path()).unwrap(),
        &ImportOptions::default(),
        &mut |error| panic!("{error}"),
        &mut |_| {
            if rival == 0 {
                rival = import(&store, root.path(), &ImportOptions::default()).0.unwrap().images;
            }
            ControlFlow::Continue(())
        },
    );
    let imported = imported.unwrap();
    assert_eq!((rival, imported.images, imported.present), (10, 0, 10));
    assert_eq!((store.count().unwrap(), store.label_names().unwrap().len()), (10, 2));
}

#[test]
fn another_image_of_the_same_name_is_a_conflict_that_a_prefix_solves() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    let store = Store::create("memory:").unwrap();
    import(&store, root.path(), &ImportOptions::default()).0.unwrap();
    fs::write(root.path().join("dog/2.png"), png(200)).unwrap();
    let error = import(&store, root.path(), &ImportOptions::default()).0.unwrap_err();
    assert_eq!(error.kind(), pinako::ErrorKind::Conflict);
    assert!(error.to_string().contains("dog/2.png") && error.hint().unwrap().contains("prefix"), "{error:?}");
    let options = ImportOptions { name_prefix: Some("new/".into()), ..Default::default() };
    assert_eq!(import(&store, root.path(), &options).0.unwrap().images, 10);
    assert!(store.find("new/dog/2.png").unwrap().is_some());
}

#[test]
fn a_bad_file_ends_the_import_or_is_skipped_and_told() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    let whole = png(3);
    fs::write(root.path().join("cat/5.png"), &whole[..whole.len() - 20]).unwrap();
    fs::write(root.path().join("dog/6.png"), "not an image").unwrap();
    for encoding in [ImportEncoding::AsTheyCame, ImportEncoding::Raw, ImportEncoding::Link] {
        let store = Store::create("memory:").unwrap();
        let options = ImportOptions { encoding, ..Default::default() };
        let error = import(&store, root.path(), &options).0.unwrap_err();
        assert!(error.to_string().contains("5.png") && error.hint().unwrap().contains("again"), "{error:?}");
        assert_eq!(store.count().unwrap(), 0);
        let (imported, skipped) = import(&store, root.path(), &ImportOptions { skip_bad: true, ..options });
        let imported = imported.unwrap();
        assert_eq!((imported.images, imported.skipped), (10, 2));
        assert!(skipped[0].contains("5.png") && skipped[1].contains("6.png"), "{skipped:?}");
    }
}

#[test]
fn an_image_file_with_a_wrong_extension_is_taken_for_what_it_is() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.jpg"), png(7)).unwrap();
    let store = Store::create("memory:").unwrap();
    assert_eq!(import(&store, root.path(), &ImportOptions::default()).0.unwrap().images, 1);
    assert_eq!(store.image(0).unwrap(), picture(7));
}

/// 32x32 pixels of three colours as CIFAR has them, a plane a colour, and as an image.
fn cifar_picture(seed: u8) -> (Vec<u8>, Image) {
    let planes: Vec<u8> = (0..3072usize).map(|place| (place as u8).wrapping_mul(seed) ^ (place >> 8) as u8).collect();
    let samples: Vec<u8> =
        (0..1024).flat_map(|pixel| [planes[pixel], planes[1024 + pixel], planes[2048 + pixel]]).collect();
    (planes, Image::from_samples(Shape::new(32, 32, 3).unwrap(), &samples).unwrap())
}

#[test]
fn what_a_folder_holds_beside_its_source_is_told() {
    let root = tempfile::tempdir().unwrap();
    let describe = || source::open(root.path()).unwrap().describe();
    class_folders(root.path());
    fs::write(root.path().join("notes.txt"), "none").unwrap();
    fs::write(root.path().join("cat/0.json"), "none").unwrap();
    assert_eq!(describe(), "image files in 2 class folders");

    fs::write(root.path().join("set.npy"), "any").unwrap();
    assert_eq!(describe(), "image files in 2 class folders; left aside: set.npy");
    fs::create_dir(root.path().join("dog/more")).unwrap();
    for name in ["a.h5", "dog/more/data_batch_1", "z.npz"] {
        fs::write(root.path().join(name), "any").unwrap();
    }
    let all = describe();
    assert_eq!(all, "image files in 2 class folders; left aside: a.h5, dog/more/data_batch_1, set.npy and more");

    fs::write(root.path().join("data_batch_7.bin"), [&[7], &cifar_picture(7).0[..]].concat()).unwrap();
    assert_eq!(describe(), "CIFAR-10, binary; left aside: a.h5, cat/0.png, cat/1.png and more");
}

#[cfg(feature = "hdf5")]
#[test]
fn a_store_in_a_tree_of_images_is_not_told_of() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    let store = Store::create(&format!("hdf5:{}", root.path().join("store").display())).unwrap();
    import(&store, root.path(), &ImportOptions { encoding: ImportEncoding::Raw, ..Default::default() }).0.unwrap();
    assert_eq!(source::open(root.path()).unwrap().describe(), "image files in 2 class folders");
}

#[test]
fn as_many_batches_of_cifar_10_as_there_are_are_imported_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    for (seed, name) in ["data_batch_2", "data_batch_10", "test_batch", "test_batch_2"].into_iter().enumerate() {
        let record = [&[seed as u8], &cifar_picture(seed as u8).0[..]].concat();
        fs::write(root.path().join(name).with_extension("bin"), record).unwrap();
    }
    let store = Store::create("memory:").unwrap();
    assert_eq!(import(&store, root.path(), &Default::default()).0.unwrap().images, 4);
    assert!(store.scan(0).map(|found| found.unwrap().label).eq((0..4).map(Some)));
}

#[test]
fn cifar_10_in_binary_form_is_imported() {
    let root = tempfile::tempdir().unwrap();
    let mut batch = Vec::new();
    for seed in 0..3 {
        batch.push(2 - seed);
        batch.extend(cifar_picture(seed).0);
    }
    fs::write(root.path().join("data_batch_1.bin"), &batch).unwrap();
    fs::write(root.path().join("test_batch.bin"), &batch[..3073]).unwrap();
    fs::write(root.path().join("batches.meta.txt"), "airplane\nautomobile\nbird\n\n").unwrap();
    let store = Store::create("memory:").unwrap();
    assert_eq!(import(&store, root.path(), &ImportOptions::default()).0.unwrap().images, 4);
    assert_eq!(store.label_names().unwrap(), ["airplane", "automobile", "bird"]);
    for seed in 0..3 {
        let id = store.find(&format!("data_batch_1/{seed}")).unwrap().unwrap();
        assert_eq!(store.descriptor(id).unwrap().label, Some(2 - i64::from(seed)));
        assert_eq!(store.image(id).unwrap(), cifar_picture(seed).1);
    }
    assert!(store.find("test_batch/0").unwrap().is_some());

    // A batch that is cut off is one error; the others are imported all the same, if asked.
    fs::write(root.path().join("data_batch_1.bin"), &batch[..batch.len() - 1]).unwrap();
    let store = Store::create("memory:").unwrap();
    let error = import(&store, root.path(), &ImportOptions::default()).0.unwrap_err();
    assert!(error.to_string().contains("data_batch_1.bin") && error.to_string().contains("cut off"), "{error}");
    let (imported, _) = import(&store, root.path(), &ImportOptions { skip_bad: true, ..Default::default() });
    assert_eq!((imported.as_ref().unwrap().images, imported.unwrap().skipped), (1, 1));
}

#[test]
fn a_label_that_cifar_10_does_not_have_is_refused_by_its_record() {
    let root = tempfile::tempdir().unwrap();
    let batch: Vec<u8> =
        [9, 10, 0].into_iter().flat_map(|label| [vec![label], cifar_picture(label).0].concat()).collect();
    fs::write(root.path().join("data_batch_1.bin"), &batch).unwrap();
    let store = Store::create("memory:").unwrap();
    let options = ImportOptions { skip_bad: true, ..Default::default() };
    let (imported, skipped) = import(&store, root.path(), &options);
    assert_eq!((imported.unwrap().images, skipped.len()), (2, 1));
    assert!(skipped[0].contains("data_batch_1.bin, image 1: the label 10 does not fit the 10 classes"), "{skipped:?}");
}

#[test]
fn cifar_100_in_binary_form_keeps_the_coarse_label_as_an_attribute() {
    let root = tempfile::tempdir().unwrap();
    let mut record = vec![7, 1];
    record.extend(cifar_picture(5).0);
    fs::write(root.path().join("train.bin"), &record).unwrap();
    fs::write(root.path().join("fine_label_names.txt"), "apple\nbee\n").unwrap();
    let store = Store::create("memory:").unwrap();
    import(&store, root.path(), &ImportOptions::default()).0.unwrap();
    let descriptor = store.descriptor(0).unwrap();
    assert_eq!((descriptor.name.as_deref(), descriptor.label), (Some("train/0"), Some(1)));
    assert_eq!(descriptor.attributes.unwrap().as_str(), r#"{"coarse_label":7}"#);
    assert_eq!(store.image(0).unwrap(), cifar_picture(5).1);
}

fn idx(kind: u8, dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, kind, dimensions.len() as u8];
    dimensions.iter().for_each(|side| file.extend(side.to_be_bytes()));
    file.extend(elements);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_files_are_imported_with_their_labels_gzipped_or_not() {
    for gz in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| match gz {
            true => fs::write(root.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap(),
            false => fs::write(root.path().join(name), bytes).unwrap(),
        };
        write("train-images-idx3-ubyte", idx(8, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
        write("train-labels-idx1-ubyte", idx(8, &[2], &[4, 9]));
        write("t10k-images-idx3-short", idx(11, &[1, 1, 2], &[255, 255, 1, 0]));
        let store = Store::create("memory:").unwrap();
        assert_eq!(import(&store, root.path(), &ImportOptions::default()).0.unwrap().images, 3);
        let id = store.find("train/1").unwrap().unwrap();
        assert_eq!(store.descriptor(id).unwrap().label, Some(9));
        assert_eq!(store.image(id).unwrap().to_samples::<u8>().unwrap(), [6, 7, 8, 9, 10, 11]);
        let id = store.find("t10k/0").unwrap().unwrap();
        assert_eq!(store.image(id).unwrap().to_samples::<i16>().unwrap(), [-1, 256]);
    }
}

#[test]
fn an_idx_file_that_claims_more_than_it_has_is_an_error_and_takes_no_memory() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a-images-idx3-ubyte");
    fs::write(&path, idx(8, &[u32::MAX, 28, 28], &[0; 784])).unwrap();
    let error = source::open(&path).err().unwrap();
    assert!(error.to_string().contains("a-images-idx3-ubyte") && error.to_string().contains("claims"), "{error}");
    fs::write(&path, gzip(&idx(8, &[u32::MAX, 28, 28], &[0; 784]))).unwrap();
    let store = Store::create("memory:").unwrap();
    let (imported, skipped) = import(&store, &path, &ImportOptions { skip_bad: true, ..Default::default() });
    assert_eq!((imported.unwrap().images, skipped.len()), (1, 1), "{skipped:?}");
    fs::write(&path, gzip(&idx(8, &[1, u32::MAX, u32::MAX], &[0; 784]))).unwrap();
    assert!(source::open(&path).is_err());
}

/// A file of numpy's with the elements `bytes`.
fn npy(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), bytes].concat()
}

#[test]
fn labels_that_cannot_be_read_are_found_out_before_an_image_is_stored() {
    let root = tempfile::tempdir().unwrap();
    let images = root.path().join("set.npy");
    fs::write(&images, npy("|u1", "(3, 1, 1)", &[1, 2, 3])).unwrap();
    let labels = |bytes: Vec<u8>| fs::write(root.path().join("set.labels.npy"), bytes).unwrap();
    let whole = npy("|u1", "(3,)", &[7, 8, 9]);
    for (bytes, message) in [
        (whole[..whole.len() - 1].to_vec(), "label 2 of 3"),
        ([&whole[..], b"x"].concat(), "more bytes"),
        (npy("<u8", "(3,)", &[0xff; 24]), "label 0 of 3: the label 18446744073709551615 is too large"),
        (npy("|u1", "(2,)", &[7, 8]), "labels of the shape [2] for 3 images"),
        (npy("<f4", "(3,)", &[0; 12]), "not whole numbers"),
    ] {
        labels(bytes);
        let error = source::open(&images).err().unwrap();
        assert!(error.to_string().contains("set.npy") && error.to_string().contains(message), "{error}");
    }
    labels(whole);
    let store = Store::create("memory:").unwrap();
    import(&store, &images, &ImportOptions::default()).0.unwrap();
    assert_eq!(store.descriptor(2).unwrap().label, Some(9));
}

/// A source that gives an image now and then.
struct Slow(u64);

impl source::Source for Slow {
    fn describe(&self) -> String {
        "a slow source".to_owned()
    }

    fn label_names(&self) -> &[String] {
        &[]
    }

    fn len(&self) -> Option<u64> {
        None
    }

    fn next(&mut self) -> Option<pinako::Result<source::Item>> {
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.0 += 1;
        Some(Ok(source::Item {
            name: self.0.to_string(),
            label: None,
            attributes: None,
            content: source::Content::Pixels(picture(1)),
            origin: "nowhere".to_owned(),
        }))
    }
}

#[test]
fn an_import_from_a_slow_source_is_seen_moving_and_stores_what_is_ready_when_it_is_stopped() {
    let mut seen = Vec::new();
    let mut watch = |progress: Progress| {
        seen.push(progress.images);
        if progress.images >= 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let store = Store::create("memory:").unwrap();
    let stopped = store.import(&mut Slow(0), &ImportOptions::default(), &mut |_| {}, &mut watch).unwrap_err();
    assert_eq!(stopped.kind(), pinako::ErrorKind::Interrupted);
    assert!(seen.iter().any(|images| (1..200).contains(images)), "{seen:?}"); // a batch has thousands
    let count = store.count().unwrap();
    assert!(count >= 200 && stopped.to_string().contains(&format!("stopped after {count} images")), "{stopped}");
}

#[test]
fn an_import_that_is_stopped_while_it_stores_a_batch_stores_no_further_one() {
    const COUNT: u32 = 40_000; // five batches
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("specks.idx");
    fs::write(&path, idx(8, &[COUNT, 1, 1], &[7; COUNT as usize])).unwrap();
    let store = Store::create("memory:").unwrap();
    let mut watch = |_: Progress| match store.count().unwrap() {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let mut source = source::open(&path).unwrap();
    let stopped = store.import(&mut *source, &ImportOptions::default(), &mut |_| {}, &mut watch).unwrap_err();
    assert_eq!(stopped.kind(), pinako::ErrorKind::Interrupted);
    assert!((1..=u64::from(COUNT) / 4).contains(&store.count().unwrap()), "{stopped}");
}

#[test]
fn a_png_that_claims_a_thousand_million_pixels_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut file = png(1);
    file[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]); // 32768 x 32768
    let mut sum = flate2::Crc::new();
    sum.update(&file[12..29]);
    file[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    fs::write(root.path().join("huge.png"), file).unwrap();
    let error = import(&Store::create("memory:").unwrap(), root.path(), &ImportOptions::default()).0.unwrap_err();
    assert!(error.to_string().contains("huge.png"), "{error}");
}

#[test]
fn labels_that_are_missing_are_told() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..4 {
        fs::write(root.path().join(format!("{number}.png")), png(number)).unwrap();
    }
    fs::write(root.path().join("4.csv"), "7\r\n8\r\n9\r\n").unwrap();
    let error = source::open(root.path()).err().unwrap();
    assert!(error.to_string().contains("4.csv: 3 labels"), "{error}");

    fs::rename(root.path().join("4.csv"), root.path().join("3.csv")).unwrap();
    let store = Store::create("memory:").unwrap();
    let error = import(&store, root.path(), &ImportOptions::default()).0.unwrap_err();
    assert!(error.to_string().contains("3.png has no label"), "{error}");
    let (imported, skipped) = import(&store, root.path(), &ImportOptions { skip_bad: true, ..Default::default() });
    assert_eq!((imported.unwrap().images, skipped.len()), (3, 1));
    assert_eq!(store.descriptor(store.find("2").unwrap().unwrap()).unwrap().label, Some(9));

    fs::write(root.path().join("3.csv"), "7\r\ncat\r\n9\r\n").unwrap();
    let error = import(&Store::create("memory:").unwrap(), root.path(), &ImportOptions::default()).0.unwrap_err();
    assert!(error.to_string().contains("\"cat\" is no label"), "{error}");
}

#[test]
fn a_label_that_does_not_fit_the_label_names_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let mut record = vec![3];
    record.extend(cifar_picture(5).0);
    fs::write(root.path().join("test_batch.bin"), &record).unwrap();
    fs::write(root.path().join("batches.meta.txt"), "airplane\nautomobile\n").unwrap();
    let error = import(&Store::create("memory:").unwrap(), root.path(), &ImportOptions::default()).0.unwrap_err();
    assert!(error.to_string().contains("test_batch.bin, image 0") && error.to_string().contains("label 3"), "{error}");
}

#[test]
fn images_in_an_array_cannot_be_linked_and_none_is_skipped_for_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("set.npy");
    fs::write(&path, npy("|u1", "(2, 3, 3)", &[7; 18])).unwrap();
    let store = Store::create("memory:").unwrap();
    let options = ImportOptions { encoding: ImportEncoding::Link, skip_bad: true, ..Default::default() };
    let (imported, skipped) = import(&store, &path, &options);
    let error = imported.unwrap_err();
    assert!(error.to_string().contains("set/0: only image files can be linked"), "{error}");
    assert_eq!((error.hint(), skipped.len(), store.count().unwrap()), (Some("import it without linking"), 0, 0));
}

#[test]
fn what_is_damaged_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let hint = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = source::open(&path).err().expect(name);
        (error.to_string(), error.hint().unwrap_or_else(|| panic!("{error}")).to_owned())
    };
    fs::write(root.path().join("a.labels.npy"), npy("<i8", "(1,)", &[0; 8])).unwrap();
    fs::write(root.path().join("x-labels-idx1-ubyte"), idx(8, &[1], &[0])).unwrap();
    for (name, bytes) in
        [("a.npy", npy("|u1", "(2, 3, 3)", &[7; 18])), ("x-images-idx3-ubyte", idx(8, &[2, 3, 3], &[7; 18]))]
    {
        let (error, hint) = hint(name, &bytes);
        assert!(
            error.contains("labels of the shape [1] for 2 images") && hint.contains("one label for each"),
            "{error}"
        );
    }
    for (name, bytes) in [
        ("b.npy", npy("|u1", "(2, 3, 3)", &[7; 17])),
        ("test_batch.bin", vec![7; 5000]),
        ("data_batch_1", b"\x80\x04}(\x8c\x04dataB\xff\xff\x00\x00".to_vec()),
        ("data_batch_2", b"\x80\x04".to_vec()),
    ] {
        assert_eq!(hint(name, &bytes).1, "fetch or write it again", "{name}");
    }
    let (error, told) = hint("data_batch_3", b"\x80\x04\x8a\x0a");
    assert!(error.contains("at byte 4 starts a whole number of 10 bytes") && told.contains("damaged"), "{error}");
}

#[test]
fn what_holds_no_images_says_what_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("readme.txt"), "nothing").unwrap();
    for path in [root.path().to_owned(), root.path().join("readme.txt")] {
        let error = source::open(&path).err().unwrap();
        assert!(error.kind() == pinako::ErrorKind::Unsupported && error.hint().unwrap().contains("CIFAR"), "{error:?}");
    }
    assert_eq!(source::open(&root.path().join("nowhere")).err().unwrap().kind(), pinako::ErrorKind::NotFound);
}

#[test]
fn a_store_of_ours_is_copied_not_imported() {
    let root = tempfile::tempdir().unwrap();
    for scheme in ["files", "lmdb", "sqlite"] {
        let path = root.path().join(scheme);
        let store = Store::create(&format!("{scheme}:{}", path.display())).unwrap();
        store.append([NewImage::pixels(&picture(1))]).unwrap();
        let error = source::open(&path).err().unwrap();
        assert!(error.hint().unwrap().contains("pinako copy"), "{error:?}");
    }
}

#[test]
fn what_was_exported_is_imported_again() {
    let store = Store::create("memory:").unwrap();
    store.set_label_names(&["cat".into(), "dog".into()]).unwrap();
    let pictures: Vec<Image> = (1..5).map(|seed| cifar_picture(seed).1).collect();
    let new = |(label, picture): (i64, _)| NewImage::pixels(picture).label(label % 2).name(format!("train/{label}"));
    store.append((0..).zip(&pictures).map(new)).unwrap();

    let root = tempfile::tempdir().unwrap();
    let mut formats = vec![("folders", Format::Folders), ("set.npy", Format::Npy), ("cifar", Format::CifarPython)];
    if cfg!(feature = "hdf5") {
        formats.push(("set.h5", Format::Hdf5));
    }
    for (name, format) in formats {
        let out = root.path().join(name);
        export(&store, &out, format, &mut |_| ControlFlow::Continue(())).unwrap();
        let back = Store::create("memory:").unwrap();
        assert_eq!(import(&back, &out, &ImportOptions::default()).0.unwrap().images, 4, "{name}");
        let read = |store: &Store| -> Vec<(Option<i64>, Image)> {
            let images = store.scan(0).map(Result::unwrap);
            let mut images: Vec<_> = images.map(|found| (found.label, store.image(found.id).unwrap())).collect();
            images.sort_by_key(|(_, image)| image.bytes().to_vec());
            images
        };
        assert_eq!(read(&back), read(&store), "{name}");
    }
}
