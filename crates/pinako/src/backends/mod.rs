//! The places that keep images, and how they are opened: the only place that knows what was left out of a build.

mod boot;
pub(crate) mod cost_file;
mod deferred;
mod files;
mod folder;
#[cfg(feature = "hdf5")]
mod hdf5;
mod lmdb;
mod location;
// Without one of the backends that keep a manifest, what only that one needs is not used.
#[cfg_attr(not(all(feature = "hdf5", feature = "cloud")), allow(dead_code))]
mod manifest;
mod mark;
mod memory;
#[cfg(feature = "cloud")]
mod object;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "cloud", feature = "postgres"))]
mod random;
mod read_ahead;
#[cfg(feature = "cloud")]
mod runtime;
mod sealed;
#[cfg(test)]
mod small_disk;
mod sqlite;
mod writer_lock;

pub(crate) use cost_file::CostFile;
pub use location::{absolute_url, is_on_server, without_password};
pub use memory::Memory;

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::{Backend, Durability, IoHints, WRITER_PATIENCE};
use crate::descriptor::{Descriptor, Id};
use crate::encoding::PixelEncoding;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};
use location::{Kind, Location, Place, absolute, unknown_scheme};

/// The version of the on-disk formats that this version of the library writes; see FORMAT.md.
pub const FORMAT_VERSION: u32 = 1;

/// The least time that a vacuum keeps what was replaced, which others may still be at work with. So long it is of every
/// store, whether anything was replaced in it or not.
const LEAST_KEPT: Duration = Duration::from_secs(3600);

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

impl Kind {
    /// Whether this build has no such backend.
    fn is_left_out(self) -> bool {
        match self {
            Kind::Hdf5 => !cfg!(feature = "hdf5"),
            Kind::Postgres => !cfg!(feature = "postgres"),
            Kind::Object => !cfg!(feature = "cloud"),
            _ => false,
        }
    }

    /// Whether such a store is at `path`, as far as a quick look tells.
    fn is_at(self, path: &Path) -> bool {
        match self {
            Kind::Memory | Kind::Postgres => false,
            Kind::Files => files::is_at(path),
            Kind::Lmdb => lmdb::is_at(path),
            Kind::Hdf5 => manifest::is_at(path, self.scheme()),
            Kind::Sqlite => sqlite::is_at(path),
            #[cfg(feature = "cloud")]
            Kind::Object => object::is_at(path),
            #[cfg(not(feature = "cloud"))]
            Kind::Object => false,
        }
    }

    /// Whether there is what a creation of such a store leaves that was killed, and no store.
    fn is_begun_at(self, path: &Path) -> bool {
        match self {
            Kind::Files => files::is_begun(path),
            #[cfg(feature = "hdf5")]
            Kind::Hdf5 => hdf5::is_begun(path),
            Kind::Sqlite => sqlite::is_begun(path),
            #[cfg(feature = "cloud")]
            Kind::Object => object::is_begun(path),
            // What is left of an LMDB environment looks like one, and says itself what it is.
            _ => false,
        }
    }
}

impl Location {
    /// Opens the store there, made whole where its creation was broken off on the disk; `None` where nothing stands
    /// there, or an empty folder.
    fn open_if_there<T>(&self, open: impl Fn(Mode) -> Result<T>) -> Result<Option<T>> {
        let is_vacant = |path: &Path| match path.symlink_metadata() {
            Ok(_) => path.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        match &self.place {
            Place::Disk(path) if is_vacant(path) => Ok(None),
            // To look what a server has is to open it.
            Place::Server(_) => match open(Mode::Write) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some),
            },
            Place::Disk(_) | Place::Memory => deferred::open_or_create(open).map(Some),
        }
    }

    /// What reading from a store there costs, whether or not there is one yet.
    fn io_hints(&self) -> IoHints {
        match self.kind {
            Kind::Files => files::IO_HINTS,
            Kind::Lmdb => lmdb::IO_HINTS,
            #[cfg(feature = "hdf5")]
            Kind::Hdf5 => hdf5::IO_HINTS,
            Kind::Sqlite => sqlite::IO_HINTS,
            #[cfg(feature = "postgres")]
            Kind::Postgres => postgres::IO_HINTS,
            #[cfg(feature = "cloud")]
            Kind::Object => object::io_hints(matches!(self.place, Place::Server(_))),
            // Or a kind that was left out, of which there is no store.
            _ => memory::IO_HINTS,
        }
    }

    fn habits(&self) -> Result<Habits> {
        let path = match &self.place {
            Place::Memory => None,
            Place::Disk(path) => Some(path),
            Place::Server(url) => {
                let (url, pixel_encoding) = (without_password(url), PixelEncoding::Raw);
                let cost_file = CostFile::of_server(&url);
                return Ok(Habits { url, folder: None, pixel_encoding, cost_file });
            }
        };
        let folder = match (self.kind, path) {
            (Kind::Sqlite, Some(path)) => Some(absolute(&path.parent().unwrap_or(Path::new("")).join("."))?),
            (_, path) => path.map(|path| absolute(path)).transpose()?,
        };
        let pixel_encoding = if self.kind == Kind::Files { PixelEncoding::Png } else { PixelEncoding::Raw };
        let cost_file = match self.absolute()?.place {
            Place::Disk(path) => CostFile::of(self.kind, &path),
            _ => None,
        };
        let shown = path.map(|path| path.display().to_string()).unwrap_or_default();
        // A bare path may begin like the rest of a server's URL.
        let shown = match shown.strip_prefix("//") {
            Some(rest) if cfg!(unix) => format!("/{}", rest.trim_start_matches('/')),
            _ => shown,
        };
        Ok(Habits { url: format!("{}:{shown}", self.kind.scheme()), folder, pixel_encoding, cost_file })
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

/// Opens or creates the backend that `url` means: `memory:`, `files:DIR`, `lmdb:DIR`, `hdf5:DIR`, `sqlite:FILE`,
/// `object:DIR`, `postgres://...`, `s3://...`, `gs://...`, `az://...`, or the bare path of a store, whatever kind it is of.
/// A new store at a bare path is LMDB's.
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
    open_at(&location.absolute()?, mode, durability, patience).map_err(|error| error.at_store(without_password(url)))
}

/// Opens or creates the store `object:` in `folder` as if it were on a server, each request to which takes `latency`: what
/// object stores cost is measured by it, since the servers that tests start are slow themselves.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "cloud")]
pub fn open_object_folder_afar(folder: &Path, mode: Mode, latency: Duration) -> Result<impl Backend + use<>> {
    object::open_folder_afar(&absolute(folder)?, mode, latency)
}

/// Opens or creates a backend as [`open`] does, for a store, which has habits of its place.
pub(crate) fn open_for_store(url: &str, mode: Mode, durability: Durability) -> Result<(Box<dyn Backend>, Habits)> {
    let location = locate(url, mode)?;
    let backend = open_at(&location.absolute()?, mode, durability, WRITER_PATIENCE);
    Ok((backend.map_err(|error| error.at_store(without_password(url)))?, location.habits()?))
}

/// Opens the backend that `url` means, or one that is made by the first change to it where there is nothing yet; for a
/// store.
///
/// # Errors
/// As [`open`], for writing or, where there is no store, for creating it.
pub(crate) fn open_or_create_for_store(url: &str, durability: Durability) -> Result<(Box<dyn Backend>, Habits)> {
    let location = locate(url, Mode::Create)?;
    if let Some(opened) = location.open_if_there(|mode| open_for_store(url, mode, durability))? {
        return Ok(opened);
    }
    if location.kind.is_left_out() {
        return Err(left_out(location.kind));
    }
    Ok((Box::new(deferred::Deferred::new(location.absolute()?, durability)), location.habits()?))
}

/// Opens or creates what is at `location`, which is absolute: the process may go to another folder while it is open.
fn open_at(location: &Location, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    let path = match &location.place {
        Place::Memory if mode == Mode::Create => return Ok(Box::new(Memory::new())),
        Place::Memory => {
            return Err(Error::not_found("a store in memory ends with the process that made it")
                .with_hint("create it, or name a store on the disk"));
        }
        Place::Server(url) => return open_on_server(location.kind, url, mode, durability, patience),
        Place::Disk(path) => &**path,
    };
    let opened: Result<Box<dyn Backend>> = match location.kind {
        kind if kind.is_left_out() => Err(left_out(kind)),
        _ if mode != Mode::Create && is_missing(path) => Err(no_store(path)),
        Kind::Files => files::open(path, mode, durability, patience),
        Kind::Lmdb => lmdb::open(path, mode, durability, patience),
        #[cfg(feature = "hdf5")]
        Kind::Hdf5 => hdf5::open(path, mode, durability, patience),
        Kind::Sqlite => sqlite::open(path, mode, durability, patience),
        #[cfg(feature = "cloud")]
        Kind::Object => object::open_folder(path, mode, patience),
        kind => Err(left_out(kind)),
    };
    let begun = || mode != Mode::Create && location.kind.is_begun_at(path);
    opened.map_err(|error| if begun() { broken_off(location.kind, path) } else { error })
}

/// Opens or creates what a server has at `url`.
#[cfg_attr(not(all(feature = "cloud", feature = "postgres")), allow(unused_variables))]
fn open_on_server(
    kind: Kind,
    url: &str,
    mode: Mode,
    durability: Durability,
    patience: Duration,
) -> Result<Box<dyn Backend>> {
    match kind {
        #[cfg(feature = "postgres")]
        Kind::Postgres => postgres::open(url, mode, durability, patience),
        #[cfg(feature = "cloud")]
        Kind::Object => object::open_url(url, mode, patience),
        _ => Err(left_out(kind)),
    }
}

/// Deletes the store that a server has at `url`, with all its images, at once in PostgreSQL. Of a store of objects they go
/// one after another, and its writers must have ended; where that is broken off, deleting it again deletes the rest.
///
/// # Errors
/// `NotFound` where there is none; `InvalidInput` where `url` is not a server's: on the disk, a store is its folder or
/// file.
pub fn delete(url: &str) -> Result<()> {
    let location = locate(url, Mode::Read)?;
    let deleted = match (location.kind, &location.place) {
        #[cfg(feature = "postgres")]
        (Kind::Postgres, Place::Server(url)) => postgres::delete(url),
        #[cfg(feature = "cloud")]
        (Kind::Object, Place::Server(url)) => object::delete(url),
        (kind, Place::Server(_)) => Err(left_out(kind)),
        _ => Err(Error::invalid("a store that is not on a server is deleted by removing its folder or file")),
    };
    deleted.map_err(|error| error.at_store(without_password(url)))
}

/// Which backend `url` means: its scheme says it, or what stands at a bare path; a new bare path is LMDB's.
fn locate(url: &str, mode: Mode) -> Result<Location> {
    match Location::of_scheme(url)? {
        Some(location) => Ok(location),
        None => recognise(Path::new(url), mode),
    }
}

/// Whether `path` is a store's, or its URL; an LMDB environment at a bare path may be anybody's and is not looked into.
pub(crate) fn is_store(path: &Path) -> bool {
    let location = path.to_str().map_or_else(|| recognise(path, Mode::Read), |url| locate(url, Mode::Read));
    location.is_ok_and(|Location { kind, place }| match place {
        Place::Disk(at) => kind.is_at(&at) && (kind != Kind::Lmdb || at != path),
        Place::Server(_) => true,
        Place::Memory => false,
    })
}

fn recognise(path: &Path, mode: Mode) -> Result<Location> {
    if let Some(kind) = Kind::ON_DISK.into_iter().find(|kind| kind.is_at(path)) {
        return Ok(Location { kind, place: Place::Disk(path.to_owned()) });
    }
    if let Some((scheme, _)) = path.to_str().and_then(|text| text.split_once("://")) {
        return Err(Error::unsupported(format!("{scheme}:// is no kind of store that this version knows"))
            .with_hint("on servers there are postgres://, s3://, gs:// and az:// stores"));
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
        return match path.to_str().and_then(unknown_scheme) {
            // Or a slip of the pen would make a folder of that name.
            Some(scheme) => {
                Err(Error::unsupported(format!("{scheme}: is no kind of store that this version knows"))
                    .with_hint(format!(
                        "write files:, lmdb:, hdf5:, sqlite: or object:, postgres://, s3://, gs:// or az://, or ./{name} if it is a path"
                    )))
            }
            None => Ok(Location { kind: Kind::Lmdb, place: Place::Disk(path.to_owned()) }),
        };
    }
    Err(no_store(path))
}

fn is_missing(path: &Path) -> bool {
    path.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The error for a path where nothing is.
fn no_store(path: &Path) -> Error {
    Error::not_found(format!("there is no store at {}", path.display())).with_hint(
        "give the path of a store, or files:DIR, lmdb:DIR, hdf5:DIR, sqlite:FILE, object:DIR or a server's URL",
    )
}

/// What an HDF5 file of `count` images and their labels starts with: the bytes of `images` (count,H,W,C) and of `meta`
/// (count, i64) follow.
pub(crate) fn hdf5_head(count: u64, shape: Shape, sample: SampleType) -> Result<Vec<u8>> {
    #[cfg(feature = "hdf5")]
    return hdf5::array_head(count, shape, sample);
    #[cfg(not(feature = "hdf5"))]
    {
        let _ = (count, shape, sample);
        Err(left_out(Kind::Hdf5))
    }
}

/// The error for a backend that was left out of the build.
fn left_out(kind: Kind) -> Error {
    let (stores, feature) = match kind {
        Kind::Object => ("s3://, gs://, az:// and object:", "cloud"),
        Kind::Postgres => ("postgres://", "postgres"),
        _ => ("hdf5:", "hdf5"),
    };
    Error::new(ErrorKind::FeatureDisabled, format!("this build of Pinako has no {stores} stores"))
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

/// Checks how long a vacuum is to keep what was replaced.
pub(crate) fn check_kept(keep: Duration) -> Result<()> {
    if keep >= LEAST_KEPT {
        return Ok(());
    }
    Err(Error::invalid(format!("{keep:?} is less than the hour for which others may still be at work"))
        .with_hint("keep what was replaced for an hour at least"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_made_costs_what_it_will_cost_when_it_is_made() {
        for kind in Kind::ON_DISK.into_iter().filter(|kind| !kind.is_left_out()) {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("{}:{}", kind.scheme(), folder.path().join("store").display());
            let (deferred, _) = open_or_create_for_store(&url, Durability::Full).unwrap();
            let before = deferred.io_hints();
            deferred.set_label_names(&["cat".into()], None).unwrap();
            assert_eq!(
                [before, deferred.io_hints()],
                [open(&url, Mode::Read, Durability::Full).unwrap().io_hints(); 2]
            );
        }
    }
}
