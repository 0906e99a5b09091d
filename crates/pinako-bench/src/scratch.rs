//! What is made to be measured, and deleted again: stores in a folder, or on a server under that folder's name, and files.

use std::path::Path;

use pinako::{Error, ErrorKind, Result, backends};
use tempfile::TempDir;

/// A folder in `folder` for stores.
pub(crate) fn folder_in(folder: &Path) -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix("pinako-bench-").tempdir_in(folder);
    made.map_err(|error| Error::io(format!("cannot make a folder for stores in {}", folder.display()), error))
}

/// Refuses what would fill the disk under `folder`: `what` takes so many bytes at most, and `smaller` is to be taken instead.
pub(crate) fn check_space(folder: &Path, bytes: u64, what: &str, smaller: &str) -> Result<()> {
    let space = rustix::fs::statvfs(folder)
        .map_err(|error| Error::io(format!("cannot see how much is free in {}", folder.display()), error.into()))?;
    // For others than the superuser.
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if bytes <= free {
        return Ok(());
    }
    let [needed, free] = [bytes, free].map(|bytes| bytes.div_ceil(1 << 20));
    let message = format!("{what} takes up to {needed} MiB, {} has {free} MiB left", folder.display());
    Err(Error::new(ErrorKind::Backend, message).with_hint(format!("take {smaller}, or a folder on another disk")))
}

/// The URL of a store of its own for `folder`, of the backend of that name, or on a server beside the store that its URL
/// would mean: under the names of the folder and the one above it, which no other run has.
pub(crate) fn url(backend: &str, folder: &Path) -> Result<String> {
    match backends::is_on_server(backend) {
        true => beside(backend, folder),
        false => Ok(format!("{backend}:{}", text(&folder.join("store"))?)),
    }
}

/// Deletes what a server has of that store; what is in the folder goes with it.
pub(crate) fn delete(backend: &str, folder: &Path) -> Result<()> {
    if backends::is_on_server(backend) { backends::delete(&beside(backend, folder)?) } else { Ok(()) }
}

/// Beside the store that `url` would mean, on its server.
fn beside(url: &str, folder: &Path) -> Result<String> {
    let parts = [folder.parent(), Some(folder)].map(|path| path.and_then(Path::file_name));
    let names: Vec<String> = parts.into_iter().flatten().map(|name| text(Path::new(name))).collect::<Result<_>>()?;
    let name = names.join("-").to_lowercase();
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    if !place.starts_with("postgres") {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(format!("{}/{name}{query}", place.trim_end_matches('/')));
    }
    let others =
        query.unwrap_or_default().split('&').filter(|option| !option.is_empty() && !option.starts_with("schema="));
    let options: Vec<&str> = others.collect();
    let schema = format!("schema={}", name.replace('-', "_"));
    Ok(format!("{place}?{}", [&options[..], &[&schema]].concat().join("&")))
}

fn text(path: &Path) -> Result<String> {
    let invalid = || Error::new(ErrorKind::InvalidInput, format!("the path {} is not UTF-8", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_on_a_server_has_a_place_of_its_own() {
        let beside = |url| super::beside(url, Path::new("/tmp/out/pinako-bench-Xy/7")).unwrap();
        assert_eq!(beside("s3://bucket/bench/"), "s3://bucket/bench/pinako-bench-xy-7");
        assert_eq!(beside("az://box?timeout=5s"), "az://box/pinako-bench-xy-7?timeout=5s");
        assert_eq!(beside("postgres://me@host/db"), "postgres://me@host/db?schema=pinako_bench_xy_7");
        assert_eq!(
            beside("postgres://host/db?sslmode=require&schema=mine"),
            "postgres://host/db?sslmode=require&schema=pinako_bench_xy_7"
        );
    }

    #[test]
    fn what_does_not_fit_the_disk_is_refused() {
        check_space(Path::new("."), 1, "a file", "a smaller file").unwrap();
        let error = check_space(Path::new("."), u64::MAX, "a file", "a smaller file").unwrap_err();
        assert!(error.to_string().contains("MiB left") && error.hint().unwrap().contains("a smaller file"), "{error}");
    }
}
