//! What was found, as data: for programs as JSON, for spreadsheets as CSV.

use std::path::Path;

use pinako::Result;
use serde::Serialize;

use super::played::Playing;
use super::times::{Measuring, PaperDisk, TimeTable};
use super::{Conclusion, RunTable, page, plots};
use crate::head::Head;
use crate::output::Files;

/// Everything that a run found out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// By what, when and where it was measured.
    #[serde(flatten)]
    pub head: Head,
    /// What chose the places.
    pub seed: u64,
    /// What follows from the figures, in a sentence or two; none where too little was measured.
    pub headline: Option<String>,
    /// What follows from the figures, one question after the other.
    pub conclusions: Vec<Conclusion>,
    /// Table 1, where it was asked for.
    pub runs: Option<RunTable>,
    /// Where tables 2 to 4 come from, where they were asked for.
    pub source: Option<Source>,
    /// What explains the paper's tables 2 to 4, where they were asked for.
    pub paper_disk: Option<PaperDisk>,
    /// Tables 2 to 4, for each number of reads in flight.
    pub times: Vec<TimeTable>,
}

/// Where times come from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From real reads.
    Measured(Measuring),
    /// From the cost model, for a device given by its costs; and from playing it, where it was.
    Device(Option<Playing>),
    /// The same for the costs that explain the paper's own times best.
    PapersDevice(Option<Playing>),
    /// From reads of a store.
    Store(Box<StoreRead>),
}

/// How a store was read.
#[derive(Debug, Clone, Serialize)]
pub struct StoreRead {
    /// Its kind.
    pub store: String,
    /// What reads of it were found to cost first.
    pub calibrated: crate::calibrate::Report,
    /// How it was read.
    pub playing: Playing,
}

impl Report {
    /// How the device was played, where it was.
    pub fn playing(&self) -> Option<&Playing> {
        match &self.source {
            Some(Source::Device(playing) | Source::PapersDevice(playing)) => playing.as_ref(),
            Some(Source::Store(read)) => Some(&read.playing),
            _ => None,
        }
    }

    /// Whether tables 2 to 4 come from real reads of a file.
    pub fn is_measured(&self) -> bool {
        matches!(self.source, Some(Source::Measured(_)))
    }

    /// Tables 2 to 4 with the fewest reads in flight.
    pub fn first_times(&self) -> impl Iterator<Item = &TimeTable> {
        let fewest = self.fewest_in_flight();
        self.times.iter().filter(move |table| Some(table.in_flight) == fewest)
    }

    /// Tables 2 to 4 with more reads in flight.
    pub fn more_times(&self) -> impl Iterator<Item = &TimeTable> {
        let fewest = self.fewest_in_flight();
        self.times.iter().filter(move |table| Some(table.in_flight) != fewest)
    }

    fn fewest_in_flight(&self) -> Option<u32> {
        self.times.iter().map(|table| table.in_flight).min()
    }

    /// Writes all the files of the report into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let charts = plots::charts(self);
        let page = page::page(self, &charts);
        let (experiment, csv, names) = (super::NAME, self.csv(), &plots::NAMES);
        Files { experiment, report: self, csv, charts: &charts, names, page }.write(folder)
    }

    fn csv(&self) -> Vec<Vec<String>> {
        let head = "table,pixel_size,in_flight,query,method,unit,value,predicted,reads,bytes,samples,timed,special,paper,requests";
        let mut records: Vec<Vec<String>> = vec![head.split(',').map(str::to_owned).collect()];
        for row in self.runs.iter().flat_map(|table| &table.rows) {
            let counts = std::iter::once(row.row).chain(row.grown);
            for (place, (count, paper)) in counts.zip(row.paper).enumerate() {
                let method = if place == 0 { "row".to_owned() } else { format!("n = {}", place - 1) };
                let (query, positions) = (row.query.to_string(), row.positions.to_string());
                let mut record: Vec<String> = ["1", "", "", &query, &method, "runs"].map(str::to_owned).to_vec();
                record.extend([count.to_string(), String::new(), String::new(), String::new(), positions]);
                record.extend([String::new(), String::new(), paper.to_string(), String::new()]);
                records.push(record);
            }
        }
        for table in &self.times {
            for row in &table.rows {
                for cell in &row.cells {
                    let of_paper = || row.paper.get(super::Method::ALL.iter().position(|way| *way == cell.method)?);
                    let paper = if table.in_flight == 1 { of_paper() } else { None };
                    let (seconds, timed) = match cell.played {
                        Some(played) => (Some(played.seconds), played.queries),
                        None => (cell.measured, cell.measured.map_or(0, |_| cell.queries)),
                    };
                    records.push(vec![
                        table.number.to_string(),
                        table.pixel_size.to_string(),
                        table.in_flight.to_string(),
                        row.query.to_string(),
                        cell.method.title(),
                        "seconds".to_owned(),
                        seconds.map_or(String::new(), |seconds| seconds.to_string()),
                        cell.predicted.to_string(),
                        cell.reads.to_string(),
                        cell.bytes.to_string(),
                        cell.queries.to_string(),
                        timed.to_string(),
                        cell.special.to_string(),
                        paper.map_or(String::new(), f64::to_string),
                        cell.played.map_or(String::new(), |played| played.requests.to_string()),
                    ]);
                }
            }
        }
        records
    }
}
