//! `pinako list`: nothing is gathered, so that a million images take no more memory than a thousand.

use std::io::Write;
use std::process::ExitCode;

use pinako::{Descriptor, Result, Store};
use pinako_bench::figures;

use crate::args::ListArgs;
use crate::report::{self, written};
use crate::table::{self, ImageJson, Pages};

pub fn run(args: &ListArgs) -> Result<ExitCode> {
    let store = Store::options().open_read_only(&args.store)?;
    let label_names = store.label_names()?;
    let label = args.label.as_ref().map(|label| label.resolve(&label_names)).transpose()?;
    let wanted = |descriptor: &Result<Descriptor>| {
        descriptor.as_ref().map_or(true, |descriptor| label.is_none() || descriptor.label == label)
    };
    let images = store.scan(args.from).filter(wanted).take(args.limit.unwrap_or(usize::MAX));

    let mut out = report::output();
    if args.json {
        for descriptor in images {
            let descriptor = descriptor?;
            written(writeln!(out, "{}", table::to_json_line(&ImageJson::new(&descriptor, &label_names))))?;
        }
    } else {
        let mut pages = Pages::new(&["id", "label", "shape", "type", "encoding", "bytes", "name"], &[0, 5]);
        for descriptor in images {
            if let Some(page) = pages.add(row(&descriptor?, &label_names)) {
                written(out.write_all(page.as_bytes()))?;
            }
        }
        written(out.write_all(pages.turn().as_bytes()))?;
    }
    written(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn row(descriptor: &Descriptor, label_names: &[String]) -> Vec<String> {
    vec![
        descriptor.id.to_string(),
        table::label_text(descriptor.label, label_names),
        descriptor.shape.to_string(),
        descriptor.sample_type.to_string(),
        table::encoding_text(descriptor.encoding),
        figures::count(descriptor.payload_length),
        descriptor.name.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
