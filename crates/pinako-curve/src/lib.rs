//! The Hilbert curve, as an order for the pixels of an image.
//!
//! A row-major image keeps neighbours on a line together and tears apart those above each other. The Hilbert curve goes
//! through a square grid so that what is near on the curve is near in the image, in both directions: a rectangle of the
//! image is a handful of *runs* of the curve, whatever its shape.
//!
//! The curve of order 1 goes through four cells: up, right, down (y grows upwards here). The curve of order k puts four
//! curves of order k - 1 in their place, the first and the last of them turned over a diagonal, so that each ends beside
//! where the next begins:
//!
//! ```text
//! order 1     order 2             order 3
//!
//! 1--2         5---6   9--10      21--22  25--26  37--38  41--42
//! |  |         |   |   |   |       |   |   |   |   |   |   |   |
//! 0  3         4   7---8  11      20  23--24  27  36  39--40  43
//!              |           |       |           |   |           |
//!              3---2  13--12      19--18  29--28  35--34  45--44
//!                  |   |               |   |           |   |
//!              0---1  14--15      16--17  30--31--32--33  46--47
//!                                  |                           |
//!                                 15  12--11--10  53--52--51  48
//!                                  |   |       |   |       |   |
//!                                 14--13   8---9  54--55  50--49
//!                                          |           |
//!                                  1---2   7---6  57--56  61--62
//!                                  |   |       |   |       |   |
//!                                  0   3---4---5  58--59--60  63
//! ```
//!
//! Lower left, upper left, upper right, lower right, at every order: the orientation of CS-TR-3991 (University of
//! Maryland, 1999). Which way y points is the caller's choice; in an image, whose rows are counted from the top, the
//! picture above hangs upside down.
//!
//! - [`Curve`] is the curve through a grid of 2^k x 2^k cells: where a cell is on it, and back, one or many.
//! - [`Order`] is what an image of any shape is stored in: its pixels, in blocks, along the curve, those outside of the
//!   image left out. It gives a pixel's rank, the exact runs of a rectangle, and the blocks to copy pixels by.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod curve;
mod order;
mod state;
mod tile;

pub use curve::Curve;
pub use order::{Block, Order, PATTERNS, Rect};
