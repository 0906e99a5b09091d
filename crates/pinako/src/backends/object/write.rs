//! Images to parts: which go together in one object, and putting those.
//!
//! Objects go up while the next ones are made, as many as a bounded memory takes. What is put is not there before a
//! manifest names it, and its ids are not known before: a part says only how far an image's id is from its first's.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::PutPayload;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::head::Head;
use super::manifests::Moment;
use super::objects::{Objects, Put};
use super::part::{self, File};
use super::view::broken_off;
use crate::backend::{Entry, Payload};
use crate::backends::manifest::{Kind, Part, Piece, name_hash};
use crate::backends::random;
use crate::backends::runtime::{handle, wait_for};
use crate::descriptor::{Descriptor, Id};
use crate::error::{Error, ErrorKind, Result};

/// How parts are cut, and how soon they are named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most bytes of payloads, names and attributes in a part. A payload that is longer is cut into pieces.
    pub(super) part_bytes: u64,
    /// Bytes of a piece.
    pub(super) piece_bytes: u64,
    /// Most images in a part.
    pub(super) images: usize,
    /// How long after the first of its parts is put a change may still name them. Beyond that a vacuum may be about to
    /// delete them, and to look whether they are there would not tell.
    pub(super) naming: Duration,
}

impl Limits {
    /// Several parts go up at once, on a connection each: of what an import stores at once, four.
    pub(super) const USUAL: Limits =
        Limits { part_bytes: 32 << 20, piece_bytes: 16 << 20, images: 1 << 16, naming: NAMING };

    /// Checks that parts, of which the first was put after `begun`, may still be named.
    pub(super) fn check_in_time(self, begun: Moment) -> Result<()> {
        if !begun.is_before(self.naming) {
            return Ok(());
        }
        let message = format!("after {} minutes what was put may be vacuumed any moment", self.naming.as_secs() / 60);
        Err(Error::new(ErrorKind::Backend, message).with_hint("append fewer images at once"))
    }
}

/// See [`Limits::naming`]. What is left of the time for which vacuums spare what no manifest names is for the manifest's
/// own way.
pub(super) const NAMING: Duration = Duration::from_secs(45 * 60);

/// Most bytes of objects that are on their way at once. One that is longer goes alone.
const IN_FLIGHT: usize = 128 << 20;

/// Cuts a batch into parts, each of neighbours.
pub(super) fn cut<'a>(descriptors: impl Iterator<Item = &'a Descriptor>, limits: Limits) -> Vec<Range<usize>> {
    let mut sections: Vec<Range<usize>> = Vec::new();
    let mut room = 0;
    for (place, descriptor) in descriptors.enumerate() {
        let text = descriptor.attributes.as_ref().map_or(0, |attributes| attributes.as_str().len())
            + descriptor.name.as_ref().map_or(0, String::len);
        let bytes = descriptor.payload_length.saturating_add(text as u64);
        match sections.last_mut() {
            Some(last) if bytes <= room && last.len() < limits.images => {
                last.end = place + 1;
                room -= bytes;
            }
            _ => {
                sections.push(place..place + 1);
                room = if is_in_pieces(descriptor, limits) { 0 } else { limits.part_bytes.saturating_sub(bytes) };
            }
        }
    }
    sections
}

fn is_in_pieces(descriptor: &Descriptor, limits: Limits) -> bool {
    descriptor.payload_length > limits.part_bytes
}

/// A part that is put, whose ids are given when a manifest names it.
#[derive(Debug)]
pub(super) struct Written {
    /// As if the batch's first image had the id 0.
    pub(super) part: Part,
    /// What stands before its payloads.
    pub(super) head: Bytes,
}

/// Puts objects.
#[derive(Debug)]
pub(super) struct Writer {
    objects: Arc<Objects>,
    limits: Limits,
    room: Arc<Semaphore>,
    /// Each gives the place of its object among all, and its number.
    tasks: JoinSet<Result<(usize, u64)>>,
    begun: usize,
    numbers: Vec<(usize, u64)>,
    since: Moment,
}

impl Writer {
    pub(super) fn new(objects: &Arc<Objects>, limits: Limits) -> Self {
        Writer {
            objects: Arc::clone(objects),
            limits,
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
            tasks: JoinSet::new(),
            begun: 0,
            numbers: Vec::new(),
            since: Moment::now(),
        }
    }

    /// Puts all of `entries`. Of those that go together, the ids are as far from the first's as `offset` says.
    ///
    /// What was put when it failed is deleted again, as far as that succeeds.
    pub(super) fn write(mut self, entries: &mut [Entry<'_>], offset: impl Fn(usize) -> Id) -> Result<Vec<Written>> {
        let written = self.put_all(entries, offset).and_then(|drafts| {
            self.wait()?;
            Ok(drafts)
        });
        match written {
            Ok(mut drafts) => {
                let mut numbers = std::mem::take(&mut self.numbers);
                numbers.sort_unstable();
                for Written { part, .. } in &mut drafts {
                    let number = |place: u64| numbers.get(place as usize).map_or(place, |&(_, number)| number);
                    part.part = number(part.part);
                    part.pieces.iter_mut().for_each(|piece| piece.part = number(piece.part));
                }
                Ok(drafts)
            }
            Err(error) => {
                // Where the server says nothing any more, what was put is left for a vacuum.
                if error.kind() != ErrorKind::Transient {
                    self.take_back();
                }
                Err(error)
            }
        }
    }

    /// Begins to put all; parts have the places of their objects instead of numbers.
    fn put_all(&mut self, entries: &mut [Entry<'_>], offset: impl Fn(usize) -> Id) -> Result<Vec<Written>> {
        let mut drafts = Vec::new();
        for section in cut(entries.iter().map(|entry| &entry.descriptor), self.limits) {
            let first = offset(section.start);
            let offsets: Vec<Id> = section.clone().map(|place| offset(place) - first).collect();
            let images = &mut entries[section.clone()];
            let mut pieces = Vec::new();
            let payloads = match &mut *images {
                [one] if is_in_pieces(&one.descriptor, self.limits) => {
                    pieces = self.put_pieces(one)?;
                    None
                }
                images => Some(gather(images)?),
            };
            let rows: Vec<(Id, &Descriptor)> =
                offsets.iter().copied().zip(images.iter().map(|entry| &entry.descriptor)).collect();
            let file = part::part(&rows, payloads)?;
            let head = file.head();
            let (place, file_bytes, head_bytes) = self.put(file)?;
            let names: Vec<(u64, u64)> =
                rows.iter().filter_map(|(_, row)| Some((name_hash(row.name.as_deref()?), 0))).collect();
            let mut part = Part {
                part: place as u64,
                kind: if pieces.is_empty() { Kind::Payloads } else { Kind::Pieces },
                first,
                last: first + offsets.last().copied().unwrap_or(0),
                count: rows.len() as u64,
                named: names.len() as u64,
                name_hashes: Part::few_hashes(&names),
                names: None,
                payload_bytes: rows.iter().map(|(_, row)| row.payload_length).sum(),
                file_bytes,
                head_bytes,
                pieces,
            };
            if part.has_many_names() {
                part.names = Some(Head::open(head.clone(), &part)?.name_column());
            }
            drafts.push(Written { part, head });
        }
        Ok(drafts)
    }

    /// Puts the pieces of a payload as it is read.
    fn put_pieces(&mut self, entry: &mut Entry<'_>) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut reader = entry.payload_reader();
        while reader.remaining() > 0 {
            let length = reader.remaining().min(self.limits.piece_bytes);
            let mut bytes = vec![0; length as usize];
            reader.fill(&mut bytes)?;
            let (place, file_bytes, head_bytes) = self.put(part::piece(bytes)?)?;
            pieces.push(Piece { part: place as u64, payload_bytes: length, file_bytes, head_bytes });
        }
        let checksum = reader.finish()?;
        if let Payload::Stream(_) = entry.payload {
            entry.descriptor.checksum = checksum;
        }
        Ok(pieces)
    }

    /// Begins to put a file, once there is room for it. Gives its place among all, its length, and its head's.
    fn put(&mut self, file: File) -> Result<(usize, u64, u64)> {
        self.limits.check_in_time(self.since)?;
        while let Some(done) = self.tasks.try_join_next() {
            self.take(done)?;
        }
        let bytes = u32::try_from(file.file_bytes).unwrap_or(u32::MAX).min(IN_FLIGHT as u32);
        let room = Arc::clone(&self.room);
        let taken = wait_for(async { Ok(room.acquire_many_owned(bytes).await.ok()) })?;
        let (objects, payload, place) = (Arc::clone(&self.objects), file.payload(), self.begun);
        let put = async move {
            let number = put_anywhere(&objects, payload).await?;
            drop(taken);
            Ok((place, number))
        };
        self.tasks.spawn_on(put, &handle()?);
        self.begun += 1;
        Ok((place, file.file_bytes, file.head_bytes))
    }

    fn take(&mut self, done: Result<Result<(usize, u64)>, JoinError>) -> Result<()> {
        self.numbers.push(done.map_err(broken_off)??);
        Ok(())
    }

    /// Waits until all is put.
    fn wait(&mut self) -> Result<()> {
        wait_for(async {
            while let Some(done) = self.tasks.join_next().await {
                self.take(done)?;
            }
            Ok(())
        })
    }

    /// Deletes what was put for nothing.
    fn take_back(mut self) {
        let ended = wait_for(async {
            while let Some(done) = self.tasks.join_next().await {
                self.numbers.extend(done.ok().and_then(Result::ok));
            }
            Ok(())
        });
        if ended.is_ok() {
            delete(&self.objects, self.numbers.iter().map(|&(_, number)| number));
        }
    }
}

/// Deletes parts and pieces that no manifest names, as far as that succeeds: a vacuum finds the others.
pub(super) fn delete(objects: &Objects, numbers: impl Iterator<Item = u64> + Send) {
    let deletions = numbers.map(|number| async move { objects.delete(&objects.part(number)).await });
    let _ = wait_for(async { Ok(futures_util::future::join_all(deletions).await) });
}

/// Puts a part or piece under a number that nothing has yet. Where something has it, that may be what was put just now,
/// by a request whose answer was lost; then it is left over.
async fn put_anywhere(objects: &Objects, payload: PutPayload) -> Result<u64> {
    /// Numbers that every JSON reader holds.
    const BITS: u32 = 53;
    /// A server that takes none of so many never will.
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let number = random::number()? >> (u64::BITS - BITS);
        if objects.put(&objects.part(number), payload.clone()).await? == Put::Done {
            return Ok(number);
        }
    }
    Err(Error::new(ErrorKind::Backend, format!("cannot write to {}", objects.parts()))
        .with_source(format!("the server said of {TRIES} new objects that they are there already"))
        .with_hint("this server may not know the put that never replaces an object"))
}

/// The payloads of `entries`, one after another; those that are streams get their checksums.
fn gather(entries: &mut [Entry<'_>]) -> Result<Vec<u8>> {
    let total: u64 = entries.iter().map(|entry| entry.descriptor.payload_length).sum();
    let mut payloads = Vec::with_capacity(total as usize);
    for entry in entries {
        if let Payload::Bytes(bytes) = entry.payload {
            payloads.extend_from_slice(bytes);
            continue;
        }
        let start = payloads.len();
        payloads.resize(start + entry.descriptor.payload_length as usize, 0);
        let mut reader = entry.payload_reader();
        reader.fill(&mut payloads[start..])?;
        entry.descriptor.checksum = reader.finish()?;
    }
    Ok(payloads)
}
