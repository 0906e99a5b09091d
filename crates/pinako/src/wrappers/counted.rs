//! What is asked of a backend, counted: how many reads a plan really costs is a fact, not a guess.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Operation;
use crate::backend::{
    Backend, DescribeSink, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink, ScanSink, Traffic,
    Vacuumed,
};
use crate::descriptor::Id;
use crate::error::Result;

/// Counts what is asked of the backend inside.
#[derive(Debug)]
pub struct Counted {
    inner: Box<dyn Backend>,
    counts: Arc<Counts>,
}

/// What was asked since the wrapper was made or [`reset`](Counts::reset).
#[derive(Debug, Default)]
pub struct Counts {
    calls: [AtomicU64; Operation::ALL.len()],
    requests: AtomicU64,
    bytes: AtomicU64,
    reads: Mutex<Vec<ReadRequest>>,
}

impl Counted {
    /// Wraps `inner`; all counts are 0.
    pub fn new(inner: Box<dyn Backend>) -> Self {
        Counted { inner, counts: Arc::default() }
    }

    /// The counts, which go on with every call and outlive the wrapper.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn count(&self, operation: Operation) -> &dyn Backend {
        self.counts.calls[operation as usize].fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }
}

impl Counts {
    /// Calls of an operation, failed ones too.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.calls[operation as usize].load(Ordering::Relaxed)
    }

    /// Requests of all reads together; each image fetched is one.
    pub fn read_requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The requests of all reads, in the order in which they came.
    pub fn reads(&self) -> Vec<ReadRequest> {
        self.reads.lock().clone()
    }

    /// Bytes of payload that all reads and fetches together pushed.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Begins again at 0.
    pub fn reset(&self) {
        self.reads.lock().clear();
        for count in self.calls.iter().chain([&self.requests, &self.bytes]) {
            count.store(0, Ordering::Relaxed);
        }
    }
}

impl Backend for Counted {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        self.count(Operation::Append).append(entries)
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        self.counts.requests.fetch_add(ids.len() as u64, Ordering::Relaxed);
        let mut pushed = 0;
        let result = self.count(Operation::Fetch).fetch(ids, &mut |place, image| {
            pushed += image.as_ref().map_or(0, |(_, payload)| payload.len() as u64);
            sink(place, image)
        });
        self.counts.bytes.fetch_add(pushed, Ordering::Relaxed);
        result
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        self.counts.requests.fetch_add(requests.len() as u64, Ordering::Relaxed);
        self.counts.reads.lock().extend_from_slice(requests);
        let mut pushed = 0;
        let result = self.count(Operation::Read).read(requests, &mut |place, bytes| {
            pushed += bytes.map_or(0, <[u8]>::len) as u64;
            sink(place, bytes)
        });
        self.counts.bytes.fetch_add(pushed, Ordering::Relaxed);
        result
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.count(Operation::Describe).describe(ids, sink)
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        self.count(Operation::Scan).scan(first, sink)
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        self.count(Operation::Find).find(names)
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        self.count(Operation::Remove).remove(ids)
    }

    fn properties(&self) -> Result<Properties> {
        self.count(Operation::Properties).properties()
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        self.count(Operation::SetLabelNames).set_label_names(names, before)
    }

    fn footprint(&self) -> Result<Footprint> {
        self.count(Operation::Footprint).footprint()
    }

    fn io_hints(&self) -> IoHints {
        self.inner.io_hints()
    }

    fn compact(&self) -> Result<()> {
        self.count(Operation::Compact).compact()
    }

    fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        self.count(Operation::Vacuum).vacuum(keep, rehearsal)
    }

    fn sync(&self) -> Result<()> {
        self.count(Operation::Sync).sync()
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrappers::tests::filled_memory;

    #[test]
    fn calls_requests_and_bytes_are_counted() {
        let store = Counted::new(Box::new(filled_memory(&[b"0123456789", b"abc"])));
        let counts = store.counts();
        let requests = [ReadRequest::new(0, 2..6), ReadRequest::new(1, 0..3), ReadRequest::new(7, 0..1)];
        store.read(&requests, &mut |_, _| Ok(())).unwrap();
        store.read(&requests[..1], &mut |_, _| Ok(())).unwrap();
        assert!(store.read(&[ReadRequest::new(1, 0..4)], &mut |_, _| Ok(())).is_err());
        store.fetch(&[1, 7, 1], &mut |_, _| Ok(())).unwrap();
        store.find(&["x"]).unwrap();
        assert_eq!((counts.read_requests(), counts.bytes_read()), (8, 4 + 3 + 4 + 3 + 3));
        assert_eq!((&counts.reads()[..3], counts.reads().len()), (&requests[..], 5));
        for operation in Operation::ALL {
            let expected = match operation {
                Operation::Read => 3,
                Operation::Fetch | Operation::Find => 1,
                _ => 0,
            };
            assert_eq!(counts.calls(operation), expected, "{operation:?}");
        }
        counts.reset();
        assert_eq!((counts.calls(Operation::Read), counts.read_requests(), counts.bytes_read()), (0, 0, 0));
    }
}
