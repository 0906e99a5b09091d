//! Merges small parts and drops removed images: new parts are written beside the old ones, then a new log takes the old
//! one's place.
//!
//! Readers that still have the old parts open keep them; readers that have only read the old log find parts missing,
//! and then the new log.

use std::sync::Arc;

use super::part::OpenPart;
use super::write::{Writer, plan};
use super::{Hdf5, next_part};
use crate::backend::{Entry, Payload};
use crate::backends::manifest::{Commit, Kind, Manifest, Part};
use crate::error::Result;

/// Compacts the store. The caller is the only writer.
pub(super) fn compact(store: &Hdf5, old: &Manifest) -> Result<()> {
    store.sync_files(old)?;
    let mut writer = Writer::new(store.files.folder(), store.limits, true, next_part(old));
    let mut parts = Vec::new();
    for group in groups(store, old) {
        match group {
            Group::Kept(part) => parts.push(part.clone()),
            Group::Merged(merged) => parts.extend(merge(store, old, &merged, &mut writer)?),
        }
    }
    let label_names = Some(old.label_names().to_vec());
    let commit =
        Commit { parts, label_names, next_id: old.next_id(), next_part: Some(writer.next()), ..Commit::default() };
    store.log_mut().rewrite(&commit)?;
    let new = store.manifest()?;
    store.files.retain(&new);
    store.clean(&new)
}

/// What becomes of neighbouring parts.
enum Group<'a> {
    Kept(&'a Part),
    Merged(Vec<&'a Part>),
}

/// Sorts out which parts stay and which are written anew together, as many as make one full part.
fn groups<'a>(store: &Hdf5, manifest: &'a Manifest) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let (mut bytes, mut images) = (0u64, 0u64);
    for part in manifest.parts() {
        if manifest.is_used_up(part) {
            continue;
        }
        let removed = manifest.removed().count_within(part.first, part.last);
        let small =
            part.payload_bytes <= store.limits.payload_bytes / 2 && part.count <= store.limits.images as u64 / 2;
        if removed == 0 && (!small || part.kind == Kind::Pieces) {
            groups.push(Group::Kept(part));
            continue;
        }
        bytes = bytes.saturating_add(part.payload_bytes);
        images += part.count;
        match groups.last_mut() {
            Some(Group::Merged(parts))
                if bytes <= store.limits.payload_bytes && images <= store.limits.images as u64 =>
            {
                parts.push(part);
            }
            _ => {
                groups.push(Group::Merged(vec![part]));
                (bytes, images) = (part.payload_bytes, part.count);
            }
        }
    }
    groups
}

/// Writes the images of `parts` that were not removed anew, unless that would gain nothing.
fn merge(store: &Hdf5, manifest: &Manifest, parts: &[&Part], writer: &mut Writer<'_>) -> Result<Vec<Part>> {
    let removed = |part: &Part| manifest.removed().count_within(part.first, part.last) > 0;
    let as_they_are = || parts.iter().map(|&part| part.clone()).collect();
    if parts.len() == 1 && !removed(parts[0]) {
        return Ok(as_they_are());
    }
    let open: Vec<Arc<OpenPart>> = parts
        .iter()
        .map(|part| store.files.part(part)?.ok_or_else(|| store.files.gone(part.part)))
        .collect::<Result<_>>()?;
    let mut entries = Vec::new();
    for open in &open {
        let at_part = |error| store.at_part(open.part(), error);
        for row in 0..open.part().count {
            // Not looked into: it may have been removed because it is damaged.
            if open.id(row).is_some_and(|id| manifest.removed().contains(id)) {
                continue;
            }
            let descriptor = open.descriptor(row).map_err(at_part)?;
            entries.push(Entry { descriptor, payload: Payload::Bytes(open.payload(row).map_err(at_part)?) });
        }
    }
    let sections = plan(entries.iter().map(|entry| &entry.descriptor), store.limits);
    if sections.len() >= parts.len() && !parts.iter().any(|part| removed(part)) {
        return Ok(as_they_are());
    }
    writer.write(&mut entries, &sections)
}
