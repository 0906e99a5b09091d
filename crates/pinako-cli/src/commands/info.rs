//! `pinako info`

use std::collections::BTreeMap;
use std::process::ExitCode;

use pinako::backend::{Footprint, Properties};
use pinako::{Descriptor, Encoding, Error, ErrorKind, Label, Progress, Result, Store};
use pinako_bench::costs::Costs;
use pinako_bench::figures;
use serde::Serialize;

use crate::args::InfoArgs;
use crate::progress::Job;
use crate::report;
use crate::table::{self, ImageJson};

/// Kinds of images, and labels, that are told apart, so that memory is bounded; the images of others are counted
/// together.
const MOST_GROUPS: usize = 10_000;
/// Images between two looks at whoever waits.
const LOOK_EVERY: u64 = 1 << 12;
/// Rows of a table; JSON has all groups.
const MOST_ROWS: usize = 20;

pub fn run(args: &InfoArgs) -> Result<ExitCode> {
    let store = Store::options().open_read_only(&args.store)?;
    let text = match &args.image {
        Some(image) => about_image(&store, image.resolve(&store)?, args.json)?,
        None => about_store(&store, args.json)?,
    };
    report::print_line(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn about_image(store: &Store, id: pinako::Id, json: bool) -> Result<String> {
    let descriptor = store.descriptor(id)?;
    let label_names = store.label_names()?;
    if json {
        return Ok(to_json(&ImageJson::new(&descriptor, &label_names)));
    }
    let shape = descriptor.shape;
    let mut rows = vec![
        ("id", descriptor.id.to_string()),
        ("name", descriptor.name.clone().unwrap_or_else(|| "-".to_owned())),
        ("label", table::label_text(descriptor.label, &label_names)),
        ("width", format!("{} pixels", figures::count(shape.width().into()))),
        ("height", format!("{} pixels", figures::count(shape.height().into()))),
        ("channels", shape.channels().to_string()),
        ("sample type", descriptor.sample_type.to_string()),
        ("encoding", table::encoding_text(descriptor.encoding)),
    ];
    if let Encoding::Linked(link) = descriptor.encoding {
        rows.push(("linked file", table::one_line(&String::from_utf8_lossy(&store.payload(id)?))));
        rows.push(("its length", figures::bytes(link.length as f64)));
    }
    rows.push(("payload", format!("{} bytes", figures::count(descriptor.payload_length))));
    rows.push(("checksum", format!("{:08x}", descriptor.checksum)));
    if let Some(attributes) = &descriptor.attributes {
        rows.push(("attributes", attributes.as_str().to_owned()));
    }
    Ok(table::pairs(&rows).trim_fmt())
}

fn about_store(store: &Store, json: bool) -> Result<String> {
    let properties = store.properties()?;
    let footprint = store.footprint()?;
    let groups = Groups::count(store, properties.count)?;
    Ok(match json {
        true => to_json(&StoreJson::new(store.url(), &properties, footprint, &groups, Costs::of(store)?)),
        false => store_tables(store.url(), &properties, footprint, &groups, &Costs::of(store)?),
    })
}

fn store_tables(url: &str, properties: &Properties, footprint: Footprint, groups: &Groups, costs: &Costs) -> String {
    let rows = [
        ("store", url.to_owned()),
        ("format version", properties.format_version.to_string()),
        ("images", figures::count(properties.count)),
        ("next id", figures::count(properties.next_id)),
        ("payload", figures::bytes(footprint.payload_bytes as f64)),
        ("on disk", figures::bytes(footprint.disk_bytes as f64)),
        ("reading costs", costs.text()),
    ];
    let mut text = table::pairs(&rows).trim_fmt();

    let mut kinds: Vec<_> = groups.kinds.images.iter().collect();
    kinds.sort_by_key(|(_, images)| std::cmp::Reverse(**images));
    if !kinds.is_empty() {
        let mut table = table::with_header(&["shape", "type", "encoding", "images"], &[3]);
        for (kind, images) in kinds.iter().take(MOST_ROWS) {
            let shape = format!("{}x{}x{}", kind.height, kind.width, kind.channels);
            table.add_row([shape, kind.sample_type.to_owned(), kind.encoding.clone(), figures::count(**images)]);
        }
        text += &format!("\n\n{}{}", table.trim_fmt(), more(kinds.len()));
    }
    if groups.labels.images.keys().any(Option::is_some) {
        let mut table = table::with_header(&["label", "images"], &[1]);
        for (label, images) in groups.labels.images.iter().take(MOST_ROWS) {
            table.add_row([table::label_text(*label, &properties.label_names), figures::count(*images)]);
        }
        text += &format!("\n\n{}{}", table.trim_fmt(), more(groups.labels.images.len()));
    }
    text
}

fn more(rows: usize) -> String {
    match rows.saturating_sub(MOST_ROWS) {
        0 => String::new(),
        left => format!("\n... and {left} more; --json shows them"),
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("numbers and texts have a JSON form")
}

/// How many images there are of each kind and label.
#[derive(Default)]
struct Groups {
    kinds: Tally<Kind>,
    labels: Tally<Option<Label>>,
}

/// Images by what they have in common.
struct Tally<K> {
    images: BTreeMap<K, u64>,
    /// Images of the groups beyond [`MOST_GROUPS`].
    others: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Kind {
    height: u32,
    width: u32,
    channels: u16,
    sample_type: &'static str,
    encoding: String,
}

impl Groups {
    fn count(store: &Store, total: u64) -> Result<Self> {
        let mut groups = Groups::default();
        let mut job = Job::start("counting");
        for (images, descriptor) in (0..).zip(store.scan(0)) {
            let descriptor = descriptor?;
            groups.kinds.add(Kind::of(&descriptor));
            groups.labels.add(descriptor.label);
            if images % LOOK_EVERY == 0
                && job.watch(Progress { images, total: Some(total), ..Progress::default() }).is_break()
            {
                return Err(Error::new(ErrorKind::Interrupted, "stopped before all images were counted"));
            }
        }
        Ok(groups)
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Tally { images: BTreeMap::new(), others: 0 }
    }
}

impl<K: Ord> Tally<K> {
    fn add(&mut self, key: K) {
        match self.images.len() < MOST_GROUPS || self.images.contains_key(&key) {
            true => *self.images.entry(key).or_default() += 1,
            false => self.others += 1,
        }
    }
}

impl Kind {
    fn of(descriptor: &Descriptor) -> Self {
        Kind {
            height: descriptor.shape.height(),
            width: descriptor.shape.width(),
            channels: descriptor.shape.channels(),
            sample_type: descriptor.sample_type.name(),
            encoding: table::encoding_text(descriptor.encoding),
        }
    }
}

#[derive(Serialize)]
struct StoreJson<'a> {
    url: &'a str,
    format_version: u32,
    count: u64,
    next_id: u64,
    payload_bytes: u64,
    disk_bytes: u64,
    costs: Costs,
    label_names: &'a [String],
    labels: Vec<LabelJson<'a>>,
    images_of_other_labels: u64,
    kinds: Vec<KindJson<'a>>,
    images_of_other_kinds: u64,
}

#[derive(Serialize)]
struct LabelJson<'a> {
    label: Option<Label>,
    name: Option<&'a str>,
    images: u64,
}

#[derive(Serialize)]
struct KindJson<'a> {
    #[serde(flatten)]
    kind: &'a Kind,
    images: u64,
}

impl<'a> StoreJson<'a> {
    fn new(url: &'a str, properties: &'a Properties, footprint: Footprint, groups: &'a Groups, costs: Costs) -> Self {
        let names = &properties.label_names;
        StoreJson {
            url,
            format_version: properties.format_version,
            count: properties.count,
            next_id: properties.next_id,
            payload_bytes: footprint.payload_bytes,
            disk_bytes: footprint.disk_bytes,
            costs,
            label_names: names,
            labels: groups
                .labels
                .images
                .iter()
                .map(|(&label, &images)| LabelJson { label, name: table::label_name(label, names), images })
                .collect(),
            images_of_other_labels: groups.labels.others,
            kinds: groups.kinds.images.iter().map(|(kind, &images)| KindJson { kind, images }).collect(),
            images_of_other_kinds: groups.kinds.others,
        }
    }
}
