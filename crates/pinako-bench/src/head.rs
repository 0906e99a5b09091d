//! What every report begins with: a figure says little without its machine, its command and its day.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use pinako::backends;
use serde::Serialize;

use crate::figures;
use crate::html;
use crate::machine::Machine;

/// By what, when and where something was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Head {
    /// Version of Pinako that was measured.
    pub pinako_version: String,
    /// The command line of the process.
    pub command: String,
    /// When it began: RFC 3339, UTC.
    pub date: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether Pinako was compiled without optimisation: its own times say nothing then.
    pub debug_build: bool,
    /// Where it was measured.
    pub machine: Machine,
    /// The folder that was read from and written to.
    pub folder: PathBuf,
}

/// The command as it was given, without passwords: reports are shown to others.
fn command() -> String {
    let shown = |part: OsString| backends::without_password(&part.to_string_lossy());
    std::env::args_os().map(shown).collect::<Vec<_>>().join(" ")
}

impl Head {
    /// That of a measurement that began at these moments, which are one, and ends now.
    pub fn new(began: Instant, date: DateTime<Utc>, folder: &Path) -> Self {
        Head {
            pinako_version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command(),
            date: date.to_rfc3339_opts(SecondsFormat::Secs, true),
            seconds: began.elapsed().as_secs_f64(),
            debug_build: cfg!(debug_assertions),
            machine: Machine::here(folder),
            folder: folder.to_owned(),
        }
    }

    /// The day it began.
    pub(crate) fn day(&self) -> &str {
        self.date.split('T').next().unwrap_or_default()
    }

    /// The section of a page that says all this, with more that is to be told.
    pub(crate) fn section(&self, others: &[(&str, String)]) -> String {
        let mut facts = vec![
            ("Folder", self.folder.display().to_string()),
            ("Date", self.date.clone()),
            ("Took", figures::seconds(self.seconds)),
        ];
        facts.extend_from_slice(others);
        facts.extend([("Pinako", self.pinako_version.clone()), ("Command", self.command.clone())]);
        html::machine(&self.machine, &facts)
    }
}
