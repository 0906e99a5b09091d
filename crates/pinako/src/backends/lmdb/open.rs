//! An LMDB environment as it is open: its databases, and where and how large its map is.
//!
//! What it takes to open one depends on what the folder and the disk allow, and whose environment it is shows in its
//! databases only.

use std::fs::File;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RwTxn, WithoutTls};
use memmap2::MmapOptions;
use rustix::fs::fstatvfs;
use rustix::io::Errno;

use super::environment::TURN_FILE;
use super::table::{Map, Table};
use super::{header, lock_file, properties};
use crate::backend::WRITER_PATIENCE;
use crate::backends::{Kind, Mode, OWN_PATH, broken_off};
use crate::error::{Error, ErrorKind, Result};

pub(super) const DATA_FILE: &str = "data.mdb";
pub(super) const LOCK_FILE: &str = "lock.mdb";

/// The first map, and the step by which a large one grows; between them maps double. Address space, not disk.
const SMALLEST_MAP: u64 = 64 << 20;
const LARGEST_STEP: u64 = 16 << 30;
/// What x86-64 and aarch64 processes have at least, halved.
const ADDRESS_SPACE: u64 = 1 << 46;

pub(super) const MAX_READERS: u32 = 512;

/// An open environment and its databases.
pub(super) struct Open {
    pub(super) env: Env<WithoutTls>,
    databases: Databases,
    /// Where the map starts, where that is known.
    map_start: Option<usize>,
    pub(super) writable: bool,
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

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("env", &self.env).field("writable", &self.writable).finish_non_exhaustive()
    }
}

impl Open {
    pub(super) fn at(folder: &Path, mode: Mode) -> Result<Self> {
        let data = folder.join(DATA_FILE);
        let length = if mode == Mode::Create {
            // LMDB makes files that nobody but the user may read; these follow the umask.
            for file in [&data, &folder.join(LOCK_FILE)] {
                File::options().append(true).create(true).open(file).map_err(|error| cannot_open(file, error))?;
            }
            0
        } else {
            if header::read(&data)?.is_none() {
                return check_never_written(folder).and(Err(broken_off(Kind::Lmdb, folder)));
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
        txn.commit().map_err(|error| self.cannot_write("cannot commit", error))
    }

    /// The error for what LMDB answered to `what`, which writes.
    pub(super) fn cannot_write(&self, what: &str, error: heed::Error) -> Error {
        const ALMOST_NOTHING: u64 = 1 << 20;
        match error {
            // What LMDB makes of a write that the disk took only a part of.
            heed::Error::Io(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                let room = self.data_file().ok().and_then(|file| fstatvfs(file).ok());
                let is_full = room.is_some_and(|room| room.f_bavail.saturating_mul(room.f_frsize) < ALMOST_NOTHING);
                Error::io(what, if is_full { Errno::NOSPC.into() } else { error })
            }
            error => failed(what, error),
        }
    }

    pub(super) fn data_file(&self) -> Result<File> {
        self.env.try_clone_inner_file().map_err(|error| failed("cannot look at the data file", error))
    }

    /// Bytes of the data file up to its last page in use.
    pub(super) fn used(&self) -> u64 {
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
    pub(super) fn find_map(&mut self) -> Result<()> {
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
    pub(super) fn rewrite_room(&self, entries: u64) -> Result<u64> {
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
    pub(super) fn extend_file(&self, room: u64) -> Result<()> {
        let cannot = |error| Error::io("cannot make the file longer", error);
        let length = self.used() + room;
        let file = self.data_file()?;
        if file.metadata().map_err(cannot)?.len() < length {
            file.set_len(length).map_err(cannot)?;
        }
        Ok(())
    }

    /// Frees the places of readers whose processes have died; says how many.
    pub(super) fn clear_stale_readers(&self) -> Result<usize> {
        self.env.clear_stale_readers().map_err(|error| failed("cannot look for readers that have died", error))
    }
}

/// Checks that a folder in which there is no environment never had one with images.
pub(crate) fn check_never_written(folder: &Path) -> Result<()> {
    // Only who has made a store, or opened one, takes a turn to write to it.
    if !folder.join(TURN_FILE).exists() {
        return Ok(());
    }
    let data = folder.join(DATA_FILE);
    Err(Error::corrupt(format!("{} is empty or missing, but images were stored in it", data.display()))
        .with_hint("restore it from a copy; to begin anew, remove the folder"))
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
        // transaction only, which `Full` makes up for; NO_LOCK comes where the folder or the disk cannot be written
        // anyway.
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
            return Ok(CommitOrAbort::Abort(if is_empty { broken_off(Kind::Lmdb, folder) } else { not_ours(folder) }));
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
pub(super) fn map_size(needed: u64) -> Result<u64> {
    let size = match needed {
        0..=SMALLEST_MAP => SMALLEST_MAP,
        _ if needed <= LARGEST_STEP => needed.next_power_of_two(),
        _ => needed.checked_next_multiple_of(LARGEST_STEP).ok_or_else(|| no_room(needed))?,
    };
    if size <= ADDRESS_SPACE { Ok(size) } else { Err(no_room(needed)) }
}

pub(super) fn no_room(needed: u64) -> Error {
    Error::invalid(format!("the store would take {needed} bytes, more than this machine can map"))
}

pub(super) fn check_address_space(size: usize) -> Result<()> {
    MmapOptions::new().len(size.max(1)).no_reserve_swap().map_anon().map(drop).map_err(|error| {
        Error::new(ErrorKind::Backend, format!("there is no room in the process for a map of {size} bytes"))
            .with_hint("raise the limit of the address space (ulimit -v)")
            .with_source(error)
    })
}

pub(super) fn exists() -> Error {
    Error::conflict("there is an LMDB environment already").with_hint(OWN_PATH)
}

fn not_ours(folder: &Path) -> Error {
    let name = folder.display();
    Error::invalid(format!("{name} is an LMDB environment, but no Pinako store"))
        .with_hint(format!("to put the images in it into a store: pinako import {name} STORE"))
}

pub(super) fn cannot_open(path: &Path, error: std::io::Error) -> Error {
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
