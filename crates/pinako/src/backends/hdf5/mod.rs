//! `hdf5:DIR` keeps immutable HDF5 parts that a manifest log names.
//!
//! ```text
//! DIR/manifest.jsonl      one line a commit: which parts there are, which images were removed
//! DIR/parts/00000000.h5   the images of one batch, or of several that were merged
//! DIR/parts/...
//! DIR/lock                who holds it locked may write
//! ```
//!
//! HDF5 has no transactions, and a crash can ruin a file that is open for writing; nor does its library let two threads
//! read at once. So a file of ours is written once and never opened for writing again, the log makes it part of the
//! store, and reads go to the known places of its datasets in a map, past the library.
//!
//! - [`form`] knows the HDF5 library: how a file is laid out, where its datasets are;
//! - [`part`] reads what is in one part, [`open`](mod@open) keeps parts open, [`view`] is the store as one call sees
//!   it;
//! - [`write`](mod@write) cuts a batch into parts and writes them, [`syncs`] brings them to the disk meanwhile,
//!   [`compact`] writes the parts that are there anew;
//! - [`log`] is the manifest log as a file; what its lines mean is [`manifest`](super::manifest)'s.

mod compact;
mod form;
mod log;
mod open;
mod part;
mod syncs;
#[cfg(test)]
mod tests;
mod view;
mod write;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use self::form::{Dataset, Element};
use self::log::Log;
use self::open::OpenFiles;
use self::view::{View, in_a_row};
use self::write::{Limits, Writer, file_of, is_name_of_part, plan};
use super::folder::{Folder, aside};
use super::manifest::{Commit, IdSet, LOG_NAME, Manifest, PARTS, Part, name_hash};
use super::read_ahead::{LONG, WINDOW};
use super::{FORMAT_VERSION, Mode, boot, check_label_names, name_taken, not_empty, read_only, store_there};
use crate::backend::{
    Backend, DescribeSink, Durability, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink,
    ScanSink, Traffic, Vacuumed,
};
use crate::descriptor::Id;
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

const LOCK: &str = "lock";

/// Opens or creates the store at `path`.
pub(crate) fn open(path: &Path, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    Ok(Box::new(Hdf5::open(path, mode, durability, patience, Limits::USUAL)?))
}

/// Whether there is what a creation of such a store leaves that was killed.
pub(crate) fn is_begun(path: &Path) -> bool {
    path.join(LOCK).is_file() && check_empty(path).is_ok()
}

/// What a file of `count` images and their labels starts with, outside of a store.
pub(super) fn array_head(count: u64, shape: Shape, sample: SampleType) -> Result<Vec<u8>> {
    let dimensions = vec![count, shape.height().into(), shape.width().into(), shape.channels().into()];
    let images = Dataset { name: part::IMAGES, element: Element::Sample(sample), dimensions };
    form::head(&[images, Dataset::row(part::META, Element::Label, count)])
}

/// A store of HDF5 parts.
#[derive(Debug)]
struct Hdf5 {
    folder: PathBuf,
    mode: Mode,
    durability: Durability,
    /// How long it waits for other writers.
    patience: Duration,
    limits: Limits,
    log: RwLock<Log>,
    files: OpenFiles,
    /// Whether this handle has looked for what writers left behind that were killed.
    cleaned: AtomicBool,
}

impl Hdf5 {
    fn open(path: &Path, mode: Mode, durability: Durability, patience: Duration, limits: Limits) -> Result<Self> {
        if mode == Mode::Create {
            create(path, patience)?;
        }
        if !path.join(LOG_NAME).exists() {
            return Err(Error::invalid(format!("{} is no store of HDF5 parts: it has no {LOG_NAME}", path.display()))
                .with_hint("to read HDF5 files that others made, import them"));
        }
        let files = OpenFiles::new(path.join(PARTS));
        let log = Log::open(path, mode, &|part| files.is_whole(part))?;
        Ok(Hdf5 {
            folder: path.to_owned(),
            mode,
            durability,
            patience,
            limits,
            log: RwLock::new(log),
            files,
            cleaned: AtomicBool::new(false),
        })
    }

    // A panic under the lock leaves a log that is read on from where it was.
    fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_mut(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store as it is now.
    fn manifest(&self) -> Result<Arc<Manifest>> {
        {
            let log = self.log();
            if log.is_fresh()? {
                return Ok(Arc::clone(log.manifest()));
            }
        }
        let mut log = self.log_mut();
        if log.refresh(self.mode, &|part| self.files.is_whole(part))? {
            // Another store may have taken this one's place, with parts of the same numbers.
            self.files.close_all();
        }
        Ok(Arc::clone(log.manifest()))
    }

    /// Changes the store as its only writer. What `change` is given it hands on to [`commit`](Self::commit).
    fn change<T>(&self, change: impl FnOnce(Arc<Manifest>) -> Result<T>) -> Result<T> {
        if self.mode == Mode::Read {
            return Err(read_only());
        }
        let _lock = Folder::open(&self.folder)?.lock(LOCK, self.patience)?;
        let manifest = self.manifest()?;
        if !self.cleaned.load(Ordering::Relaxed) {
            self.clean(&manifest)?;
            self.cleaned.store(true, Ordering::Relaxed);
        }
        let changed = change(manifest);
        if changed.is_err() {
            // What was written for nothing goes again, now or before the next change.
            let cleaned = self.manifest().and_then(|manifest| self.clean(&manifest));
            self.cleaned.store(cleaned.is_ok(), Ordering::Relaxed);
        }
        changed
    }

    /// Removes parts that no commit names. The caller is the only writer, so nobody is about to name them.
    fn clean(&self, manifest: &Manifest) -> Result<()> {
        let named: HashSet<PathBuf> =
            manifest.parts().iter().flat_map(Part::files).map(|number| file_of(self.files.folder(), number)).collect();
        let mut leftovers = list(self.files.folder())?;
        let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        leftovers.retain(|path| is_name_of_part(path) && !named.contains(path) && is_file(path));
        if !leftovers.is_empty() {
            // A crash must not bring back a log that names them.
            self.log().sync()?;
        }
        for path in leftovers {
            fs::remove_file(&path).map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
        }
        Ok(())
    }

    /// Makes a commit after those of `manifest` and, unless buffered, all before it durable. The caller is the only
    /// writer; the commit's own parts are on the disk.
    fn commit(&self, manifest: Arc<Manifest>, mut commit: Commit) -> Result<()> {
        match self.durability {
            Durability::Full => self.sync_files(&manifest)?,
            Durability::Buffered => commit.unsynced = Some(boot::id().to_owned()),
        }
        // Whoever holds a manifest while another commit is added makes that copy all of it.
        drop(manifest);
        self.log_mut().append(commit)
    }

    /// Syncs the parts that were not yet.
    fn sync_files(&self, manifest: &Manifest) -> Result<()> {
        if manifest.unsynced().is_empty() {
            return Ok(());
        }
        for &number in manifest.unsynced() {
            let path = file_of(self.files.folder(), number);
            match File::open(&path).and_then(|file| file.sync_data()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // lost: whoever reads it is told
                synced => synced.map_err(|error| Error::io(format!("cannot sync {}", path.display()), error))?,
            }
        }
        Folder::open(self.files.folder())?.sync_names()
    }

    /// Checks that no name of `entries` is taken, in the store or among them.
    fn check_names(&self, manifest: &Manifest, entries: &[Entry<'_>]) -> Result<()> {
        let mut names = HashSet::new();
        for name in entries.iter().filter_map(|entry| entry.descriptor.name.as_deref()) {
            if !names.insert(name) {
                return Err(name_taken(name));
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<(u64, &str)> = names.into_iter().map(|name| (name_hash(name), name)).collect();
        let check = |part: &Part, names: &[(u64, &str)]| {
            let open = match self.files.part(part).and_then(|open| open.ok_or_else(|| self.files.gone(part.part))) {
                Err(_) if manifest.is_used_up(part) => return Ok(()),
                open => open?,
            };
            for &(hash, name) in names {
                let found = open.find(name, hash, manifest.removed()).map_err(|error| self.at_part(part, error))?;
                if found.is_some() {
                    return Err(name_taken(name));
                }
            }
            Ok(())
        };
        for name in &names {
            for part in manifest.parts_listing(name.0) {
                check(part, std::slice::from_ref(name))?;
            }
        }
        manifest.parts_of_many_names().try_for_each(|part| check(part, &names))
    }

    /// Says which file an error is about.
    fn at_part(&self, part: &Part, error: Error) -> Error {
        error.context(file_of(self.files.folder(), part.part).display())
    }

    /// The id of the image of that name.
    fn find_in(&self, view: &mut View<'_>, name: &str) -> Result<Option<Id>> {
        let hash = name_hash(name);
        // A compaction may put other parts in place of those not looked at yet: then it begins anew.
        'anew: loop {
            let manifest = Arc::clone(&view.manifest);
            // A part that cannot be opened does not matter where another has the name.
            let mut lost = None;
            for part in manifest.parts_listing(hash).chain(manifest.parts_of_many_names().rev()) {
                let open = match view.open(part) {
                    Ok(Some(open)) => open,
                    Ok(None) => continue 'anew,
                    Err(_) if manifest.is_used_up(part) => continue,
                    Err(error) => {
                        lost.get_or_insert(error);
                        continue;
                    }
                };
                let found = open.find(name, hash, manifest.removed()).map_err(|error| self.at_part(part, error))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            return lost.map_or(Ok(None), Err);
        }
    }
}

/// Page faults that go to a solid-state disk, as for LMDB's map.
pub(super) const IO_HINTS: IoHints = IoHints { read_seconds: 6e-5, byte_seconds: 1e-9, parallel_reads: 8, block: 4096 };

impl Backend for Hdf5 {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        for entry in &*entries {
            entry.check_length()?;
        }
        self.change(|manifest| {
            let first = manifest.next_id();
            if entries.is_empty() {
                return Ok(first..first);
            }
            self.check_names(&manifest, entries)?;
            let end = first.checked_add(entries.len() as u64);
            let end = end.ok_or_else(|| Error::invalid("the store has no ids left"))?;
            for (entry, id) in entries.iter_mut().zip(first..) {
                entry.descriptor.id = id;
            }
            let sections = plan(entries.iter().map(|entry| &entry.descriptor), self.limits);
            let sync = self.durability == Durability::Full;
            let mut writer = Writer::new(self.files.folder(), self.limits, sync, next_part(&manifest));
            let parts = writer.write(entries, &sections)?;
            self.commit(manifest, Commit { next_id: end, next_part: Some(writer.next()), parts, ..Commit::default() })?;
            Ok(first..end)
        })
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        let mut view = View::new(self)?;
        // Neighbours asked for one after another are fetched from the disk together.
        let mut expected = 0;
        for (place, &id) in ids.iter().enumerate() {
            let neighbours = if place < expected { 0 } else { in_a_row(ids[place..].iter().copied()) };
            expected = expected.max(place + neighbours);
            view.fetch(id, neighbours as u64, |image| sink(place, image))?;
        }
        Ok(())
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        let mut view = View::new(self)?;
        // Ranges of one image that are asked for one after another are in flight at once.
        let mut expected = 0;
        for (place, request) in requests.iter().enumerate() {
            if place >= expected {
                let of_image = requests[place..].iter().take_while(|other| other.id == request.id).take(WINDOW).count();
                if of_image > 1 || request.range.end.saturating_sub(request.range.start) >= LONG as u64 {
                    view.expect(&requests[place..place + of_image])?;
                }
                expected = place + of_image;
            }
            view.read(request, &mut |bytes| sink(place, bytes))?;
        }
        Ok(())
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        let mut view = View::new(self)?;
        let mut expected = 0;
        for (place, &id) in ids.iter().enumerate() {
            let descriptor = match view.find(id)? {
                None => None,
                Some((open, row)) => {
                    if place >= expected {
                        let neighbours = in_a_row(ids[place..].iter().copied());
                        open.expect_descriptors(row, neighbours as u64);
                        expected = place + neighbours;
                    }
                    Some(open.descriptor(row).map_err(|error| self.at_part(open.part(), error))?)
                }
            };
            sink(place, descriptor)?;
        }
        Ok(())
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        let mut view = View::new(self)?;
        let mut next = first;
        while let Some(open) = view.part_from(next)? {
            open.expect_descriptors(open.row_from(next), open.part().count);
            for row in open.row_from(next)..open.part().count {
                let at_part = |error| self.at_part(open.part(), error);
                let id = open.id(row);
                if id.is_some_and(|id| view.manifest.removed().contains(id)) {
                    continue;
                }
                let descriptor = open.descriptor(row).map_err(at_part)?;
                open.check_copies(row, &descriptor).map_err(at_part)?;
                if let ControlFlow::Break(()) = sink(descriptor)? {
                    return Ok(());
                }
            }
            next = open.part().last + 1;
        }
        Ok(())
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        let mut view = View::new(self)?;
        names.iter().map(|name| self.find_in(&mut view, name)).collect()
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        self.change(|manifest| {
            let mut view = View::new(self)?;
            let mut removed_bytes = 0u64;
            let mut present: Vec<Id> = Vec::new();
            for &id in &ids {
                // What is damaged is to be removed too, and its payload may not be where it should be.
                let bytes = match view.find(id) {
                    Ok(None) => continue,
                    Ok(Some((open, row))) => open.payload_length(row).unwrap_or(0),
                    Err(error) => {
                        // Of a part that is lost, what the manifest says must do: its range of ids, how many of them
                        // there are, and the bytes of all.
                        let part = manifest.part_of(id).ok_or(error)?;
                        let listed = present.len() - present.partition_point(|&other| other < part.first);
                        let before = manifest.removed().count_within(part.first, part.last);
                        if before + listed as u64 >= part.count {
                            continue;
                        }
                        part.payload_bytes / part.count
                    }
                };
                removed_bytes = bytes.saturating_add(removed_bytes).min(manifest.payload_bytes());
                present.push(id);
            }
            drop(view);
            if !present.is_empty() {
                let removed = IdSet::from_sorted(&present).intervals().to_vec();
                let commit = Commit { removed, removed_bytes, ..manifest.commit() };
                self.commit(manifest, commit)?;
            }
            Ok(present.len() as u64)
        })
    }

    fn properties(&self) -> Result<Properties> {
        let manifest = self.manifest()?;
        Ok(Properties {
            format_version: FORMAT_VERSION,
            label_names: manifest.label_names().to_vec(),
            count: manifest.count(),
            next_id: manifest.next_id(),
        })
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        // Durable even where appends are buffered.
        self.change(|manifest| {
            check_label_names(manifest.label_names(), before)?;
            self.sync_files(&manifest)?;
            self.log_mut().append(Commit { label_names: Some(names.to_vec()), ..manifest.commit() })
        })
    }

    fn footprint(&self) -> Result<Footprint> {
        let mut blocks = 0;
        for path in list(&self.folder)?.into_iter().chain(list(self.files.folder())?) {
            match fs::metadata(&path) {
                Ok(found) => blocks += found.blocks(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(format!("cannot look at {}", path.display()), error)),
            }
        }
        Ok(Footprint { disk_bytes: blocks * 512, payload_bytes: self.manifest()?.payload_bytes() })
    }

    fn io_hints(&self) -> IoHints {
        IO_HINTS
    }

    fn compact(&self) -> Result<()> {
        self.change(|manifest| compact::compact(self, &manifest))
    }

    fn vacuum(&self, _keep: Duration, _rehearsal: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }

    fn sync(&self) -> Result<()> {
        if self.mode == Mode::Read || self.manifest()?.is_synced() {
            return Ok(());
        }
        self.change(|manifest| {
            self.sync_files(&manifest)?;
            self.log_mut().append(manifest.commit())
        })
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// The number that the next part will get.
fn next_part(manifest: &Manifest) -> u64 {
    manifest.next_part().unwrap_or(0)
}

/// Makes an empty store at `path`.
fn create(path: &Path, patience: Duration) -> Result<()> {
    let folder = Folder::create(path)?;
    // Before the lock too, which would leave a file in somebody's folder.
    check_empty(path)?;
    let _lock = folder.lock(LOCK, patience)?;
    check_empty(path)?;
    let parts = path.join(PARTS);
    fs::create_dir_all(&parts)
        .map_err(|error| Error::io(format!("cannot make the folder {}", parts.display()), error))?;
    Log::create(&folder)?;
    folder.sync_own_name()
}

/// Checks that there is nothing in the folder but what a creation leaves that was killed: the lock and maybe more.
fn check_empty(folder: &Path) -> Result<()> {
    for path in list(folder)? {
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // another creation goes on just now
            found => found.map_err(|error| Error::io(format!("cannot look at {}", path.display()), error))?,
        };
        let ours = match path.file_name().and_then(|name| name.to_str()) {
            Some(LOCK) => found.is_file() && found.len() == 0,
            Some(PARTS) => found.is_dir() && list(&path)?.is_empty(),
            Some(name) if name == log::MARK.name || name == aside(log::MARK.name) => found.is_file(),
            Some(name) if name == aside(LOG_NAME) => found.is_file() && Log::is_begun(&path),
            Some(LOG_NAME) => return Err(store_there(folder)),
            _ => false,
        };
        if !ours {
            return Err(not_empty(folder, path.file_name().unwrap_or_default()));
        }
    }
    Ok(())
}

/// The paths in a folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error| Error::io(format!("cannot list {}", folder.display()), error);
    fs::read_dir(folder).map_err(cannot)?.map(|entry| entry.map(|entry| entry.path()).map_err(cannot)).collect()
}
