//! The `pinako` command.
//!
//! [`args`] parses the command line into plain values; each file in [`commands`] resolves those into stores and
//! sources and does one job with the library. What was asked for goes to the standard output, all talk to the standard
//! error, so that a pipe carries data only.

mod args;
mod commands;
mod interrupt;
mod pick;
mod progress;
mod report;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    commands::run(args).unwrap_or_else(|error| report::failure(&error))
}
