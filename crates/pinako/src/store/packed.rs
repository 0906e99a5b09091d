//! Payloads that are packed while they are stored: of images too large to be held in memory twice, or even once.
//!
//! The payload of a layout is made up part by part, each a rectangle whose rows are looked up where they are: in memory,
//! or in a file. A reader's rows come one after another and are wanted in another order, so they are written to a file
//! first. It has no name, and stands in the store's own folder: a folder for temporary files may be memory, too.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::watched::Portion;
use crate::checksum;
use crate::encoding;
use crate::error::{Error, Result};
use crate::image::{Region, SampleType};
use crate::layout::{Arrangement, row_runs};

/// Bytes that are taken from a reader at a time.
const PIECE: usize = 1 << 20;

/// A payload that is packed as it is read.
pub(crate) struct Packed<'a> {
    arrangement: Arrangement,
    sample_type: SampleType,
    width: u32,
    rows: Rows<'a>,
    /// Where the next part starts in the payload.
    next: u64,
    /// A part of the payload, of which so many bytes were taken.
    part: Vec<u8>,
    taken: usize,
    portion: Option<Portion>,
}

/// Where the rows of an image are.
enum Rows<'a> {
    /// In memory, native endian.
    Memory(Cow<'a, [u8]>),
    /// In a file, little endian.
    File(File),
}

impl<'a> Packed<'a> {
    /// Packs an image in memory, `width` pixels wide: row-major, channels last, native endian.
    pub(crate) fn pixels(arrangement: Arrangement, sample_type: SampleType, width: u32, pixels: Cow<'a, [u8]>) -> Self {
        Self::new(arrangement, sample_type, width, Rows::Memory(pixels))
    }

    /// Packs what `reader` gives: row-major, channels last, little endian. All of it is kept in a file without a name in
    /// `folder` until it is packed.
    ///
    /// # Errors
    /// `InvalidInput` where the reader has not exactly the image's bytes, or an error of its own.
    pub(crate) fn spooled(
        arrangement: Arrangement,
        sample_type: SampleType,
        width: u32,
        reader: &mut (dyn Read + Send),
        folder: &Path,
    ) -> Result<Self> {
        let cannot = |error| Error::io(format!("cannot keep the rows of an image in {}", folder.display()), error);
        let mut file = tempfile::tempfile_in(folder).map_err(cannot)?;
        let expected = arrangement.payload_bytes();
        let mut piece = Vec::with_capacity(PIECE);
        let mut found = 0;
        // One byte more than there should be tells a reader that has too many.
        while found <= expected {
            piece.clear();
            let most = (expected - found + 1).min(PIECE as u64);
            let count = (&mut *reader).take(most).read_to_end(&mut piece);
            if count.map_err(|error| Error::io("cannot read the pixels that are to be stored", error))? == 0 {
                break;
            }
            found += piece.len() as u64;
            file.write_all(&piece).map_err(cannot)?;
        }
        if found != expected {
            let found = if found > expected { "more".to_owned() } else { format!("only {found}") };
            return Err(Error::invalid(format!("the pixels should have {expected} bytes, but there are {found}")));
        }
        Ok(Self::new(arrangement, sample_type, width, Rows::File(file)))
    }

    fn new(arrangement: Arrangement, sample_type: SampleType, width: u32, rows: Rows<'a>) -> Self {
        Packed { arrangement, sample_type, width, rows, next: 0, part: Vec::new(), taken: 0, portion: None }
    }

    /// Counts what is packed from now on as moved.
    pub(crate) fn count(&mut self, portion: Portion) {
        self.portion = Some(portion);
    }

    /// Whether it is counted as it is packed.
    pub(crate) fn is_counted(&self) -> bool {
        self.portion.is_some()
    }

    /// Starts again with the first byte.
    pub(crate) fn rewind(&mut self) {
        if let Some(portion) = &mut self.portion {
            portion.take_back(self.next);
        }
        self.again();
    }

    /// Starts again with the first byte, where all is to be packed once more that was: it stays counted.
    pub(crate) fn again(&mut self) {
        (self.next, self.taken) = (0, 0);
        self.part.clear();
    }

    /// The CRC32C of the payload, which is packed for it.
    pub(crate) fn checksum(&mut self) -> Result<u32> {
        self.rewind();
        let mut sum = 0;
        while self.next_part().map_err(|error| Error::io("cannot read the pixels again", error))? {
            sum = checksum::crc32c_append(sum, &self.part);
        }
        Ok(sum)
    }

    /// The CRC32C of the payload as it were in another arrangement of the same image.
    pub(crate) fn checksum_in(&mut self, arrangement: Arrangement) -> Result<u32> {
        let own = std::mem::replace(&mut self.arrangement, arrangement);
        let sum = self.checksum();
        self.rewind();
        self.arrangement = own;
        sum
    }

    /// The same, with pixels of its own.
    pub(crate) fn into_owned(self) -> Packed<'static> {
        let rows = match self.rows {
            Rows::Memory(pixels) => Rows::Memory(Cow::Owned(pixels.into_owned())),
            Rows::File(file) => Rows::File(file),
        };
        Packed::new(self.arrangement, self.sample_type, self.width, rows)
    }

    /// Packs the next part, if there is one.
    fn next_part(&mut self) -> io::Result<bool> {
        let Some(part) = self.arrangement.part_at(self.next) else { return Ok(false) };
        let rows = self.rows_of(part)?;
        self.part.resize(rows.len(), 0);
        self.taken = 0;
        self.arrangement.pack_part(part, self.next, &rows, &mut self.part);
        if let Rows::Memory(_) = self.rows {
            encoding::to_little_endian(self.sample_type, &mut self.part);
        }
        self.next += rows.len() as u64;
        if let Some(portion) = &mut self.portion {
            portion.add(rows.len() as u64)?;
        }
        Ok(true)
    }

    /// The pixels of `part`, row by row.
    fn rows_of(&self, part: Region) -> io::Result<Vec<u8>> {
        let runs = row_runs(self.width, self.arrangement.pixel_size(), part);
        let mut rows = vec![0; runs.iter().map(|run| run.end - run.start).sum::<u64>() as usize];
        let mut rest = &mut rows[..];
        for run in runs {
            let (out, after) = rest.split_at_mut((run.end - run.start) as usize);
            match &self.rows {
                Rows::File(file) => file.read_exact_at(out, run.start)?,
                Rows::Memory(pixels) => out.copy_from_slice(&pixels[run.start as usize..run.end as usize]),
            }
            rest = after;
        }
        Ok(rows)
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.part.len() && !self.next_part()? {
            return Ok(0);
        }
        let count = out.len().min(self.part.len() - self.taken);
        out[..count].copy_from_slice(&self.part[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Shape;

    /// An image, and its arrangement.
    fn sample(layout: &str, sample_type: SampleType) -> (Arrangement, Vec<u8>) {
        let shape = Shape::new(270, 531, 3).unwrap();
        let arrangement = Arrangement::new(layout.parse().unwrap(), shape, sample_type).unwrap();
        (arrangement, (0..shape.byte_length(sample_type)).map(|at| (at * 31 + at / 251) as u8).collect())
    }

    #[test]
    fn what_is_packed_part_by_part_is_the_packed_image() {
        for layout in ["row", "hilbert:1", "hilbert:8", "hilbert:64", "hilbert:256"] {
            for sample_type in [SampleType::U8, SampleType::F64] {
                let (arrangement, pixels) = sample(layout, sample_type);
                let mut expected = vec![0; pixels.len()];
                arrangement.pack(&pixels, &mut expected);
                let mut little = pixels.clone();
                encoding::to_little_endian(sample_type, &mut little);
                encoding::to_little_endian(sample_type, &mut expected);
                let folder = tempfile::tempdir().unwrap();
                let of_reader =
                    Packed::spooled(arrangement, sample_type, 531, &mut &little[..], folder.path()).unwrap();
                let of_pixels = Packed::pixels(arrangement, sample_type, 531, Cow::Borrowed(&pixels));
                for mut packed in [of_reader, of_pixels] {
                    let mut head = [0; 1000];
                    packed.read_exact(&mut head).unwrap();
                    assert_eq!(packed.checksum().unwrap(), checksum::crc32c(&expected));
                    packed.rewind();
                    let mut found = Vec::new();
                    packed.into_owned().read_to_end(&mut found).unwrap();
                    assert!(found == expected, "{layout} {sample_type}");
                }
                assert_eq!(folder.path().read_dir().unwrap().count(), 0);
            }
        }
    }

    #[test]
    fn a_reader_with_too_little_or_too_much_is_refused() {
        let (arrangement, mut pixels) = sample("hilbert:64", SampleType::U8);
        let folder = tempfile::tempdir().unwrap();
        let spool = |pixels: &[u8]| {
            let packed = Packed::spooled(arrangement, SampleType::U8, 531, &mut &pixels[..], folder.path());
            packed.map(drop).map_err(|error| error.to_string())
        };
        assert!(spool(&pixels[1..]).unwrap_err().contains("should have 430110 bytes, but there are only 430109"));
        spool(&pixels).unwrap();
        pixels.push(0);
        assert!(spool(&pixels).unwrap_err().contains("there are more"));
        let error = Packed::spooled(arrangement, SampleType::U8, 531, &mut &pixels[1..], &folder.path().join("gone"));
        assert!(error.err().unwrap().to_string().contains("cannot keep the rows of an image in"));
    }
}
