//! What PostgreSQL's errors mean to a user of a store.

use std::error::Error as StdError;
use std::time::Duration;

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::place::Place;
use super::wire::Stopped;
use crate::error::{Error, ErrorKind};

/// The index of names.
const NAMES: &str = "image_name";

fn constraint(error: &tokio_postgres::Error) -> Option<&str> {
    error.as_db_error()?.constraint()
}

/// Whether it is that a name is taken.
pub(super) fn is_name_taken(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<DbError>());
    source.is_some_and(|source| source.constraint() == Some(NAMES))
}

/// The same error; where the user may not do it, with a hint at the `rights` that it takes, which are more than reading's.
pub(super) fn needing(rights: &str, error: Error) -> Error {
    let source = error.source().and_then(|source| source.downcast_ref::<DbError>());
    match source.map(DbError::code) {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => error.with_hint(rights),
        _ => error,
    }
}

/// The error for others who do not let go of what has to be locked.
pub(super) fn busy() -> Error {
    Error::conflict("somebody else is writing to it or compacting it and did not finish in time")
        .with_hint("try again when they are done")
}

/// The library's error for one of PostgreSQL's.
pub(super) fn failed(error: tokio_postgres::Error) -> Error {
    let meant = match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED) => busy(),
        Some(&SqlState::UNIQUE_VIOLATION) if constraint(&error) == Some(NAMES) => {
            Error::conflict("there is an image of that name already")
        }
        Some(&SqlState::UNIQUE_VIOLATION) if constraint(&error).is_some_and(|name| name.ends_with("_pkey")) => {
            Error::corrupt("it has images beyond the id that it says is the next one")
        }
        Some(&SqlState::UNIQUE_VIOLATION | &SqlState::DUPLICATE_TABLE | &SqlState::DUPLICATE_SCHEMA) => {
            Error::conflict("somebody else has made it meanwhile").with_hint("open it instead")
        }
        Some(&SqlState::QUERY_CANCELED) => Error::new(ErrorKind::Transient, "the server gave up: it took too long")
            .with_hint(
                "allow more time with ?statement_timeout=, for example 5min; who reads a store that is being compacted waits",
            ),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::new(ErrorKind::Denied, "the server refuses it to this user")
            .with_hint("the owner can GRANT it; reading takes USAGE on the schema and SELECT on its tables"),
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
            Error::new(ErrorKind::Denied, "the server only reads: it may be the copy of another")
                .with_hint("name the server that writes")
        }
        Some(&SqlState::DISK_FULL) => Error::new(ErrorKind::Backend, "the server's disk is full")
            .with_hint("free some space there; nothing of this was stored"),
        Some(&SqlState::OUT_OF_MEMORY) => Error::new(ErrorKind::Backend, "the server is out of memory"),
        Some(&SqlState::TOO_MANY_CONNECTIONS) => too_many(),
        Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => {
            Error::corrupt("the server finds the database damaged")
        }
        Some(&SqlState::UNDEFINED_PSTATEMENT | &SqlState::DUPLICATE_PSTATEMENT) => {
            Error::unsupported("something between here and the server hands a connection to several clients in turn")
                .with_hint("have PgBouncer keep it for a session (pool_mode = session), or name the server itself")
        }
        // Our statements are fixed: where the server does not understand one, the tables are not ours.
        Some(
            &SqlState::UNDEFINED_TABLE
            | &SqlState::UNDEFINED_COLUMN
            | &SqlState::UNDEFINED_FUNCTION
            | &SqlState::DATATYPE_MISMATCH
            | &SqlState::INVALID_SCHEMA_NAME
            | &SqlState::FEATURE_NOT_SUPPORTED
            | &SqlState::WRONG_OBJECT_TYPE,
        ) => Error::corrupt("its tables are not, or no longer, those of a Pinako store"),
        Some(_) if !is_fatal(&error) => Error::new(ErrorKind::Backend, "the server failed"),
        _ => Error::new(ErrorKind::Transient, "the connection to the server was cut").with_hint("try again"),
    };
    with_cause(meant, error)
}

/// The error for a server that says nothing.
pub(super) fn stopped(stopped: Stopped) -> Error {
    match stopped {
        Stopped::Silence(silence) => silent(silence),
        Stopped::Failed(error) => Error::io("cannot wait for the server", error),
    }
}

pub(super) fn silent(silence: Duration) -> Error {
    Error::new(ErrorKind::Transient, format!("the server said nothing for {:.1} seconds", silence.as_secs_f64()))
        .with_hint("it, or the network between, is down or overloaded: try again later")
}

/// Adds PostgreSQL's own words, without the library's around them.
fn with_cause(meant: Error, error: tokio_postgres::Error) -> Error {
    if error.source().is_some() {
        return match error.into_source() {
            Some(source) => meant.with_source(source),
            None => meant,
        };
    }
    meant.with_source(error)
}

/// Whether the connection is of no use after this.
pub(super) fn is_fatal(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(error) => matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
        None => true,
    }
}

/// Whether the server is starting or stopping, and may be there in a moment.
pub(super) fn is_between_lives(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
}

/// The error for a server that cannot be reached at all.
pub(super) fn unreachable(place: &Place, error: std::io::Error) -> Error {
    let server = place.server();
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return Error::io(format!("cannot connect to PostgreSQL at {server}"), error);
    }
    Error::new(ErrorKind::Transient, format!("no PostgreSQL server answers at {server}")).with_source(error).with_hint(
        format!("check that one runs there and may be reached: pg_isready -h {} -p {}", host(place), place.port),
    )
}

/// The error for a server that took too long to let us in.
pub(super) fn slow_to_connect(place: &Place) -> Error {
    let (server, seconds) = (place.server(), place.connect_timeout.as_secs());
    Error::new(ErrorKind::Transient, format!("PostgreSQL at {server} did not answer within {seconds} seconds"))
        .with_hint("check that one runs there; allow more time with ?connect_timeout=SECONDS")
}

fn host(place: &Place) -> String {
    match &place.host {
        super::place::Host::Tcp(host) => host.clone(),
        super::place::Host::Unix(folder) => folder.display().to_string(),
    }
}

fn too_many() -> Error {
    Error::new(ErrorKind::Transient, "the server has all the connections that it allows")
        .with_hint("try again later, or have its max_connections raised")
}

/// The error for a server that does not let us in.
pub(super) fn refused(place: &Place, error: tokio_postgres::Error) -> Error {
    let (server, user, database) = (place.server(), &place.user, &place.database);
    let unread = place.unread_passwords.as_deref().map(|why| format!("; {why}")).unwrap_or_default();
    let passwords = format!("give the password by PGPASSWORD, in ~/.pgpass or in the URL{unread}");
    let meant = match error.code() {
        Some(&SqlState::INVALID_PASSWORD) => {
            Error::new(ErrorKind::Denied, format!("{server} does not take the password of user {user:?}"))
                .with_hint(passwords)
        }
        Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            Error::new(ErrorKind::Denied, format!("{server} does not let in user {user:?}"))
                .with_hint("check the user's name, the server's pg_hba.conf and ?sslmode=")
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => {
            Error::not_found(format!("there is no database {database:?} at {server}")).with_hint(format!(
                "make it: createdb -h {} -p {} -U {user} -E UTF8 {database}",
                host(place),
                place.port
            ))
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Error::new(ErrorKind::Denied, format!("user {user:?} may not connect to database {database:?} at {server}"))
                .with_hint(format!("its owner can: GRANT CONNECT ON DATABASE {database} TO {user}"))
        }
        Some(&SqlState::TOO_MANY_CONNECTIONS) => too_many(),
        Some(&SqlState::CANNOT_CONNECT_NOW) => {
            Error::new(ErrorKind::Transient, format!("PostgreSQL at {server} is starting or stopping"))
                .with_hint("try again in a moment")
        }
        Some(_) => Error::new(ErrorKind::Backend, format!("{server} refuses the connection")),
        None if is_of_tls(&error) => Error::new(ErrorKind::Denied, format!("no TLS with {server}"))
            .with_hint("the server may have none, or a certificate that sslrootcert does not know: see ?sslmode="),
        None if place.password.is_none() && error.to_string().contains("configuration") => {
            Error::new(ErrorKind::Denied, format!("{server} wants a password of user {user:?}")).with_hint(passwords)
        }
        None => Error::new(ErrorKind::Transient, format!("the connection to {server} was cut as it began"))
            .with_hint("something else than PostgreSQL may listen there"),
    };
    with_cause(meant, error)
}

/// Whether it was TLS that failed.
pub(super) fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    // The library keeps its own kinds to itself.
    error.to_string().contains("TLS")
}
