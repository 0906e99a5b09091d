//! `pinako get`

use std::process::ExitCode;

use pinako::export::{FileFormat, image_file, write_file};
use pinako::{Error, ErrorKind, ImageFormat, Result};

use crate::args::GetArgs;
use crate::report;

pub fn run(args: &GetArgs) -> Result<ExitCode> {
    if args.output.is_none() && report::output_is_terminal() {
        return Err(Error::new(ErrorKind::InvalidInput, "an image makes no sense on a terminal")
            .with_hint("say where to with -o FILE, or pipe the output into a program"));
    }
    let format = match &args.output {
        Some(file) if !args.payload => FileFormat::of(file)?,
        _ => FileFormat::Image(ImageFormat::Png),
    };
    let store = args.decode.options().open_read_only(&args.store)?;
    let id = args.image.resolve(&store)?;
    let bytes = match args.payload {
        true => store.payload(id)?,
        false => image_file(&store, id, args.region, format)?,
    };
    match &args.output {
        Some(file) => write_file(file, &bytes)?,
        None => report::print(&bytes)?,
    }
    Ok(ExitCode::SUCCESS)
}
