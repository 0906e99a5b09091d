//! `pinako import`

use std::process::ExitCode;
use std::time::Instant;

use pinako::{Error, ImportEncoding, ImportOptions, Imported, Result, source};
use pinako_bench::figures;

use super::{durability, open_or_create, say_how_to_go_on, say_whose_links};
use crate::args::ImportArgs;
use crate::progress::{self, Job};
use crate::report;

/// Skipped images that are named in the summary; more of them are only counted.
const MOST_SKIPPED: usize = 10_000;

pub fn run(args: &ImportArgs) -> Result<ExitCode> {
    let (paths, store) = args.sources_and_store().unwrap_or_else(|usage| usage.exit());
    let encoding = args.how().unwrap_or_else(|usage| usage.exit());
    // All sources first: one that cannot be opened must not leave an empty store behind.
    let sources = paths.iter().map(|path| source::open(path)).collect::<Result<Vec<_>>>()?;
    let options = args.decode.options().durability(durability(args.buffered));
    let store = open_or_create(&options, store)?;
    if encoding == ImportEncoding::Link {
        say_whose_links(&store);
    }
    let how = ImportOptions {
        encoding,
        skip_bad: args.skip_bad,
        name_prefix: (!args.name_prefix.is_empty()).then(|| args.name_prefix.clone()),
    };

    let mut sum = Imported::default();
    let mut skipped = Vec::new();
    let mut outcome = Ok(());
    let began = Instant::now();
    for (path, mut source) in paths.iter().zip(sources) {
        let mut job = Job::start("importing");
        job.bar().suspend(|| report::say(format_args!("{}: {}", path.display(), source.describe())));
        let mut skip = |error: &Error| {
            sum.skipped += 1;
            if skipped.len() < MOST_SKIPPED {
                skipped.push(report::in_one_line(error));
            }
        };
        match store.import(&mut *source, &how, &mut skip, &mut |progress| job.watch(progress)) {
            Ok(imported) => {
                sum.images += imported.images;
                sum.bytes += imported.bytes;
                sum.present += imported.present;
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    let synced = store.sync();
    if let Err(error) = &outcome {
        say_how_to_go_on(error);
    }
    if outcome.is_ok() {
        report::say(format_args!("imported {}", progress::summary(sum.images, sum.bytes, began.elapsed())));
    }
    if sum.present > 0 {
        report::say(format_args!("there before: {}", figures::counted(sum.present, "image")));
    }
    if sum.skipped > 0 {
        report::say(format_args!("skipped: {}", figures::counted(sum.skipped, "image")));
        skipped.iter().for_each(|line| report::say(format_args!("  {line}")));
        if sum.skipped > skipped.len() as u64 {
            report::say("  ...");
        }
    }
    outcome.and(synced).map(|()| ExitCode::SUCCESS)
}
