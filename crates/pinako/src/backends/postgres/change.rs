//! Changes: one transaction each, one at a time.
//!
//! Writers exclude each other by the row of the store's next id, which each locks first; so ids are given in the order
//! of the commits, and none is used up by a change that failed. Those who share a handle take turns before they take a
//! connection: none of it is to wait for a lock while readers want it.
//!
//! A connection may be cut when a commit is under way, and then nobody tells whether it was made. So each change leaves
//! a *token* of its own in the store. Whoever has lost a connection takes the lock on another one, which alone says that
//! the lost transaction has ended, one way or the other, and looks whether its token is there.

use std::time::{Duration, Instant};

use super::connection::{Connection, Failure, GRACE};
use super::error::busy;
use super::pool::{Pool, TRIES};
use super::schema::{Marks, State, Totals, set_values};
use super::sql::millis;
use crate::backends::random;
use crate::error::{Error, ErrorKind, Result};

/// A transaction that changes the store.
pub(super) struct Change<'a> {
    pub(super) connection: &'a mut Connection,
    /// As they are before it; what it makes of them is committed.
    pub(super) totals: Totals,
    /// The store's row of values, without those that may be long.
    marks: Marks,
}

/// A change whose commit was not answered.
struct Unanswered<T> {
    number: u64,
    token: String,
    /// What the change gave.
    value: T,
}

/// How an attempt ended.
enum Attempt<T> {
    Made(T),
    Unanswered(Unanswered<T>, Error),
}

impl Pool {
    /// Makes a change by `work`, as a whole or not at all. Where the connection is cut and the change certainly not
    /// made, and `work` can be done again, it is.
    ///
    /// # Errors
    /// Those of `work`; `Conflict` where another writer does not finish within `patience`; `Transient` where the
    /// connection was cut.
    pub(super) fn change<T>(
        &self,
        patience: Duration,
        can_be_repeated: bool,
        mut work: impl FnMut(&mut Change<'_>) -> Result<T>,
    ) -> Result<T> {
        let end = Instant::now() + patience;
        let _turn = self.turn.try_lock_until(end).ok_or_else(busy)?;
        let mut unanswered: Option<Unanswered<T>> = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut lent = match self.take() {
                Err(error) if unanswered.is_some() => return Err(in_doubt(error)),
                lent => lent?,
            };
            // Whoever wants to know what became of a change waits for as long as it may take that one to end.
            let left = if tries == 1 { end.saturating_duration_since(Instant::now()) } else { patience };
            let begun = Change::begin(&mut lent, &self.sql.schema, left, patience);
            let mut may_be_begun = can_be_repeated || begun.is_err();
            let outcome = begun.and_then(|mut change| {
                if let Some(lost) = unanswered.take() {
                    match change.marks.has(lost.number, &lost.token) {
                        Some(true) => {
                            // Nothing depends on whether the lock is given back or goes with the connection.
                            let _ = change.connection.end("ROLLBACK");
                            return Ok(Attempt::Made(lost.value));
                        }
                        Some(false) if can_be_repeated => {}
                        Some(false) => return Err(not_made()),
                        None => {
                            return Err(in_doubt(Error::new(
                                ErrorKind::Transient,
                                "many others have changed it since",
                            )));
                        }
                    }
                }
                may_be_begun = can_be_repeated;
                let value = work(&mut change)?;
                change.commit(&self.sql.schema, value)
            });
            let error = match outcome {
                Ok(Attempt::Made(value)) => return Ok(value),
                Ok(Attempt::Unanswered(lost, error)) => {
                    unanswered = Some(lost);
                    error
                }
                Err(error) => error,
            };
            let failure = lent.failure();
            if matches!(failure, Some(Failure::Cut | Failure::Silent)) {
                self.forget_idle();
            } else {
                let _ = lent.end("ROLLBACK");
            }
            let may_try_again = unanswered.is_some() || may_be_begun && failure == Some(Failure::Cut);
            if tries == TRIES || !may_try_again {
                return Err(if unanswered.is_some() { in_doubt(error) } else { error });
            }
        }
    }
}

impl<'a> Change<'a> {
    /// Begins a transaction that excludes all others, if they are done before the time `left` is over. It may take as
    /// long as the bytes that are to be stored take to come.
    fn begin(connection: &'a mut Connection, schema: &str, left: Duration, patience: Duration) -> Result<Self> {
        // One lock of a row may be two to the server, and lock_timeout is the limit of each.
        let (lock, both) = (millis(left), millis(left + GRACE));
        let patience = millis(patience);
        let messages = connection.begin(
            &format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; \
                 SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {both}; \
                 SELECT FROM {schema}.store WHERE key = 'next_id' FOR UPDATE; \
                 SET LOCAL lock_timeout = {patience}; SET LOCAL statement_timeout = 0; \
                 SELECT key, value, checksum FROM {schema}.store WHERE key <> 'label_names'"
            ),
            left + GRACE,
        );
        let messages = match messages {
            Err(_) if connection.failure() == Some(Failure::TimedOut) => return Err(busy()),
            messages => messages?,
        };
        let state = State::of_messages(&messages);
        Ok(Change { connection, totals: state.totals()?, marks: state.marks()? })
    }

    fn commit<T>(self, schema: &str, value: T) -> Result<Attempt<T>> {
        let (number, token) = (self.marks.next(), random::token()?);
        let marks = [("changes", self.marks.and(&token).to_string())];
        let values = self.totals.values().into_iter().chain(marks);
        match self.connection.end(&format!("{}; COMMIT", set_values(schema, values))) {
            Ok(()) => Ok(Attempt::Made(value)),
            Err(error) if self.connection.is_there() => Err(error),
            Err(error) => Ok(Attempt::Unanswered(Unanswered { number, token, value }, error)),
        }
    }
}

fn not_made() -> Error {
    Error::new(ErrorKind::Transient, "the connection to the server was cut, and nothing was stored")
        .with_hint("try again")
}

fn in_doubt(error: Error) -> Error {
    Error::new(
        ErrorKind::Transient,
        "the connection to the server was cut as the change was committed: whether it was made is not known",
    )
    .with_hint("look whether it is there before you try again")
    .with_source(error)
}
