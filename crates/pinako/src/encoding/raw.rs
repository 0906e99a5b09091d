//! Raw payloads: the samples themselves, little endian, row after row.

use std::borrow::Cow;

use crate::descriptor::Descriptor;
use crate::error::{Error, Result};
use crate::image::{ImageView, SampleType};

/// The payload of `view`: its very bytes, except on a big-endian machine.
pub(super) fn encode(view: ImageView<'_>) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") || view.sample_type().size() == 1 {
        return Cow::Borrowed(view.bytes());
    }
    let mut bytes = view.bytes().to_vec();
    swap_endianness(view.sample_type(), &mut bytes);
    Cow::Owned(bytes)
}

/// The pixels of a whole payload.
pub(super) fn decode(descriptor: &Descriptor, payload: &[u8]) -> Result<Vec<u8>> {
    check_length(descriptor, payload.len() as u64)?;
    let mut bytes = payload.to_vec();
    to_native(descriptor.sample_type, &mut bytes);
    Ok(bytes)
}

/// The pixels of a whole payload, into `out`.
pub(super) fn decode_into(descriptor: &Descriptor, payload: &[u8], out: &mut [u8]) -> Result<()> {
    check_length(descriptor, payload.len() as u64)?;
    out.copy_from_slice(payload);
    to_native(descriptor.sample_type, out);
    Ok(())
}

/// Checks the length of a payload.
pub(super) fn check_length(descriptor: &Descriptor, length: u64) -> Result<()> {
    let expected = descriptor.image_bytes();
    if length == expected {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "its payload has {length} bytes, but {} {} pixels take {expected}",
        descriptor.shape, descriptor.sample_type
    )))
}

fn to_native(sample: SampleType, bytes: &mut [u8]) {
    if cfg!(target_endian = "big") {
        swap_endianness(sample, bytes);
    }
}

/// Turns the samples' byte order round.
pub(super) fn swap_endianness(sample: SampleType, bytes: &mut [u8]) {
    if sample.size() > 1 {
        bytes.chunks_exact_mut(sample.size()).for_each(<[u8]>::reverse);
    }
}
