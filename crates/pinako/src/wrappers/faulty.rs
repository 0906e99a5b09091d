//! A backend that fails when told to: what stands above must cope, and this is how it is asked to show that.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Operation;
use crate::backend::{
    Backend, DescribeSink, Entry, FetchSink, Footprint, IoHints, Properties, ReadRequest, ReadSink, ScanSink, Traffic,
    Vacuumed,
};
use crate::descriptor::Id;
use crate::error::{Error, ErrorKind, Result};

/// Passes everything on to the backend inside but for the faults that were ordered.
#[derive(Debug)]
pub struct Faulty {
    inner: Box<dyn Backend>,
    faults: Arc<Faults>,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The operation fails with a `Backend` error and has done nothing.
    Before(Operation),
    /// The operation fails with a `Transient` error and has done nothing, as when a server does not answer.
    Unanswered(Operation),
    /// The operation fails with a `Backend` error after it took effect, as when an answer gets lost; sinks got all.
    After(Operation),
    /// A read or fetch pushes all bytes but the last of every payload, or part of one, that has any.
    ShortRead,
    /// A read or fetch pushes every payload, or part of one, with one bit, in the middle, flipped.
    FlippedBit,
    /// The operation (a read, fetch or description) pushes nothing for the last that was asked of it, and succeeds.
    Skipped(Operation),
    /// The operation (a read, fetch or description) pushes twice for the last that was asked of it.
    Doubled(Operation),
}

impl Fault {
    fn hits(self, called: Operation) -> bool {
        match self {
            Fault::Before(operation)
            | Fault::Unanswered(operation)
            | Fault::After(operation)
            | Fault::Skipped(operation)
            | Fault::Doubled(operation) => operation == called,
            Fault::ShortRead | Fault::FlippedBit => matches!(called, Operation::Fetch | Operation::Read),
        }
    }

    /// How often what was asked at that place of `count` is pushed.
    fn pushes(fault: Option<Self>, place: usize, count: usize) -> usize {
        match fault {
            Some(Fault::Skipped(_)) if place + 1 == count => 0,
            Some(Fault::Doubled(_)) if place + 1 == count => 2,
            _ => 1,
        }
    }

    /// What becomes of `bytes` on their way; `room` is for what is not part of them.
    fn damage<'b>(self, bytes: &'b [u8], room: &'b mut Vec<u8>) -> &'b [u8] {
        match self {
            Fault::Before(_) | Fault::Unanswered(_) | Fault::After(_) | Fault::Skipped(_) | Fault::Doubled(_) => bytes,
            Fault::ShortRead => bytes.split_last().map_or(bytes, |(_, rest)| rest),
            Fault::FlippedBit => {
                room.clear();
                room.extend_from_slice(bytes);
                let middle = room.len() / 2;
                if let Some(byte) = room.get_mut(middle) {
                    *byte ^= 0x10;
                }
                room
            }
        }
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub struct Faults {
    ordered: Mutex<Vec<Ordered>>,
}

#[derive(Debug)]
struct Ordered {
    fault: Fault,
    /// Calls of its operation that go well before.
    calls_before: u64,
}

impl Faults {
    /// Orders `fault` for the call of its operation that comes after `calls_before` others. It happens once.
    pub fn order(&self, fault: Fault, calls_before: u64) {
        self.ordered().push(Ordered { fault, calls_before });
    }

    /// Takes back all orders; returns how many there were.
    pub fn clear(&self) -> usize {
        self.ordered().drain(..).count()
    }

    /// The fault that this call of `operation` is due.
    fn due(&self, operation: Operation) -> Option<Fault> {
        let mut due = None;
        self.ordered().retain_mut(|ordered| {
            if !ordered.fault.hits(operation) || due.is_some() {
                return true;
            }
            if ordered.calls_before == 0 {
                due = Some(ordered.fault);
                return false;
            }
            ordered.calls_before -= 1;
            true
        });
        due
    }

    fn ordered(&self) -> MutexGuard<'_, Vec<Ordered>> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Faulty {
    /// Wraps `inner`; no fault is ordered.
    pub fn new(inner: Box<dyn Backend>) -> Self {
        Faulty { inner, faults: Arc::default() }
    }

    /// Where faults are ordered, by whoever holds it.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    /// Calls the backend inside, with the fault that is due around it.
    fn call<T>(&self, operation: Operation, call: impl FnOnce(&dyn Backend) -> Result<T>) -> Result<T> {
        self.call_with(operation, |inner, _| call(inner))
    }

    /// The same, of an operation whose pushes may be damaged.
    fn call_with<T>(
        &self,
        operation: Operation,
        call: impl FnOnce(&dyn Backend, Option<Fault>) -> Result<T>,
    ) -> Result<T> {
        let fault = self.faults.due(operation);
        match fault {
            Some(Fault::Before(_)) => Err(ordered_failure(operation)),
            Some(Fault::Unanswered(_)) => {
                Err(Error::new(ErrorKind::Transient, format!("{operation:?} is not answered because that was ordered")))
            }
            Some(Fault::After(_)) => call(&*self.inner, fault).and(Err(ordered_failure(operation))),
            _ => call(&*self.inner, fault),
        }
    }
}

fn ordered_failure(operation: Operation) -> Error {
    Error::new(ErrorKind::Backend, format!("{operation:?} fails because it was told to"))
}

impl Backend for Faulty {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        self.call(Operation::Append, |inner| inner.append(entries))
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        let mut room = Vec::new();
        self.call_with(Operation::Fetch, |inner, fault| {
            inner.fetch(ids, &mut |place, image| {
                (0..Fault::pushes(fault, place, ids.len())).try_for_each(|_| match (&image, fault) {
                    (Some((descriptor, payload)), Some(fault)) => {
                        sink(place, Some((descriptor.clone(), fault.damage(payload, &mut room))))
                    }
                    (image, _) => sink(place, image.clone()),
                })
            })
        })
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        let mut room = Vec::new();
        self.call_with(Operation::Read, |inner, fault| {
            inner.read(requests, &mut |place, bytes| {
                (0..Fault::pushes(fault, place, requests.len())).try_for_each(|_| match (bytes, fault) {
                    (Some(bytes), Some(fault)) => sink(place, Some(fault.damage(bytes, &mut room))),
                    (bytes, _) => sink(place, bytes),
                })
            })
        })
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        self.call_with(Operation::Describe, |inner, fault| {
            inner.describe(ids, &mut |place, descriptor| {
                (0..Fault::pushes(fault, place, ids.len())).try_for_each(|_| sink(place, descriptor.clone()))
            })
        })
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        self.call(Operation::Scan, |inner| inner.scan(first, sink))
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        self.call(Operation::Find, |inner| inner.find(names))
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        self.call(Operation::Remove, |inner| inner.remove(ids))
    }

    fn properties(&self) -> Result<Properties> {
        self.call(Operation::Properties, |inner| inner.properties())
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        self.call(Operation::SetLabelNames, |inner| inner.set_label_names(names, before))
    }

    fn footprint(&self) -> Result<Footprint> {
        self.call(Operation::Footprint, |inner| inner.footprint())
    }

    fn io_hints(&self) -> IoHints {
        self.inner.io_hints()
    }

    fn compact(&self) -> Result<()> {
        self.call(Operation::Compact, |inner| inner.compact())
    }

    fn vacuum(&self, keep: Duration, rehearsal: bool) -> Result<Vacuumed> {
        self.call(Operation::Vacuum, |inner| inner.vacuum(keep, rehearsal))
    }

    fn sync(&self) -> Result<()> {
        self.call(Operation::Sync, |inner| inner.sync())
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrappers::tests::{fetch_payloads, filled_memory};

    #[test]
    fn a_fault_hits_the_call_it_was_ordered_for_and_no_other() {
        let store = Faulty::new(Box::new(filled_memory(&[b"abc"])));
        let faults = store.faults();
        faults.order(Fault::Before(Operation::Find), 1);
        faults.order(Fault::Before(Operation::Sync), 0);
        assert!(store.find(&["x"]).is_ok() && store.properties().is_ok());
        assert_eq!(store.find(&["x"]).unwrap_err().kind(), ErrorKind::Backend);
        assert!(store.find(&["x"]).is_ok());
        assert_eq!(faults.clear(), 1);
        assert!(store.sync().is_ok());
    }

    #[test]
    fn a_failure_before_does_nothing_and_one_after_took_effect() {
        let store = Faulty::new(Box::new(filled_memory(&[b"a", b"b"])));
        store.faults().order(Fault::Before(Operation::Remove), 0);
        store.faults().order(Fault::After(Operation::Remove), 0);
        for count in [2, 1] {
            assert!(store.remove(&[0]).is_err());
            assert_eq!(store.properties().unwrap().count, count);
        }
        store.faults().order(Fault::After(Operation::Read), 0);
        let mut pushed = 0;
        let result = store.read(&[ReadRequest::new(0, 0..1), ReadRequest::new(1, 0..1)], &mut |_, _| {
            pushed += 1;
            Ok(())
        });
        assert!(result.is_err() && pushed == 2);
    }

    #[test]
    fn a_read_can_be_short_or_have_a_flipped_bit() {
        let store = Faulty::new(Box::new(filled_memory(&[b"abcde", b""])));
        store.faults().order(Fault::ShortRead, 0);
        store.faults().order(Fault::FlippedBit, 0);
        let read = || fetch_payloads(&store, &[0, 1, 2]);
        assert_eq!(read(), [Some(b"abcd".to_vec()), Some(Vec::new()), None]);
        assert_eq!(read(), [Some(b"absde".to_vec()), Some(Vec::new()), None]);
        assert_eq!(read(), [Some(b"abcde".to_vec()), Some(Vec::new()), None]);
    }
}
