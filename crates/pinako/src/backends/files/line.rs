//! One line of `metadata.jsonl`: a descriptor as a JSON object, and the name of its image file, [sealed].
//!
//! `datasets` derives the type of a column from the first lines, so every line has every key, and what is absent is an
//! empty string where the column is one of strings. Attributes are a string too: as an object, its members would have
//! to be of the same types in every line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::backends::sealed;
use crate::descriptor::columns::Columns;
use crate::descriptor::{Attributes, Descriptor, Encoding, Id, Label};
use crate::error::{Error, Result};

/// Most bytes of a line: attributes take two for each of theirs at most, the rest is small.
pub(super) const MAX_LINE: usize = 2 * Attributes::MAX_LENGTH + (1 << 20);

/// Most bytes of the path of a linked image.
pub(super) const MAX_LINK: u64 = 1 << 16;

#[derive(Serialize, Deserialize)]
pub(super) struct Line<'a> {
    /// The image file, relative to the folder; of a linked image its path, which is its payload.
    #[serde(borrow)]
    pub(super) file_name: Cow<'a, str>,
    pub(super) id: Id,
    /// Empty where it has none.
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    label: Option<Label>,
    height: u32,
    width: u32,
    channels: u16,
    #[serde(borrow)]
    sample_type: Cow<'a, str>,
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    /// JSON text; empty where it has none.
    #[serde(borrow)]
    attributes: Cow<'a, str>,
    pub(super) payload_length: u64,
    pub(super) checksum: u32,
    /// Whether it is the last line of what was appended at once: lines count only with the one that ends their batch.
    pub(super) ends_batch: bool,
}

impl<'a> Line<'a> {
    /// The line of a new image.
    pub(super) fn new(descriptor: &'a Descriptor, id: Id, file_name: Cow<'a, str>, ends_batch: bool) -> Line<'a> {
        Line {
            file_name,
            id,
            name: descriptor.name.as_deref().unwrap_or_default().into(),
            label: descriptor.label,
            height: descriptor.shape.height(),
            width: descriptor.shape.width(),
            channels: descriptor.shape.channels(),
            sample_type: descriptor.sample_type.name().into(),
            encoding: descriptor.encoding.to_string().into(),
            attributes: descriptor.attributes.as_ref().map(Attributes::as_str).unwrap_or_default().into(),
            payload_length: descriptor.payload_length,
            checksum: descriptor.checksum,
            ends_batch,
        }
    }

    /// Takes a line apart, what it says is not checked yet.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Line<'a>> {
        sealed::check(bytes)?;
        serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt("it is no JSON object with the keys of an image").with_source(error))
    }

    /// How the image is encoded, and thereby whether it has a file; the file's name is checked.
    pub(super) fn encoding(&self) -> Result<Encoding> {
        let encoding: Encoding = self.encoding.parse()?;
        match extension(encoding) {
            // Nothing but this name is ever opened, so that no line can lead out of the folder.
            Some(extension) => {
                let expected = file_name(self.id, extension);
                if self.file_name != expected {
                    return Err(Error::corrupt(format!(
                        "its file_name is {:?}, that of image {} must be {expected:?}",
                        self.file_name, self.id
                    )));
                }
            }
            None if self.file_name.len() as u64 != self.payload_length => {
                return Err(Error::corrupt(format!(
                    "its linked path has {} bytes, its payload_length is {}",
                    self.file_name.len(),
                    self.payload_length
                )));
            }
            None => {}
        }
        Ok(encoding)
    }

    /// What it says, checked.
    pub(super) fn descriptor(&self) -> Result<Descriptor> {
        self.encoding()?;
        let columns = Columns {
            name: non_empty(&self.name),
            height: self.height,
            width: self.width,
            channels: self.channels,
            sample_type: &self.sample_type,
            encoding: &self.encoding,
            label: self.label,
            attributes: non_empty(&self.attributes),
            payload_length: self.payload_length,
            checksum: self.checksum,
        };
        columns.descriptor(self.id)
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The name of the file of image `id`.
pub(super) fn file_name(id: Id, extension: &str) -> String {
    format!("{id:08}.{extension}")
}

/// The extension of the files of that encoding; `None` where there is no file.
pub(super) fn extension(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Raw(_) => Some("raw"),
        Encoding::Png => Some("png"),
        Encoding::Kept(format) => Some(format.extension()),
        Encoding::Linked(_) => None,
    }
}
