//! What SQLite's errors mean to a user of a store.

use std::io;

use rusqlite::{ErrorCode, ffi};

use crate::error::{Error, ErrorKind};

/// The library's error for one of SQLite's.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    let as_io = |what: &str, kind: io::ErrorKind| Error::io(what, kind.into());
    let code = match &error {
        rusqlite::Error::SqlInputError { error, .. } => Some(*error),
        _ => error.sqlite_error().copied(),
    };
    let extended = |meant| code.is_some_and(|error| error.extended_code == meant);
    let meant = match code.map(|error| error.code) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::conflict("another process is writing to it and did not finish in time")
                .with_hint("try again when that process is done")
        }
        Some(ErrorCode::DatabaseCorrupt) => damaged(),
        Some(ErrorCode::SystemIoFailure) if extended(ffi::SQLITE_IOERR_SHORT_READ) => damaged(),
        Some(ErrorCode::NotADatabase) => Error::corrupt("the file is no SQLite database, or a damaged one"),
        Some(ErrorCode::DiskFull) => as_io("cannot write: the disk is full", io::ErrorKind::StorageFull),
        Some(ErrorCode::ReadOnly) if extended(ffi::SQLITE_READONLY_ROLLBACK) => as_io(
            "a process that died left it half written, which cannot be undone where nothing can be written",
            io::ErrorKind::PermissionDenied,
        )
        .with_hint("copy it, with the files beside it, to a folder that can be written"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            as_io("cannot write to it", io::ErrorKind::PermissionDenied)
        }
        Some(ErrorCode::CannotOpen) => {
            as_io("cannot open it, or a file that SQLite needs beside it", io::ErrorKind::PermissionDenied)
        }
        // Our statements are fixed: where SQLite does not understand one, the tables are not ours.
        Some(ErrorCode::Unknown) => Error::corrupt("its tables are not those of a Pinako store"),
        Some(ErrorCode::TooBig) => Error::corrupt("it has a value longer than any of ours"),
        Some(ErrorCode::FileLockingProtocolFailed) => Error::new(ErrorKind::Transient, "its locks are contended"),
        _ => Error::new(ErrorKind::Backend, "SQLite failed"),
    };
    meant.with_source(error)
}

fn damaged() -> Error {
    Error::corrupt("the database is damaged").with_hint("the sqlite3 shell's command .recover saves what can be saved")
}

/// Whether somebody else's lock was in the way.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Whether the error, met when the header was read, is one that opening the file as a store should tell: it is a
/// database, or nobody can know.
pub(super) fn is_ours_to_tell(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
        )
    )
}
