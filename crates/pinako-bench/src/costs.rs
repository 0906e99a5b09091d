//! What reading a store costs, as people and JSON get to see it.

use chrono::{DateTime, SecondsFormat};
use pinako::plan::Cost;
use pinako::store::CostSource;
use pinako::{Result, Store};
use serde::Serialize;

use crate::figures;

/// What reading a store costs, and who says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Costs {
    /// t1, t2, P and the device's block.
    #[serde(flatten)]
    pub cost: Cost,
    /// Where they come from.
    pub source: Source,
    /// When they were measured, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<String>,
    /// Why a calibration that is kept with the store does not count, where there is such a one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// Where costs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What is usual for this kind of store.
    FirstGuess,
    /// Another device is played.
    Device,
    /// Measured by [`calibrate`](crate::calibrate).
    Calibrated,
    /// They follow from the regions that were read since the store was opened.
    Refined,
}

impl Costs {
    /// Those that regions of `store` are planned by.
    ///
    /// # Errors
    /// As [`Store::cost`].
    pub fn of(store: &Store) -> Result<Self> {
        let (source, calibrated, ignored) = match store.cost_source() {
            CostSource::Given => (Source::Device, None, None),
            CostSource::Calibrated(kept) => (Source::Calibrated, Some(date(kept.unix_seconds)), None),
            CostSource::Refined { .. } => (Source::Refined, None, None),
            CostSource::FirstGuess { ignored } => (Source::FirstGuess, None, ignored),
            _ => (Source::FirstGuess, None, None),
        };
        Ok(Costs { cost: store.cost()?, source, calibrated, ignored })
    }

    /// On one line: `60.0 µs a read, 1.00 ms a MB, 8 in flight, in blocks of 4,096 bytes: a first guess ...`
    pub fn text(&self) -> String {
        let block = match self.cost.block() {
            1 => String::new(),
            block => format!(", in blocks of {} bytes", figures::count(block)),
        };
        let from = match (self.source, &self.calibrated, &self.ignored) {
            (Source::Device, ..) => "as --device says".to_owned(),
            (Source::Calibrated, Some(date), _) => format!("calibrated {date}"),
            (Source::Refined, ..) => "by the regions read so far".to_owned(),
            (_, _, Some(why)) => format!("a first guess for this kind of store ({why}: pinako calibrate mends it)"),
            _ => "a first guess for this kind of store".to_owned(),
        };
        format!(
            "{} a read, {} a MB, {} in flight{block}: {from}",
            figures::seconds(self.cost.read_seconds()),
            figures::seconds(self.cost.byte_seconds() * 1e6),
            self.cost.parallel_reads()
        )
    }
}

/// A moment in UTC, as `2026-11-22T06:20:11Z`; one that no calendar has as the number it is.
fn date(unix_seconds: u64) -> String {
    let moment = i64::try_from(unix_seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(|| unix_seconds.to_string(), |moment| moment.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_text_whatever_it_is() {
        assert_eq!(date(1_795_000_000), "2026-11-18T11:06:40Z");
        assert_eq!(date(u64::MAX), u64::MAX.to_string());
    }
}
