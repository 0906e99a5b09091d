//! Putting the pixels of a stored image in another order.
//!
//! An image never changes, so this makes a new one and removes the old one. Names are unique, so both cannot have the
//! same; and the old one cannot go first, or a process that is killed would lose the image. So the new one is stored
//! under a name of its own, and once more under the old one when that is free. At every moment one of them is there.

use std::io::{self, Read};

use super::Store;
use super::append::NewImage;
use crate::descriptor::{Descriptor, Encoding, Id, Layout};
use crate::encoding;
use crate::error::{Error, Result};
use crate::image::{Image, Region};

/// Bytes of rows that are read at a time, if a row has no more.
const BAND: u64 = 16 << 20;
/// Rows are read by multiples of the largest block of a layout.
const BAND_ROWS: u32 = 256;

impl Store {
    /// Stores a raw image in `layout` in the place of what it is, with the same name, label and attributes, and gives its
    /// new id; its old one where it is in that layout already. The payload's checksum is checked before.
    ///
    /// The image is never in memory as a whole. Where this is broken off (the process is killed, the disk is full), the
    /// image is there under its own name, or under that with ` (relayout)` after it, or under both; other processes may see
    /// so, too, while this is at work. Without a name it may be there twice.
    ///
    /// # Errors
    /// `Unsupported` where the image is not raw; `Conflict` where there is an image of the other name; `Corrupt` where its
    /// payload is damaged.
    pub fn relayout(&self, id: Id, layout: Layout) -> Result<Id> {
        let descriptor = self.descriptor(id)?;
        match descriptor.encoding {
            Encoding::Raw(is) if is == layout => return Ok(id),
            Encoding::Raw(_) => {}
            other => {
                let error = Error::unsupported(format!("it is {other}: only raw images have a layout"));
                return Err(self.here(error.at_id(id).with_hint("import it again, with a layout")));
            }
        }
        // What is read below is not checked.
        io::copy(&mut self.payload_stream(&descriptor), &mut io::sink()).map_err(|error| self.unreadable(id, error))?;
        let mut rows = Rows { store: self, descriptor: &descriptor, next: 0, band: Vec::new(), taken: 0 };
        let new = NewImage::stream_in(layout, descriptor.shape, descriptor.sample_type, &mut rows);
        let new = new.label(descriptor.label).attributes(descriptor.attributes.clone());
        // Kept aside: a backend cannot be read while it stores.
        let prepared = self.prepare(new).and_then(|new| new.into_owned(&self.spool_folder()));
        let mut prepared = prepared.map_err(|error| self.here(error.at_id(id)))?;
        let aside = descriptor.name.as_ref().map(|name| format!("{name} (relayout)"));
        prepared.descriptor.name = aside.clone();
        let first = self.append_prepared(std::iter::once(&mut prepared))?.start;
        self.remove(&[id])?;
        let Some(aside) = aside else { return Ok(first) };
        prepared.descriptor.name = descriptor.name;
        let second = self.append_prepared(std::iter::once(&mut prepared));
        let second =
            second.map_err(|error| error.with_hint(format!("it is there, as image {first}, named {aside:?}")))?;
        self.remove(&[first])?;
        Ok(second.start)
    }

    fn unreadable(&self, id: Id, error: io::Error) -> Error {
        self.here(Error::io("cannot read the payload", error).at_id(id))
    }
}

/// The pixels of an image, band by band: row-major, channels last, little endian.
struct Rows<'a> {
    store: &'a Store,
    descriptor: &'a Descriptor,
    /// The first row that was not read yet.
    next: u32,
    band: Vec<u8>,
    taken: usize,
}

impl Rows<'_> {
    fn next_band(&self) -> Result<Image> {
        let Descriptor { id, shape, sample_type, .. } = *self.descriptor;
        let stride = u64::from(shape.width()) * shape.pixel_size(sample_type);
        let rows = u32::try_from(BAND / stride).unwrap_or(u32::MAX).max(1);
        let rows = if rows > BAND_ROWS { rows / BAND_ROWS * BAND_ROWS } else { rows };
        let band = Region::new(0, self.next, shape.width(), rows.min(shape.height() - self.next))?;
        self.store.region(id, band)
    }
}

impl Read for Rows<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.band.len() && self.next < self.descriptor.shape.height() {
            let band = self.next_band().map_err(io::Error::other)?;
            self.next += band.shape().height();
            self.band = band.into_bytes();
            encoding::to_little_endian(self.descriptor.sample_type, &mut self.band);
            self.taken = 0;
        }
        let count = out.len().min(self.band.len() - self.taken);
        out[..count].copy_from_slice(&self.band[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
