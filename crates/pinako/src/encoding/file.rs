//! Payloads that are image files: PNG that we encode, and whatever was kept as it came.
//!
//! The formats' own decoders do the work; here stand the limits they run under. A header is believed only as far as
//! the file's length makes it possible: Deflate never expands more than 1032 times, so a PNG of 100 bytes does not
//! hold 10^9 pixels.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::{ColorType, ImageDecoder, ImageReader, Limits};

use super::check_image_bytes;
use super::jpeg::{self, Jpeg};
use super::link::open_regular;
use super::raw::swap_endianness;
use super::tiff::Tiff;
use crate::descriptor::{Descriptor, ImageFormat};
use crate::error::{Error, Result};
use crate::image::{Image, ImageView, SampleType, Shape};

/// Most bytes that one byte of Deflate stream can stand for (RFC 1951: 258 bytes in 2 bits).
const MAX_DEFLATE_RATIO: u64 = 1032;

/// What the header of an image file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) format: ImageFormat,
    pub(crate) shape: Shape,
    pub(crate) sample_type: SampleType,
}

impl FileHeader {
    /// Bytes of the image once decoded.
    pub(crate) fn image_bytes(&self) -> u64 {
        self.shape.byte_length(self.sample_type)
    }

    /// Bytes of a row of it.
    pub(super) fn row_bytes(&self) -> u64 {
        u64::from(self.shape.width()) * self.shape.pixel_size(self.sample_type)
    }
}

/// Reads the header of the image file that `bytes` are.
///
/// # Errors
/// `Unsupported` where they are none that we know, `Corrupt` where the header is damaged, or the image it claims is
/// larger than `limit` bytes.
pub(crate) fn header(bytes: &[u8], limit: u64) -> Result<FileHeader> {
    Ok(open(format_of(bytes)?, Cursor::new(bytes), bytes.len() as u64, limit)?.0)
}

/// Reads the header of the image file at `path`.
///
/// # Errors
/// As [`header`]; `InvalidInput` where it is no regular file.
pub(crate) fn header_at(path: &Path, limit: u64) -> Result<FileHeader> {
    let (format, file, length) = open_file(path)?;
    Ok(open(format, file, length, limit)?.0)
}

/// The format of image files with that extension.
pub(crate) fn format_of_extension(extension: &str) -> Option<ImageFormat> {
    ours(image::ImageFormat::from_extension(extension)?)
}

/// Whether a file that starts like this is an image file.
pub(crate) fn is_image_file(head: &[u8]) -> bool {
    format_of(head).is_ok()
}

/// Reads the whole image file that `bytes` are, so that one damaged anywhere is found out.
///
/// # Errors
/// As [`header`], and `Corrupt` where the pixels are damaged.
pub(crate) fn decode(bytes: &[u8], limit: u64) -> Result<Image> {
    decode_from(format_of(bytes)?, Cursor::new(bytes), bytes.len() as u64, limit)
}

/// Reads the whole image file that `bytes` are, only to see whether it is sound, and gives what its header says; of TIFF no
/// image is made.
///
/// # Errors
/// As [`decode`].
pub(crate) fn check(bytes: &[u8], limit: u64) -> Result<FileHeader> {
    let format = format_of(bytes)?;
    let (header, pixels) = open_whole(format, Cursor::new(bytes), bytes.len() as u64, limit)?;
    match pixels {
        Pixels::Tiff(mut tiff) => {
            let mut band = Vec::new();
            while tiff.next_band(&mut band).map(|()| !band.is_empty())? {}
        }
        whole => whole.read(format, &mut vec![0; check_image_bytes(header.shape, header.sample_type, limit)?])?,
    }
    Ok(header)
}

/// Reads the whole image file at `path`, of which no more is in memory at once than its format's decoder needs.
///
/// # Errors
/// As [`decode`]; `InvalidInput` where it is no regular file.
pub(crate) fn decode_at(path: &Path, limit: u64) -> Result<Image> {
    let (format, file, length) = open_file(path)?;
    decode_from(format, file, length, limit)
}

fn decode_from(format: ImageFormat, reader: impl BufRead + Seek, length: u64, limit: u64) -> Result<Image> {
    let (header, pixels) = open_whole(format, reader, length, limit)?;
    let mut bytes = vec![0; check_image_bytes(header.shape, header.sample_type, limit)?];
    pixels.read(format, &mut bytes)?;
    Image::from_bytes(header.shape, header.sample_type, bytes)
}

/// Decodes an image file into `out`, as long as the descriptor's image.
pub(super) fn decode_into(
    format: ImageFormat,
    descriptor: &Descriptor,
    bytes: &[u8],
    limit: u64,
    out: &mut [u8],
) -> Result<()> {
    let (header, pixels) = open_whole(format, Cursor::new(bytes), bytes.len() as u64, limit)?;
    if (header.shape, header.sample_type) != (descriptor.shape, descriptor.sample_type) {
        return Err(Error::corrupt(format!(
            "its {} file holds {} {}, its descriptor says {} {}",
            format.name(),
            header.shape,
            header.sample_type,
            descriptor.shape,
            descriptor.sample_type
        )));
    }
    pixels.read(format, out)
}

/// A PNG file of `view`.
///
/// # Errors
/// `InvalidInput` where PNG has no such images.
pub(crate) fn encode_png(view: ImageView<'_>) -> Result<Vec<u8>> {
    let (shape, sample) = (view.shape(), view.sample_type());
    if !super::PixelEncoding::Png.fits(shape, sample) {
        return Err(Error::invalid(format!(
            "PNG has no images of {} {sample} channels: only u8 and u16, 1 to 4 channels",
            shape.channels()
        ))
        .with_hint("encode it raw"));
    }
    let color = match shape.channels() {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    };
    let mut bytes = Vec::with_capacity(view.bytes().len() + 1024);
    let mut encoder = png::Encoder::new(&mut bytes, shape.width(), shape.height());
    encoder.set_color(color);
    encoder.set_depth(if sample == SampleType::U8 { png::BitDepth::Eight } else { png::BitDepth::Sixteen });
    encoder.set_compression(png::Compression::Fastest);
    let cannot = |error| Error::new(crate::ErrorKind::Backend, "cannot encode a PNG").with_source(error);
    let mut writer = encoder.write_header().map_err(cannot)?;
    if sample == SampleType::U16 && cfg!(target_endian = "little") {
        let mut swapped = view.bytes().to_vec();
        swap_endianness(sample, &mut swapped);
        writer.write_image_data(&swapped).map_err(cannot)?;
    } else {
        writer.write_image_data(view.bytes()).map_err(cannot)?;
    }
    writer.finish().map_err(cannot)?;
    bytes.shrink_to_fit(); // many may be in memory at once
    Ok(bytes)
}

/// The pixels of an image file that was opened.
pub(super) enum Pixels<'a, R: BufRead + Seek> {
    /// They are decoded band by band.
    Tiff(Box<Tiff<R>>),
    Jpeg(Jpeg),
    /// They are decoded as a whole.
    Whole(Box<dyn ImageDecoder + 'a>),
}

impl<R: BufRead + Seek> Pixels<'_, R> {
    /// Decodes them into `out`, which has their length, native endian.
    fn read(self, format: ImageFormat, mut out: &mut [u8]) -> Result<()> {
        let mut tiff = match self {
            Pixels::Tiff(tiff) => tiff,
            Pixels::Jpeg(jpeg) => return jpeg.read(out),
            Pixels::Whole(decoder) => return decoder.read_image_boxed(out).map_err(|error| damaged(format, error)),
        };
        let mut band = Vec::new();
        while !out.is_empty() {
            tiff.next_band(&mut band)?;
            let (rows, rest) = out.split_at_mut(band.len());
            rows.copy_from_slice(&band);
            out = rest;
        }
        Ok(())
    }
}

/// As [`open`], where all pixels will be read.
fn open_whole<'a, R: BufRead + Seek + 'a>(
    format: ImageFormat,
    mut reader: R,
    length: u64,
    limit: u64,
) -> Result<(FileHeader, Pixels<'a, R>)> {
    if format == ImageFormat::Jpeg {
        jpeg::find_end(&mut reader).map_err(|error| cut_off(format, error))?;
        rewind(&mut reader)?;
    }
    open(format, reader, length, limit)
}

/// Opens the image file of `length` bytes that `reader` starts with.
pub(super) fn open<'a, R: BufRead + Seek + 'a>(
    format: ImageFormat,
    mut reader: R,
    length: u64,
    limit: u64,
) -> Result<(FileHeader, Pixels<'a, R>)> {
    if format == ImageFormat::Jpeg {
        let jpeg = Jpeg::open(reader)?;
        let color = if jpeg.is_gray { ColorType::L8 } else { ColorType::Rgb8 };
        let header = checked_header(format, (jpeg.width, jpeg.height), color, length, limit)?;
        return Ok((header, Pixels::Jpeg(jpeg)));
    }
    let header_of =
        |decoder: &dyn ImageDecoder| checked_header(format, decoder.dimensions(), decoder.color_type(), length, limit);
    if format == ImageFormat::Tiff {
        let header = header_of(&*decoder(format, &mut reader, limit)?)?;
        rewind(&mut reader)?;
        let in_bands = Tiff::can_read(&mut reader)?;
        rewind(&mut reader)?;
        if in_bands {
            return Ok((header, Pixels::Tiff(Box::new(Tiff::open(reader, header, limit)?))));
        }
    }
    let decoder = decoder(format, reader, limit)?;
    Ok((header_of(&*decoder)?, Pixels::Whole(decoder)))
}

fn rewind(reader: &mut impl Seek) -> Result<()> {
    reader.rewind().map_err(|error| Error::io("cannot read it again", error))
}

/// The image file at `path`: its format, and its bytes and their number.
///
/// # Errors
/// `InvalidInput` where it is no regular file; `Unsupported` where it is no image file that we know.
pub(super) fn open_file(path: &Path) -> Result<(ImageFormat, BufReader<File>, u64)> {
    let cannot = |error| Error::io("cannot read it", error);
    let regular = open_regular(path).map_err(cannot)?;
    let (file, length) = regular.ok_or_else(|| Error::invalid("it is no regular file"))?;
    let mut file = BufReader::with_capacity(1 << 16, file);
    let format = format_of(file.fill_buf().map_err(cannot)?)?;
    Ok((format, file, length))
}

/// The decoder of the file that `reader` starts with.
fn decoder<'a>(
    format: ImageFormat,
    reader: impl BufRead + Seek + 'a,
    limit: u64,
) -> Result<Box<dyn ImageDecoder + 'a>> {
    let mut reader = ImageReader::with_format(reader, theirs(format));
    let mut limits = Limits::default();
    limits.max_alloc = Some(limit);
    reader.limits(limits);
    Ok(Box::new(reader.into_decoder().map_err(|error| damaged(format, error))?))
}

/// What a decoder has found a header to say, in a file of `length` bytes.
fn checked_header(
    format: ImageFormat,
    (width, height): (u32, u32),
    color: ColorType,
    length: u64,
    limit: u64,
) -> Result<FileHeader> {
    let (channels, sample_type) = match color {
        ColorType::L8 => (1, SampleType::U8),
        ColorType::La8 => (2, SampleType::U8),
        ColorType::Rgb8 => (3, SampleType::U8),
        ColorType::Rgba8 => (4, SampleType::U8),
        ColorType::L16 => (1, SampleType::U16),
        ColorType::La16 => (2, SampleType::U16),
        ColorType::Rgb16 => (3, SampleType::U16),
        ColorType::Rgba16 => (4, SampleType::U16),
        ColorType::Rgb32F => (3, SampleType::F32),
        ColorType::Rgba32F => (4, SampleType::F32),
        other => return Err(Error::unsupported(format!("a {} file of {other:?} pixels", format.name()))),
    };
    let shape = Shape::new(height, width, channels)
        .map_err(|error| Error::corrupt(format!("a damaged {} file", format.name())).with_source(error))?;
    let image_bytes = check_image_bytes(shape, sample_type, limit)? as u64;
    if format == ImageFormat::Png && image_bytes / MAX_DEFLATE_RATIO / 8 > length {
        // The 8 is for palettes and single bits, which become 8 times as many bytes.
        return Err(Error::corrupt(format!(
            "its PNG header claims {width}x{height} pixels, more than its {length} bytes can hold"
        )));
    }
    Ok(FileHeader { format, shape, sample_type })
}

fn damaged(format: ImageFormat, error: image::ImageError) -> Error {
    match error {
        image::ImageError::IoError(error) => cut_off(format, error),
        image::ImageError::Limits(_) => beyond_limits(format).with_source(error),
        image::ImageError::Unsupported(_) => not_read(format).with_source(error),
        _ => Error::corrupt(format!("a damaged {} file", format.name())).with_source(error),
    }
}

/// The error for a file that ends early, or cannot be read on.
pub(super) fn cut_off(format: ImageFormat, error: io::Error) -> Error {
    let name = format.name();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::corrupt(format!("a damaged {name} file: it ends too early")),
        _ => Error::corrupt(format!("a damaged {name} file")).with_source(error),
    }
}

pub(super) fn beyond_limits(format: ImageFormat) -> Error {
    Error::unsupported(format!("the {} file goes beyond the decoder's limits", format.name()))
        .with_hint("raise max_image_bytes if the file is to be trusted")
}

pub(super) fn not_read(format: ImageFormat) -> Error {
    Error::unsupported(format!("a {} file of a kind that is not read", format.name()))
}

/// The format of the image file that `bytes` are, by its first bytes.
fn format_of(bytes: &[u8]) -> Result<ImageFormat> {
    image::guess_format(bytes).ok().and_then(ours).ok_or_else(|| {
        Error::unsupported("not an image file: it starts like none of JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM")
    })
}

fn ours(format: image::ImageFormat) -> Option<ImageFormat> {
    ImageFormat::ALL.into_iter().find(|&our| theirs(our) == format)
}

fn theirs(format: ImageFormat) -> image::ImageFormat {
    match format {
        ImageFormat::Jpeg => image::ImageFormat::Jpeg,
        ImageFormat::Png => image::ImageFormat::Png,
        ImageFormat::WebP => image::ImageFormat::WebP,
        ImageFormat::Tiff => image::ImageFormat::Tiff,
        ImageFormat::Bmp => image::ImageFormat::Bmp,
        ImageFormat::Gif => image::ImageFormat::Gif,
        ImageFormat::Qoi => image::ImageFormat::Qoi,
        ImageFormat::Pnm => image::ImageFormat::Pnm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(image: &Image) -> Descriptor {
        Descriptor {
            id: 0,
            name: None,
            shape: image.shape(),
            sample_type: image.sample_type(),
            encoding: crate::Encoding::Png,
            label: None,
            attributes: None,
            payload_length: 0,
            checksum: 0,
        }
    }

    #[test]
    fn png_gives_back_every_kind_of_image_it_has() {
        for sample in [SampleType::U8, SampleType::U16] {
            for channels in 1..=4 {
                let shape = Shape::new(5, 7, channels).unwrap();
                let bytes = (0..shape.byte_length(sample)).map(|i| (i * 37) as u8).collect();
                let image = Image::from_bytes(shape, sample, bytes).unwrap();
                let file = encode_png(image.view()).unwrap();
                let mut out = vec![0; image.bytes().len()];
                decode_into(ImageFormat::Png, &descriptor(&image), &file, 1 << 20, &mut out).unwrap();
                assert_eq!(out, image.bytes());
                assert!(decode_into(ImageFormat::Png, &descriptor(&image), &file, 10, &mut out).is_err());
            }
        }
        let floats = Image::from_samples(Shape::new(1, 1, 1).unwrap(), &[1f32]).unwrap();
        assert!(encode_png(floats.view()).is_err());
    }

    #[test]
    fn a_small_png_that_claims_many_pixels_is_refused() {
        let image = Image::from_samples(Shape::new(1, 1, 1).unwrap(), &[1u8]).unwrap();
        let mut file = encode_png(image.view()).unwrap();
        file[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]); // 16384 x 16384
        let checksum = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = header(&file, 1 << 29).unwrap_err();
        assert!(error.to_string().contains("claims 16384x16384 pixels"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    #[test]
    fn damaged_files_are_errors() {
        let image = Image::from_samples(Shape::new(16, 16, 1).unwrap(), &[7u8; 256]).unwrap();
        let file = encode_png(image.view()).unwrap();
        let mut out = vec![0; 256];
        for length in 0..file.len() - 12 {
            assert!(decode_into(ImageFormat::Png, &descriptor(&image), &file[..length], 1 << 20, &mut out).is_err());
        }
        assert!(header(b"hello", 1 << 20).is_err() && header(b"", 1 << 20).is_err());
    }
}
