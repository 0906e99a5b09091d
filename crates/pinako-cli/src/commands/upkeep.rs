//! `pinako remove`, `pinako labels`, `pinako compact` and `pinako vacuum`

use std::process::ExitCode;

use pinako::{Descriptor, Error, ErrorKind, Label, Result, Store};
use pinako_bench::figures;

use crate::args::{CompactArgs, LabelsArgs, RemoveArgs, VacuumArgs};
use crate::pick::ImagePick;
use crate::progress::images_text;
use crate::report;

pub fn remove(args: &RemoveArgs) -> Result<ExitCode> {
    let store = Store::open(&args.store)?;
    let mut ids = Vec::new();
    let mut missing = Vec::new();
    for image in &args.images {
        match (image.look_up(&store), image) {
            (Ok(Some(id)), _) => ids.push(id),
            (Ok(None), _) if missing.contains(image) => {}
            (Ok(None), _) => missing.push(image.clone()),
            // It is there, but cannot be read: all the more reason to remove it.
            (Err(error), ImagePick::Id(id)) if error.id() == Some(*id) => ids.push(*id),
            (Err(error), _) => return Err(error),
        }
    }
    let removed = store.remove(&ids)?;
    report::say(format_args!("removed {}", images_text(removed)));
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    report::say(format_args!("not there: {}", missing.join(", ")));
    Ok(ExitCode::from(report::NOT_THERE))
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
    store.compact()?;
    let after = store.footprint()?.disk_bytes;
    report::say(format_args!("{} on disk before, {} now", figures::bytes(before as f64), figures::bytes(after as f64)));
    Ok(ExitCode::SUCCESS)
}

pub fn vacuum(args: &VacuumArgs) -> Result<ExitCode> {
    let store = if args.dry_run { Store::options().open_read_only(&args.store)? } else { Store::open(&args.store)? };
    let gone = store.vacuum(args.keep, args.dry_run)?;
    let objects = match gone.objects {
        1 => "1 object".to_owned(),
        objects => format!("{} objects", figures::count(objects)),
    };
    let done = if args.dry_run { "would delete" } else { "deleted" };
    report::say(format_args!("{done} {objects}, {}", figures::bytes(gone.bytes as f64)));
    Ok(ExitCode::SUCCESS)
}
