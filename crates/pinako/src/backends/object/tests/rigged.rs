//! A service in memory that notes each request, and fails those that a test says.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

/// What is asked of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Put,
    Get,
    List,
    Delete,
}

/// What comes of it.
pub(super) enum Fate {
    Goes,
    /// It is not done.
    Fails(Error),
    /// It is done, but nobody hears of it.
    IsLost(Error),
}

type Rule = Box<dyn FnMut(Ask, &Path) -> Fate + Send>;

/// See the module's text. Clones are the same service.
#[derive(Clone)]
pub(super) struct Rigged {
    pub(super) inner: Arc<InMemory>,
    asked: Arc<Mutex<Vec<(Ask, Path)>>>,
    rule: Arc<Mutex<Option<Rule>>>,
    /// How many objects pages of lists had.
    pub(super) listed: Arc<AtomicUsize>,
}

impl Rigged {
    pub(super) fn new() -> Self {
        Rigged { inner: Arc::default(), asked: Arc::default(), rule: Arc::default(), listed: Arc::default() }
    }

    /// From now on `rule` says what comes of requests.
    pub(super) fn rule(&self, rule: impl FnMut(Ask, &Path) -> Fate + Send + 'static) {
        *self.rule.lock() = Some(Box::new(rule));
    }

    pub(super) fn no_rule(&self) {
        *self.rule.lock() = None;
    }

    /// What was asked since this was asked last.
    pub(super) fn asked(&self) -> Vec<(Ask, Path)> {
        std::mem::take(&mut self.asked.lock())
    }

    /// The same, which is still to be asked.
    pub(super) fn asked_so_far(&self) -> Vec<(Ask, Path)> {
        self.asked.lock().clone()
    }

    fn fate(&self, ask: Ask, path: &Path) -> Fate {
        self.asked.lock().push((ask, path.clone()));
        // Not held while the rule works, which may ask for something itself.
        let rule = self.rule.lock().take();
        let Some(mut rule) = rule else { return Fate::Goes };
        let fate = rule(ask, path);
        self.rule.lock().get_or_insert(rule);
        fate
    }
}

/// An error of which nobody knows what it came of.
pub(super) fn cut() -> Error {
    Error::Generic { store: "rigged", source: "the connection was cut".into() }
}

/// A refusal.
pub(super) fn denied(path: &Path) -> Error {
    Error::PermissionDenied { path: path.to_string(), source: "no".into() }
}

impl fmt::Debug for Rigged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rigged")
    }
}

impl fmt::Display for Rigged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rigged")
    }
}

/// Lists by names, a page at a time. A token is the name that a page ends with.
#[async_trait]
impl PaginatedListStore for Rigged {
    async fn list_paginated(&self, prefix: Option<&str>, options: PaginatedListOptions) -> Result<PaginatedListResult> {
        let folder = Path::from(prefix.unwrap_or_default());
        let mut objects: Vec<ObjectMeta> = self.list(Some(&folder)).try_collect().await?;
        objects.sort_by(|one, other| one.location.cmp(&other.location));
        objects.retain(|object| options.page_token.as_deref().is_none_or(|last| object.location.as_ref() > last));
        let most = options.max_keys.unwrap_or(objects.len());
        let is_last = objects.len() <= most;
        objects.truncate(most);
        let last = objects.last().filter(|_| !is_last).map(|last| last.location.to_string());
        self.listed.fetch_add(objects.len(), Relaxed);
        let result = ListResult { common_prefixes: Vec::new(), objects, extensions: Default::default() };
        Ok(PaginatedListResult { result, page_token: last })
    }
}

#[async_trait]
impl ObjectStore for Rigged {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.fate(Ask::Put, path) {
            Fate::Goes => self.inner.put_opts(path, payload, options).await,
            Fate::Fails(error) => Err(error),
            Fate::IsLost(error) => self.inner.put_opts(path, payload, options).await.and(Err(error)),
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unimplemented!("no objects are put in parts")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fate(Ask::Get, path) {
            Fate::Goes => self.inner.get_opts(path, options).await,
            Fate::Fails(error) | Fate::IsLost(error) => Err(error),
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let rigged = self.clone();
        let paths = paths.then(move |path| {
            let rigged = rigged.clone();
            async move {
                let path = path?;
                match rigged.fate(Ask::Delete, &path) {
                    Fate::Goes => Ok(path),
                    Fate::Fails(error) | Fate::IsLost(error) => Err(error),
                }
            }
        });
        self.inner.delete_stream(paths.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fate(Ask::List, prefix.unwrap_or(&Path::ROOT)) {
            Fate::Goes => self.inner.list(prefix),
            Fate::Fails(error) | Fate::IsLost(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
