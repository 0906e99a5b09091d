//! `pinako explain`

use std::io::Write;
use std::process::ExitCode;

use pinako::Result;
use pinako::export::write_file;
use pinako::plan::{Budget, Strategy};
use pinako_bench::explain::{self, Explanation, Options, Way};
use pinako_bench::figures;

use crate::args::ExplainArgs;
use crate::report::{self, written};
use crate::table;

/// About so many plans of the frontier are shown; JSON has them all.
const FRONTIER_POINTS: usize = 9;

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let options = args.decode.options();
    let store = match args.device {
        None => options.open_read_only(&args.store)?,
        Some(device) => options.device(device).open_read_only(&args.store)?,
    };
    let id = args.image.resolve(&store)?;
    let options = Options {
        strategies: args.strategies.clone(),
        budget: Budget { max_reads: args.max_reads, max_extra_bytes: args.max_extra_bytes },
        measure: args.run,
    };
    let found = explain::explain(&store, id, args.region, &options)?;
    if let Some(file) = &args.picture {
        write_file(file, &explain::picture(&store, id, args.region, &options)?)?;
    }
    let text = match args.json {
        true => table::to_json_line(&found),
        false => to_text(&found, args),
    };
    let mut out = report::output();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
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
        None => pairs.push(("decoded", "all of it is read and decoded, and the region is cut out".to_owned())),
    }
    let mut text = table::pairs(&pairs).trim_fmt();
    let mut header = vec!["strategy", "runs", "reads", "bytes", "extra", "predicted"];
    header.extend(args.run.then_some("measured"));
    let mut ways = table::with_header(&header, &[1, 2, 3, 4, 5, 6]);
    for way in &found.ways {
        ways.add_row(row(way));
    }
    text += &format!("\n\n{}", ways.trim_fmt());
    if found.ways.iter().any(|way| way.strategy == Strategy::Optimal.to_string()) {
        text += &format!("\n\n{}", frontier(found));
    }
    if args.run {
        text += "\n\nmeasured: the median, with all that is read in the cache";
        if args.device.is_some() {
            text += ", and the device's waiting on top";
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

fn row(way: &Way) -> Vec<String> {
    let count = |number: usize| figures::count(number as u64);
    let mut row = vec![
        way.strategy.clone(),
        count(way.runs),
        count(way.reads),
        figures::count(way.bytes),
        way.extra_bytes.map_or_else(|| "-".to_owned(), figures::count),
        figures::seconds(way.predicted_seconds),
    ];
    row.extend(way.measured_seconds.map(|seconds| figures::seconds(seconds.median)));
    row
}

fn bytes(bytes: u64) -> String {
    figures::bytes(bytes as f64)
}
