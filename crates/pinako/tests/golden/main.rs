//! Golden stores: what a version wrote once, every later version reads. They are never written again.

mod content;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pinako::Store;

const SCHEMES: [&str; 5] = ["files", "lmdb", "hdf5", "sqlite", "object"];

/// A copy of a golden store, for reading may leave lock files behind.
fn copy_of(scheme: &str, version: &str, to: &Path) -> String {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join(scheme);
    let to = to.join(scheme);
    copy(&from, &to);
    format!("{scheme}:{}", to.display())
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

#[test]
fn stores_of_version_1_are_read() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_read_only(&copy_of(scheme, "v1", folder.path())).unwrap();
        let expected = content::expected();
        assert_eq!(store.properties().unwrap().next_id, 12, "{scheme}");
        assert_eq!(store.label_names().unwrap(), ["cat", "dog"]);
        let found: Vec<_> = store.scan(0).collect::<Result<_, _>>().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, (id, image, name, label, attributes)) in found.iter().zip(&expected) {
            assert_eq!((found.id, found.name.as_deref(), found.label), (*id, *name, *label), "{scheme}");
            assert_eq!(found.attributes.as_ref().map(|attributes| attributes.as_str()), *attributes, "{scheme}");
            assert_eq!(&store.image(*id).unwrap(), image, "{scheme}, image {id}");
        }
        assert_eq!(store.find("kept").unwrap(), Some(3));
        assert_eq!(store.find("removed").unwrap(), None);
        let go_on = &mut |_| ControlFlow::Continue(());
        assert_eq!(store.verify(&mut |problem| panic!("{scheme}: {problem:?}"), go_on).unwrap().problems, 0);
    }
}

#[test]
fn stores_of_version_1_take_more_images() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&copy_of(scheme, "v1", folder.path())).unwrap();
        let image = &content::expected()[0].1;
        assert_eq!(store.append([pinako::NewImage::pixels(image)]).unwrap(), 12..13, "{scheme}");
        store.compact().unwrap();
        assert_eq!(&store.image(12).unwrap(), image);
        assert_eq!(&store.image(0).unwrap(), image);
    }
}

/// Every file of a store, cut short anywhere or with any one bit turned, gives an error or the right pixels.
#[test]
fn damaged_stores_give_errors_and_never_wrong_pixels() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        copy_of(scheme, "v1", folder.path());
        let mut files = Vec::new();
        list(&folder.path().join(scheme), &mut files);
        for file in files {
            let whole = fs::read(&file).unwrap();
            let places = (0..60).map(|i| (whole.len() * i / 60, i % 8));
            for (place, bit) in places {
                let mut damaged = whole.clone();
                damaged.truncate(place);
                check_damaged(scheme, folder.path(), &file, &damaged);
                if place < whole.len() {
                    damaged.clone_from(&whole);
                    damaged[place] ^= 1 << bit;
                    check_damaged(scheme, folder.path(), &file, &damaged);
                }
            }
            fs::write(&file, whole).unwrap();
        }
    }
}

fn list(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        return files.push(path.to_owned());
    }
    for entry in fs::read_dir(path).unwrap() {
        list(&entry.unwrap().path(), files);
    }
}

fn check_damaged(scheme: &str, folder: &Path, file: &Path, damaged: &[u8]) {
    fs::write(file, damaged).unwrap();
    let url = format!("{scheme}:{}", folder.join(scheme).display());
    let Ok(store) = Store::options().open_read_only(&url) else { return };
    for (id, image, ..) in content::expected() {
        if let Ok(found) = store.image(id) {
            assert!(found.bytes() == image.bytes(), "{scheme}: {} gives other pixels of {id}", file.display());
        }
    }
    let _ = store.scan(0).take(100).count();
    let _ = store.verify(&mut |_| {}, &mut |_| ControlFlow::Continue(()));
}
