//! Points and positions.
//!
//! Going down the quadtree level by level takes two bits a step. These tables take four levels, eight bits, at once: 2 KiB
//! for each direction, which stay in the first cache.

use crate::state::{STATES, State, above, child, corner};

/// Levels that one look into a table goes down.
const STEP: u32 = 4;

/// The curve through a grid of 2^k x 2^k cells, for an order k of 0 to 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Curve {
    order: u8,
}

impl Curve {
    /// The highest order.
    pub const MAX_ORDER: u32 = 32;

    /// The curve of that order; `None` beyond [`MAX_ORDER`](Self::MAX_ORDER).
    pub const fn new(order: u32) -> Option<Self> {
        if order <= Self::MAX_ORDER { Some(Curve { order: order as u8 }) } else { None }
    }

    /// The curve through the smallest grid that has `width` x `height` cells.
    pub const fn covering(width: u32, height: u32) -> Self {
        let longer = if width > height { width } else { height };
        let order = if longer <= 1 { 0 } else { u32::BITS - (longer - 1).leading_zeros() };
        Curve { order: order as u8 }
    }

    /// The order.
    pub const fn order(self) -> u32 {
        self.order as u32
    }

    /// The number of cells on a side of the grid, 1 to 2^32.
    pub const fn side(self) -> u64 {
        1 << self.order
    }

    /// Where the cell (`x`, `y`) is on the curve, from 0. Coordinates count modulo the [`side`](Self::side).
    #[inline]
    pub const fn position(self, x: u32, y: u32) -> u64 {
        let (steps, state) = self.steps();
        let mask = self.mask();
        position(steps, state, x & mask, y & mask)
    }

    /// The cell (x, y) at a position on the curve. Positions count modulo the number of cells.
    #[inline]
    pub const fn point(self, position: u64) -> (u32, u32) {
        let (steps, state) = self.steps();
        let cells = 2 * self.order();
        point(steps, state, if cells < u64::BITS { position & ((1 << cells) - 1) } else { position })
    }

    /// [`position`](Self::position) of many cells.
    ///
    /// # Panics
    /// Where `points` and `positions` differ in length.
    pub fn positions(self, points: &[(u32, u32)], positions: &mut [u64]) {
        assert_eq!(points.len(), positions.len(), "as many points as positions");
        match self.steps().0 {
            0 => positions.fill(0),
            1 => self.positions_in::<1>(points, positions),
            2 => self.positions_in::<2>(points, positions),
            3 => self.positions_in::<3>(points, positions),
            4 => self.positions_in::<4>(points, positions),
            5 => self.positions_in::<5>(points, positions),
            6 => self.positions_in::<6>(points, positions),
            7 => self.positions_in::<7>(points, positions),
            _ => self.positions_in::<8>(points, positions),
        }
    }

    /// [`point`](Self::point) of many positions.
    ///
    /// # Panics
    /// Where `positions` and `points` differ in length.
    pub fn points(self, positions: &[u64], points: &mut [(u32, u32)]) {
        assert_eq!(positions.len(), points.len(), "as many positions as points");
        match self.steps().0 {
            0 => points.fill((0, 0)),
            1 => self.points_in::<1>(positions, points),
            2 => self.points_in::<2>(positions, points),
            3 => self.points_in::<3>(positions, points),
            4 => self.points_in::<4>(positions, points),
            5 => self.points_in::<5>(positions, points),
            6 => self.points_in::<6>(positions, points),
            7 => self.points_in::<7>(positions, points),
            _ => self.points_in::<8>(positions, points),
        }
    }

    /// A loop for each number of steps, so that it can be unrolled.
    fn positions_in<const STEPS: u32>(self, points: &[(u32, u32)], positions: &mut [u64]) {
        let (_, state) = self.steps();
        let mask = self.mask();
        for (&(x, y), out) in points.iter().zip(positions) {
            *out = position(STEPS, state, x & mask, y & mask);
        }
    }

    fn points_in<const STEPS: u32>(self, positions: &[u64], points: &mut [(u32, u32)]) {
        let (_, state) = self.steps();
        let mask = u64::MAX >> (u64::BITS - 2 * self.order());
        for (&position, out) in positions.iter().zip(points) {
            *out = point(STEPS, state, position & mask);
        }
    }

    /// How often the tables are looked into, and the state to begin with: the levels may be fewer than that takes.
    const fn steps(self) -> (u32, State) {
        let steps = self.order().div_ceil(STEP);
        (steps, above(steps * STEP - self.order()))
    }

    const fn mask(self) -> u32 {
        (self.side() - 1) as u32
    }
}

#[inline(always)]
const fn position(steps: u32, mut state: State, x: u32, y: u32) -> u64 {
    let mut position = 0;
    let mut step = steps;
    while step > 0 {
        step -= 1;
        let (x, y) = ((x >> (STEP * step)) & 15, (y >> (STEP * step)) & 15);
        let found = POSITIONS[state as usize][(x << STEP | y) as usize];
        position = position << (2 * STEP) | (found & 0xff) as u64;
        state = (found >> 8) as State % STATES as State;
    }
    position
}

#[inline(always)]
const fn point(steps: u32, mut state: State, position: u64) -> (u32, u32) {
    let (mut x, mut y) = (0, 0);
    let mut step = steps;
    while step > 0 {
        step -= 1;
        let found = POINTS[state as usize][(position >> (2 * STEP * step)) as usize & 0xff] as u32;
        x = x << STEP | (found >> STEP) & 15;
        y = y << STEP | found & 15;
        state = (found >> 8) as State % STATES as State;
    }
    (x, y)
}

/// By state and position in a square of 16 x 16: the state of the cell there, four bits of x and four of y.
const POINTS: [[u16; 256]; STATES] = {
    let mut table = [[0; 256]; STATES];
    let mut first = 0;
    while first < STATES {
        let mut position = 0;
        while position < 256 {
            let (mut state, mut x, mut y) = (first as State, 0, 0);
            let mut level = STEP;
            while level > 0 {
                level -= 1;
                let quarter = (position as u32 >> (2 * level)) & 3;
                let (right, up) = corner(state, quarter);
                (x, y) = (x << 1 | right, y << 1 | up);
                state = child(state, quarter);
            }
            table[first][position] = (state as u16) << 8 | (x << STEP | y) as u16;
            position += 1;
        }
        first += 1;
    }
    table
};

/// By state, four bits of x and four of y: the state of the cell there and its position in a square of 16 x 16.
const POSITIONS: [[u16; 256]; STATES] = {
    let mut table = [[0; 256]; STATES];
    let mut state = 0;
    while state < STATES {
        let mut position = 0;
        while position < 256 {
            let found = POINTS[state][position];
            table[state][(found & 0xff) as usize] = found & 0xff00 | position as u16;
            position += 1;
        }
        state += 1;
    }
    table
};
