//! `pinako bench stores`

use std::process::ExitCode;

use pinako::{Progress, Result};
use pinako_bench::figures;
use pinako_bench::stores::{self, Measurement, Operation, Options, Report};

use crate::args::BenchStoresArgs;
use crate::progress::Job;
use crate::table;

/// What the table shows; the report has the rest.
const COLUMNS: [Operation; 7] = [
    Operation::StoreSynced,
    Operation::StoreBuffered,
    Operation::ReadWarm,
    Operation::ReadCold,
    Operation::RandomWarm,
    Operation::RandomCold,
    Operation::Disk,
];

pub fn run(args: &BenchStoresArgs) -> Result<ExitCode> {
    let options = Options {
        data: args.data.clone(),
        counts: args.counts.clone(),
        backends: args.backends.clone(),
        out: args.out.clone(),
        folder: args.folder.clone(),
        repetitions: args.repetitions,
        seed: args.seed,
    };
    let mut job = Job::start("measuring");
    let found = stores::run(&options, &mut |progress| {
        job.step(progress.step);
        let total = (progress.total > 0).then_some(progress.total);
        job.watch(Progress { images: progress.done, total, ..Progress::default() })
    })?;
    super::finish(job, "measured", &found, args.json, to_text, &args.out)
}

/// The medians, and what follows from them.
fn to_text(found: &Report) -> String {
    let titles = COLUMNS.map(|operation| operation.title().replace(", ", ",\n")); // narrow enough for a terminal
    let mut header = vec!["images", "store"];
    header.extend(titles.iter().map(String::as_str));
    let right: Vec<usize> = (0..header.len()).filter(|&column| column != 1).collect();
    let mut table = table::with_header(&header, &right);
    for &count in &found.counts {
        for backend in &found.backends {
            let median = |found: &Measurement| found.unit.text(found.summary.median);
            let figure = |operation| found.find(backend, count, operation).map_or_else(|| "-".to_owned(), median);
            let mut row = vec![figures::count(count), backend.clone()];
            row.extend(COLUMNS.map(figure));
            table.add_row(row);
        }
    }
    let mut text = table.trim_fmt();
    text += &format!("\n\n{}", found.recommendation.headline);
    for advice in &found.recommendation.advice {
        text += &format!("\n- If you {}: {}", advice.purpose, advice.text);
    }
    text += &format!("\n\n{}", found.recommendation.rule);
    for line in found.cost_lines() {
        text += &format!("\n\n{line}");
    }
    text
}
