//! The form of a part: one Arrow IPC file with one record batch, uncompressed, a column a field of the descriptor and
//! the payloads last.
//!
//! ```text
//! ARROW1  schema  record batch: descriptors' columns, where payloads begin | payloads | footer  ARROW1
//! \______________________________ head ___________________________________/
//! ```
//!
//! So one read of the head tells all but the payloads, and any byte of any payload is at a known place. Any program
//! that knows Arrow reads the file as it is.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, LargeBinaryArray, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use object_store::PutPayload;

use crate::backends::manifest::name_hash;
use crate::descriptor::{Attributes, Descriptor, Id, record};
use crate::error::{Error, Result};

/// A column: its name, its type, and whether it may be null.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// The types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Unsigned integers of so many bytes.
    Unsigned(usize),
    /// Signed integers of 8 bytes.
    Signed,
    Text,
    LargeBinary,
}

/// All in a file stands at multiples of this, its first message, too: as Arrow recommends, for those who map it.
pub(super) const ALIGNMENT: usize = 64;

/// The place of the hashes of names among the columns.
pub(super) const NAME_HASH: usize = 12;

/// The place of the payloads.
pub(super) const PAYLOAD: usize = 13;

/// The columns of a part, in order.
pub(super) const COLUMNS: [Column; PAYLOAD + 1] = [
    column("id_offset", Kind::Unsigned(8)),
    optional("name", Kind::Text),
    column("height", Kind::Unsigned(4)),
    column("width", Kind::Unsigned(4)),
    column("channels", Kind::Unsigned(2)),
    column("sample_type", Kind::Text),
    column("encoding", Kind::Text),
    optional("label", Kind::Signed),
    optional("attributes", Kind::Text),
    column("payload_length", Kind::Unsigned(8)),
    column("checksum", Kind::Unsigned(4)),
    column("descriptor_checksum", Kind::Unsigned(4)),
    optional("name_hash", Kind::Unsigned(8)),
    optional("payload", Kind::LargeBinary),
];

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: false }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: true }
}

fn schema(columns: &[Column]) -> Schema {
    let fields = columns.iter().map(|column| {
        let kind = match column.kind {
            Kind::Unsigned(2) => DataType::UInt16,
            Kind::Unsigned(4) => DataType::UInt32,
            Kind::Unsigned(_) => DataType::UInt64,
            Kind::Signed => DataType::Int64,
            Kind::Text => DataType::Utf8,
            Kind::LargeBinary => DataType::LargeBinary,
        };
        Field::new(column.name, kind, column.nullable)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// A file as it is put.
#[derive(Debug)]
pub(super) struct File {
    /// Its bytes, payloads as they were given.
    pub(super) chunks: Vec<Bytes>,
    /// Bytes before the payloads.
    pub(super) head_bytes: u64,
    pub(super) file_bytes: u64,
}

impl File {
    pub(super) fn payload(&self) -> PutPayload {
        self.chunks.iter().cloned().collect()
    }

    /// The bytes before the payloads.
    pub(super) fn head(&self) -> Bytes {
        self.chunks.first().cloned().unwrap_or_default()
    }
}

/// Collects a file's bytes, and takes the payloads, which it knows when it sees them, without a copy.
struct Chunks {
    payloads: Buffer,
    chunks: Vec<Bytes>,
    last: Vec<u8>,
    head_bytes: Option<u64>,
    length: u64,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::ptr::eq(bytes, self.payloads.as_slice()) && !bytes.is_empty() {
            self.head_bytes = Some(self.length);
            self.chunks.push(mem::take(&mut self.last).into());
            self.chunks.push(Bytes::from_owner(self.payloads.clone()));
        } else {
            self.last.extend_from_slice(bytes);
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file of a piece of a payload: the one column `payload` with the one row.
pub(super) fn piece(payload: Vec<u8>) -> Result<File> {
    let payloads = Buffer::from_vec(payload);
    let column = payload_column(&[payloads.len() as u64], &payloads, None)?;
    write(&COLUMNS[PAYLOAD..], vec![column], payloads)
}

/// The file of a part of the images of `rows`, with the offsets of their ids from the first's. Of an image in pieces
/// there are no `payloads`.
pub(super) fn part(rows: &[(Id, &Descriptor)], payloads: Option<Vec<u8>>) -> Result<File> {
    let numbers = |of: fn(&Descriptor) -> u64| rows.iter().map(|(_, row)| of(row)).collect::<UInt64Array>();
    let small = |of: fn(&Descriptor) -> u32| rows.iter().map(|(_, row)| of(row)).collect::<UInt32Array>();
    let texts = |of: fn(&Descriptor) -> Option<&str>| {
        let mut column = StringBuilder::new();
        rows.iter().for_each(|(_, row)| column.append_option(of(row)));
        column.finish()
    };
    let (mut sample_types, mut encodings) = (StringBuilder::new(), StringBuilder::new());
    let mut labels = Int64Builder::new();
    for (_, row) in rows {
        sample_types.append_value(row.sample_type.name());
        encodings.append_value(row.encoding.to_string());
        labels.append_option(row.label);
    }
    let nulls = payloads.is_none().then(|| NullBuffer::new_null(rows.len()));
    let lengths: Vec<u64> = match payloads {
        Some(_) => rows.iter().map(|(_, row)| row.payload_length).collect(),
        None => vec![0; rows.len()],
    };
    let payloads = Buffer::from_vec(payloads.unwrap_or_default());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|&(offset, _)| offset).collect::<UInt64Array>()),
        Arc::new(texts(|row| row.name.as_deref())),
        Arc::new(small(|row| row.shape.height())),
        Arc::new(small(|row| row.shape.width())),
        Arc::new(rows.iter().map(|(_, row)| row.shape.channels()).collect::<UInt16Array>()),
        Arc::new(sample_types.finish()),
        Arc::new(encodings.finish()),
        Arc::new(labels.finish()),
        Arc::new(texts(|row| row.attributes.as_ref().map(Attributes::as_str))),
        Arc::new(numbers(|row| row.payload_length)),
        Arc::new(small(|row| row.checksum)),
        Arc::new(rows.iter().map(|(offset, row)| record::checksum(*offset, row)).collect::<UInt32Array>()),
        Arc::new(rows.iter().map(|(_, row)| row.name.as_deref().map(name_hash)).collect::<UInt64Array>()),
        payload_column(&lengths, &payloads, nulls)?,
    ];
    write(&COLUMNS, columns, payloads)
}

fn payload_column(lengths: &[u64], payloads: &Buffer, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    let mut end = 0i64;
    offsets.push(end);
    for &length in lengths {
        end = end.checked_add_unsigned(length).ok_or_else(|| Error::invalid("the payloads are too long"))?;
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let column = LargeBinaryArray::try_new(offsets, payloads.clone(), nulls).map_err(no_form)?;
    Ok(Arc::new(column))
}

fn write(columns: &[Column], arrays: Vec<ArrayRef>, payloads: Buffer) -> Result<File> {
    let schema = Arc::new(schema(columns));
    let chunks = Chunks { payloads, chunks: Vec::new(), last: Vec::new(), head_bytes: None, length: 0 };
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5).map_err(no_form)?;
    let mut writer = FileWriter::try_new_with_options(chunks, &schema, options).map_err(no_form)?;
    let batch = RecordBatch::try_new(schema, arrays).map_err(no_form)?;
    writer.write(&batch).map_err(no_form)?;
    let Chunks { mut chunks, last, head_bytes, length, .. } = writer.into_inner().map_err(no_form)?;
    chunks.push(last.into());
    Ok(File { chunks, head_bytes: head_bytes.unwrap_or(length), file_bytes: length })
}

fn no_form(error: ArrowError) -> Error {
    Error::invalid("what is to be stored has no form in Arrow").with_source(error)
}
