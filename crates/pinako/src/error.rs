//! One opaque error for the whole library.
//!
//! Callers decide by [`ErrorKind`]; people read the message, which says which store, image or file it was about,
//! what was expected and what was found, and often carries a hint of what to do. Errors of the libraries beneath are
//! reachable as [`source`](std::error::Error::source) only, so that changing such a library breaks nobody.

use std::fmt;

use crate::descriptor::Id;

/// What the library's fallible calls return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What kind of thing went wrong: what a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such store, image, name or file.
    NotFound,
    /// What the caller gave does not make sense: a region outside the image, pixels that do not fit their shape.
    InvalidInput,
    /// What is stored, or a file to be read, is damaged or not what it claims to be.
    Corrupt,
    /// Sound, but nothing that this version can do: a newer format, a kind of file we do not read.
    Unsupported,
    /// The backend for this URL was left out of the build.
    FeatureDisabled,
    /// Something is there already, or somebody else is at work: a taken name, a second writer.
    Conflict,
    /// The operating system or a server refused: permissions, a read-only folder.
    Denied,
    /// It may go well if tried again.
    Transient,
    /// The storage beneath failed: an I/O error, a full disk.
    Backend,
    /// The caller asked to stop.
    Interrupted,
}

/// What went wrong, and with which store, image or file. See the module's text.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    store: Option<String>,
    id: Option<Id>,
    hint: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind`; `message` is a clause in lower case without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), store: None, id: None, hint: None, source: None }))
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// An input/output error met while doing `what` (for example "cannot read /a/b.png"); its kind follows from
    /// the system's, and a full disk or a read-only folder gets a hint. One of ours that came through a reader stays
    /// what it is.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let source = match source.downcast::<Error>() {
            Ok(ours) => return ours,
            Err(source) => source,
        };
        let (kind, hint) = match source.kind() {
            Io::NotFound => (ErrorKind::NotFound, None),
            Io::PermissionDenied => (ErrorKind::Denied, Some("check the permissions of the folder and its owner")),
            Io::ReadOnlyFilesystem => {
                (ErrorKind::Denied, Some("the file system is mounted read-only: choose a folder that can be written"))
            }
            Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Backend, Some("free some space or choose another disk")),
            Io::InvalidData | Io::UnexpectedEof => (ErrorKind::Corrupt, None),
            Io::AlreadyExists => (ErrorKind::Conflict, None),
            Io::TimedOut | Io::WouldBlock => (ErrorKind::Transient, None),
            _ => (ErrorKind::Backend, None),
        };
        // The standard library's own words for it are about buffers.
        let source = match (source.kind(), source.get_ref()) {
            (Io::UnexpectedEof, None) => std::io::Error::new(Io::UnexpectedEof, "it ends too early"),
            _ => source,
        };
        let error = Self::new(kind, what).with_source(source);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// Adds the error beneath.
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what the reader can do about it: a clause in lower case without a full stop.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the store, unless one is named already.
    pub fn at_store(mut self, url: impl Into<String>) -> Self {
        self.0.store.get_or_insert_with(|| url.into());
        self
    }

    /// Names the image, unless one is named already.
    pub fn at_id(mut self, id: Id) -> Self {
        self.0.id.get_or_insert(id);
        self
    }

    /// Puts `what` before the message: `"{what}: {message}"`.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What can be done about it, where something can.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The URL of the store it happened to.
    pub fn store(&self) -> Option<&str> {
        self.0.store.as_deref()
    }

    /// The image it happened to.
    pub fn id(&self) -> Option<Id> {
        self.0.id
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(store) = &self.0.store {
            write!(f, "{store}: ")?;
        }
        if let Some(id) = self.0.id {
            write!(f, "image {id}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_display_names_store_and_image_and_leaves_the_source_out() {
        let error = Error::io("cannot read payload", std::io::Error::other("disk on fire")).at_id(7).at_store("lmdb:a");
        assert_eq!(error.to_string(), "lmdb:a: image 7: cannot read payload");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn an_early_end_is_told_as_one() {
        let early = std::io::Read::read_exact(&mut &b"ab"[..], &mut [0; 3]).unwrap_err();
        let error = Error::io("cannot read it", early);
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "it ends too early");
    }

    #[test]
    fn the_innermost_place_wins() {
        let error = Error::corrupt("x").at_id(1).at_id(2).at_store("a").at_store("b");
        assert_eq!((error.id(), error.store()), (Some(1), Some("a")));
    }

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
