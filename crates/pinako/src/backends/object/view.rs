//! The store as one call sees it: by the newest manifest, which is asked for while other requests are already on their
//! way.
//!
//! A call must see all that returned before it began. So each looks whether the manifest that the handle knows is still
//! the newest, but does not wait for that answer before it asks for what it needs by it: parts never change, and mostly
//! nothing did. What it found is given out only once it is known to hold.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Object;
use super::head::Head;
use super::heads::{Found, Hashes, LOST};
use super::manifests::{self, Known, Newest};
use crate::backends::manifest::{Manifest, Part};
use crate::backends::runtime::{handle, wait_for};
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of heads that one call has in memory at once, beside those that are kept.
pub(super) const HEADS_AT_ONCE: u64 = 64 << 20;

/// See the module's text.
#[derive(Debug)]
pub(super) struct View<'a> {
    store: &'a Object,
    known: Arc<Known>,
    /// The answer that is awaited; dropping it lets it come in vain.
    look: Option<JoinHandle<Result<Newest>>>,
}

impl<'a> View<'a> {
    /// Looks at the store as the handle knows it, and whether that is still so.
    pub(super) fn new(store: &'a Object) -> Result<Self> {
        let known = store.known();
        let (objects, asked) = (Arc::clone(&store.objects), Arc::clone(&known));
        let look = handle()?.spawn(async move { manifests::newer_than(&objects, &asked).await });
        Ok(View { store, known, look: Some(look) })
    }

    /// Looks at the store as it is now.
    pub(super) fn settled(store: &'a Object) -> Result<Self> {
        let known = store.fresh()?;
        Ok(View { store, known, look: None })
    }

    /// Looks at the store by a manifest, whether or not it is the newest.
    pub(super) fn by(store: &'a Object, known: Arc<Known>) -> Self {
        View { store, known, look: None }
    }

    pub(super) fn manifest(&self) -> &Arc<Manifest> {
        &self.known.manifest
    }

    /// Waits until it is known which manifest is the newest. If it is another than before, gives that one.
    pub(super) fn settle(&mut self) -> Result<Option<Arc<Manifest>>> {
        let Some(look) = self.look.take() else { return Ok(None) };
        let newest = wait_for(async { look.await.map_err(broken_off)? })?;
        let known = self.store.learn(&self.known, newest);
        let before = std::mem::replace(&mut self.known, known);
        Ok(if before.is_same(&self.known) { None } else { Some(Arc::clone(&before.manifest)) })
    }

    /// Goes on by the newest manifest, since the object of that number is not there.
    ///
    /// # Errors
    /// `Corrupt` where the newest manifest still names it.
    pub(super) fn missing(&mut self, number: u64) -> Result<()> {
        let newest = self.store.reload()?;
        if names(&newest.manifest, number) {
            return Err(self.gone(number));
        }
        self.look = None;
        self.known = newest;
        Ok(())
    }

    /// The heads of `parts`, or what is wrong with them; `None` where one was missing because another manifest has taken
    /// the place of the view's, which goes on by that.
    pub(super) fn heads(&mut self, parts: &[&Part]) -> Result<Option<Vec<Result<Arc<Head>>>>> {
        let found = self.store.heads.of(&self.store.objects, parts)?;
        self.there(parts, found)
    }

    /// The hashes of the names of `parts`, all of which have many, or what is wrong with them; as [`heads`](Self::heads).
    pub(super) fn name_hashes(&mut self, parts: &[&Part]) -> Result<Option<Vec<Result<Hashes>>>> {
        let found = self.store.heads.names_of(&self.store.objects, &self.known.manifest, parts)?;
        self.there(parts, found)
    }

    /// What was found of `parts`, with errors for what is missing though the newest manifest names it.
    fn there<T>(&mut self, parts: &[&Part], found: Vec<Found<T>>) -> Result<Option<Vec<Result<T>>>> {
        let mut missing = parts.iter().zip(&found).filter(|(_, found)| matches!(found, Found::Missing)).peekable();
        if missing.peek().is_some() {
            let newest = self.store.reload()?;
            if !missing.all(|(part, _)| names(&newest.manifest, part.part)) {
                self.look = None;
                self.known = newest;
                return Ok(None);
            }
        }
        let found = parts.iter().zip(found).map(|(part, found)| match found {
            Found::There(there) => Ok(there),
            Found::Missing => Err(self.store.heads.lose(part.part, self.gone(part.part))),
            Found::Lost(error) => Err(error),
        });
        Ok(Some(found.collect()))
    }

    fn gone(&self, number: u64) -> Error {
        let object = self.store.objects.part(number);
        Error::corrupt(format!("the object {object} is not there, but the newest manifest names it")).with_hint(LOST)
    }
}

/// Whether an object of that number is a part or piece of the store.
fn names(manifest: &Manifest, number: u64) -> bool {
    manifest.parts().iter().any(|part| part.files().any(|file| file == number))
}

/// Cuts `parts` where what is read of each, so many bytes, would take too much memory together.
pub(super) fn in_bounds<'a, 'p>(
    parts: &'a [&'p Part],
    read: impl Fn(&Part) -> u64,
) -> impl Iterator<Item = &'a [&'p Part]> {
    let mut rest = parts;
    std::iter::from_fn(move || {
        let mut bytes = 0u64;
        let fits = rest.iter().take_while(|part| {
            bytes = bytes.saturating_add(read(part));
            bytes <= HEADS_AT_ONCE
        });
        let count = fits.count().max(1).min(rest.len());
        let (now, after) = rest.split_at(count);
        rest = after;
        (!now.is_empty()).then_some(now)
    })
}

/// The error for a task that did not come to its end.
pub(super) fn broken_off(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Backend, "a request was broken off").with_source(error)
}
