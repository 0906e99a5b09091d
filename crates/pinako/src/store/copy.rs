//! Copying one store into another: payloads go over as they are, nothing is decoded. The path of a linked file is
//! written anew, so that it leads to the same file from where the copy is; whether there still is one is `verify`'s
//! question, of the copy as of the store itself.
//!
//! The next batch is read while the last one is written. A payload too large for a batch goes over in pieces.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rayon::prelude::*;

use super::append::{Prepared, PreparedPayload};
use super::incoming::{Incoming, Intake};
use super::labels::LabelMap;
use super::read::{CHUNK, check_sum};
use super::watched::{Portion, interrupted};
use super::{Progress, Store, Watch, Watched};
use crate::backend::ReadRequest;
use crate::checksum;
use crate::descriptor::{Descriptor, Encoding, Id};
use crate::encoding;
use crate::error::{Error, Result};

/// Bytes of payload a batch; a larger payload goes over by itself. Two batches are in memory at a time, and some
/// backends hold as much again until they commit.
pub(crate) const BATCH_BYTES: u64 = 16 << 20;
/// Images a batch: what even files, one by one, take no more than a second or so for.
const BATCH_IMAGES: usize = 8 << 10;
/// How many times as much goes at once to or from a server far away, where each batch costs some round trips, and one
/// connection moves less than several.
const FAR: usize = 8;
/// Bytes of a large payload that are read at once.
const PIECE: u64 = 4 << 20;

/// What a copy did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Images copied.
    pub images: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
    /// Images that were there already: an earlier copy, or another one at work, had brought them over.
    pub present: u64,
}

impl Store {
    /// Most images and bytes of payload that an import or a copy puts into this store, or takes out of it, at once: as
    /// many as make what a batch costs by itself small beside them. It is a good size for appends of one's own, too.
    pub fn batch(&self) -> (usize, u64) {
        let times = if self.is_far() { FAR } else { 1 };
        (BATCH_IMAGES * times, BATCH_BYTES * times as u64)
    }

    /// Copies all images into `to`, which gives them new ids in the same order. Names, labels, attributes and payloads
    /// stay as they are; label names are matched by name. A linked image is linked to the same file, be it there or
    /// not.
    ///
    /// Where all that `to` holds is what a copy of this store would have put there first, only the rest is copied: a
    /// copy that was interrupted goes on where it was. Elsewhere an image is known again by its name, and not copied
    /// twice.
    ///
    /// # Errors
    /// `Conflict` where another image has a name in `to`; `Interrupted` where the watch says so; what is read and
    /// written may fail. Whole batches that were copied before stay.
    pub fn copy_to(&self, to: &Store, watch: &mut Watch<'_>) -> Result<Copied> {
        let labels = to.merge_label_names(&self.label_names()?)?;
        let total = self.count()?;
        let present = self.copied_before(to, &labels.map)?;
        let mut intake = Intake { store: to, labels, looks_up: to.count()? > present };
        let start = Progress { images: present, total: Some(total), ..Progress::default() };
        Watched::run(watch, start, |watched| {
            let mut copied = Copied { present, ..Copied::default() };
            std::thread::scope(|scope| {
                let (send, receive) = sync_channel(0); // the next batch waits where it was read
                let (ours, theirs) = (self.batch(), to.batch());
                let batch = (ours.0.max(theirs.0), ours.1.max(theirs.1));
                let reader = scope.spawn(move || self.send_batches(present, batch, watched, &send));
                let written = write_batches(self, &mut intake, watched, receive, &mut copied);
                let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                match watched.is_stopped() {
                    true => Err(interrupted(present + copied.images)), // whatever else came of it
                    false => written.and(read),
                }
            })?;
            to.save_label_names(&mut intake.labels)?;
            if total == 0 {
                to.set_label_names(&to.label_names()?)?; // which makes a store where there is none
            }
            Ok(copied)
        })
    }

    /// How many images `to` holds, if they are exactly the first ones of this store; else 0.
    fn copied_before(&self, to: &Store, labels: &LabelMap) -> Result<u64> {
        let mut ours = self.scan(0);
        let mut present = 0;
        for theirs in to.scan(0) {
            let theirs = theirs?;
            let Some(mut ours) = ours.next().transpose()? else { return Ok(0) };
            ours.id = theirs.id;
            ours.label = ours.label.map(|label| labels.map(label)).transpose()?;
            if let (Encoding::Linked(_), Encoding::Linked(_)) = (ours.encoding, theirs.encoding) {
                // The path is another one, seen from another folder.
                (ours.payload_length, ours.checksum) = (theirs.payload_length, theirs.checksum);
            }
            if ours != theirs {
                return Ok(0);
            }
            present += 1;
        }
        Ok(present)
    }

    /// Reads all images but the first `skip` and sends them on, batch by batch; ends when nobody listens or the watch
    /// says so.
    fn send_batches(
        &self,
        skip: u64,
        (most, most_bytes): (usize, u64),
        watched: &Watched<'_>,
        send: &SyncSender<Batch>,
    ) -> Result<()> {
        let mut ids: Vec<Id> = Vec::new();
        let mut bytes = 0;
        let mut skipped = 0;
        for descriptor in self.scan(0) {
            let descriptor = descriptor?;
            if watched.is_stopped() {
                return Ok(());
            }
            if skipped < skip {
                skipped += 1;
                continue;
            }
            let large = descriptor.payload_length > BATCH_BYTES;
            if large || bytes + descriptor.payload_length > most_bytes || ids.len() == most {
                bytes = 0;
                if !ids.is_empty() && send.send(self.read_batch(&std::mem::take(&mut ids))?).is_err() {
                    return Ok(());
                }
            }
            if large {
                if send.send(Batch::Large(descriptor)).is_err() {
                    return Ok(());
                }
            } else {
                bytes += descriptor.payload_length;
                ids.push(descriptor.id);
            }
        }
        if !ids.is_empty() {
            let _ = send.send(self.read_batch(&ids)?);
        }
        Ok(())
    }

    fn read_batch(&self, ids: &[Id]) -> Result<Batch> {
        let chunks = ids.par_chunks(self.chunk(ids.len(), CHUNK)).map(|ids| {
            let mut images = vec![None; ids.len()];
            self.fetch(ids, |place, descriptor, payload| {
                images[place] = Some((descriptor, payload.to_vec()));
                Ok(())
            })?;
            Ok(images)
        });
        let chunks: Vec<Vec<_>> = chunks.collect::<Result<_>>()?;
        Ok(Batch::Many(chunks.into_iter().flatten().flatten().collect()))
    }

    /// The payload of one image as a reader that holds a piece of it at a time. It checks the checksum whether or not
    /// the store does: where the payload goes, it gets one of its own.
    pub(super) fn payload_stream(&self, descriptor: &Descriptor) -> PayloadStream<'_> {
        PayloadStream {
            store: self,
            id: descriptor.id,
            length: descriptor.payload_length,
            checksum: descriptor.checksum,
            position: 0,
            piece: Vec::new(),
            taken: 0,
            sum: 0,
        }
    }
}

enum Batch {
    Many(Vec<(Descriptor, Vec<u8>)>),
    Large(Descriptor),
}

fn write_batches(
    from: &Store,
    intake: &mut Intake<'_>,
    watched: &Watched<'_>,
    receive: Receiver<Batch>,
    copied: &mut Copied,
) -> Result<()> {
    let (to, labels) = (intake.store, intake.labels.map.clone());
    let mut append = |mut images: Vec<Incoming<'_>>| -> Result<()> {
        copied.present += intake.append(&mut images)?;
        copied.images += images.len() as u64;
        copied.bytes += images.iter().map(Incoming::bytes).sum::<u64>();
        Ok(())
    };
    for batch in receive {
        match batch {
            Batch::Many(images) => {
                let count = images.len() as u64;
                let bytes = images.iter().map(|(_, payload)| payload.len() as u64).sum();
                let images = images.into_iter().map(|(descriptor, payload)| {
                    let payload = PreparedPayload::Bytes(Cow::Owned(payload));
                    moved(from, to, &labels, Prepared { descriptor, payload })
                });
                append(images.collect::<Result<_>>()?)?;
                watched.add(count, bytes);
            }
            Batch::Large(descriptor) => {
                let portion = watched.large(descriptor.payload_length);
                let mut stream = WatchedStream { stream: from.payload_stream(&descriptor), watched, portion };
                let payload = PreparedPayload::Stream(&mut stream);
                let image = moved(from, to, &labels, Prepared { descriptor, payload })?;
                append(vec![image])?;
                watched.add(1, 0);
            }
        }
        watched.go_on()?;
    }
    Ok(())
}

/// A large payload on its way: its bytes count as they come, and it ends where the watch says so.
struct WatchedStream<'a> {
    stream: PayloadStream<'a>,
    watched: &'a Watched<'a>,
    portion: Portion,
}

impl Read for WatchedStream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(out)?;
        self.watched.add(0, count as u64);
        self.portion.add(count as u64)?;
        Ok(count)
    }
}

/// What `prepared`, of the store `from`, is in the store `to`.
fn moved<'a>(from: &Store, to: &Store, labels: &LabelMap, mut prepared: Prepared<'a>) -> Result<Incoming<'a>> {
    let descriptor = &mut prepared.descriptor;
    let id = std::mem::take(&mut descriptor.id);
    let at = |error: Error| error.at_id(id).at_store(from.url());
    descriptor.label = descriptor.label.map(|label| labels.map(label)).transpose().map_err(|error| {
        at(error).with_hint("name the labels of the store that it comes from first, by set_label_names")
    })?;
    if let (Encoding::Linked(_), PreparedPayload::Bytes(payload)) = (descriptor.encoding, &mut prepared.payload) {
        let path = encoding::relink(payload, from.folder().map(|path| &**path), to.folder().map(|path| &**path))
            .map_err(at)?;
        descriptor.payload_length = path.len() as u64;
        descriptor.checksum = checksum::crc32c(path.as_bytes());
        *payload = Cow::Owned(path.into_bytes());
    }
    Ok(Incoming { prepared, origin: format!("{}: image {id}", from.url()) })
}

/// A payload read piece by piece; its end is an error where the checksum is not the descriptor's.
pub(super) struct PayloadStream<'a> {
    store: &'a Store,
    id: u64,
    length: u64,
    checksum: u32,
    /// Bytes asked of the backend so far.
    position: u64,
    piece: Vec<u8>,
    /// Bytes of the piece that were handed out.
    taken: usize,
    sum: u32,
}

impl PayloadStream<'_> {
    fn next_piece(&mut self) -> Result<()> {
        let piece = if self.store.is_far() { PIECE * FAR as u64 } else { PIECE };
        let end = self.length.min(self.position + piece);
        let request = ReadRequest::new(self.id, self.position..end);
        let piece = &mut self.piece;
        piece.clear();
        self.store.backend.read(&[request], &mut |_, bytes| {
            piece.extend_from_slice(bytes.ok_or_else(|| Error::not_found("it was removed meanwhile"))?);
            Ok(())
        })?;
        if self.piece.len() as u64 != end - self.position {
            return Err(Error::corrupt(format!("its payload ends before byte {end}")));
        }
        self.position = end;
        self.taken = 0;
        self.sum = checksum::crc32c_append(self.sum, &self.piece);
        if end == self.length { check_sum(self.checksum, self.sum) } else { Ok(()) }
    }
}

impl Read for PayloadStream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() && self.position < self.length {
            self.next_piece().map_err(|error| io::Error::other(self.store.here(error.at_id(self.id))))?;
        }
        let count = out.len().min(self.piece.len() - self.taken);
        out[..count].copy_from_slice(&self.piece[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
