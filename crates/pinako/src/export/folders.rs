//! Image files in class folders: what any image program and most training scripts take.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Aside, Batches, LOT, cannot_write, file_name};
use crate::descriptor::{Descriptor, Encoding, Id, Label};
use crate::encoding::{self, PixelEncoding};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::store::Store;

/// The folder of images without a label.
const UNLABELLED: &str = "unlabelled";

/// Most bytes of a file's or folder's name, on all usual file systems.
const MAX_NAME: usize = 255;
/// Most bytes of an image's name in that of its file, where more of it stands there than keeps files apart.
const MAX_STEM: usize = 200;

pub(super) fn export(batches: &Batches<'_>, out: &Path) -> Result<()> {
    let aside = Aside::folder(out)?;
    let folder = aside.path();
    let mut classes = ClassFolders::new(&batches.store.label_names()?);
    let mut taken = TakenNames::default();
    batches.walk_all(&mut |descriptors| {
        let mut files = Vec::with_capacity(descriptors.len());
        for descriptor in descriptors {
            let class = classes.of(descriptor.label);
            let file = folder.join(taken.file(class, descriptor));
            if let Some(class) = file.parent() {
                fs::create_dir_all(class).map_err(|error| cannot_write(out, error))?;
            }
            files.push((descriptor, file));
        }
        let store = batches.store;
        files.par_chunks(store.chunk(files.len(), LOT)).try_for_each(|files| {
            let mut payloads = vec![Vec::new(); files.len()];
            let ids: Vec<Id> = files.iter().map(|(descriptor, _)| descriptor.id).collect();
            store.fetch(&ids, |place, _, payload| {
                payloads[place] = payload.to_vec();
                Ok(())
            })?;
            for ((descriptor, file), payload) in files.iter().zip(payloads) {
                let bytes = file_of(store, descriptor, payload)?;
                fs::write(file, bytes).map_err(|error| cannot_write(file, error))?;
                batches.count(descriptor)?;
            }
            Ok(())
        })
    })?;
    aside.done()
}

/// The file that an image is outside of a store.
pub(super) fn file_bytes(store: &Store, descriptor: &Descriptor) -> Result<Vec<u8>> {
    file_of(store, descriptor, store.payload(descriptor.id)?)
}

/// The file that the image with this payload is outside of a store.
fn file_of(store: &Store, descriptor: &Descriptor, payload: Vec<u8>) -> Result<Vec<u8>> {
    let file = match descriptor.encoding {
        Encoding::Png | Encoding::Kept(_) => Ok(payload),
        Encoding::Linked(link) => store.linked_file(&payload, link),
        Encoding::Raw(_) => store.decode(descriptor, &payload).and_then(|image| png(&image)),
    };
    file.map_err(|error| error.at_id(descriptor.id).at_store(store.url()))
}

/// A PNG file of `image`.
pub(super) fn png(image: &Image) -> Result<Vec<u8>> {
    if !PixelEncoding::Png.fits(image.shape(), image.sample_type()) {
        return Err(Error::unsupported(format!(
            "there is no image file for {} {} channels",
            image.shape().channels(),
            image.sample_type()
        ))
        .with_hint("write .npy instead"));
    }
    encoding::encode_png(image.view())
}

/// Finds a folder for each class: its name if it can be a folder's, else its number. No two share one, nor does a class
/// share that of the images without a label.
struct ClassFolders {
    folders: HashMap<Option<Label>, String>,
    taken: HashSet<String>,
}

impl ClassFolders {
    fn new(names: &[String]) -> Self {
        let mut classes = ClassFolders { folders: HashMap::new(), taken: HashSet::new() };
        for (label, name) in (0..).zip(names) {
            let can_be =
                !matches!(&**name, "" | "." | "..") && !name.contains(['/', '\\', '\0']) && name.len() <= MAX_NAME;
            if can_be && classes.taken.insert(name.clone()) {
                classes.folders.insert(Some(label), name.clone());
            }
        }
        classes
    }

    fn of(&mut self, label: Option<Label>) -> &str {
        self.folders.entry(label).or_insert_with(|| {
            let mut folder = label.map_or_else(|| UNLABELLED.to_owned(), |label| label.to_string());
            while !self.taken.insert(folder.clone()) {
                folder.push('_');
            }
            folder
        })
    }
}

/// Finds a file name for each image: the last part of its name, or its id where it has none. Where two would be the
/// same, or one is too long for a file, it ends in the id.
#[derive(Default)]
struct TakenNames {
    /// Hashes, for a million names take memory: two different names with one hash only cost the second its name.
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl TakenNames {
    fn file(&mut self, class: &str, descriptor: &Descriptor) -> PathBuf {
        let extension = match descriptor.encoding {
            Encoding::Kept(format) => format.extension(),
            Encoding::Linked(link) => link.format.extension(),
            Encoding::Raw(_) | Encoding::Png => "png",
        };
        let id = format!("{:08}", descriptor.id);
        let stem = file_name(descriptor).map_or(&*id, without_image_extension);
        let mut file = format!("{stem}.{extension}");
        let mut distinct = format!("{}-{id}", cut(stem));
        while file.len() > MAX_NAME || !self.hashes.insert(self.hasher.hash_one((class, &file))) {
            file = format!("{distinct}.{extension}");
            distinct.push('_'); // another image may be named like that
        }
        Path::new(class).join(file)
    }
}

/// As many of the first characters as take [`MAX_STEM`] bytes.
fn cut(stem: &str) -> &str {
    let end = (0..=MAX_STEM.min(stem.len())).rev().find(|&end| stem.is_char_boundary(end));
    &stem[..end.unwrap_or_default()]
}

/// `name` without the extension of an image file, which it may have or not.
fn without_image_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && encoding::format_of_extension(extension).is_some() => stem,
        _ => name,
    }
}
