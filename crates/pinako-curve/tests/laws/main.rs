//! What the curve and the orders promise, held against the definitions in [`naive`] and against other crates in
//! [`others`].

mod naive;
mod others;

use pinako_curve::{Curve, Order, PATTERNS, Rect};
use proptest::prelude::*;

#[test]
fn the_curve_is_as_it_is_defined() {
    for order in 0..=8 {
        let curve = Curve::new(order).unwrap();
        assert_eq!(curve.side(), 1 << order);
        for (position, &(x, y)) in naive::curve(order).iter().enumerate() {
            assert_eq!(curve.point(position as u64), (x, y), "order {order}");
            assert_eq!(curve.position(x, y), position as u64, "order {order}");
        }
    }
}

#[test]
fn the_curve_covers_the_smallest_square() {
    let sides = [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 31, 31), ((1 << 31) + 1, 32), (u32::MAX, 32)];
    for (side, order) in sides {
        assert_eq!(Curve::covering(side, 1).order(), order, "{side}");
        assert_eq!(Curve::covering(1, side).order(), order, "{side}");
    }
    assert_eq!(Curve::covering(0, 0).order(), 0);
    assert_eq!(Curve::new(33), None);
}

#[test]
fn an_order_has_sides_and_a_block_that_make_sense() {
    for block in [0, 3, 100, 512, u32::MAX] {
        assert_eq!(Order::new(5, 5, block), None, "{block}");
    }
    assert_eq!(Order::new(0, 5, 1), None);
    assert_eq!(Order::new(5, 0, 1), None);
    for block in (0..=8).map(|log| 1 << log) {
        assert_eq!(Order::new(u32::MAX, u32::MAX, block).unwrap().block(), block);
    }
}

#[test]
fn all_runs_of_small_images_are_exact() {
    for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (8, 8), (9, 9), (16, 16), (13, 7), (17, 4)] {
        for block in [1, 2, 4, 8, 16, 256] {
            let order = Order::new(width, height, block).unwrap();
            let pixels = naive::order(width, height, block);
            for (rank, &(x, y)) in (0..).zip(&pixels) {
                assert_eq!((order.rank(x, y), order.pixel(rank)), (Some(rank), Some((x, y))));
            }
            assert_eq!(order.pixel(pixels.len() as u64), None);
            assert_eq!((order.rank(width, 0), order.rank(0, height)), (None, None));
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                for (right, high) in (y..=height).flat_map(|high| (x..=width).map(move |right| (right, high))) {
                    let rect = Rect { x, y, width: right - x, height: high - y };
                    assert_eq!(runs(&order, rect), naive::runs(&pixels, rect), "{rect:?} of {order:?}");
                }
            }
        }
    }
}

#[test]
fn the_largest_images_have_their_ends() {
    for (width, height) in [(u32::MAX, u32::MAX), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, 3)] {
        for block in [1, 64] {
            let order = Order::new(width, height, block).unwrap();
            let pixels = u64::from(width) * u64::from(height);
            assert_eq!(runs(&order, Rect { x: 0, y: 0, width, height }), std::slice::from_ref(&(0..pixels)));
            let (x, y) = order.pixel(pixels - 1).unwrap();
            assert_eq!(order.rank(x, y), Some(pixels - 1));
            assert_eq!(order.pixel(pixels), None);
            let beyond = Rect { x: width - 1, y: height - 1, width: u32::MAX, height: u32::MAX };
            assert_eq!(runs(&order, beyond).len(), 1);
        }
    }
}

#[test]
fn the_runs_of_a_region_of_a_huge_image_are_found_without_going_over_the_image() {
    // Going over each pixel of the image would take years.
    let order = Order::new(1 << 31, 1 << 31, 1).unwrap();
    let rect = Rect { x: 12_345, y: 1 << 20, width: 16, height: 10_000 };
    let runs = runs(&order, rect);
    assert_eq!(runs.iter().map(|run| run.end - run.start).sum::<u64>(), 160_000);
    // Fewer than one a row.
    assert!(runs.len() < 10_000, "{}", runs.len());
}

fn runs(order: &Order, rect: Rect) -> Vec<std::ops::Range<u64>> {
    let mut runs = Vec::new();
    order.runs(rect, |run| runs.push(run));
    runs
}

/// An image and a rectangle that reaches into it, or beyond, or misses it.
fn images() -> impl Strategy<Value = (u32, u32, u32, Rect)> {
    (1..150u32, 1..150u32, 0..=8u32).prop_flat_map(|(width, height, block)| {
        let rects = (0..width + 2, 0..height + 2, 0..width + 2, 0..height + 2);
        rects.prop_map(move |(x, y, w, h)| (width, height, 1 << block, Rect { x, y, width: w, height: h }))
    })
}

proptest! {
    #[test]
    fn runs_are_exact_and_blocks_hold_the_pixels((width, height, block, rect) in images(), ends: [u32; 2]) {
        let order = Order::new(width, height, block).unwrap();
        let pixels = naive::order(width, height, block);
        prop_assert_eq!(runs(&order, rect), naive::runs(&pixels, rect));

        let mut last = 0;
        let mut seen = 0;
        let mut all = Vec::new();
        order.blocks(rect, 0..u64::MAX, |part| {
            all.push((part.rect, part.rank));
            assert!(part.rank >= last, "blocks ascend");
            let Rect { x, y, width, height } = part.rect;
            let rows = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
            let listed: Vec<(u32, u32)> = match part.pattern.map(|pattern| &PATTERNS[pattern]) {
                None => rows.collect(),
                Some(order) => order.iter().map(|&at| (u32::from(at % 8), u32::from(at / 8)))
                    .filter(|&(column, row)| column < width && row < height).collect(),
            };
            for (rank, (column, row)) in (part.rank..).zip(listed) {
                let (x, y) = (x + column, y + row);
                assert_eq!(pixels[rank as usize], (x, y));
                let is_in = x >= rect.x && y >= rect.y && x - rect.x < rect.width && y - rect.y < rect.height;
                seen += u64::from(is_in);
                last = rank;
            }
        });
        prop_assert_eq!(seen, runs(&order, rect).iter().map(|run| run.end - run.start).sum::<u64>());

        let ends = ends.map(|end| u64::from(end) % (pixels.len() as u64 + 2));
        let ranks = ends[0].min(ends[1])..ends[0].max(ends[1]);
        let mut some = Vec::new();
        order.blocks(rect, ranks.clone(), |part| some.push((part.rect, part.rank)));
        all.retain(|(rect, rank)| {
            let end = rank + u64::from(rect.width) * u64::from(rect.height);
            !ranks.is_empty() && *rank < ranks.end && ranks.start < end
        });
        prop_assert_eq!(some, all);
    }

    #[test]
    fn positions_and_points_undo_each_other(order in 0..=32u32, x: u32, y: u32, position: u64) {
        let curve = Curve::new(order).unwrap();
        let (x, y) = (x % curve.side().min(1 << 31) as u32, y % curve.side().min(1 << 31) as u32);
        prop_assert_eq!(curve.point(curve.position(x, y)), (x, y));
        let position = if order < 32 { position % (curve.side() * curve.side()) } else { position };
        let (x, y) = curve.point(position);
        prop_assert_eq!(curve.position(x, y), position);
    }

    #[test]
    fn the_next_cell_is_beside_the_last(order in 1..=32u32, position: u64) {
        let curve = Curve::new(order).unwrap();
        let position = position % ((1u128 << (2 * order)) - 1) as u64;
        let ((x, y), (next_x, next_y)) = (curve.point(position), curve.point(position + 1));
        prop_assert_eq!(x.abs_diff(next_x) + y.abs_diff(next_y), 1);
    }

    #[test]
    fn many_are_as_one(order in 0..=32u32, points: Vec<(u32, u32)>) {
        let curve = Curve::new(order).unwrap();
        let mut positions = vec![0; points.len()];
        curve.positions(&points, &mut positions);
        let mut back = vec![(0, 0); points.len()];
        curve.points(&positions, &mut back);
        for ((&(x, y), &position), &point) in points.iter().zip(&positions).zip(&back) {
            prop_assert_eq!(position, curve.position(x, y));
            prop_assert_eq!(point, curve.point(position));
        }
    }
}
