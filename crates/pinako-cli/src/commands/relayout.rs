//! `pinako relayout`

use std::process::ExitCode;

use pinako::{Progress, Result, Store};

use crate::args::RelayoutArgs;
use crate::progress::Job;
use crate::report;

pub fn run(args: &RelayoutArgs) -> Result<ExitCode> {
    let store = Store::open(&args.store)?;
    // All are looked up first: one that is not there must not be found out when others have changed. And an image that is
    // named twice has another id by then.
    let mut ids = Vec::new();
    for image in &args.images {
        let id = image.resolve(&store)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut job = Job::start("relayout");
    let total = Some(ids.len() as u64);
    for (images, id) in ids.into_iter().enumerate() {
        let done = Progress { images: images as u64, total, ..Progress::default() };
        let id = store.relayout(id, args.layout, &mut |at| job.watch(Progress { percent: at.percent, ..done }))?;
        job.bar().suspend(|| report::print_line(&id.to_string()))?;
    }
    Ok(ExitCode::SUCCESS)
}
