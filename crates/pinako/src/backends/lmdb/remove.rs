//! Removing images, those that are damaged too: to be rid of one is all that can be done about it.

use heed::{RoTxn, RwTxn};

use super::environment::Turn;
use super::open::{Tables, failed};
use super::payload::{self, Key, split_record};
use super::properties;
use crate::descriptor::{Descriptor, Id};
use crate::error::{ErrorKind, Result};

/// Removes the images with these ids and says how many there were.
pub(super) fn remove_images(turn: &Turn<'_>, ids: &[Id]) -> Result<u64> {
    turn.rewrite(ids.len() as u64, |txn, tables| {
        let mut payload_bytes = properties::payload_bytes(&tables.store, txn)?;
        let mut removed = 0;
        // All are looked at before the first goes: values in pages that were changed cannot be checked.
        let found: Vec<_> = ids.iter().filter_map(|&id| Remains::of(tables, txn, id).transpose()).collect();
        for remains in found {
            let remains = remains?;
            if remains.remove(tables, txn)? {
                removed += 1;
                payload_bytes = payload_bytes.saturating_sub(remains.payload_length);
            }
        }
        properties::set_payload_bytes(&tables.store, txn, payload_bytes)?;
        Ok(removed)
    })
}

/// All that there is of an image: what it takes to remove it.
struct Remains {
    id: Id,
    name: Option<String>,
    payload_length: u64,
}

impl Remains {
    /// Those of the image `id`, where there is one.
    fn of(tables: &Tables, txn: &RoTxn<'_>, id: Id) -> Result<Option<Self>> {
        match payload::descriptor(tables, txn, id) {
            Ok(found) => Ok(found.map(|Descriptor { name, payload_length, .. }| Remains { id, name, payload_length })),
            Err(error) if error.kind() == ErrorKind::Corrupt => Remains::without_descriptor(tables, txn, id).map(Some),
            Err(error) => Err(error),
        }
    }

    /// Those of an image whose descriptor cannot be read.
    fn without_descriptor(tables: &Tables, txn: &RoTxn<'_>, id: Id) -> Result<Self> {
        let cannot = |error| failed("cannot read it", error).at_id(id);
        let mut remains = Remains { id, name: None, payload_length: 0 };
        for entry in tables.name.iter(txn).map_err(cannot)? {
            let (name, of) = entry.map_err(cannot)?;
            if tables.name.check(of).map_err(cannot)? == id.to_be_bytes() {
                remains.name = String::from_utf8(name.to_vec()).ok();
            }
        }
        for number in 0.. {
            let piece = tables.payload.get(txn, Key::new(id, number).as_bytes()).map_err(cannot)?;
            let Some(piece) = piece else { break };
            let payload = split_record(id, piece).map_or(piece, |(_, payload)| payload);
            remains.payload_length += payload.len() as u64;
        }
        Ok(remains)
    }

    /// Removes them; says whether they were there.
    fn remove(&self, tables: &Tables, txn: &mut RwTxn<'_>) -> Result<bool> {
        let cannot = |error| failed("cannot remove it", error).at_id(self.id);
        if !tables.descriptor.delete(txn, &self.id.to_be_bytes()).map_err(cannot)? {
            return Ok(false); // it was named twice
        }
        if let Some(name) = &self.name {
            tables.name.delete(txn, name.as_bytes()).map_err(cannot)?;
        }
        let mut number = 0;
        while tables.payload.delete(txn, Key::new(self.id, number).as_bytes()).map_err(cannot)? {
            number += 1;
        }
        Ok(true)
    }
}
