//! `pinako calibrate`

use std::process::ExitCode;

use pinako::{Progress, Result, Store, backends};
use pinako_bench::calibrate::{self, Options, Report};
use pinako_bench::figures;

use crate::args::CalibrateArgs;
use crate::progress::Job;
use crate::report;
use crate::table;

pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    Store::options().open_read_only(&args.store)?.can_keep_calibration()?;
    let mut job = Job::counting("measuring", "reads");
    let options = Options { seconds: args.seconds, ..Options::default() };
    let found = calibrate::calibrate(&args.store, &options, &mut |reads| {
        job.watch(Progress { images: reads, ..Progress::default() })
    })?;
    job.finish();
    let text = if args.json { table::to_json_line(&found) } else { to_text(&found) };
    report::print_line(&text)?;
    let file = Store::options().open_read_only(&args.store)?.keep_calibration(&found.calibration())?;
    report::say(format_args!("regions are planned by this from now on; it is kept in {}", file.display()));
    Ok(ExitCode::SUCCESS)
}

fn to_text(found: &Report) -> String {
    let growths = found.n_stars.iter().map(|growth| format!("{} for pixels of {} B", growth.n, growth.pixel_size));
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let how = match found.is_cold {
        true => "cold",
        false if backends::is_on_server(&found.store) => "over the network, from whatever the server had in memory",
        false => "from memory: its file system does not forget, so these are no times of a disk",
    };
    let pairs = [
        ("store", found.store.clone()),
        ("t1", format!("{} a read", figures::seconds(found.read_seconds))),
        ("t2", format!("{} a MB", figures::seconds(found.byte_seconds * 1e6))),
        ("P", format!("{} in flight at once", found.parallel_reads)),
        ("t1 / t2", format!("{} take as long as a read", figures::bytes(found.bytes_a_read))),
        ("paper's n*", growths.collect::<Vec<_>>().join(", ")),
        (
            "fit",
            format!("{} off in the middle, {} at most", percent(found.typical_error), percent(found.largest_error)),
        ),
        ("reads", format!("{}, {how}", figures::count(found.reads))),
        ("before", found.before.text()),
    ];
    let mut batches = table::with_header(&["bytes a read", "reads", "measured", "by the fit"], &[0, 1, 2, 3]);
    for batch in &found.batches {
        batches.add_row([
            figures::count(batch.read_bytes),
            batch.reads.to_string(),
            figures::seconds(batch.measured_seconds.median),
            figures::seconds(batch.predicted_seconds),
        ]);
    }
    format!("{}\n\n{}", table::pairs(&pairs).trim_fmt(), batches.trim_fmt())
}
