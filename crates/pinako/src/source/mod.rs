//! What images are imported from: a folder of image files, or a data set in one of the forms that are common.
//!
//! A [`Source`] is an iterator that holds one file or one piece of a file at a time, so that a data set of any size
//! takes the same memory. [`open`] recognises the kind by what is there, never by being told. Nothing that is read
//! is believed: lengths are checked against the file's before memory is taken, and pickles are read as data, never
//! run. Of several kinds in one folder the first of these is taken; the description names files of the others.
//!
//! | kind | recognised by |
//! | --- | --- |
//! | CIFAR-10, CIFAR-100 | `data_batch_1`, `test_batch` ... or `meta` and `train`, or these with `.bin`; a pickle by itself |
//! | IDX (MNIST and its kin) | names with `images` and `idx`; a file by itself by its first bytes |
//! | PNG and CSV files of a Python tutorial | `0.png` and a CSV file named by a number |
//! | LMDB of pickles of the same | `data.mdb` |
//! | `.npy`, `.npz` | their first bytes |
//! | an image file, or a tree of them | their extensions, one file by its first bytes too |
//! | HDF5 | its first bytes; a folder of `.h5` files |

mod array;
mod beside;
mod cifar;
mod dataset;
mod folder;
#[cfg(feature = "hdf5")]
mod hdf5;
#[cfg(not(feature = "hdf5"))]
#[path = "no_hdf5.rs"]
mod hdf5;
mod idx;
mod lmdb;
mod npy;
mod pickle;
mod png_csv;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use self::dataset::DataSet;
use crate::backends;
use crate::descriptor::{Attributes, Label};
use crate::encoding;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, SampleType, Shape};

/// Images to be imported, one after another.
pub trait Source: Send {
    /// What it is, for people: "CIFAR-10, Python pickles"; and which images beside it in a folder are left aside.
    fn describe(&self) -> String;

    /// Names of the labels 0, 1, 2, ...; empty where labels are but numbers.
    fn label_names(&self) -> &[String];

    /// How many images there are, where that is known without reading them all.
    fn len(&self) -> Option<u64>;

    /// Whether it is known that there are none.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next image. An error is about one image only; where nothing can be read after it, `None` follows.
    fn next(&mut self) -> Option<Result<Item>>;
}

/// An image to be imported.
#[derive(Debug)]
pub struct Item {
    /// Its name, unique in its source and the same whenever that is opened.
    pub name: String,
    /// Its class, where it has one.
    pub label: Option<Label>,
    /// What else is known of it.
    pub attributes: Option<Attributes>,
    /// The image itself.
    pub content: Content,
    /// Where it came from, for error messages: a path, or a path and a place in that file.
    pub origin: String,
}

/// The image of an [`Item`].
pub enum Content {
    /// Pixels.
    Pixels(Image),
    /// Pixels that may be more than fit in memory, still to be read: row-major, channels last, little endian.
    Stream { shape: Shape, sample_type: SampleType, reader: Box<dyn Read + Send> },
    /// An image file, not looked at yet.
    File(PathBuf),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Pixels(image) => image.fmt(f),
            Content::Stream { shape, sample_type, .. } => write!(f, "Stream({shape} {sample_type})"),
            Content::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// Opens the source at `path`, whatever kind it is of.
///
/// # Errors
/// `NotFound` where nothing is there, `Unsupported` where it is no source that is known, `Corrupt` where it is one
/// that is damaged from its very start.
pub fn open(path: &Path) -> Result<Box<dyn Source>> {
    if backends::is_store(path) {
        return Err(Error::invalid(format!("{} is a Pinako store, which is copied, not imported", path.display()))
            .with_hint(format!("pinako copy {} STORE", path.display())));
    }
    let metadata = path.metadata().map_err(|error| Error::io(format!("cannot open {}", path.display()), error))?;
    let opened = match metadata.is_dir() {
        true => open_folder(path),
        false if metadata.is_file() => open_file(path),
        false => Err(encoding::no_regular_file(path)),
    };
    opened.map_err(|error| match error.hint() {
        None if error.kind() == ErrorKind::Corrupt => error.with_hint("fetch or write it again"),
        _ => error,
    })
}

/// Opens a folder, given the files in it that are no images, if it is of the kind looked for.
type OpenFolder = fn(&Path, &[PathBuf]) -> Result<Option<DataSet>>;

/// Opens a file, given its first bytes, if it is of the kind looked for.
type OpenFile = fn(&Path, &[u8]) -> Result<Option<DataSet>>;

fn open_folder(path: &Path) -> Result<Box<dyn Source>> {
    let files = files_in(path)?;
    let data_sets: [OpenFolder; 4] = [cifar::open_folder, lmdb::open_folder, idx::open_folder, png_csv::open_folder];
    for open in data_sets {
        if let Some(source) = open(path, &files)? {
            return Ok(Box::new(source.of_folder(path)));
        }
    }
    if let Some(source) = folder::Folder::open(path) {
        return Ok(Box::new(source));
    }
    match hdf5::open_folder(path, &files)? {
        Some(source) => Ok(Box::new(source.of_folder(path))),
        None => Err(unknown(path)),
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Source>> {
    let head = head(path)?;
    let data_sets: [OpenFile; 4] = [cifar::open_file, idx::open_file, npy::open_file, hdf5::open_file];
    for open in data_sets {
        if let Some(source) = open(path, &head)? {
            return Ok(Box::new(source));
        }
    }
    if folder::has_image_extension(path) || encoding::is_image_file(&head) {
        return Ok(Box::new(folder::SingleFile::new(path)?));
    }
    Err(unknown(path))
}

/// The files that stand in a folder itself and might be parts of a data set, sorted.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error| Error::io(format!("cannot list {}", folder.display()), error);
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if !folder::has_image_extension(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The first bytes of a file, 64 or all there are.
fn head(path: &Path) -> Result<Vec<u8>> {
    let cannot = |error| Error::io(format!("cannot read {}", path.display()), error);
    let mut head = Vec::new();
    File::open(path).map_err(cannot)?.take(64).read_to_end(&mut head).map_err(cannot)?;
    Ok(head)
}

/// The error for what is none of the sources above.
fn unknown(path: &Path) -> Error {
    Error::unsupported(format!("{} holds no images that are recognised", path.display())).with_hint(
        "give an image file or a folder of them (JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM), \
         a folder or file of CIFAR-10 or CIFAR-100, IDX files (MNIST), a .npy or .npz file, \
         or what was written as PNG + CSV, LMDB or HDF5 by Python",
    )
}
