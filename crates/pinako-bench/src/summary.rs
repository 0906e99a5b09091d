//! Few numbers instead of many: medians, because one disturbed repetition must not move the answer, with quartiles and
//! extremes, because a median without its spread says nothing about which of two is better.

use serde::Serialize;

/// Order statistics of some samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The middle one.
    pub median: f64,
    /// A quarter of the samples lie below.
    pub q1: f64,
    /// A quarter of the samples lie above.
    pub q3: f64,
    /// The least one.
    pub min: f64,
    /// The greatest one.
    pub max: f64,
}

impl Summary {
    /// The summary of `samples`; `None` where there are none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let at = |fraction| quantile(&sorted, fraction);
        Some(Summary { median: at(0.5), q1: at(0.25), q3: at(0.75), min, max })
    }

    /// Whether the two cannot be told apart: their middle halves overlap, or their medians differ by less than 3 %.
    pub fn ties_with(&self, other: &Summary) -> bool {
        let overlap = self.q1 <= other.q3 && other.q1 <= self.q3;
        let (low, high) = (self.median.min(other.median), self.median.max(other.median));
        overlap || high <= low * 1.03
    }
}

/// The `fraction` quantile of ascending `sorted`, interpolated linearly between neighbours (Hyndman and Fan's type 7,
/// numpy's default); NaN where there is nothing.
pub fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = fraction.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0, .25, .5, .75, .95, 1])
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        let found = [0.0, 0.25, 0.5, 0.75, 0.95, 1.0].map(|fraction| quantile(&sorted, fraction));
        assert_eq!(found, [1.0, 2.0, 4.0, 8.0, 14.399999999999999, 16.0]);
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_summary_does_not_need_sorted_samples() {
        let summary = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(summary, Summary { median: 2.0, q1: 1.5, q3: 2.5, min: 1.0, max: 3.0 });
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn what_overlaps_or_is_very_near_is_a_tie() {
        let of = |samples: &[f64]| Summary::of(samples).unwrap();
        assert!(of(&[1.0, 2.0, 3.0]).ties_with(&of(&[2.0, 3.0, 4.0])));
        assert!(of(&[1.0]).ties_with(&of(&[1.02])));
        assert!(!of(&[1.0, 1.1, 1.2]).ties_with(&of(&[1.3, 1.4, 1.5])));
        assert!(of(&[0.0]).ties_with(&of(&[0.0])));
    }
}
