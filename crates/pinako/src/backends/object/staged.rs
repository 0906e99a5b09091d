//! What a folder has of objects that were being put when their writer was killed.
//!
//! `object_store` writes a file `NAME#1` (or another number) aside before it gives it its name, and shows such files to
//! nobody; so they are looked for on the disk.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::manifests::number_of;
use super::objects::Objects;
use crate::error::{Error, Result};

/// The files in the store's `folder` that were being written longer than `keep` before `now`, by the clock of that folder,
/// with their lengths.
pub(super) fn left_over(folder: &Path, now: SystemTime, keep: Duration) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for inside in ["manifest", "parts"].map(|name| folder.join(name)) {
        let cannot = |error| Error::io(format!("cannot list {}", inside.display()), error);
        let entries = match inside.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(cannot)?,
        };
        for entry in entries {
            let path = entry.map_err(cannot)?.path();
            // Whoever wrote it may have finished by now.
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let age = metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok());
            if is_staged(&path) && metadata.is_file() && age.is_some_and(|age| age > keep) {
                found.push((path, metadata.len()));
            }
        }
    }
    Ok(found)
}

/// Whether a file has the name of one of our objects, followed by a number.
fn is_staged(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('#'));
    name.is_some_and(|(name, number)| {
        let name = object_store::path::Path::from(name);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (number_of(&name).is_some() || Objects::is_part(&object_store::path::Path::ROOT, &name))
    })
}

/// Removes a file, if it is still there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_being_put_and_is_old_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        assert!(left_over(folder.path(), now, Duration::ZERO).unwrap().is_empty());
        let names = [
            ("parts/0012ab34cd56ef78.arrow#1", true),
            ("manifest/18446744073709551615.json#12", true),
            ("parts/0012ab34cd56ef78.arrow", false),
            ("parts/0012ab34cd56ef78.arrow#", false),
            ("parts/notes#1", false),
            ("manifest/18446744073709551615.json", false),
        ];
        for (name, _) in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        // A minute later by the server's clock, whatever this machine's says.
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(left_over(folder.path(), later, Duration::from_secs(120)).unwrap().is_empty());
        let mut found = left_over(folder.path(), later, Duration::from_secs(30)).unwrap();
        found.sort();
        let mut expected: Vec<_> =
            names.iter().filter(|(_, left)| *left).map(|(name, _)| (folder.path().join(name), 5)).collect();
        expected.sort();
        assert_eq!(found, expected);
    }
}
