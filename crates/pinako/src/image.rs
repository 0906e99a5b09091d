//! Images in memory: what pixels are, before any question of storage.
//!
//! A [`Shape`] or [`Region`] that exists is a sound one: sides are not zero and every product that the library forms
//! of them fits 63 bits, so that no arithmetic after this module can overflow.

use std::fmt;
use std::io::Read;

use crate::error::{Error, Result};

/// The type of one sample (one channel of one pixel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleType {
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 16 bits.
    I16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl SampleType {
    /// Every sample type, in the order of their codes in FORMAT.md.
    pub const ALL: [SampleType; 6] = [Self::U8, Self::U16, Self::U32, Self::I16, Self::F32, Self::F64];

    /// Bytes of one sample.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The name used in files, tables and options: `u8`, `f32`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::I16 => "i16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The sample type of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sample| sample.name() == name)
    }
}

impl fmt::Display for SampleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Rust type that a sample can be.
pub trait Sample: Copy + sealed::Sealed + 'static {
    /// The sample type this Rust type stands for.
    const TYPE: SampleType;
}

mod sealed {
    pub trait Sealed: Sized {
        fn extend(self, bytes: &mut Vec<u8>);
        fn from_bytes(bytes: &[u8]) -> Self;
    }
}

macro_rules! samples {
    ($($rust:ty => $variant:ident),*) => {$(
        impl Sample for $rust {
            const TYPE: SampleType = SampleType::$variant;
        }
        impl sealed::Sealed for $rust {
            fn extend(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_ne_bytes());
            }
            fn from_bytes(bytes: &[u8]) -> Self {
                Self::from_ne_bytes(bytes.try_into().expect("a chunk of this type's size"))
            }
        }
    )*};
}
samples!(u8 => U8, u16 => U16, u32 => U32, i16 => I16, f32 => F32, f64 => F64);

/// Height, width and channels of an image; none of them is zero and the image's bytes fit 63 bits whatever the sample
/// type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    height: u32,
    width: u32,
    channels: u16,
}

impl Shape {
    /// A shape of `height` rows of `width` pixels of `channels` samples.
    ///
    /// # Errors
    /// `InvalidInput` where one of them is zero or the image would have 2^60 samples or more.
    pub fn new(height: u32, width: u32, channels: u16) -> Result<Self> {
        let samples = u128::from(height) * u128::from(width) * u128::from(channels);
        if samples == 0 {
            return Err(Error::invalid(format!(
                "an image needs at least one pixel and one channel, not {height}x{width}x{channels}"
            )));
        }
        if samples >= 1 << 60 {
            return Err(Error::invalid(format!("an image of {height}x{width}x{channels} samples is too large")));
        }
        Ok(Shape { height, width, channels })
    }

    /// Rows.
    pub const fn height(self) -> u32 {
        self.height
    }

    /// Pixels a row.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Samples a pixel.
    pub const fn channels(self) -> u16 {
        self.channels
    }

    /// Pixels of the image.
    pub const fn pixels(self) -> u64 {
        self.height as u64 * self.width as u64
    }

    /// Bytes of one pixel: channels x sample size.
    pub const fn pixel_size(self, sample: SampleType) -> u64 {
        self.channels as u64 * sample.size() as u64
    }

    /// Bytes of the image's pixels.
    pub const fn byte_length(self, sample: SampleType) -> u64 {
        self.pixels() * self.pixel_size(sample)
    }
}

/// `HEIGHTxWIDTHxCHANNELS`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}x{}x{}", self.height, self.width, self.channels))
    }
}

/// A half-open rectangle of pixels, `x..x + width` by `y..y + height`; (0, 0) is the top left pixel of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Region {
    /// The rectangle with the top left corner (`x`, `y`).
    ///
    /// # Errors
    /// `InvalidInput` where it is empty or ends beyond 2^32 - 1.
    pub fn new(x: u32, y: u32, width: u32, height: u32) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(Error::invalid(format!("the region {x},{y},{width},{height} is empty")));
        }
        if x.checked_add(width).is_none() || y.checked_add(height).is_none() {
            return Err(Error::invalid(format!("the region {x},{y},{width},{height} ends beyond 2^32 - 1")));
        }
        Ok(Region { x, y, width, height })
    }

    /// First column.
    pub const fn x(self) -> u32 {
        self.x
    }

    /// First row.
    pub const fn y(self) -> u32 {
        self.y
    }

    /// Columns.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Rows.
    pub const fn height(self) -> u32 {
        self.height
    }

    /// The shape of the image that the region of an image with `channels` channels is.
    ///
    /// # Errors
    /// As [`Shape::new`].
    pub fn shape(self, channels: u16) -> Result<Shape> {
        Shape::new(self.height, self.width, channels)
    }

    /// Checks that the region lies inside an image of `shape`.
    ///
    /// # Errors
    /// `InvalidInput` where it does not.
    pub fn check_inside(self, shape: Shape) -> Result<()> {
        if self.x + self.width > shape.width || self.y + self.height > shape.height {
            return Err(Error::invalid(format!(
                "the region {self} is not inside the image, which is {} wide and {} high",
                shape.width, shape.height
            )));
        }
        Ok(())
    }
}

/// `X,Y,WIDTH,HEIGHT`, as the command line takes it.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

impl std::str::FromStr for Region {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, width, height]) => Region::new(x, y, width, height),
            _ => Err(Error::invalid(format!("{text:?} is no region X,Y,WIDTH,HEIGHT"))
                .with_hint("give four whole numbers of pixels below 2^32")),
        }
    }
}

/// Pixels in memory that somebody else owns: row-major, channels last, native endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageView<'a> {
    shape: Shape,
    sample_type: SampleType,
    bytes: &'a [u8],
}

impl<'a> ImageView<'a> {
    /// A view of `bytes` as an image.
    ///
    /// # Errors
    /// `InvalidInput` where `bytes` are not exactly as many as the shape and sample type say.
    pub fn new(shape: Shape, sample_type: SampleType, bytes: &'a [u8]) -> Result<Self> {
        let expected = shape.byte_length(sample_type);
        if bytes.len() as u64 != expected {
            return Err(Error::invalid(format!(
                "{} bytes do not make an image of {shape} {sample_type}, which has {expected}",
                bytes.len()
            )));
        }
        Ok(ImageView { shape, sample_type, bytes })
    }

    /// Height, width, channels.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The type of its samples.
    pub fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    /// The pixels: row-major, channels last, native endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Copies a region out.
    ///
    /// # Errors
    /// `InvalidInput` where the region is not inside the image.
    pub fn crop(&self, region: Region) -> Result<Image> {
        let shape = region.shape(self.shape.channels)?;
        let rows = self.rows_of(region)?;
        let mut bytes = Vec::with_capacity(shape.byte_length(self.sample_type) as usize);
        rows.for_each(|row| bytes.extend_from_slice(row));
        Image::from_bytes(shape, self.sample_type, bytes)
    }

    /// The rows of a region.
    ///
    /// # Errors
    /// `InvalidInput` where the region is not inside the image.
    pub(crate) fn rows_of(&self, region: Region) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>> {
        region.check_inside(self.shape)?;
        let pixel = self.shape.pixel_size(self.sample_type) as usize;
        let (stride, length) = (self.shape.width as usize * pixel, region.width as usize * pixel);
        let (bytes, left) = (self.bytes, region.x as usize * pixel);
        Ok((region.y..region.y + region.height).map(move |y| &bytes[y as usize * stride + left..][..length]))
    }
}

/// Pixels in memory: row-major, channels last, native endian.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    shape: Shape,
    sample_type: SampleType,
    bytes: Vec<u8>,
}

impl Image {
    /// An image of these bytes: row-major, channels last, native endian.
    ///
    /// # Errors
    /// `InvalidInput` where they are not exactly as many as the shape and sample type say.
    pub fn from_bytes(shape: Shape, sample_type: SampleType, bytes: Vec<u8>) -> Result<Self> {
        ImageView::new(shape, sample_type, &bytes)?;
        Ok(Image { shape, sample_type, bytes })
    }

    /// The image in the bytes of an image file (JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM).
    ///
    /// # Errors
    /// `Unsupported` where they are no such file, or the image would have more than `max_bytes`; `Corrupt` where they
    /// are damaged.
    pub fn decode(file: &[u8], max_bytes: u64) -> Result<Self> {
        crate::encoding::decode_file(file, max_bytes)
    }

    /// An image of these samples: row-major, channels last.
    ///
    /// # Errors
    /// `InvalidInput` where they are not exactly as many as the shape says.
    pub fn from_samples<T: Sample>(shape: Shape, samples: &[T]) -> Result<Self> {
        let mut bytes = Vec::with_capacity(size_of_val(samples));
        for &sample in samples {
            sample.extend(&mut bytes);
        }
        Self::from_bytes(shape, T::TYPE, bytes)
    }

    /// An image out of a reader that has its pixels at least: row-major, channels last, little endian.
    ///
    /// # Errors
    /// `Corrupt` where there are fewer, or an error of the reader.
    pub fn read(shape: Shape, sample_type: SampleType, reader: &mut dyn Read) -> Result<Self> {
        let expected = shape.byte_length(sample_type);
        let mut bytes = Vec::new(); // grows as bytes come, not as somebody promised
        reader.take(expected).read_to_end(&mut bytes).map_err(|error| Error::io("cannot read the pixels", error))?;
        if bytes.len() as u64 != expected {
            return Err(Error::corrupt(format!("its pixels end after {} of {expected} bytes", bytes.len())));
        }
        crate::encoding::to_native(sample_type, &mut bytes);
        Self::from_bytes(shape, sample_type, bytes)
    }

    /// The samples as Rust values: row-major, channels last.
    ///
    /// # Errors
    /// `InvalidInput` where the image has another sample type than `T`.
    pub fn to_samples<T: Sample>(&self) -> Result<Vec<T>> {
        if self.sample_type != T::TYPE {
            return Err(Error::invalid(format!("the image has {} samples, not {}", self.sample_type, T::TYPE)));
        }
        Ok(self.bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect())
    }

    /// A view of the whole.
    pub fn view(&self) -> ImageView<'_> {
        ImageView { shape: self.shape, sample_type: self.sample_type, bytes: &self.bytes }
    }

    /// Height, width, channels.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The type of its samples.
    pub fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    /// The pixels: row-major, channels last, native endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pixels, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Shape and sample type only: nobody wants a megabyte of pixels in a log.
impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} {})", self.shape, self.sample_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        assert!(Shape::new(0, 1, 1).is_err() && Shape::new(1, 0, 1).is_err() && Shape::new(1, 1, 0).is_err());
        assert!(Shape::new(u32::MAX, u32::MAX, 1).is_err());
        assert_eq!(Shape::new(2, 3, 4).unwrap().byte_length(SampleType::F64), 192);
    }

    #[test]
    fn a_crop_is_the_region() {
        let samples: Vec<u16> = (0..24).collect();
        let image = Image::from_samples(Shape::new(3, 4, 2).unwrap(), &samples).unwrap();
        let crop = image.view().crop("1,1,2,2".parse().unwrap()).unwrap();
        assert_eq!(crop.to_samples::<u16>().unwrap(), [10, 11, 12, 13, 18, 19, 20, 21]);
        assert!(crop.to_samples::<u8>().is_err());
        assert!(image.view().crop(Region::new(3, 0, 2, 1).unwrap()).is_err());
    }

    #[test]
    fn regions_that_cannot_be_are_refused() {
        assert!(Region::new(0, 0, 0, 1).is_err() && Region::new(u32::MAX, 0, 1, 1).is_err());
        assert!("1,2,3".parse::<Region>().is_err() && "1,2,3,x".parse::<Region>().is_err());
    }
}
