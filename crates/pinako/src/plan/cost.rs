//! What reading costs: the model that plans are chosen by.

use serde::Serialize;

use crate::backend::IoHints;
use crate::error::{Error, Result};

/// What it costs to read: `reads` reads of `bytes` bytes in all take `ceil(reads / P) t1 + bytes t2` seconds, where P of
/// them are in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    pub(super) read_seconds: f64,
    pub(super) byte_seconds: f64,
    pub(super) parallel_reads: u32,
    pub(super) block: u64,
}

impl Cost {
    /// The most seconds that a read or a byte may take: one hour.
    pub(super) const MOST_SECONDS: f64 = 3600.0;
    /// The fewest: less than any device takes for a bit.
    pub(super) const LEAST_SECONDS: f64 = 1e-15;

    /// The costs of a read (t1, seconds), of a byte (t2, seconds), and how many reads are in flight at once (P). `block`
    /// is the bytes that the device reads at least, aligned to as many; 1 where it may begin anywhere.
    ///
    /// # Errors
    /// `InvalidInput` where t1 or t2 is not from a femtosecond to an hour, or P or `block` is 0.
    pub fn new(read_seconds: f64, byte_seconds: f64, parallel_reads: u32, block: u32) -> Result<Self> {
        for (name, seconds) in [("a read", read_seconds), ("a byte", byte_seconds)] {
            if !(Self::LEAST_SECONDS..=Self::MOST_SECONDS).contains(&seconds) {
                return Err(Error::invalid(format!(
                    "the cost of {name} must be from 1e-15 seconds to an hour, not {seconds:?}"
                )));
            }
        }
        if parallel_reads == 0 || block == 0 {
            return Err(Error::invalid("at least one read is in flight, and a block has at least one byte"));
        }
        Ok(Cost { read_seconds, byte_seconds, parallel_reads, block: block.into() })
    }

    /// t1: seconds for one read, of however few bytes.
    pub fn read_seconds(&self) -> f64 {
        self.read_seconds
    }

    /// t2: seconds for one byte more.
    pub fn byte_seconds(&self) -> f64 {
        self.byte_seconds
    }

    /// P: reads in flight at once.
    pub fn parallel_reads(&self) -> u32 {
        self.parallel_reads
    }

    /// Bytes that the device reads at least.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// What so many reads of so many bytes in all take, in seconds.
    pub fn seconds(&self, reads: usize, bytes: u64) -> f64 {
        let turns = reads.div_ceil(self.parallel_reads as usize);
        turns as f64 * self.read_seconds + bytes as f64 * self.byte_seconds
    }

    /// t1 / t2: the bytes that take as long as a read.
    pub fn bytes_per_read(&self) -> f64 {
        self.read_seconds / self.byte_seconds
    }

    /// n*, the exponent of the grid that regions of single pixels along the curve are best grown to:
    /// `floor(log4(t1 / (P s t2)))` for pixels of s bytes, and 0 where even that does not pay. The paper's own is that of
    /// P = 1.
    ///
    /// Growing from n - 1 to n halves the reads, of which a perimeter of c pixels has c / 2^(n+1) before, and reads
    /// c 2^(n-2) pixels more. Each of many reads takes t1 / P, so it pays while 4^n < t1 / (P s t2).
    pub fn n_star(&self, pixel_size: u64) -> u32 {
        let ratio = self.bytes_per_read() / (f64::from(self.parallel_reads) * pixel_size as f64);
        let mut n = 0;
        while n < super::MAX_GROWTH && 4f64.powi(n as i32 + 1) <= ratio {
            n += 1;
        }
        n
    }
}

impl From<Cost> for IoHints {
    fn from(cost: Cost) -> Self {
        let Cost { read_seconds, byte_seconds, parallel_reads, block } = cost;
        let block = u32::try_from(block).unwrap_or(u32::MAX); // it is made of one
        IoHints { read_seconds, byte_seconds, parallel_reads, block }
    }
}

impl TryFrom<IoHints> for Cost {
    type Error = Error;

    fn try_from(hints: IoHints) -> Result<Self> {
        Cost::new(hints.read_seconds, hints.byte_seconds, hints.parallel_reads, hints.block)
    }
}
