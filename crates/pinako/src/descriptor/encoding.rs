//! How pixels became payload, and the text form that files, tables and the command line show it in.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Where each pixel stands inside a raw payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Row after row from the top, each from the left.
    Row,
    /// Blocks of pixels along the Hilbert curve, row after row inside; see [`pinako_curve::Order`].
    Hilbert(BlockSide),
}

/// The pixels on a side of a block of the Hilbert layout: a power of two from 1 to 256.
///
/// With 1 the pixels themselves stand along the curve, as in CS-TR-3991; with 64, the default, a region is copied in
/// pieces of rows instead of pixel by pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockSide {
    /// The binary logarithm.
    log: u8,
}

impl BlockSide {
    /// A block of `side` x `side` pixels; `None` where that is no power of two from 1 to 256.
    pub const fn new(side: u32) -> Option<Self> {
        if side.is_power_of_two() && side <= pinako_curve::Order::MAX_BLOCK {
            Some(BlockSide { log: side.trailing_zeros() as u8 })
        } else {
            None
        }
    }

    /// The pixels on a side.
    pub const fn side(self) -> u32 {
        1 << self.log
    }
}

impl Default for BlockSide {
    fn default() -> Self {
        BlockSide { log: 6 }
    }
}

/// `row`, `hilbert:64`.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Row => f.write_str("row"),
            Layout::Hilbert(block) => write!(f, "hilbert:{}", block.side()),
        }
    }
}

/// `row`, `hilbert:64`, or `hilbert` for the default block.
impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let layout = match text.split_once(':') {
            None if text == "row" => Some(Layout::Row),
            None if text == "hilbert" => Some(Layout::Hilbert(BlockSide::default())),
            Some(("hilbert", side)) => side.parse().ok().and_then(BlockSide::new).map(Layout::Hilbert),
            _ => None,
        };
        layout.ok_or_else(|| {
            Error::invalid(format!("{text:?} is no layout"))
                .with_hint("give row, hilbert, or hilbert:B with blocks of B x B pixels, a power of two from 1 to 256")
        })
    }
}

/// The formats of image files that are kept as they came, or linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    Jpeg,
    Png,
    WebP,
    Tiff,
    Bmp,
    Gif,
    Qoi,
    /// PBM, PGM, PPM, PAM.
    Pnm,
}

impl ImageFormat {
    /// Every format, in the order of their codes in FORMAT.md.
    pub const ALL: [ImageFormat; 8] =
        [Self::Jpeg, Self::Png, Self::WebP, Self::Tiff, Self::Bmp, Self::Gif, Self::Qoi, Self::Pnm];

    /// The name in files and tables: `jpeg`, `png`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Tiff => "tiff",
            Self::Bmp => "bmp",
            Self::Gif => "gif",
            Self::Qoi => "qoi",
            Self::Pnm => "pnm",
        }
    }

    /// The format of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The usual extension of its files, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Pnm => "pnm",
            other => other.name(),
        }
    }
}

/// What is known of a linked image's file, so that one that was changed is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// The file's format.
    pub format: ImageFormat,
    /// Bytes of the file when it was linked.
    pub length: u64,
    /// CRC32C of the file when it was linked.
    pub checksum: u32,
}

/// How pixels become payload.
///
/// The text form ([`Display`](fmt::Display), [`FromStr`]) is `raw:row`, `raw:hilbert:64`, `png`, `kept:FORMAT`, or
/// `linked:FORMAT:LENGTH:CHECKSUM` with the checksum as eight hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// The samples themselves, little endian, in a layout.
    Raw(Layout),
    /// A PNG file that Pinako encoded.
    Png,
    /// The bytes of an image file as they came.
    Kept(ImageFormat),
    /// The path of an image file that stays where it is: UTF-8, relative to the store's folder where possible.
    Linked(Link),
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encoding::Raw(layout) => write!(f, "raw:{layout}"),
            Encoding::Png => f.write_str("png"),
            Encoding::Kept(format) => write!(f, "kept:{}", format.name()),
            Encoding::Linked(Link { format, length, checksum }) => {
                write!(f, "linked:{}:{length}:{checksum:08x}", format.name())
            }
        }
    }
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            Error::unsupported(format!("the encoding {text:?} is none that this version knows"))
                .with_hint("a newer version of Pinako may have written it")
        })
    }
}

fn parse(text: &str) -> Option<Encoding> {
    let mut words = text.split(':');
    let encoding = match (words.next()?, words.next()) {
        ("raw", Some("row")) => Encoding::Raw(Layout::Row),
        ("raw", Some("hilbert")) => {
            Encoding::Raw(Layout::Hilbert(words.next()?.parse().ok().and_then(BlockSide::new)?))
        }
        ("png", None) => Encoding::Png,
        ("kept", Some(format)) => Encoding::Kept(ImageFormat::from_name(format)?),
        ("linked", Some(format)) => Encoding::Linked(Link {
            format: ImageFormat::from_name(format)?,
            length: words.next()?.parse().ok()?,
            checksum: u32::from_str_radix(words.next()?, 16).ok()?,
        }),
        _ => return None,
    };
    words.next().is_none().then_some(encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_goes_both_ways() {
        let link = Link { format: ImageFormat::Tiff, length: u64::MAX, checksum: 0x0a0b_0c0d };
        let mut all = vec![Encoding::Raw(Layout::Row), Encoding::Png, Encoding::Linked(link)];
        all.extend((0..=8).map(|log| Encoding::Raw(Layout::Hilbert(BlockSide::new(1 << log).unwrap()))));
        all.extend(ImageFormat::ALL.map(Encoding::Kept));
        for encoding in all {
            assert_eq!(encoding.to_string().parse::<Encoding>().unwrap(), encoding);
        }
        for bad in [
            "",
            "raw",
            "raw:row:1",
            "raw:hilbert",
            "raw:hilbert:3",
            "raw:hilbert:512",
            "raw:hilbert:1:1",
            "png:1",
            "kept",
            "kept:exe",
            "linked:png:1",
            "linked:png:-1:0",
        ] {
            assert!(bad.parse::<Encoding>().is_err(), "{bad:?}");
        }
    }
}
