//! IDX, the form of MNIST and its kin: an array of numbers after a short header.
//!
//! Two zero bytes, one for the type of the elements, one for the number of dimensions, the dimensions as big-endian
//! u32, and the elements, big endian, the last dimension running fastest
//! (<https://web.archive.org/web/2020/http://yann.lecun.com/exdb/mnist/>). Images and labels come in two files whose
//! names differ by these words: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, often as `.gz`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::array::{Element, Format, Labels, Order};
use super::dataset::{DataSet, Part};
use crate::error::{Error, Result};

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The data set in a folder, if there is one.
pub(super) fn open_folder(folder: &Path, files: &[PathBuf]) -> Result<Option<DataSet>> {
    let files: Vec<PathBuf> = files
        .iter()
        .filter(|path| is_images_name(path) && !(is_gz(path) && path.with_extension("").is_file()))
        .cloned()
        .collect();
    if files.is_empty() {
        return Ok(None);
    }
    let labels = files.iter().any(|file| labels_of(file).is_some());
    let title = if labels { "IDX files of images and labels" } else { "IDX files of images" };
    DataSet::new(title, Vec::new(), files, Box::new(open)).map(Some).map_err(|error| error.context(folder.display()))
}

/// The images of one file, if it is one of these.
pub(super) fn open_file(path: &Path, head: &[u8]) -> Result<Option<DataSet>> {
    match head {
        [0, 0, 8..=14, 1..=4, ..] => {}
        [0x1f, 0x8b, ..] if path.to_string_lossy().contains("idx") => {}
        _ => return Ok(None),
    }
    DataSet::new("an IDX file of images", Vec::new(), vec![path.to_owned()], Box::new(open)).map(Some)
}

/// Whether a file of this name is taken for one of images.
pub(super) fn is_images_name(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains("images") && name.contains("idx"))
}

fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The file with the labels of the images in `path`, gzipped or not.
fn labels_of(path: &Path) -> Option<PathBuf> {
    let plain = if is_gz(path) { path.with_extension("") } else { path.to_owned() };
    let name = plain.file_name()?.to_str()?;
    if !name.contains("images") {
        return None;
    }
    let name = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    [name.clone(), name + ".gz"].into_iter().map(|name| path.with_file_name(name)).find(|path| path.is_file())
}

fn open(path: &Path) -> Result<Part> {
    let images = Idx::open(path).map_err(|error| error.context(path.display()))?;
    let (format, count) = images.format().map_err(|error| error.context(path.display()))?;
    let labels = match labels_of(path) {
        Some(labels) => {
            let open = || Idx::labels(&labels, count);
            let checked = open().and_then(|labels| labels.check(count)).and_then(|()| open());
            Some(checked.map_err(|error| error.context(labels.display()))?)
        }
        None => None,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = match name.split_once("images") {
        Some((stem, _)) if !stem.is_empty() => stem.trim_end_matches(['-', '_', '.']).to_owned(),
        _ => name,
    };
    let path = path.to_owned();
    let origin = move |place| format!("{}, image {place}", path.display());
    Ok(Part::of_array(count, format, images.stream, labels, stem, origin))
}

/// An IDX file whose header was read.
struct Idx {
    element: Element,
    dimensions: Vec<u64>,
    /// Its elements.
    stream: Box<dyn Read + Send>,
    /// Bytes of the elements, where the file is not gzipped.
    length: Option<u64>,
}

impl Idx {
    fn open(path: &Path) -> Result<Self> {
        let cannot = |error| Error::io("cannot read it", error);
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(cannot)?);
        let mut length = Some(file.get_ref().metadata().map_err(cannot)?.len());
        let is_gzip = std::io::BufRead::fill_buf(&mut file).map_err(cannot)?.starts_with(&GZIP);
        let mut stream: Box<dyn Read + Send> = match is_gzip {
            true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        let mut word = || {
            let mut word = [0; 4];
            stream.read_exact(&mut word).map_err(|error| Error::io("cannot read its header", error))?;
            Ok::<_, Error>(word)
        };
        let (element, count) = match word()? {
            [0, 0, kind, count @ 1..=4] => (element(kind)?, count),
            other => {
                return Err(Error::unsupported(format!("no IDX file of images or labels: it starts {other:02x?}")));
            }
        };
        let dimensions = (0..count).map(|_| Ok(u32::from_be_bytes(word()?).into())).collect::<Result<_>>()?;
        length = length.filter(|_| !is_gzip).map(|length| length.saturating_sub(4 + 4 * u64::from(count)));
        Ok(Idx { element, dimensions, stream, length })
    }

    fn format(&self) -> Result<(Format, u64)> {
        let (format, count) = Format::of_array(&self.dimensions, self.element, Order::Big)?;
        match self.length {
            Some(length) => format.check_length(count, length)?,
            None => format.check_compressed()?,
        }
        Ok((format, count))
    }

    /// The labels in a file of `count`.
    fn labels(path: &Path, count: u64) -> Result<Labels> {
        let Idx { element, dimensions, stream, .. } = Self::open(path)?;
        Labels::of_array(stream, element, Order::Big, &dimensions, count)
    }
}

fn element(code: u8) -> Result<Element> {
    match code {
        0x08 => Ok(Element::Unsigned(1)),
        0x09 => Ok(Element::Signed(1)),
        0x0b => Ok(Element::Signed(2)),
        0x0c => Ok(Element::Signed(4)),
        0x0d => Ok(Element::F32),
        0x0e => Ok(Element::F64),
        other => Err(Error::unsupported(format!("an IDX file of elements of the unknown type {other:#04x}"))),
    }
}
