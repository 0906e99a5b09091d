//! Ids in no order, the same in each run.

/// A source of ids below `count` (xorshift, Marsaglia 2003, shifts 13, 7, 17).
pub fn ids(count: u64) -> impl FnMut() -> u64 {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % count
    }
}
