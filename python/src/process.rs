//! What belongs to one process, and must not be torn apart when it forks.
//!
//! A fork copies memory but no threads: locks that others hold stay locked for ever in the child, a thread pool has no
//! threads, and a database that both have open is not safe in either. So every call takes part in [`at_work`], and
//! Python has [`before_fork`] called first: it waits until no call is at work and closes all stores. Parent and child open
//! them again when they are used next.
//!
//! Between `before_fork` and [`after_fork`] others' hooks may run in the same thread, and objects of Python's be deleted.
//! What they ask of stores is done at once, and stores are closed again after it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use pinako::{Error, ErrorKind, Result};
use rayon::ThreadPool;

use crate::handle::Handle;

/// Read-locked by calls, write-locked by a fork. The standard library's lock hands itself over to nobody: what threads
/// waited for it in the parent does not matter to the child.
static CALLS: RwLock<()> = RwLock::new(());

/// Read-locked by jobs, and taken by a fork before it takes `CALLS`: while it waits for a long job, calls go on.
static JOBS: RwLock<()> = RwLock::new(());

/// All handles there are.
static HANDLES: Mutex<Vec<Weak<Handle>>> = Mutex::new(Vec::new());

/// The thread pool, and the process that it has its threads in.
static POOL: Mutex<Option<(u32, &'static ThreadPool)>> = Mutex::new(None);

/// Processes that share the machine's cores with this one, itself among them.
static SHARERS: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// What keeps jobs and calls away while this thread forks.
    static FORKING: RefCell<Option<[RwLockWriteGuard<'static, ()>; 2]>> = const { RefCell::new(None) };
}

/// Keeps forks away for as long as it is held. Nothing that holds it calls into Python.
pub enum AtWork {
    Call {
        _calls: RwLockReadGuard<'static, ()>,
    },
    Job {
        _calls: RwLockReadGuard<'static, ()>,
        _jobs: RwLockReadGuard<'static, ()>,
    },
    /// For the thread that forks, which waits for it.
    Fork,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let AtWork::Fork = self {
            park_all();
        }
    }
}

/// A call is at work.
pub fn at_work() -> AtWork {
    if is_forking() { AtWork::Fork } else { AtWork::Call { _calls: read(&CALLS) } }
}

/// A job is at work, for a thread that [is forking](is_forking) or not.
pub fn job_at_work(is_forking: bool) -> AtWork {
    if is_forking {
        return AtWork::Fork;
    }
    let _jobs = read(&JOBS);
    AtWork::Job { _calls: read(&CALLS), _jobs }
}

/// Whether this thread is between [`before_fork`] and [`after_fork`].
pub fn is_forking() -> bool {
    FORKING.with_borrow(Option::is_some)
}

/// Has forks close `handle`.
pub fn register(handle: Weak<Handle>) {
    let mut handles = lock(&HANDLES);
    handles.retain(|handle| handle.strong_count() > 0);
    handles.push(handle);
}

/// Runs `work` where parallel work goes to this process's threads.
///
/// # Errors
/// `Backend` where the system has no threads left.
pub fn in_pool<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    pool()?.install(work)
}

fn pool() -> Result<&'static ThreadPool> {
    let mut pool = lock(&POOL);
    if let Some((process, pool)) = *pool
        && process == std::process::id()
    {
        return Ok(pool);
    }
    let threads = match SHARERS.load(Ordering::Relaxed) {
        0 | 1 => 0, // as many as there are cores
        sharers => std::thread::available_parallelism().map_or(1, usize::from).div_ceil(sharers),
    };
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let made = builder.thread_name(|number| format!("pinako-{number}")).build();
    let made = made.map_err(|error| Error::new(ErrorKind::Backend, "cannot start threads").with_source(error))?;
    // That of the parent has no threads that could be ended, and one a process is not too many to leave behind.
    let made: &'static ThreadPool = Box::leak(Box::new(made));
    *pool = Some((std::process::id(), made));
    Ok(made)
}

/// Has this process, where it has not read anything yet, take only its share of the machine's cores.
pub fn share_cores(processes: usize) {
    SHARERS.store(processes, Ordering::Relaxed);
}

/// Waits until no job and no call is at work, keeps others away, and closes all stores that can be opened again.
pub fn before_fork() {
    let guards = [write(&JOBS), write(&CALLS)];
    park_all();
    FORKING.set(Some(guards));
}

/// Lets calls go on, in the parent as in the child.
pub fn after_fork() {
    FORKING.take();
}

fn park_all() {
    for handle in lock(&HANDLES).iter().filter_map(Weak::upgrade) {
        handle.park();
    }
}

fn read(lock: &RwLock<()>) -> RwLockReadGuard<'_, ()> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(lock: &RwLock<()>) -> RwLockWriteGuard<'_, ()> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
