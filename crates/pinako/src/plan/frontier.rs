//! From runs to reads: which of the gaps between runs are read too.
//!
//! Any set of reads that covers the runs of a region is the runs with some of the gaps between them. With one read in
//! flight a gap of g bytes is worth reading exactly where g t2 < t1, each for itself. With several, K reads take as many
//! turns as K / P rounded up; the fewest bytes for a given K come from reading over the smallest gaps. So the gaps, sorted
//! once, give every sensible plan. Whatever is wanted, least time or at most so many reads or bytes, is a point on it.

use std::ops::Range;

use super::{Budget, Cost};

/// How many reads a region takes against how many bytes: for every number of reads the fewest bytes.
#[derive(Debug, Clone)]
pub struct Frontier {
    /// The lengths of the gaps between runs, ascending.
    gaps: Vec<u64>,
    /// The bytes of all runs.
    bytes: u64,
    /// Those of them that are the region's own.
    region_bytes: u64,
}

/// A point of a [`Frontier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// How many reads.
    pub reads: usize,
    /// Bytes of all reads together, the region's own among them.
    pub bytes: u64,
}

impl Frontier {
    /// That of `runs`, which ascend and do not touch; `region_bytes` of theirs are the region's own.
    pub(super) fn new(runs: &[Range<u64>], region_bytes: u64) -> Self {
        let mut gaps: Vec<u64> = runs.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
        gaps.sort_unstable();
        Frontier { gaps, bytes: runs.iter().map(|run| run.end - run.start).sum(), region_bytes }
    }

    /// All points, from a read for each run down to a single one: ever fewer reads, ever more bytes.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        let first = Point { reads: self.gaps.len() + 1, bytes: self.bytes };
        let others = self.gaps.iter().scan(first, |point, gap| {
            *point = Point { reads: point.reads - 1, bytes: point.bytes + gap };
            Some(*point)
        });
        std::iter::once(first).chain(others)
    }

    /// The points that keep to `budget`, as [`points`](Self::points).
    pub fn within(&self, budget: Budget) -> impl Iterator<Item = Point> {
        let reads = budget.max_reads.unwrap_or(usize::MAX);
        let bytes = budget.max_extra_bytes.map_or(u64::MAX, |extra| self.region_bytes.saturating_add(extra));
        self.points().filter(move |point| point.reads <= reads && point.bytes <= bytes)
    }

    /// The point that takes the least time of those that keep to `budget`; of several, the one of the fewest bytes. `None`
    /// where none does.
    pub fn fastest(&self, cost: &Cost, budget: Budget) -> Option<Point> {
        let seconds = |point: &Point| cost.seconds(point.reads, point.bytes);
        self.within(budget).min_by(|a, b| seconds(a).total_cmp(&seconds(b)))
    }
}

/// The reads of the point with `count` of them: `runs` joined over their smallest gaps.
pub(super) fn join(runs: &[Range<u64>], frontier: &Frontier, count: usize) -> Vec<Range<u64>> {
    let closed = frontier.gaps.len() + 1 - count.clamp(1, frontier.gaps.len() + 1);
    let Some(&longest) = closed.checked_sub(1).and_then(|last| frontier.gaps.get(last)) else { return runs.to_vec() };
    // Of the gaps that are as long as the longest one that is read over, there may be some that are not.
    let mut of_longest = frontier.gaps[..closed].iter().rev().take_while(|&&gap| gap == longest).count();
    let mut reads: Vec<Range<u64>> = Vec::with_capacity(count);
    for run in runs {
        if let Some(last) = reads.last_mut() {
            let gap = run.start - last.end;
            let is_closed = gap < longest || gap == longest && of_longest > 0;
            of_longest -= usize::from(is_closed && gap == longest);
            if is_closed {
                last.end = run.end;
                continue;
            }
        }
        reads.push(run.clone());
    }
    reads
}
