//! Descriptors as rows of the table `image`.

use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::schema::as_bigint;
use crate::descriptor::columns::{self, Columns};
use crate::descriptor::{Attributes, Descriptor, Id, record};
use crate::error::{Error, Result};

/// The largest id of an image, which leaves one for the next.
pub(super) const MAX_ID: Id = i64::MAX as Id - 1;

/// Ids as PostgreSQL takes them; one that it does not take is that of no image.
pub(super) fn as_bigints(ids: impl IntoIterator<Item = Id>) -> Vec<i64> {
    ids.into_iter().map(|id| i64::try_from(id).unwrap_or(-1)).collect()
}

/// Appends the row of an image in the form of `COPY ... BINARY`.
pub(super) fn encode(id: Id, descriptor: &Descriptor, out: &mut BytesMut) -> Result<()> {
    let shape = descriptor.shape;
    out.put_i16(columns::NAMES.len() as i16);
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
    checked(id, row, first).map(Some).map_err(|error| error.at_id(id))
}

fn checked(id: Id, row: &Row, first: usize) -> Result<Descriptor> {
    let columns = Columns {
        name: optional(row, first, 1)?,
        height: integer(row, first, 2)?,
        width: integer(row, first, 3)?,
        channels: integer(row, first, 4)?,
        sample_type: required(row, first, 5)?,
        encoding: required(row, first, 6)?,
        label: optional(row, first, 7)?,
        attributes: optional(row, first, 8)?,
        payload_length: integer(row, first, 9)?,
        checksum: integer(row, first, 10)?,
    };
    let descriptor = columns.descriptor(id)?;
    record::check(id, &descriptor, integer(row, first, 11)?)?;
    Ok(descriptor)
}

/// A number in a column, which must fit.
fn integer<T: TryFrom<i64>>(row: &Row, first: usize, column: usize) -> Result<T> {
    let value: i64 = required(row, first, column)?;
    T::try_from(value).map_err(|_| Error::corrupt(format!("its column \"{}\" holds {value}", columns::NAMES[column])))
}

fn required<'a, T: FromSql<'a>>(row: &'a Row, first: usize, column: usize) -> Result<T> {
    optional(row, first, column)?
        .ok_or_else(|| Error::corrupt(format!("its column \"{}\" holds nothing", columns::NAMES[column])))
}

fn optional<'a, T: FromSql<'a>>(row: &'a Row, first: usize, column: usize) -> Result<Option<T>> {
    value(row, first + column, columns::NAMES[column])
}

/// What a row holds in a column of that name, which must be of our type.
pub(super) fn value<'a, T: FromSql<'a>>(row: &'a Row, at: usize, name: &str) -> Result<Option<T>> {
    row.try_get(at)
        .map_err(|error| Error::corrupt(format!("its column \"{name}\" is not of our type")).with_source(error))
}
