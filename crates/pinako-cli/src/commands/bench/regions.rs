//! `pinako bench regions`

use std::process::ExitCode;

use pinako::{Progress, Result};
use pinako_bench::regions::{self, Conclusion, Options, Report, Table};

use crate::args::BenchRegionsArgs;
use crate::progress::Job;
use crate::table;

pub fn run(args: &BenchRegionsArgs) -> Result<ExitCode> {
    let options = Options {
        tables: args.tables.clone(),
        positions: args.positions,
        device: args.device,
        store: args.store.clone(),
        seconds: args.seconds,
        file_bytes: args.file_bytes,
        out: args.out.clone(),
        folder: args.folder.clone(),
        seed: args.seed,
    };
    let mut job = Job::counting("measuring", "queries");
    let found = regions::run(&options, &mut |progress| {
        job.step(progress.step);
        job.watch(Progress { images: progress.queries, ..Progress::default() })
    })?;
    super::finish(job, "done", &found, args.json, to_text, &args.out)
}

/// The tables that look like the paper's, and what follows from them.
fn to_text(found: &Report) -> String {
    let mut text: String = found.main_tables().iter().map(|table| format!("{}\n\n", one(table))).collect();
    if let Some(headline) = &found.headline {
        text += &format!("{headline}\n\n");
    }
    for Conclusion { topic, text: conclusion } in &found.conclusions {
        text += &format!("- {topic}: {conclusion}\n");
    }
    text.truncate(text.trim_end().len());
    text
}

fn one(table: &Table) -> String {
    let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
    let right: Vec<usize> = (1..header.len()).filter(|&column| !header[column].is_empty()).collect();
    let mut shown = table::with_header(&header, &right);
    shown.add_rows(table.rows.iter().map(|row| &row.cells));
    format!("{}\n{}", table.title, shown.trim_fmt())
}
