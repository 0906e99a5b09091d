//! Where each pixel stands in a raw payload: a region's runs of bytes, and pixels between the two orders.
//!
//! An image in memory is row-major. Its payload may be in another layout, whose pixels have to be moved; this is the hot
//! loop of every read. It goes block by block, so that both sides stay in the cache, and has a loop of its own for each
//! usual pixel size, so that a pixel is a register and not a call.

mod hilbert;
mod row;
#[cfg(test)]
mod tests;
mod three_bytes;

use std::ops::Range;

pub(crate) use row::runs as row_runs;

use pinako_curve::{Order, Rect};

use crate::descriptor::{Descriptor, Encoding, Layout};
use crate::error::{Error, Result};
use crate::image::{Region, SampleType, Shape};

/// Bytes that are packed at a time where the image is not in memory.
const PART_BYTES: u64 = 4 << 20;

/// The layout of one image's payload.
#[derive(Debug, Clone, Copy)]
pub struct Arrangement {
    order: PixelOrder,
    shape: Shape,
    /// Bytes of a pixel.
    pixel: usize,
}

#[derive(Debug, Clone, Copy)]
enum PixelOrder {
    Row,
    Hilbert(Order),
}

impl Arrangement {
    /// That of a raw payload in `layout`.
    ///
    /// # Errors
    /// `InvalidInput` where a side is 0, which no [`Shape`]'s is.
    pub fn new(layout: Layout, shape: Shape, sample: SampleType) -> Result<Self> {
        let order = match layout {
            Layout::Row => PixelOrder::Row,
            Layout::Hilbert(block) => Order::new(shape.width(), shape.height(), block.side())
                .map(PixelOrder::Hilbert)
                .ok_or_else(|| Error::invalid("an image has at least one pixel"))?,
        };
        Ok(Arrangement { order, shape, pixel: shape.pixel_size(sample) as usize })
    }

    /// That of an image's payload; `None` where it is not raw.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of(descriptor: &Descriptor) -> Result<Option<Self>> {
        match descriptor.encoding {
            Encoding::Raw(layout) => Self::new(layout, descriptor.shape, descriptor.sample_type).map(Some),
            _ => Ok(None),
        }
    }

    /// Bytes of a pixel.
    pub fn pixel_size(&self) -> u64 {
        self.pixel as u64
    }

    /// Bytes of the payload.
    pub fn payload_bytes(&self) -> u64 {
        self.shape.pixels() * self.pixel as u64
    }

    /// `region` grown outward to multiples of 2^`n` pixels, as far as the image reaches. The border that is rounded up is
    /// the first column or row that is not in the region.
    pub fn grow(&self, region: Region, n: u32) -> Region {
        let grown = |start: u32, length: u32, end: u32| {
            let grid = 1u64 << n.min(32); // no side is as long
            let first = u64::from(start) / grid * grid;
            let last = (u64::from(start) + u64::from(length)).next_multiple_of(grid).min(end.into());
            (first as u32, (last - first) as u32)
        };
        let (x, width) = grown(region.x(), region.width(), self.shape.width());
        let (y, height) = grown(region.y(), region.height(), self.shape.height());
        Region::new(x, y, width, height).unwrap_or(region)
    }

    /// The exact runs of bytes that the pixels of `region`, which is inside the image, have in the payload: ascending,
    /// none of them touching the next.
    ///
    /// # Panics
    /// Where it is not inside.
    pub fn runs(&self, region: Region) -> Vec<Range<u64>> {
        self.assert_inside(region);
        let pixel = self.pixel as u64;
        match &self.order {
            PixelOrder::Row => row::runs(self.shape.width(), pixel, region),
            PixelOrder::Hilbert(order) => hilbert::runs(order, pixel, region),
        }
    }

    /// Runs that come to the same as the exact ones once they are rounded outward to multiples of `device_block` bytes:
    /// those of one block of the image, where the rounding will join them, are one already.
    pub(crate) fn runs_to_round(&self, region: Region, device_block: u64) -> Vec<Range<u64>> {
        self.assert_inside(region);
        match &self.order {
            PixelOrder::Hilbert(order) => hilbert::runs_to_round(order, self.pixel as u64, region, device_block),
            PixelOrder::Row => self.runs(region),
        }
    }

    /// Puts the pixels of a whole payload in order, into a row-major image of as many bytes.
    ///
    /// # Panics
    /// Where one of them has not exactly [`payload_bytes`](Self::payload_bytes).
    pub fn unpack(&self, payload: &[u8], image: &mut [u8]) {
        self.check_lengths(payload, image);
        match &self.order {
            PixelOrder::Row => image.copy_from_slice(payload),
            PixelOrder::Hilbert(order) => hilbert::unpack(order, self.pixel, payload, image),
        }
    }

    /// Puts the pixels of a row-major image into a whole payload of as many bytes.
    ///
    /// # Panics
    /// Where one of them has not exactly [`payload_bytes`](Self::payload_bytes).
    pub fn pack(&self, image: &[u8], payload: &mut [u8]) {
        self.check_lengths(payload, image);
        match &self.order {
            PixelOrder::Row => payload.copy_from_slice(image),
            PixelOrder::Hilbert(order) => hilbert::pack(order, self.pixel, image, payload),
        }
    }

    /// The rectangle whose pixels stand in the payload from `offset` on, which is 0 or where such a one ends; `None` at the
    /// end of the payload. It has no more than 4 MiB.
    ///
    /// An image that is not in memory as a whole is packed rectangle by rectangle.
    pub(crate) fn part_at(&self, offset: u64) -> Option<Region> {
        let pixel = self.pixel as u64;
        let rank = offset / pixel;
        match &self.order {
            PixelOrder::Row => row::part_at(self.shape.width(), self.shape.height(), (PART_BYTES / pixel).max(1), rank),
            PixelOrder::Hilbert(order) => {
                let Rect { x, y, width, height } = hilbert::part_at(order, pixel, PART_BYTES, rank)?;
                Region::new(x, y, width, height).ok()
            }
        }
    }

    /// Packs the pixels of the rectangle that [`part_at`](Self::part_at) gave for `offset`, row by row, into as many bytes
    /// of payload.
    pub(crate) fn pack_part(&self, part: Region, offset: u64, rows: &[u8], payload: &mut [u8]) {
        match &self.order {
            PixelOrder::Row => payload.copy_from_slice(rows),
            PixelOrder::Hilbert(order) => {
                hilbert::pack_part(order, self.pixel, part, offset / self.pixel as u64, rows, payload);
            }
        }
    }

    fn check_lengths(&self, payload: &[u8], image: &[u8]) {
        let expected = self.payload_bytes();
        assert_eq!((payload.len() as u64, image.len() as u64), (expected, expected), "bytes of payload and image");
    }

    /// Copies those pixels of `region` that are in `bytes`, which stand from `offset` on in the payload, into `out`, the
    /// row-major pixels of the region. Pixels that are cut by an end of `bytes` are left out.
    ///
    /// # Panics
    /// Where the region is not inside the image, or `out` has not exactly its bytes.
    pub fn place(&self, region: Region, offset: u64, bytes: &[u8], out: &mut [u8]) {
        self.assert_inside(region);
        let expected = u64::from(region.width()) * u64::from(region.height()) * self.pixel as u64;
        assert_eq!(out.len() as u64, expected, "bytes of the region");
        match &self.order {
            PixelOrder::Row => row::place(self.shape.width(), self.pixel, region, offset, bytes, out),
            PixelOrder::Hilbert(order) => hilbert::place(order, self.pixel, region, offset, bytes, out),
        }
    }

    /// Checks that a region is inside the image.
    ///
    /// # Errors
    /// `InvalidInput` where it is not.
    pub(crate) fn check_inside(&self, region: Region) -> Result<()> {
        region.check_inside(self.shape)
    }

    fn assert_inside(&self, region: Region) {
        assert!(self.check_inside(region).is_ok(), "the region {region} is not inside an image of {}", self.shape);
    }
}
