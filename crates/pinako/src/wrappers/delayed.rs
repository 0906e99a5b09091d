//! Another device's costs on top of this one's, so that plans for it can be tried out here.
//!
//! The device is a queue: at most *P* reads are in flight, each for *t1* seconds, and bytes come over one link at *t2*
//! seconds each. A batch of *K* reads on an idle device so waits ceil(K / P) t1 + bytes t2, and threads that read at
//! once share the device as they would share a real one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::{
    Backend, DescribeSink, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink, ScanSink, Traffic,
    Vacuumed,
};
use crate::descriptor::Id;
use crate::error::Result;
use crate::plan::Cost;

/// Makes reads of the backend inside as slow as a device of given costs; everything else passes as it is.
#[derive(Debug)]
pub struct Delayed {
    inner: Box<dyn Backend>,
    costs: IoHints,
    device: Mutex<Device>,
}

#[derive(Debug)]
struct Device {
    /// When each of the reads that are in flight ends.
    in_flight: BinaryHeap<Reverse<Instant>>,
    /// When the link is free.
    link: Instant,
}

impl Delayed {
    /// Wraps `inner` in a device of these costs, which are also what [`io_hints`](Backend::io_hints) then says.
    ///
    /// # Errors
    /// `InvalidInput` where they are not those of a [`Cost`].
    pub fn new(inner: Box<dyn Backend>, costs: IoHints) -> Result<Self> {
        Cost::try_from(costs)?;
        let device = Device { in_flight: BinaryHeap::new(), link: Instant::now() };
        Ok(Delayed { inner, costs, device: Mutex::new(device) })
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as the device takes for `reads` reads and the bytes that `read` counts.
    fn wait_for(&self, reads: usize, read: impl FnOnce(&mut u64) -> Result<()>) -> Result<()> {
        let started = self.device().start(Instant::now(), reads, &self.costs);
        sleep_until(started);
        let mut pushed = 0;
        let result = read(&mut pushed);
        let transferred = self.device().transfer(started, pushed, &self.costs);
        sleep_until(transferred);
        result
    }
}

impl Device {
    /// Sends `reads` reads off at `now`; returns when the last one ends.
    fn start(&mut self, now: Instant, reads: usize, costs: &IoHints) -> Instant {
        let latency = Duration::from_secs_f64(costs.read_seconds);
        while self.in_flight.peek().is_some_and(|Reverse(end)| *end <= now) {
            self.in_flight.pop();
        }
        let mut last = now;
        for _ in 0..reads {
            let mut start = now;
            if self.in_flight.len() >= costs.parallel_reads as usize
                && let Some(Reverse(end)) = self.in_flight.pop()
            {
                start = end;
            }
            let end = start + latency;
            self.in_flight.push(Reverse(end));
            last = last.max(end);
        }
        last
    }

    /// Sends `bytes` over the link at `now`; returns when the last one is there.
    fn transfer(&mut self, now: Instant, bytes: u64, costs: &IoHints) -> Instant {
        self.link = self.link.max(now) + Duration::from_secs_f64(bytes as f64 * costs.byte_seconds);
        self.link
    }
}

fn sleep_until(end: Instant) {
    let left = end.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

impl Backend for Delayed {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        self.inner.append(entries)
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        self.wait_for(ids.len(), |pushed| {
            self.inner.fetch(ids, &mut |place, image| {
                *pushed += image.as_ref().map_or(0, |(_, payload)| payload.len() as u64);
                sink(place, image)
            })
        })
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        self.wait_for(requests.len(), |pushed| {
            self.inner.read(requests, &mut |place, bytes| {
                *pushed += bytes.map_or(0, <[u8]>::len) as u64;
                sink(place, bytes)
            })
        })
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.inner.describe(ids, sink)
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        self.inner.scan(first, sink)
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        self.inner.find(names)
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        self.inner.remove(ids)
    }

    fn properties(&self) -> Result<Properties> {
        self.inner.properties()
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        self.inner.set_label_names(names, before)
    }

    fn footprint(&self) -> Result<Footprint> {
        self.inner.footprint()
    }

    fn io_hints(&self) -> IoHints {
        self.costs
    }

    fn compact(&self) -> Result<()> {
        self.inner.compact()
    }

    fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        self.inner.vacuum(keep, rehearsal)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::Memory;

    const COSTS: IoHints = IoHints { read_seconds: 8.0, byte_seconds: 0.5, parallel_reads: 4, block: 1 };

    fn idle(now: Instant) -> Device {
        Device { in_flight: BinaryHeap::new(), link: now }
    }

    #[test]
    fn a_batch_waits_as_many_rounds_as_it_has_times_the_reads_in_flight() {
        let now = Instant::now();
        for (reads, rounds) in [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (1000, 250)] {
            let end = idle(now).start(now, reads, &COSTS);
            assert_eq!(end - now, Duration::from_secs(8 * rounds), "{reads} reads");
        }
    }

    #[test]
    fn batches_share_the_reads_in_flight() {
        let now = Instant::now();
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let mut device = idle(now);
        assert_eq!(device.start(now, 3, &COSTS), seconds(8));
        // One more has its place at once, the other waits for the first batch.
        assert_eq!(device.start(seconds(2), 2, &COSTS), seconds(16));
        // An idle device has forgotten both.
        assert_eq!(device.start(seconds(20), 4, &COSTS), seconds(28));
    }

    #[test]
    fn bytes_come_one_after_the_other() {
        let now = Instant::now();
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let mut device = idle(now);
        assert_eq!(device.transfer(now, 10, &COSTS), seconds(5));
        assert_eq!(device.transfer(seconds(1), 10, &COSTS), seconds(10));
        assert_eq!(device.transfer(seconds(20), 0, &COSTS), seconds(20));
    }

    #[test]
    fn costs_that_no_device_has_are_refused() {
        for (read_seconds, byte_seconds, parallel_reads, block) in [
            (-1.0, 1.0, 1, 1),
            (f64::NAN, 1.0, 1, 1),
            (1.0, 1e9, 1, 1),
            (1e-300, 1.0, 1, 1),
            (1.0, 1.0, 0, 1),
            (1.0, 1.0, 1, 0),
        ] {
            let costs = IoHints { read_seconds, byte_seconds, parallel_reads, block };
            assert!(Delayed::new(Box::new(Memory::new()), costs).is_err(), "{costs:?}");
        }
    }
}
