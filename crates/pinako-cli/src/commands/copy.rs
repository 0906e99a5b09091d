//! `pinako copy`

use std::process::ExitCode;

use pinako::{OpenOptions, Result};

use super::durable;
use crate::args::CopyArgs;
use crate::progress::{self, Job, images_text};
use crate::report;

pub fn run(args: &CopyArgs, options: OpenOptions) -> Result<ExitCode> {
    let from = options.open_read_only(&args.from)?;
    let to = durable(options, args.buffered).open_or_create(&args.to)?;
    let mut job = Job::start("copying");
    let copied = from.copy_to(&to, &mut |progress| job.watch(progress))?;
    to.sync()?;
    let took = job.finish();
    report::say(format_args!("copied {}", progress::summary(copied.images, copied.bytes, took)));
    if copied.present > 0 {
        report::say(format_args!("{} had been copied before", images_text(copied.present)));
    }
    Ok(ExitCode::SUCCESS)
}
