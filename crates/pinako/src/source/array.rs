//! Arrays of numbers in files: their element types, and images cut out of a stream of them.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Content;
use crate::descriptor::{Label, NO_LABEL};
use crate::encoding;
use crate::error::{Error, Result};
use crate::image::{Image, SampleType, Shape};

/// Most bytes of an image in a compressed file, whose length tells nothing.
const MAX_COMPRESSED: u64 = 1 << 29;
/// Images of more bytes are not read into memory as a whole.
pub(super) const STREAMED: u64 = 32 << 20;

/// The order of an element's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// A number as files have it. Samples of the types that images lack are widened to the next one that holds them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// Unsigned, of 1, 2, 4 or 8 bytes.
    Unsigned(usize),
    /// Signed, of 1, 2, 4 or 8 bytes.
    Signed(usize),
    F32,
    F64,
}

impl Element {
    /// The type that numpy calls so: a letter for its kind and its bytes, as in `u1`.
    pub(super) fn from_numpy(name: &str) -> Option<Self> {
        let (kind, size) = (name.get(..1)?, name.get(1..)?.parse().ok()?);
        match (kind, size) {
            ("b", 1) => Some(Self::Unsigned(1)), // bool
            ("u", 1 | 2 | 4 | 8) => Some(Self::Unsigned(size)),
            ("i", 1 | 2 | 4 | 8) => Some(Self::Signed(size)),
            ("f", 4) => Some(Self::F32),
            ("f", 8) => Some(Self::F64),
            _ => None,
        }
    }

    /// Its bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Unsigned(size) | Self::Signed(size) => size,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The sample type that holds all its values.
    ///
    /// # Errors
    /// `Unsupported` where there is none: whole numbers of 64 bits.
    pub(super) fn sample_type(self) -> Result<SampleType> {
        match self {
            Self::Unsigned(1) => Ok(SampleType::U8),
            Self::Unsigned(2) => Ok(SampleType::U16),
            Self::Unsigned(4) => Ok(SampleType::U32),
            Self::Signed(1 | 2) => Ok(SampleType::I16),
            Self::F32 => Ok(SampleType::F32),
            Self::Signed(4) | Self::F64 => Ok(SampleType::F64),
            Self::Unsigned(_) | Self::Signed(_) => {
                Err(Error::unsupported("samples of 64-bit whole numbers")
                    .with_hint("store the array as uint8 or float64"))
            }
        }
    }

    /// The bytes of samples in this machine's order and the sample type's width.
    fn samples(self, mut bytes: Vec<u8>, order: Order) -> Vec<u8> {
        let native = if cfg!(target_endian = "little") { Order::Little } else { Order::Big };
        if order != native && self.size() > 1 {
            bytes.chunks_exact_mut(self.size()).for_each(<[u8]>::reverse);
        }
        match self {
            Self::Signed(1) => bytes.iter().flat_map(|&byte| i16::from(byte as i8).to_ne_bytes()).collect(),
            Self::Signed(4) => {
                let (numbers, _) = bytes.as_chunks::<4>();
                numbers.iter().flat_map(|&number| f64::from(i32::from_ne_bytes(number)).to_ne_bytes()).collect()
            }
            _ => bytes,
        }
    }

    /// The whole number that `bytes` are.
    ///
    /// # Errors
    /// `Unsupported` where the type has fractions or the number does not fit 63 bits and a sign; `Corrupt` where there
    /// are not as many bytes as it has.
    pub(super) fn integer(self, bytes: &[u8], order: Order) -> Result<i64> {
        let (size, signed) = match self {
            Self::Unsigned(size) => (size, false),
            Self::Signed(size) => (size, true),
            Self::F32 | Self::F64 => return Err(not_whole_numbers()),
        };
        if bytes.len() != size || size > 8 {
            return Err(Error::corrupt(format!("a number of {} bytes, not {size}", bytes.len())));
        }
        let mut little = [0; 8];
        little[..size].copy_from_slice(bytes);
        if order == Order::Big {
            little[..size].reverse();
        }
        let number = u64::from_le_bytes(little);
        let unused = 64 - 8 * size as u32;
        match signed {
            true => Ok((number << unused) as i64 >> unused),
            false => i64::try_from(number).map_err(|_| Error::unsupported(format!("the label {number} is too large"))),
        }
    }
}

/// As numpy calls it.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Unsigned(_) => "uint",
            Self::Signed(_) => "int",
            Self::F32 | Self::F64 => "float",
        };
        write!(f, "{kind}{}", 8 * self.size())
    }
}

fn not_whole_numbers() -> Error {
    Error::unsupported("labels that are not whole numbers").with_hint("store them as int64")
}

/// How the images in a stream of elements look: all alike, one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) element: Element,
    pub(super) order: Order,
    pub(super) shape: Shape,
    /// Whether each channel is a plane of its own, as CIFAR has it; else the samples of a pixel stand together.
    pub(super) planar: bool,
}

impl Format {
    /// The format of an array of `dimensions` N,H,W or N,H,W,C, and N.
    ///
    /// # Errors
    /// `Unsupported` where these are not the dimensions of images.
    pub(super) fn of_array(dimensions: &[u64], element: Element, order: Order) -> Result<(Self, u64)> {
        let wrong = || {
            Error::unsupported(format!("an array of the shape {dimensions:?} is not one of images"))
                .with_hint("images, height, width (from 1 to 2^32 - 1) and, if there are any, channels (1 to 65535), in this order")
        };
        let (count, height, width, channels) = match *dimensions {
            [count, height, width] => (count, height, width, 1),
            [count, height, width, channels] => (count, height, width, channels),
            _ => return Err(wrong()),
        };
        let side = |side: u64| u32::try_from(side).map_err(|_| wrong());
        let channels = u16::try_from(channels).map_err(|_| wrong())?;
        let shape = Shape::new(side(height)?, side(width)?, channels).map_err(|error| wrong().with_source(error))?;
        element.sample_type()?;
        Ok((Format { element, order, shape, planar: false }, count))
    }

    /// Bytes of an image in the stream.
    pub(super) fn image_bytes(&self) -> u64 {
        self.shape.pixels() * u64::from(self.shape.channels()) * self.element.size() as u64
    }

    /// Checks that `count` images take exactly `length` bytes.
    ///
    /// # Errors
    /// `Corrupt` where they do not.
    pub(super) fn check_length(&self, count: u64, length: u64) -> Result<()> {
        if self.image_bytes().checked_mul(count) == Some(length) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "it claims {count} images of {} bytes, but has {length} bytes for them: it is cut off or damaged",
            self.image_bytes()
        )))
    }

    /// Checks that an image is not larger than one that few compressed bytes may claim.
    ///
    /// # Errors
    /// `Unsupported` where it is.
    pub(super) fn check_compressed(&self) -> Result<()> {
        match self.image_bytes() {
            0..=MAX_COMPRESSED => Ok(()),
            bytes => Err(Error::unsupported(format!(
                "images of {bytes} bytes in a compressed file, more than the limit of {MAX_COMPRESSED}"
            ))
            .with_hint("unpack it first")),
        }
    }

    /// Reads the next image. Memory is taken as bytes come, not as a header promised.
    ///
    /// # Errors
    /// `Corrupt` where the stream ends before.
    pub(super) fn read(&self, stream: &mut dyn Read) -> Result<Image> {
        let length = self.image_bytes();
        let mut bytes = Vec::with_capacity(length.min(1 << 20) as usize);
        stream.take(length).read_to_end(&mut bytes).map_err(|error| Error::io("cannot read the pixels", error))?;
        if bytes.len() as u64 != length {
            return Err(Error::corrupt(format!("its pixels end after {} of {length} bytes", bytes.len())));
        }
        if self.planar {
            bytes = interleave(&bytes, usize::from(self.shape.channels()), self.element.size());
        }
        Image::from_bytes(self.shape, self.element.sample_type()?, self.element.samples(bytes, self.order))
    }
}

/// The samples of one image as they come from a stream, of the sample type and little endian. Planes cannot be put
/// together so.
pub(super) struct Samples<R> {
    elements: R,
    element: Element,
    order: Order,
    sample_type: SampleType,
    piece: Vec<u8>,
    taken: usize,
}

impl<R: Read> Samples<R> {
    /// The samples of which `elements` has the elements.
    ///
    /// # Errors
    /// `Unsupported` where no sample type holds them.
    pub(super) fn new(elements: R, Format { element, order, .. }: Format) -> Result<Self> {
        let sample_type = element.sample_type()?;
        Ok(Samples { elements, element, order, sample_type, piece: Vec::new(), taken: 0 })
    }
}

impl<R: Read> Read for Samples<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        const PIECE: u64 = 1 << 20; // elements of any size fill it
        if self.taken == self.piece.len() {
            let mut elements = std::mem::take(&mut self.piece);
            elements.clear();
            (&mut self.elements).take(PIECE).read_to_end(&mut elements)?;
            if !elements.len().is_multiple_of(self.element.size()) {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its last element is cut off"));
            }
            self.piece = self.element.samples(elements, self.order);
            encoding::to_little_endian(self.sample_type, &mut self.piece);
            self.taken = 0;
        }
        let count = out.len().min(self.piece.len() - self.taken);
        out[..count].copy_from_slice(&self.piece[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// The `count` images in a stream of elements, which must end with the last, one after another; large ones still to be
/// read.
pub(super) fn images(
    format: Format,
    count: u64,
    stream: Box<dyn Read + Send>,
) -> impl FnMut(u64) -> Result<Content> + Send {
    let length = format.image_bytes();
    let stream = Arc::new(Mutex::new(Shared { stream, position: 0 }));
    move |place| {
        let (start, is_last) = (place * length, place + 1 == count);
        if length > STREAMED && !format.planar {
            let elements = OneOf { stream: Arc::clone(&stream), position: start, end: start + length, is_last };
            let reader = Box::new(Samples::new(elements, format)?);
            return Ok(Content::Stream { shape: format.shape, sample_type: format.element.sample_type()?, reader });
        }
        let mut shared = stream.lock();
        let image = format.read(&mut shared.stream)?;
        if is_last {
            expect_end(&mut shared.stream)?;
        }
        Ok(Content::Pixels(image))
    }
}

/// A stream of the elements of several images, and how many bytes of it were read.
struct Shared {
    stream: Box<dyn Read + Send>,
    position: u64,
}

/// The elements of one image in a stream of several.
struct OneOf {
    stream: Arc<Mutex<Shared>>,
    position: u64,
    end: u64,
    is_last: bool,
}

impl Read for OneOf {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Shared { stream, position } = &mut *self.stream.lock();
        if *position > self.position {
            return Err(io::Error::other("the images of this array must be read one after another"));
        }
        if *position < self.position {
            // What was left of the images before.
            *position += io::copy(&mut stream.take(self.position - *position), &mut io::sink())?;
        }
        let most = out.len().min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        let count = match *position == self.position {
            true => stream.read(&mut out[..most])?,
            false => 0,
        };
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the array ends too early"));
        }
        *position += count as u64;
        self.position = *position;
        if self.is_last && count > 0 && self.position == self.end {
            expect_end(stream).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

/// Puts the samples of a pixel, which stand in a plane a channel, together.
fn interleave(planes: &[u8], channels: usize, size: usize) -> Vec<u8> {
    let pixels = planes.len() / (channels * size);
    let mut bytes = vec![0; planes.len()];
    if size == 1 {
        for (channel, plane) in planes.chunks_exact(pixels).enumerate() {
            for (pixel, &sample) in bytes.chunks_exact_mut(channels).zip(plane) {
                pixel[channel] = sample;
            }
        }
        return bytes;
    }
    for (channel, plane) in planes.chunks_exact(pixels * size).enumerate() {
        for (pixel, sample) in bytes.chunks_exact_mut(channels * size).zip(plane.chunks_exact(size)) {
            pixel[channel * size..(channel + 1) * size].copy_from_slice(sample);
        }
    }
    bytes
}

/// Checks that a stream has nothing left, and so that a compressed one is whole.
///
/// # Errors
/// `Corrupt` where it has.
pub(super) fn expect_end(stream: &mut dyn Read) -> Result<()> {
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Error::corrupt("there are more bytes after the last element")),
        Err(error) => Err(Error::io("the file is damaged at its end", error)),
    }
}

/// Labels in a stream of whole numbers.
pub(super) struct Labels {
    stream: Box<dyn Read + Send>,
    element: Element,
    order: Order,
}

impl Labels {
    /// The labels in an array for `count` images, N or N,1.
    ///
    /// # Errors
    /// `Corrupt` where they are not as many; `Unsupported` where they are not whole numbers.
    pub(super) fn of_array(
        stream: Box<dyn Read + Send>,
        element: Element,
        order: Order,
        dimensions: &[u64],
        count: u64,
    ) -> Result<Self> {
        match *dimensions {
            [] if count == 1 => {}
            [labels] | [labels, 1] if labels == count => {}
            _ => {
                return Err(Error::corrupt(format!("labels of the shape {dimensions:?} for {count} images"))
                    .with_hint("give one label for each image, -1 for those without, or take the labels away"));
            }
        }
        match element {
            Element::F32 | Element::F64 => Err(not_whole_numbers()),
            _ => Ok(Labels { stream, element, order }),
        }
    }

    /// Reads the next label; -1 is none.
    ///
    /// # Errors
    /// `Corrupt` where there is no number left; `Unsupported` where it does not fit 63 bits and a sign.
    pub(super) fn read(&mut self) -> Result<Option<Label>> {
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..self.element.size()];
        self.stream.read_exact(bytes).map_err(|error| Error::io("cannot read its label", error))?;
        let label = self.element.integer(bytes, self.order)?;
        Ok((label != NO_LABEL).then_some(label))
    }

    /// Reads all `count` labels, which must be all there are: so that labels that cannot be read are found out before
    /// the first image is stored.
    ///
    /// # Errors
    /// As [`read`](Self::read), with the place of the label.
    pub(super) fn check(mut self, count: u64) -> Result<()> {
        for place in 0..count {
            self.read().map_err(|error| error.context(format_args!("label {place} of {count}")))?;
        }
        expect_end(&mut self.stream).map_err(|error| error.context("labels"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_all_widths_and_orders_are_labels() {
        let number = |element: Element, order, bytes: &[u8]| element.integer(bytes, order);
        assert_eq!(number(Element::Unsigned(1), Order::Little, &[200]).unwrap(), 200);
        assert_eq!(number(Element::Signed(1), Order::Little, &[200]).unwrap(), -56);
        assert_eq!(number(Element::Signed(2), Order::Big, &[0xff, 0xfe]).unwrap(), -2);
        assert_eq!(number(Element::Unsigned(4), Order::Big, &[0, 0, 1, 2]).unwrap(), 258);
        assert_eq!(number(Element::Signed(8), Order::Little, &[0xff; 8]).unwrap(), -1);
        assert!(number(Element::Unsigned(8), Order::Little, &[0xff; 8]).is_err());
        assert!(number(Element::F32, Order::Little, &[0; 4]).is_err());
        assert!(number(Element::Signed(2), Order::Little, &[0]).is_err());
    }

    #[test]
    fn samples_of_any_order_and_width_come_out_native() {
        let shape = Shape::new(1, 2, 1).unwrap();
        let read =
            |element, order, bytes: &[u8]| Format { element, order, shape, planar: false }.read(&mut &*bytes).unwrap();
        assert_eq!(read(Element::Unsigned(2), Order::Big, &[1, 2, 3, 4]).to_samples::<u16>().unwrap(), [258, 772]);
        assert_eq!(read(Element::Signed(1), Order::Big, &[255, 1]).to_samples::<i16>().unwrap(), [-1, 1]);
        let numbers = [255, 255, 255, 255, 0, 0, 0, 7];
        assert_eq!(read(Element::Signed(4), Order::Big, &numbers).to_samples::<f64>().unwrap(), [-1.0, 7.0]);
    }

    #[test]
    fn samples_that_are_read_piece_by_piece_are_those_of_the_whole() {
        let numbers: Vec<i32> = (0..300_000i32).map(|at| at.wrapping_mul(0x9e37_79b9u32 as i32)).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let shape = Shape::new(500, 600, 1).unwrap();
        let format = Format { element: Element::Signed(4), order: Order::Big, shape, planar: false };
        let mut samples = Samples::new(&bytes[..], format).unwrap();
        let image = Image::read(shape, SampleType::F64, &mut samples).unwrap();
        assert_eq!(image, format.read(&mut &bytes[..]).unwrap());
        assert_eq!(samples.read(&mut [0]).unwrap(), 0);
        let cut = Samples::new(&bytes[..bytes.len() - 1], format)
            .and_then(|mut samples| Image::read(shape, SampleType::F64, &mut samples));
        assert!(cut.is_err());
    }

    #[test]
    fn large_images_of_one_stream_are_read_one_after_another() {
        let shape = Shape::new(1 << 10, 40 << 10, 1).unwrap();
        let format = Format { element: Element::Unsigned(1), order: Order::Little, shape, planar: false };
        let length = format.image_bytes();
        let zeros = io::repeat(0).take(length);
        let mut next = images(format, 3, Box::new(zeros.chain(io::repeat(7).take(length + length / 2))));
        let mut next = move |place| match next(place).unwrap() {
            Content::Stream { reader, .. } => reader,
            _ => panic!("it is in memory"),
        };
        let sevens = vec![7; 1 << 20];
        let read = |reader: &mut Box<dyn Read + Send>| {
            let mut piece = vec![0; 1 << 20];
            let mut found = 0;
            loop {
                let count = reader.read(&mut piece)?;
                assert!(piece[..count] == sevens[..count]);
                found += count as u64;
                if count == 0 {
                    return io::Result::Ok(found);
                }
            }
        };
        let (mut first, mut second) = (next(0), next(1));
        first.read_exact(&mut [0; 10]).unwrap(); // and then left
        assert_eq!(read(&mut second).unwrap(), length);
        let piece = first.read_to_end(&mut Vec::new()); // the rest of the first piece is there, no more
        assert!(piece.unwrap_err().to_string().contains("one after another"));
        assert_eq!(read(&mut next(2)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn planes_become_pixels() {
        let shape = Shape::new(1, 3, 2).unwrap();
        let format = Format { element: Element::Unsigned(2), order: Order::Little, shape, planar: true };
        let bytes: Vec<u8> = [1u16, 2, 3, 10, 20, 30].into_iter().flat_map(u16::to_le_bytes).collect();
        assert_eq!(format.read(&mut &*bytes).unwrap().to_samples::<u16>().unwrap(), [1, 10, 2, 20, 3, 30]);
        assert!(format.read(&mut &bytes[..11]).is_err());
    }
}
