//! Names: whether they are taken, and which images have them.
//!
//! The manifest lists the hashes of names of parts with few; of others a column says them. Whether an image whose name has
//! the hash is the one, its part's head tells.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Object;
use super::manifests::Known;
use super::view::{View, in_bounds};
use crate::backends::manifest::{Manifest, Part, name_hash};
use crate::backends::name_taken;
use crate::descriptor::Id;
use crate::error::{Error, Result};

/// The names of a batch, all different.
pub(super) struct Names<'a>(Vec<(u64, &'a str)>);

impl<'a> Names<'a> {
    /// # Errors
    /// `Conflict` where a name is there twice.
    pub(super) fn new(names: &'a [String]) -> Result<Self> {
        let mut seen = HashSet::with_capacity(names.len());
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(name_taken(twice));
        }
        Ok(Names(names.iter().map(|name| (name_hash(name), name.as_str())).collect()))
    }

    /// Checks that none is taken, by the manifest that the handle knows, or, if one is by that, by the newest. Gives the
    /// manifest by which none is.
    ///
    /// # Errors
    /// `Conflict` where one is taken.
    pub(super) fn check_first(&self, store: &Object) -> Result<Arc<Known>> {
        let known = store.known();
        let checked = self.check(store, &known);
        if checked.is_ok() {
            return Ok(known);
        }
        let newest = store.fresh()?;
        if newest.is_same(&known) {
            checked?;
        } else {
            self.check(store, &newest)?;
        }
        Ok(newest)
    }

    /// Checks that none is taken by this manifest.
    ///
    /// # Errors
    /// `Conflict` where one is taken.
    pub(super) fn check(&self, store: &Object, known: &Arc<Known>) -> Result<()> {
        let mut view = View::by(store, Arc::clone(known));
        while !self.0.is_empty() {
            let Some(found) = search(&mut view, &self.0)? else { continue };
            let taken = self.0.iter().zip(found).find(|(_, id)| id.is_some());
            return taken.map_or(Ok(()), |((_, name), _)| Err(name_taken(name)));
        }
        Ok(())
    }
}

/// The ids of the images that are so named.
pub(super) fn find(store: &Object, names: &[&str]) -> Result<Vec<Option<Id>>> {
    let names: Vec<(u64, &str)> = names.iter().map(|&name| (name_hash(name), name)).collect();
    let mut view = View::new(store)?;
    loop {
        let found = search(&mut view, &names);
        if view.settle()?.is_some() {
            continue;
        }
        if let Some(found) = found? {
            return Ok(found);
        }
    }
}

/// The ids of the images that are so named by the view's manifest; `None` where the view goes on by another.
///
/// # Errors
/// Where a part cannot be read that may have one of the names, and no other part has that.
fn search(view: &mut View<'_>, names: &[(u64, &str)]) -> Result<Option<Vec<Option<Id>>>> {
    let manifest = Arc::clone(view.manifest());
    let mut found = vec![None; names.len()];
    let mut lost = Vec::new();
    let Some(candidates) = candidates(view, &manifest, names, &mut lost)? else { return Ok(None) };
    for parts in in_bounds(&candidates, |part| part.head_bytes) {
        let Some(heads) = view.heads(parts)? else { return Ok(None) };
        for (&part, head) in parts.iter().zip(heads) {
            let listed: HashSet<u64> = part.name_hashes.iter().copied().collect();
            let may_have = |hash: u64| listed.is_empty() || listed.contains(&hash);
            match head {
                Ok(head) => {
                    for ((hash, name), found) in names.iter().zip(&mut found) {
                        if found.is_none() && may_have(*hash) {
                            *found = head.find(name, *hash, manifest.removed());
                        }
                    }
                }
                Err(error) => lost.push((part.name_hashes.clone(), error)),
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    let missing: Vec<u64> =
        names.iter().zip(&found).filter(|(_, id)| id.is_none()).map(|(&(hash, _), _)| hash).collect();
    let may_have =
        |(hashes, _): &(Vec<u64>, Error)| missing.iter().any(|hash| hashes.is_empty() || hashes.contains(hash));
    match lost.into_iter().find(may_have) {
        Some((_, error)) => Err(error),
        None => Ok(Some(found)),
    }
}

/// The parts that have a name with the hash of one of `names`, the newest first; `None` where the view goes on by another
/// manifest. Those whose hashes cannot be read go to `lost`.
fn candidates<'a>(
    view: &mut View<'_>,
    manifest: &'a Manifest,
    names: &[(u64, &str)],
    lost: &mut Vec<(Vec<u64>, Error)>,
) -> Result<Option<Vec<&'a Part>>> {
    let mut wanted: Vec<u64> = names.iter().map(|&(hash, _)| hash).collect();
    wanted.sort_unstable();
    let listing = wanted.iter().flat_map(|&hash| manifest.parts_listing(hash));
    let mut parts: HashMap<u64, &Part> = listing.map(|part| (part.part, part)).collect();
    let many = manifest.parts_of_many_names().filter(|part| !wanted.is_empty() && !manifest.is_used_up(part));
    for some in in_bounds(&many.collect::<Vec<_>>(), |part| 8 * part.count) {
        let Some(hashes) = view.name_hashes(some)? else { return Ok(None) };
        for (&part, hashes) in some.iter().zip(hashes) {
            match hashes {
                Ok(hashes) if meet(&wanted, &hashes) => drop(parts.insert(part.part, part)),
                Ok(_) => {}
                Err(error) => lost.push((Vec::new(), error)),
            }
        }
    }
    let mut parts: Vec<&Part> = parts.into_values().filter(|part| !manifest.is_used_up(part)).collect();
    parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.first));
    Ok(Some(parts))
}

/// Whether two ascending lists have a number in common.
fn meet(one: &[u64], other: &[u64]) -> bool {
    let (few, mut many) = if one.len() < other.len() { (one, other) } else { (other, one) };
    few.iter().any(|number| {
        many = &many[many.partition_point(|other| other < number)..];
        many.first() == Some(number)
    })
}
