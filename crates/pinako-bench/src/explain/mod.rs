//! How a region of an image is read, and what other ways of reading it would cost: what a database's EXPLAIN ANALYZE is
//! for a query.
//!
//! [`explain`] sets the plans of all strategies side by side, with what they take by the costs and, where that is asked
//! for, by the clock; [`picture`] draws them over the image.

mod picture;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pinako::plan::{self, Budget, Cost, Plan, Planner, Strategy};
use pinako::{Descriptor, Encoding, Error, ErrorKind, Id, Image, Region, Result, Store};
use serde::Serialize;

use crate::costs::Costs;
use crate::summary::Summary;

pub use picture::picture;

/// The largest exponent that a region is grown by where nobody says which: the reads are then few in any case.
const USUAL_GROWTH: u32 = 8;
/// Each way of reading is timed at least so often, and no more often than [`MOST_ROUNDS`] ...
const FEWEST_ROUNDS: usize = 3;
const MOST_ROUNDS: usize = 25;
/// ... or until so many seconds are over. Ways that are predicted to take longer than that are not read by, and those that
/// do are read by once.
pub const MEASURING_SECONDS: f64 = 2.0;
/// After so many seconds, each was timed often enough, however seldom that was: a server may be slower than predicted.
const MOST_SECONDS: f64 = 10.0;

/// What is explained.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The strategies to compare; where there is none, all that make a difference.
    pub strategies: Vec<Strategy>,
    /// What the optimal plan may not exceed.
    pub budget: Budget,
    /// Whether the region is read by each of them that does not take longer than [`MEASURING_SECONDS`], and timed.
    pub measure: bool,
}

/// How a region of an image is read.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The image.
    pub id: Id,
    /// How its pixels are stored.
    pub encoding: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Bytes of a pixel.
    pub pixel_size: u64,
    /// X, y, width and height.
    pub region: [u32; 4],
    /// Bytes of the region's pixels.
    pub region_bytes: u64,
    /// What the predictions go by.
    pub costs: Costs,
    /// [n*](Cost::n_star) at these costs; none where the image is not raw.
    pub n_star: Option<u32>,
    /// The ways to read it: one where the image is not raw.
    pub ways: Vec<Way>,
    /// All that any plan could be, from the fewest bytes to a single read; empty where the image is not raw.
    pub frontier: Vec<Point>,
}

impl Explanation {
    /// At most so many points of the frontier and the optimal one, spread over it so that each has about as many times
    /// fewer reads than the one before.
    pub fn frontier_in_brief(&self, points: usize) -> Vec<Point> {
        let most = self.frontier.first().map_or(1, |point| point.reads) as f64;
        let steps = points.saturating_sub(1).max(1);
        let mut reads: Vec<usize> =
            (0..=steps).map(|step| most.powf(1.0 - step as f64 / steps as f64).round() as usize).collect();
        reads.extend(self.frontier.iter().filter(|point| point.is_optimal).map(|point| point.reads));
        self.frontier.iter().filter(|point| reads.contains(&point.reads)).copied().collect()
    }
}

/// The plan that has the fewest bytes of all with so many reads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// How many reads.
    pub reads: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that are read and thrown away.
    pub extra_bytes: u64,
    /// What the reads take by the costs.
    pub predicted_seconds: f64,
    /// Whether it is the optimal plan, within the budget.
    pub is_optimal: bool,
}

/// One way to read a region.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// `exact`, `grow:2`, `paper`, `optimal`; `whole` where the image is not raw.
    pub strategy: String,
    /// What the region was grown to: x, y, width and height; none where the image is not raw.
    pub grown: Option<[u32; 4]>,
    /// Runs of the grown region.
    pub runs: usize,
    /// Byte ranges that are asked of the store.
    pub reads: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that are read and thrown away; none where the image is not raw, and its bytes are no pixels.
    pub extra_bytes: Option<u64>,
    /// What the reads take by the costs: decoding is not in it.
    pub predicted_seconds: f64,
    /// What planning, reading and putting the pixels in order took, over and over; none where that was not asked for, or
    /// is predicted to take too long.
    pub measured_seconds: Option<Summary>,
}

/// Told before each reading how many there were; breaks it off by saying so.
pub type Watch<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Explains how `region` of an image is read. Strategies and budgets count for nothing where the image is not raw.
///
/// Measured times are those of a warm cache: each way was gone once before.
///
/// # Errors
/// `InvalidInput` where the region is not inside the image, or no plan keeps to the budget; `Corrupt` where two ways of
/// reading give different pixels; `Interrupted` where the watch breaks off; where `measure` says to read, as
/// [`Store::region`].
pub fn explain(store: &Store, id: Id, region: Region, options: &Options, watch: &mut Watch<'_>) -> Result<Explanation> {
    let descriptor = store.descriptor(id)?;
    let at_id = |error: Error| error.at_id(id).at_store(store.url());
    region.check_inside(descriptor.shape).map_err(at_id)?;
    if options.budget != Budget::default()
        && !options.strategies.is_empty()
        && !options.strategies.contains(&Strategy::Optimal)
    {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "a budget is for the optimal strategy, which is not asked for",
        ));
    }
    let cost = store.cost()?;
    let planner = match descriptor.encoding {
        Encoding::Raw(_) => Some(Planner { cost, ..store.planner(&descriptor)? }),
        _ => None,
    };
    let plans = planner.map_or(Ok(Vec::new()), |planner| plans(&planner, region, options)).map_err(at_id)?;
    let mut ways: Vec<Way> = match planner {
        Some(planner) => plans.iter().map(|(strategy, plan)| way(*strategy, plan, &planner)).collect(),
        None => vec![whole(&descriptor, &cost)],
    };
    if options.measure {
        let same = |(_, one): &(_, Plan), (_, other): &(_, Plan)| one.grown == other.grown && one.reads == other.reads;
        // The first way that reads the same, which may be that at the place itself: it is timed for all.
        let firsts: Vec<usize> = (0..ways.len())
            .map(|place| plans[..place].iter().position(|other| same(other, &plans[place])).unwrap_or(place))
            .collect();
        let timed: Vec<usize> = (0..ways.len()).filter(|&place| firsts[place] == place).collect();
        measure(&mut ways, &timed, watch, &|place| match plans.get(place) {
            Some(&(strategy, _)) => store.region_by(id, region, strategy, budget(strategy, options)),
            None => store.region(id, region),
        })
        .map_err(at_id)?;
        for (place, first) in firsts.into_iter().enumerate() {
            ways[place].measured_seconds = ways[first].measured_seconds;
        }
    }
    let pixel_size = descriptor.shape.pixel_size(descriptor.sample_type);
    let region_bytes = u64::from(region.width()) * u64::from(region.height()) * pixel_size;
    let frontier = planner.map_or(Vec::new(), |planner| frontier(&planner, region, region_bytes, options));
    Ok(Explanation {
        id,
        encoding: descriptor.encoding.to_string(),
        width: descriptor.shape.width(),
        height: descriptor.shape.height(),
        pixel_size,
        region: corners(region),
        region_bytes,
        costs: Costs::of(store)?,
        n_star: planner.map(|_| cost.n_star(pixel_size)),
        ways,
        frontier,
    })
}

fn way(strategy: Strategy, plan: &Plan, planner: &Planner) -> Way {
    Way {
        strategy: strategy.to_string(),
        grown: Some(corners(plan.grown)),
        runs: planner.arrangement.runs(plan.grown).len(),
        reads: plan.reads.len(),
        bytes: plan.bytes(),
        extra_bytes: Some(plan.extra_bytes()),
        predicted_seconds: plan.seconds(&planner.cost),
        measured_seconds: None,
    }
}

fn frontier(planner: &Planner, region: Region, region_bytes: u64, options: &Options) -> Vec<Point> {
    let frontier = planner.frontier(region);
    let optimal = frontier.fastest(&planner.cost, options.budget);
    let point = |point: plan::Point| Point {
        reads: point.reads,
        bytes: point.bytes,
        extra_bytes: point.bytes.saturating_sub(region_bytes),
        predicted_seconds: planner.cost.seconds(point.reads, point.bytes),
        is_optimal: optimal == Some(point),
    };
    frontier.points().map(point).collect()
}

/// The plans of the strategies asked for, or of all: growing goes on until a single read is left.
fn plans(planner: &Planner, region: Region, options: &Options) -> Result<Vec<(Strategy, Plan)>> {
    let plan = |strategy| Ok((strategy, planner.plan(region, strategy, budget(strategy, options))?));
    if !options.strategies.is_empty() {
        return options.strategies.iter().copied().map(plan).collect();
    }
    let mut plans = vec![plan(Strategy::Exact)?];
    for n in 1..=USUAL_GROWTH {
        let grown = plan(Strategy::Grow(n))?;
        let is_last = grown.1.reads.len() == 1;
        plans.push(grown);
        if is_last {
            break;
        }
    }
    plans.extend([plan(Strategy::Paper)?, plan(Strategy::Optimal)?]);
    Ok(plans)
}

fn budget(strategy: Strategy, options: &Options) -> Budget {
    if strategy == Strategy::Optimal { options.budget } else { Budget::default() }
}

/// The only way to read an image that has to be decoded: all of its file.
fn whole(descriptor: &Descriptor, cost: &Cost) -> Way {
    let bytes = match descriptor.encoding {
        Encoding::Linked(link) => link.length,
        _ => descriptor.payload_length,
    };
    Way {
        strategy: "whole".to_owned(),
        grown: None,
        runs: 1,
        reads: 1,
        bytes,
        extra_bytes: None,
        predicted_seconds: cost.seconds(1, bytes),
        measured_seconds: None,
    }
}

/// Has the region read by those of `ways` at the places `timed`, which take turns, and notes in them how long that took.
fn measure(
    ways: &mut [Way],
    timed: &[usize],
    watch: &mut Watch<'_>,
    read: &dyn Fn(usize) -> Result<Image>,
) -> Result<()> {
    let mut readings = 0;
    let mut reading = |place: usize| -> Result<(Image, f64)> {
        if watch(readings).is_break() {
            return Err(Error::new(ErrorKind::Interrupted, "stopped before all was measured"));
        }
        readings += 1;
        let began = Instant::now();
        let image = read(place)?;
        Ok((image, began.elapsed().as_secs_f64()))
    };
    let mut seconds: Vec<(usize, Vec<f64>)> = timed
        .iter()
        .copied()
        .filter(|&place| ways[place].predicted_seconds <= MEASURING_SECONDS)
        .map(|place| (place, Vec::new()))
        .collect();
    let mut first: Option<(usize, Image)> = None;
    let began = Instant::now();
    let mut slow = Vec::new();
    for (place, seconds) in &mut seconds {
        let place = *place;
        let (image, took) = reading(place)?;
        if took > MEASURING_SECONDS {
            seconds.push(took);
            slow.push(place);
        }
        match &first {
            None => first = Some((place, image)),
            Some((other, expected)) if image != *expected => {
                let (one, other) = (&ways[*other].strategy, &ways[place].strategy);
                return Err(Error::new(ErrorKind::Corrupt, format!("{one} and {other} give different pixels")));
            }
            Some(_) => {}
        }
    }
    let over = |began: Instant, seconds: f64| began.elapsed() > Duration::from_secs_f64(seconds);
    let rounds_began = Instant::now();
    for round in 0..MOST_ROUNDS {
        if round >= FEWEST_ROUNDS && over(rounds_began, MEASURING_SECONDS) || round > 0 && over(began, MOST_SECONDS) {
            break;
        }
        for (place, seconds) in seconds.iter_mut().filter(|(place, _)| !slow.contains(place)) {
            seconds.push(reading(*place)?.1);
        }
    }
    for (place, seconds) in seconds {
        ways[place].measured_seconds = Summary::of(&seconds);
    }
    Ok(())
}

fn corners(region: Region) -> [u32; 4] {
    [region.x(), region.y(), region.width(), region.height()]
}
