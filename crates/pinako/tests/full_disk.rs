//! A disk that runs full during an append costs that append and nothing else, and the error says what to do.

#[path = "../src/backends/small_disk.rs"]
mod small_disk;

use std::fs;

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{self, Mode};
use pinako::conformance::{assert_holds, pattern};
use pinako::{Descriptor, Durability, Encoding, Error, ErrorKind, ImageFormat, Layout, SampleType, Shape};

use small_disk::SmallDisk;

const DISK_MEGABYTES: u64 = 32;
/// What is freed after the disk ran full.
const FILLER_BYTES: usize = 12 << 20;

/// Some 600 KB of images, one of them streamed.
fn batch(number: u64) -> Vec<(Descriptor, Vec<u8>)> {
    let image = |place: u64| {
        let seed = 100 * number + place;
        let (shape, encoding, length) = match place {
            0 => (Shape::new(1, 1, 3), Encoding::Kept(ImageFormat::Jpeg), 500_000),
            _ => (Shape::new(32, 32, 3), Encoding::Raw(Layout::Row), 3072),
        };
        let payload = pattern(seed, 0, length);
        let descriptor = Descriptor {
            id: 0,
            name: Some(format!("image {seed}")),
            shape: shape.unwrap(),
            sample_type: SampleType::U8,
            encoding,
            label: Some(place as i64),
            attributes: None,
            payload_length: length as u64,
            checksum: crc32c::crc32c(&payload),
        };
        (descriptor, payload)
    };
    (0..30).map(image).collect()
}

/// Appends the batch with the number of `held` until one fails, whose error is returned.
fn fill(store: &dyn Backend, held: &mut Vec<(Descriptor, Vec<u8>)>) -> Error {
    loop {
        assert!(held.len() < 10_000, "the disk is small");
        let mut images = batch(held.len() as u64);
        let mut readers: Vec<&[u8]> = images.iter().map(|(_, payload)| &payload[..]).collect();
        let mut entries: Vec<Entry<'_>> = (images.iter().zip(&mut readers).enumerate())
            .map(|(place, ((descriptor, payload), reader))| match place {
                0 => Entry {
                    descriptor: Descriptor { checksum: 0, ..descriptor.clone() },
                    payload: Payload::Stream(reader),
                },
                _ => Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) },
            })
            .collect();
        match store.append(&mut entries) {
            Ok(ids) => {
                for (id, (descriptor, _)) in ids.zip(&mut images) {
                    descriptor.id = id;
                }
                held.append(&mut images);
            }
            Err(error) => return error,
        }
    }
}

#[track_caller]
fn assert_says_what_to_do(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Backend, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("disk")), "{error:?}");
}

fn survives_a_full_disk(scheme: &str) {
    let Some(disk) = SmallDisk::mount(DISK_MEGABYTES) else { return };
    let url = format!("{scheme}:{}", disk.path("store").display());
    let open = |mode| backends::open(&url, mode, Durability::Full).unwrap();
    let filler = disk.path("filler");
    fs::write(&filler, vec![7; FILLER_BYTES]).unwrap();

    let store = open(Mode::Create);
    let mut held = Vec::new();
    assert_says_what_to_do(&fill(&*store, &mut held));
    assert!(held.len() > 100, "{} images fit", held.len());
    assert_holds(&*store, &held);
    let name = batch(held.len() as u64)[0].0.name.clone().unwrap();
    assert_eq!(store.find(&[&name]).unwrap(), [None], "the failed batch");
    assert_holds(&*open(Mode::Read), &held);

    // The same handle goes on where there is space again, until there is none.
    fs::remove_file(&filler).unwrap();
    let before = held.len();
    assert_says_what_to_do(&fill(&*store, &mut held));
    assert!(held.len() > before, "appends work again");
    assert_holds(&*store, &held);
    drop(store);
    assert_holds(&*open(Mode::Write), &held);
}

#[test]
fn files() {
    survives_a_full_disk("files");
}

#[cfg(feature = "hdf5")]
#[test]
fn hdf5() {
    survives_a_full_disk("hdf5");
}

#[test]
fn lmdb() {
    survives_a_full_disk("lmdb");
}

#[test]
fn sqlite() {
    survives_a_full_disk("sqlite");
}
