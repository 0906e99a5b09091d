//! The places that keep images, and which URL means which: the only place that knows what was left out of a build.

mod boot;
mod deferred;
mod files;
mod folder;
#[cfg(feature = "hdf5")]
mod hdf5;
mod lmdb;
// Without the backends that keep a manifest, only what recognises one is used.
#[cfg_attr(not(feature = "hdf5"), allow(dead_code))]
mod manifest;
mod memory;
mod sqlite;
mod writer_lock;

pub use memory::Memory;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::{Backend, Durability, WRITER_PATIENCE};
use crate::encoding::PixelEncoding;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};

/// The version of the on-disk formats that this version of the library writes; see FORMAT.md.
pub const FORMAT_VERSION: u32 = 1;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The store must exist; appends and removals are `Denied`.
    Read,
    /// The store must exist.
    Write,
    /// There must be no store, and what is there (an empty folder at most) must not get lost.
    Create,
}

/// A URL, taken apart: which backend, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Memory,
    Files(PathBuf),
    Lmdb(PathBuf),
    Hdf5(PathBuf),
    Sqlite(PathBuf),
}

impl Location {
    /// The same place, whatever folder the process is in later.
    fn absolute(mut self) -> Result<Self> {
        match &mut self {
            Location::Memory => {}
            Location::Files(path) | Location::Lmdb(path) | Location::Hdf5(path) | Location::Sqlite(path) => {
                *path = absolute(path)?;
            }
        }
        Ok(self)
    }

    /// Whether nothing stands there, or an empty folder.
    fn is_vacant(&self) -> bool {
        let path = match self {
            Location::Memory => return false,
            Location::Files(path) | Location::Lmdb(path) | Location::Hdf5(path) | Location::Sqlite(path) => path,
        };
        match path.symlink_metadata() {
            Ok(_) => path.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(format!("cannot tell where {} is", path.display()), error))
}

/// Opens or creates the backend that `url` means: `memory:`, `files:DIR`, `lmdb:DIR`, `hdf5:DIR`, `sqlite:FILE`, or the
/// bare path of a store, whatever kind it is of. A new store at a bare path is LMDB's.
///
/// # Errors
/// `NotFound` where there is no store to open, `Conflict` where there is one already to create, `InvalidInput` where
/// something else stands there, `FeatureDisabled` where the backend was left out of the build, `Unsupported` where a
/// newer version wrote it or the URL means nothing to this one.
pub fn open(url: &str, mode: Mode, durability: Durability) -> Result<Box<dyn Backend>> {
    open_with_patience(url, mode, durability, WRITER_PATIENCE)
}

/// Opens or creates a backend as [`open`] does, with a `patience` of its own for other writers.
///
/// # Errors
/// As [`open`].
pub fn open_with_patience(
    url: &str,
    mode: Mode,
    durability: Durability,
    patience: Duration,
) -> Result<Box<dyn Backend>> {
    // The process may go to another folder while the store is open.
    let location = locate(url, mode)?.absolute()?;
    open_at(&location, mode, durability, patience).map_err(|error| error.at_store(url))
}

fn open_at(location: &Location, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    match location {
        Location::Memory if mode == Mode::Create => Ok(Box::new(Memory::new()) as _),
        Location::Memory => Err(Error::not_found("a store in memory ends with the process that made it")
            .with_hint("create it, or name a store on the disk")),
        Location::Files(path) => files::open(path, mode, durability, patience),
        Location::Lmdb(path) => lmdb::open(path, mode, durability, patience),
        #[cfg(feature = "hdf5")]
        Location::Hdf5(path) => hdf5::open(path, mode, durability, patience),
        #[cfg(not(feature = "hdf5"))]
        Location::Hdf5(_) => Err(left_out("hdf5")),
        Location::Sqlite(path) => sqlite::open(path, mode, durability, patience),
    }
}

/// Opens the backend that `url` means, or one that is made by the first change to it where there is nothing yet.
///
/// # Errors
/// As [`open`], for writing or, where there is no store, for creating it.
pub(crate) fn open_or_create(url: &str, durability: Durability) -> Result<Box<dyn Backend>> {
    let location = locate(url, Mode::Create)?.absolute()?;
    match location.is_vacant() {
        #[cfg(not(feature = "hdf5"))]
        true if matches!(location, Location::Hdf5(_)) => Err(left_out("hdf5")),
        true => Ok(Box::new(deferred::Deferred::new(location, durability))),
        false => deferred::open_or_create(|mode| open(url, mode, durability)),
    }
}

/// What a store knows of its place and a backend does not.
pub(crate) struct Habits {
    /// The URL, with the scheme that a bare path turned out to have.
    pub(crate) url: String,
    /// The folder that linked paths are relative to.
    pub(crate) folder: Option<PathBuf>,
    /// How pixels are encoded where nobody says how.
    pub(crate) pixel_encoding: PixelEncoding,
}

/// The habits of the store at `url`, or of the one that would be made there.
pub(crate) fn habits(url: &str) -> Result<Habits> {
    let (scheme, path, folder, pixel_encoding) = match locate(url, Mode::Create)? {
        Location::Memory => ("memory", PathBuf::new(), None, PixelEncoding::Raw),
        Location::Files(path) => ("files", path.clone(), Some(path), PixelEncoding::Png),
        Location::Lmdb(path) => ("lmdb", path.clone(), Some(path), PixelEncoding::Raw),
        Location::Hdf5(path) => ("hdf5", path.clone(), Some(path), PixelEncoding::Raw),
        Location::Sqlite(path) => {
            let folder = path.parent().unwrap_or(Path::new("")).join(".");
            ("sqlite", path, Some(folder), PixelEncoding::Raw)
        }
    };
    let folder = folder.as_deref().map(absolute).transpose()?;
    Ok(Habits { url: format!("{scheme}:{}", path.display()), folder, pixel_encoding })
}

/// Which backend `url` means: its scheme says it, or what stands at a bare path; a new bare path is LMDB's.
fn locate(url: &str, mode: Mode) -> Result<Location> {
    let scheme = url.split_once(':').map(|(scheme, rest)| (scheme, PathBuf::from(rest)));
    match scheme {
        Some(("memory", rest)) if rest.as_os_str().is_empty() => Ok(Location::Memory),
        Some((scheme @ ("files" | "lmdb" | "hdf5" | "sqlite"), path)) if path.as_os_str().is_empty() => {
            Err(Error::invalid(format!("{url:?} names no path")).with_hint(format!("write {scheme}:PATH")))
        }
        Some(("files", path)) => Ok(Location::Files(path)),
        Some(("lmdb", path)) => Ok(Location::Lmdb(path)),
        Some(("hdf5", path)) => Ok(Location::Hdf5(path)),
        Some(("sqlite", path)) => Ok(Location::Sqlite(path)),
        _ => recognise(Path::new(url), mode),
    }
}

/// Whether a store of ours is at `path`; an LMDB environment may be anybody's and is not looked into.
pub(crate) fn is_store(path: &Path) -> bool {
    recognise(path, Mode::Read).is_ok_and(|location| !matches!(location, Location::Lmdb(_)))
}

fn recognise(path: &Path, mode: Mode) -> Result<Location> {
    type Kind = (fn(&Path) -> bool, fn(PathBuf) -> Location);
    let kinds: [Kind; 4] = [
        (files::is_at, Location::Files),
        (lmdb::is_at, Location::Lmdb),
        (|path| manifest::is_at(path, "hdf5"), Location::Hdf5),
        (sqlite::is_at, Location::Sqlite),
    ];
    if let Some((_, location)) = kinds.iter().find(|(is_at, _)| is_at(path)) {
        return Ok(location(path.to_owned()));
    }
    if let Some((scheme, _)) = path.to_str().and_then(|text| text.split_once("://")) {
        return Err(Error::unsupported(format!("{scheme}:// is no kind of store that this version knows")));
    }
    if mode == Mode::Create {
        return Ok(Location::Lmdb(path.to_owned()));
    }
    let name = path.display();
    if path.exists() {
        return Err(Error::invalid(format!("{name} is no Pinako store"))
            .with_hint(format!("to put the images in it into a store: pinako import {name} STORE")));
    }
    Err(Error::not_found(format!("there is no store at {name}"))
        .with_hint("give the path of a store, or files:DIR, lmdb:DIR, hdf5:DIR or sqlite:FILE"))
}

/// What an HDF5 file of `count` images and their labels starts with: the bytes of `images` (count,H,W,C) and of `meta`
/// (count, i64) follow.
pub(crate) fn hdf5_head(count: u64, shape: Shape, sample: SampleType) -> Result<Vec<u8>> {
    #[cfg(feature = "hdf5")]
    return hdf5::array_head(count, shape, sample);
    #[cfg(not(feature = "hdf5"))]
    {
        let _ = (count, shape, sample);
        Err(left_out("hdf5"))
    }
}

/// The error for a backend that was left out of the build.
#[cfg(not(feature = "hdf5"))]
fn left_out(feature: &str) -> Error {
    Error::new(ErrorKind::FeatureDisabled, format!("this build of Pinako has no {feature}: stores"))
        .with_hint(format!("build it with the cargo feature {feature:?}"))
}

/// The error for a change by a handle that only reads.
fn read_only() -> Error {
    Error::new(ErrorKind::Denied, "the store was opened for reading only")
}

/// The error for a store of a format version that is not ours.
fn other_format(found: impl Display) -> Error {
    Error::unsupported(format!("it has format version {found}, this version of Pinako reads {FORMAT_VERSION}"))
        .with_hint("update Pinako, or use the version that wrote it")
}

/// The error for a name that is taken.
fn name_taken(name: &str) -> Error {
    Error::conflict(format!("there is an image named {name:?} already"))
        .with_hint("names are unique: choose another, or remove that image first")
}
