//! The parts that are open: each is opened when it is first used, and a bounded number stays open.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::part::{OpenPart, OpenPiece};
use super::write::file_of;
use crate::backends::manifest::{Manifest, Part, Piece};
use crate::checksum;
use crate::error::{Error, ErrorKind, Result};

/// Most parts, and most pieces, that stay open. A process may have some 65,000 maps on Linux.
const MOST_OPEN: usize = 4096;

/// The hint for who needs a file that is lost.
const LOST: &str = "restore it from a copy, or remove the images that `pinako verify` says are in it";

/// Opens parts and keeps them open.
#[derive(Debug)]
pub(super) struct OpenFiles {
    folder: PathBuf,
    parts: Mutex<Recent<OpenPart>>,
    pieces: Mutex<Recent<OpenPiece>>,
}

impl OpenFiles {
    /// None of the parts in `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        OpenFiles { folder, parts: Mutex::default(), pieces: Mutex::default() }
    }

    /// The folder that the parts are in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a part; `None` where it is gone, which a compaction may have done.
    pub(super) fn part(&self, part: &Part) -> Result<Option<Arc<OpenPart>>> {
        self.get(&self.parts, part.part, |path| OpenPart::open(path, part))
    }

    /// The file of a piece; `None` where it is gone.
    pub(super) fn piece(&self, piece: &Piece) -> Result<Option<Arc<OpenPiece>>> {
        self.get(&self.pieces, piece.part, |path| OpenPiece::open(path, piece))
    }

    fn get<T>(
        &self,
        recent: &Mutex<Recent<T>>,
        number: u64,
        open: impl FnOnce(&Path) -> Result<Option<T>>,
    ) -> Result<Option<Arc<T>>> {
        if let Some(found) = lock(recent).get(number) {
            return Ok(Some(found));
        }
        let path = file_of(&self.folder, number);
        let opened = open(&path).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.context(path.display()).with_hint(LOST),
            _ => error.context(path.display()),
        })?;
        Ok(opened.map(|opened| lock(recent).insert(number, Arc::new(opened))))
    }

    /// Closes all that `manifest` does not name.
    pub(super) fn retain(&self, manifest: &Manifest) {
        let named: std::collections::HashSet<u64> = manifest.parts().iter().flat_map(Part::files).collect();
        lock(&self.parts).files.retain(|number, _| named.contains(number));
        lock(&self.pieces).files.retain(|number, _| named.contains(number));
    }

    /// Closes all.
    pub(super) fn close_all(&self) {
        lock(&self.parts).files.clear();
        lock(&self.pieces).files.clear();
    }

    /// The error for a part whose file is gone although the manifest names it.
    pub(super) fn gone(&self, number: u64) -> Error {
        let path = file_of(&self.folder, number);
        Error::corrupt(format!("{} is missing, which the manifest names", path.display())).with_hint(LOST)
    }

    /// Reads a part and its payloads and says whether all is as it was written.
    pub(super) fn is_whole(&self, part: &Part) -> bool {
        self.check(part).unwrap_or(false)
    }

    fn check(&self, part: &Part) -> Result<bool> {
        let Some(open) = OpenPart::open(&file_of(&self.folder, part.part), part)? else { return Ok(false) };
        for row in 0..part.count {
            let mut sum = checksum::crc32c(open.payload(row)?);
            for piece in &part.pieces {
                let Some(open) = OpenPiece::open(&file_of(&self.folder, piece.part), piece)? else { return Ok(false) };
                sum = checksum::crc32c_append(sum, open.payload());
            }
            if sum != open.descriptor(row)?.checksum {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn lock<T>(recent: &Mutex<T>) -> MutexGuard<'_, T> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files by number, with when each was used last.
#[derive(Debug)]
struct Recent<T> {
    files: HashMap<u64, (Arc<T>, u64)>,
    uses: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { files: HashMap::new(), uses: 0 }
    }
}

impl<T> Recent<T> {
    fn get(&mut self, number: u64) -> Option<Arc<T>> {
        let (file, used) = self.files.get_mut(&number)?;
        self.uses += 1;
        *used = self.uses;
        Some(Arc::clone(file))
    }

    /// Adds a file, unless another thread was faster, and closes the half that was not used for longest where there are
    /// too many.
    fn insert(&mut self, number: u64, file: Arc<T>) -> Arc<T> {
        if let Some(found) = self.get(number) {
            return found;
        }
        if self.files.len() >= MOST_OPEN {
            let mut uses: Vec<u64> = self.files.values().map(|&(_, used)| used).collect();
            let (_, &mut middle, _) = uses.select_nth_unstable(MOST_OPEN / 2);
            self.files.retain(|_, (_, used)| *used > middle);
        }
        self.uses += 1;
        self.files.insert(number, (Arc::clone(&file), self.uses));
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_stays_open_and_what_is_used_stays_longest() {
        let mut recent = Recent::default();
        for number in 0..10 * MOST_OPEN as u64 {
            recent.insert(number, Arc::new(number));
            assert_eq!(recent.get(0).as_deref(), Some(&0));
            assert!(recent.files.len() <= MOST_OPEN);
        }
    }
}
