//! How a rectangle becomes reads.
//!
//! A region's pixels are runs of bytes of the payload; [`layout`](crate::layout) says which. To read each of them by
//! itself is one plan of many: a read costs t1 however short it is, so it may pay to read what is between two runs, too,
//! and throw it away. [`Cost`] is what reads cost, [found](Cost::fit) from reads that were [`Timed`]; a [`Strategy`] chooses,
//! a [`Plan`] is what was chosen, and the [`Frontier`] all that could have been. Row-major payloads are planned just so:
//! their runs are rows.

mod cost;
mod fit;
mod frontier;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

pub use cost::Cost;
pub use fit::{Fit, Timed};
pub use frontier::{Frontier, Point};

use crate::error::{Error, Result};
use crate::image::Region;
use crate::layout::Arrangement;

/// The largest exponent that a region is grown by: to multiples of 2^16 pixels.
pub const MAX_GROWTH: u32 = 16;

/// How reads are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Each run is a read: the normal range query of CS-TR-3991, its n = 0.
    Exact,
    /// The exact runs of the region grown outward to multiples of 2^n pixels: algorithm 2 of CS-TR-3991, for n = 1 its
    /// algorithm 1.
    Grow(u32),
    /// [`Grow`](Self::Grow) by the [n*](Cost::n_star) of CS-TR-3991, which follows from the costs.
    Paper,
    /// The plan that takes the least time of all that there are. By the costs it is in no case slower than the others.
    #[default]
    Optimal,
}

/// `exact`, `grow:2`, `paper`, `optimal`.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Exact => f.pad("exact"),
            Strategy::Grow(n) => f.pad(&format!("grow:{n}")),
            Strategy::Paper => f.pad("paper"),
            Strategy::Optimal => f.pad("optimal"),
        }
    }
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let grow = |n: &str| n.parse().ok().filter(|&n| n <= MAX_GROWTH).map(Strategy::Grow);
        let strategy = match text {
            "exact" => Some(Strategy::Exact),
            "paper" => Some(Strategy::Paper),
            "optimal" => Some(Strategy::Optimal),
            _ => text.strip_prefix("grow:").and_then(grow),
        };
        strategy.ok_or_else(|| {
            Error::invalid(format!("{text:?} is no strategy"))
                .with_hint(format!("give exact, grow:N with N from 0 to {MAX_GROWTH}, paper, or optimal"))
        })
    }
}

/// What an optimal plan may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// The most reads.
    pub max_reads: Option<usize>,
    /// The most bytes beside those of the region itself.
    pub max_extra_bytes: Option<u64>,
}

/// The reads that give a region.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What chose it; never [`Strategy::Paper`], but what that comes to.
    pub strategy: Strategy,
    /// The region itself, or what it was grown to.
    pub grown: Region,
    /// Ranges of bytes of the payload: ascending, none touching the next.
    pub reads: Vec<Range<u64>>,
    /// Bytes of the region's pixels.
    pub region_bytes: u64,
}

impl Plan {
    /// Bytes of all reads.
    pub fn bytes(&self) -> u64 {
        self.reads.iter().map(|read| read.end - read.start).sum()
    }

    /// Bytes that are read and thrown away.
    pub fn extra_bytes(&self) -> u64 {
        self.bytes().saturating_sub(self.region_bytes)
    }

    /// What it takes, in seconds.
    pub fn seconds(&self, cost: &Cost) -> f64 {
        cost.seconds(self.reads.len(), self.bytes())
    }
}

/// How several regions of an image are read.
#[derive(Debug)]
pub(crate) struct Together {
    /// The reads that give all of them: ascending, none touching the next.
    pub(crate) reads: Vec<Range<u64>>,
    /// For each region a range of the payload that has all its bytes.
    pub(crate) spans: Vec<Range<u64>>,
}

/// What one image's regions are planned with.
#[derive(Debug, Clone, Copy)]
pub struct Planner {
    /// Where the pixels stand.
    pub arrangement: Arrangement,
    /// What reading costs.
    pub cost: Cost,
}

impl Planner {
    /// The plan for `region`.
    ///
    /// # Errors
    /// `InvalidInput` where the region is not inside the image, no plan keeps to `budget`, one is given for another strategy
    /// than [`Strategy::Optimal`], or it is to grow by more than [`MAX_GROWTH`].
    pub fn plan(&self, region: Region, strategy: Strategy, budget: Budget) -> Result<Plan> {
        self.arrangement.check_inside(region)?;
        if let Strategy::Grow(n) = strategy
            && n > MAX_GROWTH
        {
            return Err(Error::invalid(format!(
                "regions grow to multiples of 2^{MAX_GROWTH} pixels at most, not 2^{n}"
            )));
        }
        if strategy != Strategy::Optimal && budget != Budget::default() {
            return Err(Error::invalid(format!("a budget is for optimal plans only, not for {strategy}")));
        }
        let grow = |n: u32| (Strategy::Grow(n), self.arrangement.grow(region, n));
        let (strategy, grown) = match strategy {
            Strategy::Exact | Strategy::Optimal => (strategy, region),
            Strategy::Grow(n) => grow(n),
            Strategy::Paper => grow(self.cost.n_star(self.arrangement.pixel_size())),
        };
        let region_bytes = self.region_bytes(region);
        let blocks = self.blocks(grown);
        let reads = match strategy {
            Strategy::Optimal => self.fastest(&blocks, region_bytes, budget)?,
            _ => blocks,
        };
        Ok(Plan { strategy, grown, reads, region_bytes })
    }

    /// All sensible plans for `region`, which is inside the image.
    ///
    /// # Panics
    /// Where it is not inside.
    pub fn frontier(&self, region: Region) -> Frontier {
        Frontier::new(&self.blocks(region), self.region_bytes(region))
    }

    /// The optimal reads for `regions`, all of which are inside the image, together.
    pub(crate) fn optimal(&self, regions: &[Region]) -> Result<Together> {
        let mut blocks: Vec<Range<u64>> = Vec::new();
        let mut spans = Vec::with_capacity(regions.len());
        for &region in regions {
            let of_region = self.blocks(region);
            spans.push(of_region.first().map_or(0, |block| block.start)..of_region.last().map_or(0, |block| block.end));
            blocks.extend(of_region);
        }
        if regions.len() > 1 {
            blocks = union(blocks);
        }
        let reads = self.fastest(&blocks, 0, Budget::default())?;
        Ok(Together { reads, spans })
    }

    /// Those of `blocks` and of the gaps between them that take the least time within `budget`; `region_bytes` of them are
    /// not extra.
    fn fastest(&self, blocks: &[Range<u64>], region_bytes: u64, budget: Budget) -> Result<Vec<Range<u64>>> {
        let frontier = Frontier::new(blocks, region_bytes);
        let point = frontier.fastest(&self.cost, budget).ok_or_else(|| {
            let error = Error::invalid("no plan keeps to the budget");
            match frontier.within(Budget { max_reads: None, ..budget }).last() {
                Some(point) => error.with_hint(format!("with these bytes it takes at least {} reads", point.reads)),
                None => {
                    let least = frontier.points().next().map_or(0, |point| point.bytes - region_bytes);
                    error.with_hint(format!("the device's blocks alone make {least} extra bytes"))
                }
            }
        })?;
        Ok(frontier::join(blocks, &frontier, point.reads))
    }

    fn region_bytes(&self, region: Region) -> u64 {
        u64::from(region.width()) * u64::from(region.height()) * self.arrangement.pixel_size()
    }

    /// The runs of `region` in whole blocks of the device.
    fn blocks(&self, region: Region) -> Vec<Range<u64>> {
        self.whole_blocks(self.arrangement.runs_to_round(region, self.cost.block()))
    }

    /// Rounds `runs` outward to the device's blocks, and joins those that then touch. Blocks are counted from the payload's
    /// first byte, wherever in a block of the device a backend has put that: so a read may touch one block more.
    fn whole_blocks(&self, runs: Vec<Range<u64>>) -> Vec<Range<u64>> {
        let block = self.cost.block();
        if block == 1 {
            return runs;
        }
        let end = self.arrangement.payload_bytes();
        let mut rounded: Vec<Range<u64>> = Vec::new();
        for run in runs {
            let run = run.start / block * block..run.end.next_multiple_of(block).min(end);
            match rounded.last_mut() {
                Some(last) if run.start <= last.end => last.end = run.end,
                _ => rounded.push(run),
            }
        }
        rounded
    }
}

/// The fewest reads that give `runs`, which ascend and do not touch, in nearly the least time: in at most a twentieth more,
/// for there are places where each read is paid for.
#[cfg_attr(not(feature = "cloud"), allow(dead_code))]
pub(crate) fn few_fast_reads(runs: &[Range<u64>], cost: &Cost) -> Vec<Range<u64>> {
    const NEARLY: f64 = 1.05;
    if runs.is_empty() {
        return Vec::new();
    }
    let frontier = Frontier::new(runs, 0);
    let seconds = |point: &Point| cost.seconds(point.reads, point.bytes);
    let least = frontier.points().map(|point| seconds(&point)).fold(f64::INFINITY, f64::min);
    let point = frontier.points().filter(|point| seconds(point) <= NEARLY * least).last();
    point.map_or_else(|| runs.to_vec(), |point| frontier::join(runs, &frontier, point.reads))
}

/// Runs of several regions as runs: ascending, none touching the next.
fn union(mut runs: Vec<Range<u64>>) -> Vec<Range<u64>> {
    runs.sort_unstable_by_key(|run| run.start);
    let mut union: Vec<Range<u64>> = Vec::with_capacity(runs.len());
    for run in runs {
        match union.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => union.push(run),
        }
    }
    union
}
