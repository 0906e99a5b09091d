//! The plots of the report: those of the experiment that this one follows, and one it lacked.

use super::report::{Measurement, Operation, Report};
use crate::chart::{Body, Chart, Color, Dot, Line, Point};
use crate::figures;

/// The names of all plots that a report may have.
pub(super) const NAMES: [&str; 8] =
    ["store-log", "read-log", "store-linear", "read-linear", "store-and-read", "random", "disk", "disk-per-image"];

/// All plots of `report`, in the order of the page.
pub(super) fn charts(report: &Report) -> Vec<Chart> {
    let mut charts = Vec::new();
    if report.counts.len() > 1 {
        let store =
            Lines { operations: [Operation::StoreSynced, Operation::StoreBuffered], styles: ["synced", "not synced"] };
        let read =
            Lines { operations: [Operation::ReadWarm, Operation::ReadCold], styles: ["warm cache", "cold cache"] };
        let both = Lines {
            operations: [Operation::StoreSynced, Operation::ReadWarm],
            styles: ["store, synced", "read, warm"],
        };
        charts.extend([
            store.chart(report, "store-log", "Time to store", true),
            read.chart(report, "read-log", "Time to read all", true),
            store.chart(report, "store-linear", "Time to store, linear", false),
            read.chart(report, "read-linear", "Time to read all, linear", false),
            both.chart(report, "store-and-read", "Time to store and to read all", true),
        ]);
    }
    charts.extend(random(report));
    charts.push(disk(report));
    charts.extend(disk_per_image(report));
    charts
}

/// The colour of a backend is its own, whichever others are there.
pub(super) fn color(report: &Report, backend: &str) -> Color {
    const OTHERS: [&str; 5] = ["object", "postgres", "s3", "gs", "az"];
    let known = || super::Options::BACKENDS.iter().chain(&OTHERS);
    let place = || report.backends.iter().position(|other| other == backend).unwrap_or(0);
    Color::Hue(known().position(|known| *known == backend).unwrap_or_else(place))
}

fn colors(report: &Report) -> Vec<(String, Color)> {
    report.backends.iter().map(|backend| (backend.clone(), color(report, backend))).collect()
}

/// Two operations over the counts.
struct Lines {
    operations: [Operation; 2],
    styles: [&'static str; 2],
}

impl Lines {
    fn chart(&self, report: &Report, name: &'static str, title: &str, log: bool) -> Chart {
        let mut series = Vec::new();
        for backend in &report.backends {
            for (operation, dashed) in self.operations.into_iter().zip([false, true]) {
                let found = report.counts.iter().filter_map(|&count| report.find(backend, count, operation));
                series.push(Line { color: color(report, backend), dashed, points: found.map(point).collect() });
            }
        }
        let axes = match log {
            true => "logarithmic axes",
            false => "linear axes",
        };
        Chart {
            name,
            title: title.to_owned(),
            caption: format!("Medians, whiskers from the least to the greatest sample; {axes}."),
            body: Body::Lines {
                series,
                colors: colors(report),
                styles: self.styles.to_vec(),
                log_x: log,
                log_y: log,
                x_label: "images",
                x: |count| figures::count(count as u64),
                y: figures::short_seconds,
            },
        }
    }
}

fn point(found: &Measurement) -> Point {
    let summary = found.summary;
    Point { x: found.count as f64, y: summary.median, least: summary.min, greatest: summary.max }
}

fn random(report: &Report) -> Option<Chart> {
    let count = report.largest();
    let row = |backend: &String| {
        let dot = |operation| {
            let found = report.find(backend, count, operation)?;
            Some(Dot { x: found.summary.median, tail: found.p95?, color: color(report, backend) })
        };
        let dots = [dot(Operation::RandomWarm), dot(Operation::RandomCold)];
        dots.iter().any(Option::is_some).then(|| (backend.clone(), dots))
    };
    let rows: Vec<(String, [Option<Dot>; 2])> = report.backends.iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Chart {
        name: "random",
        title: format!("One image at random out of {}", figures::count(count)),
        caption:
            "Medians, with a cold cache means; whiskers reach to what 95 % of the reads stay below; logarithmic axis."
                .to_owned(),
        body: Body::Dots { rows, kinds: ["warm cache", "cold cache"], x: figures::short_seconds },
    })
}

fn disk(report: &Report) -> Chart {
    let bytes = |backend: &str, count| report.find(backend, count, Operation::Disk).map_or(0.0, |f| f.summary.median);
    let of_backend = |backend: &String| {
        (backend.clone(), report.counts.iter().map(|&count| bytes(backend, count)).collect::<Vec<f64>>())
    };
    let last = report.counts.len() - 1;
    let color =
        |(place, &count): (usize, &u64)| (figures::count(count), Color::Step(5usize.saturating_sub(last - place)));
    Chart {
        name: "disk",
        title: "Disk space by kind of store".to_owned(),
        caption: format!(
            "The stores of {} images on top of each other; whole blocks of the file system.",
            report.counts.iter().map(|&count| figures::count(count)).collect::<Vec<_>>().join("; ")
        ),
        body: Body::Bars {
            groups: report.backends.iter().map(of_backend).collect(),
            colors: report.counts.iter().enumerate().map(color).collect(),
            stacked: true,
            x_label: "",
            y: figures::short_bytes,
            level: None,
        },
    }
}

/// Below this the fixed size of an empty store is all there is to see.
const MANY: u64 = 100;

fn disk_per_image(report: &Report) -> Option<Chart> {
    let each = |backend: &String, count: u64| {
        report.find(backend, count, Operation::Disk).map_or(0.0, |found| found.summary.median / count as f64)
    };
    let of_count = |&count: &u64| {
        let bytes = report.backends.iter().map(|backend| each(backend, count)).collect();
        (figures::count(count), bytes)
    };
    let groups: Vec<(String, Vec<f64>)> = report.counts.iter().filter(|&&count| count >= MANY).map(of_count).collect();
    (!groups.is_empty()).then(|| Chart {
        name: "disk-per-image",
        title: "Disk space an image takes".to_owned(),
        caption:
            "The whole store, divided by its images. Above the line is what the store adds, below it what PNG saves."
                .to_owned(),
        body: Body::Bars {
            groups,
            colors: colors(report),
            stacked: false,
            x_label: "images in the store",
            y: figures::short_bytes,
            level: Some((report.data.bytes as f64 / report.data.images as f64, "its pixels")),
        },
    })
}
