//! The plots of the report: the paper's tables, as pictures.

use super::paper;
use super::report::Report;
use super::runs::RunTable;
use super::times::{Method, TimeTable};
use crate::chart::{Body, Chart, Color, Line, Point};
use crate::figures;

/// The names of all plots that a report may have.
pub(super) const NAMES: [&str; 6] = ["runs", "growth", "times-12-bytes", "times-8-bytes", "times-4-bytes", "in-flight"];

/// All plots of `report`, in the order of the page.
pub(super) fn charts(report: &Report) -> Vec<Chart> {
    let mut charts: Vec<Chart> = report.runs.iter().map(runs).collect();
    let first: Vec<&TimeTable> = report.first_times().collect();
    if !first.is_empty() {
        charts.push(growth(report, &first));
    }
    charts.extend(first.iter().map(|table| times(report, table)));
    charts.extend(in_flight(report));
    charts.into_iter().filter_map(with_points).collect()
}

/// The chart without the lines that have no points, as the time was up before; `None` where there are no others.
fn with_points(mut chart: Chart) -> Option<Chart> {
    if let Body::Lines { series, .. } = &mut chart.body {
        series.retain(|line| !line.points.is_empty());
        if series.is_empty() {
            return None;
        }
    }
    Some(chart)
}

fn runs(table: &RunTable) -> Chart {
    let mut series = Vec::new();
    let mut colors = Vec::new();
    for n in 0..=super::runs::MAX_GROWTH as usize {
        let color = Color::Hue(n);
        let line = |dashed: bool, runs: &dyn Fn(&super::RunRow) -> f64| Line {
            color,
            dashed,
            points: table.rows.iter().map(|row| point(f64::from(row.query), runs(row))).collect(),
        };
        series.extend([line(false, &|row| row.grown[n]), line(true, &|row| row.paper[n + 1])]);
        colors.push((format!("n = {n}"), color));
    }
    Chart {
        name: "runs",
        title: "Runs of a query (table 1)".to_owned(),
        caption: "Each step of n halves them. Logarithmic axes.".to_owned(),
        body: Body::Lines {
            series,
            colors,
            styles: vec!["counted", "the paper's"],
            log_x: true,
            log_y: true,
            x_label: "side of the query, pixels",
            x: figures::trimmed,
            y: figures::trimmed,
        },
    }
}

/// What growing gains, by n: the paper's point.
fn growth(report: &Report, tables: &[&TimeTable]) -> Chart {
    let mut series = Vec::new();
    let mut colors = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        let color = Color::Hue(number);
        colors.push((format!("{} bytes a pixel", table.pixel_size), color));
        let own = |n: u32| Some(table.sum(Method::Grown(n))? / table.sum(Method::Row)?);
        let sum = |column: usize| table.rows.iter().map(|row| row.paper[column]).sum::<f64>();
        let points = table.growths().filter_map(|n| Some(point(f64::from(n), own(n)? * 100.0))).collect();
        series.push(Line { color, dashed: false, points });
        let points = (0..=4).map(|n| point(n as f64, sum(n + 1) / sum(0) * 100.0)).collect();
        series.push(Line { color, dashed: true, points });
    }
    Chart {
        name: "growth",
        title: "Time by n, in per cent of the time of rows".to_owned(),
        caption:
            "Queries of all sizes together. Growing gains until the pixels read in vain cost more than the reads saved."
                .to_owned(),
        body: Body::Lines {
            series,
            colors,
            styles: vec![if report.is_measured() { "measured" } else { "cost model" }, "the paper's"],
            log_x: false,
            log_y: false,
            x_label: "n",
            x: whole,
            y: |share| format!("{} %", figures::trimmed(share)),
        },
    }
}

const SHOWN: [Method; 5] = [Method::Row, Method::Grown(0), Method::Grown(2), Method::Optimal, Method::RowMerged];

fn times(report: &Report, table: &TimeTable) -> Chart {
    let is_measured = report.is_measured();
    let mut series = Vec::new();
    let mut colors = Vec::new();
    for (number, method) in SHOWN.into_iter().enumerate() {
        let color = Color::Hue(number);
        colors.push((method.title(), color));
        let cells = || table.rows.iter().filter_map(|row| Some((f64::from(row.query), row.find(method)?)));
        if is_measured {
            let points = cells().filter_map(|(x, cell)| {
                let (y, spread) = (cell.measured?, cell.spread?);
                Some(Point { x, y, least: spread.q1.min(y), greatest: spread.q3.max(y) })
            });
            let points = points.collect();
            series.push(Line { color, dashed: false, points });
        }
        let points = cells().map(|(x, cell)| point(x, cell.predicted)).collect();
        series.push(Line { color, dashed: is_measured, points });
        let points = cells().filter_map(|(x, cell)| Some(point(x, cell.played?.seconds))).collect();
        series.push(Line { color, dashed: true, points });
    }
    let name = match table.number {
        2 => "times-12-bytes",
        3 => "times-8-bytes",
        _ => "times-4-bytes",
    };
    let (styles, what) = match (is_measured, report.playing()) {
        (true, _) => (vec!["measured", "cost model"], "Means, whiskers over the middle half of the queries"),
        (_, None) => (vec!["cost model"], "Means that the cost model predicts"),
        (_, Some(_)) => (vec!["cost model", "measured"], "Means; measured are those that the time was long enough for"),
    };
    Chart {
        name,
        title: format!("Time of a query, {} bytes a pixel (table {})", table.pixel_size, table.number),
        caption: format!("{what}; reads in flight: {}; logarithmic axes.", table.in_flight),
        body: Body::Lines {
            series,
            colors,
            styles,
            log_x: true,
            log_y: true,
            x_label: "side of the query, pixels",
            x: figures::trimmed,
            y: figures::short_seconds,
        },
    }
}

fn in_flight(report: &Report) -> Option<Chart> {
    let number = report.times.iter().map(|table| table.number).max()?;
    let tables = || report.times.iter().filter(|table| table.number == number);
    (tables().count() > 1).then_some(())?;
    let mut series = Vec::new();
    let mut colors = Vec::new();
    for (place, method) in SHOWN.into_iter().enumerate() {
        let color = Color::Hue(place);
        colors.push((method.title(), color));
        let points =
            tables().filter_map(|table| Some(point(f64::from(table.in_flight).log2(), table.sum(method)?))).collect();
        series.push(Line { color, dashed: false, points });
    }
    Some(Chart {
        name: "in-flight",
        title: format!("Reads in flight, {} bytes a pixel", paper::PIXEL_SIZES.get(number as usize - 2)?),
        caption: "A query of each size, together. Logarithmic axes.".to_owned(),
        body: Body::Lines {
            series,
            colors,
            styles: Vec::new(),
            log_x: false,
            log_y: true,
            x_label: "reads in flight",
            // The axis has their logarithms: those of ten would have no ticks at 4 and 8.
            x: |twos| whole(twos).parse::<i32>().map_or(String::new(), |twos| figures::trimmed(2f64.powi(twos))),
            y: figures::short_seconds,
        },
    })
}

fn point(x: f64, y: f64) -> Point {
    Point { x, y, least: y, greatest: y }
}

/// Nothing between two whole numbers.
fn whole(number: f64) -> String {
    if (number - number.round()).abs() < 1e-9 { figures::trimmed(number) } else { String::new() }
}
