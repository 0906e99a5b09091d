//! How many runs has a rectangle of an image, and how long does it take to read one?
//!
//! The experiments of "A New Method to Store and Retrieve Images" (CS-TR-3991, University of Maryland, 1999): pixels
//! along the Hilbert curve against row-major ones, queries grown to multiples of 2^n. Table 1 counts runs, at all
//! positions instead of a sample; tables 2 to 4 time queries of an image with pixels of 12, 8 and 4 bytes by real
//! reads, or predict them for another device and play that. Beside the paper's ways stand the optimal plans of
//! [`pinako::plan`], and beside its one read at a time the several in flight that it leaves to future work.

mod conclusions;
mod disk;
mod page;
pub mod paper;
mod played;
mod plots;
mod report;
mod runs;
mod tables;
#[cfg(test)]
mod tests;
mod times;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinako::backends::{self, Mode};
use pinako::plan::Cost;
use pinako::{Durability, Result};

use self::disk::Disk;
use crate::head::Head;
use crate::output::{make_folder, report_folder};
use crate::{calibrate, invalid, scratch, stores};

pub use self::conclusions::Conclusion;
pub use self::disk::{BLOCK, Unbuffered};
pub use self::played::{Played, Playing};
pub use self::report::{Report, Source, StoreRead};
pub use self::runs::{Borders, RunRow, RunTable};
pub use self::tables::{Row, Table};
pub use self::times::{Cell, Measuring, Method, PaperDisk, TimeRow, TimeTable};

/// What its reports are known again by.
const NAME: &str = "regions";

/// What to count and measure, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which of the paper's tables: 1 to 4.
    pub tables: Vec<u32>,
    /// For table 1: how many positions of each query are counted, at random; `None` counts all.
    pub positions: Option<u64>,
    /// For tables 2 to 4: predict them for this device, and play it, instead of measuring the disk that is here.
    pub device: Option<Device>,
    /// For tables 2 to 4: measure reads of a store of this kind, or on the server of this URL, as a backend makes them.
    pub store: Option<String>,
    /// How long tables 2 to 4 are measured, all together; 0 is for devices only, which are then predicted and not
    /// played.
    pub seconds: f64,
    /// Bytes of the file that is read from; at least [`Options::LEAST_FILE`].
    pub file_bytes: u64,
    /// The folder that gets the report: made where there is none, else empty or with an older report.
    pub out: PathBuf,
    /// The folder on the disk to be measured, where the file is made and removed again; `None` is `out`.
    pub folder: Option<PathBuf>,
    /// Chooses the places.
    pub seed: u64,
}

/// A device by its costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Device {
    /// The paper's, as its own tables have it: one read at a time.
    Paper,
    /// Any other, with 1, 2, 4 and 8 reads in flight as far as it takes so many, and as many as it takes.
    Costs(Cost),
}

impl Device {
    /// Its costs, for each number of reads in flight; `paper` is what was found for the paper's.
    fn costs(self, paper: &PaperDisk) -> Result<Vec<Cost>> {
        let most = match self {
            Device::Paper => paper.cost,
            Device::Costs(cost) => cost,
        };
        let fewer = Disk::IN_FLIGHT.into_iter().filter(|&reads| reads < most.parallel_reads());
        let in_flight = fewer.chain([most.parallel_reads()]);
        in_flight.map(|reads| Cost::new(most.read_seconds(), most.byte_seconds(), reads, 1)).collect()
    }
}

impl Options {
    /// The tables there are.
    pub const TABLES: [u32; 4] = [1, 2, 3, 4];

    /// The smallest file that has room for some places of the largest image, in bytes.
    pub const LEAST_FILE: u64 = 16 << 20;

    /// All tables, measured for a minute as the paper did, with a report in the folder `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Options {
            tables: Self::TABLES.to_vec(),
            positions: None,
            device: None,
            store: None,
            seconds: 60.0,
            file_bytes: paper::FILE_BYTES,
            out: out.into(),
            folder: None,
            seed: 0,
        }
    }

    /// The same with tables ascending and nothing twice.
    fn checked(&self) -> Result<Self> {
        let mut options = self.clone();
        options.tables.sort_unstable();
        options.tables.dedup();
        if options.tables == [1] && (options.device.is_some() || options.store.is_some() || options.folder.is_some()) {
            return Err(invalid("a device, store or folder to measure is for tables 2 to 4: table 1 is counted")
                .with_hint("give one of these tables, too, or leave it out"));
        }
        if options.tables.is_empty() {
            return Err(invalid("no tables are given").with_hint("give some of 1,2,3,4"));
        }
        if let Some(table) = options.tables.iter().find(|table| !Self::TABLES.contains(table)) {
            return Err(invalid(format!("{table} is no table of the paper: 1 to 4 are")));
        }
        if options.store.is_some() && options.device.is_some() {
            return Err(invalid("a store is measured, a device is predicted: not both at once"));
        }
        options.store.as_deref().map_or(Ok(()), stores::Options::check_backend)?;
        if options.positions == Some(0) {
            return Err(invalid("no positions are to be counted").with_hint("give at least 1, or leave it out"));
        }
        let may_be_none = options.device.is_some();
        if Duration::try_from_secs_f64(options.seconds).is_err() || options.seconds == 0.0 && !may_be_none {
            let seconds = options.seconds;
            return Err(invalid(format!("{seconds} seconds are no time to measure: more than 0 are")));
        }
        if options.file_bytes < Self::LEAST_FILE {
            let (given, least) = (options.file_bytes, Self::LEAST_FILE);
            return Err(invalid(format!("a file of {given} bytes is too small: it takes {least} or more"))
                .with_hint("it should be larger than any cache it could be answered from"));
        }
        Ok(options)
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done now, for people.
    pub step: &'a str,
    /// Queries counted, read or predicted so far. How many there will be is not known: a time is given.
    pub queries: u64,
}

/// Told before each step how far the run has come; breaks it off by saying so.
pub type Watch<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Counts and measures, and leaves in [`Options::out`] `report.json` (all figures), `report.csv` (the tables' cells),
/// `index.html` (for people) and the plots as SVG and PNG files. An older report that is there is replaced, at the end,
/// and those of its plots that this one has not are removed.
///
/// # Errors
/// `InvalidInput` where the options make no sense, `Conflict` where [`Options::out`] has files that are no report of
/// this experiment, `Interrupted` where the watch breaks off; else what the file system
/// says. Nothing is reported then, and the file that was read from is gone.
pub fn run(options: &Options, watch: &mut Watch<'_>) -> Result<Report> {
    let options = options.checked()?;
    let began = Instant::now();
    let date = chrono::Utc::now();
    let _out = report_folder(&options.out, NAME)?;
    let folder = options.folder.as_ref().unwrap_or(&options.out);
    let _folder = make_folder(folder)?;

    let mut runs = None;
    if options.tables.contains(&1) {
        runs = Some(runs::count(options.positions, options.seed, watch)?);
    }
    let places: Vec<usize> = options.tables.iter().filter_map(|&table| (table as usize).checked_sub(2)).collect();
    let (mut times, mut source, mut paper_disk) = (Vec::new(), None, None);
    if !places.is_empty() {
        let disk = times::paper_disk(options.seed)?;
        paper_disk = Some(disk);
        let found = match (options.device, &options.store) {
            (Some(device), _) => played(&options, &device.costs(&disk)?, &places, watch)?,
            (None, Some(store)) => of_store(&options, store, folder, &places, watch)?,
            (None, None) => measured(&options, folder, &places, watch)?,
        };
        times = found.0;
        source = Some(found.1);
    }
    let mut report = Report {
        head: Head::new(began, date, folder),
        seed: options.seed,
        headline: None,
        conclusions: Vec::new(),
        runs,
        source,
        paper_disk,
        times,
    };
    report.headline = conclusions::headline(&report);
    report.conclusions = conclusions::conclude(&report);
    report.write(&options.out)?;
    Ok(report)
}

/// The tables as a device is predicted to have them, and as it has them where it is played.
fn played(
    options: &Options,
    costs: &[Cost],
    places: &[usize],
    watch: &mut Watch<'_>,
) -> Result<(Vec<TimeTable>, Source)> {
    let regions = times::regions(options.seed)?;
    let mut tables = times::predict(places, costs, &regions, watch)?;
    let budget = Duration::from_secs_f64(options.seconds);
    let playing = match budget.is_zero() {
        true => None,
        false => {
            let devices: Vec<_> = costs.iter().map(|&cost| played::Device::played(cost)).collect::<Result<_>>()?;
            Some(played::play(&mut tables, &devices, &regions, budget, watch)?)
        }
    };
    let is_papers = options.device == Some(Device::Paper);
    Ok((tables, if is_papers { Source::PapersDevice(playing) } else { Source::Device(playing) }))
}

/// The tables as reads of a store take, of which it is found first what they cost.
fn of_store(
    options: &Options,
    backend: &str,
    folder: &Path,
    places: &[usize],
    watch: &mut Watch<'_>,
) -> Result<(Vec<TimeTable>, Source)> {
    let scratch = scratch::folder_in(folder)?;
    let url = scratch::url(backend, scratch.path())?;
    let found = of_store_at(options, &url, places, watch);
    // It is told before what came after it.
    let deleted = scratch::delete(backend, scratch.path());
    let (tables, playing, calibrated) = found?;
    deleted?;
    let store = stores::name_of(backend).to_owned();
    Ok((tables, Source::Store(Box::new(StoreRead { store, calibrated, playing }))))
}

fn of_store_at(
    options: &Options,
    url: &str,
    places: &[usize],
    watch: &mut Watch<'_>,
) -> Result<(Vec<TimeTable>, Playing, calibrate::Report)> {
    {
        let store = backends::open(url, Mode::Create, Durability::Full)?;
        played::Device::put_image(&*store)?;
    }
    let step = "finding what reads cost";
    let found =
        calibrate::calibrate(url, &calibrate::Options { seed: options.seed, ..Default::default() }, &mut |reads| {
            watch(Progress { step, queries: reads })
        })?;
    let cost = Cost::new(found.read_seconds, found.byte_seconds, found.parallel_reads, 1)?;
    let regions = times::regions(options.seed)?;
    let mut tables = times::predict(places, &[cost], &regions, watch)?;
    let store = backends::open(url, Mode::Read, Durability::Full)?;
    let budget = Duration::from_secs_f64(options.seconds);
    let playing = played::play(&mut tables, &[played::Device::of_store(store, cost)], &regions, budget, watch)?;
    Ok((tables, playing, found))
}

fn measured(
    options: &Options,
    folder: &Path,
    places: &[usize],
    watch: &mut Watch<'_>,
) -> Result<(Vec<TimeTable>, Source)> {
    let disk = Disk::make(folder, options.file_bytes, options.seed, watch)?;
    let budget = Duration::from_secs_f64(options.seconds);
    let (tables, seconds) = times::measure(places, &disk, budget, options.seed, watch)?;
    let cells = || tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.cells);
    let of_all = tables.iter().map(|table| paper::TIME_QUERIES.len() * table.methods().len()).sum();
    let fewest = if cells().count() < of_all { 0 } else { cells().map(|cell| cell.queries).min().unwrap_or(0) };
    let source = Source::Measured(Measuring {
        file_bytes: options.file_bytes,
        unbuffered: disk.unbuffered,
        budget_seconds: options.seconds,
        seconds,
        queries: cells().map(|cell| cell.queries).sum(),
        special: cells().map(|cell| cell.special).sum(),
        readings: cells().map(|cell| (cell.reads * cell.queries as f64).round() as u64).sum(),
        queries_per_cell: [fewest, cells().map(|cell| cell.queries).max().unwrap_or(0)],
    });
    Ok((tables, source))
}
