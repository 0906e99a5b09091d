//! `pinako.json`: what the store says of itself, [sealed]. That it is there makes a folder a store.

use std::io::{ErrorKind as Io, Read};

use serde::{Deserialize, Serialize};

use crate::backends::boot;
use crate::backends::folder::Folder;
use crate::backends::sealed::{self, Header};
use crate::descriptor::Id;
use crate::error::{Error, Result};

/// The file's name.
pub(super) const PINAKO_JSON: &str = "pinako.json";

/// Which backend's file it is.
const KIND: &str = "files";

/// Most bytes of the file: room for millions of label names.
const MAX_LENGTH: u64 = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PinakoJson {
    #[serde(flatten)]
    header: Header,
    pub(super) label_names: Vec<String>,
    /// The next id is this or larger: it is more than every id that was given before the last removal.
    pub(super) next_id: Id,
    /// Set durably before the first append that is not synced, and taken back after a sync of everything.
    pub(super) unsynced: Option<Unsynced>,
}

/// Which appends a crash of the machine may have damaged.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unsynced {
    /// Where the first of them begins in `metadata.jsonl`, in bytes.
    pub(super) from: u64,
    /// The run of the machine they belong to, as the kernel names it: while it lasts nothing is lost.
    boot: String,
}

impl Unsynced {
    pub(super) fn new(from: u64) -> Unsynced {
        Unsynced { from, boot: boot::id().to_owned() }
    }

    /// Whether the machine went down since.
    pub(super) fn is_in_doubt(&self) -> bool {
        !boot::still_runs(&self.boot)
    }
}

impl PinakoJson {
    /// That of a new store.
    pub(super) fn new() -> PinakoJson {
        PinakoJson { header: Header::new(KIND), label_names: Vec::new(), next_id: 0, unsynced: None }
    }

    pub(super) fn format_version(&self) -> u32 {
        self.header.format_version
    }

    pub(super) fn read(folder: &Folder) -> Result<PinakoJson> {
        let path = folder.path_of(PINAKO_JSON);
        let mut text = Vec::new();
        let read = folder.open_file(PINAKO_JSON).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut text));
        match read {
            Ok(_) if text.len() as u64 <= MAX_LENGTH => {}
            Ok(_) => return Err(Error::corrupt(format!("{} has more than {MAX_LENGTH} bytes", path.display()))),
            Err(error) if error.kind() == Io::NotFound => {
                return Err(Error::invalid(format!(
                    "{} is no store of image files: it has no {PINAKO_JSON}",
                    folder.path().display()
                ))
                .with_hint("to put the images of a folder into a store: pinako import FOLDER STORE"));
            }
            Err(error) => return Err(folder.cannot("read", PINAKO_JSON, error)),
        }
        let damaged = |error: serde_json::Error| {
            Error::corrupt(format!("{} is damaged", path.display()))
                .with_source(error)
                .with_hint("FORMAT.md says what it must hold; the images and their metadata are not affected")
        };
        sealed::check(&text).map_err(|error| error.context(path.display()))?;
        let header: Header = serde_json::from_slice(&text).map_err(damaged)?;
        header.check(KIND).map_err(|error| error.context(path.display()))?;
        serde_json::from_slice(&text).map_err(damaged)
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        let mut text = Vec::new();
        sealed::write(self, &mut text)?;
        folder.replace_with(PINAKO_JSON, &text)
    }
}
