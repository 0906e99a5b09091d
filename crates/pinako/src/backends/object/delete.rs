//! Deleting a store as a whole. Whatever interrupts it, the newest manifest is what is seen for as long as any is; once
//! that is gone, nothing is left of the store, and then what it named goes.

use object_store::path::Path;

use super::manifests::number_of;
use super::objects::Objects;
use crate::error::{Error, Result};

/// Deletes the store of `objects`, or what is left of one that was deleted in part, and nothing else that is there.
///
/// # Errors
/// `NotFound` where there is none.
pub(super) async fn delete(objects: &Objects) -> Result<()> {
    let mut manifests = list(objects, &objects.manifests(), |path| number_of(path).is_some()).await?;
    let folder = objects.parts();
    let parts = list(objects, &folder, |path| Objects::is_part(&folder, path)).await?;
    let probes = list(objects, &objects.probes(), |_| true).await?;
    if manifests.is_empty() && parts.is_empty() {
        return Err(Error::not_found(format!("there is no store: nothing is under {}", objects.manifests())));
    }
    manifests.sort_unstable();
    let older = manifests.split_off(manifests.len().min(1));
    // Of what goes together, many go at once.
    for some in [older, manifests, parts, probes] {
        objects.delete_all(some).await?;
    }
    Ok(())
}

async fn list(objects: &Objects, folder: &Path, is_ours: impl Fn(&Path) -> bool) -> Result<Vec<Path>> {
    let listed = objects.list(folder).await?;
    Ok(listed.into_iter().map(|object| object.location).filter(is_ours).collect())
}
