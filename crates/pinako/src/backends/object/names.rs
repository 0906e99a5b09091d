//! Names: whether they are taken, and which images have them.
//!
//! The manifest lists the hashes of names of parts with few; what names are in others only their heads say.

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
    for parts in in_bounds(&candidates(&manifest, names)) {
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

/// The parts that may have one of `names`.
fn candidates<'a>(manifest: &'a Manifest, names: &[(u64, &str)]) -> Vec<&'a Part> {
    let listing = names.iter().flat_map(|&(hash, _)| manifest.parts_listing(hash));
    let many = manifest.parts_of_many_names().rev();
    let many = many.filter(|_| !names.is_empty());
    let parts: HashMap<u64, &Part> = listing.chain(many).map(|part| (part.part, part)).collect();
    let mut parts: Vec<&Part> = parts.into_values().filter(|part| !manifest.is_used_up(part)).collect();
    parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.first));
    parts
}
