//! Blocks along the Hilbert curve.

use std::ops::Range;

use pinako_curve::{Block, Order, PATTERNS, Rect};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{row, three_bytes};
use crate::image::Region;
use crate::of_process::OfProcess;

/// Images of fewer bytes are moved on one thread.
const PARALLEL: usize = 4 << 20;

/// Those that move large ones: rayon's own pool is not there in a fork, where a single image may well be read.
static POOL: OfProcess<ThreadPool> = OfProcess::new();

pub(super) fn runs(order: &Order, pixel: u64, region: Region) -> Vec<Range<u64>> {
    // A perimeter of c pixels has about c / 4 runs where blocks are single pixels, and a row of a block otherwise; a long
    // and narrow region has far fewer.
    const MOST: usize = 4096;
    let mut runs = Vec::with_capacity(((region.width() as usize + region.height() as usize) / 2).min(MOST));
    order.runs(rect(region), |run| runs.push(run.start * pixel..run.end * pixel));
    runs
}

/// As [`runs`], but where the gaps between the rows of a block are shorter than `device_block` the block has a single run:
/// a narrow region has a run for each of its rows, and but few blocks.
pub(super) fn runs_to_round(order: &Order, pixel: u64, region: Region, device_block: u64) -> Vec<Range<u64>> {
    let widest_gap = u64::from(order.block() - 1) * pixel;
    if order.block() == 1 || widest_gap >= device_block {
        return runs(order, pixel, region);
    }
    let Rect { x: left, y: top, width, height } = rect(region);
    let mut runs: Vec<Range<u64>> = Vec::new();
    order.blocks(rect(region), 0..u64::MAX, |block| {
        let Rect { x, y, .. } = block.rect;
        let stride = u64::from(block.rect.width);
        let (first_column, end_column) = overlap(x, block.rect.width, left, width);
        let (first_row, end_row) = overlap(y, block.rect.height, top, height);
        let start = block.rank + u64::from(first_row - y) * stride + u64::from(first_column - x);
        let end = block.rank + u64::from(end_row - 1 - y) * stride + u64::from(end_column - x);
        match runs.last_mut() {
            Some(last) if last.end == start * pixel => last.end = end * pixel,
            _ => runs.push(start * pixel..end * pixel),
        }
    });
    runs
}

/// Copies the pixels of `region` that `bytes`, from `offset` on in the payload, has.
pub(super) fn place(order: &Order, pixel: usize, region: Region, offset: u64, bytes: &[u8], out: &mut [u8]) {
    let size = pixel as u64;
    let held = offset.div_ceil(size)..(offset + bytes.len() as u64) / size;
    if held.is_empty() {
        return;
    }
    let bytes = &bytes[(held.start * size - offset) as usize..];
    let pixels = Pixels { frame: rect(region), wanted: rect(region), held };
    each_some(order, pixels.wanted, pixels.held.clone(), |blocks| pixels.to_rows(pixel, blocks, bytes, out));
}

/// Puts a whole payload in order.
///
/// Rows of tiles are put in order one after another, for a page of memory has pixels of many tiles side by side, and to
/// look up where it is costs as much as to copy a tile's row. Where rows of blocks are long, it goes on in strips of a few
/// rows, so that the cache holds all lines that are written to until they are full; this takes two thirds of the time.
pub(super) fn unpack(order: &Order, pixel: usize, payload: &[u8], image: &mut [u8]) {
    const STRIP: u32 = 8;
    let (width, side) = (order.width(), tile_side(order));
    let stride = width as usize * pixel;
    let held = 0..u64::from(width) * u64::from(order.height());
    // Whoever waits for others on a thread of rayon's does other work meanwhile: here another chunk of images might be
    // fetched before the call of the backend ends that lends this payload. Such a thread has others beside it anyway.
    let is_long = image.len() >= PARALLEL && rayon::current_thread_index().is_none();
    let pool = is_long.then(|| POOL.get(|| ThreadPoolBuilder::new().build()).ok()).flatten();
    let band = |(number, image): (usize, &mut [u8])| {
        let frame = Rect { x: 0, y: number as u32 * side, width, height: (image.len() / stride) as u32 };
        let mut place = |wanted: Rect, blocks: &[Block]| {
            Pixels { frame, wanted, held: held.clone() }.to_rows(pixel, blocks, payload, image);
        };
        if order.block() < side {
            for x in (0..width).step_by(side as usize) {
                let tile = Rect { x, width: side.min(width - x), ..frame };
                each_some(order, tile, held.clone(), |blocks| place(tile, blocks));
            }
            return;
        }
        let mut blocks = blocks_of(order, frame);
        blocks.sort_unstable_by_key(|block| block.rect.x);
        for row in (0..frame.height).step_by(STRIP as usize) {
            place(Rect { y: frame.y + row, height: STRIP.min(frame.height - row), ..frame }, &blocks);
        }
    };
    match pool {
        Some(pool) => pool.install(|| image.par_chunks_mut(side as usize * stride).enumerate().for_each(band)),
        None => image.chunks_mut(side as usize * stride).enumerate().for_each(band),
    }
}

/// Puts a row-major image into a whole payload, tile by tile, as [`unpack`] does.
pub(super) fn pack(order: &Order, pixel: usize, image: &[u8], payload: &mut [u8]) {
    let frame = Rect { x: 0, y: 0, width: order.width(), height: order.height() };
    let is_long = payload.len() >= PARALLEL;
    // A tile's pixels stand together whatever the block's side is, as if it were a block itself.
    let coarse = Order::new(order.width(), order.height(), tile_side(order));
    let tiles = coarse.map_or_else(Vec::new, |order| blocks_of(&order, frame));
    let mut rest = payload;
    let mut parts: Vec<(&Block, &mut [u8])> = Vec::with_capacity(tiles.len());
    for tile in &tiles {
        let (part, after) = rest.split_at_mut((end(tile) - tile.rank) as usize * pixel);
        rest = after;
        parts.push((tile, part));
    }
    parts.sort_unstable_by_key(|(tile, _)| (tile.rect.y, tile.rect.x));
    let pack = |(tile, payload): (&Block, &mut [u8])| {
        let pixels = Pixels { frame, wanted: tile.rect, held: tile.rank..end(tile) };
        each_some(order, tile.rect, pixels.held.clone(), |blocks| pixels.to_payload(pixel, blocks, image, payload));
    };
    if is_long {
        parts.into_par_iter().with_min_len(16).for_each(pack);
    } else {
        parts.into_iter().for_each(pack);
    }
}

/// The rectangle whose pixels stand from `rank` on, which is 0 or where such a one ends: a square of the curve with no more
/// than `most` bytes; where a block has more, some of its rows, or a piece of one.
pub(super) fn part_at(order: &Order, pixel: u64, most: u64, rank: u64) -> Option<Rect> {
    let mut side = Order::MAX_BLOCK;
    let is_small = |side: u32| u64::from(side) * u64::from(side) * pixel <= most;
    while side > order.block() && !is_small(side) {
        side /= 2;
    }
    // As if it were a block itself.
    let (x, y) = Order::new(order.width(), order.height(), side)?.pixel(rank)?;
    let (left, top) = (x / side * side, y / side * side);
    let square =
        Rect { x: left, y: top, width: side.min(order.width() - left), height: side.min(order.height() - top) };
    if is_small(side) {
        return Some(square);
    }
    // Row by row inside.
    let inside = u64::from(y - top) * u64::from(square.width) + u64::from(x - left);
    let part = row::part_at(square.width, square.height, (most / pixel).max(1), inside)?;
    Some(Rect { x: left + part.x(), y: top + part.y(), width: part.width(), height: part.height() })
}

/// Packs a rectangle of those that [`part_at`] gives, whose pixels are `rows`, into its part of the payload, which begins
/// at `rank`.
pub(super) fn pack_part(order: &Order, pixel: usize, part: Region, rank: u64, rows: &[u8], payload: &mut [u8]) {
    let part = rect(part);
    let held = rank..rank + u64::from(part.width) * u64::from(part.height);
    let pixels = Pixels { frame: part, wanted: part, held: held.clone() };
    each_some(order, part, held, |blocks| pixels.to_payload(pixel, blocks, rows, payload));
}

/// The pixels on a side of the tiles that whole images are moved by.
fn tile_side(order: &Order) -> u32 {
    order.block().max(64)
}

/// Pixels on their way between a payload and rows.
struct Pixels {
    /// The pixels that the rows have.
    frame: Rect,
    /// Those that are moved, inside the frame.
    wanted: Rect,
    /// The ranks of the pixels that the payload's bytes have.
    held: Range<u64>,
}

/// Both sides of a move, in one direction or the other. Places are counted in pixels.
trait Sides {
    /// Moves `count` pixels that stand together on both sides.
    fn copy(&mut self, row: usize, rank: usize, count: usize);

    /// Moves 8 x 8 pixels of that pattern, between the rows from `row` on, each `stride` after the one before, and the
    /// payload from `rank` on.
    fn copy_pattern(&mut self, pattern: usize, row: usize, stride: usize, rank: usize) {
        for (position, &cell) in PATTERNS[pattern].iter().enumerate() {
            self.copy(row + usize::from(cell / 8) * stride + usize::from(cell % 8), rank + position, 1);
        }
    }
}

impl Pixels {
    fn to_rows(&self, pixel: usize, blocks: &[Block], payload: &[u8], rows: &mut [u8]) {
        match pixel {
            1 => self.move_all(blocks, &mut ToRows::<1>::new(payload, rows)),
            2 => self.move_all(blocks, &mut ToRows::<2>::new(payload, rows)),
            3 => self.move_all(blocks, &mut ToRows::<3>::new(payload, rows)),
            4 => self.move_all(blocks, &mut ToRows::<4>::new(payload, rows)),
            6 => self.move_all(blocks, &mut ToRows::<6>::new(payload, rows)),
            8 => self.move_all(blocks, &mut ToRows::<8>::new(payload, rows)),
            12 => self.move_all(blocks, &mut ToRows::<12>::new(payload, rows)),
            16 => self.move_all(blocks, &mut ToRows::<16>::new(payload, rows)),
            pixel => self.move_all(blocks, &mut AnyToRows { pixel, payload, rows }),
        }
    }

    fn to_payload(&self, pixel: usize, blocks: &[Block], rows: &[u8], payload: &mut [u8]) {
        match pixel {
            1 => self.move_all(blocks, &mut ToPayload::<1>::new(rows, payload)),
            2 => self.move_all(blocks, &mut ToPayload::<2>::new(rows, payload)),
            3 => self.move_all(blocks, &mut ToPayload::<3>::new(rows, payload)),
            4 => self.move_all(blocks, &mut ToPayload::<4>::new(rows, payload)),
            6 => self.move_all(blocks, &mut ToPayload::<6>::new(rows, payload)),
            8 => self.move_all(blocks, &mut ToPayload::<8>::new(rows, payload)),
            12 => self.move_all(blocks, &mut ToPayload::<12>::new(rows, payload)),
            16 => self.move_all(blocks, &mut ToPayload::<16>::new(rows, payload)),
            pixel => self.move_all(blocks, &mut AnyToPayload { pixel, rows, payload }),
        }
    }

    fn move_all(&self, blocks: &[Block], sides: &mut impl Sides) {
        let stride = self.frame.width as usize;
        let in_frame = |x: u32, y: u32| (y - self.frame.y) as usize * stride + (x - self.frame.x) as usize;
        for block in blocks {
            let Rect { x, y, width, height } = block.rect;
            let (left, right) = overlap(x, width, self.wanted.x, self.wanted.width);
            let (top, bottom) = overlap(y, height, self.wanted.y, self.wanted.height);
            let Some(pattern) = block.pattern else {
                for row in top..bottom {
                    let start = block.rank + u64::from(row - y) * u64::from(width) + u64::from(left - x);
                    let held = start.max(self.held.start)..(start + u64::from(right - left)).min(self.held.end);
                    if held.start < held.end {
                        let column = left + (held.start - start) as u32;
                        let count = (held.end - held.start) as usize;
                        sides.copy(in_frame(column, row), (held.start - self.held.start) as usize, count);
                    }
                }
                continue;
            };
            let is_whole = (right - left, bottom - top) == (8, 8);
            if is_whole && self.held.start <= block.rank && end(block) <= self.held.end {
                let rank = (block.rank - self.held.start) as usize;
                sides.copy_pattern(pattern, in_frame(x, y), stride, rank);
                continue;
            }
            let pixels = PATTERNS[pattern].iter().map(|&cell| (u32::from(cell % 8), u32::from(cell / 8)));
            let pixels = pixels.filter(|&(column, row)| column < width && row < height);
            for (rank, (column, row)) in (block.rank..).zip(pixels) {
                let (x, y) = (x + column, y + row);
                if (left..right).contains(&x) && (top..bottom).contains(&y) && self.held.contains(&rank) {
                    sides.copy(in_frame(x, y), (rank - self.held.start) as usize, 1);
                }
            }
        }
    }
}

/// For each pattern, the position of the pixel that is eight times the row plus the column: the patterns turned round.
pub(super) const POSITIONS: [[u8; 64]; 4] = {
    let mut positions = [[0; 64]; 4];
    let mut pattern = 0;
    while pattern < 4 {
        let mut position = 0;
        while position < 64 {
            positions[pattern][PATTERNS[pattern][position] as usize] = position as u8;
            position += 1;
        }
        pattern += 1;
    }
    positions
};

/// What is not so where a square of 8 x 8 pixels is moved that is not there.
pub(super) const WHOLE: &str = "all pixels of a pattern are on both sides";

/// Calls a function with the pattern as a constant, so that all places in it are.
macro_rules! with_pattern {
    ($pattern:expr, $function:ident($($argument:expr),*)) => {
        match $pattern {
            0 => $function::<SIZE, 0>($($argument),*),
            1 => $function::<SIZE, 1>($($argument),*),
            2 => $function::<SIZE, 2>($($argument),*),
            _ => $function::<SIZE, 3>($($argument),*),
        }
    };
}

/// From a payload to rows, in pixels of `SIZE` bytes.
struct ToRows<'a, const SIZE: usize> {
    payload: &'a [[u8; SIZE]],
    rows: &'a mut [[u8; SIZE]],
}

impl<'a, const SIZE: usize> ToRows<'a, SIZE> {
    fn new(payload: &'a [u8], rows: &'a mut [u8]) -> Self {
        ToRows { payload: payload.as_chunks().0, rows: rows.as_chunks_mut().0 }
    }
}

impl<const SIZE: usize> Sides for ToRows<'_, SIZE> {
    #[inline]
    fn copy(&mut self, row: usize, rank: usize, count: usize) {
        self.rows[row..row + count].copy_from_slice(&self.payload[rank..rank + count]);
    }

    #[inline]
    fn copy_pattern(&mut self, pattern: usize, row: usize, stride: usize, rank: usize) {
        fn copy<const SIZE: usize, const PATTERN: usize>(
            payload: &[[u8; SIZE]],
            rows: &mut [[u8; SIZE]],
            stride: usize,
        ) {
            if SIZE == 3 {
                return three_bytes::to_rows::<PATTERN>(payload.as_flattened(), rows.as_flattened_mut(), 3 * stride);
            }
            let payload = payload.first_chunk::<64>().expect(WHOLE);
            debug_assert!(rows.len() > 7 * stride);
            for (row, positions) in rows.chunks_mut(stride).zip(const { POSITIONS[PATTERN].as_chunks::<8>().0 }) {
                let row = row.first_chunk_mut::<8>().expect(WHOLE);
                for column in 0..8 {
                    row[column] = payload[positions[column] as usize & 63];
                }
            }
        }
        let (payload, rows) = (&self.payload[rank..], &mut self.rows[row..]);
        with_pattern!(pattern, copy(payload, rows, stride));
    }
}

/// From rows to a payload, in pixels of `SIZE` bytes.
struct ToPayload<'a, const SIZE: usize> {
    rows: &'a [[u8; SIZE]],
    payload: &'a mut [[u8; SIZE]],
}

impl<'a, const SIZE: usize> ToPayload<'a, SIZE> {
    fn new(rows: &'a [u8], payload: &'a mut [u8]) -> Self {
        ToPayload { rows: rows.as_chunks().0, payload: payload.as_chunks_mut().0 }
    }
}

impl<const SIZE: usize> Sides for ToPayload<'_, SIZE> {
    #[inline]
    fn copy(&mut self, row: usize, rank: usize, count: usize) {
        self.payload[rank..rank + count].copy_from_slice(&self.rows[row..row + count]);
    }

    #[inline]
    fn copy_pattern(&mut self, pattern: usize, row: usize, stride: usize, rank: usize) {
        fn copy<const SIZE: usize, const PATTERN: usize>(
            rows: &[[u8; SIZE]],
            payload: &mut [[u8; SIZE]],
            stride: usize,
        ) {
            if SIZE == 3 {
                return three_bytes::to_payload::<PATTERN>(rows.as_flattened(), payload.as_flattened_mut(), 3 * stride);
            }
            let payload = payload.first_chunk_mut::<64>().expect(WHOLE);
            debug_assert!(rows.len() > 7 * stride);
            for (row, positions) in rows.chunks(stride).zip(const { POSITIONS[PATTERN].as_chunks::<8>().0 }) {
                let row = row.first_chunk::<8>().expect(WHOLE);
                for column in 0..8 {
                    payload[positions[column] as usize & 63] = row[column];
                }
            }
        }
        let (rows, payload) = (&self.rows[row..], &mut self.payload[rank..]);
        with_pattern!(pattern, copy(rows, payload, stride));
    }
}

/// From a payload to rows, in pixels of an unusual size.
struct AnyToRows<'a> {
    pixel: usize,
    payload: &'a [u8],
    rows: &'a mut [u8],
}

impl Sides for AnyToRows<'_> {
    fn copy(&mut self, row: usize, rank: usize, count: usize) {
        let length = count * self.pixel;
        self.rows[row * self.pixel..][..length].copy_from_slice(&self.payload[rank * self.pixel..][..length]);
    }
}

/// From rows to a payload, in pixels of an unusual size.
struct AnyToPayload<'a> {
    pixel: usize,
    rows: &'a [u8],
    payload: &'a mut [u8],
}

impl Sides for AnyToPayload<'_> {
    fn copy(&mut self, row: usize, rank: usize, count: usize) {
        let length = count * self.pixel;
        self.payload[rank * self.pixel..][..length].copy_from_slice(&self.rows[row * self.pixel..][..length]);
    }
}

/// Where two stretches overlap, each a start and a length; the end is before the start where they do not.
fn overlap(a: u32, a_length: u32, b: u32, b_length: u32) -> (u32, u32) {
    (a.max(b), (a + a_length).min(b + b_length))
}

fn rect(region: Region) -> Rect {
    Rect { x: region.x(), y: region.y(), width: region.width(), height: region.height() }
}

/// Gives `each` the blocks that have pixels of `rect` and some of these ranks, some at a time: a region may have more
/// blocks than bytes.
fn each_some(order: &Order, rect: Rect, ranks: Range<u64>, mut each: impl FnMut(&[Block])) {
    const SOME: usize = 24; // a kilobyte
    let mut blocks = Vec::with_capacity(SOME);
    order.blocks(rect, ranks, |block| {
        blocks.push(block);
        if blocks.len() == SOME {
            each(&blocks);
            blocks.clear();
        }
    });
    each(&blocks);
}

fn blocks_of(order: &Order, rect: Rect) -> Vec<Block> {
    let mut blocks = Vec::new();
    order.blocks(rect, 0..u64::MAX, |block| blocks.push(block));
    blocks
}

/// The rank after a block's last pixel.
fn end(block: &Block) -> u64 {
    block.rank + u64::from(block.rect.width) * u64::from(block.rect.height)
}
