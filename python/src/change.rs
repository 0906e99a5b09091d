//! What changes a store: appends, removals, and what keeps it small.

use std::time::Duration;

use pinako::{Attributes, ImageView, Label, NewImage, PixelEncoding};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::Pixels;
use crate::errors::to_py;
use crate::ids;
use crate::store::Store;

/// The content of an image that is appended.
enum Content<'py> {
    Pixels(Pixels<'py>),
    File(Bound<'py, PyBytes>),
}

#[pymethods]
impl Store {
    /// Appends images, which `_store.py` has made arrays or bytes of, as a whole or not at all; the first id, and the one
    /// after the last.
    fn _append(
        &self,
        py: Python<'_>,
        images: Vec<Bound<'_, PyAny>>,
        labels: Option<Vec<Option<Label>>>,
        names: Option<Vec<Option<String>>>,
        attributes: Option<Vec<Option<String>>>,
        encoding: Option<&str>,
    ) -> PyResult<(u64, u64)> {
        let encoding = encoding.map(|text| pixel_encoding(py, text)).transpose()?;
        let contents = images.into_iter().map(|image| match image.cast_into::<PyBytes>() {
            Ok(bytes) => Ok(Content::File(bytes)),
            Err(other) => Pixels::new(py, &other.into_inner()).map(Content::Pixels),
        });
        let contents = contents.collect::<PyResult<Vec<_>>>()?;
        let attributes = attributes.map(|all| {
            all.into_iter()
                .map(|text| text.as_deref().map(Attributes::parse).transpose())
                .collect::<pinako::Result<Vec<_>>>()
        });
        let mut attributes = attributes.transpose().map_err(|error| to_py(py, &error))?;
        let mut new = Vec::with_capacity(contents.len());
        for (place, content) in contents.iter().enumerate() {
            let image = match content {
                Content::File(bytes) => NewImage::file(bytes.as_bytes()),
                Content::Pixels(pixels) => {
                    let (shape, sample_type, bytes) = pixels.parts();
                    // SAFETY: `contents` keeps the array alive until all is stored.
                    let view = ImageView::new(shape, sample_type, unsafe { bytes.as_slice() });
                    let view = view.map_err(|error| to_py(py, &error))?;
                    match encoding {
                        Some(encoding) => NewImage::encoded(view, encoding),
                        None => NewImage::view(view),
                    }
                }
            };
            let image = image.label(labels.as_ref().and_then(|labels| labels[place]));
            let image = image.attributes(attributes.as_mut().and_then(|attributes| attributes[place].take()));
            new.push(match names.as_ref().and_then(|names| names[place].clone()) {
                Some(name) => image.name(name),
                None => image,
            });
        }
        let ids = self.handle.run_parallel(py, |store| store.append(new))?;
        Ok((ids.start, ids.end))
    }

    /// Removes images, all or none: one by id or name, or many as between the brackets of `store[...]`. Ids that are not
    /// there count for nothing.
    ///
    /// Returns: how many were removed.
    fn remove(&self, py: Python<'_>, index: &Bound<'_, PyAny>) -> PyResult<u64> {
        let ids = match ids::Index::of(py, &self.handle, index)? {
            ids::Index::One(id) => vec![id],
            ids::Index::Many(ids) => ids,
        };
        self.handle.run(py, |store| store.remove(&ids))
    }

    /// Gives back the space of removed images, and merges what many small appends left behind.
    fn compact(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.run_parallel(py, pinako::Store::compact)
    }

    fn _vacuum(&self, py: Python<'_>, keep_seconds: f64, dry_run: bool) -> PyResult<(u64, u64)> {
        let keep = Duration::try_from_secs_f64(keep_seconds)
            .map_err(|_| PyValueError::new_err(format!("keep_seconds is no number of seconds: {keep_seconds}")))?;
        let gone = self.handle.run(py, |store| store.vacuum(keep, dry_run))?;
        Ok((gone.objects, gone.bytes))
    }

    /// Makes everything safe on the disk that was appended to a store opened with `buffered=True`.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.run(py, pinako::Store::sync)
    }
}

/// `raw`, `png`, or the layout of raw pixels: `row`, `hilbert:64`.
fn pixel_encoding(py: Python<'_>, text: &str) -> PyResult<PixelEncoding> {
    match text {
        "raw" => Ok(PixelEncoding::Raw),
        "png" => Ok(PixelEncoding::Png),
        layout => layout.parse().map(PixelEncoding::RawIn).map_err(|error| to_py(py, &error)),
    }
}
