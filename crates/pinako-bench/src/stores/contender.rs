//! What takes part: a name, and a way to make and open its stores. Here and not in the measuring, so that tests can
//! send in a store that lies.

use std::path::Path;

use pinako::{Durability, Error, ErrorKind, Result, Store};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Create(Durability),
    Read,
}

/// Makes or opens a store in a folder.
type Start = dyn Fn(&Path, Opening) -> Result<Store>;

/// One of those that are compared.
pub(super) struct Contender {
    pub(super) name: String,
    start: Box<Start>,
}

impl Contender {
    pub(super) fn new(name: &str, start: impl Fn(&Path, Opening) -> Result<Store> + 'static) -> Self {
        Contender { name: name.to_owned(), start: Box::new(start) }
    }

    /// The backend of that name, with stores as users get them: checksums are checked.
    pub(super) fn of_backend(name: &str) -> Self {
        let scheme = name.to_owned();
        Self::new(name, move |folder, opening| {
            let path = folder.join("store");
            let path = path.to_str().ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, format!("the path {} is not UTF-8", path.display()))
            })?;
            let url = format!("{scheme}:{path}");
            match opening {
                Opening::Create(durability) => Store::options().durability(durability).create(&url),
                Opening::Read => Store::options().open_read_only(&url),
            }
        })
    }

    /// Makes a store in the empty `folder`, or opens the one that was made there.
    pub(super) fn start(&self, folder: &Path, opening: Opening) -> Result<Store> {
        (self.start)(folder, opening)
    }
}
