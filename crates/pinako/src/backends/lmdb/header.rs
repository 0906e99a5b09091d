//! What an LMDB data file says of itself, checked before LMDB maps it.
//!
//! LMDB believes its files. It maps one and follows page numbers through it, so that a file that was cut off ends the
//! process with a SIGBUS. Both meta pages stand at the file's start and say how many pages there must be:
//!
//! ```text
//! offset  bytes  (native byte order, 64 bit; the second meta page begins one page size further)
//!     10  2      page flags, 8: meta page
//!     16  4      magic, 0xbeefc0de
//!     20  4      version of the data format, 1
//!     40  4      page size
//!    136  8      number of the last page in use
//!    144  8      number of the transaction that wrote this
//! ```
//!
//! What lies inside the pages stays LMDB's to judge.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

const META_BYTES: usize = 152;
const META_PAGE: u16 = 8;
const MAGIC: u32 = 0xbeef_c0de;
const DATA_VERSION: u32 = 1;
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 256..=65_536;

/// The newer of a data file's two meta pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    page_size: u32,
    last_page: u64,
    transaction: u64,
}

/// Reads the header of the data file at `path`; `None` where the file is empty, as one is whose making was broken off.
///
/// # Errors
/// `Corrupt` where it is no LMDB data file, or shorter than it says; `Unsupported` where a newer LMDB wrote it.
pub(super) fn read(path: &Path) -> Result<Option<Header>> {
    let cannot = |error| Error::io(format!("cannot read {}", path.display()), error);
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.len() == 0 {
        return Ok(None);
    }
    let at = |offset| read_meta(&file, offset).map_err(|error| error.context(path.display()));
    let first = at(0)?;
    let second = at(u64::from(first.page_size))?;
    let newer = if second.transaction > first.transaction { second } else { first };
    // The length is asked after the meta pages were read: another process may be writing, and the file only grows.
    let found = file.metadata().map_err(cannot)?.len();
    let needed = newer.last_page.checked_add(1).and_then(|pages| pages.checked_mul(u64::from(newer.page_size)));
    match needed {
        Some(needed) if needed <= found => Ok(Some(newer)),
        _ => Err(Error::corrupt(format!(
            "{} has {found} bytes, but its header counts {} pages of {} bytes: it was cut off",
            path.display(),
            newer.last_page.saturating_add(1),
            newer.page_size
        ))
        .with_hint("restore it from a copy")),
    }
}

fn read_meta(file: &File, offset: u64) -> Result<Header> {
    let mut meta = [0; META_BYTES];
    file.read_exact_at(&mut meta, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::corrupt("too short for an LMDB data file"),
        _ => Error::io("cannot read its header", error),
    })?;
    let u16_at = |at: usize| u16::from_ne_bytes([meta[at], meta[at + 1]]);
    let u32_at = |at: usize| u32::from_ne_bytes(meta[at..at + 4].try_into().expect("4 bytes"));
    let u64_at = |at: usize| u64::from_ne_bytes(meta[at..at + 8].try_into().expect("8 bytes"));
    let page_size = u32_at(40);
    if u16_at(10) & META_PAGE == 0 || u32_at(16) != MAGIC {
        return Err(Error::corrupt("no LMDB data file, or its header is damaged"));
    }
    if u32_at(20) != DATA_VERSION {
        return Err(Error::unsupported(format!(
            "LMDB data format version {}, this version of Pinako knows {DATA_VERSION}",
            u32_at(20)
        ))
        .with_hint("a newer LMDB wrote it: update Pinako"));
    }
    if !page_size.is_power_of_two() || !PAGE_SIZES.contains(&page_size) {
        return Err(Error::corrupt(format!("its header is damaged: a page size of {page_size}")));
    }
    Ok(Header { page_size, last_page: u64_at(136), transaction: u64_at(144) })
}
