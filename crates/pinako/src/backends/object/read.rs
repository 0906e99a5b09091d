//! Payloads of many images at once, or parts of them: where they are, which requests are worth making, and the bytes as
//! they come.
//!
//! A batch of images is planned as a whole, over all parts: a request costs a round trip, so what lies between two that
//! are wanted is read with them where that is cheaper, as the strategies of [`plan`](crate::plan) have it for regions.
//! Byte ranges are asked for as they are: whoever wants them has planned them.
//! All requests are made at once, as many as may be in flight, and their bytes are given out in the caller's thread
//! while others are still on their way.

use std::ops::Range;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Object;
use super::batch::{Batch, Request};
use super::head::Head;
use super::heads::Found;
use super::manifests::Known;
use super::view::{HEADS_AT_ONCE, View};
use crate::backend::DescribeSink;
use crate::backends::manifest::{Manifest, Part};
use crate::backends::runtime::handle;
use crate::descriptor::{Descriptor, Id};
use crate::error::{Error, ErrorKind, Result};

/// Most bytes that a call has asked for and not given out yet. They are a call's own: one that waits for another, in
/// whose sink it was begun by a thread pool, would wait for ever.
const IN_FLIGHT: usize = 64 << 20;

/// Most images that are looked for at once.
const AT_ONCE: usize = 1 << 17;

/// What is wanted of an image.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The caller's word for it.
    pub(super) place: usize,
    pub(super) id: Id,
    /// Which bytes of the payload; all, and the descriptor with them, where none are said.
    pub(super) range: Option<Range<u64>>,
}

/// Takes what was wanted: its place, the descriptor where the whole image was, and the bytes; neither where there is no
/// such image.
pub(super) type Sink<'a> = dyn FnMut(usize, Option<Descriptor>, Option<&[u8]>) -> Result<()> + 'a;

/// Gives out each of `wanted` once.
pub(super) fn read(store: &Object, mut wanted: Vec<Wanted>, sink: &mut Sink<'_>) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    // Then each head is needed but once, and requests follow one another in the objects.
    wanted.sort_by_key(|wanted| (wanted.id, wanted.range.as_ref().map(|range| range.start)));
    let mut view = View::new(store)?;
    let mut done = 0;
    while done < wanted.len() {
        let manifest = Arc::clone(view.manifest());
        let (count, parts) = window(&manifest, &wanted[done..]);
        let (now, later) = wanted[done..].split_at(count);
        let begun = heads_of(&mut view, &manifest, &parts, now).and_then(|heads| match heads {
            Some(heads) => Batch::new(store, &manifest, now, &parts, &heads).map(Some),
            None => Ok(None),
        });
        let arriving = match &begun {
            Ok(Some(batch)) => Some(Arriving::begin(store, batch)?),
            _ => None,
        };
        // What was found, and what was found wrong, is so by a manifest that may not be the newest.
        if let Some(before) = view.settle()?
            && !agree(&before, view.manifest(), now)
        {
            continue;
        }
        let (Some(mut batch), Some(arriving)) = (begun?, arriving) else { continue };
        match arriving.give_out(&mut batch, sink)? {
            None => done += count,
            Some(missing) => {
                wanted = batch.left().chain(later).cloned().collect();
                done = 0;
                view.missing(missing).map_err(|error| at_first_of(&manifest, &wanted, missing, error))?;
            }
        }
    }
    Ok(())
}

/// How many of `wanted` are looked for now, and the parts that they are in.
fn window<'a>(manifest: &'a Manifest, wanted: &[Wanted]) -> (usize, Vec<&'a Part>) {
    let mut parts: Vec<&Part> = Vec::new();
    let mut bytes = 0u64;
    for (count, wanted) in wanted.iter().enumerate().take(AT_ONCE) {
        let Some(part) = manifest.part_of(wanted.id) else { continue };
        if parts.last().is_some_and(|last| last.part == part.part) {
            continue;
        }
        bytes = bytes.saturating_add(part.head_bytes);
        if bytes > HEADS_AT_ONCE && !parts.is_empty() {
            return (count, parts);
        }
        parts.push(part);
    }
    (wanted.len().min(AT_ONCE), parts)
}

/// The heads of the `parts` that `wanted` are in; `None` where the view goes on by another manifest.
///
/// # Errors
/// Where one cannot be read, the error names the first image that is wanted of its part.
fn heads_of(
    view: &mut View<'_>,
    manifest: &Manifest,
    parts: &[&Part],
    wanted: &[Wanted],
) -> Result<Option<Vec<Arc<Head>>>> {
    let Some(heads) = view.heads(parts)? else { return Ok(None) };
    let named = |(part, head): (&&Part, Result<Arc<Head>>)| {
        head.map_err(|error| at_first_of(manifest, wanted, part.part, error))
    };
    parts.iter().zip(heads).map(named).collect::<Result<_>>().map(Some)
}

/// Says of an error about the object of that number which image was the first to be wanted of it.
fn at_first_of(manifest: &Manifest, wanted: &[Wanted], number: u64, error: Error) -> Error {
    let is_in = |id| manifest.part_of(id).is_some_and(|part| part.files().any(|file| file == number));
    match wanted.iter().find(|wanted| is_in(wanted.id)) {
        Some(wanted) => error.at_id(wanted.id),
        None => error,
    }
}

/// Whether what was found of `wanted` by one manifest is so by another, too.
fn agree(one: &Manifest, other: &Manifest, wanted: &[Wanted]) -> bool {
    let part_of = |manifest: &Manifest, id| manifest.part_of(id).map(|part| part.part);
    wanted.iter().all(|wanted| part_of(one, wanted.id) == part_of(other, wanted.id))
}

/// The place of a request, what came of it, and the room that it takes until it is given out.
type Answer = (usize, Result<Option<Bytes>>, OwnedSemaphorePermit);

/// Requests in flight. Those that are not awaited any more are broken off.
struct Arriving {
    answers: mpsc::Receiver<Answer>,
    _tasks: JoinSet<()>,
}

impl Arriving {
    /// Makes the requests of a batch.
    fn begin(store: &Object, batch: &Batch<'_>) -> Result<Self> {
        let (sender, answers) = mpsc::channel();
        let runtime = handle()?;
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut tasks = JoinSet::new();
        for (place, request) in batch.requests().iter().enumerate() {
            let Request { object, range, .. } = request;
            let (number, length) = batch.object(*object);
            let (objects, room, sender) = (Arc::clone(&store.objects), Arc::clone(&room), sender.clone());
            let range = range.clone();
            let task = async move {
                let bytes = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
                let Ok(taken) = room.acquire_many_owned(bytes).await else { return };
                let answer = objects.read(&objects.part(number), range, length).await;
                // Whoever does not wait any more does not want it.
                let _ = sender.send((place, answer, taken));
            };
            tasks.spawn_on(task, &runtime);
        }
        Ok(Arriving { answers, _tasks: tasks })
    }

    /// Gives out what comes, as it comes. If an object is not there, gives its number, and some are left.
    fn give_out(self, batch: &mut Batch<'_>, sink: &mut Sink<'_>) -> Result<Option<u64>> {
        batch.give_out_at_once(sink)?;
        for _ in 0..batch.requests().len() {
            let answer = self.answers.recv();
            let (place, answer, _taken) = answer
                .map_err(|error| Error::new(ErrorKind::Backend, "a request was broken off").with_source(error))?;
            match answer? {
                Some(bytes) => batch.give_out(place, &bytes, sink)?,
                None => return Ok(Some(batch.object(batch.requests()[place].object).0)),
            }
        }
        Ok(None)
    }
}

/// Gives out the descriptor of each of `ids` once.
pub(super) fn describe(store: &Object, ids: &[Id], sink: &mut DescribeSink<'_>) -> Result<()> {
    let mut wanted: Vec<Wanted> =
        ids.iter().enumerate().map(|(place, &id)| Wanted { place, id, range: None }).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    wanted.sort_by_key(|wanted| wanted.id);
    let mut view = View::new(store)?;
    let mut rest = &wanted[..];
    while !rest.is_empty() {
        let manifest = Arc::clone(view.manifest());
        let (count, parts) = window(&manifest, rest);
        let (now, later) = rest.split_at(count);
        let heads = heads_of(&mut view, &manifest, &parts, now);
        if let Some(before) = view.settle()?
            && !agree(&before, view.manifest(), now)
        {
            continue;
        }
        let Some(heads) = heads? else { continue };
        for wanted in now {
            let descriptor = place_of(&manifest, &parts, wanted.id).and_then(|place| {
                let row = heads[place].row(wanted.id)?;
                let descriptor = heads[place].descriptor(row);
                Some(descriptor.map_err(|error| store.in_object(parts[place].part, wanted.id, error)))
            });
            sink(wanted.place, descriptor.transpose()?)?;
        }
        rest = later;
    }
    Ok(())
}

/// The place among `parts`, which ascend, of that which has the image `id`, by a manifest.
pub(super) fn place_of(manifest: &Manifest, parts: &[&Part], id: Id) -> Option<usize> {
    manifest.part_of(id)?;
    parts.partition_point(|part| part.first <= id).checked_sub(1)
}

/// Which of `ids`, which ascend, are there by a manifest, and the bytes of their payloads.
///
/// What is damaged is to be removed, too. Of a part that cannot be read, what the manifest says must do: its range of
/// ids, how many of them there are, and the bytes of all.
pub(super) fn present(store: &Object, known: &Arc<Known>, ids: &[Id]) -> Result<(Vec<Id>, u64)> {
    let manifest = &known.manifest;
    let (mut present, mut bytes) = (Vec::new(), 0u64);
    let wanted: Vec<Wanted> = ids.iter().map(|&id| Wanted { place: 0, id, range: None }).collect();
    let mut rest = &wanted[..];
    while !rest.is_empty() {
        let (count, parts) = window(manifest, rest);
        let (now, later) = rest.split_at(count);
        rest = later;
        let heads = store.heads.of(&store.objects, &parts)?;
        for Wanted { id, .. } in now {
            let Some(place) = place_of(manifest, &parts, *id) else { continue };
            let part = parts[place];
            let length = match &heads[place] {
                Found::There(head) => match head.row(*id) {
                    Some(row) => head.payload_length(row).unwrap_or(0),
                    None => continue,
                },
                Found::Missing | Found::Lost(_) => {
                    let listed = present.len() - present.partition_point(|&other| other < part.first);
                    if manifest.removed().count_within(part.first, part.last) + listed as u64 >= part.count {
                        continue;
                    }
                    part.payload_bytes / part.count
                }
            };
            bytes = bytes.saturating_add(length);
            present.push(*id);
        }
    }
    Ok((present, bytes))
}
