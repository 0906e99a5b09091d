//! A bit that the disk flipped is found wherever it is in the files of a store: the store does not open, or `verify`
//! finds something. Or else nothing is read from there. Never is what was stored something else and nobody notices.

mod schemes;

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use pinako::{Attributes, Descriptor, Image, NewImage, PixelEncoding, Result, SampleType, Shape, Store};
use schemes::SCHEMES;

/// All that a store says.
#[derive(Debug, PartialEq)]
struct Content {
    label_names: Vec<String>,
    next_id: u64,
    images: Vec<(Descriptor, Vec<u8>)>,
    found: Vec<Option<u64>>,
}

const NAMES: [&str; 4] = ["tom", "ünï/cöde.png", "gone", "felix"];

fn write(store: &Store) -> Result<()> {
    store.set_label_names(&["cat".into(), "dog".into()])?;
    let image = |side: u32| {
        let shape = Shape::new(side, 5, 1)?;
        Image::from_bytes(shape, SampleType::U8, (0..side * 5).map(|i| (i * 7 + side) as u8).collect())
    };
    let (a, b, c) = (image(4)?, image(5)?, image(205)?);
    let attributes = Attributes::parse(r#"{"camera":"Q","iso":[100,2.5]}"#)?;
    let raw = |image| NewImage::encoded(image, PixelEncoding::Raw);
    store.append([
        raw(a.view()).name(NAMES[0]).label(0),
        NewImage::encoded(b.view(), PixelEncoding::Png).name(NAMES[1]).label(1).attributes(attributes),
        raw(c.view()).name(NAMES[2]),
    ])?;
    store.remove(&[2])?;
    store.compact()?;
    store.append([raw(c.view()).name(NAMES[3]).label(1), raw(a.view())])?;
    Ok(())
}

/// What the store at `url` holds; an error where `verify` finds something.
fn read(url: &str) -> Result<Option<Content>> {
    let store = Store::options().open_read_only(url)?;
    if store.verify(&mut drop, &mut |_| ControlFlow::Continue(()))?.problems > 0 {
        return Ok(None);
    }
    let images = store.scan(0).map(|descriptor| {
        let descriptor = descriptor?;
        let payload = store.payload(descriptor.id)?;
        Ok((descriptor, payload))
    });
    Ok(Some(Content {
        label_names: store.label_names()?,
        next_id: store.properties()?.next_id,
        images: images.collect::<Result<_>>()?,
        found: NAMES.map(|name| store.find(name)).into_iter().collect::<Result<_>>()?,
    }))
}

fn list(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        return files.push(path.to_owned());
    }
    for entry in fs::read_dir(path).unwrap() {
        list(&entry.unwrap().path(), files);
    }
}

/// Whether LMDB keeps this byte of its file for itself: its two headers, where its databases begin, and the list of
/// nodes that each page starts with. It believes them: a flip there ends the process, or brings back an earlier
/// transaction.
fn is_lmdbs_own(file: &[u8], place: usize) -> bool {
    let page_size = u32::from_ne_bytes(file[40..44].try_into().unwrap()) as usize;
    let page = &file[place / page_size * page_size..][..page_size];
    let nodes_from = usize::from(u16::from_ne_bytes([page[12], page[13]])).clamp(16, page_size);
    place < 2 * page_size || place % page_size < nodes_from || page.windows(10).any(|bytes| bytes == b"descriptor")
}

fn flip_everywhere(scheme: &str) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{scheme}:{}", folder.path().join("store").display());
    write(&Store::create(&url).unwrap()).unwrap();
    let expected = read(&url).unwrap().expect("it is sound");
    assert_eq!((expected.images.len(), &expected.found), (4, &vec![Some(0), Some(1), None, Some(3)]));
    let mut files = Vec::new();
    list(folder.path(), &mut files);
    let mut unread = 0;
    for path in files.iter().filter(|path| !path.ends_with("lock.mdb")) {
        let whole = fs::read(path).unwrap();
        for (place, byte) in whole.iter().enumerate() {
            // Most zeros are room that is free.
            let is_skipped = *byte == 0 && place % 509 != 0;
            if is_skipped || scheme == "lmdb" && is_lmdbs_own(&whole, place) {
                continue;
            }
            let put =
                |byte| File::options().write(true).open(path).unwrap().write_all_at(&[byte], place as u64).unwrap();
            put(byte ^ 1 << (place % 8));
            if let Ok(Some(found)) = read(&url) {
                assert_eq!(found, expected, "byte {place} of {}", path.display());
                unread += 1;
            }
            put(*byte);
        }
    }
    assert_eq!(read(&url).unwrap().as_ref(), Some(&expected));
    assert!(unread == 0 || scheme != "files", "all bytes of files: are read");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    thread::scope(|scope| {
        for scheme in SCHEMES {
            scope.spawn(|| flip_everywhere(scheme));
        }
    });
}
