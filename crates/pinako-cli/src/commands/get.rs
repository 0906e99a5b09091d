//! `pinako get`

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use pinako::export::{FileFormat, image_file};
use pinako::{Error, ErrorKind, ImageFormat, Result};

use crate::args::GetArgs;
use crate::report::{self, written};

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
        Some(file) => {
            replace(file, &bytes).map_err(|error| Error::io(format!("cannot write {}", file.display()), error))?
        }
        None => {
            let mut out = report::output();
            written(out.write_all(&bytes).and_then(|()| out.flush()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file aside and gives it its name when it is whole, so that one that was there before is never half gone.
/// What is no plain file (a device, a pipe) is written to.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match file.canonicalize() {
        Ok(target) if !target.is_file() => return File::options().write(true).open(target)?.write_all(bytes),
        Ok(target) => target, // what a link points to is replaced, not the link
        Err(_) => file.to_owned(),
    };
    let Some(name) = target.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(format!(".partial-{}", std::process::id()));
    let aside = target.with_file_name(aside);
    let write = || {
        let mut file = File::create_new(&aside)?;
        if let Ok(old) = target.metadata() {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(bytes)?;
        fs::rename(&aside, &target)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&aside); // it may not have been made
    })
}
