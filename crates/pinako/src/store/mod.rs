//! [`Store`]: what users call.
//!
//! A backend keeps bytes; a store makes images of them: it encodes and decodes, checks checksums, works in parallel,
//! and turns single calls into batches. Every long job here works batch by batch, so that memory is bounded by a
//! batch and not by the data, and asks a *watch* many times a second whether to go on.

mod append;
mod copy;
mod costs;
mod import;
mod incoming;
mod labels;
mod packed;
mod pushed;
mod read;
mod region;
mod relayout;
mod verify;
mod watched;

pub use crate::backends::cost_file::Calibration;
pub use append::NewImage;
pub use copy::Copied;
pub use costs::CostSource;
pub use import::{ImportEncoding, ImportOptions, Imported};
pub use verify::{Problem, Verified};
pub(crate) use watched::Watched;
pub use watched::{Progress, Watch};

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use crate::backend::{Backend, Durability, Footprint, IoHints, Properties, Traffic, Vacuumed};
use crate::backends::{self, Habits, Mode};
use crate::descriptor::{Descriptor, Id, check_name};
use crate::encoding::{Decoder, PixelEncoding};
use crate::error::{Error, Result};
use crate::wrappers::Delayed;
use costs::Costs;
use pushed::Pushed;

/// How a store is opened; made by [`Store::options`].
#[derive(Debug, Clone)]
pub struct OpenOptions {
    durability: Durability,
    verify_checksums: bool,
    max_image_bytes: u64,
    device: Option<IoHints>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { durability: Durability::Full, verify_checksums: true, max_image_bytes: 1 << 29, device: None }
    }
}

impl OpenOptions {
    /// Whether an append is on the disk when it returns; [`Durability::Full`] unless said otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether whole reads check the payload's checksum; they do unless told otherwise.
    pub fn verify_checksums(mut self, verify: bool) -> Self {
        self.verify_checksums = verify;
        self
    }

    /// Most bytes that the image in an encoded file may have once decoded; 512 MiB unless said otherwise. Raw images
    /// have no limit.
    pub fn max_image_bytes(mut self, bytes: u64) -> Self {
        self.max_image_bytes = bytes;
        self
    }

    /// Plans for another device than the one that the store is on, and makes reads as slow as they would be there: to try
    /// out what would be. See [`Delayed`]. Opening fails where they are not those of a
    /// [`Cost`](crate::plan::Cost).
    pub fn device(mut self, costs: IoHints) -> Self {
        self.device = Some(costs);
        self
    }

    /// Opens the store at `url` for reading and writing.
    ///
    /// # Errors
    /// `NotFound` where there is none, `InvalidInput` where something else is there, `Unsupported` where a newer
    /// version wrote it.
    pub fn open(&self, url: &str) -> Result<Store> {
        self.start(url, Mode::Write)
    }

    /// Opens the store at `url` for reading only: no image, name or label changes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(&self, url: &str) -> Result<Store> {
        self.start(url, Mode::Read)
    }

    /// Makes a new store at `url`.
    ///
    /// # Errors
    /// `Conflict` where there is one already, or anything else that is not an empty folder.
    pub fn create(&self, url: &str) -> Result<Store> {
        self.start(url, Mode::Create)
    }

    /// Opens the store at `url`, or one that its first images or label names make where there is none, or only what a
    /// creation left that was broken off. So a job that fails before it stores anything leaves nothing behind.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create); the latter also from the first append.
    pub fn open_or_create(&self, url: &str) -> Result<Store> {
        self.on_backend(backends::open_or_create_for_store(url, self.durability)?)
    }

    fn start(&self, url: &str, mode: Mode) -> Result<Store> {
        self.on_backend(backends::open_for_store(url, mode, self.durability)?)
    }

    fn on_backend(&self, (backend, habits): (Box<dyn Backend>, Habits)) -> Result<Store> {
        let Habits { url, folder, pixel_encoding, cost_file } = habits;
        let backend = match self.device {
            Some(costs) => Box::new(Delayed::new(backend, costs)?),
            None => backend,
        };
        Ok(Store {
            backend,
            url,
            pixel_encoding,
            costs: Costs::new(self.device.is_some(), cost_file),
            verify_checksums: self.verify_checksums,
            decoder: Decoder { folder, max_image_bytes: self.max_image_bytes, check: self.verify_checksums },
        })
    }
}

/// Images in a backend. See the [crate's](crate) text for an example.
#[derive(Debug)]
pub struct Store {
    backend: Box<dyn Backend>,
    url: String,
    /// How pixels are encoded where nobody says how.
    pixel_encoding: PixelEncoding,
    costs: Costs,
    verify_checksums: bool,
    decoder: Decoder,
}

impl Store {
    /// Options to open or create a store with.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    /// Opens the store at `url`: `files:DIR`, `lmdb:DIR`, `hdf5:DIR`, `sqlite:FILE`, `object:DIR`, or the bare path of any of
    /// them; `postgres://`, `s3://`, `gs://` or `az://` on a server.
    ///
    /// # Errors
    /// See [`OpenOptions::open`].
    pub fn open(url: &str) -> Result<Self> {
        Self::options().open(url)
    }

    /// Makes a new store at `url`: `memory:`, or what [`open`](Self::open) opens; a new bare path is LMDB's.
    ///
    /// # Errors
    /// See [`OpenOptions::create`].
    pub fn create(url: &str) -> Result<Self> {
        Self::options().create(url)
    }

    /// A store on a backend of one's own, or a wrapped one. Linked paths in it are absolute.
    pub fn from_backend(backend: impl Backend + 'static) -> Self {
        let OpenOptions { verify_checksums, max_image_bytes, .. } = OpenOptions::default();
        Store {
            url: "(a backend given)".to_owned(),
            backend: Box::new(backend),
            pixel_encoding: PixelEncoding::Raw,
            costs: Costs::new(false, None),
            verify_checksums,
            decoder: Decoder { folder: None, max_image_bytes, check: verify_checksums },
        }
    }

    /// Its URL; one that was opened by a bare path has its scheme here.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder for what has to be kept until it is stored: the store's own, or what will be above it.
    fn spool_folder(&self) -> PathBuf {
        let folder = self.folder().and_then(|folder| folder.ancestors().find(|folder| folder.is_dir()));
        folder.map_or_else(std::env::temp_dir, Path::to_owned)
    }

    /// The folder that linked paths are relative to.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        self.decoder.folder.as_ref()
    }

    /// What is known of an image without its pixels.
    ///
    /// # Errors
    /// `NotFound` where there is no such image.
    pub fn descriptor(&self, id: Id) -> Result<Descriptor> {
        let mut found = self.descriptors(&[id])?;
        found.pop().flatten().ok_or_else(|| self.no_image(id))
    }

    /// What is known of many images, in the order asked; `None` where there is no such image.
    pub fn descriptors(&self, ids: &[Id]) -> Result<Vec<Option<Descriptor>>> {
        let mut found = vec![None; ids.len()];
        let mut pushed = Pushed::new(ids, |&id| id);
        self.backend
            .describe(ids, &mut |place, descriptor| {
                pushed.take(place)?;
                found[place] = descriptor;
                Ok(())
            })
            .and_then(|()| pushed.finish())
            .map_err(|error| self.here(error))?;
        Ok(found)
    }

    /// All descriptors with ids from `first` on, ascending. Images that are appended or removed meanwhile may or may
    /// not be seen. One that cannot be read is an error, which ends the scan after all those before it.
    pub fn scan(&self, first: Id) -> Scan<'_> {
        Scan { store: self, next: Some(first), batch: VecDeque::new(), error: None }
    }

    /// The id of the image of that name.
    pub fn find(&self, name: &str) -> Result<Option<Id>> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        Ok(self.find_all(&[name])?.pop().flatten())
    }

    /// The ids of the images of these names, in the order asked; `None` where there is no such image.
    pub fn find_all(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        let found = self.backend.find(names).map_err(|error| self.here(error))?;
        match found.len() == names.len() {
            true => Ok(found),
            false => Err(self.here(Error::corrupt(format!("{} names gave {} answers", names.len(), found.len())))),
        }
    }

    /// The ids of images of which some have no name, looked up on all cores.
    fn find_named(&self, names: &[Option<&str>]) -> Result<Vec<Option<Id>>> {
        let some: Vec<&str> = names.iter().flatten().copied().collect();
        let found = some.par_chunks(self.chunk(some.len(), read::CHUNK)).map(|names| self.find_all(names));
        let found: Vec<Vec<_>> = found.collect::<Result<_>>()?;
        let mut found = found.into_iter().flatten();
        Ok(names.iter().map(|name| name.and_then(|_| found.next().flatten())).collect())
    }

    /// Removes images, all or none, and returns how many there were; an id that is not there is no error.
    pub fn remove(&self, ids: &[Id]) -> Result<u64> {
        self.backend.remove(ids).map_err(|error| self.here(error))
    }

    /// Format version, label names, number of images, next id.
    pub fn properties(&self) -> Result<Properties> {
        self.backend.properties().map_err(|error| self.here(error))
    }

    /// Number of images.
    pub fn count(&self) -> Result<u64> {
        Ok(self.properties()?.count)
    }

    /// Names of the labels 0, 1, 2, ...; may be empty.
    pub fn label_names(&self) -> Result<Vec<String>> {
        Ok(self.properties()?.label_names)
    }

    /// Replaces the names of the labels.
    pub fn set_label_names(&self, names: &[String]) -> Result<()> {
        self.backend.set_label_names(names, None).map_err(|error| self.here(error))
    }

    /// Replaces the names of the labels, if they are still those of `before`: so that of two who add a name at once
    /// none takes away the other's.
    ///
    /// # Errors
    /// `Conflict` where they are not.
    pub fn change_label_names(&self, before: &[String], names: &[String]) -> Result<()> {
        self.backend.set_label_names(names, Some(before)).map_err(|error| self.here(error))
    }

    /// Bytes on disk and bytes of payload.
    pub fn footprint(&self) -> Result<Footprint> {
        self.backend.footprint().map_err(|error| self.here(error))
    }

    /// First guesses at what reading costs here; [`cost`](Self::cost) knows better.
    pub fn io_hints(&self) -> IoHints {
        self.backend.io_hints()
    }

    /// Gives back the space of removed images and merges what many small appends left behind. Who reads may have to wait.
    pub fn compact(&self) -> Result<()> {
        self.backend.compact().map_err(|error| self.here(error))
    }

    /// Deletes what is in the store's place for nobody any more: what changes replaced longer than `keep` ago, and what
    /// writers left that were killed; tells what went. A `rehearsal` only tells, by this machine's clock instead of a server's: it
    /// writes nothing, and a store opened for reading only can have one. Stores on servers that keep what readers may still
    /// be reading have such things, others have not.
    ///
    /// # Errors
    /// `InvalidInput` where `keep` is less than an hour, for which others may be at work.
    pub fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        let vacuumed = backends::check_kept(keep).and_then(|()| self.backend.vacuum(keep, rehearsal));
        vacuumed.map_err(|error| self.here(error))
    }

    /// What this store has asked of its server since it was opened; nothing where there is no server.
    pub fn traffic(&self) -> Traffic {
        self.backend.traffic()
    }

    /// Makes everything durable that was appended with [`Durability::Buffered`].
    pub fn sync(&self) -> Result<()> {
        self.backend.sync().map_err(|error| self.here(error))
    }

    fn here(&self, error: Error) -> Error {
        error.at_store(&self.url)
    }

    fn no_image(&self, id: Id) -> Error {
        Error::not_found("there is no such image").at_id(id).at_store(&self.url)
    }
}

/// Descriptors that a [`Scan`] asks for at once.
const SCANNED: usize = 1024;

/// Descriptors in ascending order of their ids; made by [`Store::scan`].
#[derive(Debug)]
pub struct Scan<'a> {
    store: &'a Store,
    /// Where the next batch starts; `None` once there is none.
    next: Option<Id>,
    batch: VecDeque<Descriptor>,
    /// What ended the last batch.
    error: Option<Error>,
}

impl Iterator for Scan<'_> {
    type Item = Result<Descriptor>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty()
            && let Some(first) = self.next.take()
        {
            // What is cut short is asked for again, which costs a server far away a round trip.
            let most = if self.store.is_far() { self.store.batch().0 } else { SCANNED };
            let batch = &mut self.batch;
            let scanned = self.store.backend.scan(first, &mut |descriptor| {
                batch.push_back(descriptor);
                Ok(if batch.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            });
            match scanned {
                Err(error) => self.error = Some(self.store.here(error)),
                Ok(()) if batch.len() == most => {
                    self.next = batch.back().and_then(|last| last.id.checked_add(1));
                }
                Ok(()) => {}
            }
        }
        self.batch.pop_front().map(Ok).or_else(|| self.error.take().map(Err))
    }
}
