//! `pinako verify`

use std::process::ExitCode;

use pinako::store::Problem;
use pinako::{Id, Result};
use pinako_bench::figures;
use serde::Serialize;

use crate::args::VerifyArgs;
use crate::progress::{self, Job};
use crate::report;
use crate::table;

/// A problem as `--json` shows it.
#[derive(Serialize)]
struct ProblemJson<'a> {
    id: Option<Id>,
    name: Option<&'a str>,
    problem: &'a str,
}

pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let store = args.decode.options().open_read_only(&args.store)?;
    let mut shown = Ok(());
    let mut job = Job::start("verifying");
    let bar = job.bar();
    let verified = store.verify(
        &mut |problem| {
            if shown.is_ok() {
                shown = bar.suspend(|| show(&problem, args.json));
            }
        },
        &mut |progress| job.watch(progress),
    )?;
    let took = job.finish();
    shown?;
    report::say(format_args!("verified {}", progress::summary(verified.images, verified.bytes, took)));
    if verified.problems == 0 {
        report::say("every image is sound");
        return Ok(ExitCode::SUCCESS);
    }
    report::say(format_args!("not sound: {}", figures::counted(verified.problems, "image")));
    Ok(ExitCode::from(report::NOT_SOUND))
}

/// Shows one problem at once: a damaged disk may have a million of them.
fn show(problem: &Problem, json: bool) -> Result<()> {
    let text = report::in_one_line(&problem.error);
    let line = match json {
        true => table::to_json_line(&ProblemJson { id: problem.id, name: problem.name.as_deref(), problem: &text }),
        false => match &problem.name {
            Some(name) => format!("{} (named {name:?})", report::printable(&text)),
            None => report::printable(&text),
        },
    };
    report::print_line(&line)
}
