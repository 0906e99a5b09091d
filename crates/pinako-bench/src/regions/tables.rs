//! The figures as tables for people, which look like the paper's.

use super::paper;
use super::times::{Cell, Method, TimeRow, TimeTable, saving};
use super::{Report, RunTable};
use crate::figures;

/// A table for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// The headings of its columns.
    pub header: Vec<String>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// As many as the header has.
    pub cells: Vec<String>,
    /// The one with the least time.
    pub best: Option<usize>,
}

impl Row {
    fn plain(cells: Vec<String>) -> Self {
        Row { cells, best: None }
    }

    /// A row with `head` before and `tail` behind times, of which the least is best; a dash is where there is none.
    fn of_times(head: [&str; 2], times: impl Iterator<Item = Option<f64>> + Clone, tail: Vec<String>) -> Self {
        let found = times.clone().enumerate().filter_map(|(place, seconds)| Some((place + head.len(), seconds?)));
        let best = found.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(place, _)| place);
        let shown = times.map(|seconds| seconds.map_or("-".to_owned(), figures::seconds));
        Row { cells: head.map(str::to_owned).into_iter().chain(shown).chain(tail).collect(), best }
    }
}

impl Report {
    /// What stands beside the paper: table 1 and its theorem, tables 2 to 4 with the fewest reads in flight, and what
    /// more of those change.
    pub fn main_tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        if let Some(runs) = &self.runs {
            tables.extend([runs_table(runs), borders(runs)]);
        }
        tables.extend(self.first_times().map(|table| self.times(table)));
        if self.more_times().next().is_some() {
            tables.push(self.in_flight());
        }
        tables.extend(self.times.iter().filter_map(requests));
        tables
    }

    /// Tables 2 to 4 with more reads in flight.
    pub fn more_tables(&self) -> Vec<Table> {
        self.more_times().map(|table| self.times(table)).collect()
    }

    fn times(&self, table: &TimeTable) -> Table {
        let (what, name) = match self.is_measured() {
            true => ("Average reading time", "ours"),
            false if self.playing().is_some() => ("Average reading time, predicted and measured,", "predicted"),
            false => ("Predicted reading time", "predicted"),
        };
        let in_flight = match table.in_flight {
            1 => "one read at a time".to_owned(),
            many => format!("{many} reads in flight"),
        };
        let mut header: Vec<String> = ["query", ""].map(str::to_owned).to_vec();
        let methods = table.methods();
        header.extend(methods.iter().map(|way| way.title()));
        header.extend(["best n", "save", "optimal saves"].map(str::to_owned));
        let rows = table.rows.iter().flat_map(|row| {
            let own = own_row([&side(row.query), name], &methods, row, &|cell| Some(cell.seconds()));
            let measured = self.playing().map(|_| own_row(["", "measured"], &methods, row, &played));
            let beside = (table.in_flight == 1).then(|| paper_row(row, methods.len()));
            std::iter::once(own).chain(measured).chain(beside)
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
        let rows = sorted.into_iter().flat_map(|table| {
            let best = |(n, seconds)| format!("{} ({n})", figures::seconds(seconds));
            let tail = vec![
                table.best().map_or("-".to_owned(), best),
                table.n_star.to_string(),
                figures::seconds(table.cost.read_seconds()),
                figures::seconds(table.cost.byte_seconds() * 1e9),
            ];
            let head = [table.pixel_size.to_string(), table.in_flight.to_string()];
            let own = Row::of_times([&head[0], &head[1]], SHOWN.iter().map(|&way| table.sum(way)), tail);
            let times = SHOWN.iter().map(|&way| table.sum_of(way, &played));
            let measured = self.playing().map(|_| Row::of_times(["", "measured"], times, vec![String::new(); 4]));
            std::iter::once(own).chain(measured)
        });
        Table {
            title: "Reads in flight: a query of each of the eight sizes, together".to_owned(),
            header,
            rows: rows.collect(),
        }
    }
}

impl TimeTable {
    /// Its columns.
    pub fn methods(&self) -> Vec<Method> {
        Method::with_n_star(self.n_star)
    }

    /// The exponents that its queries were grown by.
    pub fn growths(&self) -> impl Iterator<Item = u32> {
        self.methods().into_iter().filter_map(|way| if let Method::Grown(n) = way { Some(n) } else { None })
    }

    /// The time of a query of each size, together; `None` where one was not measured.
    pub fn sum(&self, method: Method) -> Option<f64> {
        self.sum_of(method, &|cell| Some(cell.seconds()))
    }

    /// The same of what `seconds` says of a cell; `None` where it says nothing of one.
    fn sum_of(&self, method: Method, seconds: &Seconds) -> Option<f64> {
        self.rows.iter().map(|row| seconds(row.find(method)?)).sum()
    }

    /// The n that takes the least time for a query of each size, together, of those read, and that time.
    pub fn best(&self) -> Option<(u32, f64)> {
        let growths = self.growths().filter_map(|n| Some((n, self.sum(Method::Grown(n))?)));
        growths.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Requests that a server got of the queries, where there is one, unless each was a single request.
fn requests(table: &TimeTable) -> Option<Table> {
    let methods = table.methods();
    let of = |row: &TimeRow, way| row.find(way).and_then(|cell| cell.played).map(|played| played.requests);
    let tells = |requests: f64| requests > 0.0 && (requests - 1.0).abs() >= 0.05;
    let any = table.rows.iter().any(|row| methods.iter().any(|&way| of(row, way).is_some_and(tells)));
    let row = |row: &TimeRow| {
        let each = methods.iter().map(|&way| of(row, way).map_or("-".to_owned(), |requests| format!("{requests:.1}")));
        Row::plain(std::iter::once(side(row.query)).chain(each).collect())
    };
    let mut header = vec!["query".to_owned()];
    header.extend(methods.iter().map(|way| way.title()));
    any.then(|| Table {
        title: format!("Requests of a query when pixel size = {}", table.pixel_size),
        header,
        rows: table.rows.iter().map(row).collect(),
    })
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
        [own, theirs].map(Row::plain)
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
        let share = format!("{:.2} %", borders.share() * 100.0);
        Row::plain(vec![place, figures::count(borders.pixels), figures::count(borders.crossings), share])
    };
    Table {
        title: "Theorem 3.1: how often the curve crosses a border".to_owned(),
        header: ["borders", "pixels", "crossings", "share"].map(str::to_owned).to_vec(),
        rows: table.borders.iter().map(row).collect(),
    }
}

/// Which of a cell's times is meant.
type Seconds = dyn Fn(&Cell) -> Option<f64>;

/// What a device took that was played.
fn played(cell: &Cell) -> Option<f64> {
    cell.played.map(|played| played.seconds)
}

fn own_row(head: [&str; 2], methods: &[Method], row: &TimeRow, seconds: &Seconds) -> Row {
    let find = |way| row.find(way).and_then(seconds);
    let grown = methods.iter().filter_map(|&way| match way {
        Method::Grown(n) => Some((n, find(way))),
        _ => None,
    });
    let grown: Option<Vec<(u32, f64)>> = grown.map(|(n, seconds)| Some((n, seconds?))).collect();
    let best = grown.into_iter().flatten().min_by(|a, b| a.1.total_cmp(&b.1));
    let saves = |other: Option<f64>| match (find(Method::Row), other) {
        (Some(rows), Some(other)) => per_cent(saving(rows, other)),
        _ => "-".to_owned(),
    };
    let tail = vec![
        best.map_or("-".to_owned(), |(n, _)| n.to_string()),
        saves(best.map(|(_, seconds)| seconds)),
        saves(find(Method::Optimal)),
    ];
    Row::of_times(head, methods.iter().map(|&way| find(way)), tail)
}

/// In a table with so many `columns` of times, of which the paper has the first.
fn paper_row(row: &TimeRow, columns: usize) -> Row {
    let best = paper::best_growth(&row.paper).to_string();
    let mut tail = vec![String::new(); columns - row.paper.len()];
    tail.extend([best, per_cent(row.paper_saving), String::new()]);
    Row::of_times(["", "paper"], row.paper.iter().map(|&seconds| Some(seconds)), tail)
}

/// Of a table's row: `12.3 %`.
pub(super) fn per_cent(share: f64) -> String {
    format!("{share:.1} %")
}

/// `750 x 750`.
fn side(pixels: u32) -> String {
    format!("{pixels} x {pixels}")
}
