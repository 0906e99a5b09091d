//! What holds images and stands in a folder beside the source that was recognised there. It is left out of the import;
//! whoever imports the folder is told.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{cifar, folder, idx};
use crate::backends;

/// Files that are named; of more it is only said that there are.
pub(super) const NAMED: usize = 3;

/// The end of a source's description: the first `others` of the files below `root`, if there are any.
pub(super) fn note(root: &Path, others: impl Iterator<Item = PathBuf>) -> String {
    let names: Vec<String> =
        others.take(NAMED + 1).map(|path| path.strip_prefix(root).unwrap_or(&path).display().to_string()).collect();
    match &names[..] {
        [] => String::new(),
        [named @ .., _] if names.len() > NAMED => format!("; left aside: {} and more", named.join(", ")),
        named => format!("; left aside: {}", named.join(", ")),
    }
}

/// The files below `root` that hold images by their names, but for those `taken` and what is below them.
pub(super) fn files_beside(root: &Path, taken: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let is_taken = |path: &Path| taken.iter().any(|taken| path.starts_with(taken));
    let files =
        folder::walk(root).flatten().filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.filter(move |path| !is_taken(path) && (folder::has_image_extension(path) || is_data_set(path)))
}

/// Whether a file of this name is taken for one of images in an array or the like. Stores have such files as well.
pub(super) fn is_data_set(path: &Path) -> bool {
    let is_array = matches!(path.extension().and_then(OsStr::to_str), Some("npy" | "npz" | "h5" | "hdf5"));
    (is_array || cifar::batch10(path).is_some() || idx::is_images_name(path))
        && !path.ancestors().skip(1).any(backends::is_store)
}
