//! One LMDB environment: opened once in a process, its map grown, its writers taken in turn.
//!
//! LMDB wants an environment to be open once in a process, its map to be resized while no transaction of the process is
//! open, and has a writer wait for ever. So all handles of a process share one [`Environment`] for a folder; every
//! transaction begins and ends under the read half of a lock whose write half resizes; and whoever writes takes a
//! [`Turn`] first, for which it waits a bounded time.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Weak};
use std::thread;
use std::time::Instant;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};
use memmap2::MmapOptions;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rustix::io::Errno;

use super::super::Mode;
use super::{header, properties};
use crate::backend::WRITER_PATIENCE;
use crate::error::{Error, ErrorKind, Result};

pub(super) const DATA_FILE: &str = "data.mdb";
pub(super) const LOCK_FILE: &str = "lock.mdb";
pub(super) const TURN_FILE: &str = "pinako.lock";

/// The first map, and the step by which a large one grows; between them maps double. Address space, not disk.
const SMALLEST_MAP: u64 = 64 << 20;
const LARGEST_STEP: u64 = 16 << 30;
/// What x86-64 and aarch64 processes have at least, halved.
const ADDRESS_SPACE: u64 = 1 << 46;

const MAX_READERS: u32 = 512;

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

/// An open environment and its databases.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) env: Env<WithoutTls>,
    pub(super) tables: Tables,
    writable: bool,
}

pub(super) type Table = Database<'static, Bytes, Bytes>;

/// The databases. FORMAT.md says what is in each.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub(super) payload: Table,
    pub(super) descriptor: Table,
    pub(super) name: Table,
    pub(super) store: Table,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Environment {
    /// The environment in `folder`, which has a data file, or none yet where `mode` is `Create`.
    pub(super) fn at(folder: &Path, mode: Mode) -> Result<Arc<Self>> {
        let folder = folder.canonicalize().map_err(|error| cannot_open(folder, error))?;
        let mut open = OPEN.lock();
        open.retain(|_, environment| environment.strong_count() > 0);
        if let Some(environment) = open.get(&folder).and_then(Weak::upgrade) {
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
        let open = self.with(|open| {
            let file =
                open.env.try_clone_inner_file().map_err(|error| failed("cannot look at the data file", error))?;
            file.metadata().map_err(|error| cannot_open(&path, error))
        })?;
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
                    Ok(txn) => return body(&txn, &open.tables),
                    Err(heed::Error::Mdb(MdbError::MapResized)) => {}
                    Err(heed::Error::Mdb(MdbError::ReadersFull)) if open.clear_stale_readers()? > 0 => continue,
                    Err(error) => return Err(failed("cannot begin to read", error)),
                }
            }
            self.resize(0)?; // another process has made the map larger
        }
    }

    /// Checks that the environment is open for writing too.
    ///
    /// # Errors
    /// `Denied` where the folder did not allow it.
    pub(super) fn check_writable(&self) -> Result<()> {
        self.with(|open| if open.writable { Ok(()) } else { Err(read_only(&self.folder)) })
    }

    /// Waits for the turn to write.
    ///
    /// # Errors
    /// `Denied` where the environment can only be read, `Conflict` where others write for too long.
    pub(super) fn turn(&self) -> Result<Turn<'_>> {
        self.check_writable()?;
        let cannot = |error| cannot_open(&self.folder.join(TURN_FILE), error);
        let deadline = Instant::now() + WRITER_PATIENCE;
        // Who waits holds the lock on the folder, so that who has just written queues behind.
        let queue = exclusive(File::open(&self.folder).map_err(cannot)?, deadline)?;
        let file = File::options().create(true).truncate(false).write(true).open(self.folder.join(TURN_FILE));
        let file = exclusive(file.map_err(cannot)?, deadline)?;
        drop(queue);
        Ok(Turn { environment: self, _file: file })
    }

    /// Makes the map `size` bytes large, or as large as other processes have it where that is 0.
    fn resize(&self, size: u64) -> Result<()> {
        let mut state = self.state.write();
        let Some(open) = &*state else { return Ok(()) };
        let size = usize::try_from(size).map_err(|_| no_room(size))?;
        // LMDB gives up the old map before it makes the new one: see first that there is room for it.
        check_address_space(size)?;
        // SAFETY: transactions of this process are open under the lock's read half only, and this is its write half.
        let resized = unsafe { open.env.resize(size) };
        resized.or_else(|error| {
            // Now there is no map at all.
            *state = None;
            *state = Some(Open::at(&self.folder, Mode::Read)?);
            Err(failed("cannot make the map larger", error))
        })
    }

    /// Closes the environment, runs `body`, and opens it again; nobody of this process reads or writes meanwhile.
    pub(super) fn closed<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = self.state.write();
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
    _file: File,
}

impl Turn<'_> {
    /// Runs `body` while the map has room for at least `room` bytes of new pages and stays where it is.
    pub(super) fn with_room<T>(&self, room: u64, body: impl FnOnce(&Open) -> Result<T>) -> Result<T> {
        let (used, mapped) = self.environment.with(|open| {
            let info = open.env.info();
            Ok(((info.last_page_number as u64 + 1) * open.page_size(), info.map_size as u64))
        })?;
        let needed = used.saturating_add(room);
        if needed > mapped {
            self.environment.resize(map_size(needed)?)?;
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
            let result = body(&mut txn, &open.tables)?;
            txn.commit().map_err(|error| failed("cannot commit", error))?;
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
            let result = body(&mut txn, &open.tables)?;
            txn.commit().map_err(|error| failed("cannot commit", error))?;
            Ok(result)
        })
    }
}

impl Open {
    fn at(folder: &Path, mode: Mode) -> Result<Self> {
        let data = folder.join(DATA_FILE);
        let length = if mode == Mode::Create {
            // LMDB makes files that nobody but the user may read; these follow the umask.
            for file in [&data, &folder.join(LOCK_FILE)] {
                File::options().append(true).create(true).open(file).map_err(|error| cannot_open(file, error))?;
            }
            0
        } else {
            if header::read(&data)?.is_none() {
                return Err(no_store(folder));
            }
            data.metadata().map_err(|error| cannot_open(&data, error))?.len()
        };
        let (env, writable) = open_env(folder, mode, map_size(length)?)?;
        let tables = if mode == Mode::Create { create_tables(&env) } else { find_tables(&env, folder) }?;
        let open = Open { env, tables, writable };
        if writable {
            open.clear_stale_readers()?;
        }
        Ok(open)
    }

    pub(super) fn begin(&self) -> Result<RwTxn<'_>> {
        self.env.write_txn().map_err(|error| failed("cannot begin to write", error))
    }

    pub(super) fn page_size(&self) -> u64 {
        u64::from(self.env.unnamed_database_stat().page_size)
    }

    /// An upper bound of the bytes of new pages that it takes to remove `entries` images or pieces: the pages on their
    /// ways from the roots with their neighbours, or all pages of all trees, and the list of what becomes free.
    fn rewrite_room(&self, entries: u64) -> Result<u64> {
        const SPARE: u64 = 256;
        let txn = self.env.read_txn().map_err(|error| failed("cannot begin to read", error))?;
        let Tables { payload, descriptor, name, store } = &self.tables;
        let (mut tree, mut values) = (0, 0);
        for table in [payload, descriptor, name, store] {
            let stat = table.stat(&txn).map_err(|error| failed("cannot count pages", error))?;
            tree += (stat.branch_pages + stat.leaf_pages) as u64;
            values += stat.overflow_pages as u64;
        }
        let pages = entries.saturating_mul(64).min(2 * tree) + values / 256 + SPARE;
        Ok(pages.saturating_mul(self.page_size()))
    }

    /// Makes the file reach `room` bytes beyond its last page, as a hole. A write transaction must be open.
    fn extend_file(&self, room: u64) -> Result<()> {
        let cannot = |error| Error::io("cannot make the file longer", error);
        let length = (self.env.info().last_page_number as u64 + 1) * self.page_size() + room;
        let file = self.env.try_clone_inner_file().map_err(|error| failed("cannot make the file longer", error))?;
        if file.metadata().map_err(cannot)?.len() < length {
            file.set_len(length).map_err(cannot)?;
        }
        Ok(())
    }

    /// Frees the places of readers whose processes have died; says how many.
    fn clear_stale_readers(&self) -> Result<usize> {
        self.env.clear_stale_readers().map_err(|error| failed("cannot look for readers that have died", error))
    }
}

/// Opens the environment, for reading and writing where that can be.
fn open_env(folder: &Path, mode: Mode, map_size: u64) -> Result<(Env<WithoutTls>, bool)> {
    // A handle that only reads opens for writing too where it can, so that all handles of a process can share.
    let ways = [EnvFlags::empty(), EnvFlags::READ_ONLY, EnvFlags::READ_ONLY | EnvFlags::NO_LOCK];
    let ways = if mode == Mode::Read { &ways[..] } else { &ways[..1] };
    let mut denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    for &way in ways {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(4).max_readers(MAX_READERS).map_size(map_size as usize);
        // SAFETY: the module's text says how heed's conditions are kept. NO_META_SYNC costs durability of the last
        // transaction only, which `Full` makes up for; NO_LOCK comes where the folder cannot be written anyway.
        let opened = unsafe { options.flags(way | EnvFlags::NO_READ_AHEAD | EnvFlags::NO_META_SYNC).open(folder) };
        match opened {
            Ok(env) => return Ok((env, way.is_empty())),
            Err(heed::Error::EnvAlreadyOpened) => {
                // The last handle is just being dropped.
                if let Some(closing) = heed::env_closing_event(folder)
                    && !closing.wait_timeout(WRITER_PATIENCE)
                {
                    return Err(Error::conflict("something else in this process has the environment open"));
                }
                return open_env(folder, mode, map_size);
            }
            Err(heed::Error::Io(error)) if is_denied(&error) => denied = error,
            Err(heed::Error::Mdb(MdbError::VersionMismatch)) => {
                return Err(Error::conflict("another program has it open with a different build of LMDB")
                    .with_hint("close it there: two builds of LMDB cannot share an environment"));
            }
            Err(error) => return Err(failed(&format!("cannot open {}", folder.display()), error)),
        }
    }
    Err(cannot_open(folder, denied))
}

fn is_denied(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

const TABLES: [&str; 4] = ["payload", "descriptor", "name", "store"];

/// Makes the databases in an environment that has none.
fn create_tables(env: &Env<WithoutTls>) -> Result<Tables> {
    let txn = env.write_txn().map_err(|error| failed("cannot begin to write", error))?;
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        let whole: Database<'_, Bytes, Bytes> = opener.create_database(txn, None)?;
        if !whole.is_empty(txn)? {
            return Ok(CommitOrAbort::Abort(()));
        }
        let mut create = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
        let [payload, descriptor, name, store] = TABLES;
        let tables = (create(payload)?, create(descriptor)?, create(name)?, create(store)?);
        properties::write_new(&tables.3, txn)?;
        Ok(CommitOrAbort::Commit(tables))
    });
    match created.map_err(|error: heed::Error| failed("cannot make the databases", error))? {
        CommitOrAbort::Commit((payload, descriptor, name, store)) => Ok(Tables { payload, descriptor, name, store }),
        CommitOrAbort::Abort(()) => Err(exists()),
    }
}

/// Finds the databases of a store and checks that it is one that this version knows.
fn find_tables(env: &Env<WithoutTls>, folder: &Path) -> Result<Tables> {
    let txn = env.read_txn().map_err(|error| failed("cannot begin to read", error))?;
    let found = env.open_databases_and_commit(txn, |opener, txn| {
        let open = |name| match opener.open_database::<Bytes, Bytes>(txn, Some(name)) {
            Err(heed::Error::Mdb(MdbError::Incompatible)) => Ok(None), // a plain value has that name
            other => other,
        };
        let [payload, descriptor, name, store] = TABLES;
        let (payload, descriptor, name, store) = (open(payload)?, open(descriptor)?, open(name)?, open(store)?);
        let (Some(payload), Some(descriptor), Some(name), Some(store)) = (payload, descriptor, name, store) else {
            let is_empty = env.unnamed_database_stat().entries == 0;
            return Ok(CommitOrAbort::Abort(if is_empty { no_store(folder) } else { not_ours(folder) }));
        };
        Ok(match properties::check_format(&store, txn) {
            Ok(true) => CommitOrAbort::Commit((payload, descriptor, name, store)),
            Ok(false) => CommitOrAbort::Abort(not_ours(folder)),
            Err(error) => CommitOrAbort::Abort(error),
        })
    });
    match found.map_err(|error: heed::Error| failed("cannot open the databases", error))? {
        CommitOrAbort::Commit((payload, descriptor, name, store)) => Ok(Tables { payload, descriptor, name, store }),
        CommitOrAbort::Abort(error) => Err(error),
    }
}

/// The size of a map that has room for `needed` bytes and some more.
fn map_size(needed: u64) -> Result<u64> {
    let size = match needed {
        0..=SMALLEST_MAP => SMALLEST_MAP,
        _ if needed <= LARGEST_STEP => needed.next_power_of_two(),
        _ => needed.checked_next_multiple_of(LARGEST_STEP).ok_or_else(|| no_room(needed))?,
    };
    if size <= ADDRESS_SPACE { Ok(size) } else { Err(no_room(needed)) }
}

fn no_room(needed: u64) -> Error {
    Error::invalid(format!("the store would take {needed} bytes, more than this machine can map"))
}

fn check_address_space(size: usize) -> Result<()> {
    MmapOptions::new().len(size.max(1)).no_reserve_swap().map_anon().map(drop).map_err(|error| {
        Error::new(ErrorKind::Backend, format!("there is no room in the process for a map of {size} bytes"))
            .with_hint("raise the limit of the address space (ulimit -v)")
            .with_source(error)
    })
}

/// Locks `file`, which is a new one, for this process and thread alone.
fn exclusive(file: File, deadline: Instant) -> Result<File> {
    let cannot = |error| Error::io("cannot lock the store", error);
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
        Err(TryLockError::WouldBlock) => {}
    }
    // There is no lock with a time limit. Where nobody waits for this thread any more it lets the lock go again.
    let (sender, receiver) = mpsc::sync_channel(0);
    thread::spawn(move || sender.send(file.lock().map(|()| file)));
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(locked) => locked.map_err(cannot),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(Error::conflict(format!("others have been writing for {} seconds", WRITER_PATIENCE.as_secs()))
                .with_hint("wait until they have finished, then try again"))
        }
    }
}

pub(super) fn read_only(folder: &Path) -> Error {
    Error::new(ErrorKind::Denied, format!("{} is open for reading only", folder.display()))
}

fn exists() -> Error {
    Error::conflict("there is an LMDB environment already").with_hint("open it, or choose another folder")
}

fn no_store(folder: &Path) -> Error {
    Error::not_found(format!("there is no store in {}", folder.display()))
        .with_hint("the making of one was broken off there: create it again")
}

fn not_ours(folder: &Path) -> Error {
    let name = folder.display();
    Error::invalid(format!("{name} is an LMDB environment, but no Pinako store"))
        .with_hint(format!("to put the images in it into a store: pinako import {name} STORE"))
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("cannot open {}", path.display()), error)
}

/// The error for what LMDB answered to `what`.
pub(super) fn failed(what: &str, error: heed::Error) -> Error {
    let kind = match error {
        heed::Error::Io(error) => {
            let is_short_write = Errno::from_io_error(&error) == Some(Errno::IO);
            let error = Error::io(what, error);
            // What LMDB makes of a write that the disk took only a part of.
            return if is_short_write { error.with_hint("the disk may be full") } else { error };
        }
        heed::Error::Mdb(
            MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid | MdbError::CursorFull | MdbError::BadTxn,
        ) => ErrorKind::Corrupt,
        heed::Error::Mdb(MdbError::ReadersFull) => ErrorKind::Transient,
        _ => ErrorKind::Backend,
    };
    Error::new(kind, what).with_source(error)
}
