//! Numbered PNG files with their labels in CSV files, as a well-known Python tutorial writes them.
//!
//! Images are `0.png`, `1.png`, ... A CSV file has a label a line: `1000.csv` those of the images 0 to 999, `7.csv`,
//! where it has but one line, that of `7.png`. The largest of the first kind is read beside the images it is for; all
//! others are looked at only for images beyond.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::dataset::{DataSet, Part};
use super::{Content, Item};
use crate::descriptor::Label;
use crate::encoding;
use crate::error::{Error, Result};

/// Longest line of a CSV file.
const MAX_LINE: u64 = 1 << 12;

/// The images in `folder`, if there are such.
pub(super) fn open_folder(folder: &Path, files: &[PathBuf]) -> Result<Option<DataSet>> {
    let is_table = |path: &PathBuf| number(path, "csv").is_some();
    if !files.iter().any(is_table) || !folder.join("0.png").is_file() {
        return Ok(None);
    }
    let tables: Vec<PathBuf> = files.iter().filter(|path| is_table(path)).cloned().collect();
    let open = move |folder: &Path| open(folder, &tables);
    DataSet::new("PNG files and CSV files of labels", Vec::new(), vec![folder.to_owned()], Box::new(open)).map(Some)
}

/// The number that the file is named by.
fn number(path: &Path, extension: &str) -> Option<u64> {
    if path.extension()? != extension {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    stem.parse().ok().filter(|number: &u64| number.to_string() == stem)
}

fn open(folder: &Path, tables: &[PathBuf]) -> Result<Part> {
    let mut numbers = images(folder)?;
    let mut table = None;
    for path in tables {
        let Some(count) = number(path, "csv") else { continue };
        let found = Labels::open(path)?.count()?;
        if found == count && (count > 1 || numbers.binary_search(&count).is_err()) {
            table = table.max(Some((count, path)));
        } else if found != 1 {
            return Err(Error::corrupt(format!("{}: {found} labels, not {count} or one", path.display())));
        }
    }
    let (labelled, mut labels) = match table {
        Some((count, path)) => (count, Some(Labels::open(path)?)),
        None => (0, None),
    };
    // Images that have a label but are not there are errors when they are read.
    numbers.retain(|&number| number >= labelled);
    let images = labelled + numbers.len() as u64;
    let folder = folder.to_owned();
    let items = (0..labelled).chain(numbers).map(move |number| {
        let path = folder.join(format!("{number}.png"));
        let label = match &mut labels {
            Some(labels) if number < labelled => labels.read()?,
            _ => only_label(&folder.join(format!("{number}.csv")))
                .map_err(|error| error.context(format!("{} has no label", path.display())))?,
        };
        let origin = path.display().to_string();
        Ok(Item {
            name: number.to_string(),
            label: Some(label),
            attributes: None,
            content: Content::File(path),
            origin,
        })
    });
    Ok(Part { images: Some(images), items: Box::new(items) })
}

/// The label in a CSV file for one image.
fn only_label(path: &Path) -> Result<Label> {
    let mut labels = Labels::open(path)?;
    let label = labels.read()?;
    match labels.line()? {
        None => Ok(label),
        Some(_) => Err(Error::corrupt(format!("{} has more than one", path.display()))),
    }
}

/// The numbers of the images in `folder`, ascending.
fn images(folder: &Path) -> Result<Vec<u64>> {
    let cannot = |error| Error::io(format!("cannot list {}", folder.display()), error);
    let mut numbers = Vec::new();
    for entry in folder.read_dir().map_err(cannot)? {
        numbers.extend(number(&entry.map_err(cannot)?.path(), "png"));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The labels in a CSV file: whole numbers, a line each. What follows a space is not theirs.
struct Labels {
    path: PathBuf,
    lines: BufReader<File>,
}

impl Labels {
    fn open(path: &Path) -> Result<Self> {
        let cannot = |error| Error::io(format!("cannot read {}", path.display()), error);
        if !path.metadata().map_err(cannot)?.is_file() {
            return Err(encoding::no_regular_file(path));
        }
        let file = File::open(path).map_err(cannot)?;
        Ok(Labels { path: path.to_owned(), lines: BufReader::new(file) })
    }

    /// How many there are from here on.
    fn count(mut self) -> Result<u64> {
        let mut count = 0;
        while self.line()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    fn read(&mut self) -> Result<Label> {
        let path = self.path.display().to_string();
        let line = self.line()?.ok_or_else(|| Error::corrupt(format!("{path}: there are no more labels")))?;
        let label = line.split_whitespace().next().and_then(|word| word.parse().ok());
        label.ok_or_else(|| Error::corrupt(format!("{path}: {line:?} is no label: a whole number is expected")))
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Result<Option<String>> {
        loop {
            let mut line = String::new();
            let read = self.lines.by_ref().take(MAX_LINE).read_line(&mut line);
            let read = read.map_err(|error| Error::io(format!("cannot read {}", self.path.display()), error))?;
            if read as u64 == MAX_LINE {
                return Err(Error::corrupt(format!("{}: a line of {MAX_LINE} bytes or more", self.path.display())));
            }
            let line = line.trim();
            if read == 0 || !line.is_empty() {
                return Ok((read > 0).then(|| line.to_owned()));
            }
        }
    }
}
