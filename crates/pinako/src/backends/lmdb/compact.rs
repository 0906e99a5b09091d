//! Giving back the space of removed images.
//!
//! LMDB uses the pages of what was removed again but never gives them back, so a compaction copies what is there into
//! a new file and puts that in the place of the old one. Whoever has the old one open would go on with a file that is
//! no longer the store's. This process closes it first; that no other process has it open LMDB's own lock file tells:
//! each holds a shared lock on its first byte.

use std::fs::{self, File};

use heed::CompactionOption;
use rustix::fs::{FlockOperation, fcntl_lock};

use super::environment::{Environment, Turn};
use super::header::{self, Header};
use super::open::{DATA_FILE, LOCK_FILE, failed};
use crate::backends::folder::Folder;
use crate::error::{Error, Result};

/// The copy while it is made. One that is found was left behind by a crash.
pub(super) const COPY_FILE: &str = "data.mdb.compacted";

/// Copies and replaces the data file; the turn keeps other writers away.
pub(super) fn compact(_turn: &Turn<'_>, environment: &Environment) -> Result<()> {
    let before = header::read(&environment.folder().join(DATA_FILE))?;
    write_copy(environment)?;
    environment.closed(|| replace(environment, before))
}

fn write_copy(environment: &Environment) -> Result<()> {
    let copy = environment.folder().join(COPY_FILE);
    let cannot = |error| Error::io(format!("cannot write {}", copy.display()), error);
    let mut file = File::create(&copy).map_err(cannot)?;
    let written = environment
        .with(|open| {
            open.env
                .copy_to_file(&mut file, CompactionOption::Enabled)
                .map_err(|error| failed(&format!("cannot write {}", copy.display()), error))
        })
        .and_then(|()| file.sync_all().map_err(cannot));
    if written.is_err() {
        let _ = fs::remove_file(&copy);
    }
    written
}

/// Puts the copy in the place of the data file. The environment is closed.
fn replace(environment: &Environment, before: Option<Header>) -> Result<()> {
    let [data, copy, lock] = [DATA_FILE, COPY_FILE, LOCK_FILE].map(|name| environment.folder().join(name));
    let cannot = |error| Error::io(format!("cannot replace {}", data.display()), error);
    // As long as this lock is held no other process can open the environment.
    let lock = File::options().write(true).open(&lock).map_err(cannot)?;
    let replaced = match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(_) => {
            Err(Error::conflict("another process has the store open").with_hint("close it there, then compact again"))
        }
        // A program that does not know of turns may have written.
        Ok(()) if header::read(&data)? != before => Err(Error::conflict("another program has written to the store")),
        Ok(()) => fs::rename(&copy, &data).map_err(cannot),
    };
    match replaced {
        Ok(()) => Folder::open(environment.folder())?.sync_names(),
        Err(error) => {
            let _ = fs::remove_file(&copy);
            Err(error)
        }
    }
}
