//! The room that LMDB's lock file takes on the disk.
//!
//! LMDB makes the file as one hole and writes to it through a map. Where the disk has no room then, there is nobody to
//! return an error to: the process ends with a SIGBUS. So the room is taken before LMDB opens the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::open::MAX_READERS;

/// A little more than LMDB makes of [`MAX_READERS`].
const LENGTH: u64 = 4096 + 64 * MAX_READERS as u64;

/// Takes the room for the lock file at `path`, and makes the file where there is none. Nobody in this process may have
/// the environment open: closing the file here would take its locks away.
pub(super) fn reserve(path: &Path) -> io::Result<()> {
    let file = match path.metadata() {
        Ok(file) if file.blocks().saturating_mul(512) >= file.len().max(LENGTH) => return Ok(()),
        _ => File::options().append(true).create(true).open(path)?,
    };
    let length = file.metadata()?.len().max(LENGTH);
    // Its length stays LMDB's to choose: others may have it mapped as it is.
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, length) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        reserved => Ok(reserved?),
    }
}
