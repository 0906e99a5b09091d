//! The connections of one handle: some that wait for the next call, and so many at most.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::connection::{Connection, Failure};
use super::place::Place;
use super::sql::Sql;
use super::wire::Counters;
use crate::error::{Error, ErrorKind, Result};

/// Most connections of a handle. A server has some 100 for everybody, and each of them is a process there.
pub(super) const MOST: usize = 8;

/// For how much longer than a statement takes nothing may come or go on any connection while a call waits for one: then
/// those who have them wait for each other, or for something else.
const STANDSTILL: Duration = Duration::from_secs(60);

/// When a server that was there is asked whether it is back.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// How often a call is begun whose connection is cut.
pub(super) const TRIES: u32 = 3;

/// See the module's text.
pub(super) struct Pool {
    pub(super) place: Place,
    pub(super) sql: Arc<Sql>,
    pub(super) counters: Arc<Counters>,
    /// What every connection is told first.
    settings: String,
    state: Mutex<State>,
    free: Condvar,
    /// Who makes a change.
    pub(super) turn: Mutex<()>,
    /// Whether the server was ever there.
    was_reached: AtomicBool,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Connections that are there or being made, idle or not.
    open: usize,
}

impl Pool {
    pub(super) fn new(place: Place, sql: Sql, settings: String) -> Self {
        Pool {
            place,
            sql: Arc::new(sql),
            counters: Arc::default(),
            settings,
            state: Mutex::default(),
            free: Condvar::new(),
            turn: Mutex::default(),
            was_reached: AtomicBool::new(false),
        }
    }

    /// A connection, which nobody else has until it is dropped.
    ///
    /// # Errors
    /// `Transient` where all are in use and stand still, or there is no server.
    pub(super) fn take(&self) -> Result<Lent<'_>> {
        let mut state = self.state.lock();
        loop {
            if let Some(mut connection) = state.idle.pop() {
                connection.begin_anew();
                return Ok(Lent { pool: self, connection: Some(connection) });
            }
            if state.open < MOST {
                break;
            }
            let before = self.counters.exchanged();
            let silence = STANDSTILL + self.place.statement_timeout;
            if self.free.wait_for(&mut state, silence).timed_out() && self.counters.exchanged() == before {
                let seconds = silence.as_secs();
                let message =
                    format!("all {MOST} connections of this store were in use for {seconds} s, and stood still");
                return Err(Error::new(ErrorKind::Transient, message).with_hint("let fewer threads use it at once"));
            }
        }
        state.open += 1;
        drop(state);
        match self.connect() {
            Ok(connection) => Ok(Lent { pool: self, connection: Some(connection) }),
            Err(error) => {
                self.give_up_one();
                Err(error)
            }
        }
    }

    /// A new connection. A server that was there before may be restarting.
    fn connect(&self) -> Result<Connection> {
        let end = Instant::now() + self.place.connect_timeout;
        loop {
            match Connection::open(&self.place, &self.settings, &self.sql, &self.counters) {
                Ok(connection) => {
                    self.was_reached.store(true, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error)
                    if error.kind() == ErrorKind::Transient
                        && self.was_reached.load(Ordering::Relaxed)
                        && Instant::now() + BETWEEN_TRIES < end =>
                {
                    thread::sleep(BETWEEN_TRIES);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn give_up_one(&self) {
        self.state.lock().open -= 1;
        self.free.notify_one();
    }

    /// Forgets the connections that nobody uses: if one was cut, so were they.
    pub(super) fn forget_idle(&self) {
        let mut state = self.state.lock();
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        self.free.notify_all();
    }

    /// Does `work`, which changes nothing, on a connection; once more on a new one where that is cut. `work` goes on
    /// where it was, and says through its second argument that it got further.
    pub(super) fn read<T>(&self, mut work: impl FnMut(&mut Connection, &mut bool) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            let mut lent = self.take()?;
            let mut got_further = false;
            tries += 1;
            let error = match work(&mut lent, &mut got_further) {
                Err(error) => error,
                done => return done,
            };
            if got_further {
                tries = 0;
            }
            match lent.failure() {
                Some(Failure::Cut) if tries < TRIES => self.forget_idle(),
                // It was our sink that took so long.
                Some(Failure::TimedOut) if got_further => {}
                _ => return Err(error),
            }
        }
    }
}

/// A connection that is lent; goes back when dropped, if it is sound.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    /// `Some` until dropped.
    connection: Option<Connection>,
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("there until dropped")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("there until dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        match self.connection.take() {
            Some(connection) if connection.is_sound() => {
                self.pool.state.lock().idle.push(connection);
                self.pool.free.notify_one();
            }
            _ => self.pool.give_up_one(),
        }
    }
}
