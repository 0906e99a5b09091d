//! Rectangles of large images in `files:`, whose files are mapped, when somebody changes the files under an open store.

use std::fs;
use std::path::PathBuf;

use pinako::{BlockSide, ErrorKind, ImageView, Layout, NewImage, PixelEncoding, Region, SampleType, Shape, Store};

const SIDE: u32 = 1100;

struct Pair {
    _folder: tempfile::TempDir,
    store: Store,
    pixels: [Vec<u8>; 2],
    files: [PathBuf; 2],
}

/// An open store with two images that are large enough to be mapped, both of which were read already.
fn pair() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&format!("files:{}", folder.path().join("store").display())).unwrap();
    let shape = Shape::new(SIDE, SIDE, 1).unwrap();
    let pixels =
        [3u32, 7].map(|factor| (0..SIDE * SIDE).map(|place| ((place * factor) >> 3) as u8).collect::<Vec<u8>>());
    let layout = Layout::Hilbert(BlockSide::new(16).unwrap());
    for pixels in &pixels {
        let view = ImageView::new(shape, SampleType::U8, pixels).unwrap();
        store.append([NewImage::encoded(view, PixelEncoding::RawIn(layout))]).unwrap();
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.path().join("store")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.metadata().unwrap().len() == u64::from(SIDE * SIDE));
    files.sort();
    let pair = Pair { _folder: folder, store, pixels, files: files.try_into().unwrap() };
    assert_eq!(pair.read(0).unwrap(), pair.crop(0));
    assert_eq!(pair.read(1).unwrap(), pair.crop(1));
    pair
}

impl Pair {
    fn region() -> Region {
        Region::new(100, 37, 900, 1000).unwrap()
    }

    fn read(&self, id: u64) -> pinako::Result<Vec<u8>> {
        self.store.region(id, Self::region()).map(|image| image.view().bytes().to_vec())
    }

    fn crop(&self, image: usize) -> Vec<u8> {
        let view = ImageView::new(Shape::new(SIDE, SIDE, 1).unwrap(), SampleType::U8, &self.pixels[image]).unwrap();
        view.crop(Self::region()).unwrap().bytes().to_vec()
    }
}

#[test]
fn a_file_that_was_put_in_place_of_another_is_the_one_that_is_read() {
    let pair = pair();
    fs::rename(&pair.files[1], &pair.files[0]).unwrap();
    assert_eq!(pair.read(0).unwrap(), pair.crop(1));
    let error = pair.read(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn a_file_of_another_length_is_an_error() {
    let pair = pair();
    let file = fs::OpenOptions::new().write(true).open(&pair.files[0]).unwrap();
    for length in [5000, 0, u64::from(SIDE * SIDE) - 1, u64::from(SIDE * SIDE) + 1] {
        file.set_len(length).unwrap();
        // The first pixels are there for the most part.
        for error in [pair.read(0).unwrap_err(), pair.store.region(0, Region::new(0, 0, 9, 9).unwrap()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&format!("{length} bytes")), "{error}");
        }
        let mut problems = 0;
        pair.store.verify(&mut |_| problems += 1, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        assert_eq!(problems, 1);
    }
    assert_eq!(pair.read(1).unwrap(), pair.crop(1));
}

#[test]
fn a_pipe_in_place_of_a_file_is_an_error_and_not_waited_for() {
    let pair = pair();
    fs::remove_file(&pair.files[0]).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pair.files[0]).status().unwrap().success());
    assert_eq!(pair.read(0).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(pair.store.image(0).unwrap_err().kind(), ErrorKind::Corrupt);
    let costs = pair.files[0].with_file_name(".cost.json");
    assert!(std::process::Command::new("mkfifo").arg(&costs).status().unwrap().success());
    pair.read(1).unwrap();
}

#[test]
fn a_file_behind_a_link_is_read() {
    let pair = pair();
    let elsewhere = pair.files[0].with_file_name("elsewhere");
    fs::rename(&pair.files[0], &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &pair.files[0]).unwrap();
    assert_eq!(pair.read(0).unwrap(), pair.crop(0));
}

/// The disk keeps the bytes of a file that is unlinked for as long as it is mapped.
#[cfg(target_os = "linux")]
#[test]
fn the_file_of_a_removed_image_is_let_go() {
    let pair = pair();
    let is_mapped = |file: &PathBuf| fs::read_to_string("/proc/self/maps").unwrap().contains(file.to_str().unwrap());
    assert!(is_mapped(&pair.files[0]) && is_mapped(&pair.files[1]));
    pair.store.remove(&[0]).unwrap();
    assert!(!is_mapped(&pair.files[0]) && is_mapped(&pair.files[1]));
}
