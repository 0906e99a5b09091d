//! `pinako completions`

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use pinako::Result;

use crate::args::{Args, CompletionsArgs};
use crate::report;

pub fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new(); // `generate` panics where it cannot write
    clap_complete::generate(args.shell, &mut Args::command(), "pinako", &mut script);
    let mut out = report::output();
    report::written(out.write_all(&script).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}
