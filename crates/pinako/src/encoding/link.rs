//! Linked images: the payload is the path of a file that stays where it is.
//!
//! Paths are kept relative to the store's folder wherever that is possible, so that a folder with store and images in
//! it can be moved as a whole. What the file was like when it was linked is kept too, so that a changed one is found
//! out instead of being taken for the image.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::descriptor::Link;
use crate::error::{Error, Result};

use super::file::{FileHeader, header};

/// A file made ready to be linked.
pub(crate) struct Linked {
    /// The payload: the path.
    pub(crate) path: String,
    pub(crate) link: Link,
    pub(crate) header: FileHeader,
}

/// Looks at the image file at `path` and makes what is stored of it, in a store whose folder is `folder`.
pub(crate) fn link(path: &Path, folder: Option<&Path>, limit: u64) -> Result<Linked> {
    let bytes = fs::read(path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
    let header = header(&bytes, limit).map_err(|error| error.context(path.display()))?;
    let link = Link { format: header.format, length: bytes.len() as u64, checksum: crc32c::crc32c(&bytes) };
    Ok(Linked { path: stored_path(path, folder)?, link, header })
}

/// The payload that means in the folder `to` what `payload` meant in the folder `from`.
pub(crate) fn relink(payload: &[u8], from: Option<&Path>, to: Option<&Path>) -> Result<String> {
    stored_path(&resolve(payload, from)?, to)
}

/// The linked file's bytes; `check` says whether its checksum must be the one of then.
pub(super) fn read(payload: &[u8], link: Link, folder: Option<&Path>, check: bool) -> Result<Vec<u8>> {
    let path = resolve(payload, folder)?;
    let name = path.display();
    let bytes = fs::read(&path).map_err(|error| {
        Error::io(format!("cannot read the linked file {name}"), error)
            .with_hint("it was moved or removed: put it back, or remove the image and import the file anew")
    })?;
    let changed = |what: String| {
        Err(Error::corrupt(format!("the linked file {name} was changed since it was linked: {what}"))
            .with_hint("put the old file back, or remove the image and import the file anew"))
    };
    if bytes.len() as u64 != link.length {
        return changed(format!("it has {} bytes, not {}", bytes.len(), link.length));
    }
    if check {
        let checksum = crc32c::crc32c(&bytes);
        if checksum != link.checksum {
            return changed(format!("its checksum is {checksum:08x}, not {:08x}", link.checksum));
        }
    }
    Ok(bytes)
}

fn resolve(payload: &[u8], folder: Option<&Path>) -> Result<PathBuf> {
    let path = std::str::from_utf8(payload)
        .map_err(|error| Error::corrupt("the linked path is not UTF-8").with_source(error))?;
    let path = Path::new(path);
    match folder {
        _ if path.is_absolute() => Ok(path.to_owned()),
        Some(folder) => Ok(folder.join(path)),
        None => {
            Err(Error::invalid(format!("the linked path {} is relative, but this store has no folder", path.display())))
        }
    }
}

/// `path` as it is stored: relative to `folder` where both are on one tree, else absolute.
fn stored_path(path: &Path, folder: Option<&Path>) -> Result<String> {
    let absolute = |path: &Path| {
        fs::canonicalize(path).map_err(|error| Error::io(format!("cannot find {}", path.display()), error))
    };
    let path = absolute(path)?;
    let stored = match folder {
        Some(folder) => relative(&path, &absolute(folder)?),
        None => path,
    };
    stored.into_os_string().into_string().map_err(|path| {
        Error::invalid(format!("the path {} is not UTF-8 and cannot be linked", Path::new(&path).display()))
            .with_hint("rename the file, or import it without linking")
    })
}

/// The way from the folder `from` to `to`, both absolute and without `..`; over the root it stays absolute.
fn relative(to: &Path, from: &Path) -> PathBuf {
    let common = to.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    if to.components().take(common).all(|component| !matches!(component, Component::Normal(_))) {
        return to.to_owned();
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_where_they_can_be() {
        let case = |to: &str, from: &str| relative(Path::new(to), Path::new(from)).display().to_string();
        assert_eq!(case("/a/b/c.png", "/a/store"), "../b/c.png");
        assert_eq!(case("/a/store/c.png", "/a/store"), "c.png");
        assert_eq!(case("/x/c.png", "/a/store"), "/x/c.png");
    }
}
