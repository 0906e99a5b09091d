//! One LMDB environment: opened once in a process, its map grown, its writers taken in turn.
//!
//! LMDB wants an environment to be open once in a process, its map to be resized while no transaction of the process is
//! open, and has a writer wait for ever. So all handles of a process share one [`Environment`] for a folder; every
//! transaction begins and ends under the read half of a lock whose write half resizes; and whoever writes takes a
//! [`Turn`] first, for which it waits a bounded time.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use heed::{MdbError, RoTxn, RwTxn};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::open::{DATA_FILE, Open, Tables, cannot_open, check_address_space, exists, failed, map_size, no_room};
use crate::backend::WRITER_PATIENCE;
use crate::backends::Mode;
use crate::backends::writer_lock::WriterLock;
use crate::error::{Error, ErrorKind, Result};

pub(super) const TURN_FILE: &str = "pinako.lock";

/// The environments that are open in this process, by the canonical path of their folder.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Environment>>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// How many environments this thread has read-locked.
    static LOCKED: Cell<u32> = const { Cell::new(0) };
}

/// An environment in its folder, shared by all handles of the process.
#[derive(Debug)]
pub(super) struct Environment {
    folder: PathBuf,
    /// Read-locked while a transaction is open, write-locked to change the map. Empty after a compaction that failed
    /// at its last step.
    state: RwLock<Option<Open>>,
}

/// The state, read-locked.
struct Locked<'a>(RwLockReadGuard<'a, Option<Open>>);

impl Locked<'_> {
    fn open(&self) -> Result<&Open> {
        self.0.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Backend, "the environment could not be opened again after its file was replaced")
                .with_hint("open the store again; nothing in it is lost")
        })
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        LOCKED.set(LOCKED.get() - 1);
    }
}

impl Environment {
    /// The environment in `folder`, which has a data file, or none yet where `mode` is `Create`.
    pub(super) fn at(folder: &Path, mode: Mode) -> Result<Arc<Self>> {
        let folder = folder.canonicalize().map_err(|error| cannot_open(folder, error))?;
        let mut open = OPEN.lock();
        open.retain(|_, environment| environment.strong_count() > 0);
        let environment = open.get(&folder).and_then(Weak::upgrade);
        if let Some(environment) = environment.filter(|environment| environment.state.read().is_some()) {
            return match environment.is_in_place()? {
                true if mode == Mode::Create => Err(exists()),
                true => Ok(environment),
                false => Err(Error::conflict(format!(
                    "a store that stood in {} before is still open in this process",
                    folder.display()
                ))
                .with_hint("close it first")),
            };
        }
        let state = Open::at(&folder, mode)?;
        let environment = Arc::new(Environment { state: RwLock::new(Some(state)), folder: folder.clone() });
        open.insert(folder, Arc::downgrade(&environment));
        Ok(environment)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn lock(&self) -> Locked<'_> {
        // A thread comes here again while it has the lock where an append reads its payload from a store, or a sink
        // works on a thread pool that hands it another read. It must not queue behind who waits for it to finish.
        let state = if LOCKED.get() == 0 { self.state.read() } else { self.state.read_recursive() };
        LOCKED.set(LOCKED.get() + 1);
        Locked(state)
    }

    /// Whether the data file that is open is the one that the folder has now.
    fn is_in_place(&self) -> Result<bool> {
        let path = self.folder.join(DATA_FILE);
        let identity = |file: Metadata| (file.dev(), file.ino());
        let open = self.with(|open| open.data_file()?.metadata().map_err(|error| cannot_open(&path, error)))?;
        match path.metadata() {
            Ok(found) => Ok(identity(found) == identity(open)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot_open(&path, error)),
        }
    }

    /// Runs `body` while the environment is open and its map stays as it is.
    pub(super) fn with<T>(&self, body: impl FnOnce(&Open) -> Result<T>) -> Result<T> {
        body(self.lock().open()?)
    }

    /// Runs `body` in a read transaction, which sees all that was committed before.
    pub(super) fn read<T>(&self, body: impl FnOnce(&RoTxn<'_>, &Tables) -> Result<T>) -> Result<T> {
        loop {
            {
                let locked = self.lock();
                let open = locked.open()?;
                match open.env.read_txn() {
                    Ok(txn) => return body(&txn, &open.tables()),
                    Err(heed::Error::Mdb(MdbError::MapResized)) => {}
                    Err(heed::Error::Mdb(MdbError::ReadersFull)) if open.clear_stale_readers()? > 0 => continue,
                    Err(error) => return Err(failed("cannot begin to read", error)),
                }
            }
            // Another process has made the map larger. Inside a read that cannot be followed.
            self.resize(0, if LOCKED.get() == 0 { Duration::MAX } else { Duration::ZERO })?;
        }
    }

    /// Checks that the environment is open for writing too.
    ///
    /// # Errors
    /// `Denied` where the folder did not allow it.
    pub(super) fn check_writable(&self) -> Result<()> {
        let denied = || {
            let folder = self.folder.display();
            Error::io(format!("cannot write to {folder}"), std::io::ErrorKind::PermissionDenied.into())
        };
        self.with(|open| if open.writable { Ok(()) } else { Err(denied()) })
    }

    /// Waits for the turn to write, for as long as `patience`.
    ///
    /// # Errors
    /// `Denied` where the environment can only be read, `Conflict` where others write for too long.
    pub(super) fn turn(&self, patience: Duration) -> Result<Turn<'_>> {
        self.check_writable()?;
        let cannot = |error| cannot_open(&self.folder.join(TURN_FILE), error);
        let deadline = Instant::now() + patience;
        // Who waits holds the lock on the folder, so that who has just written queues behind.
        let queue = WriterLock::wait(File::open(&self.folder).map_err(cannot)?, &self.folder, deadline)?;
        let file = File::options().create(true).truncate(false).write(true).open(self.folder.join(TURN_FILE));
        let lock = WriterLock::wait(file.map_err(cannot)?, &self.folder, deadline)?;
        drop(queue);
        Ok(Turn { environment: self, _lock: lock })
    }

    /// Waits until no transaction is open. One that this thread has open itself would never end: where it may have, it
    /// waits for as long as `patience` only.
    fn change(&self, patience: Duration) -> Result<RwLockWriteGuard<'_, Option<Open>>> {
        if LOCKED.get() == 0 {
            return Ok(self.state.write());
        }
        self.state.try_write_for(patience).ok_or_else(|| {
            Error::new(ErrorKind::Transient, "the store must be mapped anew, but a read is under way")
                .with_hint("try again when it has ended")
        })
    }

    /// Makes the map `size` bytes large, or as large as other processes have it where that is 0.
    fn resize(&self, size: u64, patience: Duration) -> Result<()> {
        let mut state = self.change(patience)?;
        let Some(open) = &mut *state else { return Ok(()) };
        let size = usize::try_from(size).map_err(|_| no_room(size))?;
        // LMDB gives up the old map before it makes the new one: see first that there is room for it.
        check_address_space(size)?;
        // SAFETY: transactions of this process are open under the lock's read half only, and this is its write half.
        let resized = unsafe { open.env.resize(size) };
        if let Err(error) = resized {
            // Now there is no map at all.
            *state = None;
            *state = Some(Open::at(&self.folder, Mode::Read)?);
            return Err(failed("cannot make the map larger", error));
        }
        open.find_map()
    }

    /// Closes the environment, runs `body`, and opens it again; nobody of this process reads or writes meanwhile.
    pub(super) fn closed<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = self.change(WRITER_PATIENCE)?;
        *state = None;
        let result = body();
        *state = Some(Open::at(&self.folder, Mode::Read)?);
        result
    }
}

/// The turn to write: no other handle or process that keeps to it writes while it lasts.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    environment: &'a Environment,
    _lock: WriterLock,
}

impl Turn<'_> {
    /// Runs `body` while the map has room for at least `room` bytes of new pages and stays where it is.
    pub(super) fn with_room<T>(&self, room: u64, body: impl FnOnce(&Open) -> Result<T>) -> Result<T> {
        let (used, mapped) = self.environment.with(|open| {
            let info = open.env.info();
            Ok((open.used(), info.map_size as u64))
        })?;
        let needed = used.saturating_add(room);
        if needed > mapped {
            self.environment.resize(map_size(needed)?, WRITER_PATIENCE)?;
        }
        self.environment.with(body)
    }

    /// Runs `body` in a read transaction.
    pub(super) fn read<T>(&self, body: impl FnOnce(&RoTxn<'_>, &Tables) -> Result<T>) -> Result<T> {
        self.environment.read(body)
    }

    /// Runs `body` in a write transaction that may need `room` bytes of new pages, and commits.
    pub(super) fn write<T>(&self, room: u64, body: impl FnOnce(&mut RwTxn<'_>, &Tables) -> Result<T>) -> Result<T> {
        self.with_room(room, |open| {
            let mut txn = open.begin()?;
            let result = body(&mut txn, &open.tables())?;
            open.commit(txn)?;
            Ok(result)
        })
    }

    /// Runs `body`, which removes up to `entries` images or pieces, in a write transaction, and commits.
    pub(super) fn rewrite<T>(
        &self,
        entries: u64,
        body: impl FnOnce(&mut RwTxn<'_>, &Tables) -> Result<T>,
    ) -> Result<T> {
        let room = self.with_room(0, |open| open.rewrite_room(entries))?;
        self.with_room(room, |open| {
            let mut txn = open.begin()?;
            // LMDB does not write pages at the end that it first takes and then frees, but counts them: `header` would
            // find the file too short.
            open.extend_file(room)?;
            let result = body(&mut txn, &open.tables())?;
            open.commit(txn)?;
            Ok(result)
        })
    }

    /// Cuts off what a transaction that failed has written beyond the last page in use.
    pub(super) fn trim(&self) -> Result<()> {
        self.environment.with(|open| {
            let _txn = open.begin()?; // while it is open, programs that know nothing of turns do not write either
            let cannot = |error| Error::io("cannot make the data file shorter", error);
            let file = open.data_file()?;
            let used = open.used();
            // No snapshot, however old, has pages beyond those that are in use now.
            if file.metadata().map_err(cannot)?.len() > used { file.set_len(used).map_err(cannot) } else { Ok(()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_could_not_be_opened_again_can_be_opened_beside_the_handle_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let failed = Environment::at(folder.path(), Mode::Create).unwrap();
        *failed.state.write() = None;
        let error = failed.check_writable().unwrap_err();
        assert!(error.hint().unwrap().contains("open the store again"));
        Environment::at(folder.path(), Mode::Write).unwrap().check_writable().unwrap();
    }
}
