//! `pinako relayout`

use std::io::Write;
use std::process::ExitCode;

use pinako::{Result, Store};

use crate::args::RelayoutArgs;
use crate::report::{self, written};

pub fn run(args: &RelayoutArgs) -> Result<ExitCode> {
    let store = Store::options().open(&args.store)?;
    // All are looked up first: one that is not there must not be found out when others have changed.
    let ids = args.images.iter().map(|image| image.resolve(&store)).collect::<Result<Vec<_>>>()?;
    let mut out = report::output();
    for id in ids {
        let id = store.relayout(id, args.layout)?;
        written(writeln!(out, "{id}").and_then(|()| out.flush()))?;
    }
    Ok(ExitCode::SUCCESS)
}
