//! The pixels of a large image file, band after band of rows, so that a raster on its way into a store is never in
//! memory as a whole.
//!
//! TIFF has its pixels in strips or tiles and PNG in rows, and their decoders can stop in between. All others (and
//! interlaced PNG, TIFF with a plane a channel, or of colours that have to be converted) are decoded as a whole.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::file::{FileHeader, Pixels, beyond_limits, cut_off, open, open_file};
use super::to_little_endian;
use crate::descriptor::ImageFormat;
use crate::error::{Error, Result};
use crate::image::SampleType;

/// Images of fewer bytes are small enough to be in memory.
const LARGE_IMAGE: u64 = 32 << 20;
/// What is read so need not fit in memory. But a small file shall not fill the disk either: an image may have so many times
/// its file's bytes, if that is more than the limit on images in memory.
const PLAUSIBLE_RATIO: u64 = 100;
/// Bytes of the rows of a PNG file that are read at once.
const BAND: usize = 1 << 20;

/// The pixels in the image file at `path`, row-major, channels last, little endian, if it is a large one that can be read
/// so; `limit` as for [`header_at`](super::header_at).
///
/// # Errors
/// As [`header_at`](super::header_at).
pub(crate) fn open_rows(path: &Path, limit: u64) -> Result<Option<(FileHeader, Box<dyn Read + Send>)>> {
    let (format, mut file, length) = open_file(path)?;
    if !matches!(format, ImageFormat::Tiff | ImageFormat::Png) {
        return Ok(None);
    }
    let limit = limit.max(length.saturating_mul(PLAUSIBLE_RATIO));
    if format == ImageFormat::Png {
        let (header, _) = open(format, &mut file, length, limit)?;
        file.rewind().map_err(|error| cut_off(format, error))?;
        let rows = if header.image_bytes() < LARGE_IMAGE { None } else { png_rows(file, header, limit)? };
        return Ok(rows.map(|rows| (header, rows)));
    }
    let (header, pixels) = open(format, file, length, limit)?;
    match pixels {
        Pixels::Tiff(mut tiff) if header.image_bytes() >= LARGE_IMAGE => {
            let rows = Bands::new(move |band| {
                tiff.next_band(band)?;
                to_little_endian(header.sample_type, band);
                Ok(())
            });
            Ok(Some((header, Box::new(rows))))
        }
        _ => Ok(None),
    }
}

/// What `next` makes, band after band, as one stream; an empty band is its end.
struct Bands<F> {
    next: F,
    band: Vec<u8>,
    taken: usize,
}

impl<F: FnMut(&mut Vec<u8>) -> Result<()>> Bands<F> {
    fn new(next: F) -> Self {
        Bands { next, band: Vec::new(), taken: 0 }
    }
}

impl<F: FnMut(&mut Vec<u8>) -> Result<()>> Read for Bands<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.band.len() {
            self.band.clear();
            self.taken = 0;
            (self.next)(&mut self.band).map_err(io::Error::other)?;
        }
        let count = out.len().min(self.band.len() - self.taken);
        out[..count].copy_from_slice(&self.band[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// The rows of a PNG file; `None` where it is interlaced.
fn png_rows(file: BufReader<File>, header: FileHeader, limit: u64) -> Result<Option<Box<dyn Read + Send>>> {
    let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes });
    // As the header was read: palettes and less than 8 bits become samples.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged_png)?;
    if reader.info().interlaced || reader.output_line_size(header.shape.width()) != Some(header.row_bytes() as usize) {
        return Ok(None);
    }
    Ok(Some(Box::new(Bands::new(move |band| {
        while band.len() < BAND {
            let Some(row) = reader.next_row().map_err(damaged_png)? else { break };
            band.extend_from_slice(row.data());
        }
        if header.sample_type == SampleType::U16 {
            band.as_chunks_mut::<2>().0.iter_mut().for_each(|sample| sample.reverse()); // PNG is big endian
        }
        Ok(())
    }))))
}

fn damaged_png(error: png::DecodingError) -> Error {
    match error {
        png::DecodingError::IoError(error) => cut_off(ImageFormat::Png, error),
        png::DecodingError::LimitsExceeded => beyond_limits(ImageFormat::Png),
        error => Error::corrupt("a damaged png file").with_source(error),
    }
}
