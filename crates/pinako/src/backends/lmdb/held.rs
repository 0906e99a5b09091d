//! Files that are locked while somebody writes.

use std::fs::{File, TryLockError};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use crate::backend::WRITER_PATIENCE;
use crate::error::{Error, Result};

/// A locked file. Closing it would not be enough: a child that was forked meanwhile has it open too.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Locks `file`, which is a new one, for this process and thread alone.
pub(super) fn exclusive(file: File, deadline: Instant) -> Result<Held> {
    let cannot = |error| Error::io("cannot lock the store", error);
    match file.try_lock() {
        Ok(()) => return Ok(Held(file)),
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
        Err(TryLockError::WouldBlock) => {}
    }
    // There is no lock with a time limit. Where nobody waits for this thread any more it lets the lock go again.
    let (sender, receiver) = mpsc::sync_channel(0);
    thread::spawn(move || sender.send(file.lock().map(|()| Held(file))));
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(locked) => locked.map_err(cannot),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(Error::conflict(format!("others have been writing for {} seconds", WRITER_PATIENCE.as_secs()))
                .with_hint("wait until they have finished, then try again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_was_forked_meanwhile_does_not_keep_the_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = exclusive(file.reopen().unwrap(), Instant::now()).unwrap();
        let _childs = held.0.try_clone().unwrap(); // what a fork makes
        assert!(exclusive(file.reopen().unwrap(), Instant::now()).is_err());
        drop(held);
        exclusive(file.reopen().unwrap(), Instant::now()).unwrap();
    }
}
