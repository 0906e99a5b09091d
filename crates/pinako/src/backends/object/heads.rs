//! Heads of parts that were read, as many as a bounded memory takes, and for a moment which could not be: who lists the
//! images of a store that lost a part asks again behind each of that part's.
//!
//! A name that is new is looked for in all parts, over and over while images are imported. So hashes of names, which are
//! a tenth of a head, are read by themselves, and are not given up for others: a store of a few more than there is room
//! for would be read as a whole for each batch.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::head::Head;
use super::objects::Objects;
use crate::backends::manifest::{Manifest, Part};
use crate::backends::runtime::wait_for;
use crate::checksum::crc32c;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of heads that are kept.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Most bytes of hashes of names that are kept: those of 32 million images. Those of others are read for each look-up.
pub(super) const MAX_NAMES: u64 = 256 << 20;

/// How long a part that was found to be lost is taken to be so without being asked for.
const LOST_FOR: Duration = Duration::from_secs(2);

/// The hint for who needs an object that is lost.
pub(super) const LOST: &str = "restore it from a copy, or remove the images that `pinako verify` says are in it";

/// The hashes of a part's names, ascending.
pub(super) type Hashes = Arc<[u64]>;

/// The heads that were used last.
#[derive(Debug)]
pub(super) struct Heads {
    /// Most bytes of them.
    most: u64,
    /// Most bytes of hashes of names.
    most_names: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the number of the part, with when it was used.
    heads: HashMap<u64, (Arc<Head>, u64)>,
    bytes: u64,
    uses: u64,
    /// By the number of the part.
    names: HashMap<u64, Hashes>,
    name_bytes: u64,
    /// What is wrong with those that cannot be read, by the number of the part, and when that was found.
    lost: HashMap<u64, (Instant, ErrorKind, String)>,
}

/// What asking for something of a part gives.
pub(super) enum Found<T> {
    There(T),
    /// The object is not there.
    Missing,
    /// It is not what the manifest says, or it was not there a moment ago, though the newest manifest named it.
    Lost(Error),
}

/// Whether an error says that an object is not what was put, and not that it cannot be asked for.
pub(super) fn is_loss(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}

impl Heads {
    /// Keeps none yet, and never more than so many bytes of heads and of hashes of names.
    pub(super) fn new(most: u64, most_names: u64) -> Self {
        Heads { most, most_names, kept: Mutex::default() }
    }

    /// The head of each of `parts`; those that are not kept are read, all at once.
    ///
    /// # Errors
    /// Those of the service. What is wrong with one of the objects is among what was found.
    pub(super) fn of(&self, objects: &Objects, parts: &[&Part]) -> Result<Vec<Found<Arc<Head>>>> {
        let open = |part: &Part, bytes| Head::open(bytes, part).map(|head| self.keep(part.part, head));
        self.found(objects, parts, |part| self.get(part.part), |part| 0..part.head_bytes, open)
    }

    /// The hashes of the names, ascending, of each of `parts`, which have many; as [`of`](Self::of).
    pub(super) fn names_of(
        &self,
        objects: &Objects,
        manifest: &Manifest,
        parts: &[&Part],
    ) -> Result<Vec<Found<Hashes>>> {
        // Those of parts that were merged make room.
        let mut kept = self.kept.lock();
        if kept.names.len() > parts.len() {
            let there: HashSet<u64> = manifest.parts_of_many_names().map(|part| part.part).collect();
            kept.names.retain(|part, _| there.contains(part));
            kept.name_bytes = kept.names.values().map(|hashes| size_of_val(&**hashes) as u64).sum();
        }
        drop(kept);
        let range = |part: &Part| part.names.and_then(|names| names.range(part.count)).unwrap_or_default();
        let open = |part: &Part, bytes: Bytes| match part.names {
            Some(names) if names.crc32c == crc32c(&bytes) => Ok(self.keep_names(part.part, &bytes)),
            _ => Err(Error::corrupt("the hashes of its names are damaged")),
        };
        self.found(objects, parts, |part| self.kept.lock().names.get(&part.part).cloned(), range, open)
    }

    /// What is `kept` of each of `parts`, or else the bytes in a `range` of its object, `open`ed; all are read at once.
    fn found<T>(
        &self,
        objects: &Objects,
        parts: &[&Part],
        kept: impl Fn(&Part) -> Option<T>,
        range: impl Fn(&Part) -> Range<u64>,
        open: impl Fn(&Part, Bytes) -> Result<T>,
    ) -> Result<Vec<Found<T>>> {
        let known = |part: &Part| kept(part).map(Found::There).or_else(|| self.lost(part.part).map(Found::Lost));
        let mut found: Vec<Option<Found<T>>> = parts.iter().map(|part| known(part)).collect();
        let unread: Vec<usize> = (0..parts.len()).filter(|&place| found[place].is_none()).collect();
        if !unread.is_empty() {
            let reads = unread.iter().map(|&place| {
                let (part, range) = (parts[place], range(parts[place]));
                async move {
                    let path = objects.part(part.part);
                    match objects.read(&path, range, part.file_bytes).await {
                        Err(error) if !is_loss(&error) => Err(error),
                        read => Ok(read),
                    }
                }
            });
            for (&place, read) in unread.iter().zip(wait_for(try_join_all(reads))?) {
                let part = parts[place];
                let open = |bytes| open(part, bytes).map_err(|error| error.context(objects.part(part.part)));
                found[place] = Some(match read.and_then(|bytes| bytes.map(open).transpose()) {
                    Ok(Some(there)) => Found::There(there),
                    Ok(None) => Found::Missing,
                    Err(error) => Found::Lost(self.lose(part.part, error)),
                });
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// What is wrong with a part, if that was found a moment ago.
    pub(super) fn lost(&self, part: u64) -> Option<Error> {
        let kept = self.kept.lock();
        let (since, kind, why) = kept.lost.get(&part)?;
        (since.elapsed() < LOST_FOR).then(|| with_hint(Error::new(*kind, why.clone())))
    }

    /// Remembers for a moment what is wrong with a part.
    pub(super) fn lose(&self, part: u64, error: Error) -> Error {
        let mut kept = self.kept.lock();
        kept.lost.retain(|_, (since, ..)| since.elapsed() < LOST_FOR);
        kept.lost.insert(part, (Instant::now(), error.kind(), error.to_string()));
        with_hint(error)
    }

    fn get(&self, part: u64) -> Option<Arc<Head>> {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        let (head, used) = kept.heads.get_mut(&part)?;
        *used = now;
        Some(Arc::clone(head))
    }

    /// Keeps a head, in place of those that were not used for longest.
    pub(super) fn keep(&self, part: u64, head: Head) -> Arc<Head> {
        let head = Arc::new(head);
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        if let Some((old, _)) = kept.heads.insert(part, (Arc::clone(&head), now)) {
            kept.bytes -= old.weight();
        }
        kept.bytes += head.weight();
        while kept.bytes > self.most {
            let oldest = kept.heads.iter().min_by_key(|(_, (_, used))| *used).map(|(&part, _)| part);
            let Some((gone, _)) = oldest.and_then(|part| kept.heads.remove(&part)) else { break };
            kept.bytes -= gone.weight();
        }
        head
    }

    /// Keeps the hashes of a part's names, 8 bytes each, if there is room.
    pub(super) fn keep_names(&self, part: u64, hashes: &[u8]) -> Hashes {
        let (hashes, _) = hashes.as_chunks::<8>();
        let mut hashes: Vec<u64> = hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        hashes.sort_unstable();
        let hashes: Hashes = hashes.into();
        let bytes = size_of_val(&*hashes) as u64;
        let mut kept = self.kept.lock();
        if kept.name_bytes + bytes <= self.most_names && kept.names.insert(part, Arc::clone(&hashes)).is_none() {
            kept.name_bytes += bytes;
        }
        hashes
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.kept.lock().bytes
    }
}

fn with_hint(error: Error) -> Error {
    if error.kind() == ErrorKind::Corrupt { error.with_hint(LOST) } else { error }
}
