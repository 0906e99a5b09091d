//! What do reads of a store cost: t1, t2 and P, by timed reads of its own large images.
//!
//! Batches of 1 to 32 reads of 4 KiB to 1 MiB each are read at random places of a payload, as a region's plan would have
//! them read, each batch from a store that was just opened and of which the page cache was made to forget all but the way
//! to the image. Of each kind of batch the median counts, and [`Cost::fit`] finds the costs that foretell them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinako::backend::ReadRequest;
use pinako::backends::{self, Mode};
use pinako::plan::{Cost, Fit, Timed};
use pinako::store::Calibration;
use pinako::{Durability, Encoding, Error, ErrorKind, Id, Result, Store};
use serde::Serialize;

use crate::costs::Costs;
use crate::random::Random;
use crate::summary::Summary;
use crate::{cold, figures, invalid};

/// Bytes of a read.
const LENGTHS: [u64; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Reads of a batch.
const READS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Bytes of a batch at most.
const MOST_BYTES: u64 = 16 << 20;
/// A shorter payload has too few places that have nothing to do with each other.
const LEAST_PAYLOAD: u64 = 4 << 20;
/// Images that are read from at most: the largest.
const IMAGES: usize = 16;
/// Each kind of batch is read so often at least, and at most.
const ROUNDS: std::ops::RangeInclusive<usize> = 3..=25;
/// Where reads begin and end.
const PAGE: u64 = 4096;
/// Bytes of pixels that people have.
const PIXELS: [u64; 3] = [1, 3, 4];

/// How a store is calibrated.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long to read; each kind of batch is read three times in any case.
    pub seconds: f64,
    /// Chooses the places.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { seconds: 5.0, seed: 0 }
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The store.
    pub store: String,
    /// t1: seconds for a read.
    pub read_seconds: f64,
    /// t2: seconds for a byte.
    pub byte_seconds: f64,
    /// P: reads in flight at once.
    pub parallel_reads: u32,
    /// t1 / t2: the bytes that take as long as a read.
    pub bytes_a_read: f64,
    /// [n*](Cost::n_star) for some pixels.
    pub n_stars: Vec<Growth>,
    /// By which part of what they foretell these costs are off, in the middle.
    pub typical_error: f64,
    /// The same where they are off most.
    pub largest_error: f64,
    /// Whether what was read was in no cache of this machine.
    pub is_cold: bool,
    /// Images that were read from.
    pub images: usize,
    /// How many reads were timed.
    pub reads: u64,
    /// How long it all took.
    pub seconds: f64,
    /// What regions were planned by until now.
    pub before: Costs,
    /// Each kind of batch.
    pub batches: Vec<Batches>,
    /// When it was measured, in seconds since 1970 began (UTC).
    pub unix_seconds: u64,
}

/// [n*](Cost::n_star) for pixels of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// Bytes of a pixel.
    pub pixel_size: u64,
    /// n*.
    pub n: u32,
}

/// Batches of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Batches {
    /// Bytes of each read.
    pub read_bytes: u64,
    /// Reads that were asked for at once.
    pub reads: usize,
    /// What a batch took.
    pub measured_seconds: Summary,
    /// What it should take, by the costs.
    pub predicted_seconds: f64,
}

impl Report {
    /// What a store keeps of it.
    pub fn calibration(&self) -> Calibration {
        let Report { read_seconds, byte_seconds, parallel_reads, unix_seconds, reads, typical_error, .. } = *self;
        Calibration { read_seconds, byte_seconds, parallel_reads, unix_seconds, reads, typical_error }
    }
}

/// Told how many reads were timed; breaks it off by saying so.
pub type Watch<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Measures what reads of the store at `url` cost. Nothing is kept: [`Store::keep_calibration`] does that. While another
/// handle of this process has the store open, its reads are not cold.
///
/// # Errors
/// `InvalidInput` where the store has no image that is large enough, or the options make no sense; `Interrupted` where the
/// watch breaks off; else as opening and reading it.
pub fn calibrate(url: &str, options: &Options, watch: &mut Watch<'_>) -> Result<Report> {
    let budget = Duration::try_from_secs_f64(options.seconds)
        .map_err(|_| invalid(format!("{} seconds are no time to measure", options.seconds)))?;
    let began = Instant::now();
    let (store, before, cost, images) = {
        let store = Store::options().open_read_only(url)?;
        let images = large_images(&store)?;
        (store.url().to_owned(), Costs::of(&store)?, store.cost()?, images)
    };
    // What a server's machine has in its memory is not ours to make it forget.
    let path = store.split_once(':').filter(|_| !backends::is_on_server(&store)).map(|(_, path)| path);
    let cannot =
        |error| Error::io(format!("cannot make the system forget what is in {}", path.unwrap_or_default()), error);
    let files =
        path.map_or(Ok(Vec::new()), |path| cold::settle(Path::new(path)).and_then(|()| large_files(Path::new(path))));
    let files = files.map_err(cannot)?;
    let forget = || files.iter().try_for_each(|file| unless_gone(cold::forget(file)).map(drop)).map_err(cannot);
    forget()?;
    let is_cold = |file: &PathBuf| unless_gone(File::open(file).and_then(|file| cold::is_forgotten(&file)));
    let is_cold = files.first().map_or(Ok(None), is_cold).map_err(cannot)?.unwrap_or(false);

    let mut buffer = Vec::new();
    let mut read = |requests: &[ReadRequest]| {
        forget()?;
        let backend = backends::open(url, Mode::Read, Durability::Full)?;
        // The way there: a plan's reads come after its image was looked up.
        let first = requests.first().map(|first| ReadRequest::new(first.id, 0..1));
        backend.read(first.as_slice(), &mut |_, _| Ok(()))?;
        let began = Instant::now();
        backend.read(requests, &mut |_, bytes| {
            let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::NotFound, "the image was removed meanwhile"))?;
            buffer.clear();
            buffer.extend_from_slice(bytes);
            Ok(())
        })?;
        std::hint::black_box(&buffer);
        Ok(began.elapsed().as_secs_f64())
    };
    let Measured { batches, fit, reads } =
        measure(&images, &cost, budget, options.seed, &mut read, watch).map_err(|error| error.at_store(&store))?;
    let Fit { cost, typical_error, largest_error } = fit;
    Ok(Report {
        store,
        read_seconds: cost.read_seconds(),
        byte_seconds: cost.byte_seconds(),
        parallel_reads: cost.parallel_reads(),
        bytes_a_read: cost.bytes_per_read(),
        n_stars: PIXELS.map(|pixel_size| Growth { pixel_size, n: cost.n_star(pixel_size) }).to_vec(),
        typical_error,
        largest_error,
        is_cold,
        images: images.len(),
        reads,
        seconds: began.elapsed().as_secs_f64(),
        before,
        batches,
        unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })
}

/// The largest raw images, with the lengths of their payloads. Rectangles of others are cut out of the whole.
fn large_images(store: &Store) -> Result<Vec<(Id, u64)>> {
    let mut largest: Vec<(u64, Id)> = Vec::new();
    for descriptor in store.scan(0) {
        let descriptor = descriptor?;
        if !matches!(descriptor.encoding, Encoding::Raw(_)) {
            continue;
        }
        largest.push((descriptor.payload_length, descriptor.id));
        if largest.len() >= 2 * IMAGES {
            largest.sort_unstable_by(|a, b| b.cmp(a));
            largest.truncate(IMAGES);
        }
    }
    largest.sort_unstable_by(|a, b| b.cmp(a));
    largest.truncate(IMAGES);
    let found = largest.first().map_or(0, |&(length, _)| length);
    if found < LEAST_PAYLOAD {
        let message = match found {
            0 => "it has no raw image to time reads of".to_owned(),
            _ => format!("its largest raw image has {} bytes: too few to time reads of", figures::count(found)),
        };
        return Err(invalid(message).at_store(store.url()).with_hint(format!(
            "it takes one of {} bytes or more; what reads cost matters to rectangles of such images only",
            figures::count(LEAST_PAYLOAD)
        )));
    }
    // Those that are about as large: each can be read from in the same ways.
    largest.retain(|&(length, _)| length >= LEAST_PAYLOAD && length >= found / 2);
    Ok(largest.into_iter().map(|(length, id)| (id, length)).collect())
}

/// The files of the store at `path` that a large payload may be in. Nothing that a link leads to is the store's.
fn large_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut large = Vec::new();
    for entry in unless_gone(fs::read_dir(path))?.into_iter().flatten() {
        let entry = entry?;
        let Some(kind) = unless_gone(entry.file_type())? else { continue };
        if kind.is_dir() {
            large.extend(large_files(&entry.path())?);
        } else if kind.is_file() && unless_gone(entry.metadata())?.is_some_and(|of| of.len() >= LEAST_PAYLOAD / 2) {
            large.push(entry.path());
        }
    }
    Ok(large)
}

/// What was found, if it was there: somebody else may be at work in the store.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

struct Measured {
    batches: Vec<Batches>,
    fit: Fit,
    reads: u64,
}

/// Times all kinds of batches by `read`, which reads what it is given and says how many seconds that took.
fn measure(
    images: &[(Id, u64)],
    first: &Cost,
    budget: Duration,
    seed: u64,
    read: &mut dyn FnMut(&[ReadRequest]) -> Result<f64>,
    watch: &mut Watch<'_>,
) -> Result<Measured> {
    let shortest = images.iter().map(|&(_, length)| length).min().unwrap_or(0);
    let kinds: Vec<(u64, usize)> = LENGTHS
        .iter()
        .flat_map(|&length| READS.map(|reads| (length, reads)))
        .filter(|&(length, reads)| length * reads as u64 <= MOST_BYTES && reads as u64 <= places(shortest, length))
        .collect();
    let mut random = Random::new(seed, 0);
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    let (began, mut reads) = (Instant::now(), 0);
    for round in 1..=*ROUNDS.end() {
        // In another order each time: what came before may leave its trace.
        random.shuffle(&mut order);
        for &kind in &order {
            let (length, count) = kinds[kind];
            if watch(reads).is_break() {
                return Err(Error::new(ErrorKind::Interrupted, "stopped before the reads were timed"));
            }
            let image = images[random.below(images.len() as u64) as usize];
            seconds[kind].push(read(&batch(image, length, count, &mut random))?);
            reads += count as u64;
        }
        if round >= *ROUNDS.start() && began.elapsed() >= budget {
            break;
        }
    }
    let medians: Vec<(u64, usize, Summary)> = kinds
        .iter()
        .zip(&seconds)
        .filter_map(|(&(length, count), seconds)| Some((length, count, Summary::of(seconds)?)))
        .collect();
    let readings: Vec<Timed> = medians
        .iter()
        .map(|&(length, reads, Summary { median, .. })| Timed { reads, bytes: length * reads as u64, seconds: median })
        .collect();
    let mut fit = first.fit(&readings).ok_or_else(|| invalid("no reads were timed"))?;
    let (cost, block) = (fit.cost, u32::try_from(fit.cost.block()).unwrap_or(u32::MAX));
    let [t1, t2] = [cost.read_seconds(), cost.byte_seconds()].map(four_digits);
    fit.cost = Cost::new(t1, t2, cost.parallel_reads(), block)?;
    let batches = medians.into_iter().map(|(read_bytes, reads, measured_seconds)| Batches {
        read_bytes,
        reads,
        measured_seconds,
        predicted_seconds: fit.cost.seconds(reads, read_bytes * reads as u64),
    });
    Ok(Measured { batches: batches.collect(), fit, reads })
}

/// No measurement is better than that, and these are read from JSON as they were written.
fn four_digits(seconds: f64) -> f64 {
    format!("{seconds:.3e}").parse().unwrap_or(seconds)
}

/// Bytes from one place to the next, of which a read takes a part that is in no touch with what the system may read ahead of
/// another.
fn spacing(length: u64) -> u64 {
    (4 * length).max(64 << 10)
}

/// The places of a payload for reads of `length` bytes; the beginning is none, which is read to find the way.
fn places(payload: u64, length: u64) -> u64 {
    (payload / spacing(length)).saturating_sub(1)
}

/// `count` reads of an image, each at another place, ascending.
fn batch((id, payload): (Id, u64), length: u64, count: usize, random: &mut Random) -> Vec<ReadRequest> {
    let (spacing, places) = (spacing(length), places(payload, length));
    let mut chosen = BTreeSet::new();
    while chosen.len() < count.min(places as usize) {
        chosen.insert(1 + random.below(places));
    }
    let read = |place: u64| {
        let start = place * spacing + random.below(spacing / 2 / PAGE) * PAGE;
        ReadRequest::new(id, start..start + length)
    };
    chosen.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use pinako::{Image, NewImage, SampleType, Shape};

    use super::*;

    fn go_on(_: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn the_costs_of_a_simulated_device_are_found() {
        let first = Cost::new(1e-4, 1e-9, 8, 4096).unwrap();
        for (t1, t2, parallel) in [(2e-2, 1e-8, 8), (5e-5, 1e-9, 4), (3e-6, 2e-10, 1)] {
            for payload in [LEAST_PAYLOAD, 200 << 20] {
                let device = Cost::new(t1, t2, parallel, 1).unwrap();
                let mut read = |requests: &[ReadRequest]| {
                    assert!(requests.windows(2).all(|pair| pair[0].range.end < pair[1].range.start));
                    assert!(requests.iter().all(|read| read.range.start >= 64 << 10 && read.range.end <= payload));
                    let bytes = requests.iter().map(|read| read.range.end - read.range.start).sum();
                    Ok(device.seconds(requests.len(), bytes))
                };
                let images = [(3, payload), (4, payload + 5)];
                let found = measure(&images, &first, Duration::ZERO, 1, &mut read, &mut go_on).unwrap();
                let Fit { cost, largest_error, .. } = found.fit;
                assert!((cost.read_seconds() / t1 - 1.0).abs() < 0.02, "{cost:?}");
                assert!((cost.byte_seconds() / t2 - 1.0).abs() < 0.02, "{cost:?}");
                assert_eq!((cost.parallel_reads(), cost.block()), (parallel, 4096));
                assert!(largest_error < 0.02 && found.reads > 0);
            }
        }
    }

    #[test]
    fn links_are_not_the_stores_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("images")).unwrap();
        for (name, length) in [("small", 5), ("images/large", LEAST_PAYLOAD)] {
            File::create(path(name)).unwrap().set_len(length).unwrap();
        }
        for (to, name) in [("nowhere", "dangling"), (".", "loop"), ("images/large", "link")] {
            std::os::unix::fs::symlink(to, path(name)).unwrap();
        }
        assert_eq!(large_files(folder.path()).unwrap(), [path("images/large")]);
        assert_eq!(large_files(&path("small")).unwrap(), [path("small")]);
        assert_eq!(unless_gone(cold::forget(&path("gone"))).unwrap(), None);
    }

    #[test]
    fn an_image_that_is_a_file_is_not_read_from() {
        let store = Store::create("memory:").unwrap();
        let side = 50;
        let samples = (0..side * side).map(|at: u32| (at.wrapping_mul(40_503) >> 7) as u8).collect();
        let image = Image::from_bytes(Shape::new(side, side, 1).unwrap(), SampleType::U8, samples).unwrap();
        store.append([NewImage::encoded(image.view(), pinako::PixelEncoding::Png)]).unwrap();
        let error = large_images(&store).unwrap_err();
        assert!(error.to_string().contains("no raw image to time"), "{error}");
    }

    #[test]
    fn a_store_of_small_images_cannot_be_calibrated_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("lmdb:{}", folder.path().join("small").display());
        let store = Store::create(&url).unwrap();
        let error = calibrate(&url, &Options::default(), &mut go_on).unwrap_err();
        assert!(error.to_string().contains("no raw image to time"), "{error}");
        let image = Image::from_bytes(Shape::new(2, 3, 1).unwrap(), SampleType::U8, vec![1; 6]).unwrap();
        store.append([NewImage::pixels(&image)]).unwrap();
        let error = calibrate(&url, &Options::default(), &mut go_on).unwrap_err();
        assert!(error.to_string().contains("largest raw image has 6 bytes") && error.hint().is_some(), "{error}");
        for seconds in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(calibrate(&url, &Options { seconds, seed: 0 }, &mut go_on).is_err(), "{seconds}");
        }
    }

    #[test]
    fn every_kind_of_store_is_measured_and_keeps_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = (0..6 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let image = Image::from_bytes(Shape::new(2048, 1024, 3).unwrap(), SampleType::U8, bytes).unwrap();
        for scheme in ["lmdb", "files", "hdf5", "sqlite"] {
            let url = format!("{scheme}:{}", folder.path().join(scheme).display());
            let store = Store::create(&url).unwrap();
            store.append([NewImage::encoded(image.view(), pinako::PixelEncoding::Raw)]).unwrap();
            drop(store);
            let found = calibrate(&url, &Options { seconds: 0.0, seed: 3 }, &mut go_on).unwrap();
            assert!(found.read_seconds > 0.0 && found.byte_seconds > 0.0 && found.batches.len() > 8, "{found:?}");
            let store = Store::options().open_read_only(&url).unwrap();
            store.keep_calibration(&found.calibration()).unwrap();
            drop(store);
            let costs = Costs::of(&Store::open(&url).unwrap()).unwrap();
            assert_eq!(
                (costs.cost.read_seconds(), costs.cost.parallel_reads()),
                (found.read_seconds, found.parallel_reads)
            );
            assert!(costs.text().contains("calibrated 20"), "{}", costs.text());
        }
        let stopped =
            calibrate(&format!("lmdb:{}", folder.path().join("lmdb").display()), &Options::default(), &mut |_| {
                ControlFlow::Break(())
            });
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
