//! What is known of an image without its pixels.
//!
//! A descriptor is all that a backend keeps beside the payload's bytes. Backends that other programs query spread it over
//! columns, in the text forms below; the others keep it as one [`record`].

pub(crate) mod columns;
mod encoding;
pub mod record;

pub use encoding::{BlockSide, Encoding, ImageFormat, Layout, Link};

use std::fmt;

use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

/// Number of an image in its store: given on append, ascending from 0, never reused.
pub type Id = u64;

/// The class of an image: a number, or an index into the store's label names.
pub type Label = i64;

/// What stands for no label in arrays that have a number for each image (numpy's, HDF5's, IDX), as is common.
pub(crate) const NO_LABEL: Label = -1;

/// All that is known of an image without its pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// Number of the image in its store.
    pub id: Id,
    /// Unique in its store; 1 to [`Descriptor::MAX_NAME`] bytes of UTF-8 without control characters.
    pub name: Option<String>,
    /// Height, width, channels of the decoded image.
    pub shape: Shape,
    /// Type of the decoded image's samples.
    pub sample_type: SampleType,
    /// How the pixels became the payload.
    pub encoding: Encoding,
    /// The class, where it has one.
    pub label: Option<Label>,
    /// The user's own JSON object.
    pub attributes: Option<Attributes>,
    /// Bytes of the payload.
    pub payload_length: u64,
    /// CRC32C (Castagnoli) of the payload.
    pub checksum: u32,
}

impl Descriptor {
    /// Most bytes of a name: what LMDB's smallest key limit (511) leaves room for.
    pub const MAX_NAME: usize = 500;

    /// Bytes of the decoded image.
    pub fn image_bytes(&self) -> u64 {
        self.shape.byte_length(self.sample_type)
    }
}

/// Checks that `name` may be the name of an image.
///
/// # Errors
/// `InvalidInput` where it is empty, longer than [`Descriptor::MAX_NAME`] bytes or has control characters.
pub fn check_name(name: &str) -> Result<()> {
    let problem = match name {
        "" => "it is empty".to_owned(),
        _ if name.len() > Descriptor::MAX_NAME => {
            format!("it has {} bytes, more than {}", name.len(), Descriptor::MAX_NAME)
        }
        _ if name.chars().any(char::is_control) => "it has control characters".to_owned(),
        _ => return Ok(()),
    };
    let shown: String = name.chars().take(60).collect();
    Err(Error::invalid(format!("{shown:?} cannot be the name of an image: {problem}")))
}

/// A JSON object of the user's, kept as its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Attributes(Box<str>);

impl Attributes {
    /// Most bytes of the text.
    pub const MAX_LENGTH: usize = 1 << 20;

    /// Takes the text of one JSON object; insignificant white space is dropped.
    ///
    /// # Errors
    /// `InvalidInput` where it is no JSON object or longer than [`Attributes::MAX_LENGTH`].
    pub fn parse(text: &str) -> Result<Self> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|error| Error::invalid("attributes must be one JSON object").with_source(error))?;
        let text = serde_json::to_string(&object).expect("a parsed object has a text");
        if text.len() > Self::MAX_LENGTH {
            return Err(Error::invalid(format!(
                "attributes of {} bytes are more than the {} that are allowed",
                text.len(),
                Self::MAX_LENGTH
            )));
        }
        Ok(Attributes(text.into()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes_are_checked() {
        assert!(check_name("train/cat/0001").is_ok());
        for bad in ["", "a\nb", &"x".repeat(501)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Attributes::parse(r#"{ "a": [1, 2.5] }"#).unwrap().as_str(), r#"{"a":[1,2.5]}"#);
        for bad in ["", "[]", "1", "{", r#"{"a":1} x"#] {
            assert!(Attributes::parse(bad).is_err(), "{bad:?}");
        }
    }
}
