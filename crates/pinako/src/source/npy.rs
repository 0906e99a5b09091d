//! numpy's arrays: `.npy`, one in a file, and `.npz`, a zip archive of several.
//!
//! An array N,H,W or N,H,W,C is one of images. Its labels are another of N whole numbers: of `set.npy` those in
//! `set.labels.npy` beside it; in an archive those whose name follows from the images' (`x_train` and `y_train`,
//! `train_images` and `train_labels`), or `labels` or `y`. -1 is no label.
//!
//! The format is described at <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: after a short
//! head, the text of a Python dictionary with the element type, the order and the shape; then the elements.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::Content;
use super::array::{Element, Format, Labels, Order, STREAMED, Samples};
use super::dataset::{DataSet, Part};
use crate::error::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest text of a header; an array of plain numbers has one of some 100 bytes.
const MAX_HEADER: u32 = 1 << 16;
/// Most arrays in an archive.
const MAX_ARRAYS: usize = 1 << 12;

/// The arrays in a file, if it is one of these.
pub(super) fn open_file(path: &Path, head: &[u8]) -> Result<Option<DataSet>> {
    let (title, open): (_, fn(&Path) -> Result<Part>) = match head {
        _ if head.starts_with(MAGIC) => ("a numpy array of images", open_npy),
        _ if head.starts_with(b"PK") => ("a numpy archive of images", open_npz),
        _ => return Ok(None),
    };
    let open = move |path: &Path| open(path).map_err(|error| error.context(path.display()));
    DataSet::new(title, Vec::new(), vec![path.to_owned()], Box::new(open)).map(Some)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn open_npy(path: &Path) -> Result<Part> {
    let stem = stem(path);
    let labels = path.with_file_name(format!("{stem}.labels.npy"));
    let open_labels = || plain(&labels).map_err(|error| error.context(labels.display()));
    let open_labels: Option<&OpenArray<'_>> = if labels.is_file() { Some(&open_labels) } else { None };
    plain(path)?.part(open_labels, path.to_owned(), stem, false)
}

/// The array in a `.npy` file.
fn plain(path: &Path) -> Result<Array> {
    let cannot = |error| Error::io("cannot read it", error);
    let file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    Array::open(Box::new(BufReader::with_capacity(1 << 16, file)), length)
}

fn open_npz(path: &Path) -> Result<Part> {
    let members = members(path)?;
    let mut arrays = BTreeMap::new();
    for (name, member) in &members {
        arrays.insert(name.as_str(), member.open(path).map_err(|error| error.context(name))?.dimensions);
    }
    let images: Vec<&str> =
        arrays.iter().filter(|(_, sides)| matches!(sides.len(), 3 | 4)).map(|(&name, _)| name).collect();
    if images.is_empty() {
        let shapes: Vec<String> = arrays.iter().map(|(name, sides)| format!("{name} {sides:?}")).collect();
        return Err(Error::unsupported(format!(
            "no array N,H,W or N,H,W,C of images in the archive, only {}",
            shapes.join(", ")
        ))
        .with_hint("reshape the images to N,H,W or N,H,W,C"));
    }
    let mut parts = Vec::new();
    let mut count = 0u64;
    for &name in &images {
        let open = |name: &str| members[name].open(path).map_err(|error| error.context(name));
        let labels = labels_of(name, &arrays, images.len() == 1).map(|labels| move || open(labels));
        let labels = labels.as_ref().map(|open| open as &OpenArray<'_>);
        let stem = if images.len() == 1 { stem(path) } else { format!("{}/{name}", stem(path)) };
        let part = open(name)?.part(labels, path.to_owned(), stem, true).map_err(|error| error.context(name))?;
        count = count.saturating_add(part.images.unwrap_or_default());
        parts.push(part.items);
    }
    Ok(Part { images: Some(count), items: Box::new(parts.into_iter().flatten()) })
}

/// The name of the array with the labels of the images in the array `images`.
fn labels_of<'a>(images: &str, arrays: &BTreeMap<&'a str, Vec<u64>>, alone: bool) -> Option<&'a str> {
    let mut names = vec![images.replace("images", "labels"), images.replace("image", "label")];
    if let Some(rest) = images.strip_prefix(['x', 'X']) {
        names.extend([format!("y{rest}"), format!("Y{rest}")]);
    }
    if alone {
        names.extend(["labels", "label", "y", "Y"].map(str::to_owned));
    }
    let named = |name: &String| arrays.get_key_value(name.as_str()).filter(|(found, _)| **found != images);
    names.iter().filter_map(named).find(|(_, sides)| sides.len() <= 2).map(|(name, _)| *name)
}

/// Where an array stands in an archive.
struct Member {
    start: u64,
    compressed: u64,
    length: u64,
    deflated: bool,
    crc: u32,
}

/// The arrays in the archive at `path`, by name.
fn members(path: &Path) -> Result<BTreeMap<String, Member>> {
    let cannot = |error| Error::io("cannot read it", error);
    let damaged = |error| Error::corrupt("the zip archive is cut off or damaged").with_source(error);
    let file = BufReader::new(File::open(path).map_err(cannot)?);
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    if archive.len() > MAX_ARRAYS {
        return Err(Error::unsupported(format!("an archive of {} arrays, more than {MAX_ARRAYS}", archive.len())));
    }
    let mut members = BTreeMap::new();
    for place in 0..archive.len() {
        let member = archive.by_index_raw(place).map_err(damaged)?;
        let Some(name) = member.name().map_err(damaged)?.strip_suffix(".npy").map(str::to_owned) else { continue };
        let deflated = match member.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => return Err(Error::unsupported(format!("{name}: compressed by {other}"))),
        };
        if member.encrypted() {
            return Err(Error::unsupported(format!("{name}: encrypted")));
        }
        let start = member.data_start().ok_or_else(|| Error::corrupt(format!("{name}: its data are not there")))?;
        let (compressed, length, crc) = (member.compressed_size(), member.size(), member.crc32());
        members.insert(name, Member { start, compressed, length, deflated, crc });
    }
    Ok(members)
}

impl Member {
    fn open(&self, path: &Path) -> Result<Array> {
        let cannot = |error| Error::io("cannot read it", error);
        let mut file = File::open(path).map_err(cannot)?;
        file.seek(SeekFrom::Start(self.start)).map_err(cannot)?;
        let stored = BufReader::with_capacity(1 << 16, file.take(self.compressed));
        let stream: Box<dyn Read + Send> = match self.deflated {
            true => Box::new(BufReader::with_capacity(1 << 16, DeflateDecoder::new(stored))),
            false => Box::new(stored),
        };
        Array::open(Box::new(Checked { stream, crc: flate2::Crc::new(), expected: self.crc }), self.length)
    }
}

/// A stream whose end is an error where its CRC-32 is not the one expected.
struct Checked {
    stream: Box<dyn Read + Send>,
    crc: flate2::Crc,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(out)?;
        self.crc.update(&out[..count]);
        if count == 0 && !out.is_empty() && self.crc.sum() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is not the archive's"));
        }
        Ok(count)
    }
}

/// An array whose header was read.
struct Array {
    dimensions: Vec<u64>,
    element: Element,
    order: Order,
    /// Its elements.
    stream: Box<dyn Read + Send>,
    /// Where they start.
    start: u64,
    /// Bytes of the elements.
    length: u64,
}

impl Array {
    /// Reads the header of an array of `length` bytes with it.
    fn open(mut stream: Box<dyn Read + Send>, length: u64) -> Result<Self> {
        let mut read = |bytes: &mut [u8]| {
            stream.read_exact(bytes).map_err(|error| Error::io("cannot read the array's header", error))
        };
        let mut head = [0; 8];
        read(&mut head)?;
        if !head.starts_with(MAGIC) {
            return Err(Error::unsupported("no numpy array"));
        }
        let mut size = [0; 4];
        let before = match head[6] {
            1 => {
                read(&mut size[..2])?;
                10
            }
            2 | 3 => {
                read(&mut size)?;
                12
            }
            version => return Err(Error::unsupported(format!("a numpy array of format version {version}"))),
        };
        let size = u32::from_le_bytes(size);
        if size > MAX_HEADER {
            return Err(Error::unsupported(format!("a numpy array with a header of {size} bytes")));
        }
        let mut text = vec![0; size as usize];
        read(&mut text)?;
        let text = std::str::from_utf8(&text).map_err(|error| damaged().with_source(error))?;
        let (element, order, dimensions) = header(text)?;
        let start = before + u64::from(size);
        let length = length.checked_sub(start).ok_or_else(damaged)?;
        Ok(Array { dimensions, element, order, stream, start, length })
    }

    /// The labels in this array for `count` images.
    fn labels(self, count: u64) -> Result<Labels> {
        Labels::of_array(self.stream, self.element, self.order, &self.dimensions, count)
    }

    /// The images in this array, with the labels in another. These are read through first.
    fn part(self, open_labels: Option<&OpenArray<'_>>, path: PathBuf, stem: String, compressed: bool) -> Result<Part> {
        let (format, count) = Format::of_array(&self.dimensions, self.element, self.order)?;
        format.check_length(count, self.length)?;
        if compressed {
            format.check_compressed()?;
        }
        let labels = match open_labels {
            Some(open) => {
                let open = || open()?.labels(count);
                let checked = open().and_then(|labels| labels.check(count)).and_then(|()| open());
                Some(checked.map_err(|error| error.context("its labels"))?)
            }
            None => None,
        };
        let name = stem.clone();
        let file = path.clone();
        let origin = move |place| format!("{}, {name}/{place}", path.display());
        if !compressed && format.image_bytes() > STREAMED {
            let start = self.start;
            let open = move |place| large(&file, start, format, place);
            return Ok(Part::of_images(count, open, labels, stem, origin));
        }
        Ok(Part::of_array(count, format, self.stream, labels, stem, origin))
    }
}

/// The image at that place of an array in a file of its own, whose elements start at `start`.
fn large(path: &Path, start: u64, format: Format, place: u64) -> Result<Content> {
    let cannot = |error| Error::io("cannot read it", error);
    let mut file = File::open(path).map_err(cannot)?;
    file.seek(SeekFrom::Start(start + place * format.image_bytes())).map_err(cannot)?;
    let samples = Samples::new(file.take(format.image_bytes()), format)?;
    Ok(Content::Stream { shape: format.shape, sample_type: format.element.sample_type()?, reader: Box::new(samples) })
}

/// Opens the array with the labels of some images.
type OpenArray<'a> = dyn Fn() -> Result<Array> + 'a;

/// What the header's dictionary says, as in `{'descr': '<u2', 'fortran_order': False, 'shape': (10, 28, 28), }`.
fn header(text: &str) -> Result<(Element, Order, Vec<u64>)> {
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("'{key}'")).ok_or_else(damaged)?;
        Ok::<_, Error>(rest.trim_start().strip_prefix(':').ok_or_else(damaged)?.trim_start())
    };
    let Some((kind, _)) = value("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) else {
        return Err(Error::unsupported("a numpy array of records, not of numbers"));
    };
    let order = if kind.starts_with('>') { Order::Big } else { Order::Little };
    let element = Element::from_numpy(kind.trim_start_matches(['<', '>', '|', '='])).ok_or_else(|| {
        Error::unsupported(format!("a numpy array of the type {kind:?}, which is none that is read"))
            .with_hint("convert it by astype: images to uint8, uint16 or float32, say, and labels to int64")
    })?;
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(damaged)?.0;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let dimensions: Vec<u64> = sides.map(|side| side.parse().map_err(|_| damaged())).collect::<Result<_>>()?;
    if !value("fortran_order")?.starts_with("False") && dimensions.len() > 1 {
        return Err(Error::unsupported("an array in Fortran order").with_hint("store numpy.ascontiguousarray of it"));
    }
    Ok((element, order, dimensions))
}

fn damaged() -> Error {
    Error::corrupt("the numpy array's header is damaged")
}
