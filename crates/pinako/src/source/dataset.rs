//! A data set of several files, each read when its turn comes.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::array::{Format, Labels, images};
use super::{Content, Item, Source, beside};
use crate::error::{Error, Result};

/// The images of one file.
pub(super) struct Part {
    /// How many there are, where that is known.
    pub(super) images: Option<u64>,
    pub(super) items: Items,
}

impl Part {
    /// `count` images that `read` gives one after another out of a stream, which ends at the first error.
    pub(super) fn in_sequence(count: u64, mut read: impl FnMut(u64) -> Result<Item> + Send + 'static) -> Self {
        let items = (0..count).scan(false, move |failed, place| {
            if *failed {
                return None;
            }
            let item = read(place);
            *failed = item.is_err();
            Some(item)
        });
        Part { images: Some(count), items: Box::new(items) }
    }

    /// The `count` images of an array that is `stream`, which must end with the last, and their labels. They are named
    /// `stem/0`, `stem/1`, ...; `origin` says where each came from.
    pub(super) fn of_array(
        count: u64,
        format: Format,
        stream: Box<dyn Read + Send>,
        labels: Option<Labels>,
        stem: String,
        origin: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        Self::of_images(count, images(format, count, stream), labels, stem, origin)
    }

    /// As [`of_array`](Self::of_array), with the images that `read` gives.
    pub(super) fn of_images(
        count: u64,
        mut read: impl FnMut(u64) -> Result<Content> + Send + 'static,
        mut labels: Option<Labels>,
        stem: String,
        origin: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        Self::in_sequence(count, move |place| {
            let origin = origin(place);
            let mut read = || Ok((read(place)?, labels.as_mut().map_or(Ok(None), Labels::read)?));
            let (content, label) = read().map_err(|error: Error| error.context(&origin))?;
            Ok(Item { name: format!("{stem}/{place}"), label, attributes: None, content, origin })
        })
    }
}

pub(super) type Items = Box<dyn Iterator<Item = Result<Item>> + Send>;

/// How a file is opened.
pub(super) type Open = Box<dyn Fn(&Path) -> Result<Part> + Send>;

/// Files of one kind, one after another.
pub(super) struct DataSet {
    title: String,
    label_names: Vec<String>,
    images: Option<u64>,
    files: std::vec::IntoIter<PathBuf>,
    open: Open,
    current: Option<Items>,
}

impl DataSet {
    /// The data set of `files`. Each is opened once to count its images; those that cannot be opened are errors when
    /// their turn comes, except where it is all of them.
    pub(super) fn new(
        title: impl Into<String>,
        label_names: Vec<String>,
        files: Vec<PathBuf>,
        open: Open,
    ) -> Result<Self> {
        let mut images = Some(0);
        let mut error = None;
        let mut sound = 0;
        for file in &files {
            match open(file) {
                Ok(part) => {
                    sound += 1;
                    images = images.zip(part.images).and_then(|(images, more): (u64, u64)| images.checked_add(more));
                }
                Err(first) => drop(error.get_or_insert(first)),
            }
        }
        match error {
            Some(error) if sound == 0 => Err(error),
            _ => {
                let files = files.into_iter();
                Ok(DataSet { title: title.into(), label_names, images, files, open, current: None })
            }
        }
    }

    /// Adds to the title what else there is in the folder that the data set was found in.
    pub(super) fn of_folder(mut self, folder: &Path) -> Self {
        self.title += &beside::note(folder, beside::files_beside(folder, self.files.as_slice()));
        self
    }
}

impl Source for DataSet {
    fn describe(&self) -> String {
        self.title.clone()
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn len(&self) -> Option<u64> {
        self.images
    }

    fn next(&mut self) -> Option<Result<Item>> {
        loop {
            if let Some(item) = self.current.as_mut().and_then(Iterator::next) {
                return Some(item);
            }
            match (self.open)(&self.files.next()?) {
                Ok(part) => self.current = Some(part.items),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
