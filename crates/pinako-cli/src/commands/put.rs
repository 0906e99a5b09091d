//! `pinako put`

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use pinako::backend::Properties;
use pinako::descriptor::check_name;
use pinako::{Error, ErrorKind, Image, Label, NewImage, PixelEncoding, Result, Store};

use super::{open_or_create, say_whose_links};
use crate::args::{EncodingArg, PutArgs};
use crate::pick::{LabelPick, known_names};
use crate::report::{self, written};

/// A file's content, as it is stored.
enum Loaded<'a> {
    Kept(Vec<u8>),
    Decoded(Image, PixelEncoding),
    Linked(&'a Path),
}

pub fn run(args: &PutArgs) -> Result<ExitCode> {
    if args.name.is_some() && args.files.len() > 1 {
        return Err(Error::new(ErrorKind::InvalidInput, "one name does not do for several files")
            .with_hint("leave --name out: each image is named after its file"));
    }
    let names = args.files.iter().map(|file| name(args, file)).collect::<Result<Vec<_>>>()?;
    let loaded = args.files.iter().map(|file| load(args, file)).collect::<Result<Vec<_>>>()?;

    let store = open_or_create(&args.decode.options(), &args.store)?;
    check_free(&store, &names)?;
    let label = args.label.as_ref().map(|label| label_in(&store, label)).transpose()?;
    let images = loaded.iter().zip(names).map(|(loaded, name)| {
        let image = match loaded {
            Loaded::Kept(bytes) => NewImage::file(bytes),
            Loaded::Decoded(image, encoding) => NewImage::encoded(image.view(), *encoding),
            Loaded::Linked(path) => NewImage::linked(path),
        };
        let image = image.label(label);
        match name {
            Some(name) => image.name(name),
            None => image,
        }
    });
    let ids = store.append(images)?;
    if args.link {
        say_whose_links(&store);
    }

    let mut out = report::output();
    for id in ids {
        written(writeln!(out, "{id}"))?;
    }
    written(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn name(args: &PutArgs, file: &Path) -> Result<Option<String>> {
    if args.unnamed {
        return Ok(None);
    }
    if let Some(name) = &args.name {
        return check_name(name).map(|()| args.name.clone());
    }
    let no_name = || Error::new(ErrorKind::InvalidInput, format!("{} gives no name to an image", file.display()));
    let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(no_name);
    name.and_then(|name| check_name(name).map(|()| Some(name.to_owned())))
        .map_err(|error| error.with_hint("give one with --name, or none with --unnamed"))
}

/// Reads a file and decodes it, whatever is stored of it: a damaged one is to be found out now, not when it is needed.
fn load<'a>(args: &PutArgs, file: &'a Path) -> Result<Loaded<'a>> {
    let limit = args.decode.max_image_bytes;
    if file.is_dir() {
        let message = format!("{} is a folder, not an image file", file.display());
        return Err(Error::new(ErrorKind::InvalidInput, message)
            .with_hint(format!("pinako import {} STORE stores all images in it", file.display())));
    }
    if args.link && file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let message = format!("{} is no regular file and cannot be linked", file.display());
        return Err(Error::new(ErrorKind::InvalidInput, message).with_hint("store its bytes: leave --link out"));
    }
    let bytes = read(file, limit)?;
    let image = Image::decode(&bytes, limit).map_err(|error| error.context(file.display()))?;
    Ok(match args.encoding {
        _ if args.link => Loaded::Linked(file),
        EncodingArg::Keep => Loaded::Kept(bytes),
        EncodingArg::Raw => Loaded::Decoded(image, PixelEncoding::Raw),
        EncodingArg::Png => Loaded::Decoded(image, PixelEncoding::Png),
    })
}

/// The bytes of a file, which must not be more than `limit`: an encoded image seldom takes more than its pixels.
fn read(file: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| Error::io(format!("cannot read {}", file.display()), error))?;
    if bytes.len() as u64 > limit {
        let message = format!("{} has more bytes than the limit of {limit}", file.display());
        return Err(
            Error::new(ErrorKind::Unsupported, message).with_hint("raise max_image_bytes if the file is to be trusted")
        );
    }
    Ok(bytes)
}

/// Checks that the names are all different and none is taken: nothing is to be added to the store for images that
/// cannot be.
fn check_free(store: &Store, names: &[Option<String>]) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names.iter().flatten() {
        let problem = match store.find(name)? {
            Some(id) => format!("image {id} is named {name:?} already"),
            None if !seen.insert(name) => format!("two of the files are named {name:?}"),
            None => continue,
        };
        return Err(Error::new(ErrorKind::Conflict, problem)
            .at_store(store.url())
            .with_hint("names are unique: put them one by one with --name, or all with --unnamed"));
    }
    Ok(())
}

/// The number of a label; a name that the store does not have yet is added to its label names.
fn label_in(store: &Store, label: &LabelPick) -> Result<Label> {
    loop {
        let Properties { label_names: before, count, .. } = store.properties()?;
        let name = match label {
            LabelPick::Name(name) => name,
            LabelPick::Number(number) if before.is_empty() || (0..before.len() as Label).contains(number) => {
                return Ok(*number);
            }
            LabelPick::Number(number) => {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no label {number}"))
                    .at_store(store.url())
                    .with_hint(format!("{}; --label NAME adds one", known_names(&before))));
            }
        };
        if before.contains(name) || before.is_empty() && count > 0 {
            return label.resolve(&before);
        }
        let mut names = before.clone();
        names.push(name.clone());
        match store.change_label_names(&before, &names) {
            Ok(()) => {
                report::say(format_args!("added the label {}, {name}", before.len()));
                return Ok(before.len() as Label);
            }
            // Somebody else has just added one, maybe this one.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}
