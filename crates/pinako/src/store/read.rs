//! Getting images out: one or many.
//!
//! Many images are read in chunks, on all cores; each chunk is one batch to the backend. A chunk is small enough that
//! the last one to finish does not keep the others waiting, and large enough that a backend's cost of a batch (a
//! transaction, a statement) does not show. Where a batch costs a round trip to a server, which works on all of it at
//! once, each core has but one.

use rayon::prelude::*;

use super::Store;
use super::pushed::Pushed;
use crate::checksum;
use crate::descriptor::{Descriptor, Id, Label, Link};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::planes;

/// Most images a chunk.
pub(super) const CHUNK: usize = 256;

/// Least images a chunk, and how many chunks each core should have where there are fewer images: to decode a few photographs
/// takes long enough to be shared.
const LEAST_CHUNK: usize = 8;
const CHUNKS_A_CORE: usize = 4;

/// Seconds a read takes, *t1*, from which on a store is far away: less is a disk's.
const FAR: f64 = 1e-3;

impl Store {
    /// Whether each call to the backend waits for a server far away.
    pub(super) fn is_far(&self) -> bool {
        self.backend.io_hints().read_seconds >= FAR
    }

    /// Images a chunk, of `count` that are asked for at once; `near` is how many at most where the store is not far.
    pub(crate) fn chunk(&self, count: usize, near: usize) -> usize {
        let cores = rayon::current_num_threads();
        match self.is_far() {
            true => count.div_ceil(cores).max(near),
            false => count.div_ceil(cores * CHUNKS_A_CORE).clamp(LEAST_CHUNK.min(near), near),
        }
    }

    /// One image.
    ///
    /// # Errors
    /// `NotFound` where there is none with this id, `Corrupt` where its payload is damaged.
    pub fn image(&self, id: Id) -> Result<Image> {
        let mut image = None;
        self.fetch(&[id], |_, descriptor, payload| {
            image = Some(self.decode(&descriptor, payload)?);
            Ok(())
        })?;
        image.ok_or_else(|| self.no_image(id))
    }

    /// Many images, in the order asked, read and decoded in parallel.
    ///
    /// # Errors
    /// As [`image`](Self::image), for one of them.
    pub fn images(&self, ids: &[Id]) -> Result<Vec<Image>> {
        let chunks = ids.par_chunks(self.chunk(ids.len(), CHUNK)).map(|ids| {
            let mut images: Vec<Option<Image>> = vec![None; ids.len()];
            self.fetch(ids, |place, descriptor, payload| {
                images[place] = Some(self.decode(&descriptor, payload)?);
                Ok(())
            })?;
            images.into_iter().zip(ids).map(|(image, &id)| image.ok_or_else(|| self.no_image(id))).collect()
        });
        let chunks: Vec<Vec<Image>> = chunks.collect::<Result<_>>()?;
        Ok(chunks.into_iter().flatten().collect())
    }

    /// Many images of one shape and sample type, one after another into `out`, in the order asked, read and decoded in
    /// parallel without further copies. Gives their labels, which are read with them anyway.
    ///
    /// # Errors
    /// `InvalidInput` where they do not agree in shape and sample type, or `out` has not exactly their bytes; else as
    /// [`image`](Self::image).
    pub fn images_into(&self, ids: &[Id], out: &mut [u8]) -> Result<Vec<Option<Label>>> {
        self.fill(ids, out, false)
    }

    /// The same, each image channel after channel (channels, height, width), as PyTorch has them.
    ///
    /// # Errors
    /// As [`images_into`](Self::images_into).
    pub fn planes_into(&self, ids: &[Id], out: &mut [u8]) -> Result<Vec<Option<Label>>> {
        self.fill(ids, out, true)
    }

    fn fill(&self, ids: &[Id], out: &mut [u8], as_planes: bool) -> Result<Vec<Option<Label>>> {
        let Some(&first) = ids.first() else {
            return if out.is_empty() { Ok(Vec::new()) } else { Err(self.here(wrong_buffer(out.len(), 0, 0))) };
        };
        let like = self.descriptor(first)?;
        let length = usize::try_from(like.image_bytes()).ok();
        let Some(length) = length.filter(|length| length.checked_mul(ids.len()) == Some(out.len())) else {
            return Err(self.here(wrong_buffer(out.len(), ids.len(), like.image_bytes())));
        };
        let chunk = self.chunk(ids.len(), CHUNK);
        let labels = ids.par_chunks(chunk).zip(out.par_chunks_mut(chunk * length)).map(|(ids, out)| {
            let mut labels = vec![None; ids.len()];
            let mut pixels = if as_planes { vec![0; length] } else { Vec::new() };
            self.fetch(ids, |place, descriptor, payload| {
                if !alike(&descriptor, &like) {
                    return Err(Error::invalid(format!(
                        "its shape is {} {}, that of image {first} is {} {}: one buffer takes images of one shape only",
                        descriptor.shape, descriptor.sample_type, like.shape, like.sample_type
                    ))
                    .at_id(descriptor.id));
                }
                labels[place] = descriptor.label;
                let out = &mut out[place * length..(place + 1) * length];
                if !as_planes {
                    return self.decoder.decode_into(&descriptor, payload, out);
                }
                self.decoder.decode_into(&descriptor, payload, &mut pixels)?;
                planes::split(&descriptor, &pixels, out);
                Ok(())
            })?;
            Ok(labels)
        });
        Ok(labels.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The stored bytes of one image.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn payload(&self, id: Id) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.fetch(&[id], |_, _, payload| {
            bytes = payload.to_vec();
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Refuses an image that would take more memory than its payload or the limit accounts for.
    pub(crate) fn check_claim(&self, descriptor: &Descriptor) -> Result<()> {
        self.decoder.check_claim(descriptor).map_err(|error| self.here(error))
    }

    /// The bytes of the file that an image with this payload links to.
    pub(crate) fn linked_file(&self, payload: &[u8], link: Link) -> Result<Vec<u8>> {
        self.decoder.linked_file(payload, link)
    }

    pub(crate) fn decode(&self, descriptor: &Descriptor, payload: &[u8]) -> Result<Image> {
        let bytes = self.decoder.decode(descriptor, payload)?;
        Image::from_bytes(descriptor.shape, descriptor.sample_type, bytes)
    }

    /// Pushes the place of each of `ids`, all of which must be there, its descriptor, and its whole payload, checked.
    pub(crate) fn fetch(&self, ids: &[Id], mut take: impl FnMut(usize, Descriptor, &[u8]) -> Result<()>) -> Result<()> {
        let mut pushed = Pushed::new(ids, |&id| id);
        self.backend
            .fetch(ids, &mut |place, image| {
                let id = *pushed.take(place)?;
                let (descriptor, payload) = image.ok_or_else(|| self.no_image(id))?;
                if self.verify_checksums {
                    check_payload(&descriptor, payload)?;
                }
                take(place, descriptor, payload)
            })
            .and_then(|()| pushed.finish())
            .map_err(|error| self.here(error))
    }
}

/// Checks a whole payload against its descriptor.
pub(super) fn check_payload(descriptor: &Descriptor, payload: &[u8]) -> Result<()> {
    if payload.len() as u64 != descriptor.payload_length {
        return Err(Error::corrupt(format!(
            "its payload has {} bytes, its descriptor says {}",
            payload.len(),
            descriptor.payload_length
        ))
        .at_id(descriptor.id));
    }
    check_sum(descriptor.checksum, checksum::crc32c(payload)).map_err(|error| error.at_id(descriptor.id))
}

/// Checks the checksum that a payload was `found` to have.
pub(super) fn check_sum(expected: u32, found: u32) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "its payload's checksum is {found:08x}, its descriptor says {expected:08x}: the payload is damaged"
    )))
}

fn alike(a: &Descriptor, b: &Descriptor) -> bool {
    (a.shape, a.sample_type) == (b.shape, b.sample_type)
}

fn wrong_buffer(found: usize, images: usize, length: u64) -> Error {
    Error::invalid(format!("a buffer of {found} bytes for {images} images of {length} bytes each"))
}
