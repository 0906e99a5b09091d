//! The places that keep images, and which URL means which: the only place that knows what was left out of a build.

mod boot;
pub(crate) mod cost_file;
mod deferred;
mod files;
mod folder;
#[cfg(feature = "hdf5")]
mod hdf5;
mod lmdb;
// Without the backends that keep a manifest, only what recognises one is used.
#[cfg_attr(not(feature = "hdf5"), allow(dead_code))]
mod manifest;
mod mark;
mod memory;
mod read_ahead;
mod sealed;
mod sqlite;
mod writer_lock;

pub(crate) use cost_file::CostFile;
pub use memory::Memory;

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::{Backend, Durability, WRITER_PATIENCE};
use crate::descriptor::{Descriptor, Id};
use crate::encoding::PixelEncoding;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};

/// The version of the on-disk formats that this version of the library writes; see FORMAT.md.
pub const FORMAT_VERSION: u32 = 1;

/// The hint for who wants a new store where there is something else.
const OWN_PATH: &str = "a new store needs a path of its own, or an empty folder";

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

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Files,
    Lmdb,
    Hdf5,
    Sqlite,
}

impl Kind {
    const ON_DISK: [Kind; 4] = [Kind::Files, Kind::Lmdb, Kind::Hdf5, Kind::Sqlite];

    fn scheme(self) -> &'static str {
        match self {
            Kind::Memory => "memory",
            Kind::Files => "files",
            Kind::Lmdb => "lmdb",
            Kind::Hdf5 => "hdf5",
            Kind::Sqlite => "sqlite",
        }
    }

    /// Whether such a store is at `path`, as far as a quick look tells.
    fn is_at(self, path: &Path) -> bool {
        match self {
            Kind::Memory => false,
            Kind::Files => files::is_at(path),
            Kind::Lmdb => lmdb::is_at(path),
            Kind::Hdf5 => manifest::is_at(path, self.scheme()),
            Kind::Sqlite => sqlite::is_at(path),
        }
    }

    /// Whether there is what a creation of such a store leaves that was killed, and no store.
    fn is_begun_at(self, path: &Path) -> bool {
        match self {
            Kind::Files => files::is_begun(path),
            #[cfg(feature = "hdf5")]
            Kind::Hdf5 => hdf5::is_begun(path),
            Kind::Sqlite => sqlite::is_begun(path),
            // What is left of an LMDB environment looks like one, and says itself what it is.
            _ => false,
        }
    }
}

/// A URL, taken apart: which backend, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Location {
    kind: Kind,
    /// Empty for memory.
    path: PathBuf,
}

impl Location {
    /// The same place, whatever folder the process is in later.
    fn absolute(&self) -> Result<Self> {
        let path = if self.kind == Kind::Memory { PathBuf::new() } else { absolute(&self.path)? };
        Ok(Location { kind: self.kind, path })
    }

    /// Whether nothing stands there, or an empty folder.
    fn is_vacant(&self) -> bool {
        if self.kind == Kind::Memory {
            return false;
        }
        match self.path.symlink_metadata() {
            Ok(_) => self.path.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    fn habits(&self) -> Result<Habits> {
        let folder = match self.kind {
            Kind::Memory => None,
            Kind::Sqlite => Some(absolute(&self.path.parent().unwrap_or(Path::new("")).join("."))?),
            _ => Some(absolute(&self.path)?),
        };
        let pixel_encoding = if self.kind == Kind::Files { PixelEncoding::Png } else { PixelEncoding::Raw };
        let cost_file = CostFile::of(self.kind, &self.absolute()?.path);
        Ok(Habits { url: format!("{}:{}", self.kind.scheme(), self.path.display()), folder, pixel_encoding, cost_file })
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
    /// Where what reads cost is kept.
    pub(crate) cost_file: Option<CostFile>,
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
    let location = locate(url, mode)?;
    open_at(&location.absolute()?, mode, durability, patience).map_err(|error| error.at_store(url))
}

/// Opens or creates a backend as [`open`] does, for a store, which has habits of its place.
pub(crate) fn open_for_store(url: &str, mode: Mode, durability: Durability) -> Result<(Box<dyn Backend>, Habits)> {
    let location = locate(url, mode)?;
    let backend = open_at(&location.absolute()?, mode, durability, WRITER_PATIENCE);
    Ok((backend.map_err(|error| error.at_store(url))?, location.habits()?))
}

/// Opens the backend that `url` means, or one that is made by the first change to it where there is nothing yet; for a
/// store.
///
/// # Errors
/// As [`open`], for writing or, where there is no store, for creating it.
pub(crate) fn open_or_create_for_store(url: &str, durability: Durability) -> Result<(Box<dyn Backend>, Habits)> {
    let location = locate(url, Mode::Create)?;
    if !location.is_vacant() {
        return deferred::open_or_create(|mode| open_for_store(url, mode, durability));
    }
    #[cfg(not(feature = "hdf5"))]
    if location.kind == Kind::Hdf5 {
        return Err(left_out("hdf5"));
    }
    Ok((Box::new(deferred::Deferred::new(location.absolute()?, durability)), location.habits()?))
}

/// Opens or creates what is at `location`, which is absolute: the process may go to another folder while it is open.
fn open_at(location: &Location, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    let path = &*location.path;
    let opened: Result<Box<dyn Backend>> = match location.kind {
        Kind::Memory if mode == Mode::Create => Ok(Box::new(Memory::new())),
        Kind::Memory => Err(Error::not_found("a store in memory ends with the process that made it")
            .with_hint("create it, or name a store on the disk")),
        #[cfg(not(feature = "hdf5"))]
        Kind::Hdf5 => Err(left_out("hdf5")),
        _ if mode != Mode::Create && is_missing(path) => Err(no_store(path)),
        Kind::Files => files::open(path, mode, durability, patience),
        Kind::Lmdb => lmdb::open(path, mode, durability, patience),
        #[cfg(feature = "hdf5")]
        Kind::Hdf5 => hdf5::open(path, mode, durability, patience),
        Kind::Sqlite => sqlite::open(path, mode, durability, patience),
    };
    let begun = || mode != Mode::Create && location.kind.is_begun_at(path);
    opened.map_err(|error| if begun() { broken_off(location.kind, path) } else { error })
}

/// Which backend `url` means: its scheme says it, or what stands at a bare path; a new bare path is LMDB's.
fn locate(url: &str, mode: Mode) -> Result<Location> {
    let Some((scheme, path)) = url.split_once(':') else { return recognise(Path::new(url), mode) };
    if (scheme, path) == ("memory", "") {
        return Ok(Location { kind: Kind::Memory, path: PathBuf::new() });
    }
    match Kind::ON_DISK.into_iter().find(|kind| kind.scheme() == scheme) {
        Some(_) if path.is_empty() => {
            Err(Error::invalid(format!("{url:?} names no path")).with_hint(format!("write {scheme}:PATH")))
        }
        Some(kind) => Ok(Location { kind, path: path.into() }),
        None => recognise(Path::new(url), mode),
    }
}

/// Whether `path` is a store's, or its URL; an LMDB environment at a bare path may be anybody's and is not looked into.
pub(crate) fn is_store(path: &Path) -> bool {
    let location = path.to_str().map_or_else(|| recognise(path, Mode::Read), |url| locate(url, Mode::Read));
    location.is_ok_and(|Location { kind, path: at }| kind.is_at(&at) && (kind != Kind::Lmdb || at != path))
}

fn recognise(path: &Path, mode: Mode) -> Result<Location> {
    if let Some(kind) = Kind::ON_DISK.into_iter().find(|kind| kind.is_at(path)) {
        return Ok(Location { kind, path: path.to_owned() });
    }
    if let Some((scheme, _)) = path.to_str().and_then(|text| text.split_once("://")) {
        return Err(Error::unsupported(format!("{scheme}:// is no kind of store that this version knows")));
    }
    let name = path.display();
    if let Some(begun) = Kind::ON_DISK.into_iter().find(|kind| kind.is_begun_at(path)) {
        return Err(broken_off(begun, path));
    }
    if sqlite::is_emptied(path) {
        return Err(sqlite::emptied(path));
    }
    lmdb::check_never_written(path)?;
    if path.exists() && !(mode == Mode::Create && path.is_dir()) {
        return Err(Error::invalid(format!("{name} is no Pinako store")).with_hint(match mode {
            Mode::Create => OWN_PATH.to_owned(),
            _ => format!("to put the images in it into a store: pinako import {name} STORE"),
        }));
    }
    if mode == Mode::Create {
        return match path.to_str().and_then(|text| text.split_once(':')) {
            // Or a slip of the pen would make a folder of that name.
            Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err(Error::unsupported(format!("{scheme}: is no kind of store that this version knows"))
                    .with_hint(format!("write files:, lmdb:, hdf5: or sqlite:, or ./{name} if it is a path")))
            }
            _ => Ok(Location { kind: Kind::Lmdb, path: path.to_owned() }),
        };
    }
    Err(no_store(path))
}

fn is_missing(path: &Path) -> bool {
    path.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The error for a path where nothing is.
fn no_store(path: &Path) -> Error {
    Error::not_found(format!("there is no store at {}", path.display()))
        .with_hint("give the path of a store, or files:DIR, lmdb:DIR, hdf5:DIR or sqlite:FILE")
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

/// The error for what a creation left at `path` that was killed.
fn broken_off(kind: Kind, path: &Path) -> Error {
    let (scheme, name) = (kind.scheme(), path.display());
    Error::not_found(format!("there is no store at {name}: the making of one was broken off"))
        .with_hint(format!("make it again at {scheme}:{name}, or remove what is there"))
}

/// The error for a new store in a folder that has one.
fn store_there(folder: &Path) -> Error {
    Error::conflict(format!("there is a store at {} already", folder.display())).with_hint(OWN_PATH)
}

/// The error for a new store in a folder that has something else in it.
fn not_empty(folder: &Path, found: &OsStr) -> Error {
    Error::conflict(format!("{} is not empty: there is {found:?} in it", folder.display())).with_hint(OWN_PATH)
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

/// Checks that the label names of a store, as they were `found`, are those of `before`, if any are said to be.
fn check_label_names(found: &[String], before: Option<&[String]>) -> Result<()> {
    if before.is_none_or(|before| before == found) {
        return Ok(());
    }
    Err(Error::conflict("something else changed the store's label names meanwhile")
        .with_hint("start the same job again"))
}

/// The id that a store's list of names has for `name`, if the image with that id, as it was `found`, is so named.
fn check_found(name: &str, id: Id, found: Option<&Descriptor>) -> Result<Id> {
    match found {
        Some(descriptor) if descriptor.name.as_deref() == Some(name) => Ok(id),
        _ => Err(Error::corrupt(format!("the store's list of names is damaged: image {id} is not named {name:?}"))),
    }
}

/// The error for a name that is taken.
fn name_taken(name: &str) -> Error {
    Error::conflict(format!("there is an image named {name:?} already"))
        .with_hint("names are unique: choose another, or remove that image first")
}
