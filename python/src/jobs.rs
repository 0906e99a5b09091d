//! Long jobs: watched by a function of the caller's, and stopped by Ctrl-C.
//!
//! A job works in a thread of its own, and the thread that called waits: it alone can hear Ctrl-C, and what it calls in
//! Python may use the store, too.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinako::store::Problem;
use pinako::{Error, ErrorKind, ImportEncoding, ImportOptions, export, source};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_py;
use crate::handle::Failure;
use crate::process;
use crate::store::Store;

/// Time between two looks at a job.
const TICK: Duration = Duration::from_millis(50);

/// A problem: the image's id and name, and an exception.
type Found = (Option<u64>, Option<String>, Py<PyAny>);

#[pymethods]
impl Store {
    /// What is not sound.
    fn _verify(&self, py: Python<'_>, progress: Option<Bound<'_, PyAny>>) -> PyResult<Vec<Found>> {
        let problems = watched(py, progress, |go_on| {
            let store = self.handle.store()?;
            let mut problems: Vec<Problem> = Vec::new();
            let mut found = |problem| problems.push(problem);
            process::in_pool(|| store.verify(&mut found, &mut |now| go_on(now.images, now.total)))?;
            Ok(problems)
        })?;
        let found = problems
            .into_iter()
            .map(|Problem { id, name, error }| Ok((id, name, to_py(py, &error).into_value(py).into_any())));
        found.collect()
    }

    /// Images copied, their bytes, and images that were there before.
    fn _copy_to(&self, py: Python<'_>, to: &Store, progress: Option<Bound<'_, PyAny>>) -> PyResult<(u64, u64, u64)> {
        if Arc::ptr_eq(&self.handle, &to.handle) {
            return Err(PyValueError::new_err("a store cannot be copied into itself"));
        }
        let copied = watched(py, progress, |go_on| {
            let (from, to) = (self.handle.store()?, to.handle.store()?);
            Ok(process::in_pool(|| from.copy_to(&to, &mut |now| go_on(now.images, now.total)))?)
        })?;
        Ok((copied.images, copied.bytes, copied.present))
    }

    /// Images brought in, their bytes, images that were there before, and what was left out.
    fn _import_from(
        &self,
        py: Python<'_>,
        path: PathBuf,
        encoding: Option<&str>,
        skip_bad: bool,
        name_prefix: Option<String>,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<(u64, u64, u64, Vec<String>)> {
        let encoding = import_encoding(encoding).map_err(|error| to_py(py, &error))?;
        let options = ImportOptions { encoding, skip_bad, name_prefix };
        watched(py, progress, |go_on| {
            let store = self.handle.store()?;
            let mut skipped = Vec::new();
            let mut skip = |error: &Error| skipped.push(error.to_string());
            let done = process::in_pool(|| {
                let mut source = source::open(&path)?;
                store.import(&mut *source, &options, &mut skip, &mut |now| go_on(now.images, now.total))
            })?;
            Ok((done.images, done.bytes, done.present, skipped))
        })
    }

    /// Images written, and bytes of their payloads.
    fn _export_to(
        &self,
        py: Python<'_>,
        path: PathBuf,
        format: Option<&str>,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<(u64, u64)> {
        let format = match format {
            None => export::Format::of(&path),
            Some("folders") => export::Format::Folders,
            Some("npy") => export::Format::Npy,
            Some("hdf5") => export::Format::Hdf5,
            Some("cifar-python") => export::Format::CifarPython,
            Some(other) => {
                let known = "folders, npy, hdf5 or cifar-python";
                return Err(PyValueError::new_err(format!("{other:?} is no format of an export: give {known}")));
            }
        };
        let done = watched(py, progress, |go_on| {
            let store = self.handle.store()?;
            let mut watch = |now: pinako::Progress| go_on(now.images, now.total);
            Ok(process::in_pool(|| export::export(&store, &path, format, &mut watch))?)
        })?;
        Ok((done.images, done.bytes))
    }
}

/// `None` as they came, `raw`, `png`, `link`, or the layout of raw pixels.
fn import_encoding(text: Option<&str>) -> pinako::Result<ImportEncoding> {
    Ok(match text {
        None | Some("keep") => ImportEncoding::AsTheyCame,
        Some("raw") => ImportEncoding::Raw,
        Some("png") => ImportEncoding::Png,
        Some("link") => ImportEncoding::Link,
        Some(layout) => ImportEncoding::RawIn(layout.parse()?),
    })
}

/// Told how many of how many images are done; says whether to go on.
pub type GoOn<'a> = &'a (dyn Fn(u64, Option<u64>) -> ControlFlow<()> + Sync);

/// Runs a job, tells `progress` how far it is (images done, and how many there are or None), and stops it where that
/// raises or Ctrl-C was pressed.
pub fn watched<T: Send>(
    py: Python<'_>,
    progress: Option<Bound<'_, PyAny>>,
    job: impl FnOnce(GoOn<'_>) -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let progress = progress.map(Bound::unbind);
    let latest: Mutex<Option<(u64, Option<u64>)>> = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let mut raised = None;
    let is_forking = process::is_forking();
    let done = py.detach(|| {
        std::thread::scope(|scope| {
            let (send, receive) = channel();
            let (latest, stop) = (&latest, &stop);
            scope.spawn(move || {
                let _at_work = process::job_at_work(is_forking);
                let go_on = |done, total| {
                    *lock(latest) = Some((done, total));
                    if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let _ = send.send(job(&go_on)); // which is waited for
            });
            loop {
                let done = receive.recv_timeout(TICK);
                if raised.is_none()
                    && let Err(error) = Python::attach(|py| tell(py, progress.as_ref(), latest))
                {
                    raised = Some(error);
                    stop.store(true, Ordering::Relaxed);
                }
                match done {
                    Ok(done) => return done,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(Error::new(ErrorKind::Backend, "the job ended without a word").into());
                    }
                }
            }
        })
    });
    match raised {
        Some(error) => Err(error),
        None => done.map_err(|failure| failure.to_py(py)),
    }
}

fn tell(py: Python<'_>, progress: Option<&Py<PyAny>>, latest: &Mutex<Option<(u64, Option<u64>)>>) -> PyResult<()> {
    py.check_signals()?;
    let latest = lock(latest).take();
    if let (Some(progress), Some(latest)) = (progress, latest) {
        progress.call1(py, latest)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
