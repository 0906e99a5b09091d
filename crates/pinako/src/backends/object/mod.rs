//! `s3://`, `gs://`, `az://` and `object:DIR` keep immutable Arrow parts that manifest objects name.
//!
//! ```text
//! PREFIX/manifest/18446744073709551613.json   all that the store holds, in its newest state
//! PREFIX/manifest/18446744073709551614.json   the one before
//! PREFIX/parts/0012ab34cd56ef78.arrow         images of one batch, or of several that were merged
//! ```
//!
//! An object is put whole or not at all, and put only where none is: that is all that a service must be able to do. So
//! what is stored goes up under names of nobody else's, and what makes it part of the store is the next manifest, of
//! which one writer puts one and the others begin again. Any number of machines may append at once, and readers see
//! whole commits only.
//!
//! Each request is a round trip, so calls are built of few: one that reads knows the manifest and the heads of parts
//! from before, asks for what it needs at once, all together, and at the same time whether there is a newer manifest.
//!
//! - [`connect`] finds the place that a URL names, [`objects`] makes the requests, [`afar`] makes them slow;
//! - [`manifests`] are the manifest objects, what they say is [`manifest`](super::manifest)'s, [`commit`] adds one;
//! - [`part`] is the form of a part, [`head`] reads the descriptors in it, [`heads`] keeps those that were read;
//! - [`view`] is the store as one call sees it, [`read`] and [`batch`] get payloads, [`write`](mod@write) puts them;
//! - [`compact`] puts the parts that are there anew, [`vacuum`] deletes what is not needed any more, [`staged`] finds what
//!   a folder has of it.

mod afar;
mod batch;
mod commit;
mod compact;
mod connect;
mod delete;
mod error;
mod head;
mod heads;
mod manifests;
mod names;
mod objects;
mod part;
mod profile;
mod read;
mod staged;
#[cfg(test)]
mod tests;
mod traffic;
mod vacuum;
mod view;
mod write;

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::PutPayload;
use parking_lot::{Mutex, RwLock};

use self::connect::{Place, connect_folder, connect_url};
use self::head::Head;
use self::heads::Heads;
use self::manifests::{Known, Moment, Newest, number_of};
use self::objects::{Objects, PARALLEL_READS, Put};
use self::read::Wanted;
use self::view::View;
use self::write::{Limits, Writer, Written};
use super::folder::Folder;
use super::manifest::{Commit, IdSet, Part};
use super::runtime::wait_for;
use super::{FORMAT_VERSION, Mode, OWN_PATH, check_label_names, read_only};
use crate::backend::{
    Backend, DescribeSink, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink, ScanSink, Traffic,
    Vacuumed, WRITER_PATIENCE,
};
use crate::descriptor::Id;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Cost;

/// Whether such a store is in the folder `path`.
pub(crate) fn is_at(path: &Path) -> bool {
    let is_manifest = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| number_of(&object_store::path::Path::from(name)).is_some())
    };
    path.join("manifest").read_dir().is_ok_and(|entries| entries.flatten().any(is_manifest))
}

/// Whether there is what a creation of such a store leaves in a folder that was killed: a folder of manifests with none.
pub(crate) fn is_begun(path: &Path) -> bool {
    let is_manifests = |entry: std::io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == "manifest");
    let is_alone = path.read_dir().is_ok_and(|mut entries| entries.all(is_manifests));
    is_alone && path.join("manifest").is_dir() && !is_at(path)
}

/// Opens or creates the store in the folder `path`.
pub(crate) fn open_folder(path: &Path, mode: Mode, patience: Duration) -> Result<Box<dyn Backend>> {
    if mode == Mode::Create {
        make_folder(path)?;
    }
    let objects = Objects::new(connect_folder(path)?);
    let store = Object::open(objects, mode, patience, Limits::USUAL)?;
    Ok(Box::new(Object { folder: Some(path.to_owned()), ..store }))
}

/// Opens or creates the store in the folder `path` as if it were on a server, each request to which takes `latency`: by
/// `object_store`'s own wrapper, for measurements. Requests are counted.
pub(crate) fn open_folder_afar(path: &Path, mode: Mode, latency: Duration) -> Result<impl Backend + use<>> {
    if mode == Mode::Create {
        make_folder(path)?;
    }
    let place = connect_folder(path)?;
    let place = Place { store: afar::afar(place.store, latency), far: true, ..place };
    Object::open(Objects::new(place), mode, WRITER_PATIENCE, Limits::USUAL)
}

/// Makes the folder `path`, whose name is durable: what is put into it sees to its own only.
fn make_folder(path: &Path) -> Result<()> {
    Folder::create(path)?.sync_own_name()
}

/// Opens or creates the store that a server has at `url`.
pub(crate) fn open_url(url: &str, mode: Mode, patience: Duration) -> Result<Box<dyn Backend>> {
    let objects = Objects::new(connect_url(url)?);
    Ok(Box::new(Object::open(objects, mode, patience, Limits::USUAL)?))
}

/// Deletes the store at `url`, which is a server's.
pub(crate) fn delete(url: &str) -> Result<()> {
    let objects = Objects::new(connect_url(url)?);
    wait_for(delete::delete(&objects))
}

/// A store of objects.
#[derive(Debug)]
struct Object {
    objects: Arc<Objects>,
    /// Where they are on the disk, if they are.
    folder: Option<PathBuf>,
    mode: Mode,
    /// How long it tries to be faster than other writers.
    patience: Duration,
    limits: Limits,
    cost: Cost,
    /// The newest manifest that this handle knows of.
    known: RwLock<Arc<Known>>,
    /// Held by the one thread that changes the store by this handle.
    turn: Mutex<()>,
    heads: Heads,
}

impl Object {
    fn open(objects: Objects, mode: Mode, patience: Duration, limits: Limits) -> Result<Self> {
        let known = wait_for(async {
            if mode == Mode::Create {
                return create(&objects).await;
            }
            let newest = manifests::newest(&objects).await?;
            newest.ok_or_else(|| {
                Error::not_found(format!("there is no store: nothing is under {}", objects.manifests()))
                    .with_hint("check the URL, or create a store there")
            })
        })?;
        Ok(Object {
            cost: Cost::try_from(io_hints(objects.is_far()))?,
            objects: Arc::new(objects),
            folder: None,
            mode,
            patience,
            limits,
            known: RwLock::new(Arc::new(known)),
            turn: Mutex::new(()),
            heads: Heads::new(heads::MAX_BYTES, heads::MAX_NAMES),
        })
    }

    /// The newest manifest that this handle knows of.
    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read())
    }

    fn set_known(&self, newer: Known) -> Arc<Known> {
        let newer = Arc::new(newer);
        let mut known = self.known.write();
        if newer.number >= known.number {
            *known = Arc::clone(&newer);
        }
        newer
    }

    /// The newest manifest.
    fn fresh(&self) -> Result<Arc<Known>> {
        let known = self.known();
        let newest = wait_for(manifests::newer_than(&self.objects, &known))?;
        Ok(self.learn(&known, newest))
    }

    /// The newest manifest, looked for by a listing.
    fn reload(&self) -> Result<Arc<Known>> {
        let newest = wait_for(manifests::newest(&self.objects))?.ok_or_else(|| manifests::gone(&self.objects))?;
        let newest = Arc::new(newest);
        *self.known.write() = Arc::clone(&newest);
        Ok(newest)
    }

    /// Remembers which manifest is the newest, asked by one that was known.
    fn learn(&self, asked: &Known, newest: Newest) -> Arc<Known> {
        self.set_known(match newest {
            Newest::Same(confirmed) => asked.confirmed_at(confirmed),
            Newest::Other(newer) => newer,
        })
    }

    /// The error that a scan from `first` on begins with, if its part was found to be lost a moment ago: a round trip for
    /// each image of such a part would take hours. What others did since, they did to an image that could not be read.
    fn known_loss(&self, first: Id) -> Option<Error> {
        let known = self.known();
        let (id, part) = known.manifest.first_from(first)?;
        self.heads.lost(part.part).map(|error| error.at_id(id))
    }

    /// Checks that a folder was not moved away, which a put would make anew.
    fn check_there(&self) -> Result<()> {
        if !self.objects.is_far() {
            let manifest = self.objects.manifest(self.known().number);
            if wait_for(self.objects.look(&manifest))?.is_none() {
                self.reload()?;
            }
        }
        Ok(())
    }

    /// Says which object an error is about, and which image.
    fn in_object(&self, part: u64, id: Id, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Unsupported => error.context(self.objects.part(part)).at_id(id),
            _ => error.at_id(id),
        }
    }
}

/// Puts the manifest of an empty store where there is nothing.
async fn create(objects: &Objects) -> Result<Known> {
    let store_there = || Error::conflict("there is a store already").with_hint(OWN_PATH);
    if let Some(found) = objects.first(objects.prefix()).await? {
        if objects.first(&objects.manifests()).await?.is_some() {
            return Err(store_there());
        }
        return Err(Error::conflict(format!("the place is not empty: there is {found} in it")).with_hint(OWN_PATH));
    }
    let (empty, text) = Known::new(0, Commit::default())?;
    let path = objects.manifest(0);
    match objects.put(&path, PutPayload::from_bytes(text)).await? {
        Put::Done => Ok(empty),
        Put::Exists => match manifests::load(objects, 0, Moment::now()).await? {
            Some(found) if found.is_same(&empty) => Ok(empty),
            _ => Err(store_there()),
        },
    }
}

/// What reading costs, on a server or in a folder.
pub(super) fn io_hints(is_far: bool) -> IoHints {
    if is_far {
        // A service in the same region: a round trip, and one connection's share of 100 MB/s.
        IoHints { read_seconds: 0.02, byte_seconds: 1e-8, parallel_reads: PARALLEL_READS, block: 1 }
    } else {
        IoHints { read_seconds: 5e-5, byte_seconds: 5e-10, parallel_reads: 4, block: 1 }
    }
}

impl Backend for Object {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        for entry in &*entries {
            entry.check_length()?;
        }
        if self.mode == Mode::Read {
            return Err(read_only());
        }
        if entries.is_empty() {
            let next = self.fresh()?.manifest.next_id();
            return Ok(next..next);
        }
        let count = entries.len() as u64;
        let names: Vec<String> = entries.iter().filter_map(|entry| entry.descriptor.name.clone()).collect();
        let names = names::Names::new(&names)?;
        self.check_there()?;
        // Before anything is put. By then another may have taken one.
        let mut checked = names.check_first(self)?;
        let begun = Moment::now();
        let written = Writer::new(&self.objects, self.limits).write(entries, |place| place as Id)?;
        let appended = self.change(|known| {
            if !checked.is_same(known) {
                names.check(self, known)?;
                checked = Arc::clone(known);
            }
            self.limits.check_in_time(begun)?;
            let first = known.manifest.next_id();
            let end = first.checked_add(count).ok_or_else(|| Error::invalid("the store has no ids left"))?;
            let mut commit = Commit { next_id: end, ..known.manifest.whole() };
            commit.parts.extend(written.iter().map(|written| written.part.clone().moved(first)));
            Ok((Some(commit), first..end))
        });
        match &appended {
            Ok(ids) => {
                for Written { part, head } in written {
                    let part = part.moved(ids.start);
                    if let Ok(head) = Head::open(head, &part) {
                        if part.has_many_names() {
                            self.heads.keep_names(part.part, head.name_hashes());
                        }
                        self.heads.keep(part.part, head);
                    }
                }
            }
            // The manifest that names them may be there.
            Err(error) if error.kind() == ErrorKind::Transient => {}
            Err(_) => write::delete(&self.objects, written.iter().flat_map(|written| written.part.files())),
        }
        appended
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        let wanted = ids.iter().enumerate().map(|(place, &id)| Wanted { place, id, range: None });
        read::read(self, wanted.collect(), &mut |place, descriptor, bytes| sink(place, descriptor.zip(bytes)))
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        let wanted = requests.iter().enumerate().map(|(place, request)| Wanted {
            place,
            id: request.id,
            range: Some(request.range.clone()),
        });
        read::read(self, wanted.collect(), &mut |place, _, bytes| sink(place, bytes))
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        read::describe(self, ids, sink)
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        if let Some(error) = self.known_loss(first) {
            return Err(error);
        }
        let mut view = View::settled(self)?;
        let mut next = first;
        'anew: loop {
            let manifest = Arc::clone(view.manifest());
            let parts = manifest.parts().iter().filter(|part| part.last >= next && !manifest.is_used_up(part));
            let parts: Vec<&Part> = parts.collect();
            for some in view::in_bounds(&parts, |part| part.head_bytes) {
                let Some(heads) = view.heads(some)? else { continue 'anew };
                for (part, head) in some.iter().zip(heads) {
                    let first = manifest.removed().first_without(part.first.max(next));
                    let head = match head {
                        Err(error) if first <= part.last => return Err(error.at_id(first)),
                        Err(_) => continue,
                        Ok(head) => head,
                    };
                    for row in head.row_from(next)..head.rows() {
                        let id = head.id(row);
                        if manifest.removed().contains(id) {
                            continue;
                        }
                        let descriptor = head.descriptor(row).map_err(|error| self.in_object(part.part, id, error))?;
                        if let ControlFlow::Break(()) = sink(descriptor)? {
                            return Ok(());
                        }
                    }
                    next = part.last + 1;
                }
            }
            return Ok(());
        }
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        names::find(self, names)
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        self.change(|known| {
            let (present, bytes) = read::present(self, known, &ids)?;
            if present.is_empty() {
                return Ok((None, 0));
            }
            let mut commit = known.manifest.whole();
            commit.removed = known.manifest.removed().with(&IdSet::from_sorted(&present))?.intervals().to_vec();
            commit.removed_bytes = commit.removed_bytes.saturating_add(bytes.min(known.manifest.payload_bytes()));
            Ok((Some(commit), present.len() as u64))
        })
    }

    fn properties(&self) -> Result<Properties> {
        let known = self.fresh()?;
        Ok(Properties {
            format_version: FORMAT_VERSION,
            label_names: known.manifest.label_names().to_vec(),
            count: known.manifest.count(),
            next_id: known.manifest.next_id(),
        })
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        self.change(|known| {
            check_label_names(known.manifest.label_names(), before)?;
            Ok((Some(Commit { label_names: Some(names.to_vec()), ..known.manifest.whole() }), ()))
        })
    }

    /// What the objects take that the newest manifest names, and it itself; others are there until they are vacuumed.
    fn footprint(&self) -> Result<Footprint> {
        let known = self.fresh()?;
        let files =
            known.manifest.parts().iter().flat_map(|part| {
                std::iter::once(part.file_bytes).chain(part.pieces.iter().map(|piece| piece.file_bytes))
            });
        let disk_bytes = files.fold(known.bytes, u64::saturating_add);
        Ok(Footprint { disk_bytes, payload_bytes: known.manifest.payload_bytes() })
    }

    fn io_hints(&self) -> IoHints {
        self.cost.into()
    }

    fn compact(&self) -> Result<()> {
        compact::compact(self)
    }

    fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        vacuum::vacuum(self, keep, rehearsal)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn traffic(&self) -> Traffic {
        self.objects.traffic()
    }
}
