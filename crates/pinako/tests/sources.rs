//! What is imported is what was there, from every kind of source; what is damaged is an error that names it.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use pinako::{Image, ImportEncoding, ImportOptions, Imported, NewImage, PixelEncoding, Result, Shape, Store, source};

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

#[test]
fn an_import_that_was_interrupted_goes_on_and_one_done_again_adds_nothing() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path());
    let store = Store::create("memory:").unwrap();
    let options = ImportOptions::default();
    let mut source = source::open(&root.path().join("cat/3.png")).unwrap();
    store.import(&mut *source, &options, &mut |_| {}, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert_eq!(store.count().unwrap(), 1, "the batch before the break stays");

    assert_eq!(import(&store, root.path(), &options).0.unwrap().images, 10, "3.png is not cat/3.png");
    let again = import(&store, root.path(), &options).0.unwrap();
    assert_eq!((again.images, again.present), (0, 10));
    fs::write(root.path().join("cat/9.png"), png(99)).unwrap();
    let more = import(&store, root.path(), &options).0.unwrap();
    assert_eq!((more.images, more.present), (1, 10));
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
