//! Raw payloads: the samples themselves, little endian, in a layout.

use std::borrow::Cow;

use crate::descriptor::{Descriptor, Encoding, Layout};
use crate::error::{Error, Result};
use crate::image::{ImageView, SampleType};
use crate::layout::Arrangement;

/// The payload of `view`: its very bytes where it is row by row, except on a big-endian machine.
pub(super) fn encode(view: ImageView<'_>, layout: Layout) -> Result<Cow<'_, [u8]>> {
    let mut payload = Cow::Borrowed(view.bytes());
    if layout != Layout::Row {
        let (shape, sample) = (view.shape(), view.sample_type());
        let arrangement = Arrangement::new(layout, shape, sample)?;
        let mut packed = vec![0; view.bytes().len()];
        arrangement.pack(view.bytes(), &mut packed);
        payload = Cow::Owned(packed);
    }
    if cfg!(target_endian = "big") && view.sample_type().size() > 1 {
        swap_endianness(view.sample_type(), payload.to_mut());
    }
    Ok(payload)
}

/// The pixels of a whole payload.
pub(super) fn decode(descriptor: &Descriptor, payload: &[u8]) -> Result<Vec<u8>> {
    check_length(descriptor, payload.len() as u64)?;
    if descriptor.encoding != Encoding::Raw(Layout::Row) {
        let mut bytes = vec![0; payload.len()];
        decode_into(descriptor, payload, &mut bytes)?;
        return Ok(bytes);
    }
    let mut bytes = payload.to_vec(); // which need not be zeroed first
    to_native(descriptor.sample_type, &mut bytes);
    Ok(bytes)
}

/// The pixels of a whole payload, into `out`.
pub(super) fn decode_into(descriptor: &Descriptor, payload: &[u8], out: &mut [u8]) -> Result<()> {
    check_length(descriptor, payload.len() as u64)?;
    match Arrangement::of(descriptor)? {
        None => out.copy_from_slice(payload),
        Some(arrangement) => arrangement.unpack(payload, out),
    }
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

/// Turns little-endian samples into those of this machine.
pub(crate) fn to_native(sample: SampleType, bytes: &mut [u8]) {
    if cfg!(target_endian = "big") {
        swap_endianness(sample, bytes);
    }
}

/// Turns this machine's samples into little-endian ones.
pub(crate) fn to_little_endian(sample: SampleType, bytes: &mut [u8]) {
    to_native(sample, bytes); // which is the same way
}

/// Turns the samples' byte order round.
pub(super) fn swap_endianness(sample: SampleType, bytes: &mut [u8]) {
    if sample.size() > 1 {
        bytes.chunks_exact_mut(sample.size()).for_each(<[u8]>::reverse);
    }
}
