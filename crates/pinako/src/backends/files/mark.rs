//! `metadata.end`: how far `metadata.jsonl` reaches at least, as one more than the id of its last image.
//!
//! A `metadata.jsonl` that was cut at the end of a line looks just like one that never was longer. The mark tells them
//! apart. It is overwritten in place after each commit, when all that it speaks of is on the disk, and is not synced
//! itself: after a crash of the machine it may be behind, which is harmless, but never ahead. Before a removal takes
//! away the last line it is lowered, and that is synced. Where there is none, nothing is known.

use std::io::{ErrorKind as Io, Read};
use std::os::unix::fs::FileExt;

use crate::backends::folder::Folder;
use crate::descriptor::Id;
use crate::error::{Error, Result};

/// The file's name.
pub(super) const MARK: &str = "metadata.end";

/// Digits of the number: always the same, so that to overwrite it leaves nothing of the old one.
const DIGITS: usize = 20;

/// What it says, if it is there.
pub(super) fn read(folder: &Folder) -> Result<Option<Id>> {
    let mut text = String::new();
    let read = folder.open_file(MARK).and_then(|file| file.take(DIGITS as u64 + 2).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == Io::NotFound => return Ok(None),
        Err(error) if error.kind() != Io::InvalidData => return Err(folder.cannot("read", MARK, error)),
        _ => {}
    }
    let number = text.strip_suffix('\n').filter(|digits| digits.len() == DIGITS).map(str::parse);
    let Some(Ok(end)) = number else {
        let path = folder.path_of(MARK);
        return Err(Error::corrupt(format!("{} is damaged: it is no number of {DIGITS} digits", path.display()))
            .with_hint("if metadata.jsonl is whole, remove the damaged file: the next writer makes it anew"));
    };
    Ok(Some(end))
}

/// Makes it, durably.
pub(super) fn create(folder: &Folder, end: Id) -> Result<()> {
    folder.replace_with(MARK, text(end).as_bytes())
}

/// Overwrites it.
pub(super) fn set(folder: &Folder, end: Id) -> Result<()> {
    let file = folder.open_to_change(MARK)?;
    file.write_all_at(text(end).as_bytes(), 0).map_err(|error| folder.cannot("write to", MARK, error))
}

/// Overwrites it, durably.
pub(super) fn set_durably(folder: &Folder, end: Id) -> Result<()> {
    let file = folder.open_to_change(MARK)?;
    let written = file.write_all_at(text(end).as_bytes(), 0).and_then(|()| file.sync_data());
    written.map_err(|error| folder.cannot("write to", MARK, error))
}

fn text(end: Id) -> String {
    format!("{end:0DIGITS$}\n")
}
