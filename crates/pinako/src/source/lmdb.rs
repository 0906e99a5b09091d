//! LMDB environments of pickled Python objects.
//!
//! A well-known Python tutorial keeps images so: under the keys `00000000`, `00000001`, ... of the main database stand
//! pickles of a class `CIFAR_Image` with the attributes `channels`, `size` (height, width), `image` (bytes, row-major,
//! channels last) and `label`.
//!
//! The environment is read page by page and not through the LMDB library, which maps the file into memory and follows
//! whatever it says: a file that is cut off or damaged would end the process. It also needs no lock file, so that a
//! folder that cannot be written will do. The pages are those of LMDB 0.9 (`mdb.c`), little endian with 64-bit page
//! numbers:
//!
//! ```text
//! page       0 page number 8, 10 flags 2, 12 end of the node pointers 2, 16 node pointers 2 each
//! meta page  16 magic 4, 20 version 4, 40 page size 4, 88 main database: 4 flags 2, 32 entries 8, 40 root 8; 144 txn id 8
//! node       0 size or child, low half 2, 2 high half 2, 4 flags or child 2, 6 key size 2, 8 key, data
//! ```

use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::dataset::{DataSet, Part};
use super::pickle::{Pickle, Value};
use super::{Content, Item};
use crate::error::{Error, Result};
use crate::image::{Image, SampleType, Shape};

const MAGIC: u32 = 0xbeef_c0de;
const PAGE_HEADER: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
/// The node's data stand in pages of their own.
const BIG_DATA: u16 = 0x01;
/// No page: the root of an empty database.
const NO_PAGE: u64 = u64::MAX;
/// Most bytes of an object: an image of 512 MiB and some more.
const MAX_OBJECT: u64 = (1 << 29) + (1 << 16);

/// The environment in `folder`, if there is one.
pub(super) fn open_folder(folder: &Path, _: &[PathBuf]) -> Result<Option<DataSet>> {
    let file = folder.join("data.mdb");
    if !file.is_file() {
        return Ok(None);
    }
    let open = |path: &Path| open(path).map_err(|error| error.context(path.display()));
    DataSet::new("LMDB of pickled CIFAR_Image objects", Vec::new(), vec![file], Box::new(open)).map(Some)
}

fn open(path: &Path) -> Result<Part> {
    if let Some(Err(error)) = Entries::open(path)?.next() {
        return Err(error);
    }
    let mut entries = Entries::open(path)?;
    let images = entries.count;
    let path = path.display().to_string();
    let items = std::iter::from_fn(move || {
        let (key, value) = match entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error.context(&path))),
        };
        let name = String::from_utf8(key).unwrap_or_else(|error| hex(error.as_bytes()));
        let origin = format!("{path}, key {name}");
        Some(item(name, &value, origin.clone()).map_err(|error| error.context(origin)))
    });
    Ok(Part { images: Some(images), items: Box::new(items) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn item(name: String, value: &[u8], origin: String) -> Result<Item> {
    let pickle = Pickle::read(&mut Cursor::new(value), value.len() as u64, &["CIFAR_Image"])?;
    let attribute = |key: &str| {
        let missing =
            || Error::unsupported(format!("the pickle is no CIFAR_Image object: it has no attribute {key:?}"));
        pickle.attribute(pickle.root(), key).ok_or_else(missing)
    };
    let number = |value: &Value, key: &str| match value {
        Value::Int(number) => Ok(*number),
        _ => Err(Error::corrupt(format!("the attribute {key:?} is no whole number"))),
    };
    let size = attribute("size")?;
    let &[height, width] = size.items().unwrap_or_default() else {
        return Err(Error::corrupt("the attribute \"size\" is not (height, width)"));
    };
    let side = |place| {
        let side = number(pickle.value(place), "size")?;
        u32::try_from(side).map_err(|_| Error::corrupt(format!("a side of {side} pixels")))
    };
    let channels = number(attribute("channels")?, "channels")?;
    let channels = u16::try_from(channels).map_err(|_| Error::corrupt(format!("{channels} channels")))?;
    let shape = Shape::new(side(height)?, side(width)?, channels)?;
    let bytes = match attribute("image")? {
        Value::Text(bytes) => bytes.to_vec(),
        Value::Blob(blob) => value
            .get(blob.at as usize..(blob.at + blob.length) as usize)
            .ok_or_else(|| Error::corrupt("the pickle is cut off"))?
            .to_vec(),
        _ => return Err(Error::corrupt("the attribute \"image\" is no byte string")),
    };
    let image = Image::from_bytes(shape, SampleType::U8, bytes)?;
    let label = Some(number(attribute("label")?, "label")?);
    Ok(Item { name, label, attributes: None, content: Content::Pixels(image), origin })
}

/// The entries of the main database in the order of their keys.
struct Entries {
    file: File,
    length: u64,
    page_size: usize,
    count: u64,
    /// The pages from the root down to a leaf, each with the place of its next node.
    path: Vec<(Vec<u8>, usize)>,
    root: Option<u64>,
    /// Pages that may still be read: those the file has. In a damaged file they may refer to each other in circles.
    pages_left: u64,
}

impl Entries {
    fn open(path: &Path) -> Result<Self> {
        let cannot = |error| Error::io("cannot read it", error);
        let file = File::open(path).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        let mut first = [0; 152];
        file.read_exact_at(&mut first, 0).map_err(cannot)?;
        let page_size = u32_at(&first, 40)? as usize;
        if u32_at(&first, 16)? != MAGIC || !page_size.is_power_of_two() || !(512..=1 << 16).contains(&page_size) {
            return Err(Error::unsupported("no LMDB environment of this kind of machine"));
        }
        // The newer of the two meta pages counts.
        let mut meta = first;
        let mut second = [0; 152];
        let has_second = file.read_exact_at(&mut second, page_size as u64).is_ok() && u32_at(&second, 16)? == MAGIC;
        if has_second && u64_at(&second, 144)? > u64_at(&first, 144)? {
            meta = second;
        }
        let version = u32_at(&meta, 20)?;
        if version != 1 {
            return Err(Error::unsupported(format!("an LMDB environment of version {version}, not 1")));
        }
        let root = Some(u64_at(&meta, 88 + 40)?).filter(|&root| root != NO_PAGE);
        let count = u64_at(&meta, 88 + 32)?;
        let pages_left = length / page_size as u64;
        if count > pages_left.saturating_mul(page_size as u64 / 8) {
            return Err(Error::corrupt(format!("it claims {count} entries, more than {length} bytes can hold")));
        }
        Ok(Entries { file, length, page_size, count, path: Vec::new(), root, pages_left })
    }

    /// The next key and value; an error of the file's structure is the last thing there is.
    fn next(&mut self) -> Option<Result<(Vec<u8>, Vec<u8>)>> {
        let next = self.try_next();
        if next.is_err() {
            self.path.clear();
            self.root = None;
        }
        next.transpose()
    }

    fn try_next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        if let Some(root) = self.root.take() {
            let page = self.page(root)?;
            self.path.push((page, 0));
        }
        loop {
            let Some((page, next)) = self.path.last_mut() else { return Ok(None) };
            let nodes = usize::from(u16_at(page, 12)?).saturating_sub(PAGE_HEADER) / 2;
            if *next == nodes {
                self.path.pop();
                continue;
            }
            let node = usize::from(u16_at(page, PAGE_HEADER + 2 * *next)?);
            *next += 1;
            let low = u32::from(u16_at(page, node)?) | u32::from(u16_at(page, node + 2)?) << 16;
            let flags = u16_at(page, node + 4)?;
            let key_size = usize::from(u16_at(page, node + 6)?);
            if u16_at(page, 10)? & BRANCH != 0 {
                let child = self.page(u64::from(low) | u64::from(flags) << 32)?;
                self.path.push((child, 0));
                continue;
            }
            let key = bytes_at(page, node + 8, key_size)?.to_vec();
            let data = node + 8 + key_size;
            let value = match flags {
                0 => bytes_at(page, data, low as usize)?.to_vec(),
                BIG_DATA => {
                    let first = u64_at(page, data)?;
                    self.overflow(first, low.into())?
                }
                _ => {
                    return Err(Error::unsupported("the environment holds named databases, not pickled objects")
                        .with_hint("images of a Pinako store are brought over by: pinako copy FROM TO"));
                }
            };
            return Ok(Some((key, value)));
        }
    }

    /// A branch or leaf page.
    fn page(&mut self, number: u64) -> Result<Vec<u8>> {
        self.pages_left = self.pages_left.checked_sub(1).ok_or_else(damaged)?;
        let mut page = vec![0; self.page_size];
        self.read(&mut page, number, 0)?;
        match u16_at(&page, 10)? & (BRANCH | LEAF | OVERFLOW) {
            BRANCH | LEAF => Ok(page),
            _ => Err(damaged()),
        }
    }

    /// `length` bytes that stand in pages of their own from page `first` on.
    fn overflow(&self, first: u64, length: u64) -> Result<Vec<u8>> {
        if length > self.length {
            return Err(damaged());
        }
        if length > MAX_OBJECT {
            return Err(Error::unsupported(format!(
                "an object of {length} bytes, more than the limit of {MAX_OBJECT}"
            )));
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, first, PAGE_HEADER as u64)?;
        Ok(bytes)
    }

    fn read(&self, bytes: &mut [u8], page: u64, offset: u64) -> Result<()> {
        let at = page.checked_mul(self.page_size as u64).and_then(|at| at.checked_add(offset)).ok_or_else(damaged)?;
        if at > self.length {
            return Err(damaged());
        }
        self.file.read_exact_at(bytes, at).map_err(|error| Error::io(format!("cannot read page {page}"), error))
    }
}

fn bytes_at(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    at.checked_add(length).and_then(|end| bytes.get(at..end)).ok_or_else(damaged)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or_else(damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

fn damaged() -> Error {
    Error::corrupt("the LMDB environment is cut off or damaged")
}
