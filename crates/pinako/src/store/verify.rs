//! Looking at every image of a store, whether it is what its descriptor says.

use std::io::Read;

use rayon::prelude::*;

use super::copy::BATCH_BYTES;
use super::read::{CHUNK, check_payload};
use super::{Progress, Store, Watch, Watched};
use crate::descriptor::{Descriptor, Encoding, Id};
use crate::error::{Error, ErrorKind, Result};

/// What [`Store::verify`] looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Images.
    pub images: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// How many problems were found.
    pub problems: u64,
}

/// An image that is not what it should be, or a list of images that cannot be read to its end.
#[derive(Debug)]
pub struct Problem {
    /// Which image; `None` where it is the list.
    pub id: Option<Id>,
    /// Its name, where it has one that can be read.
    pub name: Option<String>,
    /// What is wrong.
    pub error: Error,
}

impl Store {
    /// Reads every image: checks its descriptor and the length and checksum of its payload, decodes it, and looks
    /// whether a linked file is still the one that was linked, and whether its name leads to it. Each image that is not
    /// sound is given to `found`; the others are looked at all the same. So is a list that has not as many images as
    /// the store says, unless somebody changes the store meanwhile.
    ///
    /// # Errors
    /// Where the store does not say how many images it has, or the watch says to stop; `Transient` where a server does not
    /// answer, which says nothing of an image.
    pub fn verify(&self, found: &mut dyn FnMut(Problem), watch: &mut Watch<'_>) -> Result<Verified> {
        let before = self.properties()?;
        let total = Some(before.count);
        let verified = Watched::run(watch, Progress { total, ..Progress::default() }, |watched| {
            let mut problems = 0;
            let mut is_listed = true;
            let mut check = |batch: Vec<Result<Descriptor, Problem>>| {
                let (mut images, mut unsound) = (Vec::new(), Vec::new());
                for image in batch {
                    match image {
                        Ok(descriptor) => images.push(descriptor),
                        Err(Problem { error, .. }) if is_transient(&error) => return Err(error),
                        Err(problem) => {
                            watched.add(problem.id.is_some().into(), 0);
                            unsound.push(problem);
                        }
                    }
                }
                let chunks = images.par_chunks(self.chunk(images.len(), CHUNK));
                let problems_of = chunks.map(|images| self.problems(images, watched));
                unsound.extend(problems_of.collect::<Result<Vec<_>>>()?.into_iter().flatten());
                unsound.sort_by_key(|problem| problem.id.unwrap_or(Id::MAX));
                for problem in unsound {
                    problems += 1;
                    is_listed &= problem.id.is_some();
                    found(problem);
                }
                watched.go_on()
            };
            let (most, most_bytes) = self.batch();
            let mut batch = Vec::new();
            let mut bytes = 0;
            for image in self.listed() {
                bytes = image.as_ref().map_or(0, |descriptor| descriptor.payload_length).saturating_add(bytes);
                batch.push(image);
                if bytes >= most_bytes || batch.len() == most {
                    bytes = 0;
                    check(std::mem::take(&mut batch))?;
                }
            }
            check(batch)?;
            let Progress { images, bytes, .. } = watched.progress();
            // An append changes the next id, and what is left is changed by a removal alone.
            let after = self.properties()?;
            let unchanged = (after.count, after.next_id) == (before.count, before.next_id);
            if is_listed && unchanged && images != before.count {
                let error = Error::corrupt(format!("it has {} images, but {images} are listed", before.count));
                problems += 1;
                found(Problem { id: None, name: None, error: self.here(error) });
            }
            Ok(Verified { images, bytes, problems })
        });
        verified.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => error.with_hint("nothing was changed"),
            _ => error,
        })
    }

    /// All descriptors. After one that cannot be read the list goes on; it ends where the error names no image.
    fn listed(&self) -> impl Iterator<Item = Result<Descriptor, Problem>> {
        let mut next = 0;
        let mut scan = self.scan(next);
        std::iter::from_fn(move || {
            let error = match scan.next()? {
                Ok(descriptor) => {
                    next = descriptor.id.saturating_add(1);
                    return Some(Ok(descriptor));
                }
                Err(error) => error,
            };
            Some(Err(match error.id() {
                Some(id) if id >= next => {
                    if let Some(after) = id.checked_add(1) {
                        next = after;
                        scan = self.scan(after);
                    }
                    Problem { id: Some(id), name: None, error }
                }
                _ => {
                    let error = error.context(format_args!("the images from {next} on cannot be listed"));
                    Problem { id: None, name: None, error }
                }
            }))
        })
    }

    /// What is wrong with some images, none of which is looked at once the watch says to stop.
    fn problems(&self, images: &[Descriptor], watched: &Watched<'_>) -> Result<Vec<Problem>> {
        let sound = self.sound_together(images, watched)?;
        let mut problems = Vec::new();
        for (descriptor, is_sound) in images.iter().zip(sound).take_while(|_| !watched.is_stopped()) {
            if !is_sound {
                problems.extend(self.problem(descriptor)?);
            }
            watched.add(1, descriptor.payload_length);
        }
        Ok(problems)
    }

    /// Which of some images are found sound when all are asked for at once. The others may be, too: a batch ends at the
    /// first that is not, and large ones are not in it. Looked at alone, each tells what is wrong with it.
    fn sound_together(&self, images: &[Descriptor], watched: &Watched<'_>) -> Result<Vec<bool>> {
        let mut sound = vec![false; images.len()];
        let places: Vec<usize> = (0..images.len()).filter(|&place| !is_large(&images[place])).collect();
        let ids: Vec<Id> = places.iter().map(|&place| images[place].id).collect();
        let fetched = self.fetch(&ids, |at, found, payload| {
            sound[places[at]] = self.check_fetched(&images[places[at]], &found, payload).is_ok();
            watched.check()
        });
        let names: Vec<Option<&str>> = images.iter().map(|descriptor| descriptor.name.as_deref()).collect();
        let found = match fetched.and_then(|()| self.find_named(&names)) {
            Err(error) if is_transient(&error) => return Err(error),
            found => found,
        };
        for (place, descriptor) in images.iter().enumerate().filter(|(_, descriptor)| descriptor.name.is_some()) {
            sound[place] &= found.as_ref().is_ok_and(|ids| ids[place] == Some(descriptor.id));
        }
        Ok(sound)
    }

    fn problem(&self, descriptor: &Descriptor) -> Result<Option<Problem>> {
        let checked = self.check_image(descriptor).and_then(|()| self.check_name(descriptor));
        match checked.map_err(|error| error.at_id(descriptor.id)) {
            Ok(()) => Ok(None),
            Err(error) if is_transient(&error) => Err(error),
            Err(error) => Ok(Some(Problem { id: Some(descriptor.id), name: descriptor.name.clone(), error })),
        }
    }

    fn check_image(&self, descriptor: &Descriptor) -> Result<()> {
        match is_large(descriptor) {
            true => self.check_large(descriptor),
            false => self.fetch(&[descriptor.id], |_, found, payload| self.check_fetched(descriptor, &found, payload)),
        }
    }

    fn check_fetched(&self, descriptor: &Descriptor, found: &Descriptor, payload: &[u8]) -> Result<()> {
        // A backend may keep it beside the payload once more.
        if found != descriptor {
            return Err(Error::corrupt("what is kept of it differs from what is kept beside its payload"));
        }
        if !self.verify_checksums {
            check_payload(descriptor, payload)?; // else it was checked before it came here
        }
        self.decoder.decode(descriptor, payload).map(drop)
    }

    /// Checks that an image is found by its name.
    fn check_name(&self, descriptor: &Descriptor) -> Result<()> {
        let Some(name) = &descriptor.name else { return Ok(()) };
        match self.find(name)? {
            Some(id) if id == descriptor.id => Ok(()),
            Some(id) => Err(self.here(Error::corrupt(format!("its name leads to image {id}")))),
            None => Err(self.here(Error::corrupt("its name leads nowhere"))),
        }
    }

    /// Checks a large raw payload piece by piece.
    fn check_large(&self, descriptor: &Descriptor) -> Result<()> {
        self.check_claim(descriptor)?;
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

/// Whether an error is about a server that did not answer, and about no image.
fn is_transient(error: &Error) -> bool {
    error.kind() == ErrorKind::Transient
}

/// Whether it is read piece by piece.
fn is_large(descriptor: &Descriptor) -> bool {
    matches!(descriptor.encoding, Encoding::Raw(_)) && descriptor.payload_length > BATCH_BYTES
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::Durability;
    use crate::backends::{self, Mode};
    use crate::error::ErrorKind;
    use crate::image::{Image, SampleType, Shape};
    use crate::store::NewImage;
    use crate::wrappers::{Fault, Faulty, Operation};

    #[test]
    fn a_list_that_cannot_be_read_is_a_problem() {
        let faulty = Faulty::new(backends::open("memory:", Mode::Create, Durability::Full).unwrap());
        let faults = faulty.faults();
        let store = Store::from_backend(faulty);
        let image = Image::from_bytes(Shape::new(1, 1, 1).unwrap(), SampleType::U8, vec![7]).unwrap();
        store.append([NewImage::pixels(&image), NewImage::pixels(&image).name("named")]).unwrap();
        faults.order(Fault::After(Operation::Scan), 0);
        let mut problems = Vec::new();
        let verified = store.verify(&mut |problem| problems.push(problem), &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((verified.images, verified.problems), (2, 1));
        assert_eq!((problems[0].id, problems[0].error.kind()), (None, ErrorKind::Backend));
        assert!(problems[0].error.to_string().contains("the images from 2 on cannot be listed"));

        // Nor does it take an image for damaged because a server is away.
        for operation in [Operation::Scan, Operation::Fetch, Operation::Find, Operation::Properties] {
            faults.order(Fault::Unanswered(operation), 0);
            let ended = store.verify(&mut |problem| panic!("{problem:?}"), &mut |_| ControlFlow::Continue(()));
            assert_eq!(ended.map_err(|error| error.kind()), Err(ErrorKind::Transient), "{operation:?}");
            assert_eq!(faults.clear(), 0);
        }
    }
}
