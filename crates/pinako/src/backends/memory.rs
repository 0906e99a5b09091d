//! `memory:` keeps everything in maps: for tests, and as the plainest reading of the contract.
//!
//! A sink is called when the lock is let go, for it may work on a thread pool whose threads read, too: one that waited here
//! for a writer who waits for it would wait for ever.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::backend::{
    Backend, DescribeSink, Entry, FetchSink, Footprint, IoHints, Payload, Properties, ReadRequest, ReadSink, ScanSink,
    Traffic, Vacuumed,
};
use crate::descriptor::{Descriptor, Id};
use crate::error::{Error, Result};

/// A store in memory; a clone is another handle on it, and it ends with the last one.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    images: BTreeMap<Id, Arc<Stored>>,
    names: HashMap<String, Id>,
    label_names: Vec<String>,
    next_id: Id,
}

/// An image; it never changes.
struct Stored {
    descriptor: Descriptor,
    payload: Vec<u8>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} images", self.images.len())
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn image(&self, id: Id) -> Option<Arc<Stored>> {
        self.state.read().images.get(&id).map(Arc::clone)
    }

    /// The first image with an id from `id` on.
    fn image_from(&self, id: Id) -> Option<Arc<Stored>> {
        self.state.read().images.range(id..).next().map(|(_, image)| Arc::clone(image))
    }
}

/// A lookup, and a copy.
pub(super) const IO_HINTS: IoHints = IoHints { read_seconds: 1e-7, byte_seconds: 1e-10, parallel_reads: 1, block: 1 };

impl Backend for Memory {
    fn append(&self, entries: &mut [Entry<'_>]) -> Result<Range<Id>> {
        let mut gathered = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut reader = entry.payload_reader();
            let mut bytes = Vec::new();
            let length = usize::try_from(reader.remaining()).ok();
            length.and_then(|length| bytes.try_reserve_exact(length).ok()).ok_or_else(|| {
                Error::invalid(format!("a payload of {} bytes does not fit in memory", reader.remaining()))
            })?;
            bytes.resize(reader.remaining() as usize, 0);
            reader.fill(&mut bytes)?;
            let checksum = reader.finish()?;
            if let Payload::Stream(_) = entry.payload {
                entry.descriptor.checksum = checksum;
            }
            gathered.push(Stored { descriptor: entry.descriptor.clone(), payload: bytes });
        }

        let mut state = self.state.write();
        let mut fresh = HashSet::new();
        for name in gathered.iter().filter_map(|image| image.descriptor.name.as_deref()) {
            if state.names.contains_key(name) || !fresh.insert(name) {
                return Err(super::name_taken(name));
            }
        }
        let first = state.next_id;
        for mut image in gathered {
            let id = state.next_id;
            image.descriptor.id = id;
            state.next_id += 1;
            if let Some(name) = &image.descriptor.name {
                state.names.insert(name.clone(), id);
            }
            state.images.insert(id, Arc::new(image));
        }
        Ok(first..state.next_id)
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        for (place, &id) in ids.iter().enumerate() {
            let image = self.image(id);
            sink(place, image.as_ref().map(|image| (image.descriptor.clone(), &image.payload[..])))?;
        }
        Ok(())
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        for (place, request) in requests.iter().enumerate() {
            match self.image(request.id) {
                None => sink(place, None)?,
                Some(image) => {
                    let range = request.range_in(image.payload.len() as u64)?;
                    sink(place, Some(&image.payload[range.start as usize..range.end as usize]))?;
                }
            }
        }
        Ok(())
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        for (place, &id) in ids.iter().enumerate() {
            let image = self.image(id);
            sink(place, image.map(|image| image.descriptor.clone()))?;
        }
        Ok(())
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        let mut next = self.image_from(first);
        while let Some(image) = next {
            if let ControlFlow::Break(()) = sink(image.descriptor.clone())? {
                break;
            }
            next = image.descriptor.id.checked_add(1).and_then(|after| self.image_from(after));
        }
        Ok(())
    }

    fn find(&self, names: &[&str]) -> Result<Vec<Option<Id>>> {
        let state = self.state.read();
        Ok(names.iter().map(|&name| state.names.get(name).copied()).collect())
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let mut state = self.state.write();
        let mut removed = 0;
        for id in ids {
            if let Some(image) = state.images.remove(id) {
                removed += 1;
                if let Some(name) = &image.descriptor.name {
                    state.names.remove(name);
                }
            }
        }
        Ok(removed)
    }

    fn properties(&self) -> Result<Properties> {
        let state = self.state.read();
        Ok(Properties {
            format_version: super::FORMAT_VERSION,
            label_names: state.label_names.clone(),
            count: state.images.len() as u64,
            next_id: state.next_id,
        })
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        let mut state = self.state.write();
        super::check_label_names(&state.label_names, before)?;
        state.label_names = names.to_vec();
        Ok(())
    }

    fn footprint(&self) -> Result<Footprint> {
        let payload_bytes = self.state.read().images.values().map(|image| image.descriptor.payload_length).sum();
        Ok(Footprint { disk_bytes: 0, payload_bytes })
    }

    fn io_hints(&self) -> IoHints {
        IO_HINTS
    }

    fn compact(&self) -> Result<()> {
        Ok(())
    }

    fn vacuum(&self, _keep: Duration, _rehearsal: bool) -> Result<Vacuumed> {
        Ok(Vacuumed::default())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::wrappers::tests::filled_memory;

    #[test]
    fn a_sink_keeps_no_writer_waiting() {
        let store = filled_memory(&[b"a", b"b"]);
        let write = || {
            let (done, wait) = mpsc::channel();
            let writer = store.clone();
            thread::spawn(move || done.send(writer.set_label_names(&[], None)));
            assert!(wait.recv_timeout(Duration::from_secs(60)).is_ok(), "a writer waits for a sink");
            Ok(())
        };
        store.fetch(&[0], &mut |_, _| write()).unwrap();
        store.read(&[ReadRequest::new(0, 0..1)], &mut |_, _| write()).unwrap();
        store.describe(&[0], &mut |_, _| write()).unwrap();
        store.scan(0, &mut |_| write().map(|()| ControlFlow::Continue(()))).unwrap();
    }
}
