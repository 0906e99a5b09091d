//! What takes part: a name, and a way to make and open its stores. Here and not in the measuring, so that tests can
//! send in a store that lies.

use std::path::Path;

use pinako::{Durability, Error, ErrorKind, Result, Store, backends};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Create(Durability),
    Read,
}

/// Makes or opens a store in a folder, or on a server under that folder's name.
type Start = dyn Fn(&Path, Opening) -> Result<Store>;

/// Deletes the store that was made there.
type Delete = dyn Fn(&Path) -> Result<()>;

/// One of those that are compared.
pub(super) struct Contender {
    pub(super) name: String,
    start: Box<Start>,
    delete: Option<Box<Delete>>,
}

impl Contender {
    pub(super) fn new(name: &str, start: impl Fn(&Path, Opening) -> Result<Store> + 'static) -> Self {
        Contender { name: name.to_owned(), start: Box::new(start), delete: None }
    }

    /// What reports call it: a server goes by the scheme of its URL.
    pub(super) fn name_of(backend: &str) -> &str {
        backend.split_once("://").map_or(backend, |(scheme, _)| scheme)
    }

    /// The backend of that name, or on that server, with stores as users get them: checksums are checked.
    pub(super) fn of_backend(name: &str) -> Self {
        let place = name.to_owned();
        match name.split_once("://") {
            None => Self::new(name, move |folder, opening| {
                start(&format!("{place}:{}", text(&folder.join("store"))?), opening)
            }),
            Some((scheme, _)) => {
                let url = place.clone();
                Contender {
                    delete: Some(Box::new(move |folder| backends::delete(&beside(&place, folder)?))),
                    ..Self::new(scheme, move |folder, opening| start(&beside(&url, folder)?, opening))
                }
            }
        }
    }

    /// Makes a store in the empty `folder`, or opens the one that was made there.
    pub(super) fn start(&self, folder: &Path, opening: Opening) -> Result<Store> {
        (self.start)(folder, opening)
    }

    /// Deletes what a server has of the store that was made in `folder`.
    pub(super) fn delete(&self, folder: &Path) -> Result<()> {
        self.delete.as_ref().map_or(Ok(()), |delete| delete(folder))
    }
}

fn start(url: &str, opening: Opening) -> Result<Store> {
    match opening {
        Opening::Create(durability) => Store::options().durability(durability).create(url),
        Opening::Read => Store::options().open_read_only(url),
    }
}

/// The URL of a store of its own for `folder`, beside the one that `url` would mean: the names of the folder and the one
/// above it, which no other run has.
fn beside(url: &str, folder: &Path) -> Result<String> {
    let parts = [folder.parent(), Some(folder)].map(|path| path.and_then(Path::file_name));
    let names: Vec<String> = parts.into_iter().flatten().map(|name| text(Path::new(name))).collect::<Result<_>>()?;
    let name = names.join("-").to_lowercase();
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    if !place.starts_with("postgres") {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(format!("{}/{name}{query}", place.trim_end_matches('/')));
    }
    let others =
        query.unwrap_or_default().split('&').filter(|option| !option.is_empty() && !option.starts_with("schema="));
    let options: Vec<&str> = others.collect();
    let schema = format!("schema={}", name.replace('-', "_"));
    Ok(format!("{place}?{}", [&options[..], &[&schema]].concat().join("&")))
}

fn text(path: &Path) -> Result<String> {
    let invalid = || Error::new(ErrorKind::InvalidInput, format!("the path {} is not UTF-8", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_on_a_server_has_a_place_of_its_own() {
        let beside = |url| super::beside(url, Path::new("/tmp/out/pinako-bench-Xy/7")).unwrap();
        assert_eq!(beside("s3://bucket/bench/"), "s3://bucket/bench/pinako-bench-xy-7");
        assert_eq!(beside("az://box?timeout=5s"), "az://box/pinako-bench-xy-7?timeout=5s");
        assert_eq!(beside("postgres://me@host/db"), "postgres://me@host/db?schema=pinako_bench_xy_7");
        assert_eq!(
            beside("postgres://host/db?sslmode=require&schema=mine"),
            "postgres://host/db?sslmode=require&schema=pinako_bench_xy_7"
        );
    }
}
