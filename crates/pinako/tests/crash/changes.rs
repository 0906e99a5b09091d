//! An endless sequence of changes to a store, the same in the process that makes them and in the one that checks them.

use std::collections::BTreeMap;
use std::io::Read;

use pinako::backend::{Backend, Entry, Payload};
use pinako::conformance::{assert_holds, pattern, pattern_reader};
use pinako::{Attributes, Descriptor, Encoding, ErrorKind, Id, ImageFormat, Layout, Result, SampleType, Shape};

/// One change, whole or not at all.
pub enum Change {
    /// Images without ids, and whether each is streamed.
    Append(Vec<(Descriptor, Vec<u8>, bool)>),
    Remove(Vec<Id>),
    SetLabelNames(Vec<String>),
    Compact,
}

/// Random numbers that follow from a seed.
struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        let bytes = pattern(self.seed, self.drawn * 8, 8);
        u64::from_le_bytes(bytes.try_into().unwrap()) % end
    }
}

impl Change {
    /// The change with that number, to a store with that next id.
    pub fn number(number: u64, next_id: Id) -> Change {
        let mut random = Random { seed: number, drawn: 0 };
        match random.below(100) {
            0..80 => {
                // Mostly small batches, so that commits are frequent; at times one that takes a while.
                let count = if random.below(10) == 0 { random.below(300) } else { random.below(20) };
                let streamed_at = (random.below(15) == 0).then(|| random.below(count.max(1)));
                Change::Append((0..count).map(|place| image(number, place, streamed_at, &mut random)).collect())
            }
            80..90 => {
                // A few of the latest, and most of the old ones, so that the store stays small.
                let mut ids: Vec<Id> =
                    (0..random.below(8)).map(|_| next_id.saturating_sub(random.below(200))).collect();
                ids.extend((next_id.saturating_sub(3000)..next_id.saturating_sub(600)).filter(|id| id % 40 != 0));
                Change::Remove(ids)
            }
            90..95 => Change::SetLabelNames((0..random.below(10)).map(|name| format!("{number}/{name}")).collect()),
            _ => Change::Compact,
        }
    }

    /// Makes the change.
    pub fn make(&self, store: &dyn Backend) -> Result<()> {
        match self {
            Change::Append(images) => {
                let mut readers: Vec<&[u8]> = images.iter().map(|(_, payload, _)| &payload[..]).collect();
                let mut entries: Vec<Entry<'_>> = (images.iter().zip(&mut readers))
                    .map(|((descriptor, payload, streamed), reader)| match streamed {
                        false => Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) },
                        true => Entry {
                            descriptor: Descriptor { checksum: 0, ..descriptor.clone() },
                            payload: Payload::Stream(reader),
                        },
                    })
                    .collect();
                store.append(&mut entries).map(drop)
            }
            Change::Remove(ids) => store.remove(ids).map(drop),
            Change::SetLabelNames(names) => store.set_label_names(names, None),
            Change::Compact => match store.compact() {
                // A store that another process has open cannot be compacted everywhere.
                Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
                result => result,
            },
        }
    }
}

/// The image at `place` in the change with that `number`.
fn image(number: u64, place: u64, streamed_at: Option<u64>, random: &mut Random) -> (Descriptor, Vec<u8>, bool) {
    let seed = number * 1000 + place;
    let streamed = streamed_at == Some(place);
    // Half of the images have one shape, as those of a data set have.
    let (shape, encoding, length) = match random.below(2) {
        _ if streamed => (Shape::new(1, 1, 3), Encoding::Kept(ImageFormat::Tiff), 2_000_000 + random.below(3_000_000)),
        0 => (Shape::new(16, 16, 3), Encoding::Raw(Layout::Row), 768),
        _ => (Shape::new(9, 8, 1), Encoding::Kept(ImageFormat::Jpeg), random.below(9000)),
    };
    let payload = pattern(seed, 0, length as usize);
    let descriptor = Descriptor {
        id: 0,
        name: (random.below(3) == 0).then(|| format!("image {seed}")),
        shape: shape.unwrap(),
        sample_type: SampleType::U8,
        encoding,
        label: (random.below(4) != 0).then(|| random.below(10) as i64),
        attributes: (random.below(5) == 0).then(|| Attributes::parse(&format!(r#"{{"seed":{seed}}}"#)).unwrap()),
        payload_length: length,
        checksum: crc32c::crc32c(&payload),
    };
    (descriptor, payload, streamed)
}

/// An image that has fewer bytes than it says.
pub fn endless_image() -> (Descriptor, impl Read + Send) {
    let (descriptor, _, _) = image(0, 0, Some(0), &mut Random { seed: 0, drawn: 0 });
    let length = 10 << 20;
    let descriptor = Descriptor { name: Some("endless".to_owned()), payload_length: length, checksum: 0, ..descriptor };
    (descriptor, pattern_reader(0, length / 2))
}

/// What a store must hold after the changes that were made.
#[derive(Default)]
pub struct Expected {
    images: BTreeMap<Id, (Descriptor, Vec<u8>)>,
    label_names: Vec<String>,
    pub next_id: Id,
}

impl Expected {
    pub fn make(&mut self, change: Change) {
        match change {
            Change::Append(images) => {
                for (descriptor, payload, _) in images {
                    let id = self.next_id;
                    self.images.insert(id, (Descriptor { id, ..descriptor }, payload));
                    self.next_id += 1;
                }
            }
            Change::Remove(ids) => self.images.retain(|id, _| !ids.contains(id)),
            Change::SetLabelNames(names) => self.label_names = names,
            Change::Compact => {}
        }
    }

    pub fn count(&self) -> u64 {
        self.images.len() as u64
    }

    /// Asserts that `store`, which others go on changing, shows the latest of the images; a later change may have
    /// removed them.
    pub fn assert_seen(&self, store: &dyn Backend) {
        assert!(store.properties().unwrap().next_id >= self.next_id, "what was acknowledged is seen");
        let latest: Vec<_> = self.images.values().rev().take(20).collect();
        let ids: Vec<_> = latest.iter().map(|(descriptor, _)| descriptor.id).collect();
        store
            .fetch(&ids, &mut |place, image| {
                assert!(image.is_none_or(|(_, bytes)| bytes == latest[place].1), "{:?} is whole", latest[place].0);
                Ok(())
            })
            .unwrap();
    }

    /// Whether what the store says of itself is not as expected.
    pub fn differs(&self, store: &dyn Backend) -> bool {
        let properties = store.properties().unwrap();
        (properties.next_id, properties.count) != (self.next_id, self.images.len() as u64)
            || properties.label_names != self.label_names
    }

    pub fn assert_holds(&self, store: &dyn Backend) {
        assert_holds(store, &self.images.values().cloned().collect::<Vec<_>>());
        assert!(!self.differs(store), "the next id and the label names are those expected");
    }
}
