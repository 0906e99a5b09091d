//! The measuring itself: rounds through all backends, and what is timed in each.
//!
//! Timed is what a user waits for: storing goes from making the store to closing it, reading all from opening it to
//! having the pixels in memory. Whatever else there is to do (comparing, forgetting, removing) happens between the
//! timed parts. Images go in by the batches of an import; they come out into memory that was touched before, because
//! a program that trains on them uses its buffers again too.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinako::{Durability, Error, ErrorKind, Id, Image, NewImage, Result, Store};

use super::contender::{Contender, Opening};
use super::data::SourceImages;
use super::report::{Measurement, Operation};
use super::requests::{Asked, Requests};
use super::{Options, Progress, Watch};
use crate::random::Random;
use crate::summary::quantile;
use crate::{cold, interrupted, memory};

/// Most bytes of pixels that are read before they are compared.
const MOST_READ: u64 = 512 << 20;

/// Single images read at random in a repetition, with a warm cache.
const RANDOM_WARM: u64 = 1_000;

/// The same with a cold cache, at most; and at most one in [`RANDOM_COLD_SHARE`] images of the store, or later ones
/// would find what earlier ones brought in.
const RANDOM_COLD: u64 = 200;
const RANDOM_COLD_SHARE: u64 = 100;

/// Images in the smallest store that is read so: a smaller one is in memory after the few pages of the first reads.
const RANDOM_COLD_LEAST: u64 = 1_000;

/// Single images that are kept before they are compared: few, so that the memory for them is used again.
const KEPT: usize = 32;

/// Measures everything; the samples of each backend, count and operation together.
pub(super) fn measure(
    options: &Options,
    contenders: &[Contender],
    images: &SourceImages,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<(Vec<Measurement>, Vec<Requests>)> {
    let largest = options.counts.iter().copied().max().unwrap_or(0);
    // Each repetition stores twice and reads twice, from a server once; the look at memory does both once more.
    let rounds = |count: u64| {
        let of = |contender: &Contender| {
            u64::from(options.repetitions_at(count)) * (4 - u64::from(contender.is_on_server)) + 2
        };
        contenders.iter().map(of).sum::<u64>()
    };
    let total = options.counts.iter().map(|&count| count.saturating_mul(rounds(count))).fold(0, u64::saturating_add);
    let pieces = images.pieces(largest, u64::MAX, MOST_READ);
    let longest = pieces.into_iter().map(|piece| images.bytes_of(piece)).max().unwrap_or(0);
    let buffer = if images.like.is_some() { vec![0; longest as usize] } else { Vec::new() };
    let mut run = Run {
        images,
        seed: options.seed,
        folder: folder.join("0"),
        stores: 0,
        buffer,
        watch,
        done: 0,
        total,
        samples: BTreeMap::new(),
        asked: BTreeMap::new(),
        contenders,
        made: None,
    };
    for &count in &options.counts {
        for repetition in 0..options.repetitions_at(count) {
            for place in 0..contenders.len() {
                run.round(place, count, repetition, count == largest)?;
            }
        }
        for place in 0..contenders.len() {
            run.memory_round(place, count)?;
        }
    }
    let name = |place: usize| contenders[place].name.clone();
    let measurements =
        std::mem::take(&mut run.samples).into_iter().filter_map(|((count, operation, place), samples)| {
            Measurement::new(name(place), count, operation, samples.each, samples.singles)
        });
    let measurements = measurements.collect();
    let of_servers = std::mem::take(&mut run.asked).into_iter().filter(|(_, asked)| asked.store.requests > 0.0);
    let requests = of_servers.map(|((count, place), asked)| {
        let SomeAsked { store, read, single } = asked;
        Requests { backend: name(place), count, store, read, single }
    });
    Ok((measurements, requests.collect()))
}

#[derive(Default)]
struct Samples {
    /// One a repetition.
    each: Vec<f64>,
    /// Where a sample is the median of single reads: these, of all repetitions.
    singles: Vec<f64>,
}

/// What was asked of a server, in the last repetition.
#[derive(Default)]
struct SomeAsked {
    store: Asked,
    read: Asked,
    single: Option<Asked>,
}

struct Run<'a, 'w> {
    images: &'a SourceImages,
    seed: u64,
    /// Where the store of a round stands; those before it are left as empty files, see [`clear`](Self::clear).
    folder: PathBuf,
    /// Stores that were made.
    stores: u64,
    /// What is read into, where all images have one shape.
    buffer: Vec<u8>,
    watch: &'a mut Watch<'w>,
    done: u64,
    total: u64,
    samples: BTreeMap<(u64, Operation, usize), Samples>,
    asked: BTreeMap<(u64, usize), SomeAsked>,
    contenders: &'a [Contender],
    /// Whose store was made last, as long as it is there.
    made: Option<usize>,
}

/// A store on a server would outlive a run that fails or is broken off.
impl Drop for Run<'_, '_> {
    fn drop(&mut self) {
        let _ = self.delete();
    }
}

impl Run<'_, '_> {
    /// Everything once, with the backend at `place`.
    fn round(&mut self, place: usize, count: u64, repetition: u32, random: bool) -> Result<()> {
        let contender = &self.contenders[place];
        let name = &contender.name;
        let take = |run: &mut Self, operation, sample: f64| run.take(place, count, operation, sample);

        let step = format!("{name}: storing {count}, synced");
        let (seconds, asked) = self.store(&step, place, count, Durability::Full)?;
        take(self, Operation::StoreSynced, seconds);
        self.asked.entry((count, place)).or_default().store = asked;

        let disk = contender.start(&self.folder, Opening::Read)?.footprint()?.disk_bytes;
        take(self, Operation::Disk, disk as f64);

        if !contender.is_on_server {
            self.step(&format!("{name}: reading {count}, cold cache"), 0)?;
            self.forget()?;
            let (open, all, _) = self.read_all(contender, count)?;
            take(self, Operation::OpenCold, open);
            take(self, Operation::ReadCold, all);
        }

        self.step(&format!("{name}: reading {count}, warm cache"), 0)?;
        let (open, all, asked) = self.read_all(contender, count)?;
        self.asked.entry((count, place)).or_default().read = asked;
        take(self, Operation::OpenWarm, open);
        take(self, Operation::ReadWarm, all);

        if repetition == 0 {
            self.compare_labels(contender, count)?;
        }
        if random {
            self.read_singles(place, count, repetition)?;
        }

        let step = format!("{name}: storing {count}, not synced");
        let (seconds, _) = self.store(&step, place, count, Durability::Buffered)?;
        take(self, Operation::StoreBuffered, seconds);
        self.clear()
    }

    /// Storing and reading once more, without a look at the clock but one at memory.
    fn memory_round(&mut self, place: usize, count: u64) -> Result<()> {
        let contender = &self.contenders[place];
        let name = &contender.name;
        let step = format!("{name}: storing {count}, for the memory it takes");
        let (stored, peak) = memory::peak_of(|| self.store(&step, place, count, Durability::Full));
        stored?;
        if let Some(bytes) = peak {
            self.take(place, count, Operation::StoreMemory, bytes as f64);
        }

        self.step(&format!("{name}: reading {count}, for the memory it takes"), 0)?;
        // The buffer was touched by the rounds before, so it does not count.
        let (read, peak) = memory::peak_of(|| self.read_all(contender, count));
        read?;
        if let Some(bytes) = peak {
            self.take(place, count, Operation::ReadMemory, bytes as f64);
        }
        self.clear()
    }

    fn take(&mut self, place: usize, count: u64, operation: Operation, sample: f64) {
        self.samples.entry((count, operation, place)).or_default().each.push(sample);
    }

    /// Makes a store of `count` images where nothing is; the seconds that takes, and what it takes of a server.
    fn store(&mut self, step: &str, place: usize, count: u64, durability: Durability) -> Result<(f64, Asked)> {
        let contender = &self.contenders[place];
        self.step(step, 0)?;
        self.clear()?;
        self.stores += 1;
        self.folder.set_file_name(self.stores.to_string());
        fs::create_dir(&self.folder).map_err(|error| self.io(error))?;
        // Or what the one before left behind would be written meanwhile, and the first sync would wait for it.
        cold::settle(&self.folder).map_err(|error| self.io(error))?;
        self.made = Some(place);
        let mut start = Instant::now();
        let store = contender.start(&self.folder, Opening::Create(durability))?;
        let mut elapsed = start.elapsed();
        let (most, most_bytes) = store.batch();
        let batches = self.images.pieces(count, most as u64, most_bytes);
        start = Instant::now();
        for batch in batches {
            let (first, length) = (batch.start, batch.end - batch.start);
            let images = batch.map(|place| {
                let (image, label) = self.images.at(place);
                NewImage::pixels(image).label(label)
            });
            let ids = store.append(images)?;
            elapsed += start.elapsed();
            if ids.start != first {
                return Err(wrong(contender, ids.start, format!("has been given to image {first}")));
            }
            self.step(step, length)?;
            start = Instant::now();
        }
        let asked = store.traffic().into();
        drop(store);
        Ok(((elapsed + start.elapsed()).as_secs_f64(), asked))
    }

    /// Opens the store and reads all images; the seconds of opening alone, and of both, and what it takes of a server.
    fn read_all(&mut self, contender: &Contender, count: u64) -> Result<(f64, f64, Asked)> {
        let start = Instant::now();
        let store = contender.start(&self.folder, Opening::Read)?;
        let open = start.elapsed();
        let read = self.read_images(contender, &store, count)?;
        self.done += count;
        Ok((open.as_secs_f64(), (open + read).as_secs_f64(), store.traffic().into()))
    }

    /// Reads all images, in order.
    fn read_images(&mut self, contender: &Contender, store: &Store, count: u64) -> Result<Duration> {
        let mut all = Duration::ZERO;
        for piece in self.images.pieces(count, u64::MAX, MOST_READ) {
            let ids: Vec<Id> = piece.collect();
            all += match self.images.like {
                Some(_) => self.read_into_buffer(contender, store, &ids)?,
                None => {
                    let start = Instant::now();
                    let found = store.images(&ids)?;
                    let elapsed = start.elapsed();
                    ids.iter().zip(&found).try_for_each(|(&id, image)| self.compare(contender, id, image))?;
                    elapsed
                }
            };
        }
        Ok(all)
    }

    fn read_into_buffer(&mut self, contender: &Contender, store: &Store, ids: &[Id]) -> Result<Duration> {
        let length = self.images.at(0).0.bytes().len();
        let buffer = &mut self.buffer[..ids.len() * length];
        buffer.fill(0xa5); // what an earlier read left must not pass for this one's
        let start = Instant::now();
        store.images_into(ids, buffer)?;
        let elapsed = start.elapsed();
        for (&id, found) in ids.iter().zip(buffer.chunks_exact(length)) {
            if found != self.images.at(id).0.bytes() {
                return Err(wrong(contender, id, "is not the image that was stored"));
            }
        }
        Ok(elapsed)
    }

    /// Reads single images at random, with a warm cache and, where there are enough on the disk, with a cold one.
    fn read_singles(&mut self, place: usize, count: u64, repetition: u32) -> Result<()> {
        let contender = &self.contenders[place];
        let name = &contender.name;
        let seed = self.seed ^ u64::from(repetition);
        self.step(&format!("{name}: reading single images of {count}, warm cache"), 0)?;
        let store = contender.start(&self.folder, Opening::Read)?;
        // Warm is what was read through the same store: only then a memory map has its pages at hand.
        self.read_images(contender, &store, count)?;
        let ids = scattered(RANDOM_WARM, count, seed);
        let before = Asked::from(store.traffic());
        let warm = self.time_singles(contender, &store, &ids)?;
        let asked = Asked::from(store.traffic()).since(before);
        drop(store);
        self.asked.entry((count, place)).or_default().single = Some(asked.times(1.0 / ids.len() as f64));

        self.take_singles(place, count, Operation::RandomWarm, warm);
        if contender.is_on_server || count < RANDOM_COLD_LEAST {
            return Ok(());
        }

        self.step(&format!("{name}: reading single images of {count}, cold cache"), 0)?;
        self.forget()?;
        let store = contender.start(&self.folder, Opening::Read)?;
        let ids = scattered((count / RANDOM_COLD_SHARE).min(RANDOM_COLD), count, !seed);
        let cold = self.time_singles(contender, &store, &ids)?;
        self.take_singles(place, count, Operation::RandomCold, cold);
        Ok(())
    }

    fn take_singles(&mut self, place: usize, count: u64, operation: Operation, mut seconds: Vec<f64>) {
        let samples = self.samples.entry((count, operation, place)).or_default();
        samples.singles.extend_from_slice(&seconds);
        samples.each.push(typical(operation, &mut seconds));
    }

    /// The seconds that each of `ids` takes.
    fn time_singles(&self, contender: &Contender, store: &Store, ids: &[Id]) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(ids.len());
        let mut kept = Vec::with_capacity(KEPT);
        for ids in ids.chunks(KEPT) {
            for &id in ids {
                let start = Instant::now();
                let image = store.image(id)?;
                seconds.push(start.elapsed().as_secs_f64());
                kept.push(image);
            }
            ids.iter().zip(&kept).try_for_each(|(&id, image)| self.compare(contender, id, image))?;
            kept.clear();
        }
        Ok(seconds)
    }

    fn compare(&self, contender: &Contender, id: Id, found: &Image) -> Result<()> {
        match found == self.images.at(id).0 {
            true => Ok(()),
            false => Err(wrong(contender, id, "is not the image that was stored")),
        }
    }

    fn compare_labels(&self, contender: &Contender, count: u64) -> Result<()> {
        let store = contender.start(&self.folder, Opening::Read)?;
        let mut expected = 0..count;
        for descriptor in store.scan(0) {
            let descriptor = descriptor?;
            if expected.next() != Some(descriptor.id) || descriptor.label != self.images.at(descriptor.id).1 {
                return Err(wrong(contender, descriptor.id, "has not the label it was stored with"));
            }
        }
        match expected.next() {
            None => Ok(()),
            Some(missing) => Err(wrong(contender, missing, "is missing from the list of images")),
        }
    }

    /// Says what goes on, and that `images` more are done; asks whether to go on.
    fn step(&mut self, step: &str, images: u64) -> Result<()> {
        self.done += images;
        match (self.watch)(Progress { step, done: self.done, total: self.total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(interrupted()),
        }
    }

    fn forget(&self) -> Result<()> {
        cold::forget(&self.folder).map_err(|error| self.io(error))
    }

    /// Gives the space of the last store back. Its files stay, empty, where the file system has numbers for many more:
    /// ext4 gives those of files that were removed to no new ones for some minutes, but looks at all of them again for
    /// each new file near by. After a store of 5,000 files was removed, to make the next took ten times as long.
    fn clear(&mut self) -> Result<()> {
        self.delete()?;
        let roomy = rustix::fs::statvfs(&self.folder).is_ok_and(|disk| disk.f_favail > disk.f_files / 2);
        match if roomy { empty(&self.folder) } else { fs::remove_dir_all(&self.folder) } {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    /// Deletes what a server has of the last store.
    fn delete(&mut self) -> Result<()> {
        self.made.take().map_or(Ok(()), |place| self.contenders[place].delete(&self.folder))
    }

    fn io(&self, error: std::io::Error) -> Error {
        Error::io(format!("cannot prepare the store in {}", self.folder.display()), error)
    }
}

/// Empties the file at `path`, or all files in the folder there.
fn empty(path: &Path) -> std::io::Result<()> {
    match path.is_dir() {
        true => fs::read_dir(path)?.try_for_each(|entry| empty(&entry?.path())),
        false => fs::File::options().write(true).truncate(true).open(path).map(drop),
    }
}

fn wrong(contender: &Contender, id: Id, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{}: image {id} {what}", contender.name))
        .with_hint("this is a fault of Pinako or of the machine; no figure of this run is to be trusted")
}

/// What stands for the `seconds` of single reads: the median; with a cold cache the mean, because the few reads that
/// wait for the disk are what it costs there.
fn typical(operation: Operation, seconds: &mut [f64]) -> f64 {
    if operation == Operation::RandomCold {
        return seconds.iter().sum::<f64>() / seconds.len() as f64;
    }
    seconds.sort_by(f64::total_cmp);
    quantile(seconds, 0.5)
}

/// `number` ids below `count`, in random order, spread evenly: one at a random place of each `number`th of them, and
/// so none twice where there are enough.
fn scattered(number: u64, count: u64, seed: u64) -> Vec<Id> {
    let mut random = Random::new(seed, count);
    let border = |part: u64| (u128::from(part) * u128::from(count) / u128::from(number)) as u64;
    let mut ids: Vec<Id> =
        (0..number).map(|part| border(part) + random.below(border(part + 1) - border(part))).collect();
    random.shuffle(&mut ids);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_ids_are_spread_and_not_in_order() {
        let ids = scattered(100, 10_000, 1);
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        assert_ne!(ids, sorted);
        assert!(sorted.iter().enumerate().all(|(part, id)| id / 100 == part as u64), "one in each hundred");
        assert!(scattered(1_000, 7, 1).iter().all(|&id| id < 7));
        assert_eq!(scattered(1, 1, 5), [0]);
    }

    #[test]
    fn few_slow_reads_count_where_the_cache_is_cold() {
        let seconds = [9.0, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(typical(Operation::RandomCold, &mut seconds.clone()), 2.6);
        assert_eq!(typical(Operation::RandomWarm, &mut seconds.clone()), 1.0);
    }
}
