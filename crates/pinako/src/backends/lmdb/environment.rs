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

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};
use memmap2::MmapOptions;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::fs::fstatvfs;
use rustix::io::Errno;

use super::table::{Map, Table};
use super::{header, lock_file, properties};
use crate::backend::WRITER_PATIENCE;
use crate::backends::Mode;
use crate::backends::writer_lock::WriterLock;
use crate::error::{Error, ErrorKind, Result};

pub(super) const DATA_FILE: &str = "data.mdb";
pub(super) const LOCK_FILE: &str = "lock.mdb";
pub(super) const TURN_FILE: &str = "pinako.lock";

/// The first map, and the step by which a large one grows; between them maps double. Address space, not disk.
const SMALLEST_MAP: u64 = 64 << 20;
const LARGEST_STEP: u64 = 16 << 30;
/// What x86-64 and aarch64 processes have at least, halved.
const ADDRESS_SPACE: u64 = 1 << 46;

pub(super) const MAX_READERS: u32 = 512;

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

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("env", &self.env).field("writable", &self.writable).finish_non_exhaustive()
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        LOCKED.set(LOCKED.get() - 1);
    }
}

/// An open environment and its databases.
pub(super) struct Open {
    pub(super) env: Env<WithoutTls>,
    databases: Databases,
    /// Where the map starts, where that is known.
    map_start: Option<usize>,
    writable: bool,
}

/// The payloads, the descriptors, the names and the store's properties.
type Databases = [Database<'static, Bytes, Bytes>; 4];

/// The databases as one transaction sees them. FORMAT.md says what is in each.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    pub(super) payload: Table,
    pub(super) descriptor: Table,
    pub(super) name: Table,
    pub(super) store: Table,
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
        let databases = if mode == Mode::Create { create_tables(&env) } else { find_tables(&env, folder) }?;
        let mut open = Open { env, databases, map_start: None, writable };
        open.find_map()?;
        if writable {
            open.clear_stale_readers()?;
        }
        Ok(open)
    }

    pub(super) fn begin(&self) -> Result<RwTxn<'_>> {
        self.env.write_txn().map_err(|error| failed("cannot begin to write", error))
    }

    pub(super) fn commit(&self, txn: RwTxn<'_>) -> Result<()> {
        const ALMOST_NOTHING: u64 = 1 << 20;
        txn.commit().map_err(|error| match error {
            // What LMDB makes of a write that the disk took only a part of.
            heed::Error::Io(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                let room = self.data_file().ok().and_then(|file| fstatvfs(file).ok());
                let is_full = room.is_some_and(|room| room.f_bavail.saturating_mul(room.f_frsize) < ALMOST_NOTHING);
                Error::io("cannot commit", if is_full { Errno::NOSPC.into() } else { error })
            }
            error => failed("cannot commit", error),
        })
    }

    fn data_file(&self) -> Result<File> {
        self.env.try_clone_inner_file().map_err(|error| failed("cannot look at the data file", error))
    }

    /// Bytes of the data file up to its last page in use.
    fn used(&self) -> u64 {
        (self.env.info().last_page_number as u64 + 1) * self.page_size()
    }

    /// The databases as a transaction that has just begun sees them.
    pub(super) fn tables(&self) -> Tables {
        let map = self.map_start.map(|start| {
            let at = |length| start.saturating_add(length);
            Map { start, filled: at(self.used() as usize), end: at(self.env.info().map_size) }
        });
        let [payload, descriptor, name, store] = self.databases.map(|database| Table { database, map });
        Tables { payload, descriptor, name, store }
    }

    /// Finds out where the map starts. LMDB does not say; but every page begins with its number.
    fn find_map(&mut self) -> Result<()> {
        self.map_start = None;
        let page_size = self.page_size() as usize;
        if page_size > rustix::param::page_size() {
            return Ok(()); // another machine's file, whose pages may start anywhere
        }
        let txn = self.env.read_txn().map_err(|error| failed("cannot begin to read", error))?;
        let page = properties::format(&self.databases[3], &txn)?.as_ptr().addr() / page_size * page_size;
        // SAFETY: a value of an open transaction lies in a page of the map, which begins with a `size_t`, its number.
        let number = unsafe { std::ptr::with_exposed_provenance::<usize>(page).read() };
        let before = number.checked_mul(page_size).filter(|_| number <= self.env.info().last_page_number);
        let start = before.and_then(|before| page.checked_sub(before));
        self.map_start = Some(start.ok_or_else(|| Error::corrupt(format!("a page has the number {number}")))?);
        Ok(())
    }

    pub(super) fn page_size(&self) -> u64 {
        u64::from(self.env.unnamed_database_stat().page_size)
    }

    /// An upper bound of the bytes of new pages that it takes to remove `entries` images or pieces: the pages on their
    /// ways from the roots with their neighbours, or all pages of all trees, and the list of what becomes free.
    fn rewrite_room(&self, entries: u64) -> Result<u64> {
        const SPARE: u64 = 256;
        let txn = self.env.read_txn().map_err(|error| failed("cannot begin to read", error))?;
        let (mut tree, mut values) = (0, 0);
        for database in &self.databases {
            let stat = database.stat(&txn).map_err(|error| failed("cannot count pages", error))?;
            tree += (stat.branch_pages + stat.leaf_pages) as u64;
            values += stat.overflow_pages as u64;
        }
        let pages = entries.saturating_mul(64).min(2 * tree) + values / 256 + SPARE;
        Ok(pages.saturating_mul(self.page_size()))
    }

    /// Makes the file reach `room` bytes beyond its last page, as a hole. A write transaction must be open.
    fn extend_file(&self, room: u64) -> Result<()> {
        let cannot = |error| Error::io("cannot make the file longer", error);
        let length = self.used() + room;
        let file = self.data_file()?;
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
    let ways = match lock_file::reserve(&folder.join(LOCK_FILE)) {
        // Without room for a lock file nobody writes.
        Err(error) if mode == Mode::Read && is_full(&error) => &ways[2..],
        Err(error) if !is_denied(&error) => return Err(cannot_open(&folder.join(LOCK_FILE), error)),
        _ if mode == Mode::Read => &ways[..],
        _ => &ways[..1],
    };
    let mut denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    for &way in ways {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(4).max_readers(MAX_READERS).map_size(map_size as usize);
        // SAFETY: the module's text says how heed's conditions are kept. NO_META_SYNC costs durability of the last
        // transaction only, which `Full` makes up for; NO_LOCK comes where the folder or the disk cannot be written anyway.
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

fn is_full(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

const TABLES: [&str; 4] = ["payload", "descriptor", "name", "store"];

/// Makes the databases in an environment that has none.
fn create_tables(env: &Env<WithoutTls>) -> Result<Databases> {
    let txn = env.write_txn().map_err(|error| failed("cannot begin to write", error))?;
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        let whole: Database<'_, Bytes, Bytes> = opener.create_database(txn, None)?;
        if !whole.is_empty(txn)? {
            return Ok(CommitOrAbort::Abort(()));
        }
        let mut create = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
        let [payload, descriptor, name, store] = TABLES;
        let tables = [create(payload)?, create(descriptor)?, create(name)?, create(store)?];
        properties::write_new(&tables[3], txn)?;
        Ok(CommitOrAbort::Commit(tables))
    });
    match created.map_err(|error: heed::Error| failed("cannot make the databases", error))? {
        CommitOrAbort::Commit(databases) => Ok(databases),
        CommitOrAbort::Abort(()) => Err(exists()),
    }
}

/// Finds the databases of a store and checks that it is one that this version knows.
fn find_tables(env: &Env<WithoutTls>, folder: &Path) -> Result<Databases> {
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
            Ok(true) => CommitOrAbort::Commit([payload, descriptor, name, store]),
            Ok(false) => CommitOrAbort::Abort(not_ours(folder)),
            Err(error) => CommitOrAbort::Abort(error),
        })
    });
    match found.map_err(|error: heed::Error| failed("cannot open the databases", error))? {
        CommitOrAbort::Commit(databases) => Ok(databases),
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
        heed::Error::Io(error) => return Error::io(what, error),
        heed::Error::Mdb(
            MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid | MdbError::CursorFull | MdbError::BadTxn,
        ) => ErrorKind::Corrupt,
        heed::Error::Mdb(MdbError::ReadersFull) => ErrorKind::Transient,
        _ => ErrorKind::Backend,
    };
    Error::new(kind, what).with_source(error)
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
