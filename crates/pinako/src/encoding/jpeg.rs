//! JPEG files, by the decoder that the `image` crate has, too: that one reads each header twice, which is a sixth of the
//! time that a thumbnail takes.
//!
//! The decoder paints grey what it finds no data for, and says nothing. So the markers are followed to the one that ends
//! the image (ITU-T T.81, annex B): a file that was cut off has none behind its last data.

use std::io::{self, BufRead, Read};

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::file::{beyond_limits, cut_off, not_read};
use crate::descriptor::ImageFormat;
use crate::error::{Error, Result};

/// A JPEG file of which the header was read.
pub(super) struct Jpeg {
    /// Large: to move it about takes as long as some images.
    decoder: Box<JpegDecoder<ZCursor<Vec<u8>>>>,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Whether it is gray; else it becomes red, green and blue.
    pub(super) is_gray: bool,
}

impl Jpeg {
    /// Reads a file and its header.
    ///
    /// # Errors
    /// `Corrupt` where the header is damaged, `Unsupported` where it says what the decoder does not read.
    pub(super) fn open(mut reader: impl Read) -> Result<Self> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| cut_off(ImageFormat::Jpeg, error))?;
        // As lenient as others; a size is refused by whoever knows how much memory there may be.
        let options = DecoderOptions::default().set_strict_mode(false);
        let options = options.set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = Box::new(JpegDecoder::new_with_options(ZCursor::new(bytes), options));
        decoder.decode_headers().map_err(damaged)?;
        let header = decoder.info().zip(decoder.input_colorspace());
        let (info, colors) = header.ok_or_else(|| Error::corrupt("a damaged jpeg file: it has no header"))?;
        let is_gray = colors == ColorSpace::Luma;
        if is_gray {
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
        }
        Ok(Jpeg { decoder, width: info.width.into(), height: info.height.into(), is_gray })
    }

    /// Decodes it into `out`, which has its length.
    ///
    /// # Errors
    /// `Corrupt` where it is damaged, `Unsupported` where it is of a kind that the decoder does not read.
    pub(super) fn read(mut self, out: &mut [u8]) -> Result<()> {
        self.decoder.decode_into(out).map_err(damaged)
    }
}

fn damaged(error: DecodeErrors) -> Error {
    let format = ImageFormat::Jpeg;
    match error {
        DecodeErrors::Unsupported(_) => not_read(format).with_source(error),
        DecodeErrors::LargeDimensions(_) => beyond_limits(format).with_source(error),
        _ => Error::corrupt(format!("a damaged {} file", format.name())).with_source(error),
    }
}

/// The bytes that follow 0xFF, which begins a marker.
mod marker {
    /// No marker: a byte of data that is 0xFF.
    pub(super) const STUFFED: u8 = 0x00;
    pub(super) const TEMPORARY: u8 = 0x01;
    pub(super) const FIRST_RESTART: u8 = 0xd0;
    pub(super) const START_OF_IMAGE: u8 = 0xd8;
    pub(super) const END_OF_IMAGE: u8 = 0xd9;
}

/// Reads on until the end of the image.
///
/// # Errors
/// `UnexpectedEof` where the file ends before.
pub(super) fn find_end(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        reader.skip_until(0xff)?;
        let mut code = [0xff];
        while code == [0xff] {
            reader.read_exact(&mut code)?;
        }
        match code[0] {
            marker::END_OF_IMAGE => return Ok(()),
            marker::STUFFED | marker::TEMPORARY | marker::FIRST_RESTART..=marker::START_OF_IMAGE => {}
            _ => {
                // A segment; its length counts itself. Data of a scan follow after its segment.
                let mut length = [0; 2];
                reader.read_exact(&mut length)?;
                let rest = u64::from(u16::from_be_bytes(length)).saturating_sub(2);
                if io::copy(&mut reader.take(rest), &mut io::sink())? < rest {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a segment that has the end of an image in it, as that of a thumbnail in EXIF data, and a scan with a stuffed
    /// byte, a restart and fill bytes.
    const WHOLE: &[u8] =
        b"\xff\xd8\xff\xe1\x00\x06\xff\xd8\xff\xd9\xff\xda\x00\x04ab12\xff\x00\xff\xd03\xff\xff\xff\xd9";

    #[test]
    fn a_whole_file_has_an_end_whatever_follows() {
        find_end(&mut &WHOLE[..]).unwrap();
        find_end(&mut &[WHOLE, b"and more"].concat()[..]).unwrap();
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_has_none() {
        for length in 0..WHOLE.len() {
            let error = find_end(&mut &WHOLE[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length} bytes");
        }
    }
}
