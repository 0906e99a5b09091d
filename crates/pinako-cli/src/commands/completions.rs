//! `pinako completions`

use std::process::ExitCode;

use clap::CommandFactory;
use pinako::Result;

use crate::args::{Args, CompletionsArgs};
use crate::report;

pub fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new(); // `generate` panics where it cannot write
    clap_complete::generate(args.shell, &mut Args::command(), "pinako", &mut script);
    report::print(&script)?;
    Ok(ExitCode::SUCCESS)
}
