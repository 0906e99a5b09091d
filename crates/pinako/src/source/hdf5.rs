//! HDF5 files of images: a dataset `images` (N,H,W,C or N,H,W), or `image` (H,W,C or H,W) where there is but one, and
//! one of labels, `meta` or `labels`, beside it.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hdf5_pure::{DType, Datatype, DatatypeByteOrder, File, Layout};

use super::Item;
use super::array::{Element, Format, Labels, Order, images};
use super::dataset::{DataSet, Part};
use crate::error::{Error, Result};

/// The first bytes of an HDF5 file.
const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Bytes that are read at once.
const WINDOW: u64 = 1 << 20;
/// Most bytes of a row, or of a chunk: of which all are in memory.
const MAX_ROW: u64 = 1 << 29;

/// The HDF5 files in a folder, if there are any.
pub(super) fn open_folder(_: &Path, files: &[PathBuf]) -> Result<Option<DataSet>> {
    let is_hdf5 = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "h5" || extension == "hdf5");
    let files: Vec<PathBuf> = files.iter().filter(is_hdf5).cloned().collect();
    if files.is_empty() {
        return Ok(None);
    }
    DataSet::new("HDF5 files of images", Vec::new(), files, Box::new(open)).map(Some)
}

/// The images in a file, if it is HDF5.
pub(super) fn open_file(path: &Path, head: &[u8]) -> Result<Option<DataSet>> {
    if !head.starts_with(MAGIC) {
        return Ok(None);
    }
    DataSet::new("an HDF5 file of images", Vec::new(), vec![path.to_owned()], Box::new(open)).map(Some)
}

fn open(path: &Path) -> Result<Part> {
    read(path).map_err(|error| error.context(path.display()))
}

fn read(path: &Path) -> Result<Part> {
    let file = File::open_streaming(path).map_err(cannot)?;
    let names = file.root().datasets().map_err(cannot)?;
    let find = |wanted: [&'static str; 2]| wanted.into_iter().find(|wanted| names.iter().any(|name| name == wanted));
    let Some(name) = find(["images", "image"]) else {
        return Err(Error::unsupported(format!("no dataset \"images\" or \"image\" in the HDF5 file, only {names:?}")));
    };
    let rows = Rows::open(&file, name)?;
    let alone = name == "image";
    let mut dimensions = rows.dimensions.clone();
    if alone {
        dimensions.insert(0, 1);
    }
    let (format, count) = Format::of_array(&dimensions, rows.element, rows.order)?;
    let mut labels = match find(["meta", "labels"]) {
        Some(name) => {
            let open = || {
                let rows = Rows::open(&file, name)?.checked()?;
                let (element, order, dimensions) = (rows.element, rows.order, rows.dimensions.clone());
                Labels::of_array(Box::new(rows), element, order, &dimensions, count)
            };
            open()?.check(count)?;
            Some(open()?)
        }
        None => None,
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = path.to_owned();
    let stream = match rows.contiguous(format.image_bytes().checked_mul(count), &path)? {
        Some(stream) => stream,
        None => Box::new(rows.checked()?),
    };
    let mut images = images(format, count, stream);
    Ok(Part::in_sequence(count, move |place| {
        let name = if alone { stem.clone() } else { format!("{stem}/{place}") };
        let origin = format!("{}, image {place}", path.display());
        let content = images(place).map_err(|error| error.context(&origin))?;
        let label = labels.as_mut().map_or(Ok(None), Labels::read).map_err(|error| error.context(&origin))?;
        Ok(Item { name, label, attributes: None, content, origin })
    }))
}

/// The elements of a dataset, a window of its rows at a time.
struct Rows {
    dataset: hdf5_pure::Dataset,
    dimensions: Vec<u64>,
    element: Element,
    order: Order,
    /// Bytes that are in memory for a row.
    row: u64,
    /// Rows of the dataset, and the next one to be read.
    rows: u64,
    next: u64,
    /// Rows that are read at once.
    window: u64,
    bytes: io::Cursor<Vec<u8>>,
}

impl Rows {
    fn open(file: &File, name: &str) -> Result<Self> {
        let at = |error: hdf5_pure::Error| cannot(error).context(format!("dataset {name:?}"));
        let dataset = file.dataset(name).map_err(at)?;
        let dimensions = dataset.shape().map_err(at)?;
        let element = match dataset.dtype().map_err(at)? {
            DType::U8 => Element::Unsigned(1),
            DType::U16 => Element::Unsigned(2),
            DType::U32 => Element::Unsigned(4),
            DType::U64 => Element::Unsigned(8),
            DType::I8 => Element::Signed(1),
            DType::I16 => Element::Signed(2),
            DType::I32 => Element::Signed(4),
            DType::I64 => Element::Signed(8),
            DType::F32 => Element::F32,
            DType::F64 => Element::F64,
            other => return Err(Error::unsupported(format!("dataset {name:?} has elements of the type {other}"))),
        };
        let order = match dataset.datatype().map_err(at)? {
            Datatype::FixedPoint { byte_order, .. } | Datatype::FloatingPoint { byte_order, .. } => match byte_order {
                DatatypeByteOrder::BigEndian => Order::Big,
                _ => Order::Little,
            },
            _ => Order::Little,
        };
        // A chunk is unpacked as a whole, whatever of it is asked for.
        let unit = match dataset.layout().map_err(at)? {
            Layout::Chunked { chunk_shape, .. } => product(&chunk_shape),
            _ => product(dimensions.get(1..).unwrap_or_default()),
        };
        let row = unit.and_then(|unit| unit.checked_mul(element.size() as u64)).unwrap_or(u64::MAX);
        let rows = dimensions.first().copied().unwrap_or(1);
        let window = (WINDOW / row.max(1)).max(1);
        Ok(Rows { dataset, dimensions, element, order, row, rows, next: 0, window, bytes: io::Cursor::default() })
    }
}

impl Rows {
    /// The elements out of the file at `path` itself, where all `length` bytes of them stand there one after another: a
    /// row is a whole image, which may be larger than memory.
    fn contiguous(&self, length: Option<u64>, path: &Path) -> Result<Option<Box<dyn Read + Send>>> {
        let Ok(Layout::Contiguous { address: Some(address), size }) = self.dataset.layout() else { return Ok(None) };
        if length != Some(size) {
            return Ok(None);
        }
        let cannot = |error| Error::io("cannot read it", error);
        let mut file = std::fs::File::open(path).map_err(cannot)?;
        file.seek(SeekFrom::Start(address)).map_err(cannot)?;
        Ok(Some(Box::new(BufReader::with_capacity(1 << 16, file.take(size)))))
    }

    /// The same, if its rows are such that they may be in memory.
    fn checked(self) -> Result<Self> {
        match self.row {
            0..=MAX_ROW => Ok(self),
            _ => Err(Error::unsupported("a dataset with rows or chunks of more than 512 MiB")
                .with_hint("write it anew without chunks and compression: h5repack -f NONE -l CONTI IN OUT")),
        }
    }
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(out)?;
        if count > 0 || out.is_empty() || self.next >= self.rows {
            return Ok(count);
        }
        let bytes = self.dataset.read_raw_rows(self.next, self.window);
        self.bytes = io::Cursor::new(bytes.map_err(|error| io::Error::other(cannot(error)))?);
        self.next = self.next.saturating_add(self.window);
        self.bytes.read(out)
    }
}

fn product(sides: &[u64]) -> Option<u64> {
    sides.iter().try_fold(1u64, |product, &side| product.checked_mul(side))
}

fn cannot(error: hdf5_pure::Error) -> Error {
    Error::corrupt("the HDF5 file cannot be read").with_source(error).with_hint(
        "if h5py can read it, write it anew in the plain form: h5repack -f NONE IN OUT, by an h5repack as new as \
             what wrote it, or h5py without libver=\"latest\"",
    )
}
