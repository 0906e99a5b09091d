//! A store as Python holds it: open, closed for good, or closed until it is used again: for a fork, or since it came from
//! another process.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinako::{Durability, OpenOptions, Store, backends};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_py;
use crate::process;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It must exist, and is only read.
    Read,
    /// It may exist.
    Append,
    /// It must not exist.
    Create,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Read, Mode::Append, Mode::Create];

    /// What Python calls it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Read => "r",
            Mode::Append => "a",
            Mode::Create => "w",
        }
    }
}

/// How a store is opened, every time.
#[derive(Debug, Clone)]
pub struct Opening {
    pub url: String,
    pub mode: Mode,
    pub verify_checksums: bool,
    pub max_image_bytes: u64,
    pub buffered: bool,
}

impl Opening {
    fn options(&self) -> OpenOptions {
        Store::options()
            .verify_checksums(self.verify_checksums)
            .max_image_bytes(self.max_image_bytes)
            .durability(if self.buffered { Durability::Buffered } else { Durability::Full })
    }

    /// Opens it for the first time.
    fn open(&self) -> pinako::Result<Store> {
        match self.mode {
            Mode::Read => self.options().open_read_only(&self.url),
            Mode::Append => self.options().open_or_create(&self.url),
            Mode::Create => self.options().create(&self.url),
        }
    }

    /// Opens it once more. One that was to be made may still have no images, and so not be there; one that had images is
    /// not made anew where it was.
    fn open_again(&self, had_images: bool) -> pinako::Result<Store> {
        match self.mode {
            Mode::Read => self.options().open_read_only(&self.url),
            _ if had_images => self.options().open(&self.url),
            _ => self.options().open_or_create(&self.url),
        }
    }
}

/// Bytes of images, decoded, that are read at once: after each such piece Ctrl-C is heard, and forks get their turn.
pub const PIECE: usize = 256 << 20;

/// A store, and how to open it again.
///
/// No lock is held while a call works: who waits to close a store would keep those away that the call waits for.
#[derive(Debug)]
pub struct Handle {
    opening: Opening,
    /// Whether it is closed for good; to know it nobody has to wait for a store that is just being opened.
    closed: AtomicBool,
    /// `None` until it is used, and once it is closed.
    open: Mutex<Option<Open>>,
    /// Whether there were images in it, so far as was asked.
    had_images: AtomicBool,
}

#[derive(Debug)]
struct Open {
    store: Arc<Lent>,
    /// Nothing is ever sent: it ends when the last call that has the store has ended.
    ended: Receiver<()>,
}

/// A store, as calls have it.
#[derive(Debug)]
pub struct Lent {
    store: Store, // closed before it is told
    _ended: Sender<()>,
}

impl Deref for Lent {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Open {
    fn new(store: Store) -> Self {
        let (send, ended) = channel();
        Open { store: Arc::new(Lent { store, _ended: send }), ended }
    }
}

/// Why there is nothing to work with.
pub enum Failure {
    Closed,
    Of(pinako::Error),
}

impl From<pinako::Error> for Failure {
    fn from(error: pinako::Error) -> Self {
        Failure::Of(error)
    }
}

impl Handle {
    /// Opens the store; or, where it is known whether it `had_images` before, has it opened by the first who uses it.
    pub fn open(py: Python<'_>, opening: Opening, had_images: Option<bool>) -> PyResult<Arc<Self>> {
        let opened = py.detach(|| {
            let _at_work = process::at_work();
            // Whatever folder the process is in when it opens the store again. What is wrong with it, opening it says.
            let url = backends::absolute_url(&opening.url).unwrap_or(opening.url);
            let mut opening = Opening { url, ..opening };
            let open = match had_images {
                Some(_) => None,
                None => Some(Open::new(opening.open()?)),
            };
            if let Some(open) = &open
                && !backends::is_on_server(&opening.url)
            {
                opening.url = open.store.url().to_owned(); // which has the scheme
            }
            let handle = Arc::new(Handle {
                opening,
                closed: AtomicBool::new(false),
                open: Mutex::new(open),
                had_images: AtomicBool::new(had_images == Some(true)),
            });
            process::register(Arc::downgrade(&handle));
            Ok(handle)
        });
        opened.map_err(|error: pinako::Error| to_py(py, &error))
    }

    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Its URL as it may be shown, and as the library shows it; nothing is opened for it.
    pub fn url(&self) -> String {
        backends::without_password(&self.opening.url)
    }

    /// Whether it has images, or had when it was last closed until it is used again.
    pub fn had_images(&self, py: Python<'_>) -> PyResult<bool> {
        let asked = py.detach(|| {
            let _at_work = process::at_work();
            let store = self.slot().as_ref().map(|open| Arc::clone(&open.store));
            store.map_or(Ok(()), |store| self.look_for_images(&store))
        });
        asked.map_err(|error| to_py(py, &error))?;
        Ok(self.had_images.load(Ordering::Relaxed))
    }

    fn look_for_images(&self, store: &Store) -> pinako::Result<()> {
        self.had_images.fetch_or(store.properties()?.next_id > 0, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `work` on the store, without the interpreter's lock.
    pub fn run<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&Store) -> pinako::Result<T> + Send) -> PyResult<T> {
        let done = py.detach(|| {
            let _at_work = process::at_work();
            Ok(work(&*self.store()?)?)
        });
        done.map_err(|failure: Failure| failure.to_py(py))
    }

    /// Runs `work`, which uses all cores, on the store, without the interpreter's lock.
    pub fn run_parallel<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Store) -> pinako::Result<T> + Send,
    ) -> PyResult<T> {
        self.run(py, |store| process::in_pool(|| work(store)))
    }

    /// The store, opened where it is not, for callers that are [at work](process::at_work), and no longer than they are.
    /// They ask for it outside of the thread pool: there a thread that waits for another to open it may be what that one
    /// waits for.
    pub fn store(&self) -> Result<Arc<Lent>, Failure> {
        let mut slot = self.slot();
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        let open = match slot.take() {
            Some(open) => open,
            None => Open::new(self.opening.open_again(self.had_images.load(Ordering::Relaxed))?),
        };
        Ok(Arc::clone(&slot.insert(open).store))
    }

    /// Closes it for good, when the calls that have it have ended; once more does nothing.
    pub fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let _at_work = process::at_work();
            self.closed.store(true, Ordering::Release);
            let open = self.slot().take();
            if let Some(Open { store, ended }) = open {
                drop(store);
                let _ = ended.recv();
            }
        });
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes it until it is used again; no call is at work. What is in memory only stays as it is: both processes have it.
    pub fn park(&self) {
        if self.opening.url == "memory:" {
            return;
        }
        let open = self.slot().take();
        if let Some(Open { store, .. }) = open {
            let _ = self.look_for_images(&store);
            // What it buffered is in the system's hands, and its to write, whether or not this succeeds.
            let _ = store.sync();
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    pub fn to_py(&self, py: Python<'_>) -> PyErr {
        match self {
            Failure::Closed => PyValueError::new_err("the store is closed"),
            Failure::Of(error) => to_py(py, error),
        }
    }
}
