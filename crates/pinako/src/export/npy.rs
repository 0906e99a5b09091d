//! One N,H,W,C array in NumPy's own format, and its labels beside it.
//!
//! The header (NumPy's NEP 1) of the images is written last, when the number of images is known; its length does not
//! depend on it.

use std::path::Path;

use super::aside::AsideFile;
use super::{Batches, write_array};
use crate::descriptor::NO_LABEL;
use crate::error::Result;
use crate::image::{Image, SampleType};

/// Bytes of a header: a multiple of 64, as the format asks, and room for four dimensions.
const HEADER: usize = 128;

/// What a header begins with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy's sign for this machine's byte order.
const NATIVE: char = if cfg!(target_endian = "little") { '<' } else { '>' };

pub(super) fn export(batches: &Batches<'_>, out: &Path) -> Result<()> {
    let (shape, sample) = batches.first()?;
    let mut images = AsideFile::new(out)?;
    let labels_out = out.with_extension("labels.npy");
    if images.left_began_with(MAGIC) {
        // Of a process that was killed when only the labels had their name.
        let _ = std::fs::remove_file(&labels_out);
    }
    let mut labels_file = AsideFile::new(&labels_out)?;
    images.write(&[0; HEADER])?;
    let labels = write_array(batches, (shape, sample), &mut |bytes| images.write(bytes))?;
    let count = labels.len() as u64;
    let dimensions = [count, shape.height().into(), shape.width().into(), shape.channels().into()];
    images.write_start(&header(NATIVE, type_code(sample), &dimensions))?;
    if labels.iter().all(|&label| label == NO_LABEL) {
        return images.done();
    }
    labels_file.write(&header('<', "i8", &[count]))?;
    for label in labels {
        labels_file.write(&label.to_le_bytes())?;
    }
    labels_file.done()?;
    // Last: where the images are, their labels are.
    images.done().inspect_err(|_| {
        let _ = std::fs::remove_file(&labels_out); // labels of nothing
    })
}

/// One image as an H,W,C array.
pub(super) fn one(image: Image) -> Vec<u8> {
    let shape = image.shape();
    let dimensions = [shape.height().into(), shape.width().into(), shape.channels().into()];
    let header = header(NATIVE, type_code(image.sample_type()), &dimensions);
    let mut bytes = image.into_bytes(); // a large one should not be there twice
    bytes.reserve_exact(HEADER);
    bytes.splice(..0, header);
    bytes
}

/// NumPy's name of a sample type, without its byte order.
fn type_code(sample: SampleType) -> &'static str {
    match sample {
        SampleType::U8 => "u1",
        SampleType::U16 => "u2",
        SampleType::U32 => "u4",
        SampleType::I16 => "i2",
        SampleType::F32 => "f4",
        SampleType::F64 => "f8",
    }
}

fn header(order: char, code: &str, dimensions: &[u64]) -> [u8; HEADER] {
    let order = if code == "u1" { '|' } else { order };
    let shape: String = dimensions.iter().map(|dimension| format!("{dimension}, ")).collect();
    let text = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let mut header = [b' '; HEADER];
    header[..6].copy_from_slice(MAGIC);
    header[6..8].copy_from_slice(&[1, 0]); // the format's version
    header[8..10].copy_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_header_has_room() {
        let longest = header('<', "f8", &[u64::MAX, u32::MAX.into(), u32::MAX.into(), u16::MAX.into()]);
        assert_eq!(longest[HEADER - 1], b'\n');
        let text = std::str::from_utf8(&longest[10..]).unwrap();
        assert!(text.trim_end().ends_with('}'), "{text}");
    }
}
