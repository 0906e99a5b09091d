//! `pinako bench`

mod regions;
mod stores;

use std::process::ExitCode;

use pinako::Result;

use crate::args::{BenchArgs, Experiment};

pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.experiment {
        Experiment::Stores(args) => stores::run(args),
        Experiment::Regions(args) => regions::run(args),
    }
}
