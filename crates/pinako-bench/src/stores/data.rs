//! The images that are stored: kept in memory once, whatever the counts, and taken again and again.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use pinako::source::{self, Content};
use pinako::{Error, Image, ImageView, Label, NewImage, PixelEncoding, Result, SampleType, Shape, Store};
use rayon::prelude::*;
use serde::Serialize;

use super::{Progress, Watch};
use crate::{interrupted, invalid, pictures};

/// Most bytes of source images that are kept.
const MOST_BYTES: u64 = 512 << 20;

/// Most pictures that are made up: as many as CIFAR-10 has to train with.
const MOST_MADE: u64 = 50_000;

/// Images on the sheet, and most pixels along their sides.
const SHEET: usize = 16;
const SHEET_SIDE: u32 = 128;

/// What was stored.
#[derive(Debug, Clone, Serialize)]
pub struct Data {
    /// What it is, for people.
    pub description: String,
    /// Different images.
    pub images: u64,
    /// Bytes of their pixels.
    pub bytes: u64,
    /// Shape and sample type, where all have the same.
    pub shape: Option<String>,
    /// A PNG file of the first few side by side, where they are small and have one shape that PNG has.
    #[serde(skip)]
    pub sheet: Option<Vec<u8>>,
}

/// Source images, with labels.
pub(super) struct SourceImages {
    pub(super) data: Data,
    images: Vec<(Image, Option<Label>)>,
    /// Shape and sample type, where all have the same.
    pub(super) like: Option<(Shape, SampleType)>,
}

impl SourceImages {
    /// Pictures made up, at most as many as `largest`.
    pub(super) fn make(seed: u64, largest: u64) -> Result<Self> {
        let side = pictures::SIDE as u32;
        let shape = Shape::new(side, side, pictures::CHANNELS as u16)?;
        let images = (0..largest.min(MOST_MADE)).into_par_iter().map(|number| {
            let image = Image::from_bytes(shape, SampleType::U8, pictures::picture(seed, number))?;
            Ok((image, Some((number % 10) as Label)))
        });
        Self::new(format!("pictures made up, seed {seed}"), images.collect::<Result<_>>()?)
    }

    /// The first images of the source at `path`, decoded, at most as many as `largest` and as memory allows.
    pub(super) fn read(path: &Path, largest: u64, watch: &mut Watch<'_>) -> Result<Self> {
        let mut source = source::open(path)?;
        let mut images = Vec::new();
        let mut bytes = 0;
        while (images.len() as u64) < largest
            && let Some(item) = source.next()
        {
            let item = item?;
            let image = match item.content {
                Content::Pixels(image) => image,
                Content::Stream { shape, sample_type, mut reader } => Image::read(shape, sample_type, &mut reader)?,
                Content::File(path) => decode(&path)?,
            };
            bytes += image.bytes().len() as u64;
            if bytes > MOST_BYTES && !images.is_empty() {
                break;
            }
            images.push((image, item.label));
            let progress = Progress { step: "reading the images to be stored", done: 0, total: 0 };
            if images.len() % 1024 == 0 && watch(progress) == ControlFlow::Break(()) {
                return Err(interrupted());
            }
        }
        if images.is_empty() {
            return Err(invalid(format!("{} has no images", path.display())));
        }
        Self::new(format!("{} ({})", source.describe(), path.display()), images)
    }

    fn new(description: String, images: Vec<(Image, Option<Label>)>) -> Result<Self> {
        let like = images.first().map(|(first, _)| (first.shape(), first.sample_type()));
        let like = like.filter(|&like| images.iter().all(|(image, _)| (image.shape(), image.sample_type()) == like));
        let data = Data {
            description,
            images: images.len() as u64,
            bytes: images.iter().map(|(image, _)| image.bytes().len() as u64).sum(),
            shape: like.map(|(shape, sample_type)| format!("{shape} {sample_type}")),
            sheet: match like {
                Some((shape, SampleType::U8)) => sheet(shape, &images)?,
                _ => None,
            },
        };
        Ok(SourceImages { data, images, like })
    }

    /// The image that stands at `place` of every store, and its label.
    pub(super) fn at(&self, place: u64) -> (&Image, Option<Label>) {
        let (image, label) = &self.images[(place % self.images.len() as u64) as usize];
        (image, *label)
    }

    /// Bytes of the pixels at `places`.
    pub(super) fn bytes_of(&self, places: Range<u64>) -> u64 {
        let length = self.images.len() as u64;
        let up_to = |end: u64| {
            let rest = &self.images[..(end % length) as usize];
            (end / length).saturating_mul(self.data.bytes)
                + rest.iter().map(|(image, _)| image.bytes().len() as u64).sum::<u64>()
        };
        up_to(places.end).saturating_sub(up_to(places.start))
    }

    /// Cuts `0..count` into pieces of at most `images` images and `bytes` bytes, but one image at least.
    pub(super) fn pieces(&self, count: u64, images: u64, bytes: u64) -> Vec<Range<u64>> {
        let mut pieces = Vec::new();
        let (mut start, mut taken) = (0, 0);
        for place in 0..count {
            let next = self.at(place).0.bytes().len() as u64;
            if place > start && (place - start == images || taken + next > bytes) {
                pieces.push(start..place);
                (start, taken) = (place, 0);
            }
            taken += next;
        }
        pieces.push(start..count);
        pieces
    }
}

/// A PNG file of the first images, side by side.
fn sheet(shape: Shape, images: &[(Image, Option<Label>)]) -> Result<Option<Vec<u8>>> {
    let images = &images[..images.len().min(SHEET)];
    if !matches!(shape.channels(), 1 | 3) || shape.width().max(shape.height()) > SHEET_SIDE {
        return Ok(None);
    }
    let row = shape.width() as usize * usize::from(shape.channels());
    let rows = (0..shape.height() as usize)
        .flat_map(|y| images.iter().map(move |(image, _)| &image.bytes()[y * row..][..row]));
    let bytes = rows.collect::<Vec<_>>().concat();
    let shape = Shape::new(shape.height(), shape.width() * images.len() as u32, shape.channels())?;
    let encoder = Store::create("memory:")?;
    let view = ImageView::new(shape, SampleType::U8, &bytes)?;
    let id = encoder.append([NewImage::encoded(view, PixelEncoding::Png)])?.start;
    encoder.payload(id).map(Some)
}

fn decode(path: &Path) -> Result<Image> {
    let file = fs::read(path).map_err(|error| Error::io("cannot read the file", error));
    file.and_then(|file| Image::decode(&file, MOST_BYTES)).map_err(|error| error.context(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_sides(sides: &[u32]) -> SourceImages {
        let images = sides.iter().map(|&side| {
            let bytes = vec![0; (side * side) as usize];
            (Image::from_bytes(Shape::new(side, side, 1).unwrap(), SampleType::U8, bytes).unwrap(), None)
        });
        SourceImages::new("test".into(), images.collect()).unwrap()
    }

    #[test]
    fn images_are_taken_again_and_again() {
        let images = of_sides(&[1, 2, 3]);
        assert_eq!(images.at(7).0, images.at(1).0);
        assert_eq!(images.bytes_of(0..7), 2 * 14 + 1);
        assert_eq!(images.bytes_of(2..5), 9 + 1 + 4);
        assert_eq!(images.like, None);
        assert_eq!(of_sides(&[2, 2]).data.shape.as_deref(), Some("2x2x1 u8"));
    }

    #[test]
    fn pieces_cover_everything_within_their_limits() {
        let images = of_sides(&[1, 2, 3]);
        assert_eq!(images.pieces(6, 100, 14), [0..3, 3..6]);
        assert_eq!(images.pieces(6, 2, 1000), [0..2, 2..4, 4..6]);
        assert_eq!(images.pieces(3, 100, 1), [0..1, 1..2, 2..3], "one image at least");
        assert_eq!(images.pieces(1, 1, 0), std::slice::from_ref(&(0..1)));
    }
}
