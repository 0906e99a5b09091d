//! `files:DIR` keeps one image file each, and what is known of them in `metadata.jsonl`, as the *imagefolder*
//! convention of Hugging Face `datasets` has it: any image program reads the one, `datasets` or a few lines of Python
//! both.
//!
//! The lines of `metadata.jsonl` are the store: a file without a line is none of its images. So an append writes the
//! files, makes them durable, and only then appends the line that ends the batch; a removal replaces
//! `metadata.jsonl` as a whole before it unlinks files. Whatever a crash leaves behind in between is invisible, and the
//! next writer cuts it off or overwrites it. A mark beside the lines tells what a crash has torn from what was
//! committed and is lost. FORMAT.md has the details.

mod images;
mod index;
mod line;
mod lookup;
mod maps;
mod pinako_json;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use self::index::{Index, MARK, METADATA};
use self::line::{Line, file_name};
use self::lookup::Lookup;
use self::maps::Maps;
use self::pinako_json::{PINAKO_JSON, PinakoJson, Unsynced};
use super::folder::{Folder, aside, sync_commit};
use super::read_ahead::in_windows;
use super::{Mode, check_label_names, not_empty, read_only, sealed, store_there};
use crate::backend::{
    Backend, DescribeSink, Durability, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink,
    ScanSink, Traffic, Vacuumed,
};
use crate::descriptor::{Id, ImageFormat, check_name};
use crate::error::{Error, Result};

/// What writers lock. A dot keeps it out of the sight of `datasets` and of most listings.
const LOCK: &str = ".lock";

/// Images whose lines are looked up at once.
const CHUNK: usize = 1024;

/// Opens or creates the store at `path`.
pub(crate) fn open(path: &Path, mode: Mode, durability: Durability, patience: Duration) -> Result<Box<dyn Backend>> {
    if mode == Mode::Create {
        create(path, patience)?;
    }
    let folder = Folder::open(path)?;
    PinakoJson::read(&folder)?;
    let index = RwLock::new(Index::load(&folder)?);
    Ok(Box::new(Files { folder, read_only: mode == Mode::Read, durability, patience, index, maps: Maps::default() }))
}

/// Whether there is such a store at `path`, as far as a quick look tells.
pub(crate) fn is_at(path: &Path) -> bool {
    path.join(PINAKO_JSON).is_file()
}

/// Whether there is what a creation of such a store leaves that was killed.
pub(crate) fn is_begun(path: &Path) -> bool {
    path.join(LOCK).is_file() && Folder::open(path).and_then(|folder| check_empty(&folder)).is_ok()
}

/// Makes an empty store of a folder that is empty or not there.
fn create(path: &Path, patience: Duration) -> Result<()> {
    let folder = Folder::create(path)?;
    // Before the lock too, which would leave a file in somebody's folder.
    check_empty(&folder)?;
    let _lock = folder.lock(LOCK, patience)?;
    check_empty(&folder)?;
    folder.replace_with(METADATA, b"")?;
    MARK.create(&folder, 0)?;
    PinakoJson::new().write(&folder)?;
    folder.sync_own_name()
}

/// Checks that there is nothing in the folder but what a creation leaves that was killed: the lock and maybe more.
fn check_empty(folder: &Folder) -> Result<()> {
    folder.each_name(|name| {
        let is_empty = || folder.stat(name).map_or(true, |stat| stat.st_size == 0);
        match name {
            PINAKO_JSON => Err(store_there(folder.path())),
            METADATA | LOCK if is_empty() => Ok(()),
            name if name == aside(METADATA) && is_empty() => Ok(()),
            name if name == MARK.name => Ok(()),
            name if name == aside(PINAKO_JSON) || name == aside(MARK.name) => Ok(()),
            _ => Err(not_empty(folder.path(), name.as_ref())),
        }
    })
}

struct Files {
    folder: Folder,
    read_only: bool,
    durability: Durability,
    /// How long it waits for other writers.
    patience: Duration,
    index: RwLock<Index>,
    maps: Maps,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files({})", self.folder.path().display())
    }
}

impl Files {
    /// The index of the store as it is now.
    fn index(&self) -> Result<RwLockReadGuard<'_, Index>> {
        // A panic under the lock may leave lines out of the index, but none in it that are not in the file.
        let read = || self.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = read();
        if self.folder.stat(METADATA).is_ok_and(|stat| index.is_current(&stat)) {
            return Ok(index);
        }
        drop(index);
        self.index.write().unwrap_or_else(PoisonError::into_inner).refresh(&self.folder)?;
        Ok(read())
    }

    fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(read_only());
        }
        Ok(())
    }

    fn find_in(&self, lookup: Lookup, name: &str) -> Result<Option<Id>> {
        let mut found = None;
        lookup.each(&self.folder, |_, line| {
            found = line.filter(|line| line.name == name).map(|line| line.id);
            Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    /// Calls `take` with the place of each of `batch` and the line of its image, looked up some at a time.
    fn each_line<T>(
        &self,
        batch: &[T],
        id: impl Fn(&T) -> Id,
        mut take: impl FnMut(usize, Option<&Line<'_>>) -> Result<()>,
    ) -> Result<()> {
        for (number, chunk) in batch.chunks(CHUNK).enumerate() {
            // The index is let go before `take` is called, which may look at it again.
            let lookup = self.index()?.look_up(chunk.iter().map(&id));
            lookup.each(&self.folder, |place, line| {
                take(number * CHUNK + place, line)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// The bytes that `request` asks of the image with this line; `None` where it was removed meanwhile.
    fn read_file<'b>(
        &self,
        reader: &'b mut images::Reader<'_>,
        line: &'b Line<'_>,
        request: &ReadRequest,
    ) -> Result<Option<&'b [u8]>> {
        let bytes = reader.read(line, request)?;
        if bytes.is_none() && self.index()?.contains(request.id) {
            let path = self.folder.path_of(&line.file_name);
            return Err(Error::corrupt(format!("its file {} is missing", path.display()))
                .at_id(request.id)
                .with_hint("restore the file, or remove the image from the store"));
        }
        Ok(bytes)
    }

    fn check_names(&self, entries: &[Entry<'_>]) -> Result<()> {
        let mut fresh = HashSet::new();
        for name in entries.iter().filter_map(|entry| entry.descriptor.name.as_deref()) {
            check_name(name)?;
            if !fresh.insert(name) || self.find_in(self.index()?.look_up_name(name), name)?.is_some() {
                return Err(super::name_taken(name));
            }
        }
        Ok(())
    }

    /// Appends the lines of a batch, from byte `end` on. All but the last are durable, as the files are, before the
    /// last is written: it alone makes the batch count.
    fn append_lines(&self, end: u64, first: Id, names: Vec<String>, entries: &[Entry<'_>]) -> Result<()> {
        let mut lines = Vec::new();
        let mut last_line = 0;
        for (place, ((id, file_name), entry)) in (first..).zip(names).zip(entries).enumerate() {
            last_line = lines.len();
            let line = Line::new(&entry.descriptor, id, file_name.into(), place + 1 == entries.len());
            sealed::write(&line, &mut lines)?;
        }
        let (most, last) = lines.split_at(last_line);
        let file = self.folder.open_to_change(METADATA)?;
        let cannot = |error| self.folder.cannot("write to", METADATA, error);
        file.write_all_at(most, end).map_err(cannot)?;
        if self.durability == Durability::Full {
            if entries.len() > 1 { self.folder.sync_everything()? } else { self.folder.sync_names()? }
        }
        file.write_all_at(last, end + most.len() as u64).map_err(cannot)?;
        if self.durability == Durability::Full {
            let synced = sync_commit(&file, &self.folder.path_of(METADATA));
            synced.inspect_err(|_| drop(self.take_back(&file, end)))?;
        }
        // The batch is committed, whatever becomes of the mark: one that is behind does no harm.
        let _ = MARK.set(&self.folder, first + entries.len() as u64);
        Ok(())
    }

    /// Makes the mark where there is none.
    ///
    /// # Errors
    /// `Corrupt` where images may be lost, whose files the next append or compaction would destroy.
    fn ensure_mark(&self) -> Result<()> {
        if MARK.read(&self.folder)?.is_some() {
            return Ok(());
        }
        let next_id = self.index()?.next_id();
        self.folder.each_name(|name| match id_in_file_name(name) {
            Some(id) if id >= next_id => Err(Error::corrupt(format!(
                "{} is missing, and there is the file {name} of an image without a line in {METADATA}",
                self.folder.path_of(MARK.name).display()
            ))
            .with_hint(format!(
                "where lines were lost, restore {METADATA} from a copy; otherwise move the image files from {} on \
                 elsewhere",
                file_name(next_id, "*")
            ))),
            _ => Ok(()),
        })?;
        self.folder.sync_everything()?;
        MARK.create(&self.folder, next_id)
    }

    /// Puts the first `end` bytes of `file`, which is `metadata.jsonl`, in its place. To cut a whole batch off would
    /// not do: readers that have read it already would not notice once another batch stands there.
    fn take_back(&self, mut file: &File, end: u64) -> Result<()> {
        let cannot = |error| self.folder.cannot("write", METADATA, error);
        file.rewind().map_err(cannot)?;
        self.folder.replace(METADATA, |new| std::io::copy(&mut file.take(end), new).map(drop).map_err(cannot))
    }

    /// Cuts `metadata.jsonl` off at `end`, durably.
    fn cut(&self, end: u64) -> Result<()> {
        let cannot = |error| self.folder.cannot("shorten", METADATA, error);
        let file = self.folder.open_to_change(METADATA)?;
        file.set_len(end).and_then(|()| file.sync_data()).map_err(cannot)
    }

    /// Cuts off what a crash has left behind the last whole batch, and makes durable whatever is not yet: after that
    /// all that `metadata.jsonl` has in it counts.
    fn settle(&self) -> Result<PinakoJson> {
        let (end, seen) = self.index()?.ends();
        self.ensure_mark()?;
        if seen > end {
            self.cut(end)?;
        }
        let mut head = PinakoJson::read(&self.folder)?;
        if head.unsynced.take().is_some() {
            // It may be ahead, and counts from now on.
            MARK.set(&self.folder, self.index()?.next_id())?;
            self.folder.sync_everything()?;
            head.write(&self.folder)?;
            self.index.write().unwrap_or_else(PoisonError::into_inner).trust();
        }
        Ok(head)
    }

    /// Gets ready for an append that is not synced: says so in `pinako.json`, unless that is said already.
    fn settle_until_crash(&self) -> Result<PinakoJson> {
        let head = PinakoJson::read(&self.folder)?;
        let (end, seen) = self.index()?.ends();
        self.ensure_mark()?;
        if seen == end && head.unsynced.as_ref().is_some_and(|unsynced| !unsynced.is_in_doubt()) {
            return Ok(head);
        }
        let mut head = self.settle()?;
        head.unsynced = Some(Unsynced::new(end));
        head.write(&self.folder)?;
        Ok(head)
    }

    /// Replaces `metadata.jsonl` by one without the lines at `places`, which ascend.
    fn rewrite_without(&self, index: &Index, places: &[usize]) -> Result<()> {
        let cannot = |error| self.folder.cannot("write", METADATA, error);
        let mut stretches = index.stretches_without(places);
        // The last line that stays must end a batch, whether it did or not.
        let last = index.last_without(places);
        let mut last_line = Vec::new();
        if let (Some(last), Some(stretch)) = (last, stretches.last_mut()) {
            let start = index.offset(last);
            let mut line = vec![0; (index.offset(last + 1) - start) as usize];
            index.file().read_exact_at(&mut line, start).map_err(cannot)?;
            // As a map, so that keys that are not ours stay.
            let mut line: serde_json::Map<_, _> = serde_json::from_slice(&line)
                .map_err(|error| Error::corrupt("the last line is no JSON object").with_source(error))?;
            line.remove(sealed::KEY);
            line.insert("ends_batch".to_owned(), true.into());
            sealed::write(&line, &mut last_line)?;
            stretch.end = start;
        }
        self.folder.replace(METADATA, |file| {
            let mut source = index.file();
            for stretch in stretches {
                source.seek(std::io::SeekFrom::Start(stretch.start)).map_err(cannot)?;
                std::io::copy(&mut source.take(stretch.end - stretch.start), file).map_err(cannot)?;
            }
            file.write_all(&last_line).map_err(cannot)
        })
    }
}

/// A file that is opened and read from a solid-state disk.
pub(super) const IO_HINTS: IoHints = IoHints { read_seconds: 1e-4, byte_seconds: 1e-9, parallel_reads: 8, block: 4096 };

impl Backend for Files {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        self.check_writable()?;
        for entry in &*entries {
            entry.check_length()?;
        }
        let _lock = self.folder.lock(LOCK, self.patience)?;
        if entries.is_empty() {
            let next_id = PinakoJson::read(&self.folder)?.next_id.max(self.index()?.next_id());
            return Ok(next_id..next_id);
        }
        self.check_names(entries)?;
        let head = match self.durability {
            Durability::Full => self.settle()?,
            Durability::Buffered => self.settle_until_crash()?,
        };
        let (first, end) = {
            let index = self.index()?;
            (head.next_id.max(index.next_id()), index.ends().0)
        };
        let next = first.checked_add(entries.len() as u64).filter(|&next| next < Id::MAX);
        let next = next.ok_or_else(|| Error::invalid("there are no ids left"))?;
        let appended = images::write_all(&self.folder, first, entries, self.durability)
            .and_then(|names| self.append_lines(end, first, names, entries));
        match appended {
            Ok(()) => Ok(first..next),
            Err(error) => {
                // A crash must not bring lines back whose files are gone.
                if self.cut(end).is_ok() {
                    images::unlink_all(&self.folder, first, entries);
                }
                Err(error)
            }
        }
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        let mut reader = images::Reader::new(&self.folder);
        self.each_line(
            ids,
            |&id| id,
            |place, line| {
                let Some(line) = line else { return sink(place, None) };
                let descriptor = line.descriptor().map_err(|error| error.at_id(line.id))?;
                let whole = ReadRequest::new(line.id, 0..line.payload_length);
                sink(place, self.read_file(&mut reader, line, &whole)?.map(|bytes| (descriptor, bytes)))
            },
        )
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        let mut reader = images::Reader::new(&self.folder);
        // Many ranges of one image are asked for one after another: its line is looked up once.
        let mut end = 0;
        let by_image = requests.chunk_by(|request, next| request.id == next.id).map(|of_one| {
            end += of_one.len();
            (end - of_one.len(), of_one)
        });
        let by_image: Vec<(usize, &[ReadRequest])> = by_image.collect();
        self.each_line(
            &by_image,
            |(_, of_one)| of_one[0].id,
            |place, line| {
                let (first, of_one) = by_image[place];
                let Some(line) = line else {
                    return (first..).zip(of_one).try_for_each(|(place, _)| sink(place, None));
                };
                if let Some(mapped) = self.maps.get(&self.folder, line)? {
                    let find = |request: &ReadRequest| {
                        let range = request.range_in(line.payload_length)?;
                        Ok(&mapped.payload()[range.start as usize..range.end as usize])
                    };
                    return in_windows(of_one, find, |&bytes| Some(bytes), &mut |place, bytes| {
                        sink(first + place, Some(bytes))
                    });
                }
                for (place, request) in (first..).zip(of_one) {
                    sink(place, self.read_file(&mut reader, line, request)?)?;
                }
                Ok(())
            },
        )
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.each_line(
            ids,
            |&id| id,
            |place, line| sink(place, line.map(Line::descriptor).transpose().map_err(|error| error.at_id(ids[place]))?),
        )
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        let mut next = Some(first);
        while let Some(first) = next {
            let lookup;
            (lookup, next) = self.index()?.look_up_from(first, CHUNK);
            lookup.each(&self.folder, |_, line| {
                let Some(line) = line else { return Ok(ControlFlow::Continue(())) };
                let flow = sink(line.descriptor().map_err(|error| error.at_id(line.id))?)?;
                if flow.is_break() {
                    next = None;
                }
                Ok(flow)
            })?;
        }
        Ok(())
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        let lookups: Vec<_> = {
            let index = self.index()?;
            names.iter().map(|name| (!name.is_empty()).then(|| index.look_up_name(name))).collect()
        };
        let find = |(name, lookup): (&&str, Option<_>)| lookup.map_or(Ok(None), |lookup| self.find_in(lookup, name));
        names.iter().zip(lookups).map(find).collect()
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        self.check_writable()?;
        let _lock = self.folder.lock(LOCK, self.patience)?;
        let mut head = self.settle()?;
        let index = self.index()?;
        let mut places: Vec<usize> = ids.iter().filter_map(|&id| index.place(id)).collect();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(0);
        }
        let mut names = Vec::with_capacity(places.len());
        let lookup = index.look_up(ids.iter().copied());
        lookup.each(&self.folder, |_, line| {
            names.extend(line.and_then(|line| Some(file_name(line.id, line::extension(line.encoding().ok()?)?))));
            Ok(ControlFlow::Continue(()))
        })?;
        head.next_id = head.next_id.max(index.next_id());
        head.write(&self.folder)?;
        let next_id = index.next_id_without(&places);
        if MARK.read(&self.folder)?.is_some_and(|mark| mark > next_id) {
            MARK.set_durably(&self.folder, next_id)?;
        }
        self.rewrite_without(&index, &places)?;
        self.maps.forget(ids);
        for name in names {
            // What cannot be unlinked now does not count any more; compaction tries again.
            let _ = self.folder.unlink(&name);
        }
        Ok(places.len() as u64)
    }

    fn properties(&self) -> Result<Properties> {
        let index = self.index()?;
        let head = PinakoJson::read(&self.folder)?;
        Ok(Properties {
            format_version: head.format_version(),
            count: index.len() as u64,
            next_id: head.next_id.max(index.next_id()),
            label_names: head.label_names,
        })
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        self.check_writable()?;
        let _lock = self.folder.lock(LOCK, self.patience)?;
        let mut head = PinakoJson::read(&self.folder)?;
        check_label_names(&head.label_names, before)?;
        head.label_names = names.to_vec();
        head.write(&self.folder)
    }

    fn footprint(&self) -> Result<Footprint> {
        let payload_bytes = self.index()?.payload_bytes();
        let mut disk_bytes = 0;
        self.folder.each_name(|name| {
            match self.folder.stat(name) {
                Ok(stat) => disk_bytes += stat.st_blocks as u64 * 512,
                // Removed meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.folder.cannot("look at", name, error)),
            }
            Ok(())
        })?;
        Ok(Footprint { disk_bytes, payload_bytes })
    }

    fn io_hints(&self) -> IoHints {
        IO_HINTS
    }

    fn compact(&self) -> Result<()> {
        self.check_writable()?;
        let _lock = self.folder.lock(LOCK, self.patience)?;
        self.settle()?;
        let mut files = Vec::new();
        self.folder.each_name(|name| {
            files.extend(id_in_file_name(name).map(|id| (id, name.to_owned())));
            Ok(())
        })?;
        let mut leftovers: Vec<&str> = Vec::new();
        for files in files.chunks(CHUNK) {
            self.index()?.look_up(files.iter().map(|(id, _)| *id)).each(&self.folder, |place, line| {
                let name = &*files[place].1;
                if line.is_none_or(|line| line.file_name != name) {
                    leftovers.push(name);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        for name in leftovers.into_iter().chain([&*aside(METADATA), &*aside(PINAKO_JSON), &*aside(MARK.name)]) {
            self.folder.unlink(name).map_err(|error| self.folder.cannot("remove", name, error))?;
        }
        Ok(())
    }

    fn vacuum(&self, _keep: Duration, _rehearsal: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }

    fn sync(&self) -> Result<()> {
        if self.read_only || PinakoJson::read(&self.folder)?.unsynced.is_none() {
            return Ok(());
        }
        let _lock = self.folder.lock(LOCK, self.patience)?;
        self.settle().map(drop)
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// The id of the image whose file may have this name.
fn id_in_file_name(name: &str) -> Option<Id> {
    let (number, extension) = name.split_once('.')?;
    let id = number.parse().ok()?;
    let ours = extension == "raw" || ImageFormat::ALL.iter().any(|format| format.extension() == extension);
    (ours && file_name(id, extension) == name).then_some(id)
}
