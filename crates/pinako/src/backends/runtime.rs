//! Where object stores do their waiting: one runtime for the process, with threads of its own.
//!
//! The waist is synchronous, so a call hands its whole batch over as one future and blocks until that is done. It may be
//! called from anywhere, also from a program that has a runtime of its own, in which nobody may block on another.

use std::future::Future;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};
use crate::of_process::OfProcess;

/// Threads of the runtime: they move bytes from sockets, and decrypt them.
const THREADS: usize = 2;

static RUNTIME: OfProcess<Runtime> = OfProcess::new();

/// Runs `future` to its end, in this thread; what it spawns runs in the runtime's.
///
/// # Errors
/// Those of `future`; `Backend` where the system has no threads left for the runtime.
pub(super) fn wait_for<T: Send>(future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let runtime = runtime()?;
    if Handle::try_current().is_err() {
        return runtime.block_on(future);
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(future));
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Where tasks can be started that go on while their caller does something else.
///
/// # Errors
/// `Backend` where the system has no threads left for the runtime.
pub(super) fn handle() -> Result<Handle> {
    Ok(runtime()?.handle().clone())
}

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.get(|| {
        let mut builder = Builder::new_multi_thread();
        let made = builder.worker_threads(THREADS).thread_name("pinako-io").enable_io().enable_time().build();
        made.map_err(|error| Error::io("cannot start the threads that speak with servers", error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_in_a_plain_thread_and_inside_of_another_runtime() {
        let answer = || wait_for(async { Ok(tokio::spawn(async { 42 }).await.unwrap()) });
        assert_eq!(answer().unwrap(), 42);
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(async { answer().unwrap() }), 42);
    }
}
