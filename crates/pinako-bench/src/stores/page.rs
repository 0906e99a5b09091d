//! The report for people.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::plots;
use super::report::{Measurement, Operation, Report};
use crate::chart::Chart;
use crate::figures;
use crate::html::{self, escape};

/// What the main table shows, and what that means.
const ROWS: [(Operation, &str); 9] = [
    (Operation::StoreSynced, "from making the store to closing it, all on the disk"),
    (Operation::StoreBuffered, "the same, without waiting for the disk"),
    (Operation::ReadWarm, "from opening the store to having all pixels; files in memory"),
    (Operation::ReadCold, "the same; files on the disk"),
    (Operation::RandomWarm, "a single read in an open store that was read before"),
    (Operation::RandomCold, "the same, right after opening; files on the disk"),
    (Operation::Disk, "whole blocks of the file system, all files of the store together"),
    (Operation::StoreMemory, "peak, beyond the source images"),
    (Operation::ReadMemory, "peak, beyond the pixels' own"),
];

/// The whole page.
pub(super) fn page(report: &Report, charts: &[Chart]) -> String {
    let images = figures::count(report.largest());
    let title = format!("Which store for {images} images?");
    let mut page = String::new();
    let mut put = |part: String| page += &part;
    put(header(report, &title));
    put(format!("<section class=\"answer\"><p>{}</p></section>\n", escape(&report.recommendation.headline)));
    put(warnings(report));
    put(advice(report));
    put(main_table(report));
    put(html::pictures(charts));
    put(costs(report));
    put(all_figures(report));
    put(method(report));
    put(report.head.section(&[]));
    put("<footer>Every sample is in <code>report.json</code>, their summaries are in <code>report.csv</code>, and each \
         picture is beside this page as SVG and PNG.</footer>\n"
        .to_owned());
    html::document(&title, &page)
}

fn header(report: &Report, title: &str) -> String {
    let data = &report.data;
    let shape = data.shape.as_ref().map_or("of different shapes".to_owned(), |shape| format!("of {shape} each"));
    let again = if data.images < report.largest() { ", taken again and again" } else { "" };
    let mut text = format!(
        "<header>\n<h1>{title}</h1>\n<p class=\"quiet\">{} compared on {}: {}, {}{again}. {}</p>\n",
        report.backends.iter().map(|backend| escape(backend)).collect::<Vec<_>>().join(", "),
        escape(&data.description),
        figures::counted(data.images, "image"),
        escape(&shape),
        escape(report.head.day()),
    );
    if let Some(sheet) = &data.sheet {
        let _ = writeln!(
            text,
            "<img class=\"sheet\" alt=\"The first of the images\" src=\"data:image/png;base64,{}\">",
            BASE64.encode(sheet)
        );
    }
    text + "</header>\n"
}

fn warnings(report: &Report) -> String {
    let mut text = String::new();
    if report.head.debug_build {
        text += "<p class=\"warning\">Pinako was compiled without optimisation: no time on this page says anything about \
                 it. Build it with <code>--release</code>.</p>\n";
    }
    if !report.cold_is_cold {
        text += "<p class=\"warning\">The file system of the stores does not give up what it has in memory, so everything \
                 that is called cold on this page was warm.</p>\n";
    }
    text
}

fn advice(report: &Report) -> String {
    let mut text = "<h2>What to choose</h2>\n<ul class=\"advice\">\n".to_owned();
    for advice in &report.recommendation.advice {
        let names: String = advice.best.iter().map(|backend| name(report, backend)).collect();
        let _ = writeln!(
            text,
            "<li><small>If you {}</small><br>{names}<p>{}</p></li>",
            escape(&advice.purpose),
            escape(&advice.text)
        );
    }
    let _ = writeln!(text, "</ul>\n<p class=\"quiet\">{}</p>", escape(&report.recommendation.rule));
    text
}

fn name(report: &Report, backend: &str) -> String {
    let color = plots::color(report, backend).css();
    format!("<span class=\"name\"><span class=\"dot\" style=\"background:{color}\"></span>{}</span>", escape(backend))
}

fn main_table(report: &Report) -> String {
    let count = report.largest();
    let mut text = format!(
        "<h2>{}, side by side</h2>\n<p class=\"quiet\">Medians, and below them the least and the greatest sample, or how \
         long 95 % of single reads take at most. Shorter bars are better; a tick marks the best, and those that cannot be \
         told apart from it.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th></th>",
        figures::counted(count, "image")
    );
    for backend in &report.backends {
        let _ = write!(text, "<th>{}</th>", name(report, backend));
    }
    text += "</tr></thead>\n<tbody>\n";
    for (operation, meaning) in ROWS {
        let found: Vec<Option<&Measurement>> =
            report.backends.iter().map(|backend| report.find(backend, count, operation)).collect();
        let medians = || found.iter().flatten().map(|found| found.summary.median);
        let most = medians().fold(0.0, f64::max);
        let Some(best) = found.iter().flatten().min_by(|a, b| a.summary.median.total_cmp(&b.summary.median)) else {
            continue;
        };
        let _ = write!(text, "<tr><th>{}<small>{meaning}</small></th>", capital(operation.title()));
        for (backend, found) in report.backends.iter().zip(&found) {
            let Some(found) = found else {
                text += "<td></td>";
                continue;
            };
            let class = if found.summary.ties_with(&best.summary) { " class=\"best\"" } else { "" };
            let width = if most > 0.0 { found.summary.median / most * 100.0 } else { 0.0 };
            let _ = write!(
                text,
                "<td{class}><span>{}</span><span class=\"bar\" style=\"width:{width:.1}%;background:{}\"></span>\
                 <small>{}</small></td>",
                found.unit.text(found.summary.median),
                plots::color(report, backend).css(),
                spread(found)
            );
        }
        text += "</tr>\n";
    }
    text + "</tbody></table></div>\n"
}

fn spread(found: &Measurement) -> String {
    if let Some(p95) = found.p95 {
        return format!("95 %: {}", found.unit.text(p95));
    }
    let mut text = match found.summary.min == found.summary.max {
        true => String::new(),
        false => format!("{} to {}", found.unit.text(found.summary.min), found.unit.text(found.summary.max)),
    };
    if let Some(rate) = found.images_per_second() {
        let _ = write!(text, "{}{} images/s", if text.is_empty() { "" } else { "<br>" }, figures::rate(rate));
    }
    text
}

/// What is paid for requests and bytes by whoever pays for them.
fn costs(report: &Report) -> String {
    let lines: String = report.cost_lines().map(|line| format!("<li>{}</li>\n", escape(&line))).collect();
    match &*lines {
        "" => String::new(),
        lines => format!("<h2>Requests and bytes</h2>\n<ul class=\"prose\">\n{lines}</ul>\n"),
    }
}

fn all_figures(report: &Report) -> String {
    let mut text = "<details><summary>All medians, by number of images</summary>\n<div class=\"scroll\">\n".to_owned();
    for operation in Operation::ALL {
        let counts: Vec<u64> = report
            .counts
            .iter()
            .copied()
            .filter(|&count| report.backends.iter().any(|backend| report.find(backend, count, operation).is_some()))
            .collect();
        if counts.is_empty() {
            continue;
        }
        let _ = write!(text, "<table><thead><tr><th>{}</th>", capital(operation.title()));
        for &count in &counts {
            let _ = write!(text, "<th>{}</th>", figures::count(count));
        }
        text += "</tr></thead><tbody>\n";
        for backend in &report.backends {
            let _ = write!(text, "<tr><th>{}</th>", escape(backend));
            for &count in &counts {
                let shown = report.find(backend, count, operation).map(|found| found.unit.text(found.summary.median));
                let _ = write!(text, "<td>{}</td>", shown.unwrap_or_default());
            }
            text += "</tr>\n";
        }
        text += "</tbody></table>\n";
    }
    text + "</div></details>\n"
}

fn method(report: &Report) -> String {
    let repetitions =
        |count| report.backends.first().and_then(|backend| report.find(backend, count, Operation::StoreSynced));
    let repetitions: Vec<usize> =
        report.counts.iter().filter_map(|&count| repetitions(count)).map(|found| found.samples.len()).collect();
    let (least, most) = (repetitions.iter().min().unwrap_or(&0), repetitions.iter().max().unwrap_or(&0));
    let repetitions = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let singles = |operation| {
        let found = report.backends.iter().filter_map(|backend| report.find(backend, report.largest(), operation));
        figures::count(found.map(|found| found.singles.len() as u64).max().unwrap_or(0))
    };
    let (warm, cold) = (singles(Operation::RandomWarm), singles(Operation::RandomCold));
    format!(
        "<h2>How it was measured</h2>\n<ul class=\"prose\">\n\
         <li>Each of {repetitions} repetitions, more where there are fewer images, goes through all backends in turn, so \
         that what disturbs the machine for a while disturbs all of them. What is shown is the median.</li>\n\
         <li>Storing goes from making the store to closing it, in batches as large as those of an import. Reading all goes \
         from opening the store to having the pixels in memory, in order, on all cores, with checksums checked. Images have \
         their default encoding: PNG in files, raw pixels elsewhere.</li>\n\
         <li>Single images are read one after another by one thread: {warm} with a warm cache and {cold} with a cold one, by \
         each backend, at random places that are the same for all. What stands for them is their median, with a cold \
         cache their mean: the few that wait for the disk are what it costs.</li>\n\
         <li>Cold means that the store was written to the disk, closed, and dropped from the page cache of this machine \
         before. A disk, or the host of a virtual machine, may still have had it in memory. So may a server, which nothing here can \
         make forget: stores on servers are not read cold.</li>\n\
         <li>Memory is anonymous memory, what the process itself allocates: pages of mapped or cached files belong to the \
         system, which takes them back when it needs them. It was looked at twice a millisecond in a run of its own.</li>\n\
         <li>Every image that was read was compared with the one that was stored, outside the time that is shown; a single \
         difference would have ended the run.</li>\n</ul>\n\
         <h2>What these figures do not say</h2>\n<ul class=\"prose\">\n\
         <li>How it is on another machine, disk or file system, or with images of another size: run it there, on yours, with \
         <code>--data</code>.</li>\n\
         <li>How it is with several readers or writers at once, or with sets that are larger than memory.</li>\n\
         <li>What else matters: files can be looked at by any program; LMDB, HDF5 and SQLite are one file or a few, which \
         are quickly copied.</li>\n</ul>\n"
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
