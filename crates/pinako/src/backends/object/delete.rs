//! Deleting a store as a whole: its manifests first, without which nothing is left of it, then what they named.

use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::connect::Place;
use super::error::failed;
use crate::error::{Error, Result};

/// Deletes the store at `place`, and nothing else that is there.
///
/// # Errors
/// `NotFound` where there is none.
pub(super) async fn delete(place: &Place) -> Result<()> {
    let mut manifests = 0;
    for folder in ["manifest", "parts"] {
        let folder = place.prefix.clone().join(folder);
        let objects = list(place, &folder).await?;
        if folder.filename() == Some("manifest") {
            manifests = objects.len();
        }
        if manifests == 0 {
            return Err(Error::not_found("there is no store"));
        }
        let objects = futures_util::stream::iter(objects.into_iter().map(Ok));
        let deleted = place.store.delete_stream(Box::pin(objects)).try_for_each(|_| async { Ok(()) }).await;
        match deleted {
            // Somebody else deletes it, too.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed("cannot delete", &folder, error)),
        }
    }
    Ok(())
}

async fn list(place: &Place, folder: &Path) -> Result<Vec<Path>> {
    let listed = place.store.list(Some(folder)).map_ok(|object| object.location).try_collect().await;
    listed.map_err(|error| failed("cannot list", folder, error))
}
