//! A set of ids as sorted intervals: what was removed is often neighbours, and takes no memory an image then.

use crate::descriptor::Id;
use crate::error::{Error, Result};

/// A set of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IdSet {
    /// First and last id of each interval; ascending, with gaps between them.
    intervals: Vec<(Id, Id)>,
    count: u64,
}

impl IdSet {
    /// The set of `ids`, which ascend without repeats.
    pub(crate) fn from_sorted(ids: &[Id]) -> Self {
        let mut intervals: Vec<(Id, Id)> = Vec::new();
        for &id in ids {
            match intervals.last_mut() {
                Some((_, last)) if *last + 1 == id => *last = id,
                _ => intervals.push((id, id)),
            }
        }
        IdSet { intervals, count: ids.len() as u64 }
    }

    /// The set of these intervals.
    ///
    /// # Errors
    /// `Corrupt` where they do not ascend, overlap, or reach `end`.
    pub(crate) fn from_intervals(intervals: &[(Id, Id)], end: Id) -> Result<Self> {
        let mut count = 0;
        let mut next = 0;
        for &(first, last) in intervals {
            if first < next || last < first || last >= end {
                return Err(Error::corrupt(format!("the ids {first} to {last} are out of order")));
            }
            next = last + 1;
            count += next - first;
        }
        Ok(IdSet { intervals: intervals.to_vec(), count })
    }

    /// First and last id of each interval, ascending.
    pub(crate) fn intervals(&self) -> &[(Id, Id)] {
        &self.intervals
    }

    /// How many ids are in the set.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        let after = self.intervals.partition_point(|&(first, _)| first <= id);
        after > 0 && id <= self.intervals[after - 1].1
    }

    /// The first id from `id` on that is not in the set.
    pub(crate) fn first_without(&self, id: Id) -> Id {
        let after = self.intervals.partition_point(|&(first, _)| first <= id);
        match after.checked_sub(1).map(|place| self.intervals[place].1) {
            Some(last) if last >= id => last + 1,
            _ => id,
        }
    }

    /// How many ids of the set are from `first` to `last`.
    pub(crate) fn count_within(&self, first: Id, last: Id) -> u64 {
        let from = self.intervals.partition_point(|&(_, end)| end < first);
        let inside = self.intervals[from..].iter().take_while(|&&(start, _)| start <= last);
        inside.map(|&(start, end)| end.min(last) - start.max(first) + 1).sum()
    }

    /// The part of the set that is from `first` to `last`.
    pub(crate) fn within(&self, first: Id, last: Id) -> IdSet {
        let from = self.intervals.partition_point(|&(_, end)| end < first);
        let inside = self.intervals[from..].iter().take_while(|&&(start, _)| start <= last);
        let intervals: Vec<(Id, Id)> = inside.map(|&(start, end)| (start.max(first), end.min(last))).collect();
        IdSet { count: self.count_within(first, last), intervals }
    }

    /// The set without the ids of `other`.
    pub(crate) fn without(&self, other: &IdSet) -> IdSet {
        let mut left = IdSet::default();
        for &(mut first, last) in &self.intervals {
            let from = other.intervals.partition_point(|&(_, end)| end < first);
            for &(start, end) in other.intervals[from..].iter().take_while(|&&(start, _)| start <= last) {
                left.push(first, start);
                first = end + 1;
            }
            left.push(first, last + 1);
        }
        left
    }

    /// Adds the ids from `first` on and below `end`, which lie behind all others.
    fn push(&mut self, first: Id, end: Id) {
        if first < end {
            self.intervals.push((first, end - 1));
            self.count += end - first;
        }
    }

    /// The set with `other`, which has no id in common with it.
    ///
    /// # Errors
    /// `Corrupt` where it has.
    pub(crate) fn with(&self, other: &IdSet) -> Result<IdSet> {
        let mut all = Vec::with_capacity(self.intervals.len() + other.intervals.len());
        all.extend_from_slice(&self.intervals);
        all.extend_from_slice(&other.intervals);
        all.sort_unstable();
        let mut merged: Vec<(Id, Id)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some((_, end)) if *end >= first => {
                    return Err(Error::corrupt(format!("image {first} is removed twice")));
                }
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => merged.push((first, last)),
            }
        }
        Ok(IdSet { intervals: merged, count: self.count + other.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_intervals_is_the_plain_set(mut steps in prop::collection::vec(prop::collection::btree_set(0u64..60, 0..20), 1..5)) {
            let mut plain = BTreeSet::new();
            let mut set = IdSet::default();
            for step in &mut steps {
                let fresh: Vec<Id> = step.difference(&plain).copied().collect();
                set = set.with(&IdSet::from_sorted(&fresh)).unwrap();
                plain.extend(fresh);
            }
            prop_assert_eq!(set.count(), plain.len() as u64);
            for id in 0..64 {
                prop_assert_eq!(set.contains(id), plain.contains(&id));
                prop_assert_eq!(set.first_without(id), (id..).find(|id| !plain.contains(id)).unwrap());
                prop_assert_eq!(set.count_within(id, id + 7), plain.range(id..=id + 7).count() as u64);
            }
            for step in &steps {
                let other = IdSet::from_sorted(&step.iter().copied().collect::<Vec<Id>>());
                let left: Vec<Id> = plain.difference(step).copied().collect();
                prop_assert_eq!(set.without(&other), IdSet::from_sorted(&left));
            }
            for (first, last) in [(0, 59), (10, 20), (33, 33)] {
                let inside: Vec<Id> = plain.range(first..=last).copied().collect();
                prop_assert_eq!(set.within(first, last), IdSet::from_sorted(&inside));
            }
            prop_assert_eq!(IdSet::from_intervals(set.intervals(), 60).unwrap(), set);
        }
    }

    #[test]
    fn intervals_out_of_order_are_refused() {
        for bad in [&[(3, 2)][..], &[(0, 10)], &[(4, 5), (5, 6)], &[(4, 5), (1, 2)], &[(0, u64::MAX)]] {
            assert!(IdSet::from_intervals(bad, 10).is_err(), "{bad:?}");
        }
        assert!(IdSet::from_sorted(&[1, 2, 3]).with(&IdSet::from_sorted(&[3])).is_err());
    }
}
