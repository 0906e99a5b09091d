//! Putting images in.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Store;
use super::packed::Packed;
use crate::backend::{Entry, Payload};
use crate::checksum;
use crate::descriptor::{Attributes, Descriptor, Encoding, Id, Label, Layout, check_name};
use crate::encoding::{self, PixelEncoding};
use crate::error::{Error, Result};
use crate::image::{Image, ImageView, SampleType, Shape};
use crate::layout::Arrangement;

/// Images of so many bytes are put in the order of a layout as they are stored, part by part; others before that.
const PACKED_LATER: usize = 32 << 20;

/// An image to be appended: its content, and what is known of it.
///
/// ```
/// # use pinako::{Image, NewImage, Shape, Store};
/// # fn main() -> pinako::Result<()> {
/// # let store = Store::create("memory:")?;
/// let gray = Image::from_samples(Shape::new(2, 2, 1)?, &[0u8, 50, 100, 150])?;
/// let ids = store.append([NewImage::pixels(&gray).name("ramp").label(3)])?;
/// assert_eq!(store.image(ids.start)?, gray);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NewImage<'a> {
    content: Content<'a>,
    name: Option<String>,
    label: Option<Label>,
    attributes: Option<Attributes>,
}

enum Content<'a> {
    Pixels { shape: Shape, sample_type: SampleType, bytes: Cow<'a, [u8]>, encoding: Option<PixelEncoding> },
    File(Cow<'a, [u8]>),
    Linked(PathBuf),
    Stream { shape: Shape, sample_type: SampleType, layout: Layout, reader: &'a mut (dyn Read + Send) },
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Pixels { shape, sample_type, encoding, .. } => {
                write!(f, "Pixels({shape} {sample_type}, {encoding:?})")
            }
            Content::File(bytes) => write!(f, "File({} bytes)", bytes.len()),
            Content::Linked(path) => write!(f, "Linked({})", path.display()),
            Content::Stream { shape, sample_type, layout, .. } => write!(f, "Stream({shape} {sample_type}, {layout})"),
        }
    }
}

impl<'a> NewImage<'a> {
    fn new(content: Content<'a>) -> Self {
        NewImage { content, name: None, label: None, attributes: None }
    }

    /// Pixels, encoded as suits the store (`files:` PNG where PNG has such images, elsewhere raw).
    pub fn pixels(image: &'a Image) -> Self {
        Self::view(image.view())
    }

    /// Pixels that stand in somebody else's memory, encoded as [`pixels`](Self::pixels) are.
    pub fn view(view: ImageView<'a>) -> Self {
        Self::of_view(view, None)
    }

    /// Pixels, encoded as said.
    pub fn encoded(view: ImageView<'a>, encoding: PixelEncoding) -> Self {
        Self::of_view(view, Some(encoding))
    }

    fn of_view(view: ImageView<'a>, encoding: Option<PixelEncoding>) -> Self {
        let (shape, sample_type, bytes) = (view.shape(), view.sample_type(), Cow::Borrowed(view.bytes()));
        Self::new(Content::Pixels { shape, sample_type, bytes, encoding })
    }

    /// Pixels that are given away, encoded as said or else as [`pixels`](Self::pixels) are.
    pub(crate) fn owned(image: Image, encoding: Option<PixelEncoding>) -> Self {
        let (shape, sample_type, bytes) = (image.shape(), image.sample_type(), Cow::Owned(image.into_bytes()));
        Self::new(Content::Pixels { shape, sample_type, bytes, encoding })
    }

    /// The bytes of an image file (JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM), kept as they are. It is decoded once to see
    /// that it can be.
    pub fn file(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::new(Content::File(bytes.into()))
    }

    /// An image file that stays where it is: only its path is stored.
    pub fn linked(path: impl AsRef<Path>) -> Self {
        Self::new(Content::Linked(path.as_ref().to_owned()))
    }

    /// Pixels that come from a reader and may be more than fit in memory: row-major, channels last, little endian.
    /// They are stored raw, in the layout that suits their number.
    pub fn stream(shape: Shape, sample_type: SampleType, reader: &'a mut (dyn Read + Send)) -> Self {
        Self::stream_in(PixelEncoding::layout_for(shape), shape, sample_type, reader)
    }

    /// Pixels that come from a reader, as [`stream`](Self::stream) takes them, stored raw in `layout`. For any layout but
    /// [`Layout::Row`] they are first written to a file without a name in the store's folder.
    pub fn stream_in(layout: Layout, shape: Shape, sample_type: SampleType, reader: &'a mut (dyn Read + Send)) -> Self {
        Self::new(Content::Stream { shape, sample_type, layout, reader })
    }

    /// Names it; a name is unique in its store.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives it a class.
    pub fn label(mut self, label: impl Into<Option<Label>>) -> Self {
        self.label = label.into();
        self
    }

    /// Gives it attributes.
    pub fn attributes(mut self, attributes: impl Into<Option<Attributes>>) -> Self {
        self.attributes = attributes.into();
        self
    }
}

/// A descriptor and a payload that own, or borrow, what an [`Entry`] only borrows.
pub(crate) struct Prepared<'a> {
    pub(crate) descriptor: Descriptor,
    pub(crate) payload: PreparedPayload<'a>,
}

pub(crate) enum PreparedPayload<'a> {
    Bytes(Cow<'a, [u8]>),
    Packed(Box<Packed<'a>>),
    Stream(&'a mut (dyn Read + Send)),
}

impl<'a> Prepared<'a> {
    /// The entry to give a backend.
    pub(crate) fn entry<'b>(&'b mut self) -> Entry<'b>
    where
        'a: 'b,
    {
        let mut descriptor = self.descriptor.clone();
        let payload = match &mut self.payload {
            PreparedPayload::Bytes(bytes) => Payload::Bytes(bytes),
            PreparedPayload::Packed(packed) => {
                descriptor.checksum = 0; // the backend counts it
                packed.rewind();
                Payload::Stream(&mut **packed)
            }
            PreparedPayload::Stream(reader) => {
                descriptor.checksum = 0;
                Payload::Stream(&mut **reader)
            }
        };
        Entry { descriptor, payload }
    }

    /// The payload's checksum. Of one that is packed as it is stored, it is counted now.
    pub(crate) fn checksum(&mut self) -> Result<u32> {
        match &mut self.payload {
            PreparedPayload::Packed(packed) => packed.checksum(),
            _ => Ok(self.descriptor.checksum),
        }
    }

    /// The checksum that the payload has in another layout; `None` where it is not raw, or cannot be read twice.
    pub(crate) fn checksum_in(&mut self, layout: Layout) -> Result<Option<u32>> {
        let Some(from) = Arrangement::of(&self.descriptor)? else { return Ok(None) };
        let to = Arrangement::new(layout, self.descriptor.shape, self.descriptor.sample_type)?;
        match &mut self.payload {
            PreparedPayload::Bytes(bytes) => {
                let (mut rows, mut packed) = (vec![0; bytes.len()], vec![0; bytes.len()]);
                from.unpack(bytes, &mut rows);
                to.pack(&rows, &mut packed);
                Ok(Some(checksum::crc32c(&packed)))
            }
            PreparedPayload::Packed(packed) => packed.checksum_in(to).map(Some),
            PreparedPayload::Stream(_) => Ok(None),
        }
    }

    /// The same, with bytes of its own; those of a stream are kept in a file in `folder`.
    ///
    /// # Errors
    /// Those of a stream.
    pub(crate) fn into_owned(self, folder: &Path) -> Result<Prepared<'static>> {
        let Descriptor { shape, sample_type, .. } = self.descriptor;
        let payload = match self.payload {
            PreparedPayload::Bytes(bytes) => PreparedPayload::Bytes(Cow::Owned(bytes.into_owned())),
            PreparedPayload::Packed(packed) => PreparedPayload::Packed(Box::new(packed.into_owned())),
            PreparedPayload::Stream(reader) => spooled(Layout::Row, shape, sample_type, reader, folder)?,
        };
        Ok(Prepared { descriptor: self.descriptor, payload })
    }
}

impl Store {
    /// Stores all `images` or none, durably unless the store was opened otherwise, and gives their ids in that order.
    /// Images are encoded in parallel. One batch of many images is far faster than many batches of one.
    ///
    /// # Errors
    /// `Conflict` where a name is taken; `InvalidInput` where a name or label cannot be, or an image does not fit the
    /// encoding asked for; `Unsupported` where a file is no image file that we read, `Corrupt` where it is damaged.
    pub fn append<'a>(&self, images: impl IntoIterator<Item = NewImage<'a>>) -> Result<Range<Id>> {
        let images: Vec<NewImage<'a>> = images.into_iter().collect();
        let label_names = match images.iter().any(|image| image.label.is_some()) {
            true => self.label_names()?.len(),
            false => 0,
        };
        let mut prepared: Vec<Prepared<'a>> = images
            .into_par_iter()
            .with_min_len(16)
            .enumerate()
            .map(|(place, image)| {
                check_label(image.label, label_names)
                    .and_then(|()| self.prepare(image))
                    .map_err(|error| error.context(format!("image {place} of the batch")))
            })
            .collect::<Result<_>>()
            .map_err(|error| self.here(error))?;
        self.append_prepared(prepared.iter_mut())
    }

    /// Appends what is encoded already.
    pub(crate) fn append_prepared<'a: 'b, 'b>(
        &self,
        prepared: impl Iterator<Item = &'b mut Prepared<'a>>,
    ) -> Result<Range<Id>> {
        let mut entries: Vec<Entry<'_>> = prepared.map(Prepared::entry).collect();
        self.backend.append(&mut entries).map_err(|error| self.here(error))
    }

    /// Encodes an image; what it is called and labelled was checked or is checked here.
    pub(crate) fn prepare<'a>(&self, image: NewImage<'a>) -> Result<Prepared<'a>> {
        let NewImage { content, name, label, attributes } = image;
        if let Some(name) = &name {
            check_name(name)?;
        }
        let (shape, sample_type, encoding, payload) = match content {
            Content::Pixels { shape, sample_type, bytes, encoding } => {
                let encoding = encoding.unwrap_or_else(|| self.pixel_encoding_for(shape, sample_type));
                let (encoding, payload) = encode(shape, sample_type, bytes, encoding)?;
                (shape, sample_type, encoding, payload)
            }
            Content::File(bytes) => {
                let header = encoding::check_file(&bytes, self.decoder.max_image_bytes)?;
                (header.shape, header.sample_type, Encoding::Kept(header.format), PreparedPayload::Bytes(bytes))
            }
            Content::Linked(path) => {
                let folder = self.decoder.folder.as_deref();
                let linked = encoding::link(&path, folder, self.decoder.max_image_bytes)?;
                let payload = PreparedPayload::Bytes(Cow::Owned(linked.path.into_bytes()));
                (linked.header.shape, linked.header.sample_type, Encoding::Linked(linked.link), payload)
            }
            Content::Stream { shape, sample_type, layout: Layout::Row, reader } => {
                (shape, sample_type, Encoding::Raw(Layout::Row), PreparedPayload::Stream(reader))
            }
            Content::Stream { shape, sample_type, layout, reader } => {
                let payload = spooled(layout, shape, sample_type, reader, &self.spool_folder())?;
                (shape, sample_type, Encoding::Raw(layout), payload)
            }
        };
        let (payload_length, checksum) = match &payload {
            PreparedPayload::Bytes(bytes) => (bytes.len() as u64, checksum::crc32c(bytes)),
            PreparedPayload::Packed(_) | PreparedPayload::Stream(_) => (shape.byte_length(sample_type), 0),
        };
        let descriptor =
            Descriptor { id: 0, name, shape, sample_type, encoding, label, attributes, payload_length, checksum };
        Ok(Prepared { descriptor, payload })
    }

    /// How pixels are encoded here where nobody says how.
    fn pixel_encoding_for(&self, shape: Shape, sample_type: SampleType) -> PixelEncoding {
        match self.pixel_encoding.fits(shape, sample_type) {
            true => self.pixel_encoding,
            false => PixelEncoding::Raw,
        }
    }
}

/// Encodes pixels; large ones only as they are stored, so that they are not in memory twice.
fn encode(
    shape: Shape,
    sample_type: SampleType,
    bytes: Cow<'_, [u8]>,
    encoding: PixelEncoding,
) -> Result<(Encoding, PreparedPayload<'_>)> {
    if let Some(layout) = encoding.layout(shape).filter(|&layout| layout != Layout::Row)
        && bytes.len() >= PACKED_LATER
    {
        let arrangement = Arrangement::new(layout, shape, sample_type)?;
        let packed = Packed::pixels(arrangement, sample_type, shape.width(), bytes);
        return Ok((Encoding::Raw(layout), PreparedPayload::Packed(Box::new(packed))));
    }
    match bytes {
        Cow::Borrowed(bytes) => {
            let (encoding, payload) = encoding.encode(ImageView::new(shape, sample_type, bytes)?)?;
            Ok((encoding, PreparedPayload::Bytes(payload)))
        }
        Cow::Owned(bytes) => {
            let (encoding, payload) = encoding.encode(ImageView::new(shape, sample_type, &bytes)?)?;
            let payload = match payload {
                Cow::Owned(payload) => payload,
                Cow::Borrowed(_) => bytes, // they are the pixels as they are
            };
            Ok((encoding, PreparedPayload::Bytes(Cow::Owned(payload))))
        }
    }
}

/// The payload of the pixels that `reader` gives.
fn spooled<'a>(
    layout: Layout,
    shape: Shape,
    sample_type: SampleType,
    reader: &mut (dyn Read + Send),
    folder: &Path,
) -> Result<PreparedPayload<'a>> {
    let arrangement = Arrangement::new(layout, shape, sample_type)?;
    let packed = Packed::spooled(arrangement, sample_type, shape.width(), reader, folder)?;
    Ok(PreparedPayload::Packed(Box::new(packed)))
}

/// A store with label names has labels for these names only.
pub(super) fn check_label(label: Option<Label>, names: usize) -> Result<()> {
    match label {
        Some(label) if names > 0 && !usize::try_from(label).is_ok_and(|label| label < names) => Err(Error::invalid(
            format!("the label {label} does not fit the store's {names} label names (0 to {})", names - 1),
        )
        .with_hint("give it a name first, by set_label_names")),
        _ => Ok(()),
    }
}
