//! A store as *immutable parts named by an append-only log of commits*.
//!
//! Formats made for arrays (HDF5, Arrow) have no transactions: a crash can ruin a file that is being changed, and one
//! file an image is slow. So a batch of images becomes one part (or a few), which never changes once it is written, and
//! what makes it part of the store is one [`Commit`] in a log. Whatever no commit names is not there. Here is what the
//! log says, and the [`Manifest`] that its commits add up to; where the log and the parts lie is a backend's matter.
//!
//! Parts have consecutive ranges of ids and ascend by them. Removing images is a commit that lists their ids. To merge
//! parts, a whole new log is put in place of the old one.

mod id_set;

pub(crate) use id_set::IdSet;

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::sealed::{self, Header};
use crate::descriptor::Id;
use crate::error::{Error, Result};

/// The name of the log where it is a file.
pub(crate) const LOG_NAME: &str = "manifest.jsonl";

/// The name of the folder of the parts where they are files.
pub(crate) const PARTS: &str = "parts";

/// Most bytes of a log's first line, which is its [`Header`].
pub(crate) const MAX_HEADER: u64 = 4096;

/// Whether there is a log of `kind` in the folder `path`, as far as its first line tells. One whose first line is
/// damaged or cannot be read is taken for one if there are parts beside it: opening it says what is wrong with it.
pub(crate) fn is_at(path: &Path, kind: &str) -> bool {
    let log = path.join(LOG_NAME);
    let first_line = || {
        let mut first = Vec::new();
        let file = File::open(&log).ok()?;
        BufReader::new(file.take(MAX_HEADER)).read_until(b'\n', &mut first).ok()?;
        sealed::read::<Header>(&first).ok()
    };
    log.is_file() && first_line().map_or_else(|| path.join(PARTS).is_dir(), |header| header.pinako == kind)
}

/// What names are looked up by: their 64-bit FNV-1a hash.
pub(crate) fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the payloads of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Raw images of one shape and sample type: one array.
    Images,
    /// Bytes of any lengths.
    Payloads,
    /// The bytes of a single image, in files of their own.
    Pieces,
}

/// A part of the store: some images, in one file that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Its number, which no other part or piece of the store ever has; its file is named after it.
    pub(crate) part: u64,
    pub(crate) kind: Kind,
    /// The id of its first image.
    pub(crate) first: Id,
    /// The id of its last image. Where images between were removed before the part was written, ids are missing.
    pub(crate) last: Id,
    /// Images in it.
    pub(crate) count: u64,
    /// How many of them have a name.
    pub(crate) named: u64,
    /// The hashes of the names, where they are few, so that a name is found without looking into every small part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) name_hashes: Vec<u64>,
    /// Where the hashes of names that are not listed stand, where they are read by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) names: Option<NameColumn>,
    /// Bytes of their payloads.
    pub(crate) payload_bytes: u64,
    /// Length of its file.
    pub(crate) file_bytes: u64,
    /// How many bytes of the file stand before its payloads, where they are read by themselves.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) head_bytes: u64,
    /// The files of a payload in pieces, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pieces: Vec<Piece>,
}

/// The hashes of a part's names in its file: 8 bytes an image, little endian, in the images' order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameColumn {
    /// Where in the file they begin.
    pub(crate) at: u64,
    /// CRC32C of them all.
    pub(crate) crc32c: u32,
}

impl NameColumn {
    /// Where those of so many images are in the file.
    pub(crate) fn range(self, images: u64) -> Option<Range<u64>> {
        Some(self.at..self.at.checked_add(images.checked_mul(8)?)?)
    }
}

/// One piece of a payload that is cut into several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Piece {
    /// Its number; see [`Part::part`].
    pub(crate) part: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) file_bytes: u64,
    /// As a part's own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) head_bytes: u64,
}

impl Part {
    /// Most hashes of names that are listed.
    const FEW_NAMES: usize = 16;

    /// Whether it has every id from its first to its last.
    pub(crate) fn is_dense(&self) -> bool {
        self.last - self.first == self.count - 1
    }

    /// Whether it has names that it does not list.
    pub(crate) fn has_many_names(&self) -> bool {
        self.named > self.name_hashes.len() as u64
    }

    /// The numbers of all its files.
    pub(crate) fn files(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.part).chain(self.pieces.iter().map(|piece| piece.part))
    }

    /// The part, whose ids were counted from 0, with its ids from `first` on.
    pub(crate) fn moved(self, first: Id) -> Self {
        Part { first: self.first + first, last: self.last + first, ..self }
    }

    /// The hashes of `names` that are to be listed: all if they are few, else none.
    pub(crate) fn few_hashes(names: &[(u64, u64)]) -> Vec<u64> {
        let few = names.len() <= Self::FEW_NAMES;
        if few { names.iter().map(|&(hash, _)| hash).collect() } else { Vec::new() }
    }

    fn check(&self) -> Option<()> {
        let span = self.last.checked_sub(self.first)?.checked_add(1)?;
        let in_pieces = self.pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.payload_bytes))?;
        let pieces_fit = match self.kind {
            Kind::Pieces => self.count == 1 && !self.pieces.is_empty() && in_pieces == self.payload_bytes,
            _ => self.pieces.is_empty(),
        };
        let names_fit =
            self.named <= self.count && (self.name_hashes.is_empty() || self.name_hashes.len() as u64 == self.named);
        (self.count > 0 && self.count <= span && names_fit && pieces_fit).then_some(())
    }
}

/// One line of a log: what an append, a removal or new label names change, all or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commit {
    /// The id that the next image will get.
    pub(crate) next_id: Id,
    /// The number that the next part or piece will get, where they are numbered one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_part: Option<u64>,
    /// Parts that were added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<Part>,
    /// First and last ids of intervals of images that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<(Id, Id)>,
    /// Bytes of the removed images' payloads.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) removed_bytes: u64,
    /// The new list of label names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label_names: Option<Vec<String>>,
    /// Where the commit's parts were not synced: the run of the machine (its boot id) that wrote them. Commits without
    /// it say that all before them is on the disk, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the commits of a log add up to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifest {
    parts: Vec<Part>,
    /// The hashes of names that parts list, each with the place of its part.
    listed_names: BTreeSet<(u64, usize)>,
    /// Places of the parts with more names than they list.
    many_names: Vec<usize>,
    removed: IdSet,
    removed_bytes: u64,
    label_names: Vec<String>,
    next_id: Id,
    next_part: Option<u64>,
    count: u64,
    payload_bytes: u64,
    unsynced: Vec<u64>,
    is_unsynced: bool,
}

impl Manifest {
    /// An empty one, of a place where parts are numbered one after another.
    pub(crate) fn of_numbered_parts() -> Self {
        Manifest { next_part: Some(0), ..Manifest::default() }
    }

    /// All parts, ascending by id.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part that has `id`, if any has and it was not removed; in a part that is not dense it may be missing.
    pub(crate) fn part_of(&self, id: Id) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.first <= id);
        let part = &self.parts[after.checked_sub(1)?];
        (id <= part.last && !self.removed.contains(id)).then_some(part)
    }

    /// The first id from `id` on that was not removed and may be there, and its part. In a part that is not dense it may
    /// be missing.
    pub(crate) fn first_from(&self, id: Id) -> Option<(Id, &Part)> {
        let after = self.parts.partition_point(|part| part.last < id);
        self.parts[after..].iter().filter(|part| !self.is_used_up(part)).find_map(|part| {
            let first = self.removed.first_without(part.first.max(id));
            (first <= part.last).then_some((first, part))
        })
    }

    /// The parts that list a name with that hash.
    pub(crate) fn parts_listing(&self, hash: u64) -> impl Iterator<Item = &Part> {
        self.listed_names.range((hash, 0)..=(hash, usize::MAX)).map(|&(_, place)| &self.parts[place])
    }

    /// The parts with names that they do not list: each may be there.
    pub(crate) fn parts_of_many_names(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.many_names.iter().map(|&place| &self.parts[place])
    }

    /// Whether none of a part's images are left.
    pub(crate) fn is_used_up(&self, part: &Part) -> bool {
        self.removed.count_within(part.first, part.last) >= part.count
    }

    /// The ids that were removed and still are in parts.
    pub(crate) fn removed(&self) -> &IdSet {
        &self.removed
    }

    pub(crate) fn label_names(&self) -> &[String] {
        &self.label_names
    }

    pub(crate) fn next_id(&self) -> Id {
        self.next_id
    }

    /// The number that the next part will get, where they are numbered one after another.
    pub(crate) fn next_part(&self) -> Option<u64> {
        self.next_part
    }

    /// Images in the store.
    pub(crate) fn count(&self) -> u64 {
        self.count - self.removed.count()
    }

    /// Bytes of their payloads.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes - self.removed_bytes
    }

    /// Numbers of the files that were written since all was synced last.
    pub(crate) fn unsynced(&self) -> &[u64] {
        &self.unsynced
    }

    /// Whether all is on the disk.
    pub(crate) fn is_synced(&self) -> bool {
        !self.is_unsynced
    }

    /// A commit that changes nothing, to be filled.
    pub(crate) fn commit(&self) -> Commit {
        Commit { next_id: self.next_id, next_part: self.next_part, ..Commit::default() }
    }

    /// One commit that adds up to all of this.
    pub(crate) fn whole(&self) -> Commit {
        Commit {
            next_id: self.next_id,
            next_part: self.next_part,
            parts: self.parts.clone(),
            removed: self.removed.intervals().to_vec(),
            removed_bytes: self.removed_bytes,
            label_names: Some(self.label_names.clone()).filter(|names| !names.is_empty()),
            unsynced: None,
        }
    }

    /// Adds a commit, or refuses it and changes nothing.
    ///
    /// # Errors
    /// `Corrupt` where it does not go with those before it.
    pub(crate) fn apply(&mut self, commit: Commit) -> Result<()> {
        let checked = self.check(commit)?;
        self.take(checked);
        Ok(())
    }

    /// Checks a commit that is to be added, in time proportional to what it holds; a removal also takes time
    /// proportional to what was removed before.
    ///
    /// # Errors
    /// `Corrupt` where it does not go with those before it.
    pub(crate) fn check(&self, commit: Commit) -> Result<Checked> {
        let parts = self.check_parts(&commit)?;
        let fresh = IdSet::from_intervals(&commit.removed, commit.next_id)?;
        let removed_bytes = self.removed_bytes.checked_add(commit.removed_bytes);
        let payload_bytes = parts.payload_bytes.checked_add(self.payload_bytes);
        let (Some(removed_bytes), Some(payload_bytes)) = (removed_bytes, payload_bytes) else {
            return Err(Error::corrupt("the payloads are too long to be true"));
        };
        let count = self.count + parts.count;
        if removed_bytes > payload_bytes || self.removed.count() + fresh.count() > count {
            return Err(Error::corrupt("more is removed than there ever was"));
        }
        let removed = match fresh.count() {
            0 => None,
            _ => Some(self.removed.with(&fresh)?),
        };
        Ok(Checked { commit, removed, removed_bytes, payload_bytes, count })
    }

    /// Adds a commit that was checked against this manifest.
    pub(crate) fn take(&mut self, Checked { commit, removed, removed_bytes, payload_bytes, count }: Checked) {
        self.is_unsynced = commit.unsynced.is_some();
        match commit.unsynced {
            Some(_) => self.unsynced.extend(commit.parts.iter().flat_map(Part::files)),
            None => self.unsynced.clear(),
        }
        for part in commit.parts {
            let place = self.parts.len();
            self.listed_names.extend(part.name_hashes.iter().map(|&hash| (hash, place)));
            if part.has_many_names() {
                self.many_names.push(place);
            }
            self.parts.push(part);
        }
        if let Some(removed) = removed {
            self.removed = removed;
        }
        self.removed_bytes = removed_bytes;
        self.payload_bytes = payload_bytes;
        self.count = count;
        self.next_id = commit.next_id;
        self.next_part = commit.next_part;
        if let Some(names) = commit.label_names {
            self.label_names = names;
        }
    }

    /// Checks a commit's parts and gives their sums.
    fn check_parts(&self, commit: &Commit) -> Result<Sums> {
        let mut sums = Sums::default();
        let mut numbers = HashSet::new();
        let mut next_id = self.next_id;
        for part in &commit.parts {
            let fits = part.check().is_some() && part.first >= next_id && part.last < commit.next_id;
            let fresh = |number| commit.next_part.is_none_or(|next| self.next_part <= Some(number) && number < next);
            if !fits || !part.files().all(|number| fresh(number) && numbers.insert(number)) {
                return Err(Error::corrupt(format!("part {} does not go with the parts before it", part.part)));
            }
            next_id = part.last + 1;
            sums.count += part.count;
            sums.payload_bytes = sums
                .payload_bytes
                .checked_add(part.payload_bytes)
                .ok_or_else(|| Error::corrupt(format!("part {} is too long to be true", part.part)))?;
        }
        if commit.next_id < self.next_id || commit.next_part < self.next_part {
            return Err(Error::corrupt("a commit goes back behind the one before it"));
        }
        Ok(sums)
    }
}

/// A commit that goes with those before it, and what they add up to with it.
#[derive(Debug)]
pub(crate) struct Checked {
    commit: Commit,
    /// `None` where it stays as it is.
    removed: Option<IdSet>,
    removed_bytes: u64,
    payload_bytes: u64,
    count: u64,
}

#[derive(Default)]
struct Sums {
    count: u64,
    payload_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, first: Id, count: u64) -> Part {
        Part {
            part: number,
            kind: Kind::Payloads,
            first,
            last: first + count - 1,
            count,
            named: 0,
            name_hashes: Vec::new(),
            names: None,
            payload_bytes: 100,
            file_bytes: 200,
            head_bytes: 0,
            pieces: Vec::new(),
        }
    }

    #[test]
    fn commits_add_up() {
        let mut manifest = Manifest::default();
        let add = Commit { next_id: 10, next_part: Some(1), parts: vec![part(0, 0, 10)], ..Commit::default() };
        manifest.apply(add).unwrap();
        let remove = Commit { removed: vec![(3, 4)], removed_bytes: 30, ..manifest.commit() };
        manifest.apply(remove).unwrap();
        assert_eq!((manifest.count(), manifest.payload_bytes(), manifest.next_id()), (8, 70, 10));
        assert!(manifest.part_of(3).is_none() && manifest.part_of(5).is_some() && manifest.part_of(10).is_none());
    }

    #[test]
    fn a_name_leads_to_the_parts_that_may_have_it_and_no_others() {
        let mut manifest = Manifest::default();
        for (number, named, hashes) in [(0, 2, &[7, 8][..]), (1, 3, &[]), (2, 1, &[8]), (3, 1, &[9]), (4, 0, &[])] {
            let part = Part { named, name_hashes: hashes.to_vec(), ..part(number, 10 * number, 10) };
            let (next_id, next_part) = (part.last + 1, Some(number + 1));
            manifest.apply(Commit { next_id, next_part, parts: vec![part], ..Commit::default() }).unwrap();
        }
        let listing = |hash| manifest.parts_listing(hash).map(|part| part.part).collect::<Vec<_>>();
        assert_eq!([6, 7, 8, 9].map(listing), [vec![], vec![0], vec![0, 2], vec![3]]);
        assert_eq!(manifest.parts_of_many_names().map(|part| part.part).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn where_parts_are_numbered_every_commit_says_how_far() {
        let mut manifest = Manifest::of_numbered_parts();
        let names = Commit { label_names: Some(vec!["cat".into()]), ..manifest.commit() };
        assert_eq!(names.next_part, Some(0));
        assert!(manifest.apply(Commit { next_part: None, ..names.clone() }).is_err());
        manifest.apply(names).unwrap();
        let scattered = Commit { next_id: 10, parts: vec![part(77, 0, 10)], ..Commit::default() };
        Manifest::default().apply(scattered).unwrap();
    }

    #[test]
    fn a_commit_that_cannot_be_is_refused_and_changes_nothing() {
        let mut manifest = Manifest::default();
        manifest
            .apply(Commit { next_id: 10, next_part: Some(1), parts: vec![part(0, 0, 10)], ..Commit::default() })
            .unwrap();
        let base = manifest.commit();
        let with = |part: Part| Commit { next_id: 20, next_part: Some(3), parts: vec![part], ..base.clone() };
        let bad = [
            with(part(1, 9, 2)),
            with(part(1, 15, 6)),
            with(part(0, 10, 1)),
            with(part(3, 10, 1)),
            with(Part { count: 0, ..part(1, 10, 1) }),
            with(Part { count: 4, ..part(1, 10, 3) }),
            with(Part { last: 9, ..part(1, 10, 3) }),
            with(Part { kind: Kind::Pieces, ..part(1, 10, 1) }),
            with(Part { named: 2, name_hashes: vec![7], ..part(1, 10, 3) }),
            with(Part { payload_bytes: u64::MAX, ..part(1, 10, 1) }),
            Commit { next_id: 9, ..base.clone() },
            Commit { next_part: Some(0), ..base.clone() },
            Commit { removed: vec![(9, 10)], ..base.clone() },
            Commit { removed: vec![(9, 9)], removed_bytes: 101, ..base.clone() },
        ];
        for commit in bad {
            assert!(manifest.apply(commit.clone()).is_err(), "{commit:?}");
            assert_eq!((manifest.count(), manifest.payload_bytes(), manifest.parts().len()), (10, 100, 1));
        }
    }
}
