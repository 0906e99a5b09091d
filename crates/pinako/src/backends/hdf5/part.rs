//! A part that is open for reading: its file mapped, its datasets found, its rows looked up.
//!
//! A part never changes and its length is checked when it is mapped, so that its bytes can be lent as they lie in the
//! map. Nothing is loaded: what an image needs is found by arithmetic (dense ids, equal payloads) or by binary search
//! in the map, so an open part takes the same memory whatever it holds.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use memmap2::{Advice, Mmap};

use super::form::{Dataset, Datasets, Element, Place};
use crate::backends::manifest::{IdSet, Kind, Part, Piece};
use crate::backends::read_ahead::will_need_if_long;
use crate::descriptor::{Descriptor, Id, NO_LABEL, record};
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

pub(super) const IMAGES: &str = "images";
pub(super) const PAYLOAD: &str = "payload";
pub(super) const PAYLOAD_OFFSETS: &str = "payload_offsets";
pub(super) const META: &str = "meta";
pub(super) const IDS: &str = "ids";
pub(super) const RECORDS: &str = "records";
pub(super) const RECORD_OFFSETS: &str = "record_offsets";
pub(super) const NAME_HASHES: &str = "name_hashes";
pub(super) const NAME_ROWS: &str = "name_rows";

/// How the payloads of a part are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// `images`: raw images of one shape and sample type.
    Images(Shape, SampleType),
    /// `payload` and `payload_offsets`: so many bytes in all.
    Payloads(u64),
    /// None here: the single image's payload is in pieces, which are files of one dataset `payload`.
    Pieces,
}

/// The datasets of a part of `rows` images, `named` of which have names, with records of `record_bytes`; in the order
/// in which they lie in the file, payloads first.
pub(super) fn datasets(form: Form, rows: u64, record_bytes: u64, named: u64) -> Vec<Dataset> {
    let mut all = match form {
        Form::Images(shape, sample) => {
            let dimensions = vec![rows, shape.height().into(), shape.width().into(), shape.channels().into()];
            vec![Dataset { name: IMAGES, element: Element::Sample(sample), dimensions }]
        }
        Form::Payloads(bytes) => {
            vec![Dataset::row(PAYLOAD, Element::Byte, bytes), Dataset::row(PAYLOAD_OFFSETS, Element::Number, rows + 1)]
        }
        Form::Pieces => Vec::new(),
    };
    all.extend([
        Dataset::row(META, Element::Label, rows),
        Dataset::row(IDS, Element::Number, rows),
        Dataset::row(RECORD_OFFSETS, Element::Number, rows + 1),
        Dataset::row(RECORDS, Element::Byte, record_bytes),
        Dataset::row(NAME_HASHES, Element::Number, named),
        Dataset::row(NAME_ROWS, Element::Number, named),
    ]);
    all
}

/// The file of a part or a piece, mapped.
#[derive(Debug)]
struct Mapped {
    map: Mmap,
}

impl Mapped {
    /// Maps the file at `path`, which has `length` bytes, and finds its datasets. `None` where there is no such file.
    fn open(path: &Path, length: u64) -> Result<Option<(Self, Datasets)>> {
        let cannot = |error| Error::io("cannot open it", error);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(cannot)?,
        };
        let found = file.metadata().map_err(cannot)?.len();
        if found != length {
            return Err(Error::corrupt(format!("it has {found} bytes, not the {length} that it was written with")));
        }
        // SAFETY: parts never change once a commit names them, and none is read before; compaction unlinks them, which
        // leaves maps whole. That somebody else cuts a part while it is mapped cannot be ruled out on any system; the
        // length was checked just now.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io("cannot map it", error))?;
        // Otherwise each cold read of one small image drags in megabytes. It is advice: without it all is right, too.
        let _ = map.advise(Advice::Random);
        Ok(Some((Mapped { map }, Datasets::of(file, length)?)))
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        // `Datasets::place` checked that it lies inside the file.
        &self.map[place.start..place.start + place.length]
    }

    fn number(&self, place: &Place, row: u64) -> Option<u64> {
        let (numbers, _) = self.bytes(place).as_chunks::<8>();
        numbers.get(usize::try_from(row).ok()?).map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// A piece of a payload, open for reading.
#[derive(Debug)]
pub(super) struct OpenPiece {
    mapped: Mapped,
    payload: Place,
}

impl OpenPiece {
    /// Opens the piece at `path`; `None` where there is no such file.
    ///
    /// # Errors
    /// `Corrupt` where it is not what the manifest says.
    pub(super) fn open(path: &Path, piece: &Piece) -> Result<Option<Self>> {
        let Some((mapped, datasets)) = Mapped::open(path, piece.file_bytes)? else { return Ok(None) };
        let payload = datasets.place(PAYLOAD, &[Element::Byte])?;
        if payload.length as u64 != piece.payload_bytes {
            return Err(unlike(PAYLOAD, piece.payload_bytes, &payload));
        }
        Ok(Some(OpenPiece { mapped, payload }))
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.mapped.bytes(&self.payload)
    }
}

/// A part, open for reading.
#[derive(Debug)]
pub(super) struct OpenPart {
    mapped: Mapped,
    part: Part,
    payloads: Payloads,
    labels: Place,
    ids: Place,
    record_offsets: Place,
    records: Place,
    name_hashes: Place,
    name_rows: Place,
}

#[derive(Debug)]
enum Payloads {
    /// Bytes of each.
    Equal(Place, usize),
    /// Bytes, and offsets of each and of the end.
    Any(Place, Place),
    Pieces,
}

impl OpenPart {
    /// Opens the part at `path`; `None` where there is no such file.
    ///
    /// # Errors
    /// `Corrupt` where it is not what the manifest says.
    pub(super) fn open(path: &Path, part: &Part) -> Result<Option<Self>> {
        let Some((mapped, datasets)) = Mapped::open(path, part.file_bytes)? else { return Ok(None) };
        let row_of = |name: &str, element: Element, length: Option<u64>| {
            let place = datasets.place(name, &[element])?;
            match length {
                Some(length) if place.dimensions != [length] => Err(unlike(name, length, &place)),
                _ => Ok(place),
            }
        };
        let (rows, named) = (Some(part.count), Some(part.named));
        let payloads = match part.kind {
            Kind::Images => {
                let images = datasets.place(IMAGES, &SampleType::ALL.map(Element::Sample))?;
                if images.dimensions.len() != 4 || images.dimensions[0] != part.count {
                    return Err(unlike(IMAGES, part.count, &images));
                }
                let each = images.length / usize::try_from(part.count).unwrap_or(usize::MAX);
                Payloads::Equal(images, each)
            }
            Kind::Payloads => Payloads::Any(
                row_of(PAYLOAD, Element::Byte, Some(part.payload_bytes))?,
                row_of(PAYLOAD_OFFSETS, Element::Number, rows.and_then(|rows| rows.checked_add(1)))?,
            ),
            Kind::Pieces => Payloads::Pieces,
        };
        let open = OpenPart {
            payloads,
            labels: row_of(META, Element::Label, rows)?,
            ids: row_of(IDS, Element::Number, rows)?,
            record_offsets: row_of(RECORD_OFFSETS, Element::Number, rows.and_then(|rows| rows.checked_add(1)))?,
            records: row_of(RECORDS, Element::Byte, None)?,
            name_hashes: row_of(NAME_HASHES, Element::Number, named)?,
            name_rows: row_of(NAME_ROWS, Element::Number, named)?,
            part: part.clone(),
            mapped,
        };
        open.check_ids()?;
        Ok(Some(open))
    }

    /// What binary search needs to be true. Of a part with all ids from first to last none is ever read.
    fn check_ids(&self) -> Result<()> {
        let (ids, _) = self.mapped.bytes(&self.ids).as_chunks::<8>();
        let ids = || ids.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let ends = (ids().next(), ids().next_back());
        if ends != (Some(self.part.first), Some(self.part.last)) || !(self.part.is_dense() || ids().is_sorted()) {
            return Err(Error::corrupt("its ids are not those that the manifest says"));
        }
        Ok(())
    }

    /// What the manifest says of it.
    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// The row of the image `id`.
    pub(super) fn row(&self, id: Id) -> Option<u64> {
        if self.part.is_dense() {
            return id.checked_sub(self.part.first).filter(|&row| row < self.part.count);
        }
        let (ids, _) = self.mapped.bytes(&self.ids).as_chunks::<8>();
        ids.binary_search_by_key(&id, |bytes| u64::from_le_bytes(*bytes)).ok().map(|row| row as u64)
    }

    /// The first row with an id from `id` on.
    pub(super) fn row_from(&self, id: Id) -> u64 {
        if self.part.is_dense() {
            return id.saturating_sub(self.part.first).min(self.part.count);
        }
        let (ids, _) = self.mapped.bytes(&self.ids).as_chunks::<8>();
        ids.partition_point(|bytes| u64::from_le_bytes(*bytes) < id) as u64
    }

    /// The id of the image in `row`.
    pub(super) fn id(&self, row: u64) -> Option<Id> {
        if self.part.is_dense() {
            return (row < self.part.count).then(|| self.part.first + row);
        }
        self.mapped.number(&self.ids, row)
    }

    /// The descriptor of the image in `row`.
    ///
    /// # Errors
    /// `Corrupt` where there is none that can be read or it does not fit the payload.
    pub(super) fn descriptor(&self, row: u64) -> Result<Descriptor> {
        let id = self.id(row).ok_or_else(|| no_row(row))?;
        let record = self.span(&self.records, &self.record_offsets, row..row.saturating_add(1));
        let record = record.ok_or_else(|| Error::corrupt("its descriptor is not where it should be").at_id(id))?;
        let descriptor = record::decode(id, record)?;
        let length = self.payload_length(row)?;
        if descriptor.payload_length != length {
            return Err(Error::corrupt(format!(
                "its payload has {length} bytes, its descriptor says {}",
                descriptor.payload_length
            ))
            .at_id(id));
        }
        Ok(descriptor)
    }

    /// Compares what a part has of an image beside its descriptor, for readers that are none of ours, with that.
    ///
    /// # Errors
    /// `Corrupt` where they differ.
    pub(super) fn check_copies(&self, row: u64, descriptor: &Descriptor) -> Result<()> {
        let label = descriptor.label.unwrap_or(NO_LABEL);
        let copies = [(META, &self.labels, label as u64), (IDS, &self.ids, descriptor.id)];
        for (dataset, place, expected) in copies {
            let found = self.mapped.number(place, row);
            if found != Some(expected) {
                let found = found.unwrap_or_default() as i64;
                let message = format!("its row of {dataset:?} has {found} instead of {}", expected as i64);
                return Err(Error::corrupt(message).at_id(descriptor.id));
            }
        }
        Ok(())
    }

    /// Bytes of the payload of the image in `row`.
    pub(super) fn payload_length(&self, row: u64) -> Result<u64> {
        match &self.payloads {
            Payloads::Equal(_, each) => Ok(*each as u64),
            Payloads::Any(..) => self.payload(row).map(|payload| payload.len() as u64),
            Payloads::Pieces => Ok(self.part.payload_bytes),
        }
    }

    /// The payload of the image in `row`; empty where it is in pieces.
    pub(super) fn payload(&self, row: u64) -> Result<&[u8]> {
        self.payloads(row..row.saturating_add(1)).ok_or_else(|| match self.id(row) {
            Some(id) => Error::corrupt("its payload is not where it should be").at_id(id),
            None => no_row(row),
        })
    }

    /// The payloads in `rows`, one after another; `None` where they are not where they should be.
    fn payloads(&self, rows: Range<u64>) -> Option<&[u8]> {
        match &self.payloads {
            Payloads::Equal(images, each) => {
                let place = |row| usize::try_from(row).ok()?.checked_mul(*each);
                self.mapped.bytes(images).get(place(rows.start)?..place(rows.end)?)
            }
            Payloads::Any(payload, offsets) => self.span(payload, offsets, rows),
            Payloads::Pieces => Some(&[]),
        }
    }

    /// The bytes of `rows`, each of which has some.
    fn span(&self, bytes: &Place, offsets: &Place, rows: Range<u64>) -> Option<&[u8]> {
        let place = |row| usize::try_from(self.mapped.number(offsets, row)?).ok();
        self.mapped.bytes(bytes).get(place(rows.start)?..place(rows.end)?)
    }

    /// Tells the system that the payloads of so many rows from `first` on will be read soon.
    pub(super) fn expect_payloads(&self, first: u64, count: u64) {
        let end = first.saturating_add(count).min(self.part.count);
        will_need_if_long(self.payloads(first..end).unwrap_or_default());
    }

    /// Tells the system that the descriptors of so many rows from `first` on will be read soon.
    pub(super) fn expect_descriptors(&self, first: u64, count: u64) {
        let end = first.saturating_add(count).min(self.part.count);
        will_need_if_long(self.span(&self.records, &self.record_offsets, first..end).unwrap_or_default());
    }

    /// The id of the image named `name`, whose hash is `hash`, unless it is among the `removed`.
    ///
    /// # Errors
    /// `Corrupt` where what is looked up leads nowhere.
    pub(super) fn find(&self, name: &str, hash: u64, removed: &IdSet) -> Result<Option<Id>> {
        let (hashes, _) = self.mapped.bytes(&self.name_hashes).as_chunks::<8>();
        let first = hashes.partition_point(|bytes| u64::from_le_bytes(*bytes) < hash);
        for place in (first..).zip(&hashes[first..]).take_while(|(_, bytes)| u64::from_le_bytes(**bytes) == hash) {
            let row = self.mapped.number(&self.name_rows, place.0 as u64);
            let row = row.ok_or_else(|| Error::corrupt("its names lead nowhere"))?;
            // Not looked into: it may have been removed because it is damaged.
            if self.id(row).is_some_and(|id| removed.contains(id)) {
                continue;
            }
            let descriptor = self.descriptor(row)?;
            if descriptor.name.as_deref() == Some(name) {
                return Ok(Some(descriptor.id));
            }
        }
        Ok(None)
    }
}

fn unlike(name: &str, length: u64, place: &Place) -> Error {
    Error::corrupt(format!("its dataset {name:?} has the shape {:?}, the manifest says {length}", place.dimensions))
}

fn no_row(row: u64) -> Error {
    Error::corrupt(format!("it has no row {row}"))
}
