//! `pinako remove` and `pinako compact`

use std::process::ExitCode;

use pinako::{Result, Store};
use pinako_bench::figures;

use crate::args::{CompactArgs, RemoveArgs};
use crate::progress::images_text;
use crate::report;

pub fn remove(args: &RemoveArgs) -> Result<ExitCode> {
    let store = Store::open(&args.store)?;
    let mut ids = Vec::new();
    let mut missing = Vec::new();
    for image in &args.images {
        match image.look_up(&store)? {
            Some(id) => ids.push(id),
            None => missing.push(image.to_string()),
        }
    }
    let removed = store.remove(&ids)?;
    report::say(format_args!("removed {}", images_text(removed)));
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    report::say(format_args!("not there: {}", missing.join(", ")));
    Ok(ExitCode::from(report::NOT_THERE))
}

pub fn compact(args: &CompactArgs) -> Result<ExitCode> {
    let store = Store::open(&args.store)?;
    let before = store.footprint()?.disk_bytes;
    store.compact()?;
    let after = store.footprint()?.disk_bytes;
    report::say(format_args!("{} on disk before, {} now", figures::bytes(before as f64), figures::bytes(after as f64)));
    Ok(ExitCode::SUCCESS)
}
