//! A long job and who watches it.
//!
//! The watch is told after each batch and, from a thread of its own, some times a second between, so that a bar moves
//! and Ctrl-C is heard whatever the job waits for: a slow disk to read from, or one to write to. A large image is a job of
//! its own, which is seen moving and heeds the watch wherever its bytes are moved.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
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
    /// Where a large image is at work, how much of it is done, in hundredths.
    pub percent: Option<u8>,
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
    shared: Arc<Shared>,
}

/// What the readers of large images share with the watch, wherever they are.
#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    /// Bytes of the large images at work that were moved, and that will be.
    moved: AtomicU64,
    all: AtomicU64,
}

/// A large image at work.
#[derive(Debug)]
pub(crate) struct Portion {
    shared: Arc<Shared>,
    moved: u64,
    all: u64,
}

impl Portion {
    /// Counts bytes that were moved.
    ///
    /// # Errors
    /// `Interrupted`, one of ours inside, where the watch has said to stop.
    pub(crate) fn add(&mut self, bytes: u64) -> io::Result<()> {
        self.moved += bytes;
        self.shared.moved.fetch_add(bytes, Ordering::Relaxed);
        match self.shared.stopped.load(Ordering::Relaxed) {
            true => Err(io::Error::other(Error::new(ErrorKind::Interrupted, "stopped in the midst of a large image"))),
            false => Ok(()),
        }
    }

    /// Takes back bytes that will be moved once more.
    pub(crate) fn take_back(&mut self, bytes: u64) {
        self.moved -= bytes;
        self.shared.moved.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.shared.moved.fetch_sub(self.moved, Ordering::Relaxed);
        self.shared.all.fetch_sub(self.all, Ordering::Relaxed);
    }
}

/// A reader of a large image's pixels, which count as they come.
#[derive(Debug)]
pub(crate) struct Counted<R> {
    pub(crate) reader: R,
    pub(crate) portion: Portion,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.portion.add(count as u64)?;
        Ok(count)
    }
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
            shared: Arc::default(),
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

    /// Begins a large image, of which so many bytes will be moved.
    pub(crate) fn large(&self, bytes: u64) -> Portion {
        self.shared.all.fetch_add(bytes, Ordering::Relaxed);
        Portion { shared: Arc::clone(&self.shared), moved: 0, all: bytes }
    }

    /// How far the job is.
    pub(crate) fn progress(&self) -> Progress {
        let (images, bytes) = (self.images.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let [moved, all] = [&self.shared.moved, &self.shared.all].map(|bytes| bytes.load(Ordering::Relaxed));
        let percent = (all > 0).then(|| (u128::from(moved.min(all)) * 100 / u128::from(all)) as u8);
        Progress { images, total: self.total, bytes, percent }
    }

    /// Whether the watch has broken the job off.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// Tells the watch now.
    pub(crate) fn tell(&self) {
        if (self.watch)(self.progress()).is_break() {
            self.shared.stopped.store(true, Ordering::Relaxed);
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

    #[test]
    fn a_large_image_is_seen_moving_and_hears_the_break() {
        let mut seen = Vec::new();
        let mut watch = |progress: Progress| {
            seen.push(progress.percent);
            if progress.percent == Some(75) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let done = Watched::run(&mut watch, Progress::default(), |watched| {
            let mut portion = watched.large(80);
            for (bytes, back) in [(40, 20), (30, 0), (10, 0), (10, 0)] {
                portion.add(bytes).map_err(|error| Error::io("a reader fails", error))?;
                portion.take_back(back);
                watched.tell();
            }
            Ok(())
        });
        assert_eq!(done.unwrap_err().kind(), ErrorKind::Interrupted);
        seen.dedup();
        assert_eq!(seen, [None, Some(25), Some(62), Some(75)]);
    }
}
