//! Heads of parts that were read, as many as a bounded memory takes.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::head::Head;
use super::objects::Objects;
use crate::backends::manifest::Part;
use crate::backends::runtime::wait_for;
use crate::error::Result;

/// Most bytes of heads that are kept.
pub(super) const MAX_BYTES: u64 = 64 << 20;

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
}

/// What asking for heads gives.
pub(super) enum Found {
    /// Those of all parts that were asked for, in their order.
    All(Vec<Arc<Head>>),
    /// The object of the part of this number is not there.
    Missing(u64),
}

impl Heads {
    /// Keeps none yet, and never more than so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Heads { most, kept: Mutex::default() }
    }

    /// The heads of `parts`; those that are not kept are read, all at once.
    ///
    /// # Errors
    /// `Corrupt` where one is not what the manifest says.
    pub(super) fn of(&self, objects: &Objects, parts: &[&Part]) -> Result<Found> {
        let mut heads: Vec<Option<Arc<Head>>> = parts.iter().map(|part| self.get(part.part)).collect();
        let unread: Vec<usize> = (0..parts.len()).filter(|&place| heads[place].is_none()).collect();
        if !unread.is_empty() {
            let reads = unread.iter().map(|&place| {
                let part = parts[place];
                async move {
                    let path = objects.part(part.part);
                    objects.read(&path, 0..part.head_bytes, part.file_bytes).await
                }
            });
            let read = wait_for(try_join_all(reads))?;
            for (&place, bytes) in unread.iter().zip(read) {
                let part = parts[place];
                let Some(bytes) = bytes else { return Ok(Found::Missing(part.part)) };
                let head = Head::open(bytes, part).map_err(|error| error.context(objects.part(part.part)))?;
                heads[place] = Some(self.keep(part.part, head));
            }
        }
        Ok(Found::All(heads.into_iter().flatten().collect()))
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
