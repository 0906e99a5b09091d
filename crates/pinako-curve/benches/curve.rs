//! How fast points, positions and runs are, beside other crates: `cargo bench -p pinako-curve`.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use pinako_curve::{Curve, Order, Rect};

const MANY: usize = 10_000;

fn main() {
    divan::main();
}

/// Points here and there in a grid of that order.
fn points(order: u32) -> Vec<(u32, u32)> {
    let mask = ((1u64 << order) - 1) as u32;
    (0..MANY as u32).map(|i| (i.wrapping_mul(2_654_435_761) & mask, i.wrapping_mul(2_246_822_519) & mask)).collect()
}

#[divan::bench_group(name = "points to positions")]
mod to_positions {
    use super::*;

    const ORDERS: [u32; 3] = [13, 16, 32];

    #[divan::bench(args = ORDERS)]
    fn pinako(bencher: Bencher<'_, '_>, order: u32) {
        let (curve, points) = (Curve::new(order).unwrap(), points(order));
        let mut out = vec![0; MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| curve.positions(black_box(&points), black_box(&mut out)));
    }

    #[divan::bench(args = ORDERS)]
    fn fast_hilbert(bencher: Bencher<'_, '_>, order: u32) {
        let points = points(order);
        let mut out = vec![0; MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
            for (&(x, y), out) in black_box(&points).iter().zip(black_box(&mut out)) {
                *out = fast_hilbert::xy2h(x, y, order as u8);
            }
        });
    }

    #[divan::bench(args = ORDERS)]
    fn hilbert_2d(bencher: Bencher<'_, '_>, order: u32) {
        let points = points(order);
        let mut out = vec![0; MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
            for (&(x, y), out) in black_box(&points).iter().zip(black_box(&mut out)) {
                *out = hilbert_2d::xy2h_discrete(x as usize, y as usize, order as usize, hilbert_2d::Variant::Hilbert);
            }
        });
    }

    #[divan::bench]
    fn lindel_of_order_32(bencher: Bencher<'_, '_>) {
        let points = points(32);
        let mut out = vec![0u64; MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
            for (&(x, y), out) in black_box(&points).iter().zip(black_box(&mut out)) {
                *out = lindel::hilbert_encode([x, y]);
            }
        });
    }
}

#[divan::bench_group(name = "positions to points")]
mod to_points {
    use super::*;

    const ORDERS: [u32; 3] = [13, 16, 32];

    fn positions(order: u32) -> Vec<u64> {
        let mut positions = vec![0; MANY];
        Curve::new(order).unwrap().positions(&points(order), &mut positions);
        positions
    }

    #[divan::bench(args = ORDERS)]
    fn pinako(bencher: Bencher<'_, '_>, order: u32) {
        let (curve, positions) = (Curve::new(order).unwrap(), positions(order));
        let mut out = vec![(0, 0); MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| curve.points(black_box(&positions), black_box(&mut out)));
    }

    #[divan::bench(args = ORDERS)]
    fn fast_hilbert(bencher: Bencher<'_, '_>, order: u32) {
        let positions = positions(order);
        let mut out = vec![(0u32, 0u32); MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
            for (&position, out) in black_box(&positions).iter().zip(black_box(&mut out)) {
                *out = fast_hilbert::h2xy(position, order as u8);
            }
        });
    }

    #[divan::bench]
    fn lindel_of_order_32(bencher: Bencher<'_, '_>) {
        let positions = positions(32);
        let mut out = vec![[0u32; 2]; MANY];
        bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
            for (&position, out) in black_box(&positions).iter().zip(black_box(&mut out)) {
                *out = lindel::hilbert_decode(position);
            }
        });
    }
}

/// A region of 400 x 400 in a grid of 65,536 a side, at many places; counted in runs.
#[divan::bench(args = [1, 64])]
fn runs_of_400_squared(bencher: Bencher<'_, '_>, block: u32) {
    let order = Order::new(1 << 16, 1 << 16, block).unwrap();
    let places: Vec<(u32, u32)> = points(16).into_iter().take(100).collect();
    let rects: Vec<Rect> =
        places.into_iter().map(|(x, y)| Rect { x: x.min(65_136), y: y.min(65_136), width: 400, height: 400 }).collect();
    let mut runs = 0usize;
    rects.iter().for_each(|&rect| order.runs(rect, |_| runs += 1));
    bencher.counter(ItemsCount::new(runs)).bench_local(|| {
        let mut sum = 0;
        black_box(&rects).iter().for_each(|&rect| order.runs(rect, |run| sum += run.end ^ run.start));
        sum
    });
}
