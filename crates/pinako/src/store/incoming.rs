//! Images that an import or a copy brings in, told from those that are in the store already.
//!
//! An image is known again by its name and left as it is. So a job that was interrupted is taken up by starting it
//! again, and of two equal jobs at once each skips what the other one stored.

use super::Store;
use super::append::{Prepared, PreparedPayload};
use super::labels::Merged;
use crate::descriptor::{Descriptor, Encoding, Id};
use crate::error::{Error, ErrorKind, Result};

/// An image on its way into a store.
pub(super) struct Incoming<'a> {
    pub(super) prepared: Prepared<'a>,
    /// Where it came from, for messages.
    pub(super) origin: String,
}

impl Incoming<'_> {
    /// Bytes of its payload.
    pub(super) fn bytes(&self) -> u64 {
        self.prepared.descriptor.payload_length
    }

    /// Whether it is large, and counted on its own while it is stored.
    pub(super) fn is_large(&self) -> bool {
        matches!(&self.prepared.payload, PreparedPayload::Packed(packed) if packed.is_counted())
    }
}

/// Where the images of one job come into a store.
pub(super) struct Intake<'a> {
    pub(super) store: &'a Store,
    pub(super) labels: Merged,
    /// Whether images are looked up before they are appended; else only when a name turns out to be taken.
    pub(super) looks_up: bool,
}

impl Intake<'_> {
    /// Appends those of `images` that are not in the store yet, with the label names they need, and takes the others
    /// out; says how many these were.
    ///
    /// # Errors
    /// `Conflict` where another image has the name of one.
    pub(super) fn append(&mut self, images: &mut Vec<Incoming<'_>>) -> Result<u64> {
        // What is read but once must not turn out to be there when it was.
        let streams = images.iter().any(|image| matches!(image.prepared.payload, PreparedPayload::Stream(_)));
        let mut present = if self.looks_up || streams { self.store.drop_present(images)? } else { 0 };
        while !images.is_empty() {
            self.store.save_label_names(&mut self.labels)?;
            let prepared = images.iter_mut().map(|image| &mut image.prepared);
            let Err(error) = self.store.append_prepared(prepared) else { break };
            // Another job may have stored some of them meanwhile.
            let more = if error.kind() == ErrorKind::Conflict { self.store.drop_present(images)? } else { 0 };
            if more == 0 {
                return Err(error);
            }
            self.looks_up = true;
            present += more;
        }
        Ok(present)
    }
}

impl Store {
    /// Takes out those images that are in the store already, and says how many.
    fn drop_present(&self, images: &mut Vec<Incoming<'_>>) -> Result<u64> {
        let names: Vec<Option<&str>> = images.iter().map(|image| image.prepared.descriptor.name.as_deref()).collect();
        let ids = self.find_named(&names)?;
        let known: Vec<Id> = ids.iter().flatten().copied().collect();
        if known.is_empty() {
            return Ok(0);
        }
        let mut known = self.descriptors(&known)?.into_iter();
        let before = images.len();
        let mut rest = Vec::new();
        for (image, id) in std::mem::take(images).into_iter().zip(ids) {
            match id.and_then(|_| known.next().flatten()) {
                None => rest.push(image),
                Some(there) => check_same(image, &there)?,
            }
        }
        *images = rest;
        Ok((before - images.len()) as u64)
    }
}

/// Checks that `image` is the one that is there under its name.
fn check_same(mut image: Incoming<'_>, there: &Descriptor) -> Result<()> {
    let checksum = image.prepared.checksum()?;
    let new = image.prepared.descriptor.clone();
    let name = new.name.as_deref().unwrap_or_default();
    let same_content = match (new.encoding, there.encoding) {
        // Two links to one file are the same even where its path is written otherwise.
        (Encoding::Linked(new), Encoding::Linked(there)) => new == there,
        (Encoding::Raw(_), Encoding::Raw(_)) if (new.shape, new.sample_type) != (there.shape, there.sample_type) => {
            false
        }
        // It may have been put in another layout since.
        (Encoding::Raw(of_new), Encoding::Raw(layout)) if of_new != layout => {
            match image.prepared.checksum_in(layout)? {
                Some(checksum) => checksum == there.checksum,
                // It cannot be read twice.
                None => {
                    let (origin, id) = (&image.origin, there.id);
                    let message = format!("{origin}: the store has an image {id} named {name:?}, in another layout");
                    return Err(Error::conflict(message).with_hint(format!(
                        "after a relayout of that image to {of_new} it can be told if it is the same"
                    )));
                }
            }
        }
        _ => (new.payload_length, checksum) == (there.payload_length, there.checksum),
    };
    let other = match same_content {
        true if new.label == there.label => return Ok(()),
        true => "label",
        false => "content",
    };
    Err(Error::conflict(format!(
        "{}: the store has an image {} named {name:?} with another {other}",
        image.origin, there.id
    ))
    .with_hint("remove that image first, or choose another store; an import may put a name_prefix before its names"))
}
