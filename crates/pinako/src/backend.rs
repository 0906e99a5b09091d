//! The waist: what everything above asks of a place that keeps payloads, and all that it asks.
//!
//! The trait is synchronous, because most places block by nature; batch-first, because a place that does not (a
//! server) must see a whole batch to work on it at once; and it *pushes* borrowed bytes into a callback, because LMDB
//! and memory maps can then lend slices without a copy. A backend knows descriptors and bytes, never pixels, layouts
//! or plans. It is written for implementors: what users call is [`Store`](crate::Store).
//!
//! # The contract
//!
//! [`conformance`](crate::conformance) holds every sentence here; a backend that passes it is one.
//!
//! - **Commit.** What one [`append`](Backend::append) was given is there as a whole or not at all, whatever happens to
//!   the process or the machine, and once `append` has returned it stays. With [`Durability::Buffered`] a crash of the
//!   machine (not of the process) may undo the latest appends, latest first, until [`sync`](Backend::sync) returns.
//!   Where the disk fails to make a commit durable, an append is taken back, or is said to be in doubt (`Transient`) and
//!   may stay; a removal or a list of label names may stay, though the call was an error, and a crash of the machine may
//!   undo it.
//! - **Immutable.** An image never changes after it was appended; it can only be removed. Two calls about one id
//!   therefore agree, with no transaction around them, unless a removal came between.
//! - **Fresh.** A call sees every append and removal that returned before the call began, by this or any other
//!   handle, thread or process.
//! - **Shared.** Every method may be called from many threads at once. Writers exclude each other: a second one waits
//!   its turn for up to [`WRITER_PATIENCE`], unless its handle was opened with another, then gets a `Conflict` error
//!   and has changed nothing.
//! - **Callbacks.** A sink's error ends the call and is returned as it is. A sink must not call the backend.
//! - **Errors** name what they happened to; nothing that is read is believed before it is checked, and no input leads
//!   to a panic. After any error the handle stays usable.

use std::fmt;
use std::io::Read;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use crate::checksum;
use crate::descriptor::{Descriptor, Id};
use crate::error::{Error, Result};

/// How long a writer waits for another to finish, unless it was opened with another patience.
pub const WRITER_PATIENCE: Duration = Duration::from_secs(30);

/// A place that keeps payloads and their descriptors. The module's text is the contract.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Stores all `entries` or none and gives their ids, which ascend in the batch's order without a gap inside it. The
    /// first is the [`next_id`](Properties::next_id) of before. An empty batch changes nothing and gives an empty
    /// range.
    ///
    /// The entries' descriptors come with `id` 0, which means nothing yet. A descriptor whose payload is
    /// [`Payload::Stream`] comes with `checksum` 0: the backend counts the sum while it stores (see
    /// [`PayloadReader`]).
    ///
    /// # Errors
    /// `Conflict` where a name is taken, by an image in the store or earlier in the batch; `InvalidInput` where a
    /// payload has not as many bytes as its descriptor says; `Denied` on a store opened for reading only.
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>>;

    /// Pushes the descriptor and the whole payload of each of `ids` to `sink`, once, in any order, with its place in
    /// `ids`; `None` where there is no such image. The bytes live for the call of the sink only.
    ///
    /// This is how whole images are read: a place finds both at once for little more than one of them.
    ///
    /// # Errors
    /// `Corrupt` where bytes that the descriptor promises are not there, `InvalidInput` where they do not fit in
    /// memory. Checksums are not this method's business.
    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()>;

    /// Pushes each request's bytes to `sink`, once, in any order, with the request's place in `requests`. Where there
    /// is no such image, `None` is pushed. The bytes live for the call of the sink only.
    ///
    /// # Errors
    /// `InvalidInput` where a range ends beyond its payload (an empty range may lie at its end); `Corrupt` where bytes
    /// that the descriptor promises are not there. Checksums are not this method's business.
    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()>;

    /// Pushes the descriptor of each of `ids` to `sink`, once, in any order, with its place in `ids`; `None` where
    /// there is no such image.
    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()>;

    /// Pushes all descriptors with ids from `first` on, in ascending order, until the sink breaks off. What is appended
    /// or removed during the scan may or may not be seen.
    ///
    /// # Errors
    /// `Corrupt` where a descriptor is damaged, or what else the place says of an image disagrees with it.
    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()>;

    /// The ids of the images of those names, in the order asked; `None` where there is no such image.
    ///
    /// # Errors
    /// `Corrupt` where the place's list of names leads to an image that is not so named.
    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>>;

    /// Removes the images with these ids, all or none, and returns how many there were. An id that is not there, or
    /// stands in `ids` twice, is no error. A removed image's id is never given again, its name is free again.
    fn remove(&self, ids: &[Id]) -> Result<u64>;

    /// What the store says of itself.
    fn properties(&self) -> Result<Properties>;

    /// Replaces the list of label names, durably; where `before` is given, only if that is the list that there is.
    ///
    /// # Errors
    /// `Conflict` where it is another.
    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()>;

    /// What it takes on disk. May take time proportional to the number of files.
    fn footprint(&self) -> Result<Footprint>;

    /// First guesses at what reading costs here, for the planner.
    fn io_hints(&self) -> IoHints;

    /// Gives back the space of removed images and merges what many small appends left behind. Safe beside readers, who
    /// may have to wait, as for any slow answer; excludes writers. Ids, names and contents stay as they are.
    ///
    /// # Errors
    /// `Conflict`, and nothing has changed, where another process has the store open and files of this kind cannot be
    /// replaced under it; `Denied` on a store opened for reading only.
    fn compact(&self) -> Result<()>;

    /// Deletes what is there for nobody any more: what changes replaced longer than `keep` ago, which until then whoever
    /// began to read before may still need, and what writers left that were killed. Tells what went; a `rehearsal` only
    /// tells, by this machine's clock instead of a server's: it writes nothing. Safe beside readers and writers. A place where nothing is left over has nothing to do.
    ///
    /// # Errors
    /// `InvalidInput` where `keep` is too short for what may be at work; `Denied` on a store opened for reading only, but
    /// for a rehearsal.
    fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed>;

    /// Makes everything durable that was appended with [`Durability::Buffered`]; at once where there is nothing to do.
    fn sync(&self) -> Result<()>;

    /// What this handle has asked of a server since it was opened; nothing where there is no server.
    fn traffic(&self) -> Traffic;
}

/// One image to be appended.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its descriptor; `id` (and for a stream `checksum`) are still to be given.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub payload: Payload<'a>,
}

/// The bytes of an image to be appended.
pub enum Payload<'a> {
    /// All of them.
    Bytes(&'a [u8]),
    /// A reader that gives exactly the descriptor's `payload_length` bytes: for payloads larger than memory, which a
    /// backend must never gather.
    Stream(&'a mut (dyn Read + Send)),
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Payload::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Entry<'_> {
    /// Checks that the payload is as long as the descriptor says, as far as that can be known before it is read.
    ///
    /// # Errors
    /// `InvalidInput` where it is not.
    pub fn check_length(&self) -> Result<()> {
        match self.payload {
            Payload::Bytes(bytes) => check_payload_length(self.descriptor.payload_length, bytes.len() as u64),
            Payload::Stream(_) => Ok(()),
        }
    }

    /// A reader over the payload, of either kind.
    pub fn payload_reader(&mut self) -> PayloadReader<'_> {
        let length = self.descriptor.payload_length;
        match &mut self.payload {
            Payload::Bytes(bytes) => PayloadReader { inner: Inner::Bytes(bytes), length, taken: 0, checksum: 0 },
            Payload::Stream(reader) => {
                PayloadReader { inner: Inner::Stream(&mut **reader), length, taken: 0, checksum: 0 }
            }
        }
    }
}

fn check_payload_length(promised: u64, found: u64) -> Result<()> {
    if promised == found {
        return Ok(());
    }
    Err(Error::invalid(format!("the payload has {found} bytes, its descriptor says {promised}")))
}

/// Gives a payload's bytes in pieces and counts their number and checksum on the way, so that a backend can store what
/// it never holds as a whole.
pub struct PayloadReader<'a> {
    inner: Inner<'a>,
    length: u64,
    taken: u64,
    checksum: u32,
}

enum Inner<'a> {
    Bytes(&'a [u8]),
    Stream(&'a mut (dyn Read + Send)),
}

impl PayloadReader<'_> {
    /// Fills `piece` from where the last piece ended. The pieces' lengths must add up to the payload's length.
    ///
    /// # Errors
    /// `InvalidInput` where the payload ends before, or an error of the reader beneath.
    pub fn fill(&mut self, piece: &mut [u8]) -> Result<()> {
        let ends_early =
            |taken: u64| check_payload_length(self.length, taken).and(Err(Error::invalid("no bytes left")));
        match &mut self.inner {
            Inner::Bytes(bytes) => match bytes.split_at_checked(piece.len()) {
                Some((head, tail)) => {
                    piece.copy_from_slice(head);
                    *bytes = tail;
                }
                None => return ends_early(self.taken + bytes.len() as u64),
            },
            Inner::Stream(reader) => {
                let mut filled = 0;
                while filled < piece.len() {
                    match reader.read(&mut piece[filled..]) {
                        Ok(0) => return ends_early(self.taken + filled as u64),
                        Ok(count) => filled += count,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(Error::io("cannot read the payload that is to be stored", error)),
                    }
                }
            }
        }
        self.taken += piece.len() as u64;
        self.checksum = checksum::crc32c_append(self.checksum, piece);
        Ok(())
    }

    /// Bytes that were not taken yet.
    pub fn remaining(&self) -> u64 {
        self.length - self.taken
    }

    /// The CRC32C of the payload, all of which was taken.
    ///
    /// # Errors
    /// `InvalidInput` where there are bytes left.
    pub fn finish(mut self) -> Result<u32> {
        let more = match &mut self.inner {
            Inner::Bytes(bytes) => bytes.len() as u64,
            Inner::Stream(reader) => loop {
                match reader.read(&mut [0]) {
                    Ok(count) => break count as u64,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::io("cannot read the payload that is to be stored", error)),
                }
            },
        };
        check_payload_length(self.length, self.taken + more)?;
        Ok(self.checksum)
    }
}

/// One byte range asked of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Of which image's payload.
    pub id: Id,
    /// Which bytes of it.
    pub range: Range<u64>,
}

impl ReadRequest {
    /// Asks for some bytes of a payload.
    pub fn new(id: Id, range: Range<u64>) -> Self {
        ReadRequest { id, range }
    }

    /// The range, which must lie inside a payload of `length` bytes.
    ///
    /// # Errors
    /// `InvalidInput` where it ends beyond, or before it starts.
    pub fn range_in(&self, length: u64) -> Result<Range<u64>> {
        let Range { start, end } = self.range;
        if start <= end && end <= length {
            return Ok(start..end);
        }
        Err(Error::invalid(format!("the bytes {start}..{end} were asked of a payload of {length}")).at_id(self.id))
    }
}

/// Takes whole images: the id's place in the batch, and its descriptor and payload or that there is no such image.
pub type FetchSink<'a> = dyn FnMut(usize, Option<(Descriptor, &[u8])>) -> Result<()> + 'a;

/// Takes the bytes of a read: the request's place in the batch, and its bytes or that there is no such image.
pub type ReadSink<'a> = dyn FnMut(usize, Option<&[u8]>) -> Result<()> + 'a;

/// Takes descriptors: the id's place in the batch, and its descriptor or that there is no such image.
pub type DescribeSink<'a> = dyn FnMut(usize, Option<Descriptor>) -> Result<()> + 'a;

/// Takes descriptors in ascending order of their ids and says whether to go on.
pub type ScanSink<'a> = dyn FnMut(Descriptor) -> Result<ControlFlow<()>> + 'a;

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Version of the format it is written in; see FORMAT.md.
    pub format_version: u32,
    /// Names of the labels 0, 1, 2, ...; may be empty.
    pub label_names: Vec<String>,
    /// Images in the store.
    pub count: u64,
    /// The id that the next image will get.
    pub next_id: Id,
}

/// What a store takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// On the disk: blocks allocated, not lengths of files. Of object stores the lengths of the objects that make up the
    /// store as it is now; others stay until they are [vacuumed](Backend::vacuum). 0 for memory.
    pub disk_bytes: u64,
    /// Of the payloads of the images that are there.
    pub payload_bytes: u64,
}

/// What a [vacuum](Backend::vacuum) deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vacuumed {
    /// How many objects or files.
    pub objects: u64,
    /// The bytes that they took.
    pub bytes: u64,
    /// How many are needed as little, but are too young to go: who reads may be at them, who writes may be about to name them.
    pub young_objects: u64,
    /// The bytes that those take.
    pub young_bytes: u64,
}

/// What went between a handle and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests, each of which waits for its answer; those that were tried again count again.
    pub requests: u64,
    /// Bytes of payload, descriptors and lists that were sent.
    pub sent: u64,
    /// Bytes of the same that were received.
    pub received: u64,
}

/// What reading costs: the planner's *t1*, *t2*, *P* and the device's block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IoHints {
    /// *t1*: seconds a read takes, whatever its length.
    pub read_seconds: f64,
    /// *t2*: further seconds a byte.
    pub byte_seconds: f64,
    /// *P*: reads that can be in flight at once and gain by it.
    pub parallel_reads: u32,
    /// Bytes that the device reads at least; offsets that are multiples of it cost no more. 1 where it does not matter.
    pub block: u32,
}

/// Whether an append is on the disk when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It is, whatever happens to the machine.
    #[default]
    Full,
    /// A crash of the machine may undo the latest appends; a crash of the process undoes none.
    Buffered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reader_counts_and_checks() {
        let bytes: Vec<u8> = (0..100).collect();
        for promised in [99, 100, 101] {
            let mut stream = &bytes[..];
            for inner in [Inner::Bytes(&bytes), Inner::Stream(&mut stream)] {
                let mut reader = PayloadReader { inner, length: promised, taken: 0, checksum: 0 };
                let mut out = vec![0; 60];
                reader.fill(&mut out).unwrap();
                let mut rest = vec![0; promised as usize - 60];
                let filled = reader.fill(&mut rest);
                assert_eq!(filled.is_ok(), promised <= 100);
                if filled.is_ok() {
                    assert_eq!(reader.remaining(), 0);
                    assert_eq!(reader.finish().ok(), (promised == 100).then(|| crc32c::crc32c(&bytes)));
                }
            }
        }
    }
}
