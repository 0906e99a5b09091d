//! Images to parts: which go together in one file, and its writing.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::form::{self, Dataset, Element};
use super::part::{self, Form, PAYLOAD};
use super::syncs::{self, Steps, Syncs};
use crate::backend::{Entry, Payload, PayloadReader};
use crate::backends::folder::Folder;
use crate::backends::manifest::{Kind, Part, Piece, name_hash};
use crate::descriptor::{Descriptor, Encoding, Id, Layout, NO_LABEL, record};
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

/// How parts are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most bytes of payload in a file. A longer payload is cut into pieces.
    pub(super) payload_bytes: u64,
    /// Most images in a part.
    pub(super) images: usize,
    /// So many neighbours of one shape and sample type make a part of their own in a batch of several shapes.
    pub(super) run: usize,
}

impl Limits {
    pub(super) const USUAL: Limits = Limits { payload_bytes: 256 << 20, images: 1 << 18, run: 1024 };
}

/// Neighbours in a batch that become one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) entries: Range<usize>,
}

/// What the raw images of one array have in common.
type Array = (Shape, SampleType);

/// The array that an image could be in.
fn array_of(descriptor: &Descriptor) -> Option<Array> {
    let raw = descriptor.encoding == Encoding::Raw(Layout::Row);
    let whole = descriptor.payload_length == descriptor.image_bytes();
    (raw && whole).then_some((descriptor.shape, descriptor.sample_type))
}

/// Cuts a batch into parts: few, each as uniform as it can be, ids ascending.
pub(super) fn plan<'a>(descriptors: impl ExactSizeIterator<Item = &'a Descriptor>, limits: Limits) -> Vec<Section> {
    let total = descriptors.len();
    // Runs of neighbours that could be one array, with the bytes of each image.
    let mut runs: Vec<(Option<Array>, Range<usize>)> = Vec::new();
    let mut lengths = Vec::with_capacity(total);
    for (place, descriptor) in descriptors.enumerate() {
        lengths.push(descriptor.payload_length);
        let array = array_of(descriptor);
        match runs.last_mut() {
            Some((last, run)) if *last == array => run.end = place + 1,
            _ => runs.push((array, place..place + 1)),
        }
    }

    let mut wide: Vec<Section> = Vec::new();
    for (array, run) in runs {
        let kind = match array {
            Some(_) if run.len() >= limits.run || run.len() == total => Kind::Images,
            _ => Kind::Payloads,
        };
        match wide.last_mut() {
            Some(last) if last.kind == Kind::Payloads && kind == Kind::Payloads => last.entries.end = run.end,
            _ => wide.push(Section { kind, entries: run }),
        }
    }

    let mut sections: Vec<Section> = Vec::new();
    for Section { kind, entries } in wide {
        let mut room = 0;
        for place in entries {
            let length = lengths[place];
            if length > limits.payload_bytes {
                sections.push(Section { kind: Kind::Pieces, entries: place..place + 1 });
                room = 0;
                continue;
            }
            match sections.last_mut() {
                Some(last) if last.kind == kind && length <= room && last.entries.len() < limits.images => {
                    last.entries.end = place + 1;
                    room -= length;
                }
                _ => {
                    sections.push(Section { kind, entries: place..place + 1 });
                    room = limits.payload_bytes - length;
                }
            }
        }
    }
    sections
}

/// The file of the part or piece with this number.
pub(super) fn file_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.h5"))
}

/// Whether a file in the folder of parts has a name as [`file_of`] gives it.
pub(super) fn is_name_of_part(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let number: Option<u64> = stem.and_then(|stem| stem.parse().ok());
    number.is_some_and(|number| path == file_of(path.parent().unwrap_or(Path::new("")), number))
}

/// Writes parts, which no commit names yet.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    folder: &'a Path,
    limits: Limits,
    sync: bool,
    next: u64,
}

impl<'a> Writer<'a> {
    /// A writer of parts with numbers from `next` on. The caller is the store's only writer.
    pub(super) fn new(folder: &'a Path, limits: Limits, sync: bool, next: u64) -> Self {
        Writer { folder, limits, sync, next }
    }

    /// The number of the next part.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Writes the sections of `entries`, whose descriptors have their ids. Returns when all is on the disk, where the
    /// writer is one that syncs.
    pub(super) fn write(&mut self, entries: &mut [Entry<'_>], sections: &[Section]) -> Result<Vec<Part>> {
        let folder = self.folder;
        let (steps, queue) = syncs::queue();
        thread::scope(|scope| {
            let mut syncs = self.sync.then(|| Syncs::new(scope, steps, &queue));
            let mut parts = Vec::with_capacity(sections.len());
            for section in sections {
                let images = &mut entries[section.entries.clone()];
                let mut files = Files { folder, next: &mut self.next, syncs: syncs.as_mut() };
                parts.push(match section.kind {
                    Kind::Pieces => files.in_pieces(&mut images[0], self.limits.payload_bytes)?,
                    kind => files.part(kind, images)?,
                });
            }
            if let Some(syncs) = syncs {
                Folder::open(folder)?.sync_names()?;
                syncs.finish()?;
            }
            Ok(parts)
        })
    }
}

pub(super) fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::io(format!("cannot write {}", path.display()), error)
}

/// Writes files one after another.
struct Files<'a, 'scope, 'env> {
    folder: &'a Path,
    next: &'a mut u64,
    /// Where they are to be on the disk in the end.
    syncs: Option<&'a mut Syncs<'scope, 'env>>,
}

impl Files<'_, '_, '_> {
    /// Writes one file: `datasets` are filled by `fill` in their order. Gives its number and length.
    fn file(&mut self, datasets: &[Dataset], fill: impl FnOnce(&mut Output) -> Result<()>) -> Result<(u64, u64)> {
        let number = *self.next;
        let path = file_of(self.folder, number);
        let head = form::head(datasets)?;
        // What is there under this name was left behind by a writer that was killed: no commit names it.
        let file = File::create(&path).map_err(|error| cannot_write(&path, error))?;
        *self.next += 1;
        let file = Arc::new(file);
        let syncs = self.syncs.as_mut().map(|syncs| syncs.start());
        let mut output = Output { file, path, length: 0, syncs, told: 0 };
        output.put(&head)?;
        fill(&mut output)?;
        Ok((number, output.finish()))
    }

    /// Writes a part of `entries`, of kind images or payloads.
    fn part(&mut self, kind: Kind, entries: &mut [Entry<'_>]) -> Result<Part> {
        let payload_bytes = entries.iter().map(|entry| entry.descriptor.payload_length).sum();
        let form = match (kind, entries.first().and_then(|entry| array_of(&entry.descriptor))) {
            (Kind::Images, Some((shape, sample))) => Form::Images(shape, sample),
            _ => Form::Payloads(payload_bytes),
        };
        let mut rows = Rows::of(entries);
        let datasets = part::datasets(form, rows.count(), rows.records.len() as u64, rows.names.len() as u64);
        let (number, file_bytes) = self.file(&datasets, |output| {
            if output.payloads(entries)? {
                rows = Rows::of(entries);
            }
            if let Form::Payloads(_) = form {
                output.numbers(offsets(entries.iter().map(|entry| entry.descriptor.payload_length)))?;
            }
            output.rows(&rows)
        })?;
        Ok(rows.part(number, kind, payload_bytes, file_bytes))
    }

    /// Writes a payload in pieces, and the part that says what they are.
    fn in_pieces(&mut self, entry: &mut Entry<'_>, piece_bytes: u64) -> Result<Part> {
        let mut reader = entry.payload_reader();
        let mut pieces = Vec::new();
        while reader.remaining() > 0 {
            let length = reader.remaining().min(piece_bytes);
            let datasets = [Dataset::row(PAYLOAD, Element::Byte, length)];
            let (number, file_bytes) = self.file(&datasets, |output| output.stream(&mut reader, length))?;
            pieces.push(Piece { part: number, payload_bytes: length, file_bytes, head_bytes: 0 });
        }
        let checksum = reader.finish()?;
        if let Payload::Stream(_) = entry.payload {
            entry.descriptor.checksum = checksum;
        }
        let payload_bytes = entry.descriptor.payload_length;
        let rows = Rows::of(std::slice::from_ref(entry));
        let datasets = part::datasets(Form::Pieces, 1, rows.records.len() as u64, rows.names.len() as u64);
        let (number, file_bytes) = self.file(&datasets, |output| output.rows(&rows))?;
        Ok(Part { pieces, ..rows.part(number, Kind::Pieces, payload_bytes, file_bytes) })
    }
}

/// What is written of the images beside their payloads.
#[derive(Default)]
struct Rows {
    labels: Vec<i64>,
    ids: Vec<Id>,
    records: Vec<u8>,
    record_offsets: Vec<u64>,
    /// Hashes and rows, ascending.
    names: Vec<(u64, u64)>,
}

impl Rows {
    fn of(entries: &[Entry<'_>]) -> Self {
        let mut rows = Rows { record_offsets: vec![0], ..Rows::default() };
        for (row, Entry { descriptor, .. }) in entries.iter().enumerate() {
            rows.labels.push(descriptor.label.unwrap_or(NO_LABEL));
            rows.ids.push(descriptor.id);
            record::encode(descriptor.id, descriptor, &mut rows.records);
            rows.record_offsets.push(rows.records.len() as u64);
            rows.names.extend(descriptor.name.as_deref().map(|name| (name_hash(name), row as u64)));
        }
        rows.names.sort_unstable();
        rows
    }

    fn count(&self) -> u64 {
        self.ids.len() as u64
    }

    /// What a commit says of the part that was written.
    fn part(&self, part: u64, kind: Kind, payload_bytes: u64, file_bytes: u64) -> Part {
        Part {
            part,
            kind,
            first: self.ids.first().copied().unwrap_or(0),
            last: self.ids.last().copied().unwrap_or(0),
            count: self.count(),
            named: self.names.len() as u64,
            name_hashes: Part::few_hashes(&self.names),
            names: None,
            payload_bytes,
            file_bytes,
            head_bytes: 0,
            pieces: Vec::new(),
        }
    }
}

/// Where each of `lengths` begins, one after another, and where the last ends.
fn offsets(lengths: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    std::iter::once(0).chain(lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    }))
}

/// A file being written.
struct Output {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
    /// Where its steps go to be synced, and its length when the last one did.
    syncs: Option<Steps>,
    told: u64,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        (&*self.file).write_all(bytes).map_err(|error| cannot_write(&self.path, error))?;
        self.wrote(bytes.len());
        Ok(())
    }

    fn wrote(&mut self, bytes: usize) {
        /// Bytes that are worth a sync of their own.
        const STEP: u64 = 32 << 20;
        self.length += bytes as u64;
        if let Some(syncs) = self.syncs.as_ref().filter(|_| self.length - self.told >= STEP) {
            self.told = self.length;
            syncs.step(&self.file, &self.path);
        }
    }

    /// Hands over what was not synced yet; gives the file's length.
    fn finish(self) -> u64 {
        if let Some(syncs) = self.syncs {
            syncs.end(self.file, self.path);
        }
        self.length
    }

    fn numbers(&mut self, numbers: impl Iterator<Item = u64>) -> Result<()> {
        let mut bytes = Vec::new();
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.put(&bytes)
    }

    /// Writes all payloads, one after another; says whether that gave checksums to descriptors.
    fn payloads(&mut self, entries: &mut [Entry<'_>]) -> Result<bool> {
        /// Slices that the system takes at once.
        const AT_ONCE: usize = 1024;
        let mut summed = false;
        let mut slices = Vec::with_capacity(AT_ONCE.min(entries.len()));
        for entry in entries {
            if let Payload::Bytes(bytes) = entry.payload {
                slices.push(IoSlice::new(bytes));
                if slices.len() == AT_ONCE {
                    self.put_all(&mut slices)?;
                }
                continue;
            }
            self.put_all(&mut slices)?;
            let id = entry.descriptor.id;
            let length = entry.descriptor.payload_length;
            let mut reader = entry.payload_reader();
            self.stream(&mut reader, length)?;
            entry.descriptor.checksum = reader.finish().map_err(|error| error.at_id(id))?;
            summed = true;
        }
        self.put_all(&mut slices)?;
        Ok(summed)
    }

    fn put_all(&mut self, slices: &mut Vec<IoSlice<'_>>) -> Result<()> {
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match (&*self.file).write_vectored(rest) {
                Ok(0) => return Err(cannot_write(&self.path, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    IoSlice::advance_slices(&mut rest, count);
                    self.wrote(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_write(&self.path, error)),
            }
        }
        slices.clear();
        Ok(())
    }

    /// Writes the next `length` bytes of a payload that is read as it is written.
    fn stream(&mut self, reader: &mut PayloadReader<'_>, length: u64) -> Result<()> {
        const AT_ONCE: u64 = 1 << 20;
        let mut buffer = vec![0; length.min(AT_ONCE) as usize];
        let mut left = length;
        while left > 0 {
            let piece = &mut buffer[..left.min(AT_ONCE) as usize];
            reader.fill(piece)?;
            self.put(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// Writes the datasets that follow the payloads.
    fn rows(&mut self, rows: &Rows) -> Result<()> {
        self.numbers(rows.labels.iter().map(|label| label.cast_unsigned()))?;
        self.numbers(rows.ids.iter().copied())?;
        self.numbers(rows.record_offsets.iter().copied())?;
        self.put(&rows.records)?;
        self.numbers(rows.names.iter().map(|&(hash, _)| hash))?;
        self.numbers(rows.names.iter().map(|&(_, row)| row))
    }
}
