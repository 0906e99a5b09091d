//! Files synced on threads of their own, as they are written: the disk is at work while the rest is being written.
//!
//! Few threads serve any number of files. One that is synced in several steps is not on the disk any sooner for having
//! each of them synced, so that a step which no thread has time for is left out: the next one, or the file's end, makes
//! up for it.

use std::fs::File;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use super::write::cannot_write;
use crate::error::Result;

/// Most threads. They wait for the disk, which takes several requests at once, rather than for a processor.
const MOST: usize = 8;

/// A file of which some, or the rest, was written.
type Step = (Arc<File>, PathBuf);

/// Where steps leave the queue.
pub(super) struct Queue(Mutex<Receiver<Step>>);

/// Where the steps of a file enter the queue.
#[derive(Clone)]
pub(super) struct Steps(SyncSender<Step>);

/// A queue of what is still to be synced.
pub(super) fn queue() -> (Steps, Queue) {
    let (enter, leave) = mpsc::sync_channel(1);
    (Steps(enter), Queue(Mutex::new(leave)))
}

impl Steps {
    /// Has the file synced soon, if there is time.
    pub(super) fn step(&self, file: &Arc<File>, path: &Path) {
        let _ = self.0.try_send((Arc::clone(file), path.to_owned()));
    }

    /// Has the file synced, of which the rest was written.
    pub(super) fn end(&self, file: Arc<File>, path: PathBuf) {
        // The queue outlives its entrances.
        let _ = self.0.send((file, path));
    }
}

/// The threads that sync what comes out of the queue.
pub(super) struct Syncs<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    steps: Steps,
    queue: &'scope Queue,
    threads: Vec<ScopedJoinHandle<'scope, Result<()>>>,
}

impl<'scope, 'env> Syncs<'scope, 'env> {
    /// None yet.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, steps: Steps, queue: &'scope Queue) -> Self {
        Syncs { scope, steps, queue, threads: Vec::new() }
    }

    /// Gets ready for one more file.
    pub(super) fn start(&mut self) -> Steps {
        if self.threads.len() < MOST {
            let queue = self.queue;
            self.threads.push(self.scope.spawn(|| queue.sync_all()));
        }
        self.steps.clone()
    }

    /// Waits until all files are on the disk.
    pub(super) fn finish(self) -> Result<()> {
        drop(self.steps);
        let join = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        self.threads.into_iter().map(join).fold(Ok(()), Result::and)
    }
}

impl Queue {
    /// Syncs what comes, until no more can. After an error it only takes it, so that nobody waits at the entrance.
    fn sync_all(&self) -> Result<()> {
        let mut synced = Ok(());
        loop {
            let step = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((file, path)) = step else { return synced };
            synced = synced.and_then(|()| file.sync_data().map_err(|error| cannot_write(&path, error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn few_threads_sync_any_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let (steps, queue) = queue();
        thread::scope(|scope| {
            let mut syncs = Syncs::new(scope, steps, &queue);
            for number in 0..100 {
                let path = folder.path().join(number.to_string());
                let file = Arc::new(File::create(&path).unwrap());
                let steps = syncs.start();
                steps.step(&file, &path);
                steps.end(file, path);
            }
            assert!(syncs.threads.len() <= MOST);
            syncs.finish().unwrap();
        });
    }

    #[test]
    fn a_file_that_cannot_be_synced_is_an_error_and_the_others_do_not_wait_for_ever() {
        let (steps, queue) = queue();
        thread::scope(|scope| {
            let mut syncs = Syncs::new(scope, steps, &queue);
            for _ in 0..100 {
                let null = Path::new("/dev/null");
                syncs.start().end(Arc::new(File::open(null).unwrap()), null.to_owned());
            }
            assert!(syncs.finish().unwrap_err().to_string().contains("/dev/null"));
        });
    }
}
