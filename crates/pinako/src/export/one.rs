//! One image, or a rectangle of one, as a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::aside::AsideFile;
use super::{cannot_write, folders, npy};
use crate::descriptor::{Descriptor, Encoding, Id, ImageFormat};
use crate::encoding;
use crate::error::{Error, Result};
use crate::image::Region;
use crate::store::Store;

/// What file one image is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// An image file. Pinako writes PNG; any other format only where the image is stored, or linked, as such a file.
    Image(ImageFormat),
    /// An H,W,C array in NumPy's format.
    Npy,
}

impl FileFormat {
    /// The format that the name of a file asks for by its extension.
    ///
    /// # Errors
    /// `InvalidInput` where that is none we know.
    pub fn of(file: &Path) -> Result<Self> {
        let extension = file.extension().and_then(|extension| extension.to_str());
        match extension {
            Some(extension) if extension.eq_ignore_ascii_case("npy") => Some(FileFormat::Npy),
            Some(extension) => encoding::format_of_extension(extension).map(FileFormat::Image),
            None => None,
        }
        .ok_or_else(|| {
            Error::invalid(format!("the extension of {} does not say what to write", file.display()))
                .with_hint("end it in .png or .npy, or in that of the file the image was kept as")
        })
    }
}

/// The bytes of the file that an image, or a region of it, is outside of the store.
///
/// # Errors
/// `NotFound` where there is no such image, `InvalidInput` where the region is not inside it, `Unsupported` where such
/// a file cannot hold the image or is none that we write.
pub fn image_file(store: &Store, id: Id, region: Option<Region>, format: FileFormat) -> Result<Vec<u8>> {
    let descriptor = store.descriptor(id)?;
    if let (FileFormat::Image(format), None) = (format, region)
        && stored_as(&descriptor) == Some(format)
    {
        return folders::file_bytes(store, &descriptor);
    }
    let read = || match region {
        Some(region) => store.region(id, region),
        None => store.image(id),
    };
    match format {
        FileFormat::Image(ImageFormat::Png) => folders::png(&read()?),
        FileFormat::Npy => Ok(npy::one(read()?)),
        FileFormat::Image(other) => {
            let asked = if region.is_some() { "a region" } else { "an image that is not stored as such a file" };
            Err(Error::unsupported(format!("{asked} cannot be written as {}", other.name()))
                .with_hint("write PNG, or .npy for the samples themselves"))
        }
    }
    .map_err(|error| error.at_id(id).at_store(store.url()))
}

/// Writes `bytes` to `file`, in the place of what was there, which is never half gone: it is written aside and gets its
/// name when it is whole and on the disk. What is no plain file (a device, a pipe) is written to.
///
/// # Errors
/// `InvalidInput` where `file` is a folder, `Conflict` where another process is writing it.
pub fn write_file(file: &Path, bytes: &[u8]) -> Result<()> {
    let target = match file.canonicalize() {
        Ok(target) if target.is_dir() => {
            return Err(Error::invalid(format!("{} is a folder", file.display()))
                .with_hint("give the name of a file to be made in it"));
        }
        Ok(target) if !target.is_file() => {
            let written = File::options().write(true).open(target).and_then(|mut out| out.write_all(bytes));
            return written.map_err(|error| cannot_write(file, error));
        }
        Ok(target) => target, // what a link points to is replaced, not the link
        Err(_) => file.to_owned(),
    };
    let mut aside = AsideFile::replacing(&target)?;
    if let Ok(old) = target.metadata() {
        aside.set_permissions(old.permissions())?;
    }
    aside.write(bytes)?;
    aside.done()
}

/// The format of the image file that the image is stored or linked as.
fn stored_as(descriptor: &Descriptor) -> Option<ImageFormat> {
    match descriptor.encoding {
        Encoding::Raw(_) => None,
        Encoding::Png => Some(ImageFormat::Png),
        Encoding::Kept(format) => Some(format),
        Encoding::Linked(link) => Some(link.format),
    }
}
