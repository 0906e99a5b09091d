//! Where a store is, and what its newest manifest says; FORMAT.md has it in full.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use url::Url;

/// The objects under a store's URL.
pub struct Place {
    pub objects: Arc<dyn ObjectStore>,
    /// What DataFusion knows `objects` by.
    pub url: ObjectStoreUrl,
    prefix: Path,
}

impl Place {
    /// `s3://bucket/prefix`, with keys, region and endpoint from the environment; `object:DIR` or a folder.
    pub fn new(store: &str) -> Result<Self> {
        if store.starts_with("s3://") {
            let url = Url::parse(store).map_err(|error| DataFusionError::External(error.into()))?;
            let objects = AmazonS3Builder::from_env().with_url(store).build()?;
            let prefix = Path::parse(url.path().trim_matches('/')).map_err(object_store::Error::from)?;
            let bucket = ObjectStoreUrl::parse(&url[..url::Position::BeforePath])?;
            return Ok(Place { objects: Arc::new(objects), url: bucket, prefix });
        }
        if store.contains("://") {
            let message = format!("this example reads s3://bucket/prefix, object:DIR and folders, not {store}");
            return Err(DataFusionError::Configuration(message));
        }
        let folder = std::path::absolute(store.strip_prefix("object:").unwrap_or(store))?;
        let prefix = Path::from_absolute_path(folder).map_err(object_store::Error::from)?;
        Ok(Place { objects: Arc::new(LocalFileSystem::new()), url: ObjectStoreUrl::local_filesystem(), prefix })
    }

    pub fn part(&self, number: u64) -> Path {
        self.prefix.clone().join("parts").join(format!("{number:016x}.arrow"))
    }
}

/// What the newest manifest says.
#[derive(Deserialize)]
pub struct Manifest {
    #[serde(default)]
    pub parts: Vec<Part>,
    /// First and last ids of intervals, ascending: their images are still in the parts, and no longer in the store.
    #[serde(default)]
    pub removed: Vec<(u64, u64)>,
    #[serde(default)]
    pub label_names: Vec<String>,
}

/// An Arrow file of some images.
#[derive(Debug, Deserialize)]
pub struct Part {
    /// Its number.
    pub part: u64,
    /// `payloads`, or `pieces` where its one image's payload is cut into files of their own.
    pub kind: String,
    /// The id of its first image.
    pub first: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

#[derive(Deserialize)]
struct Header {
    pinako: String,
    format_version: u32,
}

#[derive(Deserialize)]
struct Line {
    commit: Manifest,
}

impl Manifest {
    /// The newest: the first by name.
    pub async fn newest(place: &Place) -> Result<Self> {
        let listed = place.objects.list(Some(&place.prefix.clone().join("manifest")));
        let names: Vec<Path> = listed.map_ok(|object| object.location).try_collect().await?;
        let nothing =
            || DataFusionError::Configuration(format!("there is no manifest under {}{}", place.url, place.prefix));
        let name = names.into_iter().min().ok_or_else(nothing)?;
        let text = place.objects.get(&name).await?.bytes().await?;
        let damaged = |error: serde_json::Error| DataFusionError::External(Box::new(error)).context(name.to_string());

        let mut lines = text.split(|&byte| byte == b'\n');
        let mut line = || lines.next().unwrap_or_default();
        let Header { pinako, format_version } = serde_json::from_slice(line()).map_err(damaged)?;
        if pinako != "object" || format_version != 1 {
            let message = format!("{name} is of the form {pinako} {format_version}, which this example does not know");
            return Err(DataFusionError::NotImplemented(message));
        }
        let Line { commit } = serde_json::from_slice(line()).map_err(damaged)?;
        Ok(commit)
    }
}
