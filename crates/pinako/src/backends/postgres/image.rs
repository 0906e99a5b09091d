//! Descriptors as rows of the table `image`.

use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::schema::as_bigint;
use crate::descriptor::{Attributes, Descriptor, Encoding, Id, check_name, record};
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

/// The columns in the order in which [`descriptor`] takes them.
pub(super) const COLUMNS: [&str; 12] = [
    "id",
    "name",
    "height",
    "width",
    "channels",
    "sample_type",
    "encoding",
    "label",
    "attributes",
    "payload_length",
    "checksum",
    "descriptor_checksum",
];

/// The largest id of an image, which leaves one for the next.
pub(super) const MAX_ID: Id = i64::MAX as Id - 1;

/// Ids as PostgreSQL takes them; one that it does not take is that of no image.
pub(super) fn as_bigints(ids: impl IntoIterator<Item = Id>) -> Vec<i64> {
    ids.into_iter().map(|id| i64::try_from(id).unwrap_or(-1)).collect()
}

/// Appends the row of an image in the form of `COPY ... BINARY`.
pub(super) fn encode(id: Id, descriptor: &Descriptor, out: &mut BytesMut) -> Result<()> {
    let shape = descriptor.shape;
    out.put_i16(COLUMNS.len() as i16);
    put_bigint(out, as_bigint(id)?);
    put_text(out, descriptor.name.as_deref());
    put_bigint(out, shape.height().into());
    put_bigint(out, shape.width().into());
    put_bigint(out, shape.channels().into());
    put_text(out, Some(descriptor.sample_type.name()));
    put_text(out, Some(&descriptor.encoding.to_string()));
    match descriptor.label {
        Some(label) => put_bigint(out, label),
        None => out.put_i32(-1),
    }
    put_text(out, descriptor.attributes.as_ref().map(Attributes::as_str));
    put_bigint(out, as_bigint(descriptor.payload_length)?);
    put_bigint(out, descriptor.checksum.into());
    put_bigint(out, record::checksum(id, descriptor).into());
    Ok(())
}

fn put_bigint(out: &mut BytesMut, value: i64) {
    out.put_i32(8);
    out.put_i64(value);
}

fn put_text(out: &mut BytesMut, text: Option<&str>) {
    match text {
        // Names and attributes are far shorter than 2 GiB.
        Some(text) => {
            out.put_i32(text.len() as i32);
            out.put_slice(text.as_bytes());
        }
        None => out.put_i32(-1),
    }
}

/// The descriptor in the columns of a row from `first` on; `None` where they are those of no image.
pub(super) fn descriptor(row: &Row, first: usize) -> Result<Option<Descriptor>> {
    let Some(id) = optional::<i64>(row, first, 0)? else { return Ok(None) };
    let id = Id::try_from(id).map_err(|_| Error::corrupt(format!("its table \"image\" has a row with the id {id}")))?;
    columns(id, row, first).map(Some).map_err(|error| error.at_id(id))
}

fn columns(id: Id, row: &Row, first: usize) -> Result<Descriptor> {
    let unknown = |what: &str, found: &str| {
        Error::unsupported(format!("its {what} {found:?} is none that this version knows"))
            .with_hint("a newer version of Pinako may have written it")
    };
    let name = match optional::<&str>(row, first, 1)? {
        None => None,
        Some(name) => {
            check_name(name).map_err(|error| Error::corrupt("its name is not sound").with_source(error))?;
            Some(name.to_owned())
        }
    };
    let shape = Shape::new(integer(row, first, 2)?, integer(row, first, 3)?, integer(row, first, 4)?)
        .map_err(|error| Error::corrupt("its shape is impossible").with_source(error))?;
    let sample_type: &str = required(row, first, 5)?;
    let sample_type = SampleType::from_name(sample_type).ok_or_else(|| unknown("sample type", sample_type))?;
    let encoding: Encoding = required::<&str>(row, first, 6)?.parse()?;
    let attributes = optional::<&str>(row, first, 8)?
        .map(Attributes::parse)
        .transpose()
        .map_err(|error| Error::corrupt("its attributes are not a JSON object").with_source(error))?;
    let descriptor = Descriptor {
        id,
        name,
        shape,
        sample_type,
        encoding,
        label: optional(row, first, 7)?,
        attributes,
        payload_length: integer(row, first, 9)?,
        checksum: integer(row, first, 10)?,
    };
    let (expected, found) = (integer(row, first, 11)?, record::checksum(id, &descriptor));
    if found == expected { Ok(descriptor) } else { Err(record::damaged(expected, found)) }
}

/// A number in a column, which must fit.
fn integer<T: TryFrom<i64>>(row: &Row, first: usize, column: usize) -> Result<T> {
    let value: i64 = required(row, first, column)?;
    T::try_from(value).map_err(|_| Error::corrupt(format!("its column \"{}\" holds {value}", COLUMNS[column])))
}

fn required<'a, T: FromSql<'a>>(row: &'a Row, first: usize, column: usize) -> Result<T> {
    optional(row, first, column)?
        .ok_or_else(|| Error::corrupt(format!("its column \"{}\" holds nothing", COLUMNS[column])))
}

fn optional<'a, T: FromSql<'a>>(row: &'a Row, first: usize, column: usize) -> Result<Option<T>> {
    value(row, first + column, COLUMNS[column])
}

/// What a row holds in a column of that name, which must be of our type.
pub(super) fn value<'a, T: FromSql<'a>>(row: &'a Row, at: usize, name: &str) -> Result<Option<T>> {
    row.try_get(at)
        .map_err(|error| Error::corrupt(format!("its column \"{name}\" is not of our type")).with_source(error))
}
