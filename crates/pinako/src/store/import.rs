//! Importing a source: read, check, encode, append, the next batch while the last one is written. Two batches are in
//! memory at a time, however many images there are.
//!
//! Every image file is decoded once, whatever is stored of it, so that a damaged one is found now and not in a year.
//! An image that an earlier import brought in is known again by its name and left as it is: an import that was
//! interrupted is taken up by starting it again.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use rayon::prelude::*;

use super::append::{NewImage, Prepared, PreparedPayload, check_label};
use super::copy::{self, BATCH_IMAGES};
use super::labels::LabelMap;
use super::{Progress, Store, Watch, go_on};
use crate::descriptor::{Descriptor, Encoding, Id};
use crate::encoding::{PixelEncoding, decode_file, header};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::source::{Content, Item, Source};

/// Bytes a batch. Two are in memory at a time, and some backends hold as much again until they commit.
const BATCH_BYTES: u64 = copy::BATCH_BYTES / 2;

/// What becomes of the images of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportEncoding {
    /// Image files keep their bytes; pixels are encoded as suits the store.
    #[default]
    AsTheyCame,
    /// All are stored raw.
    Raw,
    /// All are stored as PNG.
    Png,
    /// Image files stay where they are, only their paths are stored.
    Link,
}

/// How a source is imported.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// What becomes of the images.
    pub encoding: ImportEncoding,
    /// Whether an image that cannot be read is left out; else it ends the import.
    pub skip_bad: bool,
    /// Put before each name.
    pub name_prefix: Option<String>,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Images brought in.
    pub images: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
    /// Images that were in the store already.
    pub present: u64,
    /// Images that were left out because they could not be read.
    pub skipped: u64,
}

impl Store {
    /// Appends the images of `source`. Classes are matched by name with those the store has. Those images that are
    /// left out are told to `skipped`.
    ///
    /// # Errors
    /// Where an image cannot be read (unless such are left out), the error names the file; `Conflict` where another
    /// image has its name; `Interrupted` where the watch says so. The batches before it stay, and the same import
    /// started again goes on after them.
    pub fn import(
        &self,
        source: &mut dyn Source,
        options: &ImportOptions,
        skipped: &mut dyn FnMut(&Error),
        watch: &mut Watch<'_>,
    ) -> Result<Imported> {
        let labels = self.merge_label_names(source.label_names())?;
        let properties = self.properties()?;
        let looks_up = properties.count > 0;
        let importer = Importer { store: self, options, labels, label_names: properties.label_names.len() };
        let total = source.len();
        let mut imported = Imported::default();
        go_on(watch, Progress { total, ..Progress::default() })?;
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(0); // the next batch waits where it was made
            scope.spawn(|| importer.send_batches(source, send));
            for batch in receive {
                let mut ready = Vec::with_capacity(batch.len());
                for image in batch {
                    match image {
                        Ok(image) => ready.push(image),
                        Err(error) if options.skip_bad => {
                            imported.skipped += 1;
                            skipped(&error);
                        }
                        Err(error) => return Err(how_to_go_on(error)),
                    }
                }
                if looks_up {
                    imported.present += self.drop_present(&mut ready)?;
                }
                imported.images += ready.len() as u64;
                imported.bytes += ready.iter().map(|image| image.prepared.descriptor.payload_length).sum::<u64>();
                self.append_prepared(ready.into_iter().map(|image| image.prepared).collect())?;
                let images = imported.images + imported.present + imported.skipped;
                go_on(watch, Progress { images, total, bytes: imported.bytes })?;
            }
            Ok(imported)
        })
    }

    /// Takes out those images that are in the store already, and says how many.
    fn drop_present(&self, images: &mut Vec<Ready>) -> Result<u64> {
        let names: Vec<Option<&str>> = images.iter().map(|image| image.prepared.descriptor.name.as_deref()).collect();
        let ids: Vec<Option<Id>> =
            names.into_par_iter().map(|name| name.map_or(Ok(None), |name| self.find(name))).collect::<Result<_>>()?;
        let known: Vec<Id> = ids.iter().flatten().copied().collect();
        if known.is_empty() {
            return Ok(0);
        }
        let mut known = self.descriptors(&known)?.into_iter();
        let before = images.len();
        let mut rest = Vec::new();
        for (image, id) in std::mem::take(images).into_iter().zip(ids) {
            match id.and_then(|_| known.next().flatten()) {
                None => rest.push(image),
                Some(there) => same_image(&image, &there)?,
            }
        }
        *images = rest;
        Ok((before - images.len()) as u64)
    }
}

/// Makes what is appended out of what a source gives.
struct Importer<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
    labels: LabelMap,
    /// How many label names the store has.
    label_names: usize,
}

/// An image ready to be appended.
struct Ready {
    prepared: Prepared<'static>,
    origin: String,
}

/// An item with its file's bytes.
struct Loaded {
    item: Item,
    /// Empty where the item has pixels.
    file: Vec<u8>,
}

impl Importer<'_> {
    /// Sends all images of `source` on, batch by batch; ends when nobody listens.
    fn send_batches(&self, source: &mut dyn Source, send: SyncSender<Vec<Result<Ready>>>) {
        loop {
            let items = next_items(source);
            if items.is_empty() {
                return;
            }
            let mut loaded: Vec<Result<Loaded>> =
                items.into_par_iter().map(|item| item.and_then(|item| self.load(item))).collect();
            while !loaded.is_empty() {
                let rest = loaded.split_off(self.batch_end(&loaded));
                let batch = loaded.into_par_iter().map(|image| self.prepare(image?)).collect();
                if send.send(batch).is_err() {
                    return;
                }
                loaded = rest;
            }
        }
    }

    fn load(&self, item: Item) -> Result<Loaded> {
        let file = match &item.content {
            Content::Pixels(_) => Vec::new(),
            Content::File(path) => read_file(path, self.store.decoder.max_image_bytes)?,
        };
        Ok(Loaded { item, file })
    }

    /// How many of the images make a batch. Files that are stored decoded may take far more than they have as files.
    fn batch_end(&self, images: &[Result<Loaded>]) -> usize {
        if !matches!(self.options.encoding, ImportEncoding::Raw | ImportEncoding::Png) {
            return images.len();
        }
        let mut bytes = 0;
        let bytes_until = images.iter().map(|image| {
            bytes += match image {
                Ok(Loaded { item: Item { content: Content::Pixels(image), .. }, .. }) => image.bytes().len() as u64,
                Ok(Loaded { file, .. }) => header(file, self.store.decoder.max_image_bytes)
                    .map_or(0, |header| header.shape.byte_length(header.sample_type)),
                Err(_) => 0,
            };
            bytes
        });
        bytes_until.take_while(|&bytes| bytes <= BATCH_BYTES).count().max(1)
    }

    fn prepare(&self, Loaded { item, file }: Loaded) -> Result<Ready> {
        let Item { name, label, attributes, content, origin } = item;
        let prepare = || {
            let image;
            let new = match (&content, self.options.encoding) {
                (Content::Pixels(image), encoding) => pixels(image, encoding)?,
                (Content::File(path), encoding) => {
                    image = decode_file(&file, self.store.decoder.max_image_bytes)?;
                    match encoding {
                        ImportEncoding::AsTheyCame => NewImage::file(file),
                        ImportEncoding::Link => NewImage::linked(path),
                        ImportEncoding::Raw | ImportEncoding::Png => pixels(&image, encoding)?,
                    }
                }
            };
            let label = label.map(|label| self.labels.map(label)).transpose()?;
            check_label(label, self.label_names)?;
            let prefix = self.options.name_prefix.as_deref().unwrap_or_default();
            let new = new.name(format!("{prefix}{name}")).label(label).attributes(attributes);
            Ok(owned(self.store.prepare(new)?))
        };
        match prepare() {
            Ok(prepared) => Ok(Ready { prepared, origin }),
            Err(error) => Err(Error::context(error, &origin)),
        }
    }
}

/// The next items, as many as make a batch; none at the end.
fn next_items(source: &mut dyn Source) -> Vec<Result<Item>> {
    let mut items = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES && items.len() < BATCH_IMAGES {
        let Some(item) = source.next() else { break };
        bytes += match &item {
            Ok(Item { content: Content::Pixels(image), .. }) => image.bytes().len() as u64,
            Ok(Item { content: Content::File(path), .. }) => path.metadata().map_or(0, |metadata| metadata.len()),
            Err(_) => 0,
        };
        items.push(item);
    }
    items
}

/// The bytes of the file at `path`, which must not be more than `limit`.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let cannot = |error| Error::io(format!("cannot read {}", path.display()), error);
    let file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    if length > limit {
        return Err(Error::unsupported(format!(
            "{} has {length} bytes, more than the limit of {limit}",
            path.display()
        ))
        .with_hint("raise max_image_bytes if the file is to be trusted"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

fn pixels(image: &Image, encoding: ImportEncoding) -> Result<NewImage<'_>> {
    match encoding {
        ImportEncoding::AsTheyCame => Ok(NewImage::pixels(image)),
        ImportEncoding::Raw => Ok(NewImage::encoded(image.view(), PixelEncoding::Raw)),
        ImportEncoding::Png => Ok(NewImage::encoded(image.view(), PixelEncoding::Png)),
        ImportEncoding::Link => Err(Error::invalid("only image files can be linked, not the images of a data set")
            .with_hint("import it without linking")),
    }
}

fn owned(prepared: Prepared<'_>) -> Prepared<'static> {
    let payload = match prepared.payload {
        PreparedPayload::Bytes(bytes) => PreparedPayload::Bytes(Cow::Owned(bytes.into_owned())),
        PreparedPayload::Stream(_) => unreachable!("an import makes no streams"),
    };
    Prepared { descriptor: prepared.descriptor, payload }
}

/// Checks that `image` is the one that is there under its name.
fn same_image(image: &Ready, there: &Descriptor) -> Result<()> {
    let new = &image.prepared.descriptor;
    let same_content = match (new.encoding, there.encoding) {
        // Two links to one file are the same even where its path is written otherwise.
        (Encoding::Linked(new), Encoding::Linked(there)) => new == there,
        _ => (new.payload_length, new.checksum) == (there.payload_length, there.checksum),
    };
    let other = match same_content {
        true if new.label == there.label => return Ok(()),
        true => "label",
        false => "content",
    };
    let name = new.name.as_deref().unwrap_or_default();
    Err(Error::conflict(format!(
        "{}: the store has an image {} named {name:?} with another {other}",
        image.origin, there.id
    ))
    .with_hint("put a prefix before the names of this import, or remove that image first"))
}

fn how_to_go_on(error: Error) -> Error {
    let again =
        "then start the same import again, which goes on after what it stored, or leave bad images out with skip_bad";
    let hint = match error.hint() {
        Some(hint) => format!("{hint}; {again}"),
        None => format!("mend or remove it, {again}"),
    };
    error.with_hint(hint)
}
