//! `pinako copy`

use std::process::ExitCode;

use pinako::{Result, Store};
use pinako_bench::figures;

use super::{durability, open_or_create, say_how_to_go_on};
use crate::args::CopyArgs;
use crate::progress::{self, Job};
use crate::report;

pub fn run(args: &CopyArgs) -> Result<ExitCode> {
    let from = Store::options().open_read_only(&args.from)?;
    let to = open_or_create(&Store::options().durability(durability(args.buffered)), &args.to)?;
    let mut job = Job::start("copying");
    let copied = from.copy_to(&to, &mut |progress| job.watch(progress)).inspect_err(say_how_to_go_on)?;
    to.sync()?;
    let took = job.finish();
    report::say(format_args!("copied {}", progress::summary(copied.images, copied.bytes, took)));
    if copied.present > 0 {
        report::say(format_args!("{} had been copied before", figures::counted(copied.present, "image")));
    }
    Ok(ExitCode::SUCCESS)
}
