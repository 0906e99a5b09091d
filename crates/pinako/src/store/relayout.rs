//! Putting the pixels of a stored image in another order.
//!
//! An image never changes, so this makes a new one and removes the old one. Names are unique, so both cannot have the
//! same; and the old one cannot go first, or a process that is killed would lose the image. So the new one is stored
//! *aside* first: under a name of its own, and with a [`Mark`] instead of its attributes, which says what it is for.
//!
//! ```text
//!     the image  ->  the image, aside  ->  aside  ->  aside, the new image  ->  the new image
//! ```
//!
//! A process that is killed leaves one of these. The next relayout, of whichever is there, tells them apart by what it
//! finds, and goes on to the last. Who leaves and who is still at work cannot be told, so what is aside goes only where
//! the new image is there: whoever removes the old one relies on it. Of several who are at work on one image, the one who
//! removes it goes on.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::append::{NewImage, Prepared, PreparedPayload};
use super::watched::Counted;
use super::{Progress, Store, Watch, Watched};
use crate::descriptor::{Attributes, Descriptor, Encoding, Id, Layout};
use crate::encoding;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Image, Region};

/// Bytes of rows that are read at a time, if a row has no more.
const BAND: u64 = 16 << 20;
/// Rows are read by multiples of the largest block of a layout.
const BAND_ROWS: u32 = 256;
/// What the name of an image aside ends in.
const ASIDE: &str = " (relayout)";

/// The attributes of an image aside.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    #[serde(rename = "pinako:relayout")]
    becomes: Becomes,
}

/// What an image aside is to become.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Becomes {
    /// The image's id before.
    of: Id,
    name: Option<String>,
    attributes: Option<Box<RawValue>>,
}

impl Becomes {
    /// What `aside` is to become, if it is an image aside.
    fn of(aside: &Descriptor) -> Option<Self> {
        let mark: Mark = serde_json::from_str(aside.attributes.as_ref()?.as_str()).ok()?;
        aside.name.as_ref()?.ends_with(ASIDE).then_some(mark.becomes)
    }

    /// The attributes of an image aside, of which `image` is to be the descriptor.
    fn mark(image: &Descriptor) -> Result<Attributes> {
        let attributes =
            image.attributes.as_ref().map(|attributes| RawValue::from_string(attributes.as_str().to_owned()));
        let unsound = |error| Error::corrupt("its attributes are no JSON").with_source(error);
        let attributes = attributes.transpose().map_err(unsound)?;
        let mark = Mark { becomes: Becomes { of: image.id, name: image.name.clone(), attributes } };
        Attributes::parse(&serde_json::to_string(&mark).map_err(unsound)?).map_err(|error| {
            error
                .context("a relayout needs some bytes more beside its attributes")
                .with_hint("import it again, with a layout")
        })
    }

    /// What `aside` is to become, as if it were that already.
    fn image(&self, aside: &Descriptor) -> Result<Descriptor> {
        let attributes = self.attributes.as_ref().map(|attributes| Attributes::parse(attributes.get())).transpose()?;
        Ok(Descriptor { name: self.name.clone(), attributes, ..aside.clone() })
    }
}

/// The name of what is stored aside for an image.
fn name_aside(image: &Descriptor) -> String {
    match &image.name {
        Some(name) if name.len() + ASIDE.len() <= Descriptor::MAX_NAME => format!("{name}{ASIDE}"),
        _ => format!("image {}{ASIDE}", image.id),
    }
}

impl Store {
    /// Stores a raw image in `layout` in the place of what it is, with the same name, label and attributes, and gives its
    /// new id; its old one where it is in that layout already. The payload's checksum is checked before. The image is never
    /// in memory as a whole.
    ///
    /// Where this is broken off (the process is killed, the disk is full), the image is there under its own name, or under
    /// that with ` (relayout)` after it, or under both; other processes may see so, too, while this is at work. A relayout
    /// of either then finishes it. An image without a name has `image` and its id in that place; the same is done for it, and
    /// takes one that has just been appended with the very same pixels for its own.
    ///
    /// The image is done in the watch's words when it has its new id; the bytes of it that were moved are its percentage.
    ///
    /// Of several relayouts of one image at once one is done, and the others fail; none of them, killed or not, loses it. But
    /// where another finishes one of an image without a name that is still at work, both may store it.
    ///
    /// # Errors
    /// `Unsupported` where the image is not raw; `Conflict` where there is another image of the one name or the other;
    /// `NotFound` where it is removed meanwhile; `Corrupt` where its payload is damaged; `InvalidInput` where name and
    /// attributes have so many bytes (within some hundred of [`Attributes::MAX_LENGTH`]) that the image aside cannot keep
    /// them; `Interrupted` where the watch says so, and the hint says what to go on with.
    pub fn relayout(&self, id: Id, layout: Layout, watch: &mut Watch<'_>) -> Result<Id> {
        let start = Progress { total: Some(1), ..Progress::default() };
        Watched::run(watch, start, |watched| self.put_in_layout(id, layout, watched)).map_err(|error| {
            let is_as_it_was = error.kind() == ErrorKind::Interrupted && error.hint().is_none();
            if is_as_it_was { error.with_hint("nothing has changed: it can be started again") } else { error }
        })
    }

    fn put_in_layout(&self, id: Id, layout: Layout, watched: &Watched<'_>) -> Result<Id> {
        let descriptor = self.descriptor(id)?;
        if let Some(becomes) = Becomes::of(&descriptor) {
            let image = becomes.image(&descriptor).map_err(|error| self.here(error.at_id(id)))?;
            let same = self.find_same(&image, becomes.of, watched)?;
            return self.finish_relayout(&descriptor, image, becomes.of, same, layout, watched);
        }
        let is = self.layout_of(&descriptor)?;
        if let Some(aside) = self.find(&name_aside(&descriptor))? {
            return self.finish_relayout_of(&descriptor, &self.descriptor(aside)?, layout, watched);
        }
        if is == layout {
            return Ok(id);
        }
        let mark = Becomes::mark(&descriptor).map_err(|error| self.here(error.at_id(id)))?;
        let mut prepared = self.in_layout(&descriptor, layout, 2, watched)?;
        prepared.descriptor.name = Some(name_aside(&descriptor));
        prepared.descriptor.attributes = Some(mark);
        let aside = self.append_prepared(std::iter::once(&mut prepared))?.start;
        if let PreparedPayload::Packed(packed) = &mut prepared.payload {
            packed.again();
        }
        self.replace(Some(id), aside, prepared, descriptor)
    }

    /// The image of that name where it is there as a relayout has it aside: one that is at work, or was broken off. Its own
    /// name has no image meanwhile.
    ///
    /// # Errors
    /// As [`find`](Self::find) and [`descriptor`](Self::descriptor).
    pub fn find_aside(&self, name: &str) -> Result<Option<Id>> {
        let Some(id) = self.find(&format!("{name}{ASIDE}"))? else { return Ok(None) };
        let becomes = Becomes::of(&self.descriptor(id)?);
        Ok(becomes.is_some_and(|becomes| becomes.name.as_deref() == Some(name)).then_some(id))
    }

    /// Ends a relayout of `image` that was broken off when `aside`, which has its name aside, had been stored.
    fn finish_relayout_of(
        &self,
        image: &Descriptor,
        aside: &Descriptor,
        layout: Layout,
        watched: &Watched<'_>,
    ) -> Result<Id> {
        let becomes = Becomes::of(aside);
        if let Some(becomes) = &becomes {
            let made = becomes.image(aside).map_err(|error| self.here(error.at_id(aside.id)))?;
            if self.is_same(image, &made, watched)? {
                return self.finish_relayout(aside, made, becomes.of, Some(image.id), layout, watched);
            }
        }
        let (name, left) = (aside.name.as_deref().unwrap_or_default(), aside.id);
        let error = Error::conflict(format!("image {left} has the name {name:?}, which is needed until this is done"));
        let hint = match becomes {
            None => "remove that image first".to_owned(),
            Some(_) => format!(
                "it is what a relayout of another image, which was broken off, has left: finish that first, by a relayout \
                 of image {left}, or remove it"
            ),
        };
        Err(self.here(error.at_id(image.id).with_hint(hint)))
    }

    /// Ends a relayout that was broken off when `aside` had been stored, which is to become `image` in the place of the
    /// image `of`; `same` is what it was, or has become.
    fn finish_relayout(
        &self,
        aside: &Descriptor,
        image: Descriptor,
        of: Id,
        same: Option<Id>,
        layout: Layout,
        watched: &Watched<'_>,
    ) -> Result<Id> {
        let new = match same {
            Some(new) if new != of => {
                self.remove(&[aside.id])?;
                new
            }
            // In the layout that it has, by which it is known again if this is broken off, too.
            _ => {
                let prepared = self.in_layout(aside, self.layout_of(aside)?, 1, watched)?;
                self.replace(same, aside.id, prepared, image)?
            }
        };
        self.put_in_layout(new, layout, watched)
    }

    /// The layout of a raw image.
    fn layout_of(&self, descriptor: &Descriptor) -> Result<Layout> {
        match descriptor.encoding {
            Encoding::Raw(layout) => Ok(layout),
            other => {
                let error = Error::unsupported(format!("it is {other}: only raw images have a layout"));
                Err(self.here(error.at_id(descriptor.id).with_hint("import it again, with a layout")))
            }
        }
    }

    /// The image that `image`, which is aside, was or has become already.
    fn find_same(&self, image: &Descriptor, of: Id, watched: &Watched<'_>) -> Result<Option<Id>> {
        if let Some(name) = &image.name {
            let Some(id) = self.find(name)? else { return Ok(None) };
            return Ok(self.is_same(&self.descriptor(id)?, image, watched)?.then_some(id));
        }
        if let Some(old) = self.descriptors(&[of])?.pop().flatten()
            && self.is_same(&old, image, watched)?
        {
            return Ok(Some(of));
        }
        for later in self.scan(image.id.saturating_add(1)) {
            let later = later?;
            if (later.encoding, later.checksum) == (image.encoding, image.checksum)
                && self.is_same(&later, image, watched)?
            {
                return Ok(Some(later.id));
            }
        }
        Ok(None)
    }

    /// Whether all is the same but the ids and the layouts.
    fn is_same(&self, a: &Descriptor, b: &Descriptor, watched: &Watched<'_>) -> Result<bool> {
        let known = |image: &Descriptor| {
            (image.name.clone(), image.shape, image.sample_type, image.label, image.attributes.clone())
        };
        let (Encoding::Raw(_), Encoding::Raw(layout)) = (a.encoding, b.encoding) else { return Ok(false) };
        if known(a) != known(b) {
            return Ok(false);
        }
        let checksum =
            if a.encoding == b.encoding { a.checksum } else { self.in_layout(a, layout, 1, watched)?.checksum()? };
        Ok(checksum == b.checksum)
    }

    /// Stores what is `aside` as `image` in the place of the image `old`, if that is still there, and removes it.
    fn replace(&self, old: Option<Id>, aside: Id, mut prepared: Prepared<'_>, image: Descriptor) -> Result<Id> {
        let how_to_go_on = |error: Error| {
            error.with_hint(format!(
                "it is there, as image {aside}: a relayout of that one finishes what was begun, if no other image has its \
                 name"
            ))
        };
        if let Some(old) = old
            && self.remove(&[old])? == 0
        {
            let error = Error::not_found("it was removed meanwhile, or another relayout of it is at work");
            return Err(self.here(how_to_go_on(error.at_id(old))));
        }
        prepared.descriptor.name = image.name;
        prepared.descriptor.attributes = image.attributes;
        let id = self.append_prepared(std::iter::once(&mut prepared)).map_err(how_to_go_on)?;
        self.remove(&[aside])?;
        Ok(id.start)
    }

    /// A raw image, made ready to be stored in another layout, so many times.
    fn in_layout(
        &self,
        descriptor: &Descriptor,
        layout: Layout,
        times: u64,
        watched: &Watched<'_>,
    ) -> Result<Prepared<'static>> {
        let Descriptor { id, shape, sample_type, label, payload_length, .. } = *descriptor;
        // It is read twice: first to be checked, which the reads of its rows are not.
        let portion = watched.large(payload_length.saturating_mul(2 + times));
        let mut payload = Counted { reader: self.payload_stream(descriptor), portion };
        io::copy(&mut payload, &mut io::sink())
            .map_err(|error| self.here(Error::io("cannot read the payload", error).at_id(id)))?;
        let rows = Rows { store: self, descriptor, next: 0, band: Vec::new(), taken: 0 };
        let mut rows = Counted { reader: rows, portion: payload.portion };
        let new = NewImage::stream_in(layout, shape, sample_type, &mut rows).label(label);
        // Kept in a file: a backend cannot be read while it stores.
        let prepared = self.prepare(new).and_then(|new| new.into_owned(&self.spool_folder()));
        let mut prepared = prepared.map_err(|error| self.here(error.at_id(id)))?;
        if let PreparedPayload::Packed(packed) = &mut prepared.payload {
            packed.count(rows.portion);
        }
        Ok(prepared)
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
