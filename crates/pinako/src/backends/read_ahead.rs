//! Having the disk read many places of a map at once.
//!
//! What is read at random is mapped without the system's own read-ahead, because most of what is near such a page is not
//! wanted; but then a page that is not in memory costs a trip to the disk each, one after another. What is going to be
//! read is known here before it is read, so it can be asked for in advance.

use rustix::mm::{Advice, madvise};

use crate::error::Result;

/// Requests of a batch whose places are found, and asked of the disk, before the first is pushed.
pub(super) const WINDOW: usize = 256;

/// A single read of so many bytes is asked of the disk as a whole.
pub(super) const LONG: usize = 16 << 10;

/// Finds each of `batch`, some at a time, has the disk read what `lent` says is in a map, and pushes them in order.
pub(super) fn in_windows<'t, R, F>(
    batch: &[R],
    mut find: impl FnMut(&R) -> Result<F>,
    lent: impl Fn(&F) -> Option<&'t [u8]>,
    push: &mut dyn FnMut(usize, F) -> Result<()>,
) -> Result<()> {
    if let [one] = batch {
        let found = find(one)?;
        if let Some(bytes) = lent(&found) {
            will_need_if_long(bytes);
        }
        return push(0, found);
    }
    let mut found = Vec::with_capacity(batch.len().min(WINDOW));
    for (window, batch) in batch.chunks(WINDOW).enumerate() {
        for one in batch {
            found.push(find(one)?);
        }
        will_need(&mut found.iter().filter_map(&lent).collect::<Vec<_>>());
        for (place, found) in (window * WINDOW..).zip(found.drain(..)) {
            push(place, found)?;
        }
    }
    Ok(())
}

/// Has the system read these bytes of the map in one go, where they are so many that this is worth a call.
pub(super) fn will_need_if_long(bytes: &[u8]) {
    if bytes.len() >= LONG {
        will_need(&mut [bytes]);
    }
}

/// Has the system read `places` of the map, all at once; what is in memory already stays as it is.
pub(super) fn will_need(places: &mut [&[u8]]) {
    /// Bytes between two places that are read along.
    const GAP: usize = 32 << 10;
    places.sort_unstable_by_key(|place| place.as_ptr());
    let mut places = places.iter().map(|place| (place.as_ptr().addr(), place.as_ptr().addr() + place.len()));
    let Some((mut start, mut end)) = places.next() else { return };
    for (next_start, next_end) in places {
        if next_start <= end + GAP {
            end = end.max(next_end);
        } else {
            advise(start, end);
            (start, end) = (next_start, next_end);
        }
    }
    advise(start, end);
}

/// Has the system read the pages of these addresses, as far as they are mapped.
pub(super) fn advise(start: usize, end: usize) {
    let page = rustix::param::page_size();
    let start = start / page * page;
    // SAFETY: this advice changes no memory, and addresses that are not mapped are an error, which does not matter.
    let _ = unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, Advice::WillNeed) };
}
