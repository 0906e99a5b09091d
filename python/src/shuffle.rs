//! Random orders that take no memory and no state: any stretch of one can be made at any time.
//!
//! A Feistel network permutes the numbers below a power of four (Luby and Rackoff, 1988), and what lands outside of those
//! that are wanted is permuted again until it lands inside (cycle walking: Black and Rogaway, 2002). So the image at any
//! place of an epoch follows from the seed, the epoch and the place alone.

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

const ROUNDS: usize = 8;

/// Bits of half a number, at least: networks of few bits are not very random.
const LEAST_HALF: u32 = 4;

/// A random order of the numbers below `size`.
struct Order {
    size: u64,
    half: u32,
    keys: [u64; ROUNDS],
}

impl Order {
    fn new(size: u64, seed: u64, epoch: u64) -> Self {
        let half = (u64::BITS - size.saturating_sub(1).leading_zeros()).div_ceil(2).max(LEAST_HALF);
        let mut state = mixed(mixed(seed) ^ epoch.wrapping_mul(GOLDEN));
        let keys = std::array::from_fn(|_| {
            state = state.wrapping_add(GOLDEN);
            mixed(state)
        });
        Order { size, half, keys }
    }

    /// The number at `place`, which is below `size`.
    fn at(&self, place: u64) -> u64 {
        let mut number = place;
        loop {
            number = self.permuted(number);
            if number < self.size {
                return number;
            }
        }
    }

    fn permuted(&self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        left << self.half | right
    }
}

/// What SplitMix64 (Steele, Lea and Flood, 2014) counts by.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's mixing of bits.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The numbers at `places` of the random order of the numbers below `size` that belongs to a seed and an epoch.
#[pyfunction]
pub fn shuffled<'py>(
    py: Python<'py>,
    size: u64,
    seed: u64,
    epoch: u64,
    places: Vec<u64>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    if i64::try_from(size).is_err() || places.iter().any(|&place| place >= size) {
        return Err(PyValueError::new_err(format!("there are {size} places")));
    }
    let order = Order::new(size, seed, epoch);
    let numbers: Vec<i64> = py.detach(|| places.into_iter().map(|place| order.at(place) as i64).collect());
    Ok(numbers.into_pyarray(py))
}
