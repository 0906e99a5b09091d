//! A mark: a file of one number, which says how far another file, that only ever grows, reaches at least.
//!
//! A file that was cut at the end of a line looks just like one that never was longer. The mark tells them apart. It is
//! overwritten in place after each commit and not synced itself: after a crash of the machine it may be behind, which
//! is harmless. Ahead it may only be where commits are not synced, and who reads it knows where those begin. Before the
//! other file is replaced by a shorter one it is lowered, and that is synced. Where there is none, nothing is known.

use std::fs::File;
use std::io::{ErrorKind as Io, Read};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::sealed;
use crate::error::{Error, Result};

/// Most bytes that it may have.
const MAX_LENGTH: u64 = 100;

/// What it holds.
#[derive(Serialize, Deserialize)]
struct Text {
    /// The number with 20 digits: always as many, so that to overwrite it leaves nothing of the old one.
    end: String,
}

/// The mark of a file.
#[derive(Debug)]
pub(super) struct Mark {
    /// The mark's own name.
    pub(super) name: &'static str,
    /// The name of the file that it speaks of.
    pub(super) of: &'static str,
}

impl Mark {
    /// What it says, if it is there.
    pub(super) fn read(&self, folder: &Folder) -> Result<Option<u64>> {
        let Some(mut bytes) = self.bytes(folder)? else { return Ok(None) };
        loop {
            let error = match end(&bytes) {
                Ok(end) => return Ok(Some(end)),
                Err(error) => error,
            };
            // It may just be overwritten. What stays as it is was damaged.
            thread::sleep(Duration::from_millis(1));
            let before = bytes;
            bytes = match self.bytes(folder)? {
                None => return Ok(None),
                Some(bytes) if bytes != before => bytes,
                Some(_) => return Err(self.damaged(folder, error)),
            };
        }
    }

    fn bytes(&self, folder: &Folder) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match folder.open_file(self.name).and_then(|file| file.take(MAX_LENGTH).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(folder.cannot("read", self.name, error)),
        }
    }

    fn damaged(&self, folder: &Folder, error: Error) -> Error {
        Error::corrupt(format!("{} is damaged", folder.path_of(self.name).display()))
            .with_source(error)
            .with_hint(format!("if {} is whole, remove the damaged file: the next writer makes it anew", self.of))
    }

    /// Makes it, durably.
    pub(super) fn create(&self, folder: &Folder, end: u64) -> Result<()> {
        folder.replace_with(self.name, &text(end)?)
    }

    /// Overwrites it.
    pub(super) fn set(&self, folder: &Folder, end: u64) -> Result<()> {
        self.overwrite(folder, end).map(drop)
    }

    /// Overwrites it, durably.
    pub(super) fn set_durably(&self, folder: &Folder, end: u64) -> Result<()> {
        let file = self.overwrite(folder, end)?;
        file.sync_data().map_err(|error| folder.cannot("write to", self.name, error))
    }

    fn overwrite(&self, folder: &Folder, end: u64) -> Result<File> {
        let file = folder.open_to_change(self.name)?;
        let written = file.write_all_at(&text(end)?, 0);
        written.map_err(|error| folder.cannot("write to", self.name, error)).map(|()| file)
    }
}

fn text(end: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    sealed::write(&Text { end: format!("{end:020}") }, &mut text)?;
    Ok(text)
}

fn end(bytes: &[u8]) -> Result<u64> {
    let Text { end } = sealed::read(bytes)?;
    end.parse().map_err(|error| Error::corrupt(format!("{end:?} is no number")).with_source(error))
}
