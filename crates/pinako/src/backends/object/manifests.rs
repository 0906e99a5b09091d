//! The manifest objects: each says all that the store holds, and is made once.
//!
//! Manifest n is followed by manifest n + 1, which is put only where there is none: of two writers one succeeds, and the
//! other begins again with what that one did. So whoever knows manifest n asks for n + 1 to know whether it is still the
//! newest, with one request that mostly finds nothing.
//!
//! ```text
//! {"pinako":"object","format_version":1,"crc32c":"........"}
//! {"token":"................","commit":{"next_id":3,"parts":[...]},"crc32c":"........"}
//! ```
//!
//! The token is the writer's own, so that one whose answer was lost knows his manifest when he meets it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::objects::Objects;
use crate::backends::manifest::{Commit, Kind, Manifest, Part};
use crate::backends::random;
use crate::backends::sealed::{self, Header};
use crate::error::{Error, Result};

/// Which backend's manifests they are.
pub(super) const KIND: &str = "object";

/// How long after a manifest was known to be the newest the one after it is looked for by its number. Vacuuming leaves
/// what was newest within the last hour; a missing number says nothing beyond.
pub(super) const CERTAIN: Duration = Duration::from_secs(30 * 60);

/// A moment on two clocks: one stands still while the machine sleeps, the other may be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(Instant, SystemTime);

impl Moment {
    pub(super) fn now() -> Self {
        Moment(Instant::now(), SystemTime::now())
    }

    /// A moment so long ago, by the clock that may be set.
    #[cfg(test)]
    pub(super) fn of(age: Duration) -> Self {
        Moment(Instant::now(), SystemTime::now() - age)
    }

    /// Whether it is longer ago than `span` by one of the clocks.
    pub(super) fn is_before(self, span: Duration) -> bool {
        self.0.elapsed() > span || self.1.elapsed().map_or(true, |elapsed| elapsed > span)
    }
}

/// A manifest that was read or put.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) number: u64,
    token: String,
    pub(super) manifest: Arc<Manifest>,
    /// Length of its object.
    pub(super) bytes: u64,
    /// When it was the newest.
    pub(super) confirmed: Moment,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    token: String,
    commit: Commit,
}

impl Known {
    /// Manifest `number` of a writer's own, with its text.
    pub(super) fn new(number: u64, commit: Commit) -> Result<(Self, Bytes)> {
        let token = random::token()?;
        let mut text = Vec::new();
        sealed::write(&Header::new(KIND), &mut text)?;
        let line = Line { token, commit };
        sealed::write(&line, &mut text)?;
        let known = Known::of(number, line, text.len() as u64, Moment::now())?;
        Ok((known, text.into()))
    }

    fn of(number: u64, line: Line, bytes: u64, confirmed: Moment) -> Result<Self> {
        let Line { token, commit } = line;
        if let Some(part) = commit.parts.iter().find(|part| part.kind == Kind::Images) {
            return Err(Error::corrupt(format!("part {:016x} is of a kind that there is not", part.part)));
        }
        if let Some(part) = commit.parts.iter().find(|part| !says_its_names(part)) {
            return Err(Error::corrupt(format!("of part {:016x} it is not said where its names are", part.part)));
        }
        let mut manifest = Manifest::default();
        manifest.apply(commit)?;
        Ok(Known { number, token, manifest: Arc::new(manifest), bytes, confirmed })
    }

    fn parse(number: u64, text: &[u8], confirmed: Moment) -> Result<Self> {
        let (header, line) = text.iter().position(|&byte| byte == b'\n').map_or((text, &[][..]), |end| {
            let (header, line) = text.split_at(end);
            (header, &line[1..])
        });
        sealed::read::<Header>(header)?.check(KIND)?;
        let line = line.strip_suffix(b"\n").ok_or_else(|| Error::corrupt("it has no second line"))?;
        Known::of(number, sealed::read(line)?, text.len() as u64, confirmed)
    }

    /// The same, which was the newest at that moment.
    pub(super) fn confirmed_at(&self, confirmed: Moment) -> Self {
        Known { confirmed, ..self.clone() }
    }

    /// Whether both are the same writer's.
    pub(super) fn is_same(&self, other: &Known) -> bool {
        self.number == other.number && self.token == other.token
    }
}

/// Whether names can be looked up in a part without its whole head.
fn says_its_names(part: &Part) -> bool {
    let range = part.names.and_then(|names| names.range(part.count));
    range.map_or(!part.has_many_names(), |range| range.end <= part.head_bytes)
}

/// The number of the manifest at `path`, unless it is something else.
pub(super) fn number_of(path: &Path) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(".json")?;
    let inverted = (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)?;
    inverted.parse::<u64>().ok().map(|inverted| u64::MAX - inverted)
}

/// Manifest `number`, if it is there, said to have been the newest at `confirmed`.
pub(super) async fn load(objects: &Objects, number: u64, confirmed: Moment) -> Result<Option<Known>> {
    let path = objects.manifest(number);
    let Some(text) = objects.whole(&path).await? else { return Ok(None) };
    let known = Known::parse(number, &text, confirmed);
    known.map(Some).map_err(|error| error.context(&path))
}

/// The newest manifest; `None` where there is none.
pub(super) async fn newest(objects: &Objects) -> Result<Option<Known>> {
    /// A vacuum may delete it between two requests, where a newer one was made meanwhile, but not over and over.
    const TRIES: usize = 8;
    let folder = objects.manifests();
    for _ in 0..TRIES {
        let now = Moment::now();
        let Some(first) = objects.first(&folder).await? else { return Ok(None) };
        let number = number_of(&first)
            .ok_or_else(|| Error::corrupt(format!("{first} is no manifest")).with_hint("move it elsewhere"))?;
        if let Some(known) = load(objects, number, now).await? {
            return Ok(Some(known));
        }
    }
    Err(Error::corrupt(format!("the newest of {folder} is listed, but not there")))
}

/// What [`newer_than`] finds.
#[derive(Debug)]
pub(super) enum Newest {
    /// The manifest that was known is still the newest, as it was at this moment.
    Same(Moment),
    Other(Known),
}

/// The newest manifest, given one that is `known`.
///
/// # Errors
/// `NotFound` where there is none any more.
pub(super) async fn newer_than(objects: &Objects, known: &Known) -> Result<Newest> {
    let now = Moment::now();
    if !known.confirmed.is_before(CERTAIN) {
        let Some(next) = following(objects, known.number).await? else { return Ok(Newest::Same(now)) };
        let now = Moment::now();
        match next.number.checked_add(1) {
            Some(number) if objects.look(&objects.manifest(number)).await?.is_none() => {
                return Ok(Newest::Other(Known { confirmed: now, ..next }));
            }
            _ => {}
        }
    }
    match newest(objects).await? {
        Some(newest) if newest.is_same(known) => Ok(Newest::Same(newest.confirmed)),
        Some(newest) => Ok(Newest::Other(newest)),
        None => Err(gone(objects)),
    }
}

/// The manifest after that `number`, if there is one.
pub(super) async fn following(objects: &Objects, number: u64) -> Result<Option<Known>> {
    match number.checked_add(1) {
        Some(next) => load(objects, next, Moment::now()).await,
        None => Ok(None),
    }
}

/// The error for a store that is no more.
pub(super) fn gone(objects: &Objects) -> Error {
    Error::not_found(format!("there are no manifests under {} any more", objects.manifests()))
}
