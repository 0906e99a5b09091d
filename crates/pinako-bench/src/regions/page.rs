//! The report for people.

use std::fmt::Write;

use super::tables::Row;
use super::{Report, Source, Table};
use crate::chart::Chart;
use crate::figures;
use crate::html::{self, escape};

/// The whole page.
pub(super) fn page(report: &Report, charts: &[Chart]) -> String {
    let title = "Rectangles of an image: the Hilbert curve against rows";
    let mut page = format!(
        "<header>\n<h1>{title}</h1>\n<p class=\"quiet\">The experiments of &ldquo;A New Method to Store and Retrieve \
         Images&rdquo; (CS-TR-3991, University of Maryland, 1999), done again. {}</p>\n</header>\n",
        escape(report.head.day())
    );
    if let Some(Source::Measured(how)) = &report.source
        && how.unbuffered == super::Unbuffered::No
    {
        page += "<p class=\"warning\">The file was read from memory: its file system neither takes unbuffered reads nor \
                 forgets. The times on this page are none of a disk. Give a <code>--folder</code> on one.</p>\n";
    }
    if let Some(headline) = &report.headline {
        let _ = writeln!(page, "<section class=\"answer\"><p>{}</p></section>", escape(headline));
    }
    page += &html::pictures(charts);
    page += "<h2>What follows</h2>\n<dl>\n";
    for super::Conclusion { topic, text } in &report.conclusions {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(topic), escape(text));
    }
    page += "</dl>\n";
    for table in report.main_tables() {
        page += &table_html(&table);
    }
    let more = report.more_tables();
    if !more.is_empty() {
        page += "<details><summary>The same with more reads in flight</summary>\n";
        more.iter().for_each(|table| page += &table_html(table));
        page += "</details>\n";
    }
    page += &method(report);
    page += &report.head.section(&[("Seed", report.seed.to_string())]);
    page += "<footer>All figures are in <code>report.json</code>, the tables' cells are in <code>report.csv</code>, and each \
             picture is beside this page as SVG and PNG.</footer>\n";
    html::document(title, &page)
}

fn table_html(table: &Table) -> String {
    let mut text =
        format!("<h2>{}</h2>\n<div class=\"scroll\"><table class=\"figures\"><thead><tr>", escape(&table.title));
    for name in &table.header {
        let _ = write!(text, "<th>{}</th>", escape(name));
    }
    text += "</tr></thead><tbody>\n";
    for Row { cells, best } in &table.rows {
        // What the paper has stands back.
        let class = if cells.get(1).is_some_and(|who| who == "paper") { " class=\"quiet\"" } else { "" };
        let _ = write!(text, "<tr{class}>");
        for (place, cell) in cells.iter().enumerate() {
            let cell = escape(cell);
            let _ = match *best == Some(place) {
                true => write!(text, "<td><strong>{cell}</strong></td>"),
                false => write!(text, "<td>{cell}</td>"),
            };
        }
        text += "</tr>\n";
    }
    text + "</tbody></table></div>\n"
}

fn method(report: &Report) -> String {
    let mut said: Vec<String> = Vec::new();
    if report.runs.is_some() {
        said.push(
            "Runs are counted, at every position, by the places where the curve crosses the query's border; a test compares \
             that with the runs themselves. A query is grown by rounding its borders outward, the high one being the first \
             row or column that is not in it, and clipped to the image."
                .to_owned(),
        );
    }
    if let Some(source) = &report.source {
        said.push(
            "Row and n = 0 to 4 are the paper's ways: each run is a read. Where n* is beyond, queries are grown by it as well, and \
             the best n is of all these. Optimal is the plan of this library for the same \
             bytes along the curve: it reads over those gaps that cost less than a read. Row, merged is the same for a \
             row-major image. The image has 1024 x 1024 pixels, single ones along the curve; save is what the best n saves of \
             the time of rows, as in the paper. The least time of a row is bold."
                .to_owned(),
        );
        if report.playing().is_some() && !matches!(source, Source::Store(_)) {
            said.push(
                "The device was played: the same reads were asked of a store in memory, all of a query at once, behind a queue \
                 that has no more of them in flight than said, makes each wait as long as the device would, and lets their \
                 bytes come one after the other. Each way to read had the same share of the time and began with its quickest \
                 cells, so that what is missing is what takes longest; each cell began with the query that is predicted to \
                 take about the mean."
                    .to_owned(),
            );
        }
        if let Source::Store(_) = source {
            said.push(
                "The store has one image of 12 MiB; all reads of a query were asked of its backend at once, which may merge or cut \
                 them: so requests of a server are counted. What is predicted follows from what reads cost, which was measured \
                 first. Each way to read had the same share of the time and began with its quickest cells, so that what is missing \
                 is what takes longest. What a server's machine had in memory, or a page cache here, it had."
                    .to_owned(),
            );
        }
        if let Source::Measured(how) = source {
            said.push(format!(
                "A file of {} of noise was read {}. Each query begins at another random place of it, and all ways get the same \
                 region, one after the other, so that what disturbs the machine disturbs all. Reads are rounded outward to \
                 blocks of {} bytes: by the paper's ways each for itself, even where two meet in one block; the plans count \
                 with the blocks.",
                figures::bytes(how.file_bytes as f64),
                how.unbuffered.text(),
                super::BLOCK,
            ));
            said.push(
                "A query takes the sum of its readings, as in the paper; with several in flight, that of the thread which was \
                 busy longest. What a read costs was measured first, for each number of them in flight; it chooses the plans \
                 and is the cost model's in the pictures. A disk, or the host of a virtual machine, may have answered some \
                 reads from its own memory."
                    .to_owned(),
            );
        }
    }
    let mut text = "<h2>How it was done</h2>\n<ul class=\"prose\">\n".to_owned();
    for part in said {
        let _ = writeln!(text, "<li>{}</li>", escape(&part));
    }
    text + "</ul>\n"
}
