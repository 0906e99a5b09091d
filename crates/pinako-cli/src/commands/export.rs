//! `pinako export`

use std::process::ExitCode;

use pinako::Result;
use pinako::export::{self, Format};

use crate::args::{ExportArgs, FormatArg};
use crate::progress::{self, Job};
use crate::report;

pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let format = match args.format {
        None => Format::of(&args.out),
        Some(FormatArg::Folders) => Format::Folders,
        Some(FormatArg::Npy) => Format::Npy,
        Some(FormatArg::Hdf5) => Format::Hdf5,
        Some(FormatArg::Cifar) => Format::CifarPython,
    };
    let store = args.decode.options().open_read_only(&args.store)?;
    let mut job = Job::start("exporting");
    let exported = export::export(&store, &args.out, format, &mut |progress| job.watch(progress))?;
    let took = job.finish();
    let summary = progress::summary(exported.images, exported.bytes, took);
    report::say(format_args!("exported {summary}, to {}", args.out.display()));
    Ok(ExitCode::SUCCESS)
}
