//! The curve and the orders once more, from their definitions and with no thought of speed.

use pinako_curve::Rect;

/// All cells of the curve of that order, in its order: four curves of the order below.
pub fn curve(order: u32) -> Vec<(u32, u32)> {
    let Some(below) = order.checked_sub(1) else { return vec![(0, 0)] };
    let (side, below) = (1 << below, curve(below));
    let mut cells = Vec::with_capacity(4 * below.len());
    cells.extend(below.iter().map(|&(x, y)| (y, x)));
    cells.extend(below.iter().map(|&(x, y)| (x, y + side)));
    cells.extend(below.iter().map(|&(x, y)| (x + side, y + side)));
    cells.extend(below.iter().map(|&(x, y)| (2 * side - 1 - y, side - 1 - x)));
    cells
}

/// All pixels of an image, in the order of blocks along the curve.
pub fn order(width: u32, height: u32, block: u32) -> Vec<(u32, u32)> {
    let longer = width.max(height).next_power_of_two().max(block);
    let blocks = curve((longer / block).trailing_zeros());
    let grid = blocks.into_iter().flat_map(|(column, row)| {
        (0..block).flat_map(move |y| (0..block).map(move |x| (column * block + x, row * block + y)))
    });
    grid.filter(|&(x, y)| x < width && y < height).collect()
}

/// The runs of `rect` in a list of pixels.
pub fn runs(pixels: &[(u32, u32)], rect: Rect) -> Vec<std::ops::Range<u64>> {
    let is_in =
        |&(x, y): &(u32, u32)| x >= rect.x && y >= rect.y && x - rect.x < rect.width && y - rect.y < rect.height;
    let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
    for rank in (0..).zip(pixels).filter(|(_, pixel)| is_in(pixel)).map(|(rank, _)| rank) {
        match runs.last_mut() {
            Some(last) if last.end == rank => last.end += 1,
            _ => runs.push(rank..rank + 1),
        }
    }
    runs
}
