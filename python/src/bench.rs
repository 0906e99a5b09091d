//! `pinako bench stores`, for notebooks.

use std::path::PathBuf;

use pinako_bench::stores::{self, Options};
use pyo3::prelude::*;

use crate::jobs::watched;
use crate::process;

/// Compares kinds of stores, writes the report into `out`, and gives it as JSON.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // named ones, in Python
pub fn bench_stores(
    py: Python<'_>,
    out: PathBuf,
    counts: Option<Vec<u64>>,
    backends: Option<Vec<String>>,
    data: Option<PathBuf>,
    folder: Option<PathBuf>,
    repetitions: u32,
    seed: u64,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let usual = Options::new(out);
    let counts = counts.unwrap_or_else(|| usual.counts.clone());
    let backends = backends.unwrap_or_else(|| usual.backends.clone());
    let options = Options { counts, backends, data, folder, repetitions, seed, ..usual };
    watched(py, progress, |go_on| {
        let report = process::in_pool(|| stores::run(&options, &mut |now| go_on(now.done, Some(now.total))))?;
        Ok(serde_json::to_string(&report).expect("numbers and texts have a JSON form"))
    })
}
