//! What follows from the figures, in words. Nothing is said here that was not counted or measured.

use serde::Serialize;

use super::played::Playing;
use super::report::{Report, Source, StoreRead};
use super::runs::MAX_GROWTH;
use super::tables::per_cent;
use super::times::{Method, TimeTable};
use super::{RunTable, paper};
use crate::figures;

/// Fewer queries than these leave a cell to chance.
const FEW_QUERIES: u64 = 10;

/// Fewer positions of a query than these leave the mean of its runs to chance.
const FEW_POSITIONS: u64 = 1000;

const SMALL_SAMPLE: &str = " So few positions say little: count more of them, or all.";

/// What a count is off by that agrees with a theorem, as a part of it.
const NEAR: f64 = 0.02;

/// What follows for one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conclusion {
    /// What it is about.
    pub topic: String,
    /// What follows, in a sentence or two.
    pub text: String,
}

fn on(topic: impl Into<String>, text: String) -> Conclusion {
    Conclusion { topic: topic.into(), text }
}

/// All of them in a sentence or two: what the times say, or else the counts.
pub(super) fn headline(report: &Report) -> Option<String> {
    let sum = |way| report.first_times().map(|table| table.sum(way)).sum::<Option<f64>>();
    if let Some(table) = report.first_times().next()
        && let (Some(row), Some(exact), Some(optimal), Some(merged)) =
            (sum(Method::Row), sum(Method::Grown(0)), sum(Method::Optimal), sum(Method::RowMerged))
        && let Some(grown) = report.first_times().map(|table| Some(table.best()?.1)).sum::<Option<f64>>()
    {
        let share = |seconds: f64| per_cent(seconds / row * 100.0);
        return Some(format!(
            "One more read costs the time of {} here. If rows, read one by one, take 100 %, then the same queries along the \
             curve take {}, grown by the best n {}, and by the optimal plan {}. Rows read by such a plan take {}.",
            figures::bytes(table.cost.bytes_per_read()),
            share(exact),
            share(grown),
            share(optimal),
            share(merged),
        ));
    }
    let table = report.runs.as_ref()?;
    let rows = extremes(table.rows.iter().map(|row| row.grown[0] / row.row));
    let fewer = if rows.0 > 1.0 - NEAR { ": no fewer" } else { "" };
    let grown = extremes(table.rows.iter().map(|row| row.grown[0] / row.grown[MAX_GROWTH as usize]));
    Some(format!(
        "Along the curve a square query is in {:.2} to {:.2} times as many pieces as it has rows{fewer}. Grown to multiples \
         of 32 it is in {:.0} to {:.0} times fewer.{}",
        rows.0,
        rows.1,
        grown.0,
        grown.1,
        if is_small_sample(table) { SMALL_SAMPLE } else { "" }
    ))
}

/// All conclusions, in the order of the tables.
pub(super) fn conclude(report: &Report) -> Vec<Conclusion> {
    let mut conclusions = Vec::new();
    if let Some(runs) = &report.runs {
        conclusions.extend(of_runs(runs));
    }
    if report.times.is_empty() {
        return conclusions;
    }
    conclusions.extend(report.source.as_ref().map(|source| on("What was done", sampled(report, source))));
    conclusions.extend(report.first_times().filter_map(of_times));
    conclusions.extend(optimal(&report.first_times().collect::<Vec<_>>()).map(|text| on("Optimal plans", text)));
    conclusions.extend(in_flight(report).map(|text| on("Reads in flight", text)));
    conclusions.extend(report.paper_disk.map(|disk| {
        let text = format!(
            "Its times are explained best by {} a read and {} a MB, or {} bytes in the time of a read; its cells are {} off at \
             the mean. The formula's n* for it: {}; as printed there: {}.",
            figures::seconds(disk.cost.read_seconds()),
            figures::seconds(disk.cost.byte_seconds() * 1e6),
            figures::count(disk.cost.bytes_per_read().round() as u64),
            per_cent(disk.error),
            each_growth(|size| disk.cost.n_star(size.into())),
            each_growth(|size| paper::printed_n_star(disk.cost.bytes_per_read() / f64::from(size))),
        );
        on("The paper's disk", text)
    }));
    conclusions
}

fn of_runs(table: &RunTable) -> Vec<Conclusion> {
    let mut said = Vec::new();
    if let Some(all) = table.borders.first() {
        let steps: Vec<String> = table.borders[1..].iter().map(|borders| per_cent(borders.share() * 100.0)).collect();
        let text = format!(
            "Holds by count: the curve crosses {} of all border pixels. At multiples of 2, 4, 8, 16 and 32 it crosses {}: half \
             as many with each step, which is what growing a query gains from.",
            per_cent(all.share() * 100.0),
            steps.join(", ")
        );
        said.push(on("Theorem 3.1", text));
    }
    let (least, most) = extremes(table.rows.iter().map(|row| row.runs_per_perimeter()));
    let mut text =
        format!("A query has {least:.4} to {most:.4} runs a pixel of its perimeter, the corollary says 0.25.");
    if (least / 0.25 - 1.0).abs() < NEAR && (most / 0.25 - 1.0).abs() < NEAR {
        text = format!(
            "Holds by count: {}{} So the curve by itself has as many runs as there are rows: it gains nothing before queries \
             are grown.",
            text[..1].to_lowercase(),
            &text[1..]
        );
    }
    if is_small_sample(table) {
        text += SMALL_SAMPLE;
    }
    said.push(on("Corollary 3.2", text));
    let halved = table.rows.iter().flat_map(|row| row.grown.windows(2).map(|pair| pair[0] / pair[1]));
    let (least, most) = extremes(halved);
    let off = table
        .rows
        .iter()
        .flat_map(|row| row.grown.iter().zip(&row.paper[1..]).map(|(own, theirs)| (theirs / own - 1.0).abs() * 100.0));
    let (count, sum, farthest) = off.fold((0.0, 0.0, 0f64), |(n, sum, most), off| (n + 1.0, sum + off, most.max(off)));
    let ours = table.positions.map_or("all".to_owned(), figures::count);
    let text = format!(
        "With each step of n a query has {least:.2} to {most:.2} times fewer runs. The paper's cells, means of more than 10,000 \
         positions, and these, of {ours}, are {} apart at the mean and {} at most.",
        per_cent(sum / count),
        per_cent(farthest)
    );
    said.push(on("Growing", text));
    said
}

fn is_small_sample(table: &RunTable) -> bool {
    table.positions.is_some_and(|positions| positions < FEW_POSITIONS)
}

fn sampled(report: &Report, source: &Source) -> String {
    match source {
        Source::Measured(how) => {
            let mut text = format!(
                "Measured for {} of the {} given, with a file of {} read {}: {} queries, {} to {} of each cell; {} of {} \
             readings were special (they took more than {} times what they should) and are not counted.",
                figures::seconds(how.seconds),
                figures::seconds(how.budget_seconds),
                figures::bytes(how.file_bytes as f64),
                how.unbuffered.text(),
                figures::count(how.queries),
                figures::count(how.queries_per_cell[0]),
                figures::count(how.queries_per_cell[1]),
                figures::count(how.special),
                figures::count(how.readings),
                figures::count(paper::SPECIAL as u64),
            );
            if how.queries_per_cell[0] == 0 {
                text += " That was too short to come to all cells: give it more seconds.";
            } else if how.queries_per_cell[0] < FEW_QUERIES {
                text += " So few say little of one cell: give it more seconds.";
            }
            text
        }
        Source::Store(read) => of_store(read),
        Source::Device(playing) | Source::PapersDevice(playing) => {
            let Some(table) = report.times.first() else { return String::new() };
            let whose = if matches!(source, Source::Device(_)) { "the device given" } else { "the paper's disk" };
            format!(
                "The times are what the cost model says of {whose}, with {} a read and {} a MB: means of {} queries at random \
                 places. {}",
                figures::seconds(table.cost.read_seconds()),
                figures::seconds(table.cost.byte_seconds() * 1e6),
                table.rows.first().and_then(|row| row.cells.first()).map_or(0, |cell| cell.queries),
                playing.as_ref().map_or("Nothing was read.".to_owned(), |playing| of_playing(
                    "The device was played as well,",
                    playing
                )),
            )
        }
    }
}

/// How a store was read.
fn of_store(StoreRead { store, calibrated, playing }: &StoreRead) -> String {
    format!(
        "Queries are reads of a store of the kind {store}, as its backend makes them. Reads were found to cost {} each and {} \
         a MB, with {} in flight, off by {} in the middle. {}",
        figures::seconds(calibrated.read_seconds),
        figures::seconds(calibrated.byte_seconds * 1e6),
        calibrated.parallel_reads,
        per_cent(calibrated.typical_error * 100.0),
        of_playing("It was read", playing),
    )
}

/// What came of playing a device, or reading a store.
fn of_playing(what: &str, playing: &Playing) -> String {
    let mut text = format!(
        "{what} for {} of the {} given: {} queries, in {} of {} cells.",
        figures::seconds(playing.seconds),
        figures::seconds(playing.budget_seconds),
        figures::count(playing.queries),
        figures::count(playing.cells),
        figures::count(playing.of_cells),
    );
    if let Some(ratio) = playing.ratio {
        text += &format!(
            " They took {:.3} times as long as predicted in the median, {:.3} to {:.3} the middle half of them.",
            ratio.median, ratio.q1, ratio.q3
        );
    }
    if let Some(seconds) = playing.quickest_left {
        text += &format!(
            " Cells that were not come to have a dash; a query of the quickest of them takes {}: more seconds measure more.",
            figures::seconds(seconds)
        );
    }
    text
}

fn of_times(table: &TimeTable) -> Option<Conclusion> {
    let (best, seconds) = table.best()?;
    let row = table.sum(Method::Row)?;
    let savings = extremes(table.rows.iter().filter_map(|row| row.saving()));
    let paper: Vec<usize> = table.rows.iter().map(|row| paper::best_growth(&row.paper)).collect();
    let (least, most) = (paper.iter().min()?, paper.iter().max()?);
    let theirs = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let (paper_least, paper_most) = extremes(table.rows.iter().map(|row| row.paper_saving));
    let text = format!(
        "n = {best} is best of 0 to 4{} over all sizes together (the formula's n* is {}; the paper's text says {}, the least \
         times of its table are at {theirs}); it takes {} of the time of rows, and by size the best n saves {} to {} (paper: \
         {} to {}).",
        if table.growths().any(|n| n > 4) { " and n*" } else { "" },
        table.n_star,
        paper::N_STARS.get(table.number as usize - 2)?,
        per_cent(seconds / row * 100.0),
        per_cent(savings.0),
        per_cent(savings.1),
        per_cent(paper_least),
        per_cent(paper_most),
    );
    Some(on(format!("{} bytes a pixel", table.pixel_size), text))
}

/// The optimal plans against the paper's ways, and against rows that have the same.
fn optimal(tables: &[&TimeTable]) -> Option<String> {
    let sum = |way| tables.iter().map(|table| table.sum(way)).sum::<Option<f64>>();
    let grown = tables.iter().map(|table| Some(table.best()?.1)).sum::<Option<f64>>()?;
    let (optimal, row, merged) = (sum(Method::Optimal)?, sum(Method::Row)?, sum(Method::RowMerged)?);
    let merged_text = match merged / optimal {
        ratio if ratio >= 1.0 => format!("{} as long as the optimal plan along the curve", figures::ratio(ratio)),
        ratio => format!("less: the optimal plan along the curve takes {} as long", figures::ratio(1.0 / ratio)),
    };
    let lost: Vec<String> = tables
        .iter()
        .flat_map(|table| table.rows.iter().map(|row| (table.pixel_size, row)))
        .filter(|(_, row)| {
            let seconds = |way| row.find(way).map(|cell| cell.seconds());
            seconds(Method::RowMerged) < seconds(Method::Optimal)
        })
        .map(|(pixel_size, row)| format!("{} x {} of {pixel_size} bytes", row.query, row.query))
        .collect();
    let all = tables.iter().map(|table| table.rows.len()).sum::<usize>();
    let lost = match lost.len() {
        0 => "at no size are they faster".to_owned(),
        1..=4 => format!("they are faster at {}", lost.join(", ")),
        many => format!("they are faster in {many} of the {all} rows of the tables"),
    };
    Some(format!(
        "Over all tables the optimal plan takes {} of the time of the best n, and {} of that of rows read one by one. But \
         rows gain from merged gaps as well: so read they take {merged_text}; {lost}.",
        per_cent(optimal / grown * 100.0),
        per_cent(optimal / row * 100.0),
    ))
}

fn in_flight(report: &Report) -> Option<String> {
    let numbers = || report.times.iter().map(|table| table.in_flight);
    let (fewest, most) = (numbers().min()?, numbers().max()?);
    let sum = |in_flight: u32, of: &dyn Fn(&TimeTable) -> Option<f64>| {
        report.times.iter().filter(|table| table.in_flight == in_flight).map(of).sum::<Option<f64>>()
    };
    let gain = |of: &dyn Fn(&TimeTable) -> Option<f64>| Some(sum(fewest, of)? / sum(most, of)?);
    (fewest < most).then_some(())?;
    let row = gain(&|table| table.sum(Method::Row))?;
    let optimal = gain(&|table| table.sum(Method::Optimal))?;
    let mut text = format!(
        "With {most} reads in flight instead of {fewest}, rows are {} as fast, n = 0 {}, the best n {}, the optimal plan {}.",
        figures::ratio(row),
        figures::ratio(gain(&|table| table.sum(Method::Grown(0)))?),
        figures::ratio(gain(&|table| Some(table.best()?.1))?),
        figures::ratio(optimal),
    );
    if row > optimal {
        text += " The more reads are in flight, the less each costs, and the less there is to gain from having few.";
    }
    Some(text)
}

/// The n* of pixels of each size.
fn each_growth(of: impl Fn(u16) -> u32) -> String {
    paper::PIXEL_SIZES.map(|size| format!("{} for {size} bytes", of(size))).join(", ")
}

fn extremes(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), number| (least.min(number), most.max(number)))
}
