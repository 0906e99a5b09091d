//! Backends around a backend: the same trait, with something counted, broken or slowed down on the way.
//!
//! Tests and experiments look at a store through the waist and nowhere else, so this is where they come in: no backend
//! carries a switch for them. Each wrapper passes the [`conformance`](crate::conformance) suite as long as it is told
//! to do nothing odd.

mod counted;
mod delayed;
mod faulty;

pub use counted::{Counted, Counts};
pub use delayed::Delayed;
pub use faulty::{Fault, Faults, Faulty};

/// The operations of [`Backend`](crate::backend::Backend) that can fail, one a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Append,
    Fetch,
    Read,
    Describe,
    Scan,
    Find,
    Remove,
    Properties,
    SetLabelNames,
    Footprint,
    Compact,
    Vacuum,
    Sync,
}

impl Operation {
    /// Every operation, in the order of the trait's methods.
    pub const ALL: [Operation; 13] = [
        Self::Append,
        Self::Fetch,
        Self::Read,
        Self::Describe,
        Self::Scan,
        Self::Find,
        Self::Remove,
        Self::Properties,
        Self::SetLabelNames,
        Self::Footprint,
        Self::Compact,
        Self::Vacuum,
        Self::Sync,
    ];
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::backend::{Backend, Entry, Payload};
    use crate::backends::Memory;
    use crate::descriptor::{Descriptor, Encoding, Id, ImageFormat};
    use crate::image::{SampleType, Shape};

    /// A store that holds these payloads.
    pub(crate) fn filled_memory(payloads: &[&[u8]]) -> Memory {
        let store = Memory::new();
        for payload in payloads {
            let descriptor = Descriptor {
                id: 0,
                name: None,
                shape: Shape::new(1, 1, 1).unwrap(),
                sample_type: SampleType::U8,
                encoding: Encoding::Kept(ImageFormat::Png),
                label: None,
                attributes: None,
                payload_length: payload.len() as u64,
                checksum: crc32c::crc32c(payload),
            };
            store.append(&mut [Entry { descriptor, payload: Payload::Bytes(payload) }]).unwrap();
        }
        store
    }

    pub(super) fn fetch_payloads(store: &dyn Backend, ids: &[Id]) -> Vec<Option<Vec<u8>>> {
        let mut fetched = vec![None; ids.len()];
        store
            .fetch(ids, &mut |place, image| {
                fetched[place] = image.map(|(_, payload)| payload.to_vec());
                Ok(())
            })
            .unwrap();
        fetched
    }
}
