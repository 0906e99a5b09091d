//! The files of large raw images, mapped: a rectangle is many ranges of one file.
//!
//! To read each range into a buffer first would take longer than to put its pixels in order, and would wait for the disk
//! once a range. A map lends the bytes as they are in the page cache, and the disk can be asked for all ranges at once. It
//! takes a while to make and to fill with pages, so some maps stay. Whole images are not read in this way, for a disk that
//! fails under a map ends the process, and only rectangles gain what that risk is worth.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, Mmap};
use rustix::fs::{FileType, Stat};

use super::index::inode;
use super::line::Line;
use crate::backends::folder::Folder;
use crate::descriptor::{Encoding, Id};
use crate::error::Result;

/// Payloads of so many bytes and more are mapped.
const LARGE: u64 = 1 << 20;

/// Maps that stay.
const MOST: usize = 16;

/// The maps that are there, the one that was used last at the end.
#[derive(Default)]
pub(super) struct Maps(Mutex<Vec<Arc<Mapped>>>);

/// A file of an image, mapped.
pub(super) struct Mapped {
    id: Id,
    inode: (u64, u64),
    map: Mmap,
}

impl Mapped {
    /// All bytes of the payload.
    pub(super) fn payload(&self) -> &[u8] {
        &self.map
    }
}

impl Maps {
    /// The map of the file of the image with this line; `None` where it is to be read in another way, or is not as its
    /// line says.
    ///
    /// # Errors
    /// `Corrupt` where the line is damaged.
    pub(super) fn get(&self, folder: &Folder, line: &Line<'_>) -> Result<Option<Arc<Mapped>>> {
        if line.payload_length < LARGE || !matches!(line.encoding()?, Encoding::Raw(_)) {
            return Ok(None);
        }
        // Somebody may have put another file there or cut it off since it was mapped.
        let stat = folder.stat(&line.file_name);
        let stat = stat.ok().filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let Some(stat) = stat.filter(|stat| u64::try_from(stat.st_size) == Ok(line.payload_length)) else {
            self.forget(&[line.id]);
            return Ok(None);
        };
        let mut maps = self.lock();
        if let Some(place) = maps.iter().position(|mapped| mapped.id == line.id) {
            let mapped = maps.remove(place);
            if mapped.inode == inode(&stat) {
                maps.push(Arc::clone(&mapped));
                return Ok(Some(mapped));
            }
        }
        let Some(mapped) = folder.open_file(&line.file_name).ok().and_then(|file| map(line, &stat, &file)) else {
            return Ok(None);
        };
        let mapped = Arc::new(mapped);
        if maps.len() == MOST {
            maps.remove(0);
        }
        maps.push(Arc::clone(&mapped));
        Ok(Some(mapped))
    }

    /// Unmaps images that are not there any more: until then the disk keeps their bytes.
    pub(super) fn forget(&self, ids: &[Id]) {
        self.lock().retain(|mapped| !ids.contains(&mapped.id));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Mapped>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Maps the file that `stat` was said of.
fn map(line: &Line<'_>, stat: &Stat, file: &File) -> Option<Mapped> {
    let found = rustix::fs::fstat(file).ok()?;
    if inode(&found) != inode(stat) || found.st_size != stat.st_size {
        return None;
    }
    // SAFETY: image files never change once their line is there, and are unlinked, not cut, which leaves maps whole. That
    // somebody else cuts one while it is read cannot be ruled out on any system; its length was checked just now, as it is
    // whenever the map is used again.
    let map = unsafe { Mmap::map(file) }.ok()?;
    // Otherwise each cold page drags in its surroundings. It is advice: without it all is right, too.
    let _ = map.advise(Advice::Random);
    Some(Mapped { id: line.id, inode: inode(stat), map })
}
