//! What a process makes once, and a fork of it once more: a fork has no threads of its parent's, and what goes on in those
//! goes on nowhere in it.

use std::process;
use std::sync::{Mutex, PoisonError};

/// A value of this process.
pub(crate) struct OfProcess<T: 'static>(Mutex<Option<(u32, &'static T)>>);

impl<T: Send + Sync> OfProcess<T> {
    pub(crate) const fn new() -> Self {
        OfProcess(Mutex::new(None))
    }

    /// This process's, which is made by `make` where there is none yet.
    pub(crate) fn get<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((process, value)) = *current
            && process == process::id()
        {
            return Ok(value);
        }
        // The parent's has nothing left that could be ended, and one a process is not too many to leave behind.
        let value: &'static T = Box::leak(Box::new(make()?));
        *current = Some((process::id(), value));
        Ok(value)
    }
}
