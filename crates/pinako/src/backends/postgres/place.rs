//! What a URL says of the server and the store, with what the environment says where the URL does not: as libpq, by
//! which people know it, and with its names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::password;
use super::tls::{SslMode, Tls};
use crate::error::{Error, Result};

/// The schema of a store whose URL names none.
const SCHEMA: &str = "pinako";

/// Folders in which servers have their sockets: Debian's, and PostgreSQL's own.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What may stand after the `?` of a URL, and the variable of the environment that is taken otherwise.
const OPTIONS: [(&str, Option<&str>); 14] = [
    ("schema", None),
    ("host", Some("PGHOST")),
    ("port", Some("PGPORT")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("dbname", Some("PGDATABASE")),
    ("passfile", Some("PGPASSFILE")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("application_name", Some("PGAPPNAME")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("statement_timeout", None),
];

/// How a password is written whose characters mean something in a URL.
const ESCAPES: &str = "in a password, / is written %2F, ? is %3F, @ is %40 and : is %3A";

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name or an address.
    Tcp(String),
    /// A folder with the server's socket.
    Unix(PathBuf),
}

/// A URL, taken apart and completed.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    /// Why a file of passwords was not read, for whoever wonders.
    pub(super) unread_passwords: Option<String>,
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) application_name: String,
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (server, database, schema) = (self.server(), &self.database, &self.schema);
        write!(f, "{server}, database {database:?}, schema {schema:?}")
    }
}

impl Place {
    /// Takes `url` apart.
    ///
    /// # Errors
    /// `InvalidInput` where it cannot be understood, `NotFound` where a file that it names is missing.
    pub(super) fn new(url: &str) -> Result<Self> {
        Self::with_environment(url, |name| std::env::var(name).ok())
    }

    fn with_environment(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut given = parse(url)?;
        for (option, variable) in OPTIONS {
            if let Some(value) = variable.and_then(&environment).filter(|value| !value.is_empty()) {
                given.entry(option).or_insert(value);
            }
        }
        let mut take = |option: &str| given.remove(option).filter(|value| !value.is_empty());
        let port = match take("port") {
            None => 5432,
            // What stands there may be a part of a password.
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| Error::invalid("its port is no number from 1 to 65535").with_hint(ESCAPES))?,
        };
        let host = match take("host") {
            Some(host) if host.starts_with('/') => Host::Unix(host.into()),
            Some(host) if host.contains(',') => {
                return Err(Error::invalid(format!("{host:?} names several hosts"))
                    .with_hint("name one, or a name that stands for them"));
            }
            Some(host) => Host::Tcp(host),
            None => Host::of_this_machine(port),
        };
        let user = match take("user") {
            Some(user) => user,
            None => whoami::username().map_err(|error| {
                Error::invalid("the URL names no user, and the system does not say who you are")
                    .with_hint("write postgres://USER@HOST/DATABASE")
                    .with_source(error)
            })?,
        };
        let database = take("dbname").unwrap_or_else(|| user.clone());
        let schema = take("schema").unwrap_or_else(|| SCHEMA.to_owned());
        if schema.len() > 63 || schema.contains('\0') || schema.starts_with("pg_") || schema == "information_schema" {
            return Err(unsound("schema", &schema, "a name of at most 63 bytes that is not PostgreSQL's own"));
        }
        let passfile = take("passfile").map(PathBuf::from);
        let (mut password, mut unread_passwords) = (take("password"), None);
        if password.is_none() {
            match password::find(passfile, &host, port, &database, &user) {
                Ok(found) => password = found,
                Err(why) => unread_passwords = Some(why),
            }
        }
        let home = environment("HOME").map(PathBuf::from);
        let tls = match &host {
            // As with libpq, for which nobody listens in between.
            Host::Unix(_) => Tls::none()?,
            Host::Tcp(_) => {
                let mode = take("sslmode").map(|mode| SslMode::parse(&mode)).transpose()?;
                Tls::new(mode, take("sslrootcert"), take("sslcert"), take("sslkey"), home.as_deref())?
            }
        };
        let connect_timeout = match take("connect_timeout") {
            None => Duration::from_secs(10),
            Some(value) => {
                seconds(&value).ok_or_else(|| unsound("connect_timeout", &value, "seconds; 0 is no limit"))?
            }
        };
        let statement_timeout = match take("statement_timeout") {
            None => Duration::from_secs(60),
            Some(value) => period(&value).ok_or_else(|| {
                unsound("statement_timeout", &value, "milliseconds, or a number with the unit ms, s or min")
            })?,
        };
        Ok(Place {
            host,
            port,
            user,
            password,
            unread_passwords,
            database,
            schema,
            application_name: take("application_name").unwrap_or_else(|| "pinako".to_owned()),
            tls,
            connect_timeout,
            statement_timeout,
        })
    }

    /// The server, for messages.
    pub(super) fn server(&self) -> String {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::Unix(folder) => socket_path(folder, self.port).display().to_string(),
        }
    }
}

impl Host {
    /// The server of this machine: by its socket where there is one, as whom its user is known there.
    fn of_this_machine(port: u16) -> Self {
        let mut folders = SOCKET_FOLDERS.iter().map(Path::new);
        match folders.find(|folder| socket_path(folder, port).exists()) {
            Some(folder) => Host::Unix(folder.to_owned()),
            None => Host::Tcp("localhost".to_owned()),
        }
    }
}

/// The path of a server's socket.
pub(super) fn socket_path(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// The parts of a URL, decoded, under the names of [`OPTIONS`].
fn parse(url: &str) -> Result<BTreeMap<&'static str, String>> {
    let mut given = BTreeMap::new();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let parts = [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", database)];
    for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
        given.insert(name, decode(name, value)?);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(&(name, _)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            // Behind a ? in a password, this is a part of it.
            if query.contains('@') {
                return Err(Error::invalid("the URL has an option that means nothing here").with_hint(ESCAPES));
            }
            let known = OPTIONS.map(|(known, _)| known).join(", ");
            return Err(Error::invalid(format!("the URL has an option {name:?} that means nothing here"))
                .with_hint(format!("the options are {known}")));
        };
        given.insert(name, decode(name, value)?);
    }
    Ok(given)
}

fn decode(name: &str, value: &str) -> Result<String> {
    let decoded = percent_decode_str(value).decode_utf8();
    // The value itself may be a password.
    decoded.map(Into::into).map_err(|error| Error::invalid(format!("its {name} is no UTF-8")).with_source(error))
}

fn unsound(option: &str, value: &str, expected: &str) -> Error {
    Error::invalid(format!("its {option} is {value:?}, expected {expected}"))
}

/// Seconds as libpq has them: 0 are no limit, which is a day here.
fn seconds(value: &str) -> Option<Duration> {
    const DAY: u64 = 86_400;
    let seconds: u64 = value.parse().ok()?;
    Some(Duration::from_secs(if seconds == 0 { DAY } else { seconds.min(DAY) }))
}

/// A period as PostgreSQL's own settings have it.
fn period(value: &str) -> Option<Duration> {
    let digits = value.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().ok()?;
    let millis = match &value[digits.len()..] {
        "" | "ms" => number,
        "s" => number.checked_mul(1000)?,
        "min" => number.checked_mul(60_000)?,
        _ => return None,
    };
    (1..=86_400_000).contains(&millis).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn place(url: &str, environment: &[(&str, &str)]) -> Result<Place> {
        let value =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Place::with_environment(url, value)
    }

    #[test]
    fn a_url_says_where_and_the_environment_says_the_rest() {
        let all = place(
            "postgres://ann%40home:p%3Aw%2Fd@db.example:6543/my%20pets?schema=cats&sslmode=disable&connect_timeout=3&\
             statement_timeout=5s&application_name=x",
            &[("PGHOST", "elsewhere"), ("PGPASSWORD", "another")],
        )
        .unwrap();
        assert_eq!(all.host, Host::Tcp("db.example".to_owned()));
        assert_eq!((all.port, &*all.user, all.password.as_deref()), (6543, "ann@home", Some("p:w/d")));
        assert_eq!((&*all.database, &*all.schema, &*all.application_name), ("my pets", "cats", "x"));
        assert_eq!((all.connect_timeout.as_secs(), all.statement_timeout.as_secs()), (3, 5));

        let environment =
            [("PGHOST", "db"), ("PGPORT", "77"), ("PGUSER", "bob"), ("PGDATABASE", "zoo"), ("PGPASSWORD", "pw")];
        let bare = place("postgres://", &environment).unwrap();
        assert_eq!((bare.host, bare.port), (Host::Tcp("db".to_owned()), 77));
        assert_eq!((&*bare.user, &*bare.database, &*bare.schema), ("bob", "zoo", "pinako"));
        assert_eq!(bare.password.as_deref(), Some("pw"));
        let unlimited = place("postgres://h/", &[("PGCONNECT_TIMEOUT", "0")]).unwrap();
        assert_eq!(unlimited.connect_timeout.as_secs(), 86_400);

        let named = place("postgresql://eve@[::1]:5/", &[]).unwrap();
        assert_eq!((named.server(), &*named.database), ("[::1]:5".to_owned(), "eve"));
        for url in ["postgres://eve@/zoo?host=/run/db&port=9", "postgres://eve@%2Frun%2Fdb:9/zoo"] {
            assert_eq!(place(url, &[]).unwrap().server(), "/run/db/.s.PGSQL.9");
        }
    }

    #[test]
    fn the_socket_of_this_machine_is_that_of_the_port() {
        // A port's number, so that a file of that name is nobody's server.
        let file = socket_path(Path::new("/tmp"), 3);
        std::fs::write(&file, "").unwrap();
        let (there, elsewhere) = (place("postgres:///zoo?port=3", &[]), place("postgres:///zoo?port=4", &[]));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(there.unwrap().host, Host::Unix("/tmp".into()));
        assert_eq!(elsewhere.unwrap().host, Host::Tcp("localhost".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_is_told_and_no_password_is() {
        for (url, found) in [
            ("postgres://a:secret@h:99999/", "port"),
            ("postgres://a:secret/word@h/", "port"),
            ("postgres://a:p?secret@h/db", "option"),
            ("postgres://a:p?x=1&secret&y@h/db", "option"),
            ("postgres://a@h/?port=0", "port"),
            ("postgres://a@h1,h2/", "several hosts"),
            ("postgres://a@h/?sslmode=sure", "sslmode"),
            ("postgres://a@h/?schema=pg_catalog", "pg_catalog"),
            ("postgres://a@h/?statement_timeout=0", "statement_timeout"),
            ("postgres://a@h/?statement_timeout=5h", "5h"),
            ("postgres://a@h/?connect_timeout=soon", "soon"),
            ("postgres://a@h/?password=secret%ff", "password"),
        ] {
            let error = place(url, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
            assert!(error.to_string().contains(found), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{url}: {error:?}");
        }
        let unknown = place("postgres://a@h/?shema=x", &[]).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
        assert!(
            unknown.to_string().contains("shema") && unknown.hint().unwrap().contains("schema, host"),
            "{unknown:?}"
        );
    }
}
