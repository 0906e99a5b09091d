//! Stores a raster that is never in memory as a whole, and reads rectangles of it: one, many that overlap, and by a plan.
//!
//!     cargo run --release -p pinako --example rectangles -- /tmp/rectangles
//!
//! The argument is any store's URL, as for the example `thumbnails`.

use std::io::{self, Read};

use pinako::plan::{Budget, Strategy};
use pinako::{BlockSide, Layout, NewImage, Region, SampleType, Shape, Store};

const WIDTH: u32 = 6000;
const HEIGHT: u32 = 4000;

/// The rows of a grey raster, made as they are asked for: what a file, a decoder or a socket would be.
struct Rows {
    next: u64,
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = (u64::from(WIDTH) * u64::from(HEIGHT)).saturating_sub(self.next);
        let count = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        for byte in &mut out[..count] {
            *byte = sample((self.next % u64::from(WIDTH)) as u32, (self.next / u64::from(WIDTH)) as u32);
            self.next += 1;
        }
        Ok(count)
    }
}

fn sample(x: u32, y: u32) -> u8 {
    ((x / 8) ^ (y / 8)) as u8
}

fn main() -> pinako::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let store = Store::create(&url)?;

    // Blocks of 64 x 64 pixels along the Hilbert curve.
    let layout = Layout::Hilbert(BlockSide::new(64).expect("64 is a power of two up to 256"));
    let shape = Shape::new(HEIGHT, WIDTH, 1)?;
    let mut rows = Rows { next: 0 };
    let raster = NewImage::stream_in(layout, shape, SampleType::U8, &mut rows).name("raster");
    let id = store.append([raster])?.start;

    // x, y, width, height.
    let region = Region::new(1000, 2000, 300, 200)?;
    let pixels = store.region(id, region)?;
    assert_eq!(pixels.view().bytes()[..3], [0, 1, 2].map(|x| sample(1000 + x, 2000)));
    println!("the rectangle {region} is {}", pixels.shape());

    // How it was read: a few long reads, with a little between them that nobody asked for.
    let plan = store.plan(id, region, Strategy::Optimal, Budget::default())?;
    let runs = store.planner(&store.descriptor(id)?)?.arrangement.runs(region);
    println!("{} runs became {} reads with {} bytes to throw away", runs.len(), plan.reads.len(), plan.extra_bytes());

    // Together, what rectangles share is read once.
    let neighbours = (0..4).map(|n| Ok((id, Region::new(n * 150, 500, 200, 200)?)));
    let neighbours = neighbours.collect::<pinako::Result<Vec<_>>>()?;
    println!("read {} rectangles that overlap", store.regions(&neighbours)?.len());
    Ok(())
}
