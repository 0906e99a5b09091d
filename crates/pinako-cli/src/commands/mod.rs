//! One file for each command, or for a few that belong together.

mod completions;
mod copy;
mod export;
mod get;
mod import;
mod info;
mod list;
mod put;
mod upkeep;
mod verify;

use std::process::ExitCode;

use pinako::{OpenOptions, Result, Store};

use crate::args::{Args, Command};

/// Does what the command line says.
pub fn run(args: Args) -> Result<ExitCode> {
    let max_image_bytes = args.max_image_bytes;
    let options = Store::options().max_image_bytes(max_image_bytes);
    match args.command {
        Command::Import(args) => import::run(&args, options),
        Command::Export(args) => export::run(&args, options),
        Command::Copy(args) => copy::run(&args, options),
        Command::Get(args) => get::run(&args, options),
        Command::Put(args) => put::run(&args, options, max_image_bytes),
        Command::Remove(args) => upkeep::remove(&args, options),
        Command::Info(args) => info::run(&args, options),
        Command::List(args) => list::run(&args, options),
        Command::Verify(args) => verify::run(&args, options),
        Command::Compact(args) => upkeep::compact(&args, options),
        Command::Completions(args) => completions::run(&args),
    }
}

/// The options for a command that stores many images.
fn durable(options: OpenOptions, buffered: bool) -> OpenOptions {
    options.durability(if buffered { pinako::Durability::Buffered } else { pinako::Durability::Full })
}
