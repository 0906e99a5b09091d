//! The four ways in which the curve's pattern lies in a square, and how they follow from each other.
//!
//! Every quadrant holds the same pattern: as it is, turned over the rising diagonal, over the falling one, or over both,
//! which is half a turn. The four are a group in which each undoes itself, so two bits say which it is and `^` puts two
//! after each other.

/// How the pattern lies: [`SWAPPED`], [`REVERSED`], both or neither.
pub(crate) type State = u8;

/// The number of states.
pub(crate) const STATES: usize = 4;

/// x and y have changed places.
pub(crate) const SWAPPED: State = 1;
/// x and y are counted from the other end.
pub(crate) const REVERSED: State = 2;

/// Where the quadrant that comes `quarter`-th lies in a square: 0 or 1 in x and y.
pub(crate) const fn corner(state: State, quarter: u32) -> (u32, u32) {
    let (x, y) = match quarter {
        0 => (0, 0),
        1 => (0, 1),
        2 => (1, 1),
        _ => (1, 0),
    };
    let (x, y) = if state & REVERSED != 0 { (1 - x, 1 - y) } else { (x, y) };
    if state & SWAPPED != 0 { (y, x) } else { (x, y) }
}

/// The state of the quadrant that comes `quarter`-th in a square.
pub(crate) const fn child(state: State, quarter: u32) -> State {
    state
        ^ match quarter {
            0 => SWAPPED,
            3 => SWAPPED | REVERSED,
            _ => 0,
        }
}

/// The state of a square of which only the first quadrant of the first quadrant and so on, `levels` deep, is in use, such
/// that this one is in state 0.
pub(crate) const fn above(levels: u32) -> State {
    if levels.is_multiple_of(2) { 0 } else { SWAPPED }
}
