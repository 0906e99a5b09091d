//! Pixels <-> payload.
//!
//! Everything that knows what the bytes of a payload mean is here; backends carry them blindly. Decoding believes
//! nothing: the descriptor is checked against the payload and the file inside it before memory is taken.

mod file;
mod jpeg;
mod link;
mod raw;
mod rows;
mod tiff;

use std::borrow::Cow;
use std::path::PathBuf;

use crate::descriptor::{BlockSide, Descriptor, Encoding, Layout, Link};
use crate::error::{Error, Result};
use crate::image::{ImageView, SampleType, Shape};

pub(crate) use file::{
    FileHeader, check as check_file, decode as decode_file, decode_at, encode_png, format_of_extension, header,
    header_at, is_image_file,
};
pub(crate) use link::{link, no_regular_file, read_file, relink};
pub(crate) use raw::{to_little_endian, to_native};
pub(crate) use rows::open_rows;

/// Images of so many pixels are large: they are read by regions rather than as a whole.
pub const LARGE: u64 = 1_000_000;

/// How pixels that are given as pixels become payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PixelEncoding {
    /// The samples themselves: row after row, or along the Hilbert curve where there are a million pixels or more.
    Raw,
    /// The samples themselves, in this layout.
    RawIn(Layout),
    /// A PNG file: u8 and u16 samples of 1 to 4 channels only.
    Png,
}

impl PixelEncoding {
    /// Whether images like this can be encoded so.
    pub fn fits(self, shape: Shape, sample: SampleType) -> bool {
        match self {
            PixelEncoding::Raw | PixelEncoding::RawIn(_) => true,
            PixelEncoding::Png => {
                matches!(sample, SampleType::U8 | SampleType::U16)
                    && shape.channels() <= 4
                    && shape.height() <= i32::MAX as u32
                    && shape.width() <= i32::MAX as u32
            }
        }
    }

    /// The layout of raw payloads where nobody says which.
    pub(crate) fn layout_for(shape: Shape) -> Layout {
        if shape.pixels() < LARGE { Layout::Row } else { Layout::Hilbert(BlockSide::default()) }
    }

    /// The layout in which images of that shape are stored; `None` where they are not raw.
    pub(crate) fn layout(self, shape: Shape) -> Option<Layout> {
        match self {
            PixelEncoding::Raw => Some(Self::layout_for(shape)),
            PixelEncoding::RawIn(layout) => Some(layout),
            PixelEncoding::Png => None,
        }
    }

    /// The payload for `view`, and what to call it.
    ///
    /// # Errors
    /// `InvalidInput` where the image does not [`fit`](Self::fits).
    pub(crate) fn encode<'a>(self, view: ImageView<'a>) -> Result<(Encoding, Cow<'a, [u8]>)> {
        match self {
            PixelEncoding::Raw => PixelEncoding::RawIn(Self::layout_for(view.shape())).encode(view),
            PixelEncoding::RawIn(layout) => Ok((Encoding::Raw(layout), raw::encode(view, layout)?)),
            PixelEncoding::Png => Ok((Encoding::Png, Cow::Owned(file::encode_png(view)?))),
        }
    }
}

/// What decoding needs to know beside the descriptor and the payload.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    /// Where linked paths start.
    pub(crate) folder: Option<PathBuf>,
    /// Most bytes that a decoded image may have, so that a small file cannot claim a huge one.
    pub(crate) max_image_bytes: u64,
    /// Whether linked files' checksums are checked.
    pub(crate) check: bool,
}

impl Decoder {
    /// Decodes `payload` into `out`, whose length is the descriptor's [`image_bytes`](Descriptor::image_bytes).
    pub(crate) fn decode_into(&self, descriptor: &Descriptor, payload: &[u8], out: &mut [u8]) -> Result<()> {
        debug_assert_eq!(out.len() as u64, descriptor.image_bytes());
        match descriptor.encoding {
            Encoding::Raw(_) => raw::decode_into(descriptor, payload, out),
            Encoding::Png => file::decode_into(crate::ImageFormat::Png, descriptor, payload, self.max_image_bytes, out),
            Encoding::Kept(format) => file::decode_into(format, descriptor, payload, self.max_image_bytes, out),
            Encoding::Linked(link) => {
                let bytes = self.linked_file(payload, link)?;
                file::decode_into(link.format, descriptor, &bytes, self.max_image_bytes, out)
            }
        }
        .map_err(|error| error.at_id(descriptor.id))
    }

    /// The bytes of the file that `payload` is the path of.
    pub(crate) fn linked_file(&self, payload: &[u8], link: Link) -> Result<Vec<u8>> {
        link::read(payload, link, self.folder.as_deref(), self.check)
    }

    /// Decodes `payload` into fresh memory.
    pub(crate) fn decode(&self, descriptor: &Descriptor, payload: &[u8]) -> Result<Vec<u8>> {
        if let Encoding::Raw(_) = descriptor.encoding {
            return raw::decode(descriptor, payload).map_err(|error| error.at_id(descriptor.id));
        }
        let length = self.check_size(descriptor).map_err(|error| error.at_id(descriptor.id))?;
        let mut out = vec![0; length];
        self.decode_into(descriptor, payload, &mut out)?;
        Ok(out)
    }

    /// Refuses, before memory is taken for it, an image that takes more than its payload or the limit accounts for.
    pub(crate) fn check_claim(&self, descriptor: &Descriptor) -> Result<()> {
        match descriptor.encoding {
            Encoding::Raw(_) => raw::check_length(descriptor, descriptor.payload_length),
            _ => self.check_size(descriptor).map(drop),
        }
        .map_err(|error| error.at_id(descriptor.id))
    }

    /// The decoded image's length, where it is within the limit.
    fn check_size(&self, descriptor: &Descriptor) -> Result<usize> {
        check_image_bytes(descriptor.shape, descriptor.sample_type, self.max_image_bytes)
    }
}

/// Refuses images beyond `limit` bytes.
pub(crate) fn check_image_bytes(shape: Shape, sample: SampleType, limit: u64) -> Result<usize> {
    let length = shape.byte_length(sample);
    match usize::try_from(length) {
        Ok(length) if length as u64 <= limit => Ok(length),
        _ => Err(Error::unsupported(format!(
            "an image of {shape} {sample} takes {length} bytes once decoded, more than the limit of {limit}"
        ))
        .with_hint("raise max_image_bytes if the file is to be trusted")),
    }
}
