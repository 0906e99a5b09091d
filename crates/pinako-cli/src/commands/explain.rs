//! `pinako explain`

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use pinako::export::{FileFormat, write_file};
use pinako::plan::Budget;
use pinako::{Error, ErrorKind, ImageFormat, Progress, Result, backends};
use pinako_bench::explain::{self, Explanation, MEASURING_SECONDS, Options, Way};
use pinako_bench::figures;

use crate::args::ExplainArgs;
use crate::progress::Job;
use crate::report;
use crate::table;

/// About so many plans of the frontier are shown; JSON has them all.
const FRONTIER_POINTS: usize = 9;

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    args.picture.as_deref().map_or(Ok(()), check_picture)?;
    let options = args.decode.options();
    let store = match args.device {
        None => options.open_read_only(&args.store)?,
        Some(device) => options.device(device.into()).open_read_only(&args.store)?,
    };
    let id = args.image.resolve(&store)?;
    let options = Options {
        strategies: args.strategies.clone(),
        budget: Budget { max_reads: args.max_reads, max_extra_bytes: args.max_extra_bytes },
        measure: args.run,
    };
    let found = match args.run {
        true => {
            let mut job = Job::counting("measuring", "readings");
            let watch = &mut |readings| job.watch(Progress { images: readings, ..Progress::default() });
            explain::explain(&store, id, args.region, &options, watch)?
        }
        false => explain::explain(&store, id, args.region, &options, &mut |_| ControlFlow::Continue(()))?,
    };
    let is_raw = !found.frontier.is_empty();
    if !is_raw && (options.budget != Budget::default() || !options.strategies.is_empty()) {
        report::say("strategies and budgets are for raw images: this one is always read as a whole");
    }
    match &args.picture {
        Some(file) if is_raw => write_file(file, &explain::picture(&store, id, args.region, &options)?)?,
        Some(_) => report::say("there is no picture: the image is not raw, and no part of it is read by itself"),
        None => {}
    }
    let text = match args.json {
        true => table::to_json_line(&found),
        false => to_text(&found, args),
    };
    report::print_line(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The picture is a PNG file, and is not to be called anything else.
fn check_picture(file: &Path) -> Result<()> {
    if FileFormat::of(file).ok() == Some(FileFormat::Image(ImageFormat::Png)) {
        return Ok(());
    }
    let message = format!("the picture is a PNG file, which {} does not say", file.display());
    Err(Error::new(ErrorKind::InvalidInput, message).with_hint("end its name in .png"))
}

fn to_text(found: &Explanation, args: &ExplainArgs) -> String {
    let Explanation { encoding, width, height, costs, .. } = found;
    let mut pairs = vec![
        ("image", format!("{}, {width} x {height}, {encoding}", found.id)),
        ("region", format!("{}, {} of pixels", args.region, bytes(found.region_bytes))),
    ];
    pairs.push(("costs", costs.text()));
    match found.n_star {
        Some(n) => pairs.push(("paper's n*", format!("{n} for pixels of {}", bytes(found.pixel_size)))),
        None => {
            let decoded = "all of it is read and decoded, and the region is cut out; only the reading is predicted";
            pairs.push(("decoded", decoded.to_owned()));
        }
    }
    let mut text = table::pairs(&pairs).trim_fmt();
    let mut header = vec!["strategy", "runs", "reads", "bytes", "extra", "predicted"];
    header.extend(args.run.then_some("measured"));
    let mut ways = table::with_header(&header, &[1, 2, 3, 4, 5, 6]);
    for way in &found.ways {
        ways.add_row(row(way, args.run));
    }
    text += &format!("\n\n{}", ways.trim_fmt());
    if !found.frontier.is_empty() {
        text += &format!("\n\n{}", frontier(found));
    }
    if args.run {
        text += "\n\nmeasured: the median";
        if !backends::is_on_server(&args.store) {
            text += ", with all that is read in the cache";
        }
        if args.device.is_some() {
            text += ", and the device's waiting on top";
        }
        if found.ways.iter().any(|way| way.measured_seconds.is_none()) {
            text += &format!("; -: not read, as that would take more than {MEASURING_SECONDS:.0} s");
        }
    }
    text
}

/// What any plan could be, in some lines.
fn frontier(found: &Explanation) -> String {
    let mut points = table::with_header(&["reads", "bytes", "extra", "predicted", ""], &[0, 1, 2, 3]);
    let shown = found.frontier_in_brief(FRONTIER_POINTS);
    for point in &shown {
        points.add_row([
            figures::count(point.reads as u64),
            figures::count(point.bytes),
            figures::count(point.extra_bytes),
            figures::seconds(point.predicted_seconds),
            if point.is_optimal { "optimal".to_owned() } else { String::new() },
        ]);
    }
    let of = match found.frontier.len() {
        all if all > shown.len() => format!(" ({} of {} plans)", shown.len(), figures::count(all as u64)),
        _ => String::new(),
    };
    format!("the fewest bytes for so many reads{of}\n{}", points.trim_fmt())
}

fn row(way: &Way, is_run: bool) -> Vec<String> {
    let count = |number: usize| figures::count(number as u64);
    let mut row = vec![
        way.strategy.clone(),
        count(way.runs),
        count(way.reads),
        figures::count(way.bytes),
        way.extra_bytes.map_or_else(|| "-".to_owned(), figures::count),
        figures::seconds(way.predicted_seconds),
    ];
    let measured = way.measured_seconds.map_or_else(|| "-".to_owned(), |seconds| figures::seconds(seconds.median));
    row.extend(is_run.then_some(measured));
    row
}

fn bytes(bytes: u64) -> String {
    figures::bytes(bytes as f64)
}
