//! `pinako bench`

mod regions;
mod stores;

use std::path::Path;
use std::process::ExitCode;

use pinako::Result;
use pinako_bench::figures;
use serde::Serialize;

use crate::args::{BenchArgs, Experiment};
use crate::progress::Job;
use crate::report;
use crate::table;

pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.experiment {
        Experiment::Stores(args) => stores::run(args),
        Experiment::Regions(args) => regions::run(args),
    }
}

/// Ends the job `measured`: prints what was found, as JSON or as `to_text` has it, and says where the report is.
fn finish<R: Serialize>(
    job: Job,
    measured: &str,
    found: &R,
    json: bool,
    to_text: fn(&R) -> String,
    out: &Path,
) -> Result<ExitCode> {
    let took = job.finish();
    let text = if json { table::to_json_line(found) } else { to_text(found) };
    report::print_line(&text)?;
    let seconds = figures::seconds(took.as_secs_f64());
    report::say(format_args!("{measured} in {seconds}; the report is in {}", out.display()));
    Ok(ExitCode::SUCCESS)
}
