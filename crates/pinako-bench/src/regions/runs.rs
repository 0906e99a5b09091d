//! Table 1: how many runs a query has.
//!
//! To ask for the runs of each query at each position would take hours. But the curve enters and leaves a region only
//! across its border, so a region has half as many runs as the curve has crossings there, where the curve's two ends,
//! if inside, count as crossings too (the paper's section 3). Crossings of each row and column border, summed up once
//! from the image's edge, give those of any piece of border by one difference, and any region's runs by four: all
//! positions of all sizes at all n are counted, none is estimated.

use pinako::layout::Arrangement;
use pinako::{BlockSide, Layout, Region, Result, SampleType, Shape};
use serde::Serialize;

use super::times::region_at_random;
use super::{Progress, Watch, paper};
use crate::random::Random;
use crate::{interrupted, invalid};

/// The largest n of table 1.
pub const MAX_GROWTH: u32 = 5;

/// Table 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunTable {
    /// The side of the image, in pixels.
    pub side: u32,
    /// How many positions of each query were taken, at random; `None` where all were.
    pub positions: Option<u64>,
    /// By query, in the paper's order.
    pub rows: Vec<RunRow>,
    /// How often the curve crosses borders, by the power of two that their place is a multiple of.
    pub borders: Vec<Borders>,
}

/// The queries of one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// The query's side, in pixels.
    pub query: u32,
    /// At how many positions it was counted.
    pub positions: u64,
    /// Mean runs of a row-major image.
    pub row: f64,
    /// Mean runs along the curve, for n = 0 to 5.
    pub grown: [f64; MAX_GROWTH as usize + 1],
    /// Mean crossings of the query's border, for n = 0.
    pub crossings: f64,
    /// The paper's cells: row, then n = 0 to 5.
    pub paper: [f64; MAX_GROWTH as usize + 2],
}

impl RunRow {
    /// Runs a pixel of the perimeter, for n = 0: the paper's corollary says 1/4.
    pub fn runs_per_perimeter(&self) -> f64 {
        self.grown[0] / (4.0 * f64::from(self.query))
    }
}

/// Borders inside the image, between two columns or two rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Borders {
    /// Those whose place is a multiple of this power of two; 1 means all.
    pub multiple: u32,
    /// Pixels along all of them.
    pub pixels: u64,
    /// How many of those the curve crosses at: the paper's theorem says half, where all borders are taken.
    pub crossings: u64,
}

impl Borders {
    /// The share of pixels that the curve crosses at.
    pub fn share(&self) -> f64 {
        self.crossings as f64 / self.pixels as f64
    }
}

/// The watch is told after so many positions.
const POSITIONS_A_STEP: u64 = 1 << 14;

/// Counts table 1, at all positions or at as many random ones.
pub(super) fn count(positions: Option<u64>, seed: u64, watch: &mut Watch<'_>) -> Result<RunTable> {
    let side = paper::SIDE;
    let mut queries = 0;
    let mut go_on = || {
        queries += 1;
        let is_told = queries % POSITIONS_A_STEP == 1;
        match is_told && watch(Progress { step: "counting runs", queries: queries - 1 }).is_break() {
            true => Err(interrupted()),
            false => Ok(()),
        }
    };
    let crossings = Crossings::of(side)?;
    let mut rows = Vec::new();
    for (number, (query, paper)) in paper::RUN_QUERIES.into_iter().zip(paper::RUNS).enumerate() {
        let mut tally = Tally::default();
        match positions {
            None => {
                let places = side - query + 1;
                for (x, y) in (0..places).flat_map(|y| (0..places).map(move |x| (x, y))) {
                    go_on()?;
                    tally.add(&crossings, Region::new(x, y, query, query)?);
                }
            }
            Some(positions) => {
                let mut random = Random::new(seed, number as u64);
                for _ in 0..positions {
                    go_on()?;
                    tally.add(&crossings, region_at_random(query, &mut random)?);
                }
            }
        }
        let mean = |sum: u64| sum as f64 / tally.positions as f64;
        rows.push(RunRow {
            query,
            positions: tally.positions,
            row: f64::from(query), // no query is as wide as the image
            grown: tally.runs.map(mean),
            crossings: mean(tally.crossings),
            paper,
        });
    }
    let borders = (0..=MAX_GROWTH).map(|n| crossings.of_borders(1 << n)).collect();
    Ok(RunTable { side, positions, rows, borders })
}

#[derive(Default)]
struct Tally {
    positions: u64,
    runs: [u64; MAX_GROWTH as usize + 1],
    crossings: u64,
}

impl Tally {
    fn add(&mut self, crossings: &Crossings, region: Region) {
        self.positions += 1;
        self.crossings += crossings.across(region);
        for (n, sum) in self.runs.iter_mut().enumerate() {
            *sum += crossings.runs(crossings.arrangement.grow(region, n as u32));
        }
    }
}

/// Where the curve through an image crosses which border.
struct Crossings {
    arrangement: Arrangement,
    side: u32,
    /// For the border before each column, and the one after the last: in how many of the rows before each row it is
    /// crossed.
    columns: Vec<u32>,
    /// The same for the borders before rows, by columns.
    rows: Vec<u32>,
    /// The first pixel of the curve and the last one.
    ends: [(u32, u32); 2],
}

impl Crossings {
    /// Those of an image of `side` x `side` single pixels along the curve. It has to be the curve's whole grid, a power of
    /// two: between what is left of one, the curve jumps.
    fn of(side: u32) -> Result<Self> {
        let block = BlockSide::new(1).ok_or_else(|| invalid("blocks of single pixels"))?;
        let arrangement = Arrangement::new(Layout::Hilbert(block), Shape::new(side, side, 1)?, SampleType::U32)?;
        // A payload of its own ranks, put in rows, says which rank each pixel has.
        let count = u64::from(side) * u64::from(side);
        let payload: Vec<u8> = (0..count as u32).flat_map(u32::to_ne_bytes).collect();
        let mut image = vec![0; payload.len()];
        arrangement.unpack(&payload, &mut image);
        let (ranks, _) = image.as_chunks::<4>();
        let side_long = side as usize;
        let rank = |x: usize, y: usize| u32::from_ne_bytes(ranks[y * side_long + x]);

        let stride = side_long + 1;
        let mut columns = vec![0; stride * stride];
        let mut rows = vec![0; stride * stride];
        for border in 0..=side_long {
            for place in 0..side_long {
                let inside = (1..side_long).contains(&border);
                let crossed = |a: u32, b: u32| u32::from(a.abs_diff(b) == 1);
                let of_column = if inside { crossed(rank(border - 1, place), rank(border, place)) } else { 0 };
                let of_row = if inside { crossed(rank(place, border - 1), rank(place, border)) } else { 0 };
                let at = border * stride + place;
                columns[at + 1] = columns[at] + of_column;
                rows[at + 1] = rows[at] + of_row;
            }
        }
        let pixel = |rank: u32| {
            let place = ranks.iter().position(|found| u32::from_ne_bytes(*found) == rank).unwrap_or(0);
            ((place % side_long) as u32, (place / side_long) as u32)
        };
        Ok(Crossings { arrangement, side, columns, rows, ends: [pixel(0), pixel(count as u32 - 1)] })
    }

    /// How often the curve crosses the border of `region`.
    fn across(&self, region: Region) -> u64 {
        let (left, top) = (region.x(), region.y());
        let (right, bottom) = (left + region.width(), top + region.height());
        let along = |sums: &[u32], border: u32, from: u32, to: u32| {
            let start = border as usize * (self.side as usize + 1);
            u64::from(sums[start + to as usize] - sums[start + from as usize])
        };
        along(&self.columns, left, top, bottom)
            + along(&self.columns, right, top, bottom)
            + along(&self.rows, top, left, right)
            + along(&self.rows, bottom, left, right)
    }

    /// How many runs `region` has.
    fn runs(&self, region: Region) -> u64 {
        let inside = |(x, y): (u32, u32)| {
            let column = x.checked_sub(region.x()).is_some_and(|x| x < region.width());
            column && y.checked_sub(region.y()).is_some_and(|y| y < region.height())
        };
        let ends = self.ends.into_iter().filter(|&end| inside(end)).count() as u64;
        (self.across(region) + ends) / 2
    }

    /// Those of all borders inside the image whose place is a multiple of `multiple`.
    fn of_borders(&self, multiple: u32) -> Borders {
        let stride = self.side as usize + 1;
        let borders = || (multiple..self.side).step_by(multiple as usize);
        let last = |sums: &[u32], border: u32| u64::from(sums[border as usize * stride + self.side as usize]);
        let crossings = borders().map(|border| last(&self.columns, border) + last(&self.rows, border)).sum();
        Borders { multiple, pixels: borders().count() as u64 * 2 * u64::from(self.side), crossings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_by_crossings_are_the_runs_of_the_library_at_random_places_of_the_papers_image() {
        let crossings = Crossings::of(paper::SIDE).unwrap();
        let mut random = Random::new(3, 0);
        for query in paper::RUN_QUERIES.into_iter().flat_map(|query| [query; 10]) {
            let region = region_at_random(query, &mut random).unwrap();
            for n in 0..=MAX_GROWTH {
                let grown = crossings.arrangement.grow(region, n);
                let expected = crossings.arrangement.runs(grown).len() as u64;
                assert_eq!(crossings.runs(grown), expected, "{region:?}, n = {n}");
            }
        }
    }

    #[test]
    fn runs_by_crossings_are_the_runs_of_the_library_for_every_region_of_an_image() {
        for side in [1, 2, 8, 16] {
            let crossings = Crossings::of(side).unwrap();
            for (x, y) in (0..side).flat_map(|y| (0..side).map(move |x| (x, y))) {
                for (width, height) in (1..=side - x).flat_map(|w| (1..=side - y).map(move |h| (w, h))) {
                    let region = Region::new(x, y, width, height).unwrap();
                    for n in 0..=MAX_GROWTH {
                        let grown = crossings.arrangement.grow(region, n);
                        let expected = crossings.arrangement.runs(grown).len() as u64;
                        assert_eq!(crossings.runs(grown), expected, "{region:?} of {side}, n = {n}");
                    }
                }
            }
        }
    }
}
