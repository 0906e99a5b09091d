//! What the pages of all experiments share: one HTML file that needs nothing else, no script and no network, and follows
//! the reader's light or dark.

use std::fmt::Write;

use crate::chart::Chart;
use crate::figures;
use crate::machine::Machine;

const CSS: &str = include_str!("page.css");

/// A page with that title and the HTML of its body.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// The section of the plots.
pub fn pictures(charts: &[Chart]) -> String {
    let mut text = "<h2>In pictures</h2>\n<div class=\"plots\">\n".to_owned();
    for chart in charts {
        let _ = writeln!(
            text,
            "<figure><figcaption><strong>{}</strong><small>{}</small></figcaption>{}</figure>",
            escape(&chart.title),
            escape(&chart.caption),
            chart.inline_svg()
        );
    }
    text + "</div>\n"
}

/// The section that says what was measured on, with more that is to be told.
pub fn machine(machine: &Machine, others: &[(&str, String)]) -> String {
    let facts = [
        ("Processor", format!("{}, {} cores used", machine.cpu, machine.cores)),
        ("Memory", figures::bytes(machine.memory_bytes as f64)),
        ("System", machine.system.clone()),
        ("File system", machine.file_system.clone()),
        ("Disk", machine.disk.clone()),
    ];
    let mut text = "<h2>The machine</h2>\n<dl>\n".to_owned();
    for (key, value) in facts.iter().chain(others) {
        let _ = writeln!(text, "<dt>{key}</dt><dd>{}</dd>", escape(value));
    }
    text + "</dl>\n"
}

/// Text of anybody's, as HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            other => escaped.push(other),
        }
    }
    escaped
}
