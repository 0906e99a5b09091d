//! What stands in a part before its payloads: the descriptors, read out of the Arrow file's own bytes.
//!
//! Nothing in it is believed: where a column lies must be inside, offsets must ascend, and each descriptor is checked
//! against its checksum when it is asked for. So columns are taken straight from the bytes, by the places that the
//! file's own metadata says, which costs nothing but for the rows that are wanted.

use std::ops::Range;
use std::sync::OnceLock;

use arrow_ipc::{Endianness, Message, MetadataVersion, Type};
use bytes::Bytes;

use super::part::{ALIGNMENT, COLUMNS, Column, Kind, NAME_HASH, PAYLOAD};
use crate::backends::manifest::{self, IdSet, NameColumn, Part, name_hash};
use crate::checksum::crc32c;
use crate::descriptor::columns::Columns;
use crate::descriptor::{Descriptor, Id, record};
use crate::error::{Error, Result};

/// What an Arrow file begins with.
const MAGIC: &[u8] = b"ARROW1";

/// What each message in it begins with.
const CONTINUATION: &[u8] = &[0xff; 4];

/// The head of a part.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Bytes,
    first: Id,
    rows: usize,
    columns: Vec<Buffers>,
    named: u64,
    /// Hashes and rows of names, ascending, once any was asked for.
    names: OnceLock<Vec<(u64, u32)>>,
}

/// Where a column's bytes are.
#[derive(Debug, Clone, Default)]
struct Buffers {
    /// One bit a row; empty where no row is null.
    validity: Range<usize>,
    /// Where each text begins and ends; of columns of texts.
    offsets: Range<usize>,
    values: Range<usize>,
}

impl Head {
    /// Reads the head of `part`.
    ///
    /// # Errors
    /// `Corrupt` where it is not what the manifest says; `Unsupported` where it is sound but of another form.
    pub(super) fn open(bytes: Bytes, part: &Part) -> Result<Self> {
        let rows = usize::try_from(part.count).map_err(|_| corrupt("it has too many rows"))?;
        let (schema, after) = message(&bytes, ALIGNMENT)?;
        if !bytes.starts_with(MAGIC) {
            return Err(corrupt("it does not begin as an Arrow file does"));
        }
        check_schema(&schema)?;
        let (batch, body) = message(&bytes, after)?;
        let columns = buffers(&batch, body, part, bytes.len() as u64)?;
        let head = Head { bytes, first: part.first, rows, columns, named: part.named, names: OnceLock::new() };
        head.check_ids(part)?;
        if part.kind != manifest::Kind::Pieces {
            head.check_payloads(part)?;
        }
        Ok(head)
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> u64 {
        self.bytes.len() as u64 + 16 * self.named + 1024
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The id of the image in `row`.
    pub(super) fn id(&self, row: usize) -> Id {
        self.first.saturating_add(self.number(0, row).unwrap_or(0))
    }

    /// The row of the image `id`.
    pub(super) fn row(&self, id: Id) -> Option<usize> {
        let row = self.row_from(id);
        (row < self.rows && self.id(row) == id).then_some(row)
    }

    /// The first row with an id from `id` on.
    pub(super) fn row_from(&self, id: Id) -> usize {
        let (offsets, _) = self.slice(&self.columns[0].values).as_chunks::<8>();
        let Some(offset) = id.checked_sub(self.first) else { return 0 };
        offsets.partition_point(|bytes| u64::from_le_bytes(*bytes) < offset).min(self.rows)
    }

    /// Where the payload of the image in `row` is among the part's.
    pub(super) fn payload(&self, row: usize) -> Result<Range<u64>> {
        let offset = |row| self.payload_offset(row).ok_or_else(|| corrupt("its payloads are not where they should be"));
        Ok(offset(row)?..offset(row + 1)?)
    }

    /// Bytes of the payload of the image in `row`, as its descriptor says, whether or not that is sound.
    pub(super) fn payload_length(&self, row: usize) -> Option<u64> {
        self.number(9, row)
    }

    fn payload_offset(&self, row: usize) -> Option<u64> {
        let (offsets, _) = self.slice(&self.columns[PAYLOAD].offsets).as_chunks::<8>();
        offsets.get(row).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// What binary search needs to be true.
    fn check_ids(&self, part: &Part) -> Result<()> {
        let (offsets, _) = self.slice(&self.columns[0].values).as_chunks::<8>();
        let offsets = || offsets.iter().map(|bytes| u64::from_le_bytes(*bytes)).take(self.rows);
        let ascend = offsets().zip(offsets().skip(1)).all(|(one, next)| one < next);
        if offsets().next() != Some(0) || offsets().next_back() != Some(part.last - part.first) || !ascend {
            return Err(corrupt("its ids are not those that the manifest says"));
        }
        Ok(())
    }

    /// What is said twice of where payloads are must agree.
    fn check_payloads(&self, part: &Part) -> Result<()> {
        let mut end = 0u64;
        for row in 0..self.rows {
            let next = self.number(9, row).and_then(|length| end.checked_add(length));
            if self.payload_offset(row) != Some(end) || next.is_none() {
                return Err(corrupt("its payloads are not where they should be"));
            }
            end = next.unwrap_or(end);
        }
        if self.payload_offset(self.rows) != Some(end) || end != part.payload_bytes {
            return Err(corrupt(format!("its payloads have {end} bytes, the manifest says {}", part.payload_bytes)));
        }
        Ok(())
    }

    /// The descriptor of the image in `row`.
    ///
    /// # Errors
    /// `Corrupt` where it is damaged; `Unsupported` where it says what this version does not know.
    pub(super) fn descriptor(&self, row: usize) -> Result<Descriptor> {
        let id = self.id(row);
        self.descriptor_of(id, row).map_err(|error| error.at_id(id))
    }

    fn descriptor_of(&self, id: Id, row: usize) -> Result<Descriptor> {
        let columns = Columns {
            name: self.optional_text(1, row)?,
            height: self.small(2, row)?,
            width: self.small(3, row)?,
            channels: self.small(4, row)?,
            sample_type: self.text(5, row)?,
            encoding: self.text(6, row)?,
            label: if self.is_valid(7, row) { Some(self.wide(7, row)?.cast_signed()) } else { None },
            attributes: self.optional_text(8, row)?,
            payload_length: self.wide(9, row)?,
            checksum: self.small(10, row)?,
        };
        let descriptor = columns.descriptor(id)?;
        let hash = if self.is_valid(NAME_HASH, row) { Some(self.wide(NAME_HASH, row)?) } else { None };
        if hash != descriptor.name.as_deref().map(name_hash) {
            return Err(corrupt("the hash that its name is found by is another's"));
        }
        // The part does not know at which id it will stand when it is written, so the sum has the offset.
        record::check(id - self.first, &descriptor, self.small(11, row)?)?;
        Ok(descriptor)
    }

    /// Where the hashes of names are.
    pub(super) fn name_column(&self) -> NameColumn {
        NameColumn { at: self.columns[NAME_HASH].values.start as u64, crc32c: crc32c(self.name_hashes()) }
    }

    /// The hashes of names, 8 bytes a row.
    pub(super) fn name_hashes(&self) -> &[u8] {
        let start = self.columns[NAME_HASH].values.start;
        self.slice(&(start..start + 8 * self.rows))
    }

    /// The id of the image named `name`, whose hash is `hash`, unless it is among the `removed`.
    pub(super) fn find(&self, name: &str, hash: u64, removed: &IdSet) -> Option<Id> {
        let names = self.names.get_or_init(|| self.hash_names());
        let first = names.partition_point(|&(other, _)| other < hash);
        let rows = names[first..].iter().take_while(|&&(other, _)| other == hash).map(|&(_, row)| row as usize);
        let found = rows.filter(|&row| matches!(self.optional_text(1, row), Ok(Some(other)) if other == name));
        found.map(|row| self.id(row)).find(|&id| !removed.contains(id))
    }

    fn hash_names(&self) -> Vec<(u64, u32)> {
        let hashed = (0..self.rows).filter_map(|row| {
            let name = self.optional_text(1, row).ok()??;
            Some((name_hash(name), u32::try_from(row).ok()?))
        });
        let mut names: Vec<(u64, u32)> = hashed.collect();
        names.sort_unstable();
        names
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        // `buffers` checked that all lie inside.
        &self.bytes[range.clone()]
    }

    /// The bytes of a number in a column of numbers.
    fn fixed<const N: usize>(&self, column: usize, row: usize) -> Option<[u8; N]> {
        let (numbers, _) = self.slice(&self.columns[column].values).as_chunks::<N>();
        numbers.get(row).copied()
    }

    /// A number of 8 bytes.
    fn number(&self, column: usize, row: usize) -> Option<u64> {
        self.fixed(column, row).map(u64::from_le_bytes)
    }

    fn wide(&self, column: usize, row: usize) -> Result<u64> {
        self.number(column, row).ok_or_else(|| ends_early(column))
    }

    /// A number of 2 or 4 bytes.
    fn small<T: TryFrom<u32>>(&self, column: usize, row: usize) -> Result<T> {
        let number = match COLUMNS[column].kind {
            Kind::Unsigned(2) => self.fixed(column, row).map(|bytes| u32::from(u16::from_le_bytes(bytes))),
            _ => self.fixed(column, row).map(u32::from_le_bytes),
        };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| ends_early(column))
    }

    fn is_valid(&self, column: usize, row: usize) -> bool {
        let validity = self.slice(&self.columns[column].validity);
        validity.is_empty() || validity.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }

    fn optional_text(&self, column: usize, row: usize) -> Result<Option<&str>> {
        if self.is_valid(column, row) { self.text(column, row).map(Some) } else { Ok(None) }
    }

    fn text(&self, column: usize, row: usize) -> Result<&str> {
        let Buffers { offsets, values, .. } = &self.columns[column];
        let (offsets, _) = self.slice(offsets).as_chunks::<4>();
        let offset = |row: usize| usize::try_from(i32::from_le_bytes(*offsets.get(row)?)).ok();
        let bytes = offset(row).zip(offset(row + 1)).and_then(|(from, to)| self.slice(values).get(from..to));
        let bytes = bytes.ok_or_else(|| ends_early(column))?;
        std::str::from_utf8(bytes)
            .map_err(|error| corrupt(format!("its {:?} is not UTF-8", COLUMNS[column].name)).with_source(error))
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::corrupt(message)
}

fn ends_early(column: usize) -> Error {
    corrupt(format!("its {:?} is not where it should be", COLUMNS[column].name))
}

/// The message at `at`, and where what follows it begins.
fn message(bytes: &[u8], at: usize) -> Result<(Message<'_>, usize)> {
    let no_message = || corrupt("its metadata is damaged");
    let rest = bytes.get(at..).and_then(|rest| rest.strip_prefix(CONTINUATION)).ok_or_else(no_message)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(no_message)?;
    let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| no_message())?;
    let metadata = rest.get(..length).ok_or_else(no_message)?;
    let message = arrow_ipc::root_as_message(metadata).map_err(|error| no_message().with_source(error.to_string()))?;
    if message.version() != MetadataVersion::V5 {
        return Err(Error::unsupported(format!("its metadata has the version {:?}", message.version())));
    }
    Ok((message, at + CONTINUATION.len() + 4 + length))
}

/// Checks that the columns are those of [`COLUMNS`].
fn check_schema(message: &Message<'_>) -> Result<()> {
    let schema = message.header_as_schema().ok_or_else(|| corrupt("its metadata is damaged"))?;
    let fields = schema.fields().filter(|fields| fields.len() == COLUMNS.len());
    let (Some(fields), Endianness::Little) = (fields, schema.endianness()) else {
        return Err(corrupt("its columns are not those of a part"));
    };
    for (field, Column { name, kind, .. }) in fields.iter().zip(&COLUMNS) {
        let integer = |bytes: usize, signed: bool| {
            let found = field.type_as_int();
            found.is_some_and(|found| found.bitWidth() == 8 * bytes as i32 && found.is_signed() == signed)
        };
        let fits = match *kind {
            Kind::Unsigned(bytes) => integer(bytes, false),
            Kind::Signed => integer(8, true),
            Kind::Text => field.type_type() == Type::Utf8,
            Kind::LargeBinary => field.type_type() == Type::LargeBinary,
        };
        if field.name() != Some(name) || !fits || field.dictionary().is_some() {
            return Err(corrupt(format!("its column {name:?} is not there, or not of the type that it should be of")));
        }
    }
    Ok(())
}

/// Where the columns of the record batch are, whose body begins at `body`, in a head of `length` bytes.
fn buffers(message: &Message<'_>, body: usize, part: &Part, length: u64) -> Result<Vec<Buffers>> {
    let damaged = || corrupt("its metadata is damaged");
    let batch = message.header_as_record_batch().ok_or_else(damaged)?;
    let (nodes, places) = batch.nodes().zip(batch.buffers()).ok_or_else(damaged)?;
    if batch.compression().is_some() {
        return Err(Error::unsupported("it is compressed"));
    }
    let rows = part.count;
    let all_rows = nodes.iter().all(|node| u64::try_from(node.length()) == Ok(rows));
    if u64::try_from(batch.length()) != Ok(rows) || nodes.len() != COLUMNS.len() || !all_rows {
        return Err(corrupt(format!("it has {} rows, the manifest says {rows}", batch.length())));
    }
    // Start and length of each, in the file.
    let mut places = places.iter().map(|place| {
        let start = u64::try_from(place.offset()).ok()?.checked_add(body as u64)?;
        Some((start, u64::try_from(place.length()).ok()?))
    });
    let mut next = || places.next().flatten().ok_or_else(damaged);
    // What of a buffer is needed must lie in the head.
    let inside = |(start, found): (u64, u64), least: Option<u64>| {
        let end = start.checked_add(found).filter(|&end| end <= length).ok_or_else(damaged)?;
        if least.is_none_or(|least| found < least) {
            return Err(damaged());
        }
        Ok(start as usize..end as usize)
    };
    let mut columns = Vec::with_capacity(COLUMNS.len());
    for Column { kind, nullable, .. } in &COLUMNS {
        let validity = next()?;
        let validity = match validity.1 {
            0 => 0..0,
            _ if !nullable => return Err(damaged()),
            _ => inside(validity, Some(rows.div_ceil(8)))?,
        };
        let each = |bytes: u64| rows.checked_mul(bytes);
        let offsets = |bytes: u64| rows.checked_add(1)?.checked_mul(bytes);
        columns.push(match *kind {
            Kind::Unsigned(bytes) => Buffers { validity, offsets: 0..0, values: inside(next()?, each(bytes as u64))? },
            Kind::Signed => Buffers { validity, offsets: 0..0, values: inside(next()?, each(8))? },
            Kind::Text => {
                Buffers { validity, offsets: inside(next()?, offsets(4))?, values: inside(next()?, Some(0))? }
            }
            Kind::LargeBinary => {
                let offsets = inside(next()?, offsets(8))?;
                let in_part = if part.kind == manifest::Kind::Pieces { 0 } else { part.payload_bytes };
                let (start, found) = next()?;
                if found != in_part || found > 0 && start != part.head_bytes {
                    return Err(corrupt("its payloads are not where the manifest says"));
                }
                Buffers { validity, offsets, values: 0..0 }
            }
        });
    }
    Ok(columns)
}
