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
/// The text form ([`Display`](fmt::Display), [`FromStr`]) is `raw:row`, `png`, `kept:FORMAT`, or
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
            Encoding::Raw(Layout::Row) => f.write_str("raw:row"),
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
        all.extend(ImageFormat::ALL.map(Encoding::Kept));
        for encoding in all {
            assert_eq!(encoding.to_string().parse::<Encoding>().unwrap(), encoding);
        }
        for bad in ["", "raw", "raw:row:1", "png:1", "kept", "kept:exe", "linked:png:1", "linked:png:-1:0"] {
            assert!(bad.parse::<Encoding>().is_err(), "{bad:?}");
        }
    }
}
