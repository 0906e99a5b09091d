//! Taking images out of a store, in the forms that other programs expect.
//!
//! Whatever is exported is written aside, in the same folder, and renamed when it is whole and on the disk: an export
//! that fails or is interrupted leaves nothing behind, and one that is there is complete.
//!
//! **No label.** Forms with a number for each image (`.npy`, HDF5) have -1 for an image without a label, and importing
//! them makes no label of -1. An image with the label -1 is therefore refused there.

mod aside;
mod cifar;
mod folders;
mod hdf5;
mod npy;
mod one;

pub use one::{FileFormat, image_file, write_file};

use std::path::Path;

use rayon::prelude::*;

use self::aside::Aside;
use crate::descriptor::{Descriptor, Id, Label, NO_LABEL};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};
use crate::store::{Progress, Store, Watch, Watched};

/// What an export can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A folder of image files, in a folder a class. Kept files as they came, everything else as PNG.
    Folders,
    /// One N,H,W,C array, and one of N labels beside it (`x.npy` and `x.labels.npy`). -1 is no label.
    Npy,
    /// One HDF5 file of a dataset `images` (N,H,W,C) and one `meta` (N labels). -1 is no label.
    Hdf5,
    /// CIFAR-10's Python layout: a folder of pickles `data_batch_1` ... of 10,000 images each, `test_batch` (the images
    /// whose names start with `test`) and `batches.meta`.
    CifarPython,
}

impl Format {
    /// The format that the name of the output suggests: by its extension, else folders.
    pub fn of(out: &Path) -> Self {
        match out.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Format::Npy,
            Some("h5" | "hdf5") => Format::Hdf5,
            _ => Format::Folders,
        }
    }
}

/// What an export wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Images.
    pub images: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

/// Writes all images of `store` to `out`, which must not be there yet (an empty folder may).
///
/// # Errors
/// `Conflict` where `out` is there; `Unsupported` where an image does not fit the format; `Interrupted` where the watch
/// says so. In each case nothing was written.
pub fn export(store: &Store, out: &Path, format: Format, watch: &mut Watch<'_>) -> Result<Exported> {
    let total = store.count()?;
    let start = Progress { total: Some(total), ..Progress::default() };
    let exported = Watched::run(watch, start, |watched| {
        let batches = Batches { store, total, watched };
        match format {
            Format::Folders => folders::export(&batches, out),
            Format::Npy => npy::export(&batches, out),
            Format::Hdf5 => hdf5::export(&batches, out),
            Format::CifarPython => cifar::export(&batches, out),
        }?;
        let Progress { images, bytes, .. } = watched.progress();
        Ok(Exported { images, bytes })
    });
    exported.map_err(|error| match error.kind() {
        ErrorKind::Interrupted => error.with_hint("nothing was written"),
        _ => error,
    })
}

/// Walks a store batch by batch, watched.
struct Batches<'a> {
    store: &'a Store,
    total: u64,
    watched: &'a Watched<'a>,
}

impl Batches<'_> {
    /// Gives `take` batches of those images that it says it `wants`, in ascending order of their ids. A batch is never
    /// empty; it ends with `most` images, or with so many decoded bytes.
    fn walk(
        &self,
        (most, most_bytes): (usize, u64),
        wants: &dyn Fn(&Descriptor) -> bool,
        take: &mut dyn FnMut(&[Descriptor]) -> Result<()>,
    ) -> Result<()> {
        let mut batch: Vec<Descriptor> = Vec::new();
        let mut bytes = 0;
        for descriptor in self.store.scan(0) {
            let descriptor = descriptor?;
            if wants(&descriptor) {
                bytes = descriptor.image_bytes().saturating_add(bytes);
                batch.push(descriptor);
            }
            if batch.len() == most || bytes >= most_bytes {
                bytes = 0;
                take(&batch)?;
                batch.clear();
                self.watched.go_on()?;
            }
        }
        if !batch.is_empty() {
            take(&batch)?;
            self.watched.go_on()?;
        }
        Ok(())
    }

    /// [`walk`](Self::walk) over all images.
    fn walk_all(&self, take: &mut dyn FnMut(&[Descriptor]) -> Result<()>) -> Result<()> {
        self.walk(self.store.batch(), &|_| true, take)
    }

    /// Counts an image that is written, or as good as.
    ///
    /// # Errors
    /// `Interrupted` where the watch has said to stop.
    fn count(&self, descriptor: &Descriptor) -> Result<()> {
        self.watched.add(1, descriptor.payload_length);
        self.watched.check()
    }

    /// Reads the pixels of images of one shape into `buffer`, one after another, and counts them.
    fn read_into(&self, descriptors: &[Descriptor], buffer: &mut [u8]) -> Result<()> {
        let lot = self.store.chunk(descriptors.len(), LOT);
        let lots = descriptors.par_chunks(lot).zip(buffer.par_chunks_mut(buffer.len() / descriptors.len() * lot));
        lots.try_for_each(|(descriptors, buffer)| {
            let ids: Vec<Id> = descriptors.iter().map(|descriptor| descriptor.id).collect();
            self.store.images_into(&ids, buffer)?;
            descriptors.iter().try_for_each(|descriptor| self.count(descriptor))
        })
    }

    /// The shape and sample type of the first image.
    fn first(&self) -> Result<(Shape, SampleType)> {
        match self.store.scan(0).next().transpose()? {
            Some(descriptor) => Ok((descriptor.shape, descriptor.sample_type)),
            None => Err(Error::invalid("there are no images to export").at_store(self.store.url())),
        }
    }
}

/// Images that are read at once.
const LOT: usize = 64;

/// Writes the pixels of all images, which are all of one shape, one after another, and gives their labels.
fn write_array(
    batches: &Batches<'_>,
    (shape, sample): (Shape, SampleType),
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Vec<Label>> {
    let mut labels = Vec::new();
    let mut buffer = Vec::new();
    let store = batches.store;
    batches.walk_all(&mut |descriptors| {
        for descriptor in descriptors {
            check_alike(store, descriptor, shape, sample, "one array")?;
            store.check_claim(descriptor)?;
            labels.push(match descriptor.label {
                Some(NO_LABEL) => return Err(no_label(store, descriptor)),
                label => label.unwrap_or(NO_LABEL),
            });
        }
        buffer.resize(descriptors.len() * shape.byte_length(sample) as usize, 0);
        batches.read_into(descriptors, &mut buffer)?;
        write(&buffer)
    })?;
    Ok(labels)
}

/// The error for an image whose label would be read as none.
fn no_label(store: &Store, descriptor: &Descriptor) -> Error {
    Error::unsupported(format!("its label is {NO_LABEL}, which means no label in an array of labels"))
        .with_hint("export image files in class folders instead, or give it another label")
        .at_id(descriptor.id)
        .at_store(store.url())
}

/// Refuses an image that is not of the one shape and sample type that the format has.
fn check_alike(store: &Store, descriptor: &Descriptor, shape: Shape, sample: SampleType, what: &str) -> Result<()> {
    if (descriptor.shape, descriptor.sample_type) == (shape, sample) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{what} takes images of one shape: this one is {} {}, not {shape} {sample}",
        descriptor.shape, descriptor.sample_type
    ))
    .with_hint("export image files in class folders instead")
    .at_id(descriptor.id)
    .at_store(store.url()))
}

/// The last part of an image's name, if it can be the name of a file.
fn file_name(descriptor: &Descriptor) -> Option<&str> {
    let last = descriptor.name.as_deref()?.rsplit(['/', '\\']).next()?;
    (!matches!(last, "" | "." | "..")).then_some(last)
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = Error::io(format!("cannot write {}", path.display()), error);
    match (error.kind(), missing) {
        (ErrorKind::NotFound, true) => error.with_hint("make its folder first"),
        _ => error,
    }
}
