//! Row after row: a region's runs are its rows.

use std::ops::Range;

use crate::image::Region;

/// The rows of `region` in an image that is `width` wide; one run where they are whole.
pub(crate) fn runs(width: u32, pixel: u64, region: Region) -> Vec<Range<u64>> {
    let (stride, length) = (u64::from(width) * pixel, u64::from(region.width()) * pixel);
    let first = u64::from(region.y()) * stride + u64::from(region.x()) * pixel;
    // Whole rows are one run.
    let (count, length) = match region.width() == width {
        true => (1, length * u64::from(region.height())),
        false => (u64::from(region.height()), length),
    };
    (0..count).map(|row| first + row * stride..first + row * stride + length).collect()
}

/// From the pixel `rank` on as many rows as have no more than `most` pixels; where a row has more, a piece of it.
pub(super) fn part_at(width: u32, height: u32, most: u64, rank: u64) -> Option<Region> {
    let (x, y) = ((rank % u64::from(width)) as u32, u32::try_from(rank / u64::from(width)).ok()?);
    if y >= height {
        return None;
    }
    let rows = (most / u64::from(width)).min((height - y).into()) as u32;
    let columns = most.min((width - x).into()) as u32;
    Region::new(x, y, columns, rows.max(1)).ok()
}

/// Copies the pixels of `region` that `bytes`, from `offset` on in the payload, has.
pub(super) fn place(width: u32, pixel: usize, region: Region, offset: u64, bytes: &[u8], out: &mut [u8]) {
    let pixel = pixel as u64;
    let held = offset.next_multiple_of(pixel)..(offset + bytes.len() as u64) / pixel * pixel;
    let stride = u64::from(width) * pixel;
    let length = u64::from(region.width()) * pixel;
    let left = u64::from(region.x()) * pixel;
    let first = (held.start / stride).max(region.y().into());
    let end = held.end.div_ceil(stride).min(u64::from(region.y()) + u64::from(region.height()));
    for y in first..end {
        let start = y * stride + left;
        let wanted = start.max(held.start)..(start + length).min(held.end);
        if wanted.is_empty() {
            continue;
        }
        let to = ((y - u64::from(region.y())) * length + (wanted.start - start)) as usize;
        let from = (wanted.start - offset) as usize;
        let count = (wanted.end - wanted.start) as usize;
        out[to..to + count].copy_from_slice(&bytes[from..from + count]);
    }
}
