//! What reading a store costs, as far as it is known: a guess, a calibration, or what its own reads have shown.
//!
//! A store that is open learns from the regions it reads. Each read of a batch that was planned is timed as a whole, by two
//! looks at the clock; when [`BATCH`] have come, t1 and t2 follow from them, beginning at what was known before any was read
//! (see `plan/fit.rs` for how), and they are forgotten. So memory is bounded, costs follow what the page cache has come to
//! hold, and most reads pay for nothing but the clock. What it takes to put pixels in order is part of it. P stays: reads
//! that came as they came do not show it.
//!
//! Not learned from are reads by strategies that were asked for, which are experiments, and devices that are played.

use std::path::PathBuf;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::Store;
use crate::backend::IoHints;
use crate::backends::CostFile;
use crate::backends::cost_file::Calibration;
use crate::error::{Error, Result};
use crate::plan::{Cost, Timed};

/// Readings that costs follow from.
const BATCH: usize = 128;

/// Where the costs come from that regions are planned by.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CostSource {
    /// What is usual for this kind of store.
    FirstGuess {
        /// Why a calibration that is kept with the store does not count, where there is such a one.
        ignored: Option<String>,
    },
    /// They were given: see [`OpenOptions::device`](super::OpenOptions::device).
    Given,
    /// Measured, and kept with the store.
    Calibrated(Calibration),
    /// They follow from the regions that this handle has read.
    Refined {
        /// How many reads of regions were timed.
        readings: u64,
    },
}

/// What a store knows of its costs.
#[derive(Debug)]
pub(super) struct Costs {
    is_given: bool,
    file: Option<CostFile>,
    /// What is in the file, which is looked at when costs are first asked for: most stores have no large image.
    kept: OnceLock<Kept>,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Kept {
    calibration: Option<Calibration>,
    /// Why it does not count.
    ignored: Option<String>,
}

#[derive(Debug, Default)]
struct Learned {
    /// Those since the last time that costs were found.
    readings: Vec<Timed>,
    /// How many those are that costs were found from.
    used: u64,
    cost: Option<Cost>,
}

impl Costs {
    /// `is_given`: the backend's own are those to plan by, whatever reads show.
    pub(super) fn new(is_given: bool, file: Option<CostFile>) -> Self {
        Costs { is_given, file, kept: OnceLock::new(), learned: Mutex::default() }
    }

    /// The costs to begin with.
    fn first(&self, hints: IoHints) -> Result<Cost> {
        match self.kept().calibration.filter(|_| !self.is_given) {
            Some(kept) => kept.cost(hints.block),
            None => Cost::try_from(hints),
        }
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(|| {
            let read = self.file.as_ref().map_or(Ok(None), |file| {
                let Some(kept) = file.read()? else { return Ok(None) };
                kept.cost(1).map_err(|error| error.context(file.path().display()))?;
                Ok(Some(kept))
            });
            read.map_or_else(
                |error: Error| Kept { calibration: None, ignored: Some(error.to_string()) },
                |calibration| Kept { calibration, ignored: None },
            )
        })
    }

    fn now(&self, hints: IoHints) -> Result<Cost> {
        let learned = self.learned.lock().cost;
        learned.map_or_else(|| self.first(hints), Ok)
    }

    fn learn(&self, reading: Timed, hints: IoHints) {
        if self.is_given || reading.reads == 0 {
            return;
        }
        // Where another thread is about to learn, one reading more or less does not matter.
        let Some(mut learned) = self.learned.try_lock() else { return };
        learned.readings.push(reading);
        if learned.readings.len() < BATCH {
            return;
        }
        if let Ok(first) = self.first(hints) {
            learned.cost = Some(first.refined(&learned.readings));
            learned.used += learned.readings.len() as u64;
        }
        learned.readings.clear();
    }
}

impl Calibration {
    /// These costs, of a device with such blocks.
    ///
    /// # Errors
    /// As [`Cost::new`].
    pub fn cost(&self, block: u32) -> Result<Cost> {
        Cost::new(self.read_seconds, self.byte_seconds, self.parallel_reads, block)
    }
}

impl Store {
    /// What reading costs here, as regions are planned for.
    ///
    /// # Errors
    /// `InvalidInput` where the backend's costs are none that plans can be made for.
    pub fn cost(&self) -> Result<Cost> {
        self.costs.now(self.io_hints()).map_err(|error| self.here(error))
    }

    /// Where [`cost`](Self::cost) comes from.
    pub fn cost_source(&self) -> CostSource {
        if self.costs.is_given {
            return CostSource::Given;
        }
        let learned = self.costs.learned.lock();
        if learned.cost.is_some() {
            return CostSource::Refined { readings: learned.used };
        }
        drop(learned);
        let Kept { calibration, ignored } = self.costs.kept();
        match calibration {
            Some(kept) => CostSource::Calibrated(*kept),
            None => CostSource::FirstGuess { ignored: ignored.clone() },
        }
    }

    /// Whether [`keep_calibration`](Self::keep_calibration) may write where it has to, before it has anything to keep.
    ///
    /// # Errors
    /// As that has.
    pub fn can_keep_calibration(&self) -> Result<()> {
        self.cost_file()?.can_write().map_err(|error| self.here(error))
    }

    /// Keeps what was measured with the store, for whoever opens it from now on; returns the file it is in.
    ///
    /// # Errors
    /// `InvalidInput` where plans cannot be made for it; `Unsupported` where the store is in memory or a backend of one's
    /// own; else what the file system says.
    pub fn keep_calibration(&self, calibration: &Calibration) -> Result<PathBuf> {
        calibration.cost(1).map_err(|error| self.here(error))?;
        let file = self.cost_file()?;
        file.write(*calibration).map_err(|error| self.here(error))?;
        Ok(file.path())
    }

    fn cost_file(&self) -> Result<&CostFile> {
        let none = || self.here(Error::unsupported("there is no place beside it where costs could be kept"));
        self.costs.file.as_ref().ok_or_else(none)
    }

    /// Learns from a batch of reads that a plan had.
    pub(super) fn learn(&self, reading: Timed) {
        self.costs.learn(reading, self.io_hints());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::Memory;
    use crate::wrappers::Delayed;
    use crate::{Image, NewImage, Region, SampleType, Shape};

    const HINTS: IoHints = IoHints { read_seconds: 1e-4, byte_seconds: 1e-9, parallel_reads: 8, block: 4096 };

    const KEPT: Calibration = Calibration {
        read_seconds: 3e-5,
        byte_seconds: 2e-9,
        parallel_reads: 5,
        unix_seconds: 1_795_000_000,
        reads: 99,
        typical_error: 0.25,
    };

    /// Reads of a region on a device of 20 ms and 1e-8 s, 8 at once; the n-th.
    fn reading(n: usize) -> Timed {
        let (reads, bytes) = (1 + n % 12, 10_000 + (n % 7) as u64 * 300_000);
        Timed { reads, bytes, seconds: Cost::new(0.02, 1e-8, 8, 1).unwrap().seconds(reads, bytes) }
    }

    #[test]
    fn an_open_store_learns_what_its_device_costs_and_keeps_few_readings() {
        let costs = Costs::new(false, None);
        for n in 0..BATCH - 1 {
            costs.learn(reading(n), HINTS);
        }
        assert_eq!(costs.now(HINTS).unwrap(), Cost::try_from(HINTS).unwrap(), "too few to tell");
        for n in BATCH - 1..10 * BATCH {
            costs.learn(reading(n), HINTS);
            costs.learn(Timed { reads: 0, bytes: 0, seconds: 1.0 }, HINTS);
        }
        let cost = costs.now(HINTS).unwrap();
        assert!(
            (cost.read_seconds() / 0.02 - 1.0).abs() < 0.2 && (cost.byte_seconds() / 1e-8 - 1.0).abs() < 0.2,
            "{cost:?}"
        );
        assert_eq!((cost.parallel_reads(), cost.block()), (8, 4096));
        let learned = costs.learned.lock();
        assert!(learned.readings.capacity() <= 2 * BATCH && learned.used == 10 * BATCH as u64);
    }

    #[test]
    fn costs_that_are_given_stay() {
        let costs = Costs::new(true, None);
        (0..3 * BATCH).for_each(|n| costs.learn(reading(n), HINTS));
        assert_eq!(costs.now(HINTS).unwrap(), Cost::try_from(HINTS).unwrap());
    }

    #[test]
    fn regions_are_learned_from_and_experiments_are_not() {
        let far = IoHints { read_seconds: 1e-5, byte_seconds: 1e-12, ..HINTS };
        let store = Store::from_backend(Delayed::new(Box::new(Memory::new()), far).unwrap());
        let image = Image::from_bytes(Shape::new(64, 64, 1).unwrap(), SampleType::U8, vec![7; 4096]).unwrap();
        store.append([NewImage::pixels(&image)]).unwrap();
        let region = Region::new(3, 3, 9, 9).unwrap();
        for _ in 0..BATCH {
            store.region_by(0, region, Default::default(), Default::default()).unwrap();
        }
        assert_eq!(store.cost_source(), CostSource::FirstGuess { ignored: None });
        for _ in 0..BATCH / 2 {
            store.region(0, region).unwrap();
            store.region_into(0, region, &mut [0; 81]).unwrap();
        }
        assert_eq!(store.cost_source(), CostSource::Refined { readings: BATCH as u64 });
        assert!(store.cost().unwrap().read_seconds() >= 1e-5, "the device is waited for");
    }

    #[test]
    fn what_was_measured_is_kept_with_the_store_and_damage_to_it_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lmdb:a", "files:b", "hdf5:c", "sqlite:d"] {
            if name.starts_with("hdf5") && cfg!(not(feature = "hdf5")) {
                continue;
            }
            let (scheme, place) = name.split_once(':').unwrap();
            let url = format!("{scheme}:{}", folder.path().join(place).display());
            let store = Store::create(&url).unwrap();
            let guess = store.cost().unwrap();
            let cost = KEPT.cost(u32::try_from(guess.block()).unwrap()).unwrap();
            let file = store.keep_calibration(&KEPT).unwrap();
            drop(store);
            for store in [Store::open(&url).unwrap(), Store::options().open_read_only(&url).unwrap()] {
                assert_eq!((store.cost().unwrap(), store.cost_source()), (cost, CostSource::Calibrated(KEPT)));
            }
            let played = Store::options().device(HINTS).open(&url).unwrap();
            assert_eq!(played.cost().unwrap(), Cost::try_from(HINTS).unwrap());
            assert_eq!(played.cost_source(), CostSource::Given);

            let sound = std::fs::read_to_string(&file).unwrap();
            let cost_file = Store::open(&url).unwrap().costs.file.unwrap();
            let absurd = Calibration { read_seconds: -1.0, ..KEPT };
            assert!(Store::open(&url).unwrap().keep_calibration(&absurd).is_err());
            cost_file.write(absurd).unwrap();
            let absurd = std::fs::read_to_string(&file).unwrap();
            for (bad, text) in [(sound.replace("_reads\":5", "_reads\":6"), "checksum"), (absurd, "cost of a read")] {
                std::fs::write(&file, bad).unwrap();
                let store = Store::open(&url).unwrap();
                assert_eq!(store.cost().unwrap(), guess);
                let CostSource::FirstGuess { ignored: Some(why) } = store.cost_source() else { panic!("it counts") };
                assert!(why.contains(text) && why.contains("cost.json"), "{why}");
            }
        }
        let memory = Store::create("memory:").unwrap();
        assert!(memory.can_keep_calibration().is_err() && memory.keep_calibration(&KEPT).is_err());
    }
}
