//! Which kind of store a URL means, and where that is, as far as its text says: nothing here looks at what is there.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Files,
    Lmdb,
    Hdf5,
    Sqlite,
    Postgres,
    /// Object stores, of which a folder may be one.
    Object,
}

impl Kind {
    pub(super) const ON_DISK: [Kind; 5] = [Kind::Files, Kind::Lmdb, Kind::Hdf5, Kind::Sqlite, Kind::Object];

    /// The schemes of URLs of servers, which begin with them and `://`.
    pub(super) const ON_SERVERS: [(&str, Kind); 5] = [
        ("postgres", Kind::Postgres),
        ("postgresql", Kind::Postgres),
        ("s3", Kind::Object),
        ("gs", Kind::Object),
        ("az", Kind::Object),
    ];

    /// The scheme of URLs of this kind where it is on the disk, or the first of those where it is not.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Kind::Memory => "memory",
            Kind::Files => "files",
            Kind::Lmdb => "lmdb",
            Kind::Hdf5 => "hdf5",
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Object => "object",
        }
    }
}

/// A URL, taken apart: which backend, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    Disk(PathBuf),
    /// The whole URL.
    Server(String),
}

impl Location {
    /// What the scheme of `url` means; `None` where it has none that is known, and so may be a bare path.
    pub(super) fn of_scheme(url: &str) -> Result<Option<Self>> {
        let Some((scheme, path)) = url.split_once(':') else { return Ok(None) };
        if (scheme, path) == ("memory", "") {
            return Ok(Some(Location { kind: Kind::Memory, place: Place::Memory }));
        }
        if let Some(&(_, kind)) = Kind::ON_SERVERS.iter().find(|(known, _)| *known == scheme && path.starts_with("//"))
        {
            return Ok(Some(Location { kind, place: Place::Server(url.to_owned()) }));
        }
        match Kind::ON_DISK.into_iter().find(|kind| kind.scheme() == scheme) {
            Some(_) if path.is_empty() => {
                Err(Error::invalid(format!("{url:?} names no path")).with_hint(format!("write {scheme}:PATH")))
            }
            // Or lmdb://photos would be a store in the root.
            Some(_) if path.starts_with("//") => {
                let path = path.trim_start_matches('/');
                Err(Error::invalid(format!("{url:?} looks like a server's URL, but {scheme}: stores are on the disk"))
                    .with_hint(format!("write {scheme}:{path}, or {scheme}:/{path} for a path from the root on")))
            }
            Some(kind) => Ok(Some(Location { kind, place: Place::Disk(path.into()) })),
            None => Ok(None),
        }
    }

    /// The same place, whatever folder the process is in later.
    pub(super) fn absolute(&self) -> Result<Self> {
        let place = match &self.place {
            Place::Disk(path) => Place::Disk(absolute(path)?),
            place => place.clone(),
        };
        Ok(Location { kind: self.kind, place })
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(format!("cannot tell where {} is", path.display()), error))
}

/// The URL of the same store, whatever folder the process is in later: the path in it, or the bare path that it is, becomes
/// absolute; those of servers and `memory:` stay.
///
/// # Errors
/// `InvalidInput` where `url` has a scheme and no path, or a server's for the disk, or the folder that the process is in has a name that is not UTF-8;
/// `Io` where the system cannot tell that folder.
pub fn absolute_url(url: &str) -> Result<String> {
    let (scheme, path) = match Location::of_scheme(url)? {
        Some(Location { kind, place: Place::Disk(path) }) => (format!("{}:", kind.scheme()), path),
        None if unknown_scheme(url).is_none() || Path::new(url).exists() => (String::new(), url.into()),
        // That of an unknown kind, too: opening it says so.
        _ => return Ok(url.to_owned()),
    };
    let path = absolute(&path)?;
    let text = path.to_str().ok_or_else(|| Error::invalid(format!("the path {} is not UTF-8", path.display())))?;
    Ok(format!("{scheme}{text}"))
}

/// Whether `url` is that of a store on a server.
pub fn is_on_server(url: &str) -> bool {
    matches!(Location::of_scheme(url), Ok(Some(Location { place: Place::Server(_), .. })))
}

/// The scheme of a URL that no kind of store is known to have, if that is what `text` looks like, and not a bare path.
pub(super) fn unknown_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_word = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_word || rest.starts_with("//")).then_some(scheme)
}

/// The URL of a server as it may be shown. Characters that a password should not have as they are may stand in it.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (place, options) = rest.split_once('?').map_or((rest, None), |(place, options)| (place, Some(options)));
    let secret = rest.rfind('@').and_then(|at| rest[..at].find(':').map(|colon| colon + 1..at));
    let mut shown = match secret {
        Some(secret) if secret.end <= place.len() => {
            format!("{scheme}://{}***{}", &place[..secret.start], &place[secret.end..])
        }
        // What looks like options may be the rest of a password.
        Some(secret) => return format!("{scheme}://{}***", &rest[..secret.start]),
        None => format!("{scheme}://{place}"),
    };
    let options = options.into_iter().flat_map(|options| options.split('&'));
    for (option, separator) in options.zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
        shown.push(separator);
        match option.split_once('=') {
            Some((name, _)) if may_be_secret(name) => shown.extend([name, "=***"]),
            _ => shown.push_str(option),
        }
    }
    shown
}

/// Whether an option of that name may be meant to be a password.
fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains('%') || name.starts_with("pas") && name != "passfile" || name.starts_with("pw")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_urls_mean_the_same_store_from_any_folder() {
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap();
        for kind in Kind::ON_DISK {
            let scheme = kind.scheme();
            assert_eq!(absolute_url(&format!("{scheme}:a/b")).unwrap(), format!("{scheme}:{here}/a/b"));
        }
        for (url, absolute) in [("a/b", "/a/b"), ("./a:b", "/a:b")] {
            assert_eq!(absolute_url(url).unwrap(), format!("{here}{absolute}"));
        }
        for url in ["lmdb:/a", "/a", "/a:b", "memory:", "s3://bucket/a", "postgres://h/db?schema=x", "new://x", "new:x"]
        {
            assert_eq!(absolute_url(url).unwrap(), url);
        }
        assert!(absolute_url("lmdb:").unwrap_err().to_string().contains("names no path"));
    }

    #[test]
    fn a_store_on_the_disk_is_not_named_as_one_on_a_server() {
        for kind in Kind::ON_DISK {
            let scheme = kind.scheme();
            for url in [format!("{scheme}://a/b"), format!("{scheme}:///a/b")] {
                let error = Location::of_scheme(&url).unwrap_err();
                assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
                let hint = format!("write {scheme}:a/b, or {scheme}:/a/b for a path from the root on");
                assert_eq!(error.hint(), Some(hint.as_str()));
            }
        }
    }

    #[test]
    fn a_path_that_looks_like_a_url_is_on_no_server() {
        for url in ["postgres://h/db", "postgresql://h", "s3://bucket/a", "gs://bucket", "az://box"] {
            assert!(is_on_server(url), "{url}");
        }
        for url in ["object:/a", "files:/a://b", "/a://b", "new://x", "s3:b", "memory:", "lmdb:", ""] {
            assert!(!is_on_server(url), "{url}");
        }
    }

    #[test]
    fn no_password_is_shown_wherever_it_stands() {
        for (url, shown) in [
            ("postgres://ann@h:5432/db?schema=x", "postgres://ann@h:5432/db?schema=x"),
            ("postgres://ann:secret@h:5432/db?a=b", "postgres://ann:***@h:5432/db?a=b"),
            ("postgres://ann:se@cret@h", "postgres://ann:***@h"),
            ("postgres://ann:se/cret@h/db", "postgres://ann:***@h/db"),
            ("postgres://h/db?user=ann&password=secret&x=y", "postgres://h/db?user=ann&password=***&x=y"),
            ("postgres://h?password=secret", "postgres://h?password=***"),
            ("postgres://ann:p?secret@h/db", "postgres://ann:***"),
            ("postgres://ann:p?a&b=secret@h/db", "postgres://ann:***"),
            ("postgres://ann:p/se?cret@h/db", "postgres://ann:***"),
            ("postgres://h:5432/db?password=a@secret", "postgres://h:***"),
            ("postgres://h/db?passw%6frd=secret", "postgres://h/db?passw%6frd=***"),
            ("postgres://h/db?Pasword=secret&PWD=x", "postgres://h/db?Pasword=***&PWD=***"),
            ("postgres://h/db?passfile=/x&user=ann@home", "postgres://h/db?passfile=/x&user=ann@home"),
            ("s3://bucket/prefix?endpoint=https://ann:secret@h", "s3://bucket/prefix?endpoint=https:***"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
