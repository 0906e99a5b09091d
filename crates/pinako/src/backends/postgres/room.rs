//! How many pages a table would take if it were written anew.
//!
//! The server does not say: its counts know nothing of the room that autovacuum has made free already, and how full pages
//! can be depends on how long rows are. So rows are placed here as `VACUUM FULL` places them: in their order, each on the
//! last page where it fits there, else on a new one. For that they are looked through, without the long values that stand
//! outside them; of the indexes, an estimate does.
//!
//! No sum over the rows would do. Rows of 3100 bytes leave a quarter of their pages empty, rows of 4000 bytes 2 %; and where
//! each counts as a part of a page of its like, rows of 4000, 30 and 2600 bytes in turn make 16 % less than they take. A
//! tenth is tolerated: a compact table would be written anew each time.

use super::connection::Connection;
use super::image::value;
use super::sql::Query;
use crate::error::Result;

/// Bytes of a page that are not its header, and of an index's that are to be filled.
const HEAP_PAGE: u64 = 8192 - 24;
const INDEX_PAGE: u64 = (8192 - 24 - 16) * 9 / 10;

/// Most bytes of a row, those aside that stand outside of it.
pub(super) const LONGEST_ROW: u64 = 4080;

/// Bytes of a chunk of a long value, and what its row has beside them.
const CHUNK: u64 = 1996;
const AROUND_CHUNK: u64 = 24 + 4 + 4 + 4;

/// What an index has of each chunk.
const CHUNK_ENTRY: u64 = 20;

/// Pages that rows take one after another.
#[derive(Default)]
struct Pages {
    count: u64,
    /// Bytes that are left on the last one.
    free: u64,
}

impl Pages {
    fn put(&mut self, row: u64) {
        let taken = row.min(LONGEST_ROW).next_multiple_of(8) + 4;
        if taken > self.free {
            self.count += 1;
            self.free = HEAP_PAGE;
        }
        self.free -= taken;
    }
}

/// Pages that the table, its long values and the indexes of both would take. `query` gives of each row how long it is,
/// how long the value outside of it, if any, and what all indexes have of it.
pub(super) fn needed(connection: &mut Connection, query: Query, indexes: u64) -> Result<u64> {
    let (mut near, mut far) = (Pages::default(), Pages::default());
    let mut entries = 0;
    let mut rows = connection.query(query, &[])?;
    while let Some(row) = rows.next()? {
        let number =
            |at| value::<i32>(&row, at, "room").map(|found| found.map(|found| u64::from(found.unsigned_abs())));
        near.put(number(0)?.unwrap_or(0));
        entries += number(2)?.unwrap_or(0);
        let mut left = number(1)?.unwrap_or(0);
        while left > 0 {
            let chunk = left.min(CHUNK);
            far.put(AROUND_CHUNK + chunk);
            entries += CHUNK_ENTRY;
            left -= chunk;
        }
    }
    // Each index begins with a page of its own.
    Ok(near.count + far.count + indexes + entries.div_ceil(INDEX_PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_placed_one_after_another() {
        let pages = |rows: &[u64]| {
            let mut pages = Pages::default();
            rows.iter().for_each(|&row| pages.put(row));
            pages.count
        };
        assert_eq!(pages(&[]), 0);
        assert_eq!(pages(&[LONGEST_ROW; 5]), 3, "two a page");
        assert_eq!(pages(&[AROUND_CHUNK + CHUNK; 8]), 2, "four a page");
        assert_eq!(pages(&[4000, 100, 4080, 100, 4080]), 3, "what does not fit goes to the next page for good");
        assert_eq!(pages(&[u64::MAX, 1]), 1, "no row is longer than it can be");
    }
}
