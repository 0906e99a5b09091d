//! `pinako get`

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use pinako::export::{FileFormat, image_file};
use pinako::{Error, ErrorKind, ImageFormat, OpenOptions, Result};

use crate::args::GetArgs;
use crate::report::{self, written};

pub fn run(args: &GetArgs, options: OpenOptions) -> Result<ExitCode> {
    if args.output.is_none() && report::output_is_terminal() {
        return Err(Error::new(ErrorKind::InvalidInput, "an image makes no sense on a terminal")
            .with_hint("say where to with -o FILE, or pipe the output into a program"));
    }
    let format = match &args.output {
        Some(file) if !args.payload => FileFormat::of(file)?,
        _ => FileFormat::Image(ImageFormat::Png),
    };
    let store = options.open_read_only(&args.store)?;
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
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let permissions = target.metadata().map_or_else(|_| Permissions::from_mode(0o666), |old| old.permissions());
    let mut aside = tempfile::Builder::new().prefix(".pinako-").permissions(permissions).tempfile_in(folder)?;
    aside.write_all(bytes)?;
    aside.persist(target)?;
    Ok(())
}
