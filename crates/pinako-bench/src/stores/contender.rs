//! What takes part: a name, and a way to make and open its stores. Here and not in the measuring, so that tests can
//! send in a store that lies.

use std::path::Path;

use pinako::{Durability, Result, Store, backends};

use crate::scratch;

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
    /// Whether a server keeps its stores, whose memory nothing here can make forget them: nothing of it is read cold.
    pub(super) is_on_server: bool,
    start: Box<Start>,
    delete: Option<Box<Delete>>,
}

impl Contender {
    pub(super) fn new(name: &str, start: impl Fn(&Path, Opening) -> Result<Store> + 'static) -> Self {
        Contender { name: name.to_owned(), is_on_server: false, start: Box::new(start), delete: None }
    }

    /// The backend of that name, or on that server, with stores as users get them: checksums are checked.
    pub(super) fn of_backend(name: &str) -> Self {
        let [of_start, of_delete] = [name.to_owned(), name.to_owned()];
        Contender {
            is_on_server: backends::is_on_server(name),
            delete: Some(Box::new(move |folder| scratch::delete(&of_delete, folder))),
            ..Self::new(name_of(name), move |folder, opening| start(&scratch::url(&of_start, folder)?, opening))
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

/// What reports call it: a server goes by the scheme of its URL.
pub(crate) fn name_of(backend: &str) -> &str {
    backend.split_once("://").map_or(backend, |(scheme, _)| scheme)
}

fn start(url: &str, opening: Opening) -> Result<Store> {
    match opening {
        Opening::Create(durability) => Store::options().durability(durability).create(url),
        Opening::Read => Store::options().open_read_only(url),
    }
}
