//! Taking images out of a store, in the forms that other programs expect.
//!
//! Whatever is exported is written aside, in the same folder, and renamed when it is whole: an export that fails or is
//! interrupted leaves nothing behind, and one that is there is complete.

mod cifar;
mod folders;
mod hdf5;
mod npy;
mod one;

pub use one::{FileFormat, image_file};

use std::fs;
use std::path::{Path, PathBuf};

use crate::descriptor::{Descriptor, Id, Label};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};
use crate::store::{BATCH_BYTES, BATCH_IMAGES, Progress, Store, Watch, go_on};

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
    let mut batches = Batches { store, total: store.count()?, done: Exported::default(), watch };
    batches.go_on()?;
    match format {
        Format::Folders => folders::export(&mut batches, out),
        Format::Npy => npy::export(&mut batches, out),
        Format::Hdf5 => hdf5::export(&mut batches, out),
        Format::CifarPython => cifar::export(&mut batches, out),
    }?;
    Ok(batches.done)
}

/// Walks a store batch by batch, telling the watch.
struct Batches<'a, 'w> {
    store: &'a Store,
    total: u64,
    done: Exported,
    watch: &'a mut Watch<'w>,
}

impl Batches<'_, '_> {
    /// Gives `take` batches of those images that it says it `wants`, in ascending order of their ids. A batch is never
    /// empty and has `most` images at most.
    fn walk(
        &mut self,
        most: usize,
        wants: &dyn Fn(&Descriptor) -> bool,
        take: &mut dyn FnMut(&Store, &[Descriptor]) -> Result<()>,
    ) -> Result<()> {
        let mut batch: Vec<Descriptor> = Vec::new();
        let mut bytes = 0;
        for descriptor in self.store.scan(0) {
            let descriptor = descriptor?;
            if wants(&descriptor) {
                bytes = descriptor.image_bytes().saturating_add(bytes);
                batch.push(descriptor);
            }
            if batch.len() == most || bytes >= BATCH_BYTES {
                bytes = 0;
                self.hand_over(&mut batch, take)?;
            }
        }
        if !batch.is_empty() {
            self.hand_over(&mut batch, take)?;
        }
        Ok(())
    }

    /// [`walk`](Self::walk) over all images.
    fn walk_all(&mut self, take: &mut dyn FnMut(&Store, &[Descriptor]) -> Result<()>) -> Result<()> {
        self.walk(BATCH_IMAGES, &|_| true, take)
    }

    fn hand_over(
        &mut self,
        batch: &mut Vec<Descriptor>,
        take: &mut dyn FnMut(&Store, &[Descriptor]) -> Result<()>,
    ) -> Result<()> {
        take(self.store, batch)?;
        self.done.images += batch.len() as u64;
        for descriptor in &*batch {
            self.done.bytes = self.done.bytes.saturating_add(descriptor.payload_length);
        }
        batch.clear();
        self.go_on()
    }

    /// Tells the watch how far the export has come.
    fn go_on(&mut self) -> Result<()> {
        let progress = Progress { images: self.done.images, total: Some(self.total), bytes: self.done.bytes };
        go_on(self.watch, progress).map_err(|error| error.with_hint("nothing was written"))
    }

    /// The shape and sample type of the first image.
    fn first(&self) -> Result<(Shape, SampleType)> {
        match self.store.scan(0).next().transpose()? {
            Some(descriptor) => Ok((descriptor.shape, descriptor.sample_type)),
            None => Err(Error::invalid("there are no images to export").at_store(self.store.url())),
        }
    }
}

/// The label of an image without one, in forms that have a number for each.
const NO_LABEL: i64 = -1;

/// Writes the pixels of all images, which are all of one shape, one after another, and gives their labels.
fn write_array(
    batches: &mut Batches<'_, '_>,
    (shape, sample): (Shape, SampleType),
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Vec<Option<Label>>> {
    let mut labels = Vec::new();
    let mut buffer = Vec::new();
    batches.walk_all(&mut |store, descriptors| {
        for descriptor in descriptors {
            check_alike(store, descriptor, shape, sample, "one array")?;
            store.check_claim(descriptor)?;
            labels.push(descriptor.label);
        }
        let ids: Vec<Id> = descriptors.iter().map(|descriptor| descriptor.id).collect();
        buffer.resize(ids.len() * shape.byte_length(sample) as usize, 0);
        store.images_into(&ids, &mut buffer)?;
        write(&buffer)
    })?;
    Ok(labels)
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

/// A file or folder that is written aside and appears under its own name when it is whole.
struct Aside {
    aside: Option<PathBuf>,
    out: PathBuf,
}

impl Aside {
    /// Makes ready to write `out`.
    ///
    /// # Errors
    /// `Conflict` where there is something already.
    fn new(out: &Path) -> Result<Self> {
        let empty_folder = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        if out.symlink_metadata().is_ok() && !empty_folder {
            return Err(Error::conflict(format!("{} is there already", out.display()))
                .with_hint("choose another name, or remove it first"));
        }
        let Some(name) = out.file_name() else {
            return Err(Error::invalid(format!("{} names no file or folder", out.display())));
        };
        let mut aside = std::ffi::OsString::from(".");
        aside.push(name);
        aside.push(format!(".partial-{}", std::process::id()));
        Ok(Aside { aside: Some(out.with_file_name(aside)), out: out.to_owned() })
    }

    /// Where to write.
    fn path(&self) -> &Path {
        self.aside.as_deref().unwrap_or(&self.out)
    }

    /// What was written is whole: gives it its name.
    fn done(mut self) -> Result<()> {
        let Some(aside) = self.aside.take() else { return Ok(()) };
        fs::rename(&aside, &self.out).map_err(|error| {
            self.aside = Some(aside); // which is removed then
            cannot_write(&self.out, error)
        })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            // Nobody knows of it: what cannot be removed does no harm but for its space.
            let _ = if aside.is_dir() { fs::remove_dir_all(aside) } else { fs::remove_file(aside) };
        }
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = Error::io(format!("cannot write {}", path.display()), error);
    match (error.kind(), missing) {
        (ErrorKind::NotFound, true) => error.with_hint("make its folder first"),
        _ => error,
    }
}
