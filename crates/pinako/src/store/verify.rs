//! Looking at every image of a store, whether it is what its descriptor says.

use std::io::Read;

use rayon::prelude::*;

use super::copy::{BATCH_BYTES, BATCH_IMAGES};
use super::read::check_payload;
use super::{Progress, Store, Watch, go_on};
use crate::descriptor::{Descriptor, Encoding, Id};
use crate::error::{Error, Result};

/// What [`Store::verify`] looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Images.
    pub images: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// How many images are not what they should be.
    pub problems: u64,
}

/// An image that is not what it should be.
#[derive(Debug)]
pub struct Problem {
    /// Which image.
    pub id: Id,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What is wrong.
    pub error: Error,
}

impl Store {
    /// Reads every image: checks length and checksum of its payload, decodes it, and looks whether a linked file is
    /// still the one that was linked. Each image that is not sound is given to `found`; the others are looked at all
    /// the same.
    ///
    /// # Errors
    /// Where the list of images cannot be read, or the watch says to stop.
    pub fn verify(&self, found: &mut dyn FnMut(Problem), watch: &mut Watch<'_>) -> Result<Verified> {
        let total = Some(self.count()?);
        let mut verified = Verified::default();
        let mut go_on = |progress| go_on(watch, progress).map_err(|error| error.with_hint("nothing was changed"));
        go_on(Progress { total, ..Progress::default() })?;
        let mut batch: Vec<Descriptor> = Vec::new();
        let mut bytes = 0;
        let mut check = |batch: &mut Vec<Descriptor>| {
            for problem in batch.par_iter().filter_map(|descriptor| self.problem(descriptor)).collect::<Vec<_>>() {
                verified.problems += 1;
                found(problem);
            }
            verified.images += batch.len() as u64;
            verified.bytes += batch.iter().map(|descriptor| descriptor.payload_length).sum::<u64>();
            batch.clear();
            go_on(Progress { images: verified.images, total, bytes: verified.bytes })
        };
        for descriptor in self.scan(0) {
            let descriptor = descriptor?;
            bytes += descriptor.payload_length;
            batch.push(descriptor);
            if bytes >= BATCH_BYTES || batch.len() == BATCH_IMAGES {
                bytes = 0;
                check(&mut batch)?;
            }
        }
        check(&mut batch)?;
        Ok(verified)
    }

    fn problem(&self, descriptor: &Descriptor) -> Option<Problem> {
        let error = self.check_image(descriptor).err()?.at_id(descriptor.id);
        Some(Problem { id: descriptor.id, name: descriptor.name.clone(), error })
    }

    fn check_image(&self, descriptor: &Descriptor) -> Result<()> {
        match descriptor.encoding {
            Encoding::Raw(_) if descriptor.payload_length > BATCH_BYTES => self.check_large(descriptor),
            _ => self.read_payloads(std::slice::from_ref(descriptor), &mut |_, payload| {
                check_payload(descriptor, payload)?;
                self.decoder.decode(descriptor, payload).map(drop)
            }),
        }
    }

    /// Checks a large raw payload piece by piece.
    fn check_large(&self, descriptor: &Descriptor) -> Result<()> {
        if descriptor.image_bytes() != descriptor.payload_length {
            return Err(Error::corrupt(format!(
                "its payload has {} bytes, but {} {} pixels take {}",
                descriptor.payload_length,
                descriptor.shape,
                descriptor.sample_type,
                descriptor.image_bytes()
            ))
            .at_id(descriptor.id)
            .at_store(self.url()));
        }
        let mut stream = self.payload_stream(descriptor);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // The stream wraps an error of this library.
                Err(error) => {
                    return Err(error.downcast::<Error>().unwrap_or_else(|error| Error::io("cannot read it", error)));
                }
            }
        }
    }
}
