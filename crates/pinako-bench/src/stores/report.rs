//! What was measured, as data: for programs as JSON with every sample, for spreadsheets as CSV with their summaries.

use std::path::Path;

use pinako::Result;
use serde::Serialize;

use super::{Data, Recommendation, Requests, page, plots};
use crate::figures;
use crate::head::Head;
use crate::output::Files;
use crate::summary::{Summary, quantile};

/// Everything that a run found out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// By what, when and where it was measured.
    #[serde(flatten)]
    pub head: Head,
    /// What was stored.
    pub data: Data,
    /// Whether the file system of the stores forgets what it is told to; if not, the figures for a cold cache are for a warm one.
    pub cold_is_cold: bool,
    /// What was compared, in the order given.
    pub backends: Vec<String>,
    /// How many images were stored, ascending.
    pub counts: Vec<u64>,
    /// What follows from it.
    pub recommendation: Recommendation,
    /// The figures.
    pub measurements: Vec<Measurement>,
    /// What was asked of servers, where there were any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Requests>,
}

/// What was measured of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Making the store, storing all images, closing it; all is on the disk.
    StoreSynced,
    /// The same, without waiting for the disk.
    StoreBuffered,
    /// Opening the store and reading all images, with a warm cache.
    ReadWarm,
    /// The same with a cold cache.
    ReadCold,
    /// Opening the store, with a warm cache: a part of [`Operation::ReadWarm`].
    OpenWarm,
    /// Opening the store, with a cold cache: a part of [`Operation::ReadCold`].
    OpenCold,
    /// Reading one image at a random place of the open store, with a warm cache.
    RandomWarm,
    /// The same with a cold cache. In stores of 1,000 images or more only.
    RandomCold,
    /// What the store takes on the disk.
    Disk,
    /// Memory that storing takes at its peak, beyond the source images.
    StoreMemory,
    /// Memory that reading all takes at its peak, beyond the memory that images of one shape are read into.
    ReadMemory,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Operation {
    /// All of them, in the order of reports.
    pub const ALL: [Operation; 11] = [
        Self::StoreSynced,
        Self::StoreBuffered,
        Self::ReadWarm,
        Self::ReadCold,
        Self::OpenWarm,
        Self::OpenCold,
        Self::RandomWarm,
        Self::RandomCold,
        Self::Disk,
        Self::StoreMemory,
        Self::ReadMemory,
    ];

    /// The heading of a table's column.
    pub const fn title(self) -> &'static str {
        match self {
            Self::StoreSynced => "store, synced",
            Self::StoreBuffered => "store, not synced",
            Self::ReadWarm => "read all, warm",
            Self::ReadCold => "read all, cold",
            Self::OpenWarm => "open, warm",
            Self::OpenCold => "open, cold",
            Self::RandomWarm => "one at random, warm",
            Self::RandomCold => "one at random, cold",
            Self::Disk => "disk space",
            Self::StoreMemory => "memory to store",
            Self::ReadMemory => "memory to read",
        }
    }

    /// The name in CSV and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreSynced => "store_synced",
            Self::StoreBuffered => "store_buffered",
            Self::ReadWarm => "read_warm",
            Self::ReadCold => "read_cold",
            Self::OpenWarm => "open_warm",
            Self::OpenCold => "open_cold",
            Self::RandomWarm => "random_warm",
            Self::RandomCold => "random_cold",
            Self::Disk => "disk",
            Self::StoreMemory => "store_memory",
            Self::ReadMemory => "read_memory",
        }
    }

    /// What its figures count.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Disk | Self::StoreMemory | Self::ReadMemory => Unit::Bytes,
            _ => Unit::Seconds,
        }
    }

    /// Whether it handles all images of the store, so that images a second can be told.
    pub const fn handles_all(self) -> bool {
        matches!(self, Self::StoreSynced | Self::StoreBuffered | Self::ReadWarm | Self::ReadCold)
    }
}

impl Unit {
    /// So many, for people.
    pub fn text(self, number: f64) -> String {
        match self {
            Unit::Seconds => figures::seconds(number),
            Unit::Bytes => figures::bytes(number),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
        }
    }
}

/// The samples of one operation of one backend at one count.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// The backend's name.
    pub backend: String,
    /// Images in the store.
    pub count: u64,
    /// What was done.
    pub operation: Operation,
    /// What the numbers count.
    pub unit: Unit,
    /// What the samples say together.
    pub summary: Summary,
    /// One a repetition. For single images at random it is the repetition's median, or with a cold cache its mean.
    pub samples: Vec<f64>,
    /// For single images at random: what 95 % of them stay below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// For single images at random: each of them, in the order read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub singles: Vec<f64>,
}

impl Measurement {
    /// `None` where there are no samples.
    pub(super) fn new(
        backend: String,
        count: u64,
        operation: Operation,
        samples: Vec<f64>,
        singles: Vec<f64>,
    ) -> Option<Self> {
        let summary = Summary::of(&samples)?;
        let mut sorted = singles.clone();
        sorted.sort_by(f64::total_cmp);
        let p95 = (!sorted.is_empty()).then(|| quantile(&sorted, 0.95));
        Some(Measurement { backend, count, operation, unit: operation.unit(), summary, samples, p95, singles })
    }

    /// Images a second, where all images of the store were handled.
    pub fn images_per_second(&self) -> Option<f64> {
        (self.operation.handles_all() && self.summary.median > 0.0).then(|| self.count as f64 / self.summary.median)
    }
}

impl Report {
    /// The measurement of that backend, count and operation, where there is one.
    pub fn find(&self, backend: &str, count: u64, operation: Operation) -> Option<&Measurement> {
        self.measurements
            .iter()
            .find(|found| found.backend == backend && found.count == count && found.operation == operation)
    }

    /// What stores on servers cost where requests and bytes are paid for, a line for each, at the largest count.
    pub fn cost_lines(&self) -> impl Iterator<Item = String> {
        self.requests.iter().filter(|found| found.count == self.largest()).map(Requests::line)
    }

    /// The largest count.
    pub fn largest(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    /// Writes all the files of the report into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let charts = plots::charts(self);
        let page = page::page(self, &charts);
        let (experiment, csv, names) = (super::NAME, self.csv(), &plots::NAMES);
        Files { experiment, report: self, csv, charts: &charts, names, page }.write(folder)
    }

    fn csv(&self) -> Vec<Vec<String>> {
        let head = "backend,count,operation,unit,samples,median,q1,q3,min,max,p95,images_per_second";
        let mut records: Vec<Vec<String>> = vec![head.split(',').map(str::to_owned).collect()];
        for found in &self.measurements {
            let Summary { median, q1, q3, min, max } = found.summary;
            let mut record = vec![
                found.backend.clone(),
                found.count.to_string(),
                found.operation.name().to_owned(),
                found.unit.name().to_owned(),
                found.samples.len().to_string(),
            ];
            record.extend([median, q1, q3, min, max].map(|number| number.to_string()));
            record.extend([found.p95, found.images_per_second()].map(|n| n.map_or(String::new(), |n| n.to_string())));
            records.push(record);
        }
        records
    }
}
