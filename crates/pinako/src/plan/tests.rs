//! Laws of plans, on small images and random ones.

use proptest::prelude::Just;
use proptest::strategy::Strategy as Generator;
use proptest::{prop_assert, prop_assert_eq, prop_compose, prop_oneof, proptest};

use super::*;
use crate::descriptor::{BlockSide, Layout};
use crate::error::ErrorKind;
use crate::image::{SampleType, Shape};

fn planner(layout: Layout, width: u32, height: u32, channels: u16, cost: Cost) -> Planner {
    let shape = Shape::new(height, width, channels).unwrap();
    Planner { arrangement: Arrangement::new(layout, shape, SampleType::U8).unwrap(), cost }
}

fn layouts() -> impl Generator<Value = Layout> {
    prop_oneof![Just(Layout::Row), (0..=8u32).prop_map(|log| Layout::Hilbert(BlockSide::new(1 << log).unwrap())),]
}

prop_compose! {
    fn costs()(t1 in 1e-7..1e-1f64, t2 in 1e-10..1e-5f64, parallel in 1..20u32, block in prop_oneof![Just(1u32), Just(512), Just(4096)]) -> Cost {
        Cost::new(t1, t2, parallel, block).unwrap()
    }
}

prop_compose! {
    fn planners()(layout in layouts(), width in 1..300u32, height in 1..300u32, channels in 1..5u16, cost in costs())
        (x in 0..width, y in 0..height, w in 1..=width, h in 1..=height, layout in Just(layout), width in Just(width),
         height in Just(height), channels in Just(channels), cost in Just(cost)) -> (Planner, Region) {
        let region = Region::new(x, y, w.min(width - x), h.min(height - y)).unwrap();
        (planner(layout, width, height, channels, cost), region)
    }
}

proptest! {
    #[test]
    fn the_optimal_plan_is_never_dearer_than_another((planner, region) in planners()) {
        let optimal = planner.plan(region, Strategy::Optimal, Budget::default()).unwrap();
        let others = (0..=9).map(Strategy::Grow).chain([Strategy::Exact, Strategy::Paper]);
        for other in others {
            let other = planner.plan(region, other, Budget::default()).unwrap();
            prop_assert!(optimal.seconds(&planner.cost) <= other.seconds(&planner.cost) * (1.0 + 1e-12), "{}", other.strategy);
        }
        for point in planner.frontier(region).points() {
            prop_assert!(optimal.seconds(&planner.cost) <= planner.cost.seconds(point.reads, point.bytes));
        }
    }

    #[test]
    fn runs_that_are_to_be_rounded_give_the_blocks_of_the_exact_ones((planner, region) in planners()) {
        let runs = planner.arrangement.runs(region);
        let span = runs[0].start..runs[runs.len() - 1].end;
        prop_assert_eq!(planner.blocks(region), planner.whole_blocks(runs));

        let together = planner.optimal(&[region]).unwrap();
        prop_assert_eq!(together.reads, planner.plan(region, Strategy::Optimal, Budget::default()).unwrap().reads);
        prop_assert!(together.spans[0].start <= span.start && span.end <= together.spans[0].end);
    }

    #[test]
    fn every_plan_covers_the_region((planner, region) in planners(), n in 0..10u32) {
        let runs = planner.arrangement.runs(region);
        let bytes = u64::from(region.width()) * u64::from(region.height()) * planner.arrangement.pixel_size();
        for strategy in [Strategy::Exact, Strategy::Grow(n), Strategy::Paper, Strategy::Optimal] {
            let plan = planner.plan(region, strategy, Budget::default()).unwrap();
            prop_assert!(runs.iter().all(|run| plan.reads.iter().any(|read| read.start <= run.start && run.end <= read.end)));
            prop_assert!(plan.reads.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(plan.reads.last().unwrap().end <= planner.arrangement.payload_bytes());
            prop_assert_eq!(plan.region_bytes, bytes);
            prop_assert_eq!(plan.bytes() - plan.extra_bytes(), bytes);
        }
    }

    #[test]
    fn the_frontier_falls_and_each_of_its_points_is_a_plan((planner, region) in planners()) {
        let (runs, frontier) = (planner.blocks(region), planner.frontier(region));
        let points: Vec<Point> = frontier.points().collect();
        prop_assert_eq!(points.len(), runs.len());
        prop_assert!(points.windows(2).all(|pair| pair[1].reads < pair[0].reads && pair[1].bytes > pair[0].bytes));
        for point in points.iter().step_by(1 + points.len() / 20) {
            let reads = frontier::join(&runs, &frontier, point.reads);
            prop_assert_eq!(reads.len(), point.reads);
            prop_assert_eq!(reads.iter().map(|read| read.end - read.start).sum::<u64>(), point.bytes);
        }
    }

    #[test]
    fn no_fewer_reads_are_nearly_as_fast_as_the_few_that_are((planner, region) in planners()) {
        let runs = planner.blocks(region);
        let reads = few_fast_reads(&runs, &planner.cost);
        prop_assert!(runs.iter().all(|run| reads.iter().any(|read| read.start <= run.start && run.end <= read.end)));
        let seconds = |point: &Point| planner.cost.seconds(point.reads, point.bytes);
        let (frontier, bytes) = (planner.frontier(region), reads.iter().map(|read| read.end - read.start).sum());
        let least = frontier.points().map(|point| seconds(&point)).fold(f64::INFINITY, f64::min);
        let few = Point { reads: reads.len(), bytes };
        prop_assert!(seconds(&few) <= 1.05 * least);
        prop_assert!(frontier.points().filter(|point| point.reads < reads.len()).all(|point| seconds(&point) > 1.05 * least));
    }

    #[test]
    fn budgets_are_kept_or_refused((planner, region) in planners(), reads in 1..100usize, extra in 0..100_000u64) {
        for (max_reads, max_extra_bytes) in [(Some(reads), None), (None, Some(extra)), (Some(reads), Some(extra))] {
            match planner.plan(region, Strategy::Optimal, Budget { max_reads, max_extra_bytes }) {
                Ok(plan) => {
                    prop_assert!(max_reads.is_none_or(|most| plan.reads.len() <= most));
                    prop_assert!(max_extra_bytes.is_none_or(|most| plan.extra_bytes() <= most));
                }
                Err(error) => {
                    prop_assert!(max_extra_bytes.is_some() && error.hint().is_some());
                    let wanted = u64::from(region.width()) * u64::from(region.height()) * planner.arrangement.pixel_size();
                    let exceeds = |point: Point| {
                        max_reads.is_some_and(|most| point.reads > most) || point.bytes - wanted > extra
                    };
                    prop_assert!(planner.frontier(region).points().all(exceeds));
                }
            }
        }
    }
}

/// Of all ways to read over some gaps and not over others, none takes less time.
#[test]
fn no_choice_of_gaps_is_faster() {
    for (seed, parallel) in (0..200u64).flat_map(|seed| [1, 2, 3, 8].map(|parallel| (seed, parallel))) {
        let mut end = 0;
        let runs: Vec<Range<u64>> = (0..10)
            .map(|place| {
                let start = end + 1 + (seed * 7919 + place * 104_729) % 97;
                end = start + 1 + (seed + place * 31) % 13;
                start..end
            })
            .collect();
        let cost = Cost::new(1.0, 1.0 / (5.0 + seed as f64), parallel, 1).unwrap();
        let planner = planner(Layout::Row, 10_000, 1, 1, cost);
        let reads = planner.fastest(&runs, 0, Budget::default()).unwrap();
        let seconds = |reads: usize, bytes: u64| cost.seconds(reads, bytes);
        let found = seconds(reads.len(), reads.iter().map(|read| read.end - read.start).sum());
        let wanted: u64 = runs.iter().map(|run| run.end - run.start).sum();
        for closed in 0..1u32 << (runs.len() - 1) {
            let gaps = runs.windows(2).enumerate().filter(|(place, _)| closed >> place & 1 == 1);
            let extra: u64 = gaps.map(|(_, pair)| pair[1].start - pair[0].end).sum();
            assert!(found <= seconds(runs.len() - closed.count_ones() as usize, wanted + extra) + 1e-12);
        }
    }
}

/// Reads and bytes are those of real plans at random places. The time that growing can change is what is compared: that of
/// the region's own bytes comes on top of it in any case. n* takes the least, or no more than 2 % above it: where two n are
/// as good by the formula, the finite image and the region's corners decide.
#[test]
fn growing_by_n_star_takes_the_least_time_at_the_mean() {
    const PLACES: u64 = 60;
    const GROWTHS: u32 = 8;
    const SIDE: u32 = 1 << 14;
    let mut state = 1u64;
    let mut below = |end: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % u64::from(end)) as u32
    };
    let any = Cost::new(1.0, 1.0, 1, 1).unwrap();
    let planner = planner(Layout::Hilbert(BlockSide::new(1).unwrap()), SIDE, SIDE, 1, any);
    let (width, height) = (1900, 1300);
    let regions: Vec<Region> =
        (0..PLACES).map(|_| Region::new(below(SIDE - width), below(SIDE - height), width, height).unwrap()).collect();
    let plans: Vec<Vec<Plan>> = (0..GROWTHS)
        .map(|n| {
            let plan = |&region: &Region| planner.plan(region, Strategy::Grow(n), Budget::default()).unwrap();
            regions.iter().map(plan).collect()
        })
        .collect();
    for parallel in [1, 2, 8] {
        for ratio in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 64.0, 130.0, 256.0, 500.0, 1000.0, 3000.0] {
            for pixel in [1, 12] {
                let cost = Cost::new(ratio * f64::from(parallel * pixel) * 1e-9, 1e-9, parallel, 1).unwrap();
                let seconds = |plans: &Vec<Plan>| -> f64 {
                    plans.iter().map(|plan| cost.seconds(plan.reads.len(), plan.extra_bytes() * u64::from(pixel))).sum()
                };
                let seconds: Vec<f64> = plans.iter().map(seconds).collect();
                let (n_star, least) =
                    (cost.n_star(pixel.into()), seconds.iter().copied().fold(f64::INFINITY, f64::min));
                assert!(seconds[n_star as usize] <= least * 1.02, "{cost:?}: n* is {n_star} of {seconds:?}");
            }
        }
    }
}

/// One ratio of t1 to t2, from 512 to 768 bytes, explains the n* of all three tables: 3 or 4 for pixels of 4 bytes, 3 for
/// 8, 2 or 3 for 12.
#[test]
fn one_disk_explains_all_that_the_paper_measured() {
    for bytes in [512.0, 600.0, 767.0] {
        let cost = Cost::new(bytes * 1e-7, 1e-7, 1, 1).unwrap();
        assert_eq!([4, 8, 12].map(|pixel| cost.n_star(pixel)), [3, 3, 2], "{bytes}");
    }
    assert_eq!(Cost::new(768e-7, 1e-7, 1, 1).unwrap().n_star(12), 3);
}

#[test]
fn regions_that_are_not_inside_and_growth_beyond_the_largest_are_refused() {
    let planner = planner(Layout::Row, 30, 20, 1, Cost::new(1e-4, 1e-9, 1, 1).unwrap());
    let plan = |x, strategy| planner.plan(Region::new(x, 0, 1, 1).unwrap(), strategy, Budget::default());
    for (x, strategy, text) in [
        (30, Strategy::Exact, "not inside"),
        (30, Strategy::Optimal, "not inside"),
        (29, Strategy::Grow(MAX_GROWTH + 1), "2^16 pixels at most, not 2^17"),
        (29, Strategy::Grow(u32::MAX), "at most"),
    ] {
        let error = plan(x, strategy).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(text), "{error}");
    }
    assert!(plan(29, Strategy::Grow(MAX_GROWTH)).is_ok());
}

#[test]
fn costs_that_cannot_be_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 3601.0, 1e-300] {
        assert!(Cost::new(bad, 1e-9, 1, 1).is_err() && Cost::new(1e-3, bad, 1, 1).is_err(), "{bad}");
    }
    assert!(Cost::new(1e-3, 1e-9, 0, 1).is_err() && Cost::new(1e-3, 1e-9, 1, 0).is_err());
}

#[test]
fn strategies_have_a_text_form() {
    for strategy in [Strategy::Exact, Strategy::Grow(0), Strategy::Grow(MAX_GROWTH), Strategy::Paper, Strategy::Optimal]
    {
        assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
    }
    for bad in ["", "grow", "grow:", "grow:17", "grow:-1", "best"] {
        assert!(bad.parse::<Strategy>().is_err(), "{bad:?}");
    }
}
