//! The order of an image's pixels: blocks along the curve, and ranks.
//!
//! The grid is the smallest square of 2^k pixels a side that holds the image. Its blocks of B x B pixels stand in the
//! curve's order, row by row inside. Pixels of the grid that are outside of the image are left out, so a pixel's place is
//! its *rank*: how many pixels of the image stand before it. Ranks come from going down the quadtree, as the image has in
//! each of its squares a rectangle, whose area is known at once.

use core::ops::Range;

use crate::curve::Curve;
use crate::state::{STATES, State, above};
use crate::tile::{self, Cells, Tile};

/// The order in which the pixels of an image stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    width: u32,
    height: u32,
    /// The binary logarithm of the block's side.
    block: u32,
    /// Tiles, each in a cell of the one above, from the whole grid down to the blocks; at least one.
    steps: u32,
    /// The state of the first.
    state: State,
}

/// A rectangle of pixels: those from (`x`, `y`) on, `width` columns and `height` rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    /// The first column.
    pub x: u32,
    /// The first row.
    pub y: u32,
    /// The number of columns.
    pub width: u32,
    /// The number of rows.
    pub height: u32,
}

/// Pixels that stand one after another and make up a rectangle of the image.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Where it is in the image; smaller than others at the image's border.
    pub rect: Rect,
    /// The rank of its first pixel.
    pub rank: u64,
    /// How single pixels stand in it, as an index of [`PATTERNS`]; `None` where they stand row by row.
    pub pattern: Option<usize>,
}

/// The four orders that 8 x 8 single pixels may stand in: for each position, eight times the row plus the column.
///
/// In a [`Block`] at the image's border that has not all of these pixels, the others are left out.
pub const PATTERNS: [[u8; 64]; STATES] = {
    let mut patterns = [[0; 64]; STATES];
    let mut state = 0;
    while state < STATES {
        patterns[state] = tile::tile(state as State).cells;
        state += 1;
    }
    patterns
};

impl Order {
    /// The largest side of a block.
    pub const MAX_BLOCK: u32 = 256;

    /// The order of an image with blocks of `block` x `block` pixels.
    ///
    /// `None` where a side is 0, or `block` is not a power of two from 1 to [`MAX_BLOCK`](Self::MAX_BLOCK).
    pub const fn new(width: u32, height: u32, block: u32) -> Option<Self> {
        if width == 0 || height == 0 || !block.is_power_of_two() || block > Self::MAX_BLOCK {
            return None;
        }
        let levels = Curve::covering(width.div_ceil(block), height.div_ceil(block)).order();
        let steps = if levels == 0 { 1 } else { levels.div_ceil(tile::LEVELS) };
        let state = above(steps * tile::LEVELS - levels);
        Some(Order { width, height, block: block.trailing_zeros(), steps, state })
    }

    /// The image's width in pixels.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// The image's height in pixels.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The pixels on a side of a block.
    pub const fn block(&self) -> u32 {
        1 << self.block
    }

    /// The rank of a pixel; `None` outside of the image.
    pub fn rank(&self, x: u32, y: u32) -> Option<u64> {
        let mut rank = None;
        self.runs(Rect { x, y, width: 1, height: 1 }, |run| rank = Some(run.start));
        rank
    }

    /// The pixel (x, y) with that rank; `None` where the image has no more than so many pixels.
    pub fn pixel(&self, mut rank: u64) -> Option<(u32, u32)> {
        let mut square = self.top();
        if rank >= self.area(square) {
            return None;
        }
        while square.steps > 0 {
            let tile = Tile::new(square.state);
            square = (0..64).map(|position| square.cell(tile, position, self.block)).find(|&cell| {
                let area = self.area(cell);
                let is_here = rank < area;
                rank -= if is_here { 0 } else { area };
                is_here
            })?;
        }
        let width = self.size(square).0;
        Some(((square.x + rank % width) as u32, (square.y + rank / width) as u32))
    }

    /// Gives `each` the runs of ranks that the pixels of `rect` have, as far as they are in the image: ascending, and as
    /// few as there can be. It takes time in proportion to their number, not to the area.
    pub fn runs(&self, rect: Rect, each: impl FnMut(Range<u64>)) {
        let Some(rect) = self.clip(rect) else { return };
        let mut walk = Walk { order: self, rect, ranks: 0..u64::MAX, visit: Runs { each, pending: 0..0 } };
        walk.down(self.top(), 0);
        walk.visit.finish();
    }

    /// Gives `each` the blocks that have pixels of `rect` and pixels with ranks in `ranks`, in their order. Blocks of a
    /// single pixel are put together to squares of 8 x 8.
    pub fn blocks(&self, rect: Rect, ranks: Range<u64>, each: impl FnMut(Block)) {
        let Some(rect) = self.clip(rect).filter(|_| !ranks.is_empty()) else { return };
        Walk { order: self, rect, ranks, visit: Blocks { each } }.down(self.top(), 0);
    }

    fn clip(&self, rect: Rect) -> Option<Borders> {
        let end = |start: u32, length: u32, end: u32| (u64::from(start) + u64::from(length)).min(end.into());
        let borders = Borders {
            left: rect.x.into(),
            low: rect.y.into(),
            right: end(rect.x, rect.width, self.width),
            high: end(rect.y, rect.height, self.height),
        };
        (borders.left < borders.right && borders.low < borders.high).then_some(borders)
    }

    fn top(&self) -> Square {
        Square { x: 0, y: 0, steps: self.steps, state: self.state }
    }

    /// How many columns and rows of the image a square has.
    #[inline]
    fn size(&self, square: Square) -> (u64, u64) {
        let side = square.side(self.block);
        let width = u64::from(self.width).saturating_sub(square.x).min(side);
        let height = u64::from(self.height).saturating_sub(square.y).min(side);
        (width, height)
    }

    #[inline]
    fn area(&self, square: Square) -> u64 {
        let (width, height) = self.size(square);
        width * height
    }
}

/// A square of the quadtree: its first pixel, how many tiles, each in a cell of the one above, it is divided by down to
/// the blocks, and how the pattern lies in it. A block is a square that no tile divides.
#[derive(Debug, Clone, Copy)]
struct Square {
    x: u64,
    y: u64,
    steps: u32,
    state: State,
}

impl Square {
    /// The binary logarithm of its cells' side, in pixels.
    #[inline]
    fn cell_levels(self, block: u32) -> u32 {
        block + tile::LEVELS * (self.steps - 1)
    }

    /// Its side in pixels. The whole grid may be larger than the 2^32 pixels that an image may have.
    #[inline]
    fn side(self, block: u32) -> u64 {
        1 << (block + tile::LEVELS * self.steps)
    }

    /// The square in the cell of that position of its tile.
    #[inline]
    fn cell(self, tile: &Tile, position: u32, block: u32) -> Self {
        let cell = u64::from(tile.cells[position as usize & 63]);
        let levels = self.cell_levels(block);
        let side = u64::from(tile::SIDE);
        Square {
            x: self.x + ((cell % side) << levels),
            y: self.y + ((cell / side) << levels),
            steps: self.steps - 1,
            state: tile.states[position as usize & 63],
        }
    }
}

/// A rectangle inside the image, with the first column and row that are not in it.
#[derive(Debug, Clone, Copy)]
struct Borders {
    left: u64,
    low: u64,
    right: u64,
    high: u64,
}

/// What is done at the places that a walk comes to.
trait Visit {
    /// Whether squares all of whose pixels are wanted are walked through nevertheless.
    const DIVIDES: bool;

    /// All of `area` pixels from `rank` on are wanted.
    fn whole(&mut self, rank: u64, area: u64);

    /// Some pixels of a block are wanted, or all of them where [`DIVIDES`](Self::DIVIDES).
    fn block(&mut self, order: &Order, block: Square, rank: u64, rect: &Borders);
}

/// A walk down the quadtree, along the curve.
struct Walk<'a, V> {
    order: &'a Order,
    rect: Borders,
    /// Squares without any of these are left out, which only who divides all squares asks for; in others all that is in the
    /// rectangle is wanted.
    ranks: Range<u64>,
    visit: V,
}

impl<V: Visit> Walk<'_, V> {
    /// Walks through `square`, which has wanted pixels and ranks, and begins at `rank`.
    fn down(&mut self, square: Square, mut rank: u64) {
        let order = self.order;
        let is_tile_of_pixels = square.steps == 1 && order.block == 0;
        if square.steps == 0 || (is_tile_of_pixels && V::DIVIDES) {
            return self.visit.block(order, square, rank, &self.rect);
        }
        let tile = Tile::new(square.state);
        let (mut wanted, whole) = self.cells(square, tile);
        let (width, height) = order.size(square);
        if width == height && width == square.side(order.block) {
            let levels = 2 * square.cell_levels(order.block);
            if V::DIVIDES {
                wanted &= among(&self.ranks, rank, levels);
            }
            while wanted != 0 {
                let position = wanted.trailing_zeros();
                let start = rank + (u64::from(position) << levels);
                let length = (!(whole >> position)).trailing_zeros();
                if length > 0 {
                    self.visit.whole(start, u64::from(length) << levels);
                    wanted &= u64::MAX.checked_shl(position + length).unwrap_or(0);
                } else {
                    self.down(square.cell(tile, position, order.block), start);
                    wanted &= wanted - 1;
                }
            }
            return;
        }
        for position in 0..64 {
            if wanted >> position == 0 || V::DIVIDES && self.ranks.end <= rank {
                return;
            }
            let cell = square.cell(tile, position, order.block);
            let area = order.area(cell);
            match () {
                () if wanted >> position & 1 == 0 || V::DIVIDES && rank + area <= self.ranks.start => {}
                () if whole >> position & 1 == 1 => self.visit.whole(rank, area),
                () => self.down(cell, rank),
            }
            rank += area;
        }
    }

    /// The positions of the cells of `square` that have wanted pixels, and of those that have no others.
    #[inline]
    fn cells(&self, square: Square, tile: &Tile) -> (u64, u64) {
        let levels = square.cell_levels(self.order.block);
        let last = (1u64 << levels) - 1;
        let side = u64::from(tile::SIDE);
        // Cells that reach beyond the image have no other pixels than those up to its border.
        let touched = |start: u64, end: u64, from: u64| {
            let start = start.saturating_sub(from) >> levels;
            let end = (end.saturating_sub(from) + last) >> levels;
            (start.min(side) as u32, end.min(side) as u32)
        };
        let filled = |start: u64, end: u64, from: u64, border: u32| {
            let start = (start.saturating_sub(from) + last) >> levels;
            let end = if end == border.into() { side } else { end.saturating_sub(from) >> levels };
            (start.min(side) as u32, end.min(side) as u32)
        };
        let rect = &self.rect;
        let wanted = tile.positions(Cells {
            columns: touched(rect.left, rect.right, square.x),
            rows: touched(rect.low, rect.high, square.y),
        });
        let whole = tile.positions(Cells {
            columns: filled(rect.left, rect.right, square.x, self.order.width),
            rows: filled(rect.low, rect.high, square.y, self.order.height),
        });
        (wanted, if V::DIVIDES { 0 } else { whole & wanted })
    }
}

/// The positions of those of 64 cells that have some of `ranks`, where the first begins at `rank` and each has 2^`levels`.
#[inline]
fn among(ranks: &Range<u64>, rank: u64, levels: u32) -> u64 {
    let below = |count: u64| if count < 64 { (1 << count) - 1 } else { u64::MAX };
    let before = ranks.start.saturating_sub(rank) >> levels;
    let last = ranks.end.saturating_sub(rank).div_ceil(1 << levels);
    below(last) & !below(before)
}

/// Gathers runs; one that goes on where the last has ended is part of it.
struct Runs<F> {
    each: F,
    pending: Range<u64>,
}

impl<F: FnMut(Range<u64>)> Runs<F> {
    fn finish(&mut self) {
        if !self.pending.is_empty() {
            (self.each)(self.pending.clone());
        }
    }
}

impl<F: FnMut(Range<u64>)> Visit for Runs<F> {
    const DIVIDES: bool = false;

    #[inline]
    fn whole(&mut self, start: u64, length: u64) {
        if self.pending.end == start {
            self.pending.end += length;
            return;
        }
        self.finish();
        self.pending = start..start + length;
    }

    fn block(&mut self, order: &Order, block: Square, rank: u64, rect: &Borders) {
        let (width, height) = order.size(block);
        let left = rect.left.saturating_sub(block.x);
        let right = (rect.right - block.x).min(width);
        for row in rect.low.saturating_sub(block.y)..(rect.high - block.y).min(height) {
            self.whole(rank + row * width + left, right - left);
        }
    }
}

struct Blocks<F> {
    each: F,
}

impl<F: FnMut(Block)> Visit for Blocks<F> {
    const DIVIDES: bool = true;

    fn whole(&mut self, _: u64, _: u64) {}

    fn block(&mut self, order: &Order, block: Square, rank: u64, _: &Borders) {
        let (width, height) = order.size(block);
        let rect = Rect { x: block.x as u32, y: block.y as u32, width: width as u32, height: height as u32 };
        let pattern = (block.steps > 0).then_some(block.state as usize % STATES);
        (self.each)(Block { rect, rank, pattern });
    }
}
