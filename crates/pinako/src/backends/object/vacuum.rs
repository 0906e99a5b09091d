//! Deletes what nobody needs any more: manifests that were superseded long ago, and parts that no manifest names which is
//! left.
//!
//! There may be very many manifests, each of which says all, so only the oldest and the newest are read. A part is named within a while
//! of being put, and then by every manifest until one drops it. So one that was put a while before all manifests but the
//! oldest that is left is named by that oldest one, if by any; what is younger stays for another time.
//!
//! All times are the server's own, also what time it is now: that of an object which is put to learn it. So it does not
//! matter what the clocks of those machines say that write. A rehearsal puts nothing, so that whoever may only read can have
//! one, and goes by this machine's clock.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectMeta, PutPayload};

use super::Object;
use super::manifests::{self, CERTAIN, Moment, number_of};
use super::objects::{Objects, PROBES};
use super::staged;
use crate::backend::Vacuumed;
use crate::backends::manifest::Part;
use crate::backends::runtime::wait_for;
use crate::backends::{LEAST_KEPT, Mode, check_kept, random, read_only};
use crate::error::{Error, Result};

/// The least time that what was superseded is kept: before it is over, parts that were put are named, and so long is the
/// number after that of a known manifest sure to say whether there is a newer one.
pub(super) const LEAST: Duration = LEAST_KEPT;
const _: () = assert!(LEAST.as_secs() >= 2 * CERTAIN.as_secs());

/// See [`Backend::vacuum`](crate::backend::Backend::vacuum).
pub(super) fn vacuum(store: &Object, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
    check_kept(keep)?;
    vacuum_beyond(store, keep, LEAST, rehearsal)
}

/// Deletes what was superseded longer than `keep` ago, be that ever so short, where parts are named within `naming`.
pub(super) fn vacuum_beyond(store: &Object, keep: Duration, naming: Duration, rehearsal: bool) -> Result<Vacuumed> {
    if store.mode == Mode::Read && !rehearsal {
        return Err(read_only());
    }
    store.check_there()?;
    let objects = &*store.objects;
    let now = if rehearsal { SystemTime::now() } else { server_time(store)? };
    let Unneeded { old, young } = wait_for(unneeded(objects, now.into(), keep, naming))?;
    let staged = store.folder.as_deref().map_or(Ok(Vec::new()), |folder| staged::left_over(folder, now, keep))?;
    let sum = |objects: &[ObjectMeta]| objects.iter().map(|object| object.size).fold(0, u64::saturating_add);
    let bytes = staged.iter().map(|&(_, bytes)| bytes).fold(sum(&old), u64::saturating_add);
    let vacuumed = Vacuumed {
        objects: (old.len() + staged.len()) as u64,
        bytes,
        young_objects: young.len() as u64,
        young_bytes: sum(&young),
    };
    if !rehearsal {
        // Manifests first, the oldest of them first: what is left at any moment is a whole store.
        wait_for(objects.delete_all(old.into_iter().map(|object| object.location).collect()))?;
        staged.iter().try_for_each(|(path, _)| staged::remove(path))?;
    }
    Ok(vacuumed)
}

/// What time it is by the server's clock.
fn server_time(store: &Object) -> Result<SystemTime> {
    let objects = &*store.objects;
    let probe = objects.probes().join(format!("{:016x}", random::number()?));
    let found = wait_for(async {
        objects.put(&probe, PutPayload::from_static(b"what time it is")).await?;
        let found = objects.look(&probe).await;
        objects.delete(&probe).await?;
        found
    });
    if let Some(folder) = &store.folder {
        // Unless another vacuum is asking, too.
        let _ = fs::remove_dir(folder.join(PROBES));
    }
    Ok(found?.ok_or_else(|| Error::corrupt(format!("{probe} was put and is not there")))?.last_modified.into())
}

/// The objects that the newest manifest does not name.
struct Unneeded {
    /// Those that nobody needs, in the order in which they are to go.
    old: Vec<ObjectMeta>,
    /// Those that somebody may still need.
    young: Vec<ObjectMeta>,
}

/// Looks for the objects that the newest manifest does not name.
async fn unneeded(objects: &Objects, now: DateTime<Utc>, keep: Duration, naming: Duration) -> Result<Unneeded> {
    let is_beyond =
        |object: &ObjectMeta, span: Duration| (now - object.last_modified).to_std().is_ok_and(|age| age > span);
    let is_old = |object: &ObjectMeta| is_beyond(object, keep);

    // The parts first: what is put from now on is not among them.
    let (parts, probes) = (objects.list(&objects.parts()).await?, objects.list(&objects.probes()).await?);
    let mut manifests: Vec<(u64, ObjectMeta)> = Vec::new();
    for object in objects.list(&objects.manifests()).await? {
        manifests.extend(number_of(&object.location).map(|number| (number, object)));
    }
    manifests.sort_unstable_by_key(|&(number, _)| number);
    // One is superseded when the next is made.
    let kept_from = manifests.iter().skip(1).position(|(_, next)| !is_old(next));
    let kept_from = kept_from.unwrap_or(manifests.len().saturating_sub(1));
    let mut kept = manifests.split_off(kept_from);

    let oldest = kept.first().map(|&(number, _)| number);
    let (Some(oldest), Some((newest, _))) = (oldest, kept.pop()) else { return Err(manifests::gone(objects)) };
    let named = named_by(objects, oldest).await?;
    let named_by_newest = if newest == oldest { named.clone() } else { named_by(objects, newest).await? };
    let (folder, beyond) = (objects.parts(), keep.saturating_add(naming));
    let parts = parts.into_iter().filter(|object| Objects::is_part(&folder, &object.location));
    let (old, young): (Vec<_>, Vec<_>) = parts
        .filter(|object| !named_by_newest.contains(&object.location))
        .partition(|object| is_beyond(object, beyond) && !named.contains(&object.location));
    let manifest = |(_, object)| object;
    let probes = probes.into_iter().filter(is_old);
    Ok(Unneeded {
        old: manifests.into_iter().map(manifest).chain(old).chain(probes).collect(),
        young: kept.into_iter().map(manifest).chain(young).collect(),
    })
}

/// The parts and pieces that a manifest names.
async fn named_by(objects: &Objects, number: u64) -> Result<HashSet<Path>> {
    let known = manifests::load(objects, number, Moment::now()).await?;
    // Another vacuum has deleted it meanwhile.
    let known = known.ok_or_else(|| Error::conflict("another vacuum is at work").with_hint("let that one finish"))?;
    Ok(known.manifest.parts().iter().flat_map(Part::files).map(|number| objects.part(number)).collect())
}
