//! Importing a source: read, check, encode, append, the next batch while the last one is written. Two batches are in
//! memory at a time, however many images there are. A batch is made up of small lots, so that an import from a slow
//! source is seen moving, and stops soon after it is told to.
//!
//! Every image file is decoded once, whatever is stored of it, so that a damaged one is found now and not in a year.
//! An image that is there already is known again by its name and left as it is: an import that was interrupted is taken
//! up by starting it again.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::append::{NewImage, Prepared, PreparedPayload, check_label};
use super::copy::BATCH_BYTES;
use super::incoming::{Incoming, Intake};
use super::labels::LabelMap;
use super::watched::{Counted, interrupted};
use super::{Progress, Store, Watch, Watched};
use crate::descriptor::Layout;
use crate::encoding::{
    FileHeader, PixelEncoding, check_file, decode_at, decode_file, header, header_at, open_rows, read_file,
};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::source::{Content, Item, Source};

/// Most bytes, images and time that the items of a lot take to be read.
const LOT_BYTES: u64 = BATCH_BYTES / 4;
const LOT_IMAGES: usize = 1 << 10;
const LOT_TIME: Duration = Duration::from_millis(50);
/// A file of so many bytes that is stored decoded is not read into memory, but decoded from where it is.
const LARGE_FILE: u64 = 1 << 20;

/// What becomes of the images of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportEncoding {
    /// Image files keep their bytes; pixels are encoded as suits the store, and raw where they do not fit in memory.
    #[default]
    AsTheyCame,
    /// All are stored raw, in the layout that suits their size.
    Raw,
    /// All are stored raw, in this layout.
    RawIn(Layout),
    /// All are stored as PNG.
    Png,
    /// Image files stay where they are, only their paths are stored.
    Link,
}

impl ImportEncoding {
    /// How all pixels are encoded, be they from files or not; `None` where files are stored as such.
    fn pixels(self) -> Option<PixelEncoding> {
        match self {
            ImportEncoding::AsTheyCame | ImportEncoding::Link => None,
            ImportEncoding::Raw => Some(PixelEncoding::Raw),
            ImportEncoding::RawIn(layout) => Some(PixelEncoding::RawIn(layout)),
            ImportEncoding::Png => Some(PixelEncoding::Png),
        }
    }
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
        let mut intake = Intake { store: self, labels, looks_up: self.count()? > 0 };
        let start = Progress { total: source.len(), ..Progress::default() };
        Watched::run(watch, start, |watched| {
            let (labels, label_names) = (intake.labels.map.clone(), intake.labels.count());
            let importer = Importer { store: self, options, labels, label_names, watched };
            let mut imported = Imported::default();
            std::thread::scope(|scope| {
                let (send, receive) = sync_channel(0); // the next batch waits where it was made
                scope.spawn(|| importer.send_batches(source, send));
                for batch in receive {
                    let batch = batch?;
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
                    let large = ready.iter().filter(|image| image.is_large()).count() as u64;
                    match intake.append(&mut ready) {
                        Ok(present) => imported.present += present,
                        Err(_) if watched.is_stopped() => break, // in the midst of a large image
                        Err(error) => return Err(error),
                    }
                    watched.add(large, 0);
                    imported.images += ready.len() as u64;
                    imported.bytes += ready.iter().map(Incoming::bytes).sum::<u64>();
                    watched.tell();
                    if watched.is_stopped() {
                        break; // the batches that wait are soon made again
                    }
                }
                match watched.is_stopped() {
                    true => Err(interrupted(imported.images + imported.present + imported.skipped)),
                    false => Ok(imported),
                }
            })
        })
    }
}

/// Makes what is appended out of what a source gives.
struct Importer<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
    labels: LabelMap,
    /// How many label names the store has.
    label_names: usize,
    watched: &'a Watched<'a>,
}

/// An item, perhaps with its file's bytes, and how many bytes its pixels take as far as that is known.
struct Loaded {
    item: Item,
    file: Option<Vec<u8>>,
    decoded: u64,
}

impl Importer<'_> {
    /// Sends all images of `source` on, batch by batch; ends when nobody listens. Where the watch says to stop, those
    /// that are ready are sent, and no more: out of a slow source they took their time.
    fn send_batches(&self, source: &mut dyn Source, send: SyncSender<Result<Vec<Result<Incoming<'static>>>>>) {
        let (most, most_bytes) = self.store.batch();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(mut lot) = self.next_lot(source) {
            if self.options.encoding == ImportEncoding::Link
                && let Some(Loaded { item, .. }) =
                    lot.iter().flatten().find(|loaded| !matches!(loaded.item.content, Content::File(_)))
            {
                let _ = send.send(Err(cannot_link(item)));
                return;
            }
            while !lot.is_empty() {
                let rest = lot.split_off(self.decoded_end(&lot));
                let images = self.prepare_all(lot);
                let failed = !self.options.skip_bad && images.iter().any(Result::is_err);
                let more: u64 = images.iter().flatten().map(Incoming::bytes).sum();
                let full = bytes + more > most_bytes || batch.len() + images.len() > most;
                if full && !batch.is_empty() {
                    bytes = 0;
                    if send.send(Ok(std::mem::take(&mut batch))).is_err() {
                        return;
                    }
                }
                bytes += more;
                batch.extend(images);
                if failed {
                    let _ = send.send(Ok(batch));
                    return;
                }
                lot = rest;
            }
        }
        if !batch.is_empty() {
            let _ = send.send(Ok(batch));
        }
    }

    /// The next items; `None` at the end or where the watch says so. Their files are read later, each when its image is
    /// made ready, except where what they hold says how many may be made ready at once.
    fn next_lot(&self, source: &mut dyn Source) -> Option<Vec<Result<Loaded>>> {
        if self.watched.is_stopped() {
            return None;
        }
        let items = next_items(source);
        let load = |item: Result<Item>| item.and_then(|item| self.load(item));
        (!items.is_empty()).then(|| items.into_par_iter().map(load).collect())
    }

    /// Makes images of the items, and counts them. Where the watch says to stop, they are the first ones, as many as
    /// were ready.
    fn prepare_all(&self, lot: Vec<Result<Loaded>>) -> Vec<Result<Incoming<'static>>> {
        let prepare = |loaded: Result<Loaded>| {
            if self.watched.is_stopped() {
                return None;
            }
            let ready = loaded.and_then(|loaded| self.prepare(loaded));
            if ready.is_err() && self.watched.is_stopped() {
                return None;
            }
            let is_large = ready.as_ref().is_ok_and(Incoming::is_large); // and done only when it is stored
            self.watched.add(u64::from(!is_large), ready.as_ref().map_or(0, Incoming::bytes));
            Some(ready)
        };
        let images: Vec<Option<Result<Incoming<'static>>>> = lot.into_par_iter().map(prepare).collect();
        images.into_iter().map_while(|image| image).collect()
    }

    /// Looks at what the item holds, where image files are stored decoded. Small files are read for it.
    fn load(&self, mut item: Item) -> Result<Loaded> {
        let limit = self.store.decoder.max_image_bytes;
        let mut file = None;
        let mut decoded = 0;
        if let (Content::File(path), true) = (&item.content, self.is_decoded()) {
            // What is wrong with a file is told when its image is made ready.
            if path.metadata().is_ok_and(|metadata| metadata.len() < LARGE_FILE) {
                let bytes = read_file(path, limit)?;
                decoded = header(&bytes, limit).map_or(0, |header| header.image_bytes());
                file = Some(bytes);
            } else if let Ok(Some((FileHeader { shape, sample_type, .. }, reader))) = open_rows(path, limit) {
                item.content = Content::Stream { shape, sample_type, reader };
            } else {
                decoded = header_at(path, limit).map_or(0, |header| header.image_bytes());
            }
        }
        match &item.content {
            Content::Pixels(image) => decoded = image.bytes().len() as u64,
            Content::Stream { shape, sample_type, .. } => decoded = shape.byte_length(*sample_type),
            Content::File(_) => {}
        }
        Ok(Loaded { item, file, decoded })
    }

    /// Whether image files are stored decoded.
    fn is_decoded(&self) -> bool {
        self.options.encoding.pixels().is_some()
    }

    /// How many of the images may be made ready at once. Files that are stored decoded may take far more than they have
    /// as files.
    fn decoded_end(&self, images: &[Result<Loaded>]) -> usize {
        if !self.is_decoded() {
            return images.len();
        }
        let mut bytes = 0u64;
        let bytes_until = images.iter().map(|image| {
            bytes = bytes.saturating_add(image.as_ref().map_or(0, |loaded| loaded.decoded));
            bytes
        });
        bytes_until.take_while(|&bytes| bytes <= BATCH_BYTES).count().max(1)
    }

    fn prepare(&self, Loaded { item, file, .. }: Loaded) -> Result<Incoming<'static>> {
        let Item { name, label, attributes, content, origin } = item;
        let limit = self.store.decoder.max_image_bytes;
        // What is kept, or linked, is read as a file; the errors of that name it.
        let file = match (&content, file) {
            (Content::File(path), None) if !self.is_decoded() => Some(read_file(path, limit)?),
            (_, file) => file,
        };
        let prepare = || -> Result<Prepared<'static>> {
            let encoding = self.options.encoding;
            let mut counted = None;
            let new = match content {
                Content::Pixels(image) => NewImage::owned(image, encoding.pixels()),
                Content::Stream { shape, sample_type, reader } => {
                    let encoding = encoding.pixels().unwrap_or(PixelEncoding::Raw);
                    // Its bytes are put aside first, and moved once more when they are stored.
                    let portion = self.watched.large(2 * shape.byte_length(sample_type));
                    let reader = counted.insert(Counted { reader, portion });
                    match encoding.layout(shape) {
                        Some(layout) => NewImage::stream_in(layout, shape, sample_type, reader),
                        None => NewImage::owned(Image::read(shape, sample_type, reader)?, Some(encoding)),
                    }
                }
                Content::File(path) => match (encoding.pixels(), file) {
                    (Some(encoding), Some(file)) => NewImage::owned(decode_file(&file, limit)?, Some(encoding)),
                    (Some(encoding), None) => NewImage::owned(decode_at(&path, limit)?, Some(encoding)),
                    (None, file) => {
                        let file = file.unwrap_or_default();
                        if encoding == ImportEncoding::Link {
                            check_file(&file, limit)?;
                            NewImage::linked(path)
                        } else {
                            NewImage::file(file)
                        }
                    }
                },
            };
            let label = label.map(|label| self.labels.map(label)).transpose()?;
            check_label(label, self.label_names)?;
            let prefix = self.options.name_prefix.as_deref().unwrap_or_default();
            let new = new.name(format!("{prefix}{name}")).label(label).attributes(attributes);
            let mut prepared = self.store.prepare(new)?.into_owned(&self.store.spool_folder())?;
            if let PreparedPayload::Packed(packed) = &mut prepared.payload {
                let portion = counted.map(|counted| counted.portion);
                packed.count(portion.unwrap_or_else(|| self.watched.large(prepared.descriptor.payload_length)));
            }
            Ok(prepared)
        };
        match prepare() {
            Ok(prepared) => Ok(Incoming { prepared, origin }),
            Err(error) => Err(error.context(&origin)),
        }
    }
}

/// The next items, as many as make a lot; none at the end.
fn next_items(source: &mut dyn Source) -> Vec<Result<Item>> {
    let mut items = Vec::new();
    let mut bytes = 0;
    let started = Instant::now();
    while bytes < LOT_BYTES && items.len() < LOT_IMAGES && (items.is_empty() || started.elapsed() < LOT_TIME) {
        let Some(item) = source.next() else { break };
        bytes += match &item {
            Ok(Item { content: Content::Pixels(image), .. }) => image.bytes().len() as u64,
            Ok(Item { content: Content::Stream { shape, sample_type, .. }, .. }) => shape.byte_length(*sample_type),
            Ok(Item { content: Content::File(path), .. }) => path.metadata().map_or(0, |metadata| metadata.len()),
            Err(_) => 0,
        };
        items.push(item);
    }
    items
}

/// The error for pixels where all is to be linked, which is no matter of one bad image.
fn cannot_link(item: &Item) -> Error {
    Error::invalid(format!("{}: only image files can be linked, and this is part of an array", item.origin))
        .with_hint("import it without linking")
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
