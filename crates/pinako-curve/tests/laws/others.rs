//! The curve held against those of other people's crates: they draw the same one, in the same orientation.

use pinako_curve::Curve;
use proptest::prelude::*;

/// Another crate's curve.
struct Other {
    name: &'static str,
    /// Whether it has a curve of that order.
    has: fn(u32) -> bool,
    /// The position of a cell of the curve of an order.
    position: fn(u32, (u32, u32)) -> u64,
    /// The cell at a position of the curve of an order.
    point: fn(u32, u64) -> (u32, u32),
}

const OTHERS: [Other; 3] = [
    Other {
        name: "fast_hilbert",
        has: |order| order > 0,
        position: |order, (x, y)| fast_hilbert::xy2h(x, y, order as u8),
        point: |order, position| fast_hilbert::h2xy(position, order as u8),
    },
    Other {
        name: "hilbert_2d",
        has: |order| order > 0 && 2 * order < usize::BITS,
        position: |order, (x, y)| {
            hilbert_2d::xy2h_discrete(x as usize, y as usize, order as usize, hilbert_2d::Variant::Hilbert) as u64
        },
        point: |order, position| {
            let (x, y) = hilbert_2d::h2xy_discrete(position as usize, order as usize, hilbert_2d::Variant::Hilbert);
            (x as u32, y as u32)
        },
    },
    Other {
        name: "lindel",
        has: |order| [8, 16, 32].contains(&order),
        position: |order, (x, y)| match order {
            8 => lindel::hilbert_encode([x as u8, y as u8]).into(),
            16 => lindel::hilbert_encode([x as u16, y as u16]).into(),
            _ => lindel::hilbert_encode([x, y]),
        },
        point: |order, position| match order {
            8 => lindel::hilbert_decode::<u8, 2>(position as u16).map(u32::from).into(),
            16 => lindel::hilbert_decode::<u16, 2>(position as u32).map(u32::from).into(),
            _ => lindel::hilbert_decode::<u32, 2>(position).into(),
        },
    },
];

#[test]
fn small_grids_are_those_of_other_crates() {
    for order in 1..=8 {
        let curve = Curve::new(order).unwrap();
        for Other { name, position, point, .. } in OTHERS.iter().filter(|other| (other.has)(order)) {
            for at in 0..curve.side() * curve.side() {
                let cell = curve.point(at);
                assert_eq!((position(order, cell), point(order, at)), (at, cell), "order {order}: {name}");
            }
        }
    }
}

proptest! {
    #[test]
    fn large_grids_are_those_of_other_crates(order in 9..=32u32, x: u32, y: u32, at: u64) {
        let curve = Curve::new(order).unwrap();
        let mask = (curve.side() - 1) as u32;
        let cell = (x & mask, y & mask);
        let at = at & (u64::MAX >> (u64::BITS - 2 * order));
        for Other { name, position, point, .. } in OTHERS.iter().filter(|other| (other.has)(order)) {
            prop_assert_eq!(position(order, cell), curve.position(cell.0, cell.1), "{}", name);
            prop_assert_eq!(point(order, at), curve.point(at), "{}", name);
        }
    }
}
