//! The objects of a store: their names, and each request that is made for one.
//!
//! Nothing here merges or splits requests: what is asked for is what goes out, so that plans mean what they say. A handle
//! has at most so many reads in flight; whoever asks for more waits his turn.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::sync::Semaphore;

use super::connect::Place;
use super::error::failed;
use super::heads::LOST;
use crate::backend::Traffic;
use crate::error::{Error, ErrorKind, Result};

/// Most reads in flight at once on one handle: *P*.
pub(super) const PARALLEL_READS: u32 = 32;

/// Most bytes of an object that is read as a whole.
const MAX_WHOLE: u64 = 1 << 30;

/// The folder of what tells vacuums the time.
pub(super) const PROBES: &str = "vacuum";

/// What became of an object that was to be put where none was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// There is one already, which may be the same: an answer that was lost is asked for again.
    Exists,
}

/// The objects of one store.
#[derive(Debug)]
pub(super) struct Objects {
    place: Place,
    slots: Semaphore,
}

impl Objects {
    /// Those at `place`, which is a service's or a folder.
    pub(super) fn new(place: Place) -> Self {
        Objects { place, slots: Semaphore::new(PARALLEL_READS as usize) }
    }

    /// Counts a request, where nobody else does: of a folder that stands for a server.
    fn count(&self, sent: usize, received: usize) {
        if self.place.far && self.place.pages.is_none() {
            self.place.traffic.add(sent, received);
        }
    }

    /// Whether each request is a round trip to a server.
    pub(super) fn is_far(&self) -> bool {
        self.place.far
    }

    /// What was asked of the server so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.place.traffic.traffic()
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.place.prefix
    }

    /// Where the manifests are.
    pub(super) fn manifests(&self) -> Path {
        self.place.prefix.clone().join("manifest")
    }

    /// The manifest of that number. A listing gives the newest first.
    pub(super) fn manifest(&self, number: u64) -> Path {
        self.manifests().join(format!("{:020}.json", u64::MAX - number))
    }

    /// Where the parts and pieces are.
    pub(super) fn parts(&self) -> Path {
        self.place.prefix.clone().join("parts")
    }

    /// Where vacuums put what tells them the time.
    pub(super) fn probes(&self) -> Path {
        self.place.prefix.clone().join(PROBES)
    }

    /// The part or piece of that number.
    pub(super) fn part(&self, number: u64) -> Path {
        self.parts().join(format!("{number:016x}.arrow"))
    }

    /// Some bytes of an object, which has `length` in all; `None` where there is no such object.
    ///
    /// # Errors
    /// `Corrupt` where it has another length.
    pub(super) async fn read(&self, path: &Path, range: Range<u64>, length: u64) -> Result<Option<Bytes>> {
        let _slot = self.slots.acquire().await.map_err(|error| Error::invalid("it was closed").with_source(error))?;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found = match self.place.store.get_opts(path, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return self.explain(path, length, failed("cannot read", path, error)).await,
        };
        check_length(path, length, found.meta.size)?;
        let bytes = found.bytes().await.map_err(|error| failed("cannot read", path, error))?;
        if bytes.len() as u64 != range.end - range.start {
            let (found, expected) = (bytes.len(), range.end - range.start);
            return Err(Error::corrupt(format!("{path}: {found} bytes came of the {expected} that were asked for")));
        }
        self.count(0, bytes.len());
        Ok(Some(bytes))
    }

    /// The error for a read that failed: an object that was cut has no such range.
    async fn explain(&self, path: &Path, length: u64, error: Error) -> Result<Option<Bytes>> {
        if !matches!(error.kind(), ErrorKind::Transient | ErrorKind::Denied)
            && let Ok(found) = self.place.store.head(path).await
        {
            check_length(path, length, found.size)?;
        }
        Err(error)
    }

    /// A whole object; `None` where there is no such object.
    pub(super) async fn whole(&self, path: &Path) -> Result<Option<Bytes>> {
        self.count(0, 0);
        let found = match self.place.store.get_opts(path, GetOptions::default()).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed("cannot read", path, error)),
        };
        if found.meta.size > MAX_WHOLE {
            return Err(Error::corrupt(format!("{path}: {} bytes are too many to be true", found.meta.size)));
        }
        found.bytes().await.map(Some).map_err(|error| failed("cannot read", path, error))
    }

    /// What is known of an object without its bytes; `None` where there is no such object.
    pub(super) async fn look(&self, path: &Path) -> Result<Option<ObjectMeta>> {
        self.count(0, 0);
        match self.place.store.head(path).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("cannot look at", path, error)),
        }
    }

    /// Puts an object where there is none.
    pub(super) async fn put(&self, path: &Path, payload: PutPayload) -> Result<Put> {
        self.count(payload.content_length(), 0);
        match self.place.store.put_opts(path, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Done),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Put::Exists)
            }
            Err(error) => Err(failed("cannot write", path, error)),
        }
    }

    /// Deletes an object, if it is there.
    pub(super) async fn delete(&self, path: &Path) -> Result<()> {
        self.count(0, 0);
        match self.place.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("cannot delete", path, error)),
        }
    }

    /// Deletes objects, as far as they are there, in about this order.
    pub(super) async fn delete_all(&self, paths: Vec<Path>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        self.count(0, 0);
        let paths = stream::iter(paths).map(Ok).boxed();
        let mut deleted = self.place.store.delete_stream(paths);
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("cannot delete from", &self.place.prefix, error)),
            }
        }
        Ok(())
    }

    /// Whether an object in the `folder` of parts has a name as [`part`](Self::part) gives it.
    pub(super) fn is_part(folder: &Path, path: &Path) -> bool {
        let digits = path.filename().and_then(|name| name.strip_suffix(".arrow"));
        let is_hex = |digits: &str| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        path.prefix_matches(folder) && digits.is_some_and(is_hex)
    }

    /// All objects under `folder`.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        self.count(0, 0);
        let listed = self.place.store.list(Some(folder)).try_collect().await;
        listed.map_err(|error| failed("cannot list", folder, error))
    }

    /// The least of the names under `folder`, but for [what the tools of services leave](is_marker). Services list in this
    /// order, so that the first few names are enough.
    pub(super) async fn first(&self, folder: &Path) -> Result<Option<Path>> {
        /// The markers of a store's folders, and some more.
        const FEW: usize = 10;
        let Some(pages) = &self.place.pages else {
            let listed = self.list(folder).await?.into_iter();
            return Ok(listed.filter(|object| !is_marker(object)).map(|object| object.location).min());
        };
        let prefix = (!folder.as_ref().is_empty()).then(|| format!("{folder}/"));
        let mut options = PaginatedListOptions { max_keys: Some(FEW), ..PaginatedListOptions::default() };
        loop {
            let page = pages.list_paginated(prefix.as_deref(), options.clone()).await;
            let page = page.map_err(|error| failed("cannot list", folder, error))?;
            if let Some(first) = page.result.objects.into_iter().find(|object| !is_marker(object)) {
                return Ok(Some(first.location));
            }
            if page.page_token.is_none() {
                return Ok(None);
            }
            options.page_token = page.page_token;
        }
    }
}

/// Whether it is what stands for a folder where there are none, as the services' web pages and other tools make it: an
/// empty object that has a folder's name; or what desktops leave in real ones.
fn is_marker(object: &ObjectMeta) -> bool {
    object.size == 0 && object.location.extension().is_none() || object.location.filename() == Some(".DS_Store")
}

fn check_length(path: &Path, expected: u64, found: u64) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::corrupt(format!("{path} has {found} bytes, not the {expected} that it was written with"))
        .with_hint(LOST))
}
