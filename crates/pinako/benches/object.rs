//! What an object store takes where each request takes 20 ms: storing 100,000 images of 32x32x3 bytes, reading all of
//! them, 1,000 at random in one call, and squares of a raster.
//!
//! ```text
//! cargo bench -p pinako --bench object
//! ```
//!
//! The store is in a folder, under `object_store`'s own wrapper that makes requests wait. Medians, with the least and the
//! most, of rounds that each have a store of their own; of squares, of all that were read.

use std::time::{Duration, Instant};

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{Mode, open_object_folder_afar};
use pinako::conformance::pattern;
use pinako::{
    BlockSide, Descriptor, Encoding, ImageView, Layout, NewImage, PixelEncoding, Region, SampleType, Shape, Store,
};

type Failure = Box<dyn std::error::Error>;

const LATENCY: Duration = Duration::from_millis(20);
const ROUNDS: u64 = 5;
const IMAGES: u64 = 100_000;
const AT_ONCE: u64 = 50_000;
const AT_RANDOM: u64 = 1_000;
const SIDE: u32 = 8192;
const SQUARES: u64 = 60;

fn main() -> Result<(), Failure> {
    let shape = Shape::new(32, 32, 3)?;
    let payloads: Vec<Vec<u8>> = (0..IMAGES).map(|seed| pattern(seed, 0, 3072)).collect();
    let (mut stored, mut read, mut cold, mut warm) = (Row::default(), Row::default(), Row::default(), Row::default());
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let mut entries: Vec<Entry<'_>> = payloads
            .iter()
            .map(|payload| Entry {
                descriptor: Descriptor {
                    id: 0,
                    name: None,
                    shape,
                    sample_type: SampleType::U8,
                    encoding: Encoding::Raw(Layout::Row),
                    label: Some((payload[0] % 10).into()),
                    attributes: None,
                    payload_length: payload.len() as u64,
                    checksum: crc32c::crc32c(payload),
                },
                payload: Payload::Bytes(payload),
            })
            .collect();
        let store = open_object_folder_afar(folder.path(), Mode::Create, LATENCY)?;
        stored.measure(&store, || store.append(&mut entries).map(drop))?;

        let store = open_object_folder_afar(folder.path(), Mode::Read, LATENCY)?;
        read.measure(&store, || {
            (0..IMAGES)
                .step_by(AT_ONCE as usize)
                .try_for_each(|first| fetch(&store, &payloads, &(first..first + AT_ONCE).collect::<Vec<u64>>()))
        })?;
        let store = open_object_folder_afar(folder.path(), Mode::Read, LATENCY)?;
        cold.measure(&store, || fetch(&store, &payloads, &at_random(2 * round)))?;
        warm.measure(&store, || fetch(&store, &payloads, &at_random(2 * round + 1)))?;
    }
    stored.print("store 100,000 images, one batch");
    read.print("read all, two batches, just opened");
    cold.print("1,000 at random, just opened");
    warm.print("1,000 at random, heads in memory");
    drop(payloads);
    squares()
}

/// Squares of 100 to 800 pixels of a raster in the Hilbert layout, at random places.
fn squares() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let shape = Shape::new(SIDE, SIDE, 3)?;
    let pixels = pattern(1, 0, shape.byte_length(SampleType::U8) as usize);
    let open = |mode| open_object_folder_afar(folder.path(), mode, LATENCY);
    let layout = PixelEncoding::RawIn(Layout::Hilbert(BlockSide::default()));
    let image = NewImage::encoded(ImageView::new(shape, SampleType::U8, &pixels)?, layout);
    Store::from_backend(open(Mode::Create)?).append([image])?;
    let store = Store::from_backend(open(Mode::Read)?);
    store.descriptor(0)?;
    let mut row = Row::default();
    for square in 0..SQUARES {
        let side = 100 + (random(3 * square) % 701) as u32;
        let [x, y] = [1, 2].map(|word| (random(3 * square + word) % u64::from(SIDE - side + 1)) as u32);
        let (region, before, start) = (Region::new(x, y, side, side)?, store.traffic(), Instant::now());
        let found = store.region(0, region)?;
        row.push(start.elapsed(), store.traffic().requests - before.requests);
        assert_eq!(found.view().bytes()[..3], pixels[3 * (y * SIDE + x) as usize..][..3]);
    }
    row.print("a square of 100-800 of 8192x8192");
    let most = row.seconds.iter().copied().fold(0.0, f64::max) / LATENCY.as_secs_f64();
    println!("  the slowest of {SQUARES} took {most:.2} round trips' time");
    Ok(())
}

fn fetch(store: &impl Backend, payloads: &[Vec<u8>], ids: &[u64]) -> pinako::Result<()> {
    store.fetch(ids, &mut |place, image| {
        assert!(image.is_some_and(|(_, bytes)| bytes == payloads[ids[place] as usize]), "image {}", ids[place]);
        Ok(())
    })
}

fn at_random(seed: u64) -> Vec<u64> {
    (0..AT_RANDOM).map(|place| random((seed << 32) + place) % IMAGES).collect()
}

fn random(seed: u64) -> u64 {
    u64::from_le_bytes(pattern(seed ^ 0x5eed, 8, 8).try_into().unwrap_or_default())
}

/// What was measured of one kind of work.
#[derive(Default)]
struct Row {
    seconds: Vec<f64>,
    requests: Vec<u64>,
}

impl Row {
    fn measure(&mut self, store: &impl Backend, work: impl FnOnce() -> pinako::Result<()>) -> Result<(), Failure> {
        let (before, start) = (store.traffic().requests, Instant::now());
        work()?;
        self.push(start.elapsed(), store.traffic().requests - before);
        Ok(())
    }

    fn push(&mut self, time: Duration, requests: u64) {
        self.seconds.push(time.as_secs_f64());
        self.requests.push(requests);
    }

    fn print(&self, name: &str) {
        let (mut seconds, mut requests) = (self.seconds.clone(), self.requests.clone());
        seconds.sort_by(f64::total_cmp);
        requests.sort_unstable();
        let last = seconds.len() - 1;
        println!(
            "{name:36} {:7.3} s ({:.3}-{:.3}), {} requests ({}-{})",
            seconds[last / 2],
            seconds[0],
            seconds[last],
            requests[last / 2],
            requests[0],
            requests[last]
        );
    }
}
