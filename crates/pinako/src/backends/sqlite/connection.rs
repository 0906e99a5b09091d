//! Connections to the database: how they are set up, who may use one when, and how commits are journalled.
//!
//! A payload is written once and never changed, which SQLite's two journals serve very differently. The *rollback
//! journal* saves what the old pages held, and an append of many images changes next to no old page: the payloads go
//! straight to their place in the file, but readers wait while they do. The *write-ahead log* keeps readers going and
//! makes small commits cheap, but writes every payload twice. So a large batch, which takes well under a second for
//! each 100 MB, goes through the rollback journal where nobody else is using the store, and everything else through the
//! log, above all streams, which take as long as they take. SQLite notes in the file which journal is in use, so that
//! any client follows. The last writer to close the store leaves it without a log: one file that can be copied, mailed,
//! and read where nothing can be written.

use std::ffi::OsString;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::limits::Limit;
use rusqlite::{Connection, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use super::error::{failed, is_busy};
use crate::backend::Durability;
use crate::backends::read_only;
use crate::error::{Error, ErrorKind, Result};

/// Connections for reading that are kept for the next reader.
const MOST_IDLE: usize = 16;

/// Bytes of a log that is done with that are kept for the next one.
const LOG_KEPT: i64 = 64 << 20;

/// Most bytes of one value: pieces have 1 MiB, attributes as well, and label names are a list. What a file claims
/// beyond is not even read.
pub(super) const LONGEST_VALUE: i32 = 16 << 20;

/// What every connection is told. The schema is not trusted, and cells are checked before they are used: the file may
/// come from anywhere.
const SETTINGS: &str = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -4096;";

/// How a file is opened that is not to be written.
const BY_URI: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_URI).union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// How the next commit is journalled; see the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Journal {
    Rollback,
    WriteAhead,
}

/// All connections of one handle.
pub(super) struct Connections {
    place: Place,
    /// How long writers, and readers whom they keep out, wait for others.
    patience: Duration,
    idle: Mutex<Vec<Connection>>,
    /// `None` on a handle for reading only.
    writer: Option<Turn>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What SQLite is asked to open.
#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    /// A file on a medium that cannot be written, and which nobody else therefore changes.
    Immutable(OsString),
}

impl Place {
    fn connect(&self, flags: OpenFlags, patience: Duration) -> Result<Connection> {
        let connection = match self {
            Place::File(path) => Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX),
            Place::Immutable(uri) => Connection::open_with_flags(Path::new(uri), BY_URI),
        };
        let connection = connection.map_err(failed)?;
        connection.busy_timeout(patience).map_err(failed)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE).map_err(failed)?;
        connection.execute_batch(SETTINGS).map_err(failed)?;
        Ok(connection)
    }

    /// A connection that changes nothing. It may write all the same: what a process that died left half done is undone
    /// by whoever opens the store next.
    fn connect_reader(&self, patience: Duration) -> Result<Connection> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, patience)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(connection)
    }
}

impl Connections {
    /// A connection that takes no locks and no notice of journals.
    pub(super) fn at_rest(path: &Path) -> rusqlite::Result<Connection> {
        Connection::open_with_flags(Path::new(&immutable_uri(path)), BY_URI)
    }

    /// Connections to read by, all that a handle for reading only has.
    pub(super) fn for_reading(
        path: PathBuf,
        patience: Duration,
        check: impl Fn(&Connection) -> Result<()>,
    ) -> Result<Self> {
        let connect = |place: &Place| -> Result<Connection> {
            let connection = place.connect_reader(patience)?;
            check(&connection)?;
            Ok(connection)
        };
        let immutable = Place::Immutable(immutable_uri(&path));
        let whole = ["-wal", "-journal"].iter().all(|suffix| !with_suffix(&path, suffix).exists());
        let file = Place::File(path);
        let (place, connection) = match connect(&file) {
            Ok(connection) => (file, connection),
            // A database with a log that was cleanly closed, in a folder where no new log can be made.
            Err(error) if error.kind() == ErrorKind::Denied && whole => match connect(&immutable) {
                Ok(connection) => (immutable, connection),
                Err(_) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        Ok(Connections { place, patience, idle: Mutex::new(vec![connection]), writer: None })
    }

    /// Connections to read and write by. `prepare` gets the first one, and checks the database or makes its tables.
    pub(super) fn for_writing(
        path: PathBuf,
        create: bool,
        durability: Durability,
        patience: Duration,
        prepare: impl FnOnce(&mut Connection) -> Result<()>,
    ) -> Result<Self> {
        let place = Place::File(path);
        let create = if create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
        let mut connection = place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | create, patience)?;
        // EXTRA also syncs the folder after a rollback journal was deleted, without which the commit may be undone.
        let synchronous = match durability {
            Durability::Full => "EXTRA",
            Durability::Buffered => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT).map_err(failed)?;
        prepare(&mut connection)?;
        if connection.is_readonly(MAIN_DB).map_err(failed)? {
            return Err(Error::new(ErrorKind::Denied, "the file cannot be written to")
                .with_hint("check its permissions, or open the store for reading only"));
        }
        let writer = Turn { connection: Mutex::new(Some(connection)), free: Condvar::new() };
        Ok(Connections { place, patience, idle: Mutex::default(), writer: Some(writer) })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to read by.
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.place.connect_reader(self.patience)?,
        };
        Ok(Reader { connections: self, connection: Some(connection) })
    }

    /// The connection to write by, once no other thread has it.
    ///
    /// # Errors
    /// `Denied` on a handle for reading only; `Conflict` where another thread has it for too long.
    pub(super) fn writer(&self) -> Result<Writer<'_>> {
        let Some(turn) = &self.writer else {
            return Err(read_only());
        };
        let (mut free, _) = turn
            .free
            .wait_timeout_while(turn.lock(), self.patience, |free| free.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match free.take() {
            Some(connection) => Ok(Writer { connections: self, turn, connection: Some(connection) }),
            None => Err(Error::conflict("another thread is writing to it and did not finish in time")),
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        if let Ok(mut writer) = self.writer() {
            // Where somebody else still has the store open, they may keep the log; where it fails, nothing is lost.
            let _ = writer.set_journal(Journal::Rollback);
        }
    }
}

/// A connection to read by; goes back when dropped.
pub(super) struct Reader<'a> {
    connections: &'a Connections,
    /// `Some` until dropped.
    connection: Option<Connection>,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("there until dropped")
    }
}

impl Reader<'_> {
    /// One view of the database for the `searches` that follow, until it is dropped. A single one needs none.
    pub(super) fn snapshot(&self, searches: usize) -> Result<Option<Transaction<'_>>> {
        (searches > 1).then(|| self.unchecked_transaction()).transpose().map_err(failed)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut idle = self.connections.idle();
        if idle.len() < MOST_IDLE {
            idle.extend(self.connection.take());
        }
    }
}

/// The one connection to write by, which one thread has at a time.
struct Turn {
    /// `None` while a thread has it.
    connection: Mutex<Option<Connection>>,
    free: Condvar,
}

impl Turn {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection to write by; the next thread gets it when it is dropped.
pub(super) struct Writer<'a> {
    connections: &'a Connections,
    turn: &'a Turn,
    /// `Some` until dropped.
    connection: Option<Connection>,
}

impl Deref for Writer<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("there until dropped")
    }
}

impl DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("there until dropped")
    }
}

impl Writer<'_> {
    /// Starts a transaction that excludes all other writers, once they are done.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>> {
        self.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)
    }

    /// Has the next commits journalled so, where that is possible just now: leaving the write-ahead log takes that
    /// nobody else has the database open.
    pub(super) fn set_journal(&mut self, journal: Journal) -> Result<()> {
        let name = match journal {
            Journal::Rollback => "delete",
            Journal::WriteAhead => "wal",
        };
        let current: String = self.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
        if current == name {
            return Ok(());
        }
        self.connections.idle().clear();
        match self.pragma_update_and_check(None, "journal_mode", name, |_| Ok(())) {
            Err(error) if is_busy(&error) => Ok(()),
            other => other.map_err(failed),
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        *self.turn.lock() = self.connection.take();
        self.turn.free.notify_one();
    }
}

/// `path` with something after its last name, as SQLite names its files beside the database.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The URI that has SQLite read the file at `path`, which is absolute, without locks and without a log.
pub(super) fn immutable_uri(path: &Path) -> OsString {
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}
