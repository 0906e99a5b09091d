//! The extension module of the Python package `pinako`: what is not written in Python there.
//!
//! A store is a [`handle`] that threads share and that survives a fork of its process ([`process`]). Numbers between
//! brackets are [`ids`], images are [`arrays`], and each kind of error is an exception of its own ([`errors`]). No call
//! holds the interpreter's lock while it reads, decodes or stores.

mod arrays;
mod bench;
mod change;
mod errors;
mod handle;
mod ids;
mod jobs;
mod process;
mod regions;
mod shuffle;
mod store;

use pyo3::prelude::*;

#[pymodule]
mod _pinako {
    #[pymodule_export]
    use crate::bench::bench_stores;
    #[pymodule_export]
    use crate::shuffle::shuffled;
    #[pymodule_export]
    use crate::store::Store;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    #[pyfunction]
    fn before_fork(py: Python<'_>) {
        // Other threads run on while it waits for the calls at work.
        py.detach(crate::process::before_fork);
    }

    #[pyfunction]
    fn after_fork() {
        crate::process::after_fork();
    }

    #[pyfunction]
    fn share_cores(processes: usize) {
        crate::process::share_cores(processes);
    }
}
