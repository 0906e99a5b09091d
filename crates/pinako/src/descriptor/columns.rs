//! A descriptor as columns of a table, for backends whose images other programs query.

use super::{Attributes, Descriptor, Id, Label, check_name};
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

/// The columns' names in the order in which they stand in our tables.
pub(crate) const NAMES: [&str; 12] = [
    "id",
    "name",
    "height",
    "width",
    "channels",
    "sample_type",
    "encoding",
    "label",
    "attributes",
    "payload_length",
    "checksum",
    "descriptor_checksum",
];

/// What the columns of one image hold, its id and the descriptor's own checksum apart. Nothing of it is believed yet.
pub(crate) struct Columns<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) height: u32,
    pub(crate) width: u32,
    pub(crate) channels: u16,
    pub(crate) sample_type: &'a str,
    pub(crate) encoding: &'a str,
    pub(crate) label: Option<Label>,
    pub(crate) attributes: Option<&'a str>,
    pub(crate) payload_length: u64,
    pub(crate) checksum: u32,
}

impl Columns<'_> {
    /// The descriptor of the image `id` that they make.
    ///
    /// # Errors
    /// `Corrupt` where they are those of no image, `Unsupported` where they say what this version does not know.
    pub(crate) fn descriptor(&self, id: Id) -> Result<Descriptor> {
        if let Some(name) = self.name {
            check_name(name).map_err(|error| Error::corrupt("its name is not sound").with_source(error))?;
        }
        let sample_type = SampleType::from_name(self.sample_type).ok_or_else(|| {
            Error::unsupported(format!("its sample type {:?} is none that this version knows", self.sample_type))
                .with_hint("a newer version of Pinako may have written it")
        })?;
        let attributes = self
            .attributes
            .map(Attributes::parse)
            .transpose()
            .map_err(|error| Error::corrupt("its attributes are not a JSON object").with_source(error))?;
        Ok(Descriptor {
            id,
            name: self.name.map(str::to_owned),
            shape: Shape::new(self.height, self.width, self.channels)
                .map_err(|error| Error::corrupt("its shape is impossible").with_source(error))?,
            sample_type,
            encoding: self.encoding.parse()?,
            label: self.label,
            attributes,
            payload_length: self.payload_length,
            checksum: self.checksum,
        })
    }
}
