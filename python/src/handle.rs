//! A store as Python holds it: open, closed for good, or closed until it is used again: for a fork, or since it came from
//! another process.

use std::sync::{Arc, PoisonError, RwLock};

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

    /// Opens it once more. A store that was to be made may still have no images, and so not be there.
    fn open_again(&self) -> pinako::Result<Store> {
        match self.mode {
            Mode::Create => self.options().open_or_create(&self.url),
            _ => self.open(),
        }
    }
}

/// Bytes of images, decoded, that are read at once: after each such piece Ctrl-C is heard, and forks get their turn.
pub const PIECE: usize = 256 << 20;

/// A store, and how to open it again.
#[derive(Debug)]
pub struct Handle {
    opening: Opening,
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    Open(Box<Store>),
    /// Until it is used.
    Parked,
    Closed,
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
    /// Opens the store; or, where `later`, has it opened by the first who uses it.
    pub fn open(py: Python<'_>, opening: Opening, later: bool) -> PyResult<Arc<Self>> {
        let opened = py.detach(|| {
            let _at_work = process::at_work();
            // Whatever folder the process is in when it opens the store again. What is wrong with it, opening it says.
            let url = backends::absolute_url(&opening.url).unwrap_or(opening.url);
            let opening = Opening { url, ..opening };
            let state = if later { State::Parked } else { State::Open(Box::new(opening.open()?)) };
            let handle = Arc::new(Handle { opening, state: RwLock::new(state) });
            process::register(Arc::downgrade(&handle));
            Ok(handle)
        });
        opened.map_err(|error: pinako::Error| to_py(py, &error))
    }

    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Runs `work` on the store, without the interpreter's lock.
    pub fn run<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&Store) -> pinako::Result<T> + Send) -> PyResult<T> {
        let done = py.detach(|| {
            let _at_work = process::at_work();
            self.with(|store| Ok(work(store)?))
        });
        done.map_err(|failure| failure.to_py(py))
    }

    /// Runs `work`, which uses all cores, on the store, without the interpreter's lock.
    pub fn run_parallel<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Store) -> pinako::Result<T> + Send,
    ) -> PyResult<T> {
        self.run(py, |store| process::in_pool(|| work(store)))
    }

    /// Runs `work` on the store, for callers that are [at work](process::at_work).
    pub fn with<T>(&self, work: impl FnOnce(&Store) -> Result<T, Failure>) -> Result<T, Failure> {
        loop {
            match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
                State::Open(store) => return work(store),
                State::Closed => return Err(Failure::Closed),
                State::Parked => {}
            }
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Parked) {
                *state = State::Open(Box::new(self.opening.open_again()?));
            }
        }
    }

    /// Closes it for good; once more does nothing.
    pub fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let _at_work = process::at_work();
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Closed;
        });
    }

    pub fn is_closed(&self) -> bool {
        matches!(*self.state.read().unwrap_or_else(PoisonError::into_inner), State::Closed)
    }

    /// Closes it until it is used again; no call is at work. What is in memory only stays as it is: both processes have it.
    pub fn park(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if self.opening.url == "memory:" {
            return;
        }
        if let State::Open(store) = &*state {
            // What it buffered is in the system's hands, and its to write, whether or not this succeeds.
            let _ = store.sync();
            *state = State::Parked;
        }
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
