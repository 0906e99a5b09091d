//! What is kept in memory of `metadata.jsonl`: where each image's line begins, and which names there are.
//!
//! Lines are only ever appended, or the file is replaced as a whole, so that to be fresh is to compare the file's inode
//! and length and to read what is new. A file that ends before what was committed is refused. An image takes 16 bytes
//! here, and some 10 more where it has a name; the lines themselves are read when they are asked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

use rustix::fs::Stat;

use super::images;
use super::line::{Line, MAX_LINE, file_name};
use super::lookup::Lookup;
use super::pinako_json::{PinakoJson, Unsynced};
use crate::backends::folder::Folder;
use crate::backends::mark::Mark;
use crate::descriptor::Id;
use crate::error::{Error, ErrorKind, Result};

/// The file with a line for each image.
pub(super) const METADATA: &str = "metadata.jsonl";

/// Says how far it reaches at least: one more than the id of its last image.
pub(super) const MARK: Mark = Mark { name: "metadata.end", of: METADATA };

/// Bytes that are read of it at once.
const PIECE: usize = 1 << 20;

pub(super) struct Index {
    /// Kept open: while it is, its inode's number cannot become another file's.
    file: Arc<File>,
    inode: (u64, u64),
    /// In ascending order of ids and offsets.
    lines: Vec<LineStart>,
    /// Where the last whole batch ends: what is beyond does not count.
    end: u64,
    /// The file's length when it was last looked at.
    seen: u64,
    /// The hash of each name and the place of its image in `lines`.
    names: BTreeSet<(u32, u32)>,
    hasher: RandomState,
    payload_bytes: u64,
    /// From this byte on a batch counts only if all of its files are as its lines say: the machine went down before
    /// they were synced.
    doubtful_from: Option<u64>,
}

struct LineStart {
    id: Id,
    offset: u64,
}

/// What the index takes of a line.
struct Entry {
    id: Id,
    bytes: u64,
    payload_length: u64,
    name: Option<u32>,
    ends_batch: bool,
}

impl Index {
    /// Reads the whole file.
    ///
    /// # Errors
    /// `Corrupt` where it is damaged, or ends before the mark.
    pub(super) fn load(folder: &Folder) -> Result<Index> {
        let mut before: Option<(Option<Id>, Index)> = None;
        loop {
            // Before the file: what was committed when the mark was read is in it then.
            let mark = MARK.read(folder)?;
            let index = Index::load_to(folder, mark)?;
            if index.reaches(mark) {
                return Ok(index);
            }
            // Unless a removal lowered the mark and replaced the file in between: then the two differ the next time.
            match before {
                Some((last_mark, last)) if (last_mark, last.inode) == (mark, index.inode) && last.end == index.end => {
                    return Err(index.was_cut(folder, mark));
                }
                _ => before = Some((mark, index)),
            }
        }
    }

    fn load_to(folder: &Folder, mark: Option<Id>) -> Result<Index> {
        let unsynced = PinakoJson::read(folder)?.unsynced;
        let file = folder.open_file(METADATA).map_err(|error| missing(folder, error))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| folder.cannot("read", METADATA, error))?;
        let mut index = Index {
            file: Arc::new(file),
            inode: inode(&stat),
            lines: Vec::new(),
            end: 0,
            seen: 0,
            names: BTreeSet::new(),
            hasher: RandomState::new(),
            payload_bytes: 0,
            doubtful_from: unsynced.filter(Unsynced::is_in_doubt).map(|unsynced| unsynced.from),
        };
        index.read_on(folder, mark)?;
        index.lines.shrink_to_fit();
        Ok(index)
    }

    /// Whether the file, as `stat` has it, is as it was when it was last looked at.
    pub(super) fn is_current(&self, stat: &Stat) -> bool {
        // A batch that was torn may have been replaced by another that is just as long.
        inode(stat) == self.inode && stat.st_size as u64 == self.seen && self.seen == self.end
    }

    /// Takes in what was written since.
    pub(super) fn refresh(&mut self, folder: &Folder) -> Result<()> {
        let mark = MARK.read(folder)?;
        let stat = folder.stat(METADATA).map_err(|error| missing(folder, error))?;
        if self.is_current(&stat) {
            return Ok(());
        }
        // A tail that changed while it was read may look damaged, so that counts only if the whole file is.
        if inode(&stat) != self.inode || self.read_on(folder, mark).is_err() || !self.reaches(mark) {
            *self = Index::load(folder)?;
        }
        Ok(())
    }

    /// Whether all that the mark speaks of is there.
    fn reaches(&self, mark: Option<Id>) -> bool {
        // Where there is doubt, the mark may have reached the disk before the lines did.
        self.doubtful_from.is_some() || mark.is_none_or(|mark| self.next_id() >= mark)
    }

    fn was_cut(&self, folder: &Folder, mark: Option<Id>) -> Error {
        let has = match self.lines.last() {
            Some(last) => format!("its last whole batch ends at byte {} with image {}", self.end, last.id),
            None => "it has no whole batch".to_owned(),
        };
        let last = mark.unwrap_or_default().saturating_sub(1);
        let lost = file_name(self.next_id(), "*");
        Error::corrupt(format!("{} was cut: {has}, but image {last} was stored", folder.path_of(METADATA).display()))
            .with_hint(format!(
                "restore it from a copy; or, to go on with what is left, move the image files from {lost} on elsewhere \
                 and remove {}",
                MARK.name
            ))
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of all payloads.
    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// One more than the largest id.
    pub(super) fn next_id(&self) -> Id {
        self.lines.last().map_or(0, |last| last.id + 1)
    }

    /// Where the last whole batch ends, and where the file does.
    pub(super) fn ends(&self) -> (u64, u64) {
        (self.end, self.seen)
    }

    /// Takes note that all there is was synced.
    pub(super) fn trust(&mut self) {
        self.doubtful_from = None;
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.place(id).is_some()
    }

    pub(super) fn place(&self, id: Id) -> Option<usize> {
        self.lines.binary_search_by_key(&id, |line| line.id).ok()
    }

    /// The lines of `ids`.
    pub(super) fn look_up(&self, ids: impl IntoIterator<Item = Id>) -> Lookup {
        let mut lookup = Lookup::new(self.file.clone());
        for (place, id) in ids.into_iter().enumerate() {
            match self.place(id) {
                Some(line) => lookup.add(place, self.offset(line), self.offset(line + 1)),
                None => lookup.add_missing(place),
            }
        }
        lookup
    }

    /// The lines of up to `count` images from id `first` on, and the id to go on with.
    pub(super) fn look_up_from(&self, first: Id, count: usize) -> (Lookup, Option<Id>) {
        let start = self.lines.partition_point(|line| line.id < first);
        let end = self.lines.len().min(start.saturating_add(count));
        let mut lookup = Lookup::new(self.file.clone());
        for line in start..end {
            lookup.add(line - start, self.offset(line), self.offset(line + 1));
        }
        (lookup, self.lines.get(end).map(|line| line.id))
    }

    /// The lines of all images that may be called `name`.
    pub(super) fn look_up_name(&self, name: &str) -> Lookup {
        let hash = self.hash(name);
        let mut lookup = Lookup::new(self.file.clone());
        for (place, &(_, line)) in self.names.range((hash, 0)..=(hash, u32::MAX)).enumerate() {
            lookup.add(place, self.offset(line as usize), self.offset(line as usize + 1));
        }
        lookup
    }

    /// The stretches of the file that are left without the lines at these places, which ascend.
    pub(super) fn stretches_without(&self, places: &[usize]) -> Vec<std::ops::Range<u64>> {
        let mut stretches = Vec::new();
        let mut start = 0;
        for &place in places {
            if start < self.offset(place) {
                stretches.push(start..self.offset(place));
            }
            start = self.offset(place + 1);
        }
        if start < self.end {
            stretches.push(start..self.end);
        }
        stretches
    }

    /// The last place that is left without these, which ascend.
    pub(super) fn last_without(&self, places: &[usize]) -> Option<usize> {
        let gone =
            places.iter().rev().zip((0..self.lines.len()).rev()).take_while(|&(&gone, last)| gone == last).count();
        (self.lines.len() - gone).checked_sub(1)
    }

    /// One more than the largest id that is left without the lines at these places, which ascend.
    pub(super) fn next_id_without(&self, places: &[usize]) -> Id {
        self.last_without(places).and_then(|place| self.lines.get(place)).map_or(0, |last| last.id + 1)
    }

    /// Where the line at `place` begins; that of one after the last is the end.
    pub(super) fn offset(&self, place: usize) -> u64 {
        self.lines.get(place).map_or(self.end, |line| line.offset)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn hash(&self, name: &str) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    /// Takes in the whole batches from `end` on, which should reach the mark.
    fn read_on(&mut self, folder: &Folder, mark: Option<Id>) -> Result<()> {
        let stat = rustix::fs::fstat(&*self.file).map_err(|error| folder.cannot("read", METADATA, error))?;
        let length = stat.st_size as u64;
        if length < self.end {
            return Err(Error::corrupt(format!("{} became shorter", folder.path_of(METADATA).display())));
        }
        let mut names = Vec::new();
        let sound = self.doubtful_from.map_or(length, |from| length.min(from));
        let mut read = self.read_batches(folder, sound, false, &mut names);
        if let (Ok(()), Some(from)) = (&read, self.doubtful_from) {
            read = if self.end >= from {
                self.read_batches(folder, length, true, &mut names)
            } else {
                let path = folder.path_of(METADATA);
                Err(Error::corrupt(format!(
                    "{} was synced up to byte {from}, but has no batch that ends there",
                    path.display()
                )))
            };
        }
        if self.names.is_empty() {
            self.names = names.into_iter().collect();
        } else {
            self.names.extend(names);
        }
        // What ends before the mark is not current: it is looked at again.
        if read.is_ok() && self.reaches(mark) {
            self.seen = length;
        }
        read
    }

    /// Takes in the whole batches from `end` to `length`; where that is `doubtful`, to the first that is not sound.
    fn read_batches(
        &mut self,
        folder: &Folder,
        length: u64,
        doubtful: bool,
        names: &mut Vec<(u32, u32)>,
    ) -> Result<()> {
        // Lines whose batch did not end yet, and where to go on reading.
        let mut batch: Vec<Entry> = Vec::new();
        let mut hole = None;
        let mut offset = self.end;
        let mut piece = Vec::new();
        while offset < length {
            let left = piece.len();
            piece.resize(left + PIECE.min((length - offset) as usize), 0);
            let cannot = |error| folder.cannot("read", METADATA, error);
            self.file.read_exact_at(&mut piece[left..], offset).map_err(cannot)?;
            offset += (piece.len() - left) as u64;
            let whole = piece.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            for parsed in parse_lines(&piece[..whole], &self.hasher, doubtful.then_some(folder)) {
                let number = self.lines.len() + batch.len() + 1;
                let at_line =
                    |error: Error| error.context(format!("{}, line {number}", folder.path_of(METADATA).display()));
                match parsed {
                    Ok(entry) => {
                        if entry.ends_batch
                            && let Some(hole) = hole.take()
                        {
                            return Err(hole);
                        }
                        let least = batch.last().map_or(self.next_id(), |last| last.id + 1);
                        if entry.id < least || entry.id == Id::MAX {
                            let found = entry.id;
                            return Err(at_line(Error::corrupt(format!(
                                "its id is {found}, which must be {least} at least: ids ascend"
                            ))));
                        }
                        let ends_batch = entry.ends_batch;
                        batch.push(entry);
                        if ends_batch {
                            self.take_batch(&mut batch, names).map_err(at_line)?;
                        }
                    }
                    // What merely cannot be read just now is not to be taken for lost.
                    Err((error, _)) if doubtful && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                        return Ok(());
                    }
                    // Where the machine went down before a batch was synced, what did not reach the disk reads as
                    // zeros. That is no damage unless a later batch stands on it.
                    Err((error, true)) if hole.is_none() => hole = Some(at_line(error)),
                    Err(_) if hole.is_some() => {}
                    Err((error, _)) => return Err(at_line(error)),
                }
            }
            piece.drain(..whole);
            if piece.len() > MAX_LINE {
                let number = self.lines.len() + batch.len() + 1;
                let path = folder.path_of(METADATA);
                let error = Error::corrupt(format!("{}, line {number}: more than {MAX_LINE} bytes", path.display()));
                if !piece.contains(&0) {
                    return Err(error);
                }
                hole.get_or_insert(error);
                piece.clear();
            }
        }
        Ok(())
    }

    /// Takes in a whole batch, which stands at `end`.
    fn take_batch(&mut self, batch: &mut Vec<Entry>, names: &mut Vec<(u32, u32)>) -> Result<()> {
        for entry in batch.drain(..) {
            let place = u32::try_from(self.lines.len())
                .map_err(|_| Error::unsupported("a folder with more than 2^32 images"))?;
            self.payload_bytes = self
                .payload_bytes
                .checked_add(entry.payload_length)
                .ok_or_else(|| Error::corrupt("the payloads have more than 2^64 bytes"))?;
            self.lines.push(LineStart { id: entry.id, offset: self.end });
            self.end += entry.bytes;
            names.extend(entry.name.map(|hash| (hash, place)));
        }
        Ok(())
    }
}

/// Parses whole lines; of one that is damaged, says whether it has a zero byte. Where a folder is `doubted`, a line is
/// damaged too where its file is.
///
/// On threads of its own, not rayon's: the caller holds locks, and a thread of rayon's that waits takes up other work,
/// which may want the same locks.
fn parse_lines(lines: &[u8], hasher: &RandomState, doubted: Option<&Folder>) -> Vec<Result<Entry, (Error, bool)>> {
    let parse = |lines: &[u8]| -> Vec<_> {
        lines.split_inclusive(|&byte| byte == b'\n').map(|line| parse_line(line, hasher, doubted)).collect()
    };
    if lines.len() < PIECE / 16 {
        return parse(lines);
    }
    let (_, half) = lines.split_at(lines.len() / 2);
    let rest_of_line = half.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (head, tail) = lines.split_at(lines.len() / 2 + rest_of_line);
    thread::scope(|scope| {
        let tail = scope.spawn(|| parse(tail));
        let mut parsed = parse(head);
        parsed.extend(tail.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        parsed
    })
}

fn parse_line(line: &[u8], hasher: &RandomState, doubted: Option<&Folder>) -> Result<Entry, (Error, bool)> {
    let parse = || {
        let parsed = Line::parse(line)?;
        let descriptor = parsed.descriptor()?;
        if let Some(folder) = doubted {
            images::check_file(folder, &parsed)?;
        }
        Ok(Entry {
            id: descriptor.id,
            bytes: line.len() as u64,
            payload_length: descriptor.payload_length,
            name: descriptor.name.map(|name| hasher.hash_one(&*name) as u32),
            ends_batch: parsed.ends_batch,
        })
    };
    parse().map_err(|error: Error| (error, line.contains(&0)))
}

/// Tells a file from another that stands in its place.
pub(super) fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn missing(folder: &Folder, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::corrupt(format!("{} is missing", folder.path_of(METADATA).display()))
            .with_hint("it says what the images are: without it they are but files; restore it from a copy");
    }
    folder.cannot("read", METADATA, error)
}
