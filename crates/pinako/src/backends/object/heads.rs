//! Heads of parts that were read, as many as a bounded memory takes, and for a moment which could not be: who lists the
//! images of a store that lost a part asks again behind each of that part's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::head::Head;
use super::objects::Objects;
use crate::backends::manifest::Part;
use crate::backends::runtime::wait_for;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of heads that are kept.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// How long a part that was found to be lost is taken to be so without being asked for.
const LOST_FOR: Duration = Duration::from_secs(2);

/// The hint for who needs an object that is lost.
pub(super) const LOST: &str = "restore it from a copy, or remove the images that `pinako verify` says are in it";

/// The heads that were used last.
#[derive(Debug)]
pub(super) struct Heads {
    /// Most bytes of them.
    most: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the number of the part, with when it was used.
    heads: HashMap<u64, (Arc<Head>, u64)>,
    bytes: u64,
    uses: u64,
    /// What is wrong with those that cannot be read, by the number of the part, and when that was found.
    lost: HashMap<u64, (Instant, ErrorKind, String)>,
}

/// What asking for the head of a part gives.
pub(super) enum Found {
    Head(Arc<Head>),
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
    /// Keeps none yet, and never more than so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Heads { most, kept: Mutex::default() }
    }

    /// The head of each of `parts`; those that are not kept are read, all at once.
    ///
    /// # Errors
    /// Those of the service. What is wrong with one of the objects is among what was found.
    pub(super) fn of(&self, objects: &Objects, parts: &[&Part]) -> Result<Vec<Found>> {
        let kept = |part: &Part| self.get(part.part).map(Found::Head).or_else(|| self.lost(part.part).map(Found::Lost));
        let mut found: Vec<Option<Found>> = parts.iter().map(|part| kept(part)).collect();
        let unread: Vec<usize> = (0..parts.len()).filter(|&place| found[place].is_none()).collect();
        if !unread.is_empty() {
            let reads = unread.iter().map(|&place| {
                let part = parts[place];
                async move {
                    let path = objects.part(part.part);
                    match objects.read(&path, 0..part.head_bytes, part.file_bytes).await {
                        Err(error) if !is_loss(&error) => Err(error),
                        read => Ok(read),
                    }
                }
            });
            for (&place, read) in unread.iter().zip(wait_for(try_join_all(reads))?) {
                let part = parts[place];
                let open = |bytes| Head::open(bytes, part).map_err(|error| error.context(objects.part(part.part)));
                found[place] = Some(match read.and_then(|bytes| bytes.map(open).transpose()) {
                    Ok(Some(head)) => Found::Head(self.keep(part.part, head)),
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

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.kept.lock().bytes
    }
}

fn with_hint(error: Error) -> Error {
    if error.kind() == ErrorKind::Corrupt { error.with_hint(LOST) } else { error }
}
