//! Which backend stores and reads many small images best?
//!
//! The experiment of "Three ways of storing and accessing lots of images in Python" (PNG files, LMDB and HDF5 on
//! CIFAR-10, at 1 to 100,000 images), with what it left open: every repetition goes through all backends in turn, so
//! that a disturbance hits all of them; medians come with their spread; storing is measured with and without syncing
//! to the disk, reading with a warm and a cold cache; single images are read at random places of the largest store;
//! disk and memory are measured, not estimated. Every image that is read is compared with the one that was stored,
//! outside the time that is measured; a difference ends the run.

mod contender;
mod data;
mod measure;
mod page;
mod plots;
mod recommendation;
mod report;
mod requests;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pinako::{Error, Result, backends};

use self::contender::Contender;
use self::data::SourceImages;
use crate::head::Head;
use crate::output::{make_folder, report_folder};
use crate::{cold, invalid, scratch};

pub(crate) use self::contender::name_of;
pub use self::data::Data;
pub use self::recommendation::{Advice, Recommendation};
pub use self::report::{Measurement, Operation, Report, Unit};
pub use self::requests::{Asked, Requests};

/// What its reports are known again by.
const NAME: &str = "stores";

/// What to compare, on what, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Images to store: what [`pinako::source::open`] opens, taken again and again where they are fewer than the
    /// counts. `None` makes pictures up that are like photographs.
    pub data: Option<PathBuf>,
    /// How many images to store and read; 1 is the single image.
    pub counts: Vec<u64>,
    /// The backends' names, out of [`Options::BACKENDS`], `object`, or URLs of servers, under which places are made for the
    /// stores and deleted again.
    pub backends: Vec<String>,
    /// The folder that gets the report: made where there is none, else empty or with an older report.
    pub out: PathBuf,
    /// The folder on the disk to be measured, where the stores are made and removed again; `None` is `out`.
    pub folder: Option<PathBuf>,
    /// How often each thing is measured at the largest counts; small ones are measured more often, see
    /// [`repetitions_at`](Self::repetitions_at).
    pub repetitions: u32,
    /// Chooses the pictures that are made up and the images that are read at random.
    pub seed: u64,
}

impl Options {
    /// The backends that are compared where nobody says which: all that keep stores in their ecosystem's own form on the
    /// disk.
    pub const BACKENDS: [&str; 4] = ["files", "lmdb", "hdf5", "sqlite"];

    /// The counts of the experiment that this one follows.
    pub const COUNTS: [u64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

    /// The largest count that is taken: a slip of the keyboard ends before anything is made.
    pub const LARGEST_COUNT: u64 = 1_000_000_000;

    /// Checks that `name` is that of a backend that can be measured, or the URL of a server that may have such.
    ///
    /// # Errors
    /// `InvalidInput` where it is not.
    pub fn check_backend(name: &str) -> Result<()> {
        if Self::BACKENDS.contains(&name) || name == "object" || backends::is_on_server(name) {
            return Ok(());
        }
        let message = format!("{:?} is no kind of store that can be measured", backends::without_password(name));
        let hint = format!("choose from {}, object, or give the URL of a server", Self::BACKENDS.join(", "));
        Err(invalid(message).with_hint(hint))
    }

    /// All backends at all of its counts, with a report in the folder `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Options {
            data: None,
            counts: Self::COUNTS.to_vec(),
            backends: Self::BACKENDS.map(str::to_owned).to_vec(),
            out: out.into(),
            folder: None,
            repetitions: 3,
            seed: 0,
        }
    }

    /// Repetitions with `count` images: short work is disturbed more easily, and cheap to repeat.
    pub fn repetitions_at(&self, count: u64) -> u32 {
        let factor = match count {
            0..=100 => 3,
            101..=1_000 => 2,
            _ => 1,
        };
        self.repetitions.max(1).saturating_mul(factor)
    }

    /// The same with counts ascending and nothing twice.
    fn checked(&self) -> Result<Self> {
        let mut options = self.clone();
        options.counts.sort_unstable();
        options.counts.dedup();
        if options.counts.is_empty() {
            return Err(invalid("no counts of images are given").with_hint("give some, such as 1,10,100"));
        }
        if let Some(count) = options.counts.iter().find(|count| !(1..=Self::LARGEST_COUNT).contains(*count)) {
            return Err(invalid(format!("{count} is no count of images: 1 to {} are", Self::LARGEST_COUNT)));
        }
        let mut seen = Vec::new();
        for name in &self.backends {
            Self::check_backend(name)?;
            if !seen.contains(name) {
                if let Some(other) = seen.iter().find(|other| name_of(other) == name_of(name)) {
                    let [one, other] = [name, other].map(|url| backends::without_password(url));
                    return Err(invalid(format!("{other} and {one} would have the same name in the report")));
                }
                seen.push(name.clone());
            }
        }
        if seen.is_empty() {
            return Err(
                invalid("no backends are given").with_hint(format!("choose from {}", Self::BACKENDS.join(", ")))
            );
        }
        options.backends = seen;
        Ok(options)
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done now, for people.
    pub step: &'a str,
    /// Images stored or read so far, in all repetitions together.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// Told before each step how far the run has come; breaks it off by saying so.
pub type Watch<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Measures, and leaves in [`Options::out`] `report.json` (every sample), `report.csv` (their summaries), `index.html`
/// (for people) and the plots as SVG and PNG files. An older report that is there is replaced, at the end, and those of
/// its plots that this one has not are removed.
///
/// At most 512 MiB of source images are kept in memory, and as much of images that were read.
///
/// # Errors
/// `InvalidInput` where the options make no sense, `Conflict` where [`Options::out`] has files that are no report of
/// this experiment, `Corrupt` where an image that was read is not the one that was
/// stored, `Interrupted` where the watch breaks off; else what a backend, the source or the file system says. Nothing
/// is reported then, and no store is left behind.
pub fn run(options: &Options, watch: &mut Watch<'_>) -> Result<Report> {
    let options = options.checked()?;
    let contenders: Vec<Contender> = options.backends.iter().map(|name| Contender::of_backend(name)).collect();
    compare(&options, &contenders, watch)
}

/// [`run`], with whatever opens stores.
fn compare(options: &Options, contenders: &[Contender], watch: &mut Watch<'_>) -> Result<Report> {
    let began = Instant::now();
    let date = chrono::Utc::now();
    let largest = options.counts.iter().copied().max().unwrap_or(0);
    let _out = report_folder(&options.out, NAME)?;
    let folder = options.folder.as_ref().unwrap_or(&options.out);
    let _folder = make_folder(folder)?;
    let scratch = scratch::folder_in(folder)?;

    let images = match &options.data {
        Some(path) => SourceImages::read(path, largest, watch)?,
        None => SourceImages::make(options.seed, largest)?,
    };
    check_space(scratch.path(), &images, largest)?;
    let cold_is_cold = cold::can_forget(scratch.path())
        .map_err(|error| Error::io(format!("cannot write to {}", scratch.path().display()), error))?;

    let (measurements, requests) = measure::measure(options, contenders, &images, scratch.path(), watch)?;
    let report = Report {
        head: Head::new(began, date, folder),
        data: images.data,
        cold_is_cold,
        backends: contenders.iter().map(|contender| contender.name.clone()).collect(),
        counts: options.counts.clone(),
        recommendation: recommendation::recommend(&measurements),
        measurements,
        requests,
    };
    report.write(&options.out)?;
    Ok(report)
}

/// Refuses a run that would fill the disk.
fn check_space(folder: &Path, images: &SourceImages, largest: u64) -> Result<()> {
    // One store at a time. None takes more than twice the pixels and a few blocks an image.
    let needed = images.bytes_of(0..largest).saturating_mul(2).saturating_add(largest.saturating_mul(12 << 10));
    scratch::check_space(folder, needed, &format!("a store of {largest} such images"), "smaller counts")
}
