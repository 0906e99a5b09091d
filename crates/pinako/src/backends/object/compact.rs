//! Merges small parts and drops removed images: new parts are put beside some old neighbours, then a manifest names them
//! instead. Each full part has a manifest of its own: what is put is named before any vacuum could take it for left over,
//! and a compaction that is broken off has done what it did. Some are made at once, so that one is read while another is
//! put.
//!
//! Others may commit meanwhile. What they added stays, and what they removed stays removed, as long as the parts that
//! were merged are still there to be replaced; otherwise another compaction did it, and this one begins again. The old
//! objects stay for those who still read by an older manifest, until a vacuum.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::Object;
use super::heads::is_loss;
use super::manifests::{Known, Moment};
use super::read::{self, Wanted};
use super::view::View;
use super::write::{Limits, Writer, Written, cut, delete};
use crate::backend::{Entry, Payload};
use crate::backends::manifest::{Commit, IdSet, Kind, Manifest, Part};
use crate::backends::{Mode, read_only};
use crate::descriptor::{Descriptor, Id};
use crate::error::{ErrorKind, Result};

/// How many full parts are made at once. Each takes up to twice its bytes in memory.
const AT_ONCE: usize = 4;

/// What takes the place of neighbouring parts.
#[derive(Debug)]
struct Merged {
    /// The numbers of the old parts.
    old: HashSet<u64>,
    new: Vec<Part>,
    /// Removed ids, which are in no part any more.
    dropped: IdSet,
    /// When the first of the new parts was put, or before.
    begun: Moment,
}

/// Compacts the store.
pub(super) fn compact(store: &Object) -> Result<()> {
    if store.mode == Mode::Read {
        return Err(read_only());
    }
    while !attempt(store)? {}
    Ok(())
}

/// Compacts the store as it is now, unless another compaction does so meanwhile.
fn attempt(store: &Object) -> Result<bool> {
    let known = store.fresh()?;
    let groups = groups(&known.manifest, store.limits);
    let left = Mutex::new(groups.iter());
    let work = || {
        let mut damage = None;
        while let Some(parts) = { left.lock().next() } {
            match renew(store, &known, parts) {
                Ok(true) => {}
                // What is whole is compacted all the same.
                Err(error) if is_loss(&error) => drop(damage.get_or_insert(error)),
                ended => {
                    *left.lock() = [].iter();
                    return ended;
                }
            }
        }
        damage.map_or(Ok(true), Err)
    };
    let done: Vec<Result<bool>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..groups.len().min(AT_ONCE)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let (mut is_done, mut damage) = (true, None);
    for done in done {
        match done {
            Ok(done) => is_done &= done,
            Err(error) if is_loss(&error) => damage = Some(error),
            Err(error) => return Err(error),
        }
    }
    damage.filter(|_| is_done).map_or(Ok(is_done), Err)
}

/// Puts new parts in the place of neighbouring ones, if that gains anything; gives whether those were still there.
fn renew(store: &Object, known: &Arc<Known>, parts: &[&Part]) -> Result<bool> {
    let manifest = &known.manifest;
    let live: Vec<&Part> = parts.iter().copied().filter(|part| !manifest.is_used_up(part)).collect();
    let Some(heads) = View::by(store, Arc::clone(known)).heads(&live)? else { return Ok(false) };
    let heads = heads.into_iter().collect::<Result<Vec<_>>>()?;
    let ids = heads.iter().flat_map(|head| (0..head.rows()).map(|row| head.id(row)));
    let ids: Vec<Id> = ids.filter(|&id| !manifest.removed().contains(id)).collect();
    let mut removed = parts.iter().map(|part| manifest.removed().within(part.first, part.last));
    let removed = removed.try_fold(IdSet::default(), |all, some| all.with(&some))?;
    let Some(merged) = merge(store, parts, &ids, removed)? else { return Ok(true) };
    let replaced = store.change(|known| {
        store.limits.check_in_time(merged.begun)?;
        let commit = replace(&known.manifest, &merged);
        let is_there = commit.is_some();
        Ok((commit, is_there))
    });
    match &replaced {
        Ok(true) => {}
        // The manifest that names them may be there.
        Err(error) if error.kind() == ErrorKind::Transient => {}
        _ => delete(&store.objects, merged.new.iter().flat_map(Part::files)),
    }
    replaced
}

/// About how many bytes the images of a part take: their payloads, and what is said of them.
fn weight(part: &Part) -> u64 {
    /// What a head takes that says nothing of any image.
    const EMPTY_HEAD: u64 = 4096;
    part.payload_bytes.saturating_add(part.head_bytes.saturating_sub(EMPTY_HEAD))
}

/// Which neighbouring parts are written anew together, as many as make one full part.
fn groups(manifest: &Manifest, limits: Limits) -> Vec<Vec<&Part>> {
    let mut groups: Vec<Vec<&Part>> = Vec::new();
    let (mut bytes, mut images) = (0u64, 0u64);
    let mut is_open = false;
    for part in manifest.parts() {
        let is_touched = manifest.removed().count_within(part.first, part.last) > 0;
        let is_small = weight(part) <= limits.part_bytes / 2 && part.count <= limits.images as u64 / 2;
        if !is_touched && (!is_small || part.kind == Kind::Pieces) {
            is_open = false;
            continue;
        }
        if !manifest.is_used_up(part) {
            bytes = bytes.saturating_add(weight(part));
            images = images.saturating_add(part.count);
        }
        match groups.last_mut() {
            Some(group) if is_open && bytes <= limits.part_bytes && images <= limits.images as u64 => group.push(part),
            _ => {
                groups.push(vec![part]);
                (bytes, images, is_open) = (weight(part), part.count, true);
            }
        }
    }
    groups
}

/// Writes the images `ids`, all of `parts` but for those that were `removed`, anew, unless that would gain nothing.
fn merge(store: &Object, parts: &[&Part], ids: &[Id], mut removed: IdSet) -> Result<Option<Merged>> {
    if parts.len() == 1 && removed.count() == 0 {
        return Ok(None);
    }
    let mut images: Vec<Option<(Descriptor, Vec<u8>)>> = vec![None; ids.len()];
    let wanted = ids.iter().enumerate().map(|(place, &id)| Wanted { place, id, range: None });
    read::read(store, wanted.collect(), &mut |place, descriptor, bytes| {
        images[place] = descriptor.zip(bytes.map(<[u8]>::to_vec));
        Ok(())
    })?;
    let gone = images.iter().zip(ids).filter(|(image, _)| image.is_none()).map(|(_, &id)| id);
    removed = removed.with(&IdSet::from_sorted(&gone.collect::<Vec<Id>>()))?;
    let images: Vec<(Descriptor, Vec<u8>)> = images.into_iter().flatten().collect();
    let sections = cut(images.iter().map(|(descriptor, _)| descriptor), store.limits);
    if sections.len() >= parts.len() && removed.count() == 0 {
        return Ok(None);
    }
    let first = images.first().map_or(0, |(descriptor, _)| descriptor.id);
    let offsets: Vec<Id> = images.iter().map(|(descriptor, _)| descriptor.id - first).collect();
    let mut entries: Vec<Entry<'_>> = images
        .iter()
        .map(|(descriptor, payload)| Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) })
        .collect();
    let begun = Moment::now();
    let written = Writer::new(&store.objects, store.limits).write(&mut entries, |place| offsets[place])?;
    let new = written.into_iter().map(|Written { part, .. }| part.moved(first)).collect();
    Ok(Some(Merged { old: parts.iter().map(|part| part.part).collect(), new, dropped: removed, begun }))
}

/// The state that follows from `manifest` with `merged` parts; `None` where others have replaced some of the old ones.
fn replace(manifest: &Manifest, merged: &Merged) -> Option<Commit> {
    let found = manifest.parts().iter().filter(|part| merged.old.contains(&part.part)).count();
    if found != merged.old.len() {
        return None;
    }
    let mut commit = manifest.whole();
    commit.parts.retain(|part| !merged.old.contains(&part.part));
    commit.parts.extend(merged.new.iter().cloned());
    commit.parts.sort_unstable_by_key(|part| part.first);
    let removed = manifest.removed().without(&merged.dropped);
    commit.removed = removed.intervals().to_vec();
    let total = commit.parts.iter().fold(0, |total: u64, part| total.saturating_add(part.payload_bytes));
    commit.removed_bytes = if removed.count() == 0 { 0 } else { total.saturating_sub(manifest.payload_bytes()) };
    Some(commit)
}
