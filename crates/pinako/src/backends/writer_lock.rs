//! The lock that keeps the writers of a store apart.
//!
//! It is the kernel's lock on a file (`flock`), which ends with the process that holds it, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use crate::error::{Error, Result};

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct WriterLock(File);

impl WriterLock {
    /// Waits its turn for `file`, opened for this turn alone: threads, and processes after a fork, would share the lock
    /// of one open file. `store` is where the store is, for messages.
    ///
    /// # Errors
    /// `Conflict` where others have the lock until `deadline`.
    pub(super) fn wait(file: File, store: &Path, deadline: Instant) -> Result<WriterLock> {
        let cannot = |error| Error::io(format!("cannot lock {}", store.display()), error);
        match file.try_lock() {
            Ok(()) => return Ok(WriterLock(file)),
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // There is no lock with a time limit. Where nobody waits for this thread any more it lets the lock go again.
        let (sender, receiver) = mpsc::sync_channel(0);
        thread::spawn(move || sender.send(lock(&file).map(|()| WriterLock(file))));
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(locked) => locked.map_err(cannot),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Error::conflict(format!("another writer is at work in {}", store.display()))
                    .with_hint("wait until it has finished, then try again"))
            }
        }
    }
}

fn lock(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Closing the file would not be enough: a child that was forked meanwhile has it open too.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_was_forked_meanwhile_does_not_keep_the_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wait = || WriterLock::wait(file.reopen().unwrap(), file.path(), Instant::now());
        let held = wait().unwrap();
        let _childs = held.0.try_clone().unwrap(); // what a fork makes
        assert!(wait().is_err());
        drop(held);
        wait().unwrap();
    }
}
