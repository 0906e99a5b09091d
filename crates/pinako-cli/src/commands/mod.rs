//! One file for each command, or for a few that belong together.

mod bench;
mod calibrate;
mod completions;
mod copy;
mod explain;
mod export;
mod get;
mod import;
mod info;
mod list;
mod put;
mod relayout;
mod upkeep;
mod verify;

use std::process::ExitCode;

use pinako::{Durability, Error, ErrorKind, OpenOptions, Result, Store, backends};

use crate::args::{Args, Command, DecodeArgs};
use crate::report;

/// Does what the command line says.
pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Copy(args) => copy::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Put(args) => put::run(&args),
        Command::Relayout(args) => relayout::run(&args),
        Command::Remove(args) => upkeep::remove(&args),
        Command::Labels(args) => upkeep::labels(&args),
        Command::Info(args) => info::run(&args),
        Command::List(args) => list::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Compact(args) => upkeep::compact(&args),
        Command::Vacuum(args) => upkeep::vacuum(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

impl DecodeArgs {
    /// The options for a store in which images are decoded.
    fn options(&self) -> OpenOptions {
        Store::options().max_image_bytes(self.max_image_bytes)
    }
}

/// Opens the store that a job fills, or makes it with its first images.
fn open_or_create(options: &OpenOptions, url: &str) -> Result<Store> {
    match url {
        "memory:" => {
            Err(Error::new(ErrorKind::InvalidInput, "memory: keeps images only for as long as this command runs")
                .with_hint("name a store that stays; `pinako --help` lists the kinds"))
        }
        url => options.open_or_create(url),
    }
}

/// Says what links in `store` mean where others reach it from other machines.
fn say_whose_links(store: &Store) {
    if backends::is_on_server(store.url()) {
        report::say("the links are paths on this machine: others need the files at the same places");
    }
}

/// Says what is left of a job that a server ended.
fn say_how_to_go_on(error: &Error) {
    if error.kind() == ErrorKind::Transient {
        report::say("whole batches stay; the same command goes on after them");
    }
}

/// What `--buffered` means.
fn durability(buffered: bool) -> Durability {
    if buffered { Durability::Buffered } else { Durability::Full }
}
