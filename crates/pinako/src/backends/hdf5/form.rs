//! The HDF5 form of a part: how its datasets are laid out, and where they lie. The only place that knows the library.
//!
//! Neither writing nor reading lets the library touch a payload. A file is *headers, then the datasets in order without
//! gaps*, so to write one we let the library lay it out around zeros that nobody touches (an allocation that is never
//! written takes no memory), keep the headers, and write the datasets behind them ourselves: without a copy, in any
//! size, from a stream if need be. To read one we ask the library where the datasets are and map them.

use std::fs::File;
use std::io::{self, Write};

use hdf5_pure::{
    Datatype, FileBuilder, Layout, LibVer, ReadSeekSource, make_f32_type, make_f64_type, make_i16_type, make_i64_type,
    make_u8_type, make_u16_type, make_u32_type, make_u64_type,
};

use crate::error::{Error, Result};
use crate::image::SampleType;

/// The type of a dataset's elements; all little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Byte,
    /// u64.
    Number,
    /// i64.
    Label,
    Sample(SampleType),
}

impl Element {
    fn size(self) -> u64 {
        match self {
            Element::Byte => 1,
            Element::Number | Element::Label => 8,
            Element::Sample(sample) => sample.size() as u64,
        }
    }

    fn datatype(self) -> Datatype {
        match self {
            Element::Byte | Element::Sample(SampleType::U8) => make_u8_type(),
            Element::Number => make_u64_type(),
            Element::Label => make_i64_type(),
            Element::Sample(SampleType::U16) => make_u16_type(),
            Element::Sample(SampleType::U32) => make_u32_type(),
            Element::Sample(SampleType::I16) => make_i16_type(),
            Element::Sample(SampleType::F32) => make_f32_type(),
            Element::Sample(SampleType::F64) => make_f64_type(),
        }
    }
}

/// A dataset to be written.
#[derive(Debug, Clone)]
pub(super) struct Dataset {
    pub(super) name: &'static str,
    pub(super) element: Element,
    pub(super) dimensions: Vec<u64>,
}

impl Dataset {
    /// A dataset of `length` elements in a row.
    pub(super) fn row(name: &'static str, element: Element, length: u64) -> Self {
        Dataset { name, element, dimensions: vec![length] }
    }

    /// Bytes of all its elements.
    fn bytes(&self) -> Option<u64> {
        self.dimensions.iter().try_fold(self.element.size(), |product, &length| product.checked_mul(length))
    }
}

/// Most bytes that the headers of a part take; a few hundred a dataset are usual.
const MAX_HEAD: usize = 1 << 16;

/// The headers of a file with these datasets: what stands before their bytes, which follow in order.
///
/// # Errors
/// `InvalidInput` where the datasets do not fit in a file.
pub(super) fn head(datasets: &[Dataset]) -> Result<Vec<u8>> {
    let mut builder = FileBuilder::new();
    builder.with_libver_bounds(LibVer::Earliest, LibVer::V18);
    let mut data_bytes = 0;
    for dataset in datasets {
        let bytes = dataset.bytes().and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|&bytes| bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or_else(|| Error::invalid(format!("{} bytes do not fit in a part", dataset.name)))?;
        data_bytes += bytes as u64;
        // Where the system does not lend so many zeros, say so instead of ending the process.
        Vec::<u8>::new().try_reserve_exact(bytes).map_err(|error| {
            Error::invalid(format!("{} of {bytes} bytes is too much for one file here", dataset.name))
                .with_source(error)
        })?;
        let elements = dataset.dimensions.iter().product();
        builder
            .create_dataset(dataset.name)
            .with_raw_data(dataset.element.datatype(), vec![0; bytes], elements)
            .with_shape(&dataset.dimensions);
    }
    let mut start = Start { kept: Vec::with_capacity(4096), length: 0 };
    builder.finish_to(&mut start).map_err(|error| Error::invalid("cannot lay out a part").with_source(error))?;
    let length = usize::try_from(start.length - data_bytes).unwrap_or(usize::MAX);
    if length > start.kept.len() {
        return Err(Error::invalid(format!("the headers of a part take {length} bytes, more than {MAX_HEAD}")));
    }
    start.kept.truncate(length);
    Ok(start.kept)
}

/// Keeps the start of what is written to it and counts the rest.
struct Start {
    kept: Vec<u8>,
    length: u64,
}

impl Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_HEAD - self.kept.len();
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a dataset lies in its file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) dimensions: Vec<u64>,
    pub(super) start: usize,
    /// In bytes.
    pub(super) length: usize,
}

/// The datasets of a file that is open for reading.
pub(super) struct Datasets {
    file: hdf5_pure::File,
    length: u64,
}

impl Datasets {
    /// Reads the headers of a file of `length` bytes.
    ///
    /// # Errors
    /// `Corrupt` where it is no HDF5 file.
    pub(super) fn of(file: File, length: u64) -> Result<Self> {
        let source = ReadSeekSource::new(file).map_err(|error| damaged(error.into()))?;
        let file = hdf5_pure::File::from_source(source).map_err(damaged)?;
        Ok(Datasets { file, length })
    }

    /// Where the dataset `name` lies, which must be one of contiguous, uncompressed `elements`.
    ///
    /// # Errors
    /// `Corrupt` where there is none, or it is another, or does not lie inside the file.
    pub(super) fn place(&self, name: &str, elements: &[Element]) -> Result<Place> {
        let wrong = |what: String| Error::corrupt(format!("its dataset {name:?} {what}"));
        let about = || {
            let dataset = self.file.dataset(name)?;
            Ok((dataset.datatype()?, dataset.shape()?, dataset.layout()?))
        };
        let (datatype, dimensions, layout) =
            about().map_err(|error| damaged(error).context(format!("its dataset {name:?} cannot be found")))?;

        let element = elements.iter().copied().find(|element| element.datatype() == datatype);
        let element = element.ok_or_else(|| wrong("has elements of another type".into()))?;
        let bytes = Dataset { name: "", element, dimensions: dimensions.clone() }.bytes();
        let Layout::Contiguous { address, size } = layout else {
            return Err(wrong("is not contiguous".into()));
        };
        if bytes != Some(size) {
            return Err(wrong(format!("has {size} bytes for the shape {dimensions:?}")));
        }
        let start = if size == 0 { 0 } else { address.ok_or_else(|| wrong("has no bytes".into()))? };
        if start.checked_add(size).is_none_or(|end| end > self.length) {
            return Err(wrong(format!("ends beyond the end of the file, at {start} + {size}")));
        }
        let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(size)) else {
            return Err(wrong("is too long for this machine".into()));
        };
        Ok(Place { dimensions, start, length })
    }
}

/// What the library's errors are to us.
fn damaged(error: hdf5_pure::Error) -> Error {
    match error {
        hdf5_pure::Error::Io(error) => Error::io("cannot read it", error),
        error => Error::corrupt("its headers are damaged").with_source(error),
    }
}
