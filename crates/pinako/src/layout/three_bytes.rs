//! Squares of 8 x 8 pixels of three bytes, RGB for the most part, in a pattern of the curve.
//!
//! A processor moves two bytes or four, not three. So each pixel is moved together with a byte that does not matter, onto
//! which the next one is put: one load and one store a pixel instead of two, a third less time. Places are constants, for
//! the loops are unrolled.

use pinako_curve::PATTERNS;

use super::hilbert::{POSITIONS, WHOLE};

/// From the payload to eight rows, each `stride` bytes after the one before.
#[inline]
pub(super) fn to_rows<const PATTERN: usize>(payload: &[u8], rows: &mut [u8], stride: usize) {
    let payload = payload.first_chunk::<192>().expect(WHOLE);
    debug_assert!(rows.len() > 7 * stride);
    for (row, positions) in rows.chunks_mut(stride).zip(const { POSITIONS[PATTERN].as_chunks::<8>().0 }) {
        let row = row.first_chunk_mut::<24>().expect(WHOLE);
        for (column, &position) in positions.iter().enumerate() {
            put(row, column, get(payload, position as usize & 63));
        }
    }
}

/// From eight rows, each `stride` bytes after the one before, to the payload.
#[inline]
pub(super) fn to_payload<const PATTERN: usize>(rows: &[u8], payload: &mut [u8], stride: usize) {
    debug_assert!(rows.len() > 7 * stride);
    let mut starts = [&[0; 24]; 8];
    for (start, row) in starts.iter_mut().zip(rows.chunks(stride)) {
        *start = row.first_chunk().expect(WHOLE);
    }
    let payload = payload.first_chunk_mut::<192>().expect(WHOLE);
    let cell = |position: usize| {
        let cell = const { PATTERNS[PATTERN] }[position] as usize & 63;
        get(starts[cell / 8], cell % 8)
    };
    // By eights, for a loop of 64 stays one.
    macro_rules! put_eights {
        ($($first:literal)*) => {
            $(for position in $first..$first + 8 {
                put(payload, position, cell(position));
            })*
        };
    }
    put_eights!(0 8 16 24 32 40 48 56);
}

/// The pixel at `place`, in the low three bytes.
#[inline(always)]
fn get<const LENGTH: usize>(pixels: &[u8; LENGTH], place: usize) -> u32 {
    let start = 3 * place;
    let word = |start: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| pixels[start + byte]));
    if start + 4 > LENGTH { word(start - 1) >> 8 } else { word(start) }
}

/// Puts a pixel; those that follow it are put after it.
#[inline(always)]
fn put<const LENGTH: usize>(pixels: &mut [u8; LENGTH], place: usize, pixel: u32) {
    let start = 3 * place;
    if start + 4 > LENGTH {
        pixels[start..].copy_from_slice(&pixel.to_le_bytes()[..3]);
    } else {
        pixels[start..start + 4].copy_from_slice(&pixel.to_le_bytes());
    }
}
