//! Three levels of the quadtree at once.
//!
//! A square of 8 x 8 cells has 64 positions, as many as a `u64` has bits. The cells of a rectangle in it are the
//! intersection of some columns and some rows, each a difference of two looked-up sets, and their runs are runs of ones: a
//! few operations for what takes a hundred branches cell by cell.

use crate::state::{STATES, State, child, corner};

/// The levels of the quadtree in a tile.
pub(crate) const LEVELS: u32 = 3;

/// The cells on a side of a tile.
pub(crate) const SIDE: u32 = 1 << LEVELS;

/// The order of 8 x 8 cells.
#[derive(Debug)]
pub(crate) struct Tile {
    /// The cell at each position: eight times its row and its column.
    pub(crate) cells: [u8; 64],
    /// The state of the cell at each position.
    pub(crate) states: [State; 64],
    /// The positions of all cells left of each column, and of all cells below each row, 0 to 8. There are 16 so that four
    /// bits are an index without a check.
    left_of: [u64; 16],
    below: [u64; 16],
}

/// Columns and rows of cells of a tile, both from the first on and less than the second, up to 8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells {
    pub(crate) columns: (u32, u32),
    pub(crate) rows: (u32, u32),
}

impl Tile {
    /// That of `state`.
    pub(crate) fn new(state: State) -> &'static Self {
        &TILES[state as usize % STATES]
    }

    /// The positions of `cells`, as bits; none where an end is before its beginning.
    #[inline]
    pub(crate) fn positions(&self, cells: Cells) -> u64 {
        let within = |sets: &[u64; 16], (start, end): (u32, u32)| sets[end as usize & 15] & !sets[start as usize & 15];
        within(&self.left_of, cells.columns) & within(&self.below, cells.rows)
    }
}

static TILES: [Tile; STATES] = [tile(0), tile(1), tile(2), tile(3)];

pub(crate) const fn tile(first: State) -> Tile {
    let mut tile = Tile { cells: [0; 64], states: [0; 64], left_of: [0; 16], below: [0; 16] };
    let mut position = 0;
    while position < 64 {
        let (mut state, mut x, mut y) = (first, 0, 0);
        let mut level = LEVELS;
        while level > 0 {
            level -= 1;
            let quarter = (position >> (2 * level)) & 3;
            let (right, up) = corner(state, quarter);
            (x, y) = (x << 1 | right, y << 1 | up);
            state = child(state, quarter);
        }
        tile.cells[position as usize] = (y * SIDE + x) as u8;
        tile.states[position as usize] = state;
        let mut side = 0;
        while side < 16 {
            tile.left_of[side as usize] |= if x < side { 1 << position } else { 0 };
            tile.below[side as usize] |= if y < side { 1 << position } else { 0 };
            side += 1;
        }
        position += 1;
    }
    tile
}
