//! `pinako remove`, `pinako labels`, `pinako compact` and `pinako vacuum`

use std::collections::HashMap;
use std::process::ExitCode;

use pinako::descriptor::check_name;
use pinako::{Descriptor, Error, ErrorKind, Id, Label, Result, Store};
use pinako_bench::figures;

use crate::args::{CompactArgs, LabelsArgs, RemoveArgs, VacuumArgs};
use crate::pick::ImagePick;
use crate::progress::Waiting;
use crate::report;

pub fn remove(args: &RemoveArgs) -> Result<ExitCode> {
    let store = Store::open(&args.store)?;
    let mut ids = Vec::new();
    let mut missing = Vec::new();
    for (image, found) in args.images.iter().zip(look_up_all(&store, &args.images)?) {
        match found {
            Some(id) => ids.push(id),
            None if missing.contains(&image) => {}
            None => missing.push(image),
        }
    }
    let removed = store.remove(&ids)?;
    report::say(format_args!("removed {}", figures::counted(removed, "image")));
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    report::say(format_args!("not there: {}", missing.join(", ")));
    Ok(ExitCode::from(report::NOT_THERE))
}

/// The ids of the images that are meant, those that are there: all in one call, as to a server that may be far away.
fn look_up_all(store: &Store, images: &[ImagePick]) -> Result<Vec<Option<Id>>> {
    let names = |image: &ImagePick| match image {
        ImagePick::Name(name) if check_name(name).is_ok() => Some(name.clone()),
        _ => None,
    };
    let names: Vec<String> = images.iter().filter_map(names).collect();
    let ids: Vec<Id> = images.iter().filter_map(ImagePick::id).collect();
    let found = store.find_all(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let by_name: HashMap<&str, Option<Id>> = names.iter().map(String::as_str).zip(found).collect();
    let there: Vec<bool> = match store.descriptors(&ids) {
        Ok(found) => found.iter().map(Option::is_some).collect(),
        // One is there but cannot be read, which is all the more reason to remove it: which ones are?
        Err(error) if error.id().is_some() => ids.iter().map(|&id| is_there(store, id)).collect::<Result<_>>()?,
        Err(error) => return Err(error),
    };
    let mut there = ids.into_iter().zip(there).map(|(id, is_there)| is_there.then_some(id));
    Ok(images
        .iter()
        .map(|image| match image {
            ImagePick::Id(_) => there.next().flatten(),
            ImagePick::Name(name) => by_name.get(&**name).copied().flatten(),
        })
        .collect())
}

fn is_there(store: &Store, id: Id) -> Result<bool> {
    match store.descriptors(&[id]) {
        Ok(found) => Ok(found.iter().any(Option::is_some)),
        Err(error) if error.id() == Some(id) => Ok(true),
        Err(error) => Err(error),
    }
}

pub fn labels(args: &LabelsArgs) -> Result<ExitCode> {
    let names = &args.names;
    let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
    if let Some(place) = (1..names.len()).find(|&place| names[..place].contains(&names[place])) {
        return Err(invalid(format!("two labels are to be named {:?}", names[place])));
    }
    let store = Store::open(&args.store)?;
    let before = store.label_names()?;
    for descriptor in store.scan(0) {
        let Descriptor { id, label, .. } = descriptor?;
        if let Some(label) = label.filter(|label| !(0..names.len() as Label).contains(label)) {
            return Err(invalid(format!("image {id} has the label {label}, which would be without a name"))
                .at_store(store.url())
                .with_hint("give a name to each of the labels 0, 1, 2, ..., in this order"));
        }
    }
    store.change_label_names(&before, names)?;
    report::say(format_args!("the label names are {}", names.join(", ")));
    Ok(ExitCode::SUCCESS)
}

pub fn compact(args: &CompactArgs) -> Result<ExitCode> {
    let store = Store::open(&args.store)?;
    let before = store.footprint()?.disk_bytes;
    let waiting = Waiting::start("compacting");
    store.compact()?;
    let after = store.footprint()?.disk_bytes;
    let replaced = store.vacuum(VacuumArgs::KEEP, true)?;
    drop(waiting);
    report::say(format_args!("{} on disk before, {} now", figures::bytes(before as f64), figures::bytes(after as f64)));
    let left = replaced.bytes + replaced.young_bytes;
    if left > 0 {
        let left = figures::bytes(left as f64);
        report::say(format_args!(
            "{left} of what was replaced stay for those who are reading; `pinako vacuum` deletes them"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn vacuum(args: &VacuumArgs) -> Result<ExitCode> {
    let store = if args.dry_run { Store::options().open_read_only(&args.store)? } else { Store::open(&args.store)? };
    let waiting = Waiting::start("vacuuming");
    let gone = store.vacuum(*args.keep, args.dry_run)?;
    drop(waiting);
    let text =
        |objects: u64, bytes: u64| format!("{}, {}", figures::counted(objects, "object"), figures::bytes(bytes as f64));
    let done = if args.dry_run { "would delete" } else { "deleted" };
    report::say(format_args!("{done} {}", text(gone.objects, gone.bytes)));
    if gone.young_objects > 0 {
        let young = text(gone.young_objects, gone.young_bytes);
        report::say(format_args!("too young to go, by --keep and an hour more: {young}"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use pinako::backends::Memory;
    use pinako::wrappers::{Counted, Operation};
    use pinako::{Image, NewImage, Shape};

    use super::*;

    #[test]
    fn many_images_are_looked_up_by_one_call() {
        let counted = Counted::new(Box::new(Memory::new()));
        let counts = counted.counts();
        let store = Store::from_backend(counted);
        let image = Image::from_samples(Shape::new(1, 1, 1).unwrap(), &[7u8]).unwrap();
        store.append(["a", "b"].map(|name| NewImage::pixels(&image).name(name))).unwrap();
        counts.reset();
        let picks = ["name:b", "0", "9", "a", "name:\u{1}", "1", "c", "0"].map(|text| text.parse().unwrap());
        let found = look_up_all(&store, &picks).unwrap();
        assert_eq!(found, [Some(1), Some(0), None, Some(0), None, Some(1), None, Some(0)]);
        assert_eq!([Operation::Describe, Operation::Find].map(|operation| counts.calls(operation)), [1, 1]);
    }
}
