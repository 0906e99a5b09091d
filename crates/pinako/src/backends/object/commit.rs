//! Changing the store: the next manifest, put where there is none.
//!
//! There are no locks. Who finds another's manifest where his was to be begins again by that one, with what he has put
//! already; each round one writer succeeds.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use object_store::PutPayload;

use super::Object;
use super::manifests::{self, CERTAIN, Known, Moment};
use super::objects::{Objects, Put};
use crate::backends::manifest::Commit;
use crate::backends::runtime::wait_for;
use crate::backends::{Mode, random, read_only};
use crate::error::{Error, ErrorKind, Result};

/// What became of a manifest that was put.
enum Outcome {
    /// It is there.
    Committed(Known),
    /// Another's is.
    Lost,
}

impl Object {
    /// Makes a change: `make` gives the whole new state that follows from a manifest, or none where there is nothing to
    /// change, and what the caller is to get. It may be asked several times, by newer manifests.
    ///
    /// # Errors
    /// `Conflict` where others were always faster; `Transient` where the change may have been made or not; those of
    /// `make`, by the newest manifest. Only a `Transient` one leaves in doubt whether anything was changed.
    pub(super) fn change<T>(&self, mut make: impl FnMut(&Arc<Known>) -> Result<(Option<Commit>, T)>) -> Result<T> {
        if self.mode == Mode::Read {
            return Err(read_only());
        }
        let begun = Instant::now();
        // Those who share a handle take turns instead of losing against each other.
        let _turn = self.turn.try_lock_for(self.patience).ok_or_else(|| busy(self.patience))?;
        self.check_there()?;
        let mut known = self.known();
        // What was so by the manifest that the handle knew may not be so any more.
        let mut is_fresh = false;
        if known.confirmed.is_before(CERTAIN) {
            known = self.fresh()?;
            is_fresh = true;
        }
        for round in 0_u32.. {
            let (commit, given) = match make(&known) {
                Ok((Some(commit), given)) => (commit, given),
                unchanged if is_fresh => return unchanged.map(|(_, given)| given),
                unchanged => {
                    let newest = self.fresh()?;
                    if newest.is_same(&known) {
                        return unchanged.map(|(_, given)| given);
                    }
                    (known, is_fresh) = (newest, true);
                    continue;
                }
            };
            match wait_for(put_next(&self.objects, &known, commit))? {
                Outcome::Committed(mine) => {
                    self.set_known(mine);
                    return Ok(given);
                }
                Outcome::Lost => {
                    self.back_off(round)?;
                    (known, is_fresh) = (self.fresh()?, true);
                    if begun.elapsed() >= self.patience {
                        break;
                    }
                }
            }
        }
        Err(busy(self.patience))
    }

    /// Waits a little, by chance, so that writers who met once do not meet again.
    fn back_off(&self, round: u32) -> Result<()> {
        let most = if self.objects.is_far() { 20_000 } else { 500 } << round.min(5);
        thread::sleep(Duration::from_micros(random::number()? % most));
        Ok(())
    }
}

fn busy(patience: Duration) -> Error {
    Error::conflict(format!("other writers were faster for {patience:?}"))
        .with_hint("try again when they have finished")
}

/// Puts the manifest that follows `known`.
///
/// # Errors
/// `Transient` where it may be there or not; others where it is not.
async fn put_next(objects: &Objects, known: &Known, commit: Commit) -> Result<Outcome> {
    /// How often it is put whose outcome is unknown.
    const TRIES: usize = 3;
    let number = known.number.checked_add(1).ok_or_else(|| Error::invalid("the store has no manifests left"))?;
    let (mine, text) = Known::new(number, commit)?;
    let path = objects.manifest(number);
    let mut why = None;
    for _ in 0..TRIES {
        let refused = match objects.put(&path, PutPayload::from_bytes(text.clone())).await {
            Ok(Put::Done) => return committed(known, mine),
            Ok(Put::Exists) => None,
            Err(error) => Some(error),
        };
        // What is there may be ours: when an answer is lost, the same is put again, which may be refused by then.
        match (manifests::load(objects, number, Moment::now()).await, refused) {
            // In a folder it is there, but not durable, and others may go on by it already.
            (Ok(Some(found)), Some(error)) if found.is_same(&mine) && !objects.is_far() => {
                return Err(in_doubt(Some(error)));
            }
            (Ok(Some(found)), _) if found.is_same(&mine) => return committed(known, mine),
            (Ok(Some(_)), _) => return Ok(Outcome::Lost),
            // In a folder nothing comes later.
            (Ok(None), refused) if !objects.is_far() => return refused.map_or(Ok(Outcome::Lost), Err),
            (Ok(None), Some(error)) if why.is_none() && is_final(error.kind()) => return Err(error),
            // One that may pass was asked for again and again already.
            (Ok(None), Some(error)) if error.kind() == ErrorKind::Transient => return Err(in_doubt(Some(error))),
            (Ok(None), refused) => why = refused,
            // The server says nothing any more: to ask it again would take as long again.
            (Err(error), refused) => return Err(in_doubt(Some(refused.unwrap_or(error)))),
        }
    }
    Err(in_doubt(why))
}

/// Whether a put that failed so comes to nothing if it is made again.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Denied | ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Unsupported)
}

fn committed(known: &Known, mine: Known) -> Result<Outcome> {
    // If the machine slept for longer than a vacuum keeps, the manifest may follow one that was long superseded.
    if known.confirmed.is_before(2 * CERTAIN) { Err(in_doubt(None)) } else { Ok(Outcome::Committed(mine)) }
}

fn in_doubt(why: Option<Error>) -> Error {
    let error = Error::new(ErrorKind::Transient, "it is unknown whether the change was made: it may be there or not")
        .with_hint("look whether it is there before it is made again");
    match why {
        Some(why) => error.with_source(why),
        None => error,
    }
}
