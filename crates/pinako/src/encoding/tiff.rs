//! TIFF files, band after band of rows: strips, or tiles side by side.
//!
//! A raster in TIFF may be larger than memory. Its file has it in strips or tiles, which the decoder reads one by one; only
//! a whole image would it gather, beside the one that we want.

use std::io::{BufRead, Read, Seek, SeekFrom};

use tiff::ColorType;
use tiff::decoder::{ChunkType, Decoder, Limits};
use tiff::tags::{ByteOrder, Tag};

use super::file::{FileHeader, beyond_limits, cut_off, not_read};
use super::to_native;
use crate::descriptor::ImageFormat;
use crate::error::{Error, Result};

/// Bytes of rows that are read at once where the file leaves the choice.
const BAND: u64 = 4 << 20;

/// A TIFF file whose samples are those of the image, the samples of a pixel side by side.
pub(super) struct Tiff<R: Read + Seek> {
    decoder: Decoder<R>,
    header: FileHeader,
    /// Width and height of a strip or tile.
    chunk: (u32, u32),
    /// Where each strip starts, where the samples stand in them as they are and a strip is more than a band.
    plain: Option<Vec<u64>>,
    /// The first row that was not read yet.
    next: u32,
    tile: Vec<u8>,
}

impl<R: BufRead + Seek> Tiff<R> {
    /// Whether the file that `reader` starts with can be read so; else it has to be decoded as a whole.
    pub(super) fn can_read(reader: R) -> Result<bool> {
        let mut decoder = Decoder::new(reader).map_err(damaged)?;
        let is_plain_color = matches!(
            decoder.colortype().map_err(damaged)?,
            ColorType::Gray(8 | 16)
                | ColorType::GrayA(8 | 16)
                | ColorType::RGB(8 | 16 | 32)
                | ColorType::RGBA(8 | 16 | 32)
        );
        Ok(is_plain_color && number(&mut decoder, Tag::PlanarConfiguration)?.unwrap_or(1) == 1)
    }

    /// The file that `reader` starts with, which [can be read](Self::can_read) so.
    pub(super) fn open(reader: R, header: FileHeader, limit: u64) -> Result<Self> {
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        (limits.decoding_buffer_size, limits.intermediate_buffer_size, limits.ifd_value_size) = (bytes, bytes, bytes);
        let decoder = Decoder::new(reader).map_err(damaged)?.with_limits(limits);
        let chunk = decoder.chunk_dimensions();
        let mut tiff = Tiff { decoder, header, chunk, plain: None, next: 0, tile: Vec::new() };
        tiff.plain = tiff.plain_strips()?;
        Ok(tiff)
    }

    /// Where the strips start, if no decoder is needed to read them and they are long.
    fn plain_strips(&mut self) -> Result<Option<Vec<u64>>> {
        let decoder = &mut self.decoder;
        let is_long = decoder.get_chunk_type() == ChunkType::Strip
            && u64::from(self.chunk.1).saturating_mul(self.header.row_bytes()) > BAND;
        let is_plain = is_long
            && number(decoder, Tag::Compression)?.unwrap_or(1) == 1
            && number(decoder, Tag::Predictor)?.unwrap_or(1) == 1
            && matches!(number(decoder, Tag::PhotometricInterpretation)?, Some(1 | 2)) // black is zero, RGB
            && number(decoder, Tag::SamplesPerPixel)?.unwrap_or(1) == u64::from(self.header.shape.channels());
        match is_plain {
            true => decoder.get_tag_u64_vec(Tag::StripOffsets).map(Some).map_err(damaged),
            false => Ok(None),
        }
    }

    /// Puts the next rows into `band`, native endian; none at the end.
    pub(super) fn next_band(&mut self, band: &mut Vec<u8>) -> Result<()> {
        let (stride, left) = (self.header.row_bytes() as usize, self.header.shape.height() - self.next);
        let in_chunk = self.next % self.chunk.1;
        let mut rows = left.min(self.chunk.1 - in_chunk);
        if self.plain.is_some() {
            rows = rows.min(u32::try_from(BAND / stride as u64).unwrap_or(u32::MAX).max(1));
        }
        band.resize(rows as usize * stride, 0);
        if rows == 0 {
            return Ok(());
        }
        match self.plain.as_ref().map(|strips| strips.get((self.next / self.chunk.1) as usize)) {
            Some(strip) => {
                let start = strip.and_then(|strip| strip.checked_add(u64::from(in_chunk) * stride as u64));
                let start = start.ok_or_else(|| Error::corrupt("a damaged tiff file: it has too few strips"))?;
                self.read_plain(start, band)?;
            }
            None => self.read_chunks(rows, stride, band)?,
        }
        self.next += rows;
        Ok(())
    }

    /// Reads samples that stand as they are at `start`.
    fn read_plain(&mut self, start: u64, band: &mut [u8]) -> Result<()> {
        let order = self.decoder.byte_order();
        let reader = self.decoder.inner();
        let read = reader.seek(SeekFrom::Start(start)).and_then(|_| reader.read_exact(band));
        read.map_err(|error| damaged(error.into()))?;
        if order == ByteOrder::BigEndian {
            band.chunks_exact_mut(self.header.sample_type.size()).for_each(<[u8]>::reverse);
        }
        to_native(self.header.sample_type, band);
        Ok(())
    }

    /// Reads the strip, or the tiles side by side, that the next `rows` are.
    fn read_chunks(&mut self, rows: u32, stride: usize, band: &mut [u8]) -> Result<()> {
        let width = self.header.shape.width();
        let across = width.div_ceil(self.chunk.0);
        let first = u64::from(self.next / self.chunk.1) * u64::from(across);
        for column in 0..across {
            let left = column * self.chunk.0;
            let chunk_stride = stride / width as usize * self.chunk.0.min(width - left) as usize;
            // There are less than 2^32, or the decoder had not taken the file.
            let chunk = (first + u64::from(column)) as u32;
            if across == 1 {
                self.decoder.read_chunk_bytes(chunk, band).map_err(damaged)?;
                continue;
            }
            self.tile.resize(rows as usize * chunk_stride, 0);
            self.decoder.read_chunk_bytes(chunk, &mut self.tile).map_err(damaged)?;
            let start = stride / width as usize * left as usize;
            for (row, of_tile) in band.chunks_exact_mut(stride).zip(self.tile.chunks_exact(chunk_stride)) {
                row[start..start + chunk_stride].copy_from_slice(of_tile);
            }
        }
        Ok(())
    }
}

/// The number that a tag of the image has.
fn number<R: BufRead + Seek>(decoder: &mut Decoder<R>, tag: Tag) -> Result<Option<u64>> {
    decoder.find_tag_unsigned(tag).map_err(damaged)
}

fn damaged(error: tiff::TiffError) -> Error {
    use tiff::TiffError;
    match error {
        TiffError::IoError(error) => cut_off(ImageFormat::Tiff, error),
        TiffError::LimitsExceeded => beyond_limits(ImageFormat::Tiff),
        TiffError::UnsupportedError(error) => not_read(ImageFormat::Tiff).with_source(error),
        error => Error::corrupt("a damaged tiff file").with_source(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::file::{check, decode};
    use super::*;
    use crate::image::{Image, SampleType, Shape};

    /// How a TIFF file is written.
    #[derive(Debug, Clone, Copy)]
    struct Form {
        big_endian: bool,
        /// Width and height of a tile, or as many rows a strip as there are.
        tile: Option<(usize, usize)>,
        rows: usize,
        deflated: bool,
        white_is_zero: bool,
    }

    /// A TIFF file of `image`.
    fn write(image: &Image, form: Form) -> Vec<u8> {
        let (shape, size) = (image.shape(), image.sample_type().size());
        let (width, height) = (shape.width() as usize, shape.height() as usize);
        let pixel = usize::from(shape.channels()) * size;
        let number = |bytes: &[u8]| match (form.big_endian, bytes) {
            (true, bytes) => bytes.iter().rev().copied().collect(),
            (false, bytes) => bytes.to_vec(),
        };
        let (short, long) = (
            |value: usize| number(&(value as u16).to_le_bytes()),
            |value: usize| number(&(value as u32).to_le_bytes()),
        );
        let (across, down) = form.tile.unwrap_or((width, form.rows));
        let mut data = Vec::new();
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        for top in (0..height).step_by(down) {
            for left in (0..width).step_by(across) {
                let rows = if form.tile.is_some() { down } else { down.min(height - top) };
                let mut chunk = Vec::new();
                for (y, x) in (top..top + rows).flat_map(|y| (left..left + across).map(move |x| (y, x))) {
                    let at = (y * width + x) * pixel;
                    match image.bytes().get(at..at + pixel) {
                        Some(bytes) if x < width => chunk.extend(bytes.chunks(size).flat_map(number)),
                        _ => chunk.resize(chunk.len() + pixel, 0xee), // the part of a tile that is outside
                    }
                }
                if form.white_is_zero {
                    chunk.iter_mut().for_each(|byte| *byte = !*byte);
                }
                if form.deflated {
                    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                    encoder.write_all(&chunk).unwrap();
                    chunk = encoder.finish().unwrap();
                }
                offsets.push(data.len());
                lengths.push(chunk.len());
                data.extend(chunk);
            }
        }
        // The head, the image, the list of tags, and after it the lists that do not fit there.
        let list = 8 + data.len();
        let channels = usize::from(shape.channels());
        let color = if channels < 3 { usize::from(!form.white_is_zero) } else { 2 };
        let mut tags = vec![(256, vec![width]), (257, vec![height]), (258, vec![8 * size; channels])];
        tags.push((259, vec![if form.deflated { 8 } else { 1 }]));
        tags.push((262, vec![color]));
        let offsets: Vec<usize> = offsets.iter().map(|offset| offset + 8).collect();
        match form.tile {
            None => tags.extend([(273, offsets), (277, vec![channels]), (278, vec![form.rows]), (279, lengths)]),
            Some((across, down)) => tags.extend([
                (277, vec![channels]),
                (322, vec![across]),
                (323, vec![down]),
                (324, offsets),
                (325, lengths),
            ]),
        }
        if matches!(channels, 2 | 4) {
            tags.push((338, vec![2]));
        }
        tags.push((339, vec![if image.sample_type() == SampleType::F32 { 3 } else { 1 }; channels]));
        let mut file = [if form.big_endian { *b"MM" } else { *b"II" }.to_vec(), short(42), long(list), data].concat();
        file.extend(short(tags.len()));
        let (mut after, end) = (Vec::new(), list + 2 + 12 * tags.len() + 4);
        for (tag, values) in tags {
            let is_short = [258, 259, 262, 277, 338, 339].contains(&tag);
            file.extend([short(tag), short(if is_short { 3 } else { 4 }), long(values.len())].concat());
            let mut list: Vec<u8> =
                values.into_iter().flat_map(|value| if is_short { short(value) } else { long(value) }).collect();
            list.resize(list.len().max(4), 0);
            if list.len() > 4 {
                file.extend(long(end + after.len()));
                after.extend(list);
            } else {
                file.extend(list);
            }
        }
        [file, long(0), after].concat()
    }

    #[test]
    fn files_of_every_form_are_what_the_whole_decoder_makes_of_them() {
        let kinds = [
            (1, SampleType::U8),
            (3, SampleType::U8),
            (4, SampleType::U16),
            (1, SampleType::U16),
            (3, SampleType::F32),
        ];
        for (channels, sample_type) in kinds {
            let shape = Shape::new(301, 37, channels).unwrap();
            let bytes = (0..shape.byte_length(sample_type)).map(|at| (at * 31 + at / 251) as u8).collect();
            let image = Image::from_bytes(shape, sample_type, bytes).unwrap();
            for case in 0..32 {
                let [big_endian, deflated, white_is_zero] = [1, 2, 4].map(|bit| case & bit != 0);
                let (tile, rows) = [(None, 301), (None, 20), (None, 1), (Some((16, 32)), 0)][case >> 3];
                let form = Form { big_endian, tile, rows, deflated, white_is_zero };
                if white_is_zero && channels > 1 {
                    continue;
                }
                let file = write(&image, form);
                assert!(Tiff::can_read(std::io::Cursor::new(&file)).unwrap(), "{form:?}");
                assert!(decode(&file, 1 << 20).unwrap() == image, "{form:?} {shape} {sample_type}");
                let theirs = image::load_from_memory(&file).unwrap();
                assert!(theirs.as_bytes() == image.bytes(), "{form:?} {shape} {sample_type}");
            }
        }
    }

    #[test]
    fn long_strips_are_read_in_pieces() {
        let cases = [(SampleType::U8, false, 2200), (SampleType::U16, true, 2200), (SampleType::U16, false, 2150)];
        for (sample_type, big_endian, rows) in cases {
            let shape = Shape::new(2200, 2000 / sample_type.size() as u32, 1).unwrap();
            let bytes = (0..shape.byte_length(sample_type)).map(|at| (at * 31 + at / 251) as u8).collect();
            let image = Image::from_bytes(shape, sample_type, bytes).unwrap();
            let form = Form { big_endian, tile: None, rows, deflated: false, white_is_zero: false };
            let file = write(&image, form);
            let header = FileHeader { format: ImageFormat::Tiff, shape, sample_type };
            let mut tiff = Tiff::open(std::io::Cursor::new(&file), header, 1 << 24).unwrap();
            let mut band = Vec::new();
            tiff.next_band(&mut band).unwrap();
            assert!(band.len() as u64 <= BAND && image.bytes().starts_with(&band));
            assert!(decode(&file, 1 << 24).unwrap() == image, "{form:?}");
            assert!(decode(&file[..file.len() / 2], 1 << 24).is_err());
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let image = Image::from_samples(Shape::new(64, 16, 1).unwrap(), &[7u8; 1024]).unwrap();
        for (tile, deflated) in [(None, false), (None, true), (Some((16, 16)), false), (Some((16, 16)), true)] {
            let file = write(&image, Form { big_endian: false, tile, rows: 8, deflated, white_is_zero: false });
            for length in 0..file.len() {
                assert!(decode(&file[..length], 1 << 20).is_err(), "{length} of {}", file.len());
            }
            for at in 0..file.len() {
                let mut damaged = file.clone();
                damaged[at] ^= 0xff;
                // No panic, whatever comes of it.
                assert_eq!(check(&damaged, 1 << 20).is_ok(), decode(&damaged, 1 << 20).is_ok(), "{at}");
            }
        }
    }
}
