//! `memory:` keeps everything in maps: for tests, and as the plainest reading of the contract.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::{
    Backend, DescribeSink, Entry, FetchSink, Footprint, IoHints, Payload, Properties, ReadRequest, ReadSink, ScanSink,
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
    images: BTreeMap<Id, (Descriptor, Box<[u8]>)>,
    names: HashMap<String, Id>,
    label_names: Vec<String>,
    next_id: Id,
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

    // A sink that panics poisons the lock, but changes nothing under it.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

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
            gathered.push((entry.descriptor.clone(), bytes.into_boxed_slice()));
        }

        let mut state = self.state_mut();
        let mut fresh = HashSet::new();
        for name in gathered.iter().filter_map(|(descriptor, _)| descriptor.name.as_deref()) {
            if state.names.contains_key(name) || !fresh.insert(name) {
                return Err(super::name_taken(name));
            }
        }
        let first = state.next_id;
        for (mut descriptor, payload) in gathered {
            descriptor.id = state.next_id;
            state.next_id += 1;
            if let Some(name) = &descriptor.name {
                state.names.insert(name.clone(), descriptor.id);
            }
            state.images.insert(descriptor.id, (descriptor, payload));
        }
        Ok(first..state.next_id)
    }

    fn fetch(&self, ids: &[Id], sink: &mut FetchSink<'_>) -> Result<()> {
        let state = self.state();
        for (place, id) in ids.iter().enumerate() {
            sink(place, state.images.get(id).map(|(descriptor, payload)| (descriptor.clone(), &**payload)))?;
        }
        Ok(())
    }

    fn read(&self, requests: &[ReadRequest], sink: &mut ReadSink<'_>) -> Result<()> {
        let state = self.state();
        for (place, request) in requests.iter().enumerate() {
            match state.images.get(&request.id) {
                None => sink(place, None)?,
                Some((_, payload)) => {
                    let range = request.range_in(payload.len() as u64)?;
                    sink(place, Some(&payload[range.start as usize..range.end as usize]))?;
                }
            }
        }
        Ok(())
    }

    fn describe(&self, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
        let state = self.state();
        for (place, id) in ids.iter().enumerate() {
            sink(place, state.images.get(id).map(|(descriptor, _)| descriptor.clone()))?;
        }
        Ok(())
    }

    fn scan(&self, first: Id, sink: &mut ScanSink<'_>) -> Result<()> {
        for (descriptor, _) in self.state().images.range(first..).map(|(_, image)| image) {
            if let ControlFlow::Break(()) = sink(descriptor.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Option<Id>> {
        Ok(self.state().names.get(name).copied())
    }

    fn remove(&self, ids: &[Id]) -> Result<u64> {
        let mut state = self.state_mut();
        let mut removed = 0;
        for id in ids {
            if let Some((descriptor, _)) = state.images.remove(id) {
                removed += 1;
                if let Some(name) = &descriptor.name {
                    state.names.remove(name);
                }
            }
        }
        Ok(removed)
    }

    fn properties(&self) -> Result<Properties> {
        let state = self.state();
        Ok(Properties {
            format_version: super::FORMAT_VERSION,
            label_names: state.label_names.clone(),
            count: state.images.len() as u64,
            next_id: state.next_id,
        })
    }

    fn set_label_names(&self, names: &[String], before: Option<&[String]>) -> Result<()> {
        let mut state = self.state_mut();
        super::check_label_names(&state.label_names, before)?;
        state.label_names = names.to_vec();
        Ok(())
    }

    fn footprint(&self) -> Result<Footprint> {
        let payload_bytes = self.state().images.values().map(|(descriptor, _)| descriptor.payload_length).sum();
        Ok(Footprint { disk_bytes: 0, payload_bytes })
    }

    fn io_hints(&self) -> IoHints {
        IoHints { read_seconds: 1e-7, byte_seconds: 1e-10, parallel_reads: 1, block: 1 }
    }

    fn compact(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
