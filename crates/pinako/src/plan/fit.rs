//! What reading costs, found from reads that were timed.
//!
//! What is wanted are the t1 and t2 by which a plan's *mean* time is foretold: plans are chosen to take the least time in
//! the long run, so where some reads are answered from memory and some by the disk, the costs between the two are right.
//! A reading varies by its own size (a long one is off by more seconds than a short one), so each counts relative to what
//! is foretold for it. That is a generalised linear model with gamma errors and the identity as its link, fitted by
//! iteratively reweighted least squares (McCullagh and Nelder, Generalized Linear Models, 1989, chapters 2 and 8).
//!
//! Each round is a straight line. Where t1 and t2 foretell that the share s of a reading's time is its reads' and the rest
//! its bytes', and it took y times what was foretold, y = a s + b (1 - s) says by which factors a and b they are off.
//! Readings that are all of one kind, all of one s, say nothing of the two apart: then both change by the same factor, and
//! t1 / t2, which is what plans depend on, stays as it was. Where they differ little, it stays near: the line is followed
//! but a part of the way, as in ridge regression (Hoerl and Kennard, 1970), for a bounded number of rounds. It could be a
//! matter of chance, and a wrong ratio may cost dear where the next rectangle is of another kind, or not in memory.

use super::Cost;

/// A batch of reads that was timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// Reads in the batch.
    pub reads: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// What they took together.
    pub seconds: f64,
}

/// The costs that foretell readings best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// t1, t2 and P.
    pub cost: Cost,
    /// By which part of what is foretold the readings are off, in the middle: 0.1 is ten per cent.
    pub typical_error: f64,
    /// The same of the reading that is off most.
    pub largest_error: f64,
}

/// A reading that took more than so many times what was foretold counts as one that took so many times: the process may
/// have been stopped meanwhile. Costs that are off by more are found step by step.
const MOST: f64 = 32.0;

/// How far shares must vary, as a variance, before a line through them is followed half of the way in a round.
const VARIANCE: f64 = 0.03;

/// Rounds where readings were made to differ.
const ROUNDS: usize = 200;

/// Rounds where they came as they came.
const FEW_ROUNDS: usize = 16;

/// The most reads in flight at once that are looked for.
const MOST_IN_FLIGHT: u32 = 64;

impl Cost {
    /// The costs that foretell `readings` best, from these on, and how many reads are in flight at once: 1 to 64, as far as
    /// there are readings of so many. `None` where there are no readings that could be.
    ///
    /// Each reading counts the same. So of several of the same reads, give their median.
    pub fn fit(&self, readings: &[Timed]) -> Option<Fit> {
        let readings: Vec<Timed> = readings.iter().copied().filter(can_be).collect();
        let most = readings.iter().map(|reading| reading.reads).max()?.min(MOST_IN_FLIGHT as usize) as u32;
        let fits = (1..=most).map(|parallel_reads| {
            let mut cost = Cost { parallel_reads, ..*self };
            for _ in 0..ROUNDS {
                cost = cost.follow(&readings);
            }
            let mut errors: Vec<f64> = readings.iter().map(|reading| (cost.off(reading) - 1.0).abs()).collect();
            errors.sort_unstable_by(f64::total_cmp);
            let squares: f64 = errors.iter().map(|error| error * error).sum();
            let (typical_error, largest_error) = (errors[errors.len() / 2], errors[errors.len() - 1]);
            (squares, Fit { cost, typical_error, largest_error })
        });
        // Of several that are as good, the fewest in flight.
        fits.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, fit)| fit)
    }

    /// These costs, with t1 and t2 as they follow from `readings` that came as they came, but no further from these than
    /// 1000 times.
    pub(crate) fn refined(&self, readings: &[Timed]) -> Cost {
        const FAR: f64 = 1e3;
        let mut cost = *self;
        for _ in 0..FEW_ROUNDS {
            cost = cost.follow(readings);
            cost.read_seconds = cost.read_seconds.clamp(self.read_seconds / FAR, self.read_seconds * FAR);
            cost.byte_seconds = cost.byte_seconds.clamp(self.byte_seconds / FAR, self.byte_seconds * FAR);
        }
        cost
    }

    /// A round of the fit.
    fn follow(&self, readings: &[Timed]) -> Cost {
        let [mut n, mut s, mut ss, mut y, mut sy] = [0.0; 5];
        for reading in readings.iter().filter(|reading| can_be(reading)) {
            let of_reads = self.seconds(reading.reads, 0);
            let foretold = of_reads + reading.bytes as f64 * self.byte_seconds;
            let share = of_reads / foretold;
            let off = (reading.seconds / foretold).clamp(1.0 / MOST, MOST);
            n += 1.0;
            s += share;
            ss += share * share;
            y += off;
            sy += share * off;
        }
        if n == 0.0 {
            return *self;
        }
        let (s, y) = (s / n, y / n);
        let (variance, covariance) = ((ss / n - s * s).max(0.0), sy / n - s * y);
        // Through the middle of the readings, and above 0 at both ends.
        let (falls, rises) = (y * (1.0 / MOST - 1.0) / (1.0 - s).max(1e-9), y * (1.0 - 1.0 / MOST) / s.max(1e-9));
        let slope = (covariance / (variance + VARIANCE)).clamp(falls, rises);
        let within = |seconds: f64| seconds.clamp(Cost::LEAST_SECONDS, Cost::MOST_SECONDS);
        Cost {
            read_seconds: within(self.read_seconds * (y + slope * (1.0 - s))),
            byte_seconds: within(self.byte_seconds * (y - slope * s)),
            ..*self
        }
    }

    /// How many times what is foretold a reading took.
    fn off(&self, reading: &Timed) -> f64 {
        reading.seconds / self.seconds(reading.reads, reading.bytes)
    }
}

fn can_be(reading: &Timed) -> bool {
    reading.reads > 0 && reading.seconds.is_finite() && reading.seconds >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that takes what it should, but for noise and whatever `times` says of each reading.
    struct Device {
        cost: Cost,
        state: u64,
    }

    impl Device {
        fn new(t1: f64, t2: f64, parallel: u32) -> Self {
            Device { cost: Cost::new(t1, t2, parallel, 1).unwrap(), state: 7 }
        }

        /// From 0 to 1.
        fn random(&mut self) -> f64 {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.state >> 33) as f64 / (1u64 << 31) as f64
        }

        /// What regions ask for: a few reads of 1 KB to 1 MB each; they take 10 % more or less than they should.
        fn read(&mut self) -> Timed {
            let reads = 1 + (self.random() * 8.0) as usize;
            let bytes = (1e3 * 1e3f64.powf(self.random())) as u64 * reads as u64;
            let seconds = self.cost.seconds(reads, bytes) * (0.9 + 0.2 * self.random());
            Timed { reads, bytes, seconds }
        }

        fn reads(&mut self, count: usize) -> Vec<Timed> {
            (0..count).map(|_| self.read()).collect()
        }
    }

    fn is_near(found: f64, expected: f64, part: f64) -> bool {
        (found / expected - 1.0).abs() < part
    }

    #[test]
    fn the_costs_of_any_device_are_found_from_sound_readings() {
        for (t1, t2) in [(2e-2, 1e-8), (1e-4, 1e-9), (6e-5, 5e-10), (1e-6, 2e-10), (8e-3, 1e-6)] {
            for parallel in [1, 2, 3, 4, 8, 20] {
                let device = Device::new(t1, t2, parallel);
                let mut readings = Vec::new();
                for reads in [1, 2, 4, 8, 16, 32] {
                    for length in [4096, 32 << 10, 256 << 10, 1 << 20] {
                        let bytes = length * reads as u64;
                        readings.push(Timed { reads, bytes, seconds: device.cost.seconds(reads, bytes) });
                    }
                }
                let fit = Cost::new(1e-4, 1e-9, 8, 1).unwrap().fit(&readings).unwrap();
                assert!(is_near(fit.cost.read_seconds(), t1, 0.01), "{fit:?}");
                assert!(is_near(fit.cost.byte_seconds(), t2, 0.01), "{fit:?}");
                // 16 to 31 in flight take 32 reads in as many turns.
                let turns = |parallel: u32| [1, 2, 4, 8, 16, 32u32].map(|reads| reads.div_ceil(parallel));
                assert_eq!(turns(fit.cost.parallel_reads()), turns(parallel), "{fit:?}");
                assert!(fit.largest_error < 0.01, "{fit:?}");
            }
        }
    }

    #[test]
    fn refined_costs_are_those_of_the_device_wherever_they_begin() {
        for (t1, t2, parallel) in [(2e-2, 1e-8, 1), (1e-4, 1e-9, 8), (2e-6, 3e-10, 4), (1e-2, 5e-9, 2)] {
            let first = Cost::new(1e-4, 1e-9, parallel, 1).unwrap();
            let cost = first.refined(&Device::new(t1, t2, parallel).reads(128));
            assert!(is_near(cost.read_seconds(), t1, 0.2), "{t1} {t2}: {cost:?}");
            assert!(is_near(cost.byte_seconds(), t2, 0.2), "{t1} {t2}: {cost:?}");
        }
    }

    /// Where bytes take hardly any time beside reads, t2 cannot be told from t1; what readings take can.
    #[test]
    fn what_readings_take_is_foretold_where_they_tell_costs_apart_badly() {
        let first = Cost::new(1e-4, 1e-9, 2, 1).unwrap();
        let mut device = Device::new(1e-2, 1e-9, 2);
        let cost = first.refined(&device.reads(128));
        let worst = device.reads(128).iter().map(|reading| (cost.off(reading) - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 0.25, "{worst}: {cost:?}");
    }

    /// Plans by them take the least time on average, so they are the costs of neither but of both.
    #[test]
    fn costs_of_a_store_that_is_partly_in_memory_foretell_the_mean() {
        let first = Cost::new(6e-5, 1e-9, 8, 1).unwrap();
        for in_memory in [0.1, 0.5, 0.9] {
            let (mut disk, mut memory) = (Device::new(6e-5, 1e-9, 8), Device::new(1e-6, 1e-10, 8));
            let readings: Vec<Timed> =
                (0..8192).map(|_| if disk.random() < in_memory { memory.read() } else { disk.read() }).collect();
            let cost = first.refined(&readings);
            let mean = |memory: f64, disk: f64| in_memory * memory + (1.0 - in_memory) * disk;
            assert!(is_near(cost.read_seconds(), mean(1e-6, 6e-5), 0.25), "{in_memory}: {cost:?}");
            assert!(is_near(cost.byte_seconds(), mean(1e-10, 1e-9), 0.25), "{in_memory}: {cost:?}");
        }
    }

    #[test]
    fn readings_of_one_kind_keep_the_ratio_and_foretell_their_time() {
        let first = Cost::new(1e-4, 1e-9, 4, 1).unwrap();
        let reading = Timed { reads: 3, bytes: 480_000, seconds: 7e-3 };
        let cost = first.refined(&[reading; 64]);
        assert!(is_near(cost.seconds(3, 480_000), 7e-3, 1e-6), "{cost:?}");
        assert!(is_near(cost.read_seconds() / cost.byte_seconds(), 1e5, 1e-6), "{cost:?}");
    }

    /// As rectangles of one size out of a map in memory, where bytes that are read over take no time.
    #[test]
    fn readings_of_nearly_one_kind_move_the_ratio_little() {
        let first = Cost::new(6e-5, 1e-9, 8, 1).unwrap();
        let mut device = Device::new(1e-5, 1e-9, 8);
        let readings: Vec<Timed> = (0..128)
            .map(|_| Timed {
                reads: 6,
                bytes: 480_000 + (1e5 * device.random()) as u64,
                seconds: 6e-5 + 2e-5 * device.random(),
            })
            .collect();
        let cost = first.refined(&readings);
        let ratio = cost.read_seconds() / cost.byte_seconds() / 6e4;
        assert!((0.4..2.5).contains(&ratio), "{cost:?}");
        assert!(is_near(cost.seconds(6, 530_000), 7e-5, 0.1), "{cost:?}");
    }

    #[test]
    fn a_pause_moves_costs_little() {
        let first = Cost::new(1e-4, 1e-9, 8, 1).unwrap();
        let mut readings = Device::new(1e-4, 1e-9, 8).reads(128);
        let before = first.refined(&readings);
        readings[50].seconds = 100.0;
        let after = first.refined(&readings);
        assert!(before.seconds(1, 100_000) < after.seconds(1, 100_000));
        assert!(after.seconds(1, 100_000) < before.seconds(1, 100_000) * 1.5, "{before:?} {after:?}");
    }

    #[test]
    fn whatever_was_read_costs_stay_in_bounds() {
        let first = Cost::new(1e-4, 1e-9, 8, 1).unwrap();
        let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300];
        for seconds in odd {
            for (reads, bytes) in
                [(0, 0), (0, 9), (1, 0), (1, 1), (usize::MAX, u64::MAX), (1, u64::MAX), (usize::MAX, 1)]
            {
                let cost = first.refined(&[Timed { reads, bytes, seconds }; 3]);
                for (found, first) in [(cost.read_seconds(), 1e-4), (cost.byte_seconds(), 1e-9)] {
                    assert!(
                        (first * 0.999e-3..=first * 1.001e3).contains(&found),
                        "{seconds} {reads} {bytes}: {cost:?}"
                    );
                }
                if let Some(fit) = first.fit(&[Timed { reads, bytes, seconds }]) {
                    assert!(Cost::new(fit.cost.read_seconds(), fit.cost.byte_seconds(), 1, 1).is_ok());
                }
            }
        }
        assert_eq!((first.fit(&[]), first.refined(&[])), (None, first));
    }
}
