//! Linked images: the payload is the path of a file that stays where it is.
//!
//! Paths are kept relative to the store's folder wherever that is possible, so that a folder with store and images in
//! it can be moved as a whole. What the file was like when it was linked is kept too, so that a changed one is found
//! out instead of being taken for the image.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::checksum;
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
    let bytes = read_file(path, limit)?;
    let header = header(&bytes, limit).map_err(|error| error.context(path.display()))?;
    let link = Link { format: header.format, length: bytes.len() as u64, checksum: checksum::crc32c(&bytes) };
    Ok(Linked { path: stored_path(path, folder)?, link, header })
}

/// The bytes of the image file at `path`.
///
/// # Errors
/// `Unsupported` where they are more than `limit`; `InvalidInput` where it is no regular file.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let name = path.display();
    let cannot = |error| Error::io(format!("cannot read {name}"), error);
    let Some((file, length)) = open_regular(path).map_err(cannot)? else {
        return Err(no_regular_file(path));
    };
    if length > limit {
        return Err(Error::unsupported(format!("{name} has {length} bytes, more than the limit of {limit}"))
            .with_hint("raise max_image_bytes if the file is to be trusted"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

/// The error for a device, a pipe or a folder where an image file is expected.
pub(crate) fn no_regular_file(path: &Path) -> Error {
    Error::invalid(format!("{} is no regular file", path.display()))
        .with_hint("store what comes out of a pipe or device in a file first")
}

/// The payload that means in the folder `to` what `payload` meant in the folder `from`. The file it leads to is not
/// looked at.
pub(crate) fn relink(payload: &[u8], from: Option<&Path>, to: Option<&Path>) -> Result<String> {
    stored_path(&resolve(payload, from)?, to)
}

/// The linked file's bytes; `check` says whether its checksum must be the one of then.
pub(super) fn read(payload: &[u8], link: Link, folder: Option<&Path>, check: bool) -> Result<Vec<u8>> {
    let path = resolve(payload, folder)?;
    let name = path.display();
    let cannot = |error| {
        Error::io(format!("cannot read the linked file {name}"), error)
            .with_hint("it was moved or removed: put it back, or remove the image and import the file anew")
    };
    let changed = |what: String| {
        Err(Error::corrupt(format!("the linked file {name} was changed since it was linked: {what}"))
            .with_hint("put the old file back, or remove the image and import the file anew"))
    };
    let Some((file, length)) = open_regular(&path).map_err(cannot)? else {
        return changed("it is no regular file".to_owned());
    };
    if length != link.length {
        return changed(format!("it has {length} bytes, not {}", link.length));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 != length {
        return changed(format!("it has {} bytes, not {length}", bytes.len()));
    }
    if check {
        let checksum = checksum::crc32c(&bytes);
        if checksum != link.checksum {
            return changed(format!("its checksum is {checksum:08x}, not {:08x}", link.checksum));
        }
    }
    Ok(bytes)
}

/// Opens a file and says how long it is, or `None` where it is no regular one: a device may have no end, and whoever
/// opens a pipe waits for its other side.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(Some((file, length)))
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

/// The absolute path, without links as far as it can be followed: a folder may still have to be made, a linked file may
/// be gone.
fn absolute(path: &Path) -> Result<PathBuf> {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(path), _, _) => Ok(path),
        (Err(_), Some(parent), Some(name)) => Ok(absolute(parent)?.join(name)),
        (Err(error), _, _) => Err(Error::io(format!("cannot find {}", path.display()), error)),
    }
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
    fn a_device_that_has_no_end_is_neither_linked_nor_read() {
        let linked = link(Path::new("/dev/zero"), None, 1 << 20).map(|linked| linked.path);
        assert!(linked.unwrap_err().to_string().contains("no regular file"));
        let link = Link { format: crate::ImageFormat::Png, length: 10, checksum: 0 };
        let error = read(b"/dev/zero", link, None, true).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read_to_be_linked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        let error = link(file.path(), None, 1 << 20).map(|linked| linked.path).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported, "{error}");
    }

    #[test]
    fn paths_are_relative_where_they_can_be() {
        let case = |to: &str, from: &str| relative(Path::new(to), Path::new(from)).display().to_string();
        assert_eq!(case("/a/b/c.png", "/a/store"), "../b/c.png");
        assert_eq!(case("/a/store/c.png", "/a/store"), "c.png");
        assert_eq!(case("/x/c.png", "/a/store"), "/x/c.png");
    }
}
