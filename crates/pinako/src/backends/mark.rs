//! A mark: a file of one number, which says how far another file, that only ever grows, reaches at least.
//!
//! A file that was cut at the end of a line looks just like one that never was longer. The mark tells them apart. It is
//! overwritten in place after each commit and not synced itself: after a crash of the machine it may be behind, which is
//! harmless. Ahead it may only be where commits are not synced, and who reads it knows where those begin. Before the other file is replaced by a
//! shorter one it is lowered, and that is synced. Where there is none, nothing is known.

use std::fs::File;
use std::io::{ErrorKind as Io, Read};
use std::os::unix::fs::FileExt;

use super::folder::Folder;
use crate::error::{Error, Result};

/// Digits of the number: always the same, so that to overwrite it leaves nothing of the old one.
const DIGITS: usize = 20;

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
        let mut text = String::new();
        let read = folder.open_file(self.name).and_then(|file| file.take(DIGITS as u64 + 2).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == Io::NotFound => return Ok(None),
            Err(error) if error.kind() != Io::InvalidData => return Err(folder.cannot("read", self.name, error)),
            _ => {}
        }
        let number = text.strip_suffix('\n').filter(|digits| digits.len() == DIGITS).map(str::parse);
        let Some(Ok(end)) = number else {
            let path = folder.path_of(self.name);
            return Err(Error::corrupt(format!("{} is damaged: it is no number of {DIGITS} digits", path.display()))
                .with_hint(format!(
                    "if {} is whole, remove the damaged file: the next writer makes it anew",
                    self.of
                )));
        };
        Ok(Some(end))
    }

    /// Makes it, durably.
    pub(super) fn create(&self, folder: &Folder, end: u64) -> Result<()> {
        folder.replace_with(self.name, text(end).as_bytes())
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
        let written = file.write_all_at(text(end).as_bytes(), 0);
        written.map_err(|error| folder.cannot("write to", self.name, error)).map(|()| file)
    }
}

fn text(end: u64) -> String {
    format!("{end:0DIGITS$}\n")
}
