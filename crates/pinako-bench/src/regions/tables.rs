//! The figures as tables for people, which look like the paper's.

use super::paper;
use super::times::{Method, TimeRow, TimeTable};
use super::{Report, RunTable, Source};
use crate::figures;

/// A table for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// The headings of its columns.
    pub header: Vec<String>,
    /// Its rows, as long as the header.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// What stands beside the paper: table 1 and its theorem, tables 2 to 4 with the fewest reads in flight, and what
    /// more of those change.
    pub fn main_tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        if let Some(runs) = &self.runs {
            tables.extend([runs_table(runs), borders(runs)]);
        }
        let fewest = self.fewest_in_flight();
        tables.extend(self.times.iter().filter(|table| Some(table.in_flight) == fewest).map(|table| self.times(table)));
        if self.times.iter().any(|table| Some(table.in_flight) != fewest) {
            tables.push(self.in_flight());
        }
        tables
    }

    /// Tables 2 to 4 with more reads in flight.
    pub fn more_tables(&self) -> Vec<Table> {
        let fewest = self.fewest_in_flight();
        self.times.iter().filter(|table| Some(table.in_flight) != fewest).map(|table| self.times(table)).collect()
    }

    fn times(&self, table: &TimeTable) -> Table {
        let what = match self.source {
            Some(Source::Measured(_)) => "Average reading time",
            _ => "Predicted reading time",
        };
        let in_flight = match table.in_flight {
            1 => "one read at a time".to_owned(),
            many => format!("{many} reads in flight"),
        };
        let mut header: Vec<String> = ["query", ""].map(str::to_owned).to_vec();
        header.extend(Method::ALL.map(Method::title));
        header.extend(["best n", "save", "optimal saves"].map(str::to_owned));
        let rows = table.rows.iter().flat_map(|row| {
            let beside = (table.in_flight == 1).then(|| paper_row(row));
            std::iter::once(own_row(row)).chain(beside)
        });
        Table {
            title: format!("Table {}: {what} when pixel size = {}, {in_flight}", table.number, table.pixel_size),
            header,
            rows: rows.collect(),
        }
    }

    fn in_flight(&self) -> Table {
        const SHOWN: [Method; 4] = [Method::Row, Method::RowMerged, Method::Grown(0), Method::Optimal];
        let mut header: Vec<String> = ["pixel size", "in flight"].map(str::to_owned).to_vec();
        header.extend(SHOWN.map(Method::title));
        header.extend(["best n", "n*", "t1 (a read)", "t2 (a GB)"].map(str::to_owned));
        let mut sorted: Vec<&TimeTable> = self.times.iter().collect();
        sorted.sort_by_key(|table| (table.number, table.in_flight));
        let rows = sorted.into_iter().map(|table| {
            let mut row = vec![table.pixel_size.to_string(), table.in_flight.to_string()];
            row.extend(SHOWN.map(|way| table.sum(way).map_or("-".to_owned(), figures::seconds)));
            let best =
                table.best().map_or("-".to_owned(), |(n, seconds)| format!("{} ({n})", figures::seconds(seconds)));
            row.extend([
                best,
                table.best_growth.to_string(),
                figures::seconds(table.cost.read_seconds),
                figures::seconds(table.cost.byte_seconds * 1e9),
            ]);
            row
        });
        Table {
            title: "Reads in flight: a query of each of the eight sizes, together".to_owned(),
            header,
            rows: rows.collect(),
        }
    }
}

impl TimeTable {
    /// The time of a query of each size, together; `None` where one was not measured.
    pub fn sum(&self, method: Method) -> Option<f64> {
        self.rows.iter().map(|row| Some(row.find(method)?.seconds())).sum()
    }

    /// The n that takes the least time for a query of each size, together, and that time.
    pub fn best(&self) -> Option<(u32, f64)> {
        let growths = (0..=4).filter_map(|n| Some((n, self.sum(Method::Grown(n))?)));
        growths.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn runs_table(table: &RunTable) -> Table {
    let mut header: Vec<String> = ["query", "", "row"].map(str::to_owned).to_vec();
    header.extend((0..=super::runs::MAX_GROWTH).map(|n| format!("n = {n}")));
    header.extend(["positions", "runs / perimeter"].map(str::to_owned));
    let rows = table.rows.iter().flat_map(|row| {
        let mut own = vec![side(row.query), "ours".to_owned(), figures::trimmed(row.row)];
        own.extend(row.grown.map(|runs| format!("{runs:.2}")));
        own.extend([figures::count(row.positions), format!("{:.4}", row.runs_per_perimeter())]);
        let mut theirs = vec![String::new(), "paper".to_owned(), figures::trimmed(row.paper[0])];
        theirs.extend(row.paper[1..].iter().map(|runs| format!("{runs:.2}")));
        theirs.extend([String::new(), format!("{:.4}", row.paper[1] / (4.0 * f64::from(row.query)))]);
        [own, theirs]
    });
    let positions = if table.positions.is_some() { "positions at random" } else { "all positions" };
    Table {
        title: format!("Table 1: Number of data segments (runs) in an image of {}, {positions}", side(table.side)),
        header,
        rows: rows.collect(),
    }
}

fn borders(table: &RunTable) -> Table {
    let row = |borders: &super::Borders| {
        let place = match borders.multiple {
            1 => "all borders".to_owned(),
            multiple => format!("at multiples of {multiple}"),
        };
        vec![
            place,
            figures::count(borders.pixels),
            figures::count(borders.crossings),
            format!("{:.2} %", borders.share() * 100.0),
        ]
    };
    Table {
        title: "Theorem 3.1: how often the curve crosses a border".to_owned(),
        header: ["borders", "pixels", "crossings", "share"].map(str::to_owned).to_vec(),
        rows: table.borders.iter().map(row).collect(),
    }
}

fn own_row(row: &TimeRow) -> Vec<String> {
    let mut own = vec![side(row.query), "ours".to_owned()];
    own.extend(Method::ALL.map(|way| row.find(way).map_or("-".to_owned(), |cell| figures::seconds(cell.seconds()))));
    own.push(row.best().map_or("-".to_owned(), |(n, _)| n.to_string()));
    own.extend([row.saving(), row.saving_of(Method::Optimal)].map(|saving| saving.map_or("-".to_owned(), per_cent)));
    own
}

fn paper_row(row: &TimeRow) -> Vec<String> {
    let mut theirs = vec![String::new(), "paper".to_owned()];
    theirs.extend(row.paper.map(figures::seconds));
    theirs.extend([String::new(), String::new()]);
    theirs.push(paper::best_growth(&row.paper).to_string());
    theirs.extend([per_cent(row.paper_saving), String::new()]);
    theirs
}

/// Of a table's row: `12.3 %`.
pub(super) fn per_cent(share: f64) -> String {
    format!("{share:.1} %")
}

/// `750 x 750`.
fn side(pixels: u32) -> String {
    format!("{pixels} x {pixels}")
}
