//! CIFAR-10 and CIFAR-100: 32x32 pixels of three colours, as Python pickles and as plain records.
//!
//! Both forms are described at <https://www.cs.toronto.edu/~kriz/cifar.html>. A picture is 3072 bytes, a plane a
//! colour. In the pickles a batch is a dictionary with an array of pictures and lists of labels and file names; in the
//! binary form a picture follows its label (CIFAR-100: its coarse and its fine label), a byte each. The label of a
//! picture of CIFAR-100 is the fine one; the coarse one becomes the attribute `coarse_label`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::array::{Element, Format, Order};
use super::dataset::{DataSet, Part};
use super::pickle::{Pickle, Value};
use super::{Content, Item};
use crate::descriptor::{Attributes, Label};
use crate::error::{Error, Result};
use crate::image::Shape;

/// Bytes of a picture.
const PICTURE: u64 = 3072;

const OTHER_PICTURES: &str = "store images of other kinds by numpy.save and import the .npy file";

fn format() -> Result<Format> {
    Ok(Format { element: Element::Unsigned(1), order: Order::Little, shape: Shape::new(32, 32, 3)?, planar: true })
}

/// The data set in a folder in either form, if there is one.
pub(super) fn open_folder(folder: &Path, files: &[PathBuf]) -> Result<Option<DataSet>> {
    let there = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect()
    };
    let mut batches: Vec<(Batch10, &PathBuf)> = files.iter().filter_map(|path| Some((batch10(path)?, path))).collect();
    batches.sort();
    let of = |binary: bool| -> Vec<PathBuf> {
        batches.iter().filter(|(batch, _)| batch.binary == binary).map(|(_, path)| (*path).clone()).collect()
    };
    let files = of(false);
    if !files.is_empty() {
        return pickles("CIFAR-10, Python pickles", folder, files).map(Some);
    }
    if folder.join("meta").is_file() {
        let files = there(&["train", "test"]);
        if !files.is_empty() {
            return pickles("CIFAR-100, Python pickles", folder, files).map(Some);
        }
    }
    let files = of(true);
    if !files.is_empty() {
        return binary("CIFAR-10, binary", folder, files, 1).map(Some);
    }
    let files = there(&["train.bin", "test.bin"]);
    if !files.is_empty() {
        return binary("CIFAR-100, binary", folder, files, 2).map(Some);
    }
    Ok(None)
}

/// Which batch of CIFAR-10 a file is, in the order in which they are read.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch10 {
    binary: bool,
    test: bool,
    number: u64,
}

/// The batch of CIFAR-10 that a file is by its name: `data_batch_1` and so on, the hosts' five or any number, then
/// `test_batch`.
pub(super) fn batch10(path: &Path) -> Option<Batch10> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".bin").unwrap_or(name);
    let (test, number) = match stem.strip_prefix("data_batch_") {
        Some(number) => (false, number),
        None if stem == "test_batch" => (true, "1"),
        None => (true, stem.strip_prefix("test_batch_")?),
    };
    Some(Batch10 { binary: name != stem, test, number: number.parse().ok()? })
}

/// The batch in a file by itself, if it is one: a pickle, or records by the file's name.
pub(super) fn open_file(path: &Path, head: &[u8]) -> Result<Option<DataSet>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = vec![path.to_owned()];
    // The last two are how dictionaries start in protocols 0 and 1, which are told from what is no pickle at all.
    if let [0x80, 2..=5, ..] | [b'(', b'd', b'p', b'0', ..] | [b'}', b'q', 0, b'(', ..] = head {
        return pickles("a CIFAR batch, Python pickle", folder, files).map(Some);
    }
    match path.file_name().and_then(|name| name.to_str()) {
        Some("train.bin" | "test.bin") => binary("a CIFAR-100 batch, binary", folder, files, 2).map(Some),
        Some(name) if name.ends_with(".bin") && name.contains("batch") => {
            binary("a CIFAR-10 batch, binary", folder, files, 1).map(Some)
        }
        _ => Ok(None),
    }
}

fn pickles(title: &str, folder: &Path, files: Vec<PathBuf>) -> Result<DataSet> {
    for (file, key) in [("batches.meta", "label_names"), ("meta", "fine_label_names")] {
        let path = folder.join(file);
        if path.is_file() {
            let names = pickled_names(&path, key).map_err(|error| error.context(path.display()))?;
            return DataSet::new(title, names, files, Box::new(open_pickle));
        }
    }
    DataSet::new(title, Vec::new(), files, Box::new(open_pickle))
}

fn pickled_names(path: &Path, key: &str) -> Result<Vec<String>> {
    let (mut file, length) = open(path)?;
    let pickle = Pickle::read(&mut file, length, &[])?;
    let missing = || Error::corrupt(format!("the pickle has no list {key:?} of names"));
    let names = pickle.get(pickle.root(), key).and_then(Value::items).ok_or_else(missing)?;
    let name = |&name: &_| {
        let name = pickle.value(name).text().and_then(|name| std::str::from_utf8(name).ok());
        name.map(str::to_owned).ok_or_else(missing)
    };
    names.iter().map(name).collect()
}

fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let cannot = |error| Error::io(format!("cannot read {}", path.display()), error);
    let file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    Ok((BufReader::with_capacity(1 << 16, file), length))
}

fn open_pickle(path: &Path) -> Result<Part> {
    read_pickle(path).map_err(|error| error.context(path.display()))
}

/// What a pickled batch says of its pictures.
struct Batch {
    labels: Vec<Label>,
    coarse_labels: Option<Vec<Label>>,
    /// Unique, where they are given at all.
    names: Option<Vec<String>>,
    /// Where the pixels start in the file.
    pixels_at: u64,
}

fn read_pickle(path: &Path) -> Result<Part> {
    let (mut file, length) = open(path)?;
    let Batch { labels, coarse_labels, names, pixels_at } = batch(&Pickle::read(&mut file, length, &[])?)?;
    file.seek(SeekFrom::Start(pixels_at)).map_err(|error| Error::io("cannot read the pixels", error))?;
    let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = path.to_owned();
    let format = format()?;
    Ok(Part::in_sequence(labels.len() as u64, move |index| {
        let place = index as usize;
        let origin = format!("{}, image {place}", path.display());
        let image = format.read(&mut file).map_err(|error| error.context(&origin))?;
        let name = match &names {
            Some(names) => format!("{stem}/{}", names[place]),
            None => format!("{stem}/{place}"),
        };
        let attributes = coarse_labels.as_ref().map(|labels| coarse(labels[place])).transpose()?;
        Ok(Item { name, label: Some(labels[place]), attributes, content: Content::Pixels(image), origin })
    }))
}

fn batch(pickle: &Pickle) -> Result<Batch> {
    let root = pickle.root();
    let Some(data) = pickle.get(root, "data") else {
        let message = "the pickle is no CIFAR batch: a dictionary with the key \"data\" is expected";
        return Err(Error::unsupported(message).with_hint(OTHER_PICTURES));
    };
    let Value::Array(Some(array)) = data else {
        return Err(Error::corrupt("the pickle's \"data\" is no numpy array"));
    };
    let (&[count, PICTURE], Element::Unsigned(1)) = (&array.shape[..], array.element) else {
        return Err(Error::unsupported(format!(
            "the pickle's \"data\" has the shape {:?} and elements of the type {}, not N x {PICTURE} of uint8",
            array.shape, array.element
        ))
        .with_hint(OTHER_PICTURES));
    };
    let pixels_at = match pickle.value(array.data) {
        Value::Blob(blob) if Some(blob.length) == count.checked_mul(PICTURE) => blob.at,
        Value::Blob(blob) => {
            return Err(Error::corrupt(format!("{count} pictures in {} bytes, not {PICTURE} each", blob.length)));
        }
        _ => return Err(Error::corrupt("the array \"data\" has no bytes")),
    };
    let list = |key: &str| -> Result<Option<&[u32]>> {
        let Some(value) = pickle.get(root, key) else { return Ok(None) };
        match value.items() {
            Some(items) if items.len() as u64 == count => Ok(Some(items)),
            Some(items) => Err(Error::corrupt(format!("{} {key:?} for {count} pictures", items.len()))),
            None => Err(Error::corrupt(format!("{key:?} is no list"))),
        }
    };
    let numbers = |key: &str| -> Result<Option<Vec<Label>>> {
        let Some(items) = list(key)? else { return Ok(None) };
        let number = |&item: &u32| match pickle.value(item) {
            Value::Int(label) => Ok(*label),
            _ => Err(Error::corrupt(format!("{key:?} are not all whole numbers"))),
        };
        items.iter().map(number).collect::<Result<_>>().map(Some)
    };
    let labels = match numbers("labels")? {
        Some(labels) => labels,
        None => numbers("fine_labels")?.ok_or_else(|| Error::corrupt("the batch has no \"labels\""))?,
    };
    let names = list("filenames")?.and_then(|names| {
        let name = |&name: &u32| std::str::from_utf8(pickle.value(name).text()?).ok().map(str::to_owned);
        names.iter().map(name).collect::<Option<Vec<String>>>()
    });
    let unique = |names: &Vec<String>| names.iter().collect::<HashSet<_>>().len() == names.len();
    Ok(Batch { labels, coarse_labels: numbers("coarse_labels")?, names: names.filter(unique), pixels_at })
}

fn coarse(label: Label) -> Result<Attributes> {
    Attributes::parse(&format!(r#"{{"coarse_label":{label}}}"#))
}

/// `label_bytes`: 1 for CIFAR-10, 2 for CIFAR-100.
fn binary(title: &str, folder: &Path, files: Vec<PathBuf>, label_bytes: usize) -> Result<DataSet> {
    let names = folder.join(if label_bytes == 1 { "batches.meta.txt" } else { "fine_label_names.txt" });
    let names: Vec<String> = match names.is_file() {
        true => std::fs::read_to_string(&names)
            .map_err(|error| Error::io(format!("cannot read {}", names.display()), error))
            .map(|text| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())?,
        false => Vec::new(),
    };
    let classes = match (&names[..], label_bytes) {
        ([], 1) => 10,
        ([], _) => 100,
        (names, _) => names.len(),
    };
    let open = move |path: &Path| {
        let part = read_binary(path, label_bytes).map_err(|error| error.context(path.display()))?;
        let items = part.items.map(move |item| item.and_then(|item| with_class_below(classes, item)));
        Ok(Part { items: Box::new(items), ..part })
    };
    DataSet::new(title, names, files, Box::new(open))
}

/// Checks the label of a record, any byte of which may be there.
fn with_class_below(classes: usize, item: Item) -> Result<Item> {
    match item.label {
        Some(label) if label >= classes as Label => Err(Error::corrupt(format!(
            "{}: the label {label} does not fit the {classes} classes of the data set (0 to {})",
            item.origin,
            classes - 1
        ))),
        _ => Ok(item),
    }
}

fn read_binary(path: &Path, label_bytes: usize) -> Result<Part> {
    let (mut file, length) = open(path)?;
    let record = PICTURE + label_bytes as u64;
    if length % record != 0 {
        return Err(Error::corrupt(format!(
            "{length} bytes are no multiple of {record}, a picture and its label: the file is cut off or another one"
        )));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = path.to_owned();
    let format = format()?;
    Ok(Part::in_sequence(length / record, move |place| {
        let origin = format!("{}, image {place}", path.display());
        let mut labels = [0; 2];
        let labels = &mut labels[..label_bytes];
        file.read_exact(labels).map_err(|error| Error::io(format!("{origin}: cannot read its label"), error))?;
        let image = format.read(&mut file).map_err(|error| error.context(&origin))?;
        let (label, attributes) = match *labels {
            [coarse_label, label] => (label, Some(coarse(coarse_label.into())?)),
            [label] => (label, None),
            _ => return Err(Error::invalid("a record has one label or two")),
        };
        let content = Content::Pixels(image);
        Ok(Item { name: format!("{stem}/{place}"), label: Some(label.into()), attributes, content, origin })
    }))
}
