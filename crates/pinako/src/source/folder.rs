//! Image files, one by itself or a tree of them.
//!
//! **Classes.** An image's class is the name of the folder it stands in, wherever that can be meant: all images are
//! equally deep in the tree, and the folders have two or more different names that are not just those of a split
//! (`train`, `test`, ...). So `cat/1.jpg` and `train/cat/1.jpg` are cats, and a tree of dates and places has no
//! classes. It is the rule of Hugging Face's *imagefolder*. Names that are all whole numbers are the labels themselves;
//! others are sorted.
//!
//! **Names.** An image's name is its path relative to the tree's root, with `/` between folders.
//!
//! What begins with a dot is left out. Links are followed, but not in circles. The tree is walked twice, first to
//! count and to find the classes; no list of the files is kept.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Content, Item, Source, beside};
use crate::descriptor::Label;
use crate::encoding;
use crate::error::{Error, Result};

/// Folders that are parts of a data set, not classes.
const SPLITS: [&str; 7] = ["dev", "test", "train", "training", "val", "valid", "validation"];

/// A tree of image files.
pub(super) struct Folder {
    root: PathBuf,
    walk: Box<dyn Iterator<Item = walkdir::Result<DirEntry>> + Send>,
    images: u64,
    label_names: Vec<String>,
    /// The label of each folder name; empty where there are no classes.
    labels: HashMap<String, Label>,
    /// What its description ends in.
    note: String,
}

impl Folder {
    /// The tree at `root`; `None` where there are no image files in it.
    pub(super) fn open(root: &Path) -> Option<Self> {
        let mut images = 0;
        let mut depths = BTreeSet::new();
        let mut parents = BTreeSet::new();
        let mut others = Vec::new();
        for entry in walk(root).flatten() {
            if !is_image(&entry) {
                if others.len() <= beside::NAMED && entry.file_type().is_file() && beside::is_data_set(entry.path()) {
                    others.push(entry.into_path());
                }
                continue;
            }
            images += 1;
            depths.insert(entry.depth());
            if let Some(parent) = parent_name(entry.path())
                && !parents.contains(&*parent)
            {
                parents.insert(parent);
            }
        }
        if images == 0 {
            return None;
        }
        let is_split = |name: &String| SPLITS.contains(&name.as_str());
        let has_classes = depths.len() == 1 && parents.len() > 1 && !parents.iter().all(is_split);
        let (label_names, labels) = if has_classes { classes(parents) } else { Default::default() };
        let note = beside::note(root, others.into_iter());
        Some(Folder { root: root.to_owned(), walk: Box::new(walk(root)), images, label_names, labels, note })
    }

    fn item(&self, entry: DirEntry) -> Result<Item> {
        let path = entry.into_path();
        let origin = path.display().to_string();
        let name = path.strip_prefix(&self.root).ok().and_then(slashed).ok_or_else(|| {
            Error::invalid(format!("{origin}: its path is not UTF-8 and cannot be a name")).with_hint("rename the file")
        })?;
        let label = parent_name(&path).and_then(|parent| self.labels.get(&parent)).copied();
        Ok(Item { name, label, attributes: None, content: Content::File(path), origin })
    }
}

impl Source for Folder {
    fn describe(&self) -> String {
        match self.labels.len() {
            0 => format!("image files{}", self.note),
            classes => format!("image files in {classes} class folders{}", self.note),
        }
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn len(&self) -> Option<u64> {
        Some(self.images)
    }

    fn next(&mut self) -> Option<Result<Item>> {
        loop {
            match self.walk.next()? {
                Ok(entry) if is_image(&entry) => return Some(self.item(entry)),
                Ok(_) => {}
                // The files in a circle of links were met already.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) => {
                    let path = error.path().unwrap_or(&self.root).to_owned();
                    if path.extension().is_none() || has_image_extension(&path) {
                        return Some(Err(Error::io(format!("cannot read {}", path.display()), error.into())));
                    }
                }
            }
        }
    }
}

/// One image file.
pub(super) struct SingleFile {
    file: Option<PathBuf>,
    name: String,
}

impl SingleFile {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| {
            Error::invalid(format!("{}: its name is not UTF-8", path.display())).with_hint("rename the file")
        })?;
        Ok(SingleFile { name: name.to_owned(), file: Some(path.to_owned()) })
    }
}

impl Source for SingleFile {
    fn describe(&self) -> String {
        "an image file".to_owned()
    }

    fn label_names(&self) -> &[String] {
        &[]
    }

    fn len(&self) -> Option<u64> {
        Some(1)
    }

    fn next(&mut self) -> Option<Result<Item>> {
        let file = self.file.take()?;
        let origin = file.display().to_string();
        Some(Ok(Item { name: self.name.clone(), label: None, attributes: None, content: Content::File(file), origin }))
    }
}

/// The tree in the order of its file names, a sorted folder at a time.
pub(super) fn walk(root: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> + Send + use<> {
    WalkDir::new(root)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b"."))
}

fn is_image(entry: &DirEntry) -> bool {
    entry.file_type().is_file() && has_image_extension(entry.path())
}

/// Whether a file of this name is taken for an image.
pub(super) fn has_image_extension(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).and_then(encoding::format_of_extension).is_some()
}

fn parent_name(path: &Path) -> Option<String> {
    Some(path.parent()?.file_name()?.to_string_lossy().into_owned())
}

fn slashed(relative: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
    Some(parts?.join("/"))
}

/// The label names of folders of these names, and the label of each.
fn classes(folders: BTreeSet<String>) -> (Vec<String>, HashMap<String, Label>) {
    let number = |name: &String| name.parse::<Label>().ok().filter(|label| label.to_string() == *name);
    let numbers: Option<HashMap<String, Label>> =
        folders.iter().map(|name| Some((name.clone(), number(name)?))).collect();
    match numbers {
        Some(numbers) => (Vec::new(), numbers),
        None => {
            let labels = folders.iter().cloned().zip(0..).collect();
            (folders.into_iter().collect(), labels)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(files: &[&str]) -> (Vec<String>, Vec<(String, Option<Label>)>) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let mut folder = Folder::open(root.path()).expect("images");
        let mut items = Vec::new();
        while let Some(item) = folder.next() {
            let item = item.unwrap();
            items.push((item.name, item.label));
        }
        assert_eq!(folder.len(), Some(items.len() as u64));
        (folder.label_names, items)
    }

    #[test]
    fn classes_are_the_folders_that_images_stand_in() {
        let item = |name: &str, label| (name.to_owned(), label);
        let (names, items) = labels(&["dog/1.png", "cat/2.JPG", "cat/1.jpg", "cat/note.txt", ".git/x.png"]);
        assert_eq!(names, ["cat", "dog"]);
        assert_eq!(items, [item("cat/1.jpg", Some(0)), item("cat/2.JPG", Some(0)), item("dog/1.png", Some(1))]);

        let (names, items) = labels(&["train/cat/1.png", "train/dog/1.png", "test/cat/1.png"]);
        assert_eq!(names, ["cat", "dog"]);
        assert_eq!(items.iter().map(|item| item.1).collect::<Vec<_>>(), [Some(0), Some(0), Some(1)]);

        let (names, items) = labels(&["10/a.png", "2/b.png"]);
        assert!(names.is_empty());
        assert_eq!(items, [item("10/a.png", Some(10)), item("2/b.png", Some(2))]);
    }

    #[test]
    fn a_tree_without_class_folders_has_no_labels() {
        for files in [
            &["a.png", "b.png"][..],
            &["all/a.png", "all/b.png"],
            &["a/1.png", "b/deeper/2.png"],
            &["train/a.png", "test/b.png"],
        ] {
            let (names, items) = labels(files);
            assert!(names.is_empty() && items.len() == 2 && items.iter().all(|item| item.1.is_none()), "{files:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_circle_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.png"), b"").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        let mut folder = Folder::open(root.path()).unwrap();
        assert_eq!(folder.next().unwrap().unwrap().name, "a.png");
        assert!(folder.next().is_none());
    }
}
