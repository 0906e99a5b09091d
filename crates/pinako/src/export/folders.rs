//! Image files in class folders: what any image program and most training scripts take.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Aside, Batches, cannot_write, file_name};
use crate::descriptor::{Descriptor, Encoding, Label};
use crate::encoding::{self, PixelEncoding};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::store::Store;

/// The folder of images without a label.
const UNLABELLED: &str = "unlabelled";

pub(super) fn export(batches: &Batches<'_>, out: &Path) -> Result<()> {
    let aside = Aside::folder(out)?;
    let folder = aside.path();
    let label_names = batches.store.label_names()?;
    let mut taken = TakenNames::default();
    let mut classes = HashSet::new();
    batches.walk_all(&mut |descriptors| {
        let mut files = Vec::with_capacity(descriptors.len());
        for descriptor in descriptors {
            let class = class_folder(descriptor.label, &label_names);
            if classes.insert(class.clone()) {
                fs::create_dir_all(folder.join(&class)).map_err(|error| cannot_write(out, error))?;
            }
            files.push((descriptor, folder.join(taken.file(&class, descriptor))));
        }
        files.par_iter().try_for_each(|(descriptor, file)| {
            let bytes = file_bytes(batches.store, descriptor)?;
            fs::write(file, bytes).map_err(|error| cannot_write(file, error))?;
            batches.count(descriptor)
        })
    })?;
    aside.done()
}

/// The file that an image is outside of a store.
pub(super) fn file_bytes(store: &Store, descriptor: &Descriptor) -> Result<Vec<u8>> {
    match descriptor.encoding {
        Encoding::Png | Encoding::Kept(_) => store.payload(descriptor.id),
        Encoding::Linked(link) => store.linked_file(descriptor.id, link),
        Encoding::Raw(_) => {
            png(&store.image(descriptor.id)?).map_err(|error| error.at_id(descriptor.id).at_store(store.url()))
        }
    }
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

/// The folder of a class: its name if it can be one's, else its number.
fn class_folder(label: Option<Label>, names: &[String]) -> String {
    let Some(label) = label else { return UNLABELLED.to_owned() };
    let name = usize::try_from(label).ok().and_then(|label| names.get(label));
    match name {
        Some(name) if !matches!(&**name, "" | "." | "..") && !name.contains(['/', '\\', '\0']) => name.clone(),
        _ => label.to_string(),
    }
}

/// Finds a file name for each image: the last part of its name, or its id where it has none or two would be the same.
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
        let file = format!("{stem}.{extension}");
        let free = self.hashes.insert(self.hasher.hash_one((class, &file)));
        Path::new(class).join(if free { file } else { format!("{stem}-{id}.{extension}") })
    }
}

/// `name` without the extension of an image file, which it may have or not.
fn without_image_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && encoding::format_of_extension(extension).is_some() => stem,
        _ => name,
    }
}
