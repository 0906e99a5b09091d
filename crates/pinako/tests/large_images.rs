//! Images too large to be held in memory, on their way into a store.

use std::fs;
use std::ops::ControlFlow;

use pinako::{ImportEncoding, ImportOptions, SampleType, Shape, Store, source};

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
        store.import(&mut Streamed(Some(missing)), &options, &mut |_| {}, &mut |_| ControlFlow::Continue(()))
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
    let url = format!("files:{}", root.path().join("store").display());
    let store = Store::options().open_or_create(&url).unwrap();
    let mut source = source::open(&path).unwrap();
    let options = ImportOptions::default();
    let imported = store.import(&mut *source, &options, &mut |_| {}, &mut |_| ControlFlow::Continue(()));
    assert_eq!(imported.unwrap().images, 2);
    for (id, label) in [(0, Some(4)), (1, None)] {
        let descriptor = store.descriptor(id).unwrap();
        assert_eq!((descriptor.encoding.to_string().as_str(), descriptor.label), ("raw:hilbert:64", label));
        assert!(store.image(id).unwrap().bytes() == &bytes[id as usize * 4100 * 8200..][..4100 * 8200]);
    }
}
