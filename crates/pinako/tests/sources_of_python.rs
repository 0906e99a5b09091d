//! Files that Python's own libraries wrote, by `tests/interop/make_sources.py`, are imported as what they are; and
//! however they are cut off or damaged, that is an error or another image, never a panic.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pinako::{ErrorKind, Image, ImportOptions, Result, SampleType, Shape, Store, source};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn import(path: &Path) -> Result<Store> {
    let store = Store::create("memory:")?;
    let mut source = source::open(path)?;
    let expected = source.len();
    let options = ImportOptions::default();
    let imported = store.import(&mut *source, &options, &mut |_| {}, &mut |_| ControlFlow::Continue(()))?;
    assert_eq!(Some(imported.images), expected, "{}", path.display());
    Ok(store)
}

/// The picture that `make_sources.py` makes.
fn picture(number: usize, height: u32, width: u32, channels: u16, sample: SampleType) -> Image {
    let shape = Shape::new(height, width, channels).unwrap();
    let samples = (0..shape.pixels() as usize * usize::from(channels)).map(|place| (place / 8) * (number + 1) + number);
    let bytes = samples.flat_map(|value| match sample {
        SampleType::U8 => vec![value as u8],
        SampleType::U16 => (value as u16).to_ne_bytes().to_vec(),
        _ => (value as f32).to_ne_bytes().to_vec(),
    });
    Image::from_bytes(shape, sample, bytes.collect()).unwrap()
}

/// Checks that the store holds those of the usual pictures with these names, in this order, with their labels.
fn check(store: &Store, names: &[(&str, usize)]) {
    let found: Vec<_> = store.scan(0).map(Result::unwrap).collect();
    let expected: Vec<_> = names.iter().map(|(name, _)| Some(*name)).collect();
    assert_eq!(found.iter().map(|found| found.name.as_deref()).collect::<Vec<_>>(), expected);
    for (found, &(name, number)) in found.iter().zip(names) {
        assert_eq!(found.label, Some(2 - number as i64), "{name}");
        assert_eq!(store.image(found.id).unwrap(), picture(number, 32, 32, 3, SampleType::U8), "{name}");
    }
}

#[test]
fn cifar_10_pickles_of_every_protocol() {
    for folder in ["cifar-10-protocol-3", "cifar-10-protocol-4", "cifar-10-protocol-5", "cifar-10-text-keys"] {
        let names = [("data_batch_1/picture_0.png", 0), ("data_batch_1/picture_1.png", 1)];
        let store = import(&data(folder)).unwrap();
        check(&store, &names);
        assert_eq!(store.label_names().unwrap(), ["airplane", "automobile", "bird"]);
        check(&import(&data(folder).join("data_batch_1")).unwrap(), &names);
    }
}

#[test]
fn cifar_100_pickles_keep_the_coarse_label_as_an_attribute() {
    let store = import(&data("cifar-100")).unwrap();
    // Both pictures have the same file name, so their numbers name them.
    check(&store, &[("train/0", 0), ("train/1", 1)]);
    assert_eq!(store.descriptor(1).unwrap().attributes.unwrap().as_str(), r#"{"coarse_label":11}"#);
}

#[test]
fn a_folder_of_numbered_png_and_csv_files() {
    for folder in ["png-csv", "png-csv-single"] {
        check(&import(&data(folder)).unwrap(), &[("0", 0), ("1", 1)]);
    }
}

#[test]
fn lmdb_of_pickled_objects_whose_labels_may_be_numpy_s() {
    check(&import(&data("lmdb")).unwrap(), &[("00000000", 0), ("00000001", 1)]);
}

#[cfg(feature = "hdf5")]
#[test]
fn hdf5_files_of_one_and_of_many() {
    check(&import(&data("hdf5/2_many.h5")).unwrap(), &[("2_many/0", 0), ("2_many/1", 1)]);
    check(&import(&data("hdf5/1.h5")).unwrap(), &[("1", 1)]);
    let store = import(&data("hdf5/chunked.h5")).unwrap();
    assert_eq!(store.image(0).unwrap(), picture(0, 2, 3, 1, SampleType::U16));
    let error = import(&data("hdf5/latest.h5")).unwrap_err();
    assert!(error.to_string().contains("latest.h5") && error.hint().unwrap().contains("h5repack"), "{error:?}");
}

#[test]
fn numpy_arrays_and_archives() {
    check(&import(&data("numpy/set.npy")).unwrap(), &[("set/0", 0), ("set/1", 1)]);
    check(&import(&data("numpy/stored.npz")).unwrap(), &[("stored/0", 0), ("stored/1", 1)]);
    let two = [("two/x_test/0", 1), ("two/x_train/0", 0), ("two/x_train/1", 1)];
    check(&import(&data("numpy/two.npz")).unwrap(), &two);
    let store = import(&data("numpy/big_endian.npy")).unwrap();
    assert_eq!(store.image(1).unwrap(), picture(1, 2, 3, 1, SampleType::U16));
    let store = import(&data("numpy/floats.npy")).unwrap();
    assert_eq!(store.image(1).unwrap(), picture(1, 2, 3, 2, SampleType::F32));
    let error = import(&data("numpy/fortran.npy")).unwrap_err();
    assert!(error.to_string().contains("Fortran") && error.hint().is_some(), "{error:?}");
}

#[test]
fn idx_files() {
    let store = import(&data("idx")).unwrap();
    let descriptor = store.descriptor(1).unwrap();
    assert_eq!((descriptor.name.as_deref(), descriptor.label), (Some("train/1"), Some(1)));
    let first_channel: Vec<u8> = picture(1, 32, 32, 3, SampleType::U8).bytes().iter().copied().step_by(3).collect();
    assert_eq!(store.image(1).unwrap().bytes(), first_channel);
}

/// Every file of a source, damaged in many ways, one at a time: what is left may be read or not, but nothing panics,
/// and an error names the file or what stands in it.
fn damage(name: &str) {
    let original = data(name);
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = match original.is_dir() {
        true => fs::read_dir(&original).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => vec![original.clone()],
    };
    let copy = |file: &PathBuf| folder.path().join(file.file_name().unwrap());
    for file in &files {
        fs::copy(file, copy(file)).unwrap();
    }
    let path = if original.is_dir() { folder.path().to_owned() } else { copy(&original) };
    for file in &files {
        let whole = fs::read(file).unwrap();
        let step = (whole.len() / 40).max(1);
        for length in (0..whole.len()).step_by(step) {
            fs::write(copy(file), &whole[..length]).unwrap();
            read_all(&path);
        }
        // The heads and tails are where the structure is; a fixed sequence of places elsewhere.
        let places = (0..whole.len().min(160)).chain((0..40).map(|k| (k * 7919) % whole.len()));
        let places = places.chain(whole.len().saturating_sub(60)..whole.len());
        for (turn, place) in places.enumerate() {
            let mut bytes = whole.clone();
            bytes[place] ^= [0xff, 0x01, 0x80][turn % 3];
            fs::write(copy(file), bytes).unwrap();
            read_all(&path);
        }
        fs::write(copy(file), whole).unwrap();
    }
}

fn read_all(path: &Path) {
    let mut source = match source::open(path) {
        Ok(source) => source,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::NotFound, "{error}");
            return;
        }
    };
    let mut images = 0;
    while let Some(item) = source.next() {
        if let Err(error) = item {
            assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
        }
        images += 1;
        assert!(images < 100_000, "{}: a source of a few images does not end", path.display());
    }
}

macro_rules! damaged {
    ($($test:ident: $($name:literal),*;)*) => {$(
        #[test]
        fn $test() {
            $(damage($name);)*
        }
    )*};
}

damaged! {
    damaged_pickles_do_no_harm: "cifar-10-protocol-3", "cifar-10-protocol-5", "cifar-100";
    damaged_lmdb_does_no_harm: "lmdb";
    damaged_numbered_files_do_no_harm: "png-csv", "png-csv-single";
    damaged_idx_does_no_harm: "idx";
    damaged_numpy_arrays_do_no_harm: "numpy/set.npy", "numpy/stored.npz", "numpy/two.npz";
}

#[cfg(feature = "hdf5")]
damaged! {
    damaged_hdf5_does_no_harm: "hdf5/2_many.h5", "hdf5/1.h5", "hdf5/chunked.h5", "hdf5/latest.h5";
}
