//! A long job and who watches it.
//!
//! The watch is told after each batch and, from a thread of its own, some times a second between, so that a bar moves
//! and Ctrl-C is heard whatever the job waits for: a slow disk to read from, or one to write to.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);

/// How far a long job has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Images done. Those of the latest batch or two may still have to be stored.
    pub images: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
    /// Bytes of payload done.
    pub bytes: u64,
}

/// Told at the start of a long job, after each batch and some ten times a second how far it has come; breaks it off by
/// saying so. What was done until then stays, and the job ends with an `Interrupted` error.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + Send + 'a;

/// A long job that is watched.
pub(crate) struct Watched<'a> {
    watch: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
    images: AtomicU64,
    total: Option<u64>,
    bytes: AtomicU64,
    stopped: AtomicBool,
}

impl Watched<'_> {
    /// Does `job`, watched from `start` on.
    ///
    /// # Errors
    /// Those of the job; `Interrupted` where the watch breaks it off before it begins.
    pub(crate) fn run<T>(
        watch: &mut Watch<'_>,
        start: Progress,
        job: impl FnOnce(&Watched<'_>) -> Result<T>,
    ) -> Result<T> {
        let watch = Mutex::new(watch);
        let watched = Watched {
            watch: &|progress| (watch.lock())(progress),
            images: start.images.into(),
            total: start.total,
            bytes: start.bytes.into(),
            stopped: false.into(),
        };
        watched.go_on()?;
        std::thread::scope(|scope| {
            let (running, ended) = channel::<()>();
            scope.spawn(|| {
                let ended = ended; // moved in here, while `watched` is borrowed
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    watched.tell();
                }
            });
            let done = job(&watched);
            drop(running);
            done
        })
    }

    /// Counts what was done.
    pub(crate) fn add(&self, images: u64, bytes: u64) {
        self.images.fetch_add(images, Ordering::Relaxed);
        // A damaged store may claim any lengths.
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| Some(sum.saturating_add(bytes)));
    }

    /// How far the job is.
    pub(crate) fn progress(&self) -> Progress {
        let (images, bytes) = (self.images.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        Progress { images, total: self.total, bytes }
    }

    /// Whether the watch has broken the job off.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Tells the watch now.
    pub(crate) fn tell(&self) {
        if (self.watch)(self.progress()).is_break() {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Tells the watch now.
    ///
    /// # Errors
    /// `Interrupted` where it says, or has said, to stop.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.tell();
        self.check()
    }

    /// Checks whether the job goes on.
    ///
    /// # Errors
    /// `Interrupted` where the watch has said to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.is_stopped() {
            true => Err(interrupted(self.progress().images)),
            false => Ok(()),
        }
    }
}

/// The error of a job that was broken off when this many images were done.
pub(crate) fn interrupted(images: u64) -> Error {
    Error::new(ErrorKind::Interrupted, format!("stopped after {images} images"))
        .with_hint("what was stored is safe; start the same job again to go on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_waits_is_seen_moving_and_hears_the_break() {
        let mut seen = Vec::new();
        let mut watch = |progress: Progress| {
            seen.push(progress.images);
            if progress.images == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = Watched::run(&mut watch, Progress::default(), |watched| {
            watched.add(5, 0);
            while !watched.is_stopped() {
                std::thread::yield_now(); // no batch ends
            }
            watched.go_on()
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&5)));
    }
}
