//! How fast pixels are moved between rows and the Hilbert layout, beside a copy of as many bytes, and how fast a region is
//! planned: `cargo bench -p pinako --bench layout`. On one thread: `RAYON_NUM_THREADS=1`.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::BytesCount;
use pinako::layout::Arrangement;
use pinako::plan::{Budget, Cost, Planner, Strategy};
use pinako::{BlockSide, Layout, Region, SampleType, Shape};

const SIDE: u32 = 8192;

/// Pixel sizes in bytes, and the sides of blocks; 0 is a plain copy.
const CASES: [(u16, u32); 8] = [(3, 0), (3, 1), (3, 8), (3, 64), (4, 0), (4, 1), (4, 8), (4, 64)];

fn main() {
    divan::main();
}

fn arrangement(side: u32, pixel: u16, block: u32) -> Arrangement {
    let layout = BlockSide::new(block).map_or(Layout::Row, Layout::Hilbert);
    Arrangement::new(layout, Shape::new(side, side, pixel).unwrap(), SampleType::U8).unwrap()
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn rows_to_payload(bencher: Bencher<'_, '_>, (pixel, block): (u16, u32)) {
    let arrangement = arrangement(SIDE, pixel, block);
    let image = vec![1; arrangement.payload_bytes() as usize];
    let mut payload = vec![2; image.len()];
    bencher.counter(BytesCount::new(image.len())).bench_local(|| arrangement.pack(black_box(&image), &mut payload));
}

#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn payload_to_rows(bencher: Bencher<'_, '_>, (pixel, block): (u16, u32)) {
    let arrangement = arrangement(SIDE, pixel, block);
    let payload = vec![1; arrangement.payload_bytes() as usize];
    let mut image = vec![2; payload.len()];
    bencher.counter(BytesCount::new(payload.len())).bench_local(|| arrangement.unpack(black_box(&payload), &mut image));
}

/// A region of 400 x 400 of an image of 16,384 a side, planned whole; blocks of the device of 1 and 4096 bytes.
#[divan::bench(args = [(1, 1), (1, 4096), (64, 1), (64, 4096)])]
fn plan_of_400_squared(bencher: Bencher<'_, '_>, (block, device): (u32, u32)) {
    let cost = Cost::new(6e-5, 1e-9, 8, device).unwrap();
    let planner = Planner { arrangement: arrangement(16_384, 3, block), cost };
    let mut at = 0u32;
    bencher.bench_local(|| {
        at = at.wrapping_add(2_654_435_761);
        let region = Region::new(at % 15_984, at / 65_536 % 15_984, 400, 400).unwrap();
        planner.plan(black_box(region), Strategy::Optimal, Budget::default()).unwrap()
    });
}
