//! The class that `pinako.Store` is made of: what is fast here, and what Python does not see of it there.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyUntypedArray, PyUntypedArrayMethods};
use pinako::{Descriptor, ErrorKind, Id, Label};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::arrays::{self, Bytes};
use crate::handle::{Handle, Mode, Opening, PIECE};
use crate::ids::{self, Index};

/// What stands for no label in an array of them.
const NO_LABEL: Label = -1;

/// The labels of many images, in their order.
type Labels = Vec<Option<Label>>;

/// Images in a place that keeps them.
#[pyclass(subclass, frozen, module = "pinako._pinako")]
pub struct Store {
    pub handle: Arc<Handle>,
}

#[pymethods]
impl Store {
    /// Opens it; or, where it is known whether it `had_images` before, has it opened by the first who uses it.
    #[new]
    #[pyo3(signature = (url, mode, verify_checksums, max_image_bytes, buffered, had_images))]
    fn new(
        py: Python<'_>,
        url: String,
        mode: &str,
        verify_checksums: bool,
        max_image_bytes: u64,
        buffered: bool,
        had_images: Option<bool>,
    ) -> PyResult<Self> {
        let known = Mode::ALL.into_iter().find(|known| known.name() == mode);
        let mode = known.ok_or_else(|| {
            PyValueError::new_err(format!(
                "the mode is \"r\" to read, \"a\" to append, or \"w\" to make a new store, not {mode:?}"
            ))
        })?;
        let opening = Opening { url, mode, verify_checksums, max_image_bytes, buffered };
        Ok(Store { handle: Handle::open(py, opening, had_images)? })
    }

    /// Closes the store; once more does nothing. What is asked of it after that is a `ValueError`.
    fn close(&self, py: Python<'_>) {
        self.handle.close(py);
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// What it was opened with, in the order of `new`.
    #[getter]
    fn _opening(&self) -> (&str, &str, bool, u64, bool) {
        let Opening { url, mode, verify_checksums, max_image_bytes, buffered } = self.handle.opening();
        (url, mode.name(), *verify_checksums, *max_image_bytes, *buffered)
    }

    /// Its URL; one that was opened by a path has the scheme of its kind here.
    #[getter]
    fn url(&self) -> String {
        self.handle.url()
    }

    /// Whether it has, or had before it was pickled, images.
    fn _had_images(&self, py: Python<'_>) -> PyResult<bool> {
        self.handle.had_images(py)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.handle.run(py, |store| store.count().map(|count| count as usize))
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match Index::of(py, &self.handle, index)? {
            Index::One(id) => {
                let image = self.handle.run(py, |store| store.image(id))?;
                Ok(arrays::from_image(py, image)?.into_any())
            }
            Index::Many(ids) => Ok(self.many(py, &ids)?.0),
        }
    }

    fn __contains__(&self, py: Python<'_>, index: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(name) = index.cast::<PyString>() {
            let name = &*name.to_cow()?;
            return self.handle.run(py, |store| Ok(store.find(name)?.is_some()));
        }
        let Ok(id) = index.extract::<Id>() else { return self.handle.run(py, |_| Ok(false)) };
        self.handle.run(py, |store| Ok(store.descriptors(&[id])?.iter().any(Option::is_some)))
    }

    /// Decodes the images into `out`, a C-contiguous array of N,H,W,C.
    fn _take_into(&self, py: Python<'_>, index: &Bound<'_, PyAny>, out: &Bound<'_, PyUntypedArray>) -> PyResult<()> {
        let ids = ids::many(py, &self.handle, index)?;
        let Some(&first) = ids.first() else {
            return match out.len() {
                0 => Ok(()),
                _ => Err(PyValueError::new_err(format!("out has the shape {:?}, for no images", out.shape()))),
            };
        };
        let like = self.handle.run(py, |store| store.descriptor(first))?;
        let [height, width, channels] = arrays::dims(like.shape);
        check_out(out, &[ids.len(), height, width, channels], &like)?;
        match self.fill(py, &ids, &like, out, pinako::Store::images_into)? {
            Some(_) => Ok(()),
            None => {
                Err(PyValueError::new_err("the images are not of one shape and type: one array does not take them"))
            }
        }
    }

    /// What is known of an image: the values of an `Info`.
    fn _info<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let id = ids::one(py, &self.handle, index)?;
        let found = self.handle.run(py, |store| store.descriptor(id))?;
        let Descriptor { shape, sample_type, encoding, .. } = found;
        let info = PyDict::new(py);
        info.set_item("id", found.id)?;
        info.set_item("name", found.name)?;
        info.set_item("label", found.label)?;
        info.set_item("shape", (shape.height(), shape.width(), shape.channels()))?;
        info.set_item("dtype", arrays::dtype_name(sample_type))?;
        info.set_item("encoding", encoding.to_string())?;
        info.set_item("attributes", found.attributes.as_ref().map(pinako::Attributes::as_str))?;
        info.set_item("payload_length", found.payload_length)?;
        info.set_item("checksum", found.checksum)?;
        Ok(info)
    }

    /// The id of the image of a name, or None; of a list of names, a list of them.
    ///
    /// >>> store.find("tom")
    /// 10
    fn find<'py>(&self, py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(name) = name.cast::<PyString>() {
            let name = &*name.to_cow()?;
            let found = self.handle.run(py, |store| store.find(name))?;
            return Ok(found.into_pyobject(py)?.into_any());
        }
        let names = name.extract::<Vec<String>>().map_err(|_| {
            PyTypeError::new_err(format!("a name is a text, and names are a list of such, not {}", name.get_type()))
        })?;
        let found = self.handle.run_parallel(py, |store| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            store.find_all(&names)
        })?;
        Ok(PyList::new(py, found)?.into_any())
    }

    /// The ids of all images, ascending: an array of int64.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let ids = self.handle.run_parallel(py, ids::all)?;
        Ok(ids.into_iter().map(|id| id as i64).collect::<Vec<_>>().into_pyarray(py))
    }

    /// The labels of all images, in the order of their ids: an array of int64, -1 where there is none. It is read out of the
    /// store each time: who needs it in a loop keeps it.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let labels = self.handle.run_parallel(py, |store| {
            let labels = store.scan(0).map(|found| found.map(|found| found.label.unwrap_or(NO_LABEL)));
            labels.collect::<pinako::Result<Vec<Label>>>()
        })?;
        Ok(labels.into_pyarray(py))
    }

    /// Images by a range, list or array of ids or a list of names, as between the brackets of `store[...]`.
    fn _many<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let ids = ids::many(py, &self.handle, index)?;
        Ok(self.many(py, &ids)?.0)
    }

    /// The first of these images, as many as take no more than `bytes` once decoded, but at least one: each an array of its
    /// own.
    fn _some<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>, bytes: u64) -> PyResult<Bound<'py, PyList>> {
        let ids = ids::many(py, &self.handle, index)?;
        let images = self.handle.run_parallel(py, |store| {
            let mut sum = 0_u64;
            let found = store.descriptors(&ids)?;
            let fitting = found.iter().take_while(|found| {
                sum = sum.saturating_add(found.as_ref().map_or(0, Descriptor::image_bytes));
                sum <= bytes
            });
            store.images(&ids[..fitting.count().max(1).min(ids.len())])
        })?;
        let arrays = images.into_iter().map(|image| arrays::from_image(py, image)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, arrays)
    }

    /// Images as [`_many`](Self::_many) gives them, and their labels.
    fn _labelled<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>)> {
        let ids = ids::many(py, &self.handle, index)?;
        let (images, labels) = self.many(py, &ids)?;
        let labels = match labels {
            Some(labels) => labels,
            None => {
                let found = self.handle.run_parallel(py, |store| store.descriptors(&ids))?;
                found.into_iter().map(|found| found.and_then(|found| found.label)).collect()
            }
        };
        Ok((images, label_array(py, labels)))
    }

    /// Decodes images, channel after channel, into the array that `empty` makes when it is given the shape N,C,H,W and the
    /// name of the type; their labels. None, and there may be no array, where they are not of one shape and type.
    fn _planes_into<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
        empty: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyArray1<i64>>>> {
        let ids = ids::many(py, &self.handle, index)?;
        let Some(&first) = ids.first() else { return Ok(None) };
        let like = self.handle.run(py, |store| store.descriptor(first))?;
        let [height, width, channels] = arrays::dims(like.shape);
        let dims = [ids.len(), channels, height, width];
        let out = empty.call1((dims, arrays::dtype_name(like.sample_type)))?.cast_into::<PyUntypedArray>()?;
        check_out(&out, &dims, &like)?;
        let labels = self.fill(py, &ids, &like, &out, pinako::Store::planes_into)?;
        Ok(labels.map(|labels| label_array(py, labels)))
    }

    /// The names of the labels 0, 1, 2, ...; may be empty. Can be set.
    #[getter]
    fn label_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.handle.run(py, |store| store.label_names())
    }

    #[setter]
    fn set_label_names(&self, py: Python<'_>, names: Vec<String>) -> PyResult<()> {
        self.handle.run(py, |store| store.set_label_names(&names))
    }

    /// The id that the next image will get.
    #[getter]
    fn next_id(&self, py: Python<'_>) -> PyResult<Id> {
        self.handle.run(py, |store| Ok(store.properties()?.next_id))
    }

    /// Bytes that the store takes on the disk, and bytes of its payloads.
    #[getter]
    fn footprint(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        self.handle.run(py, |store| store.footprint().map(|found| (found.disk_bytes, found.payload_bytes)))
    }
}

impl Store {
    /// One array, and the labels, where the images have one shape and type; a list of arrays where they have not.
    fn many<'py>(&self, py: Python<'py>, ids: &[Id]) -> PyResult<(Bound<'py, PyAny>, Option<Labels>)> {
        let Some(&first) = ids.first() else { return Ok((PyList::empty(py).into_any(), None)) };
        let like = self.handle.run(py, |store| store.descriptor(first))?;
        let [height, width, channels] = arrays::dims(like.shape);
        match arrays::empty(py, like.sample_type, &[ids.len(), height, width, channels]) {
            Ok(array) => {
                if let Some(labels) = self.fill(py, ids, &like, &array, pinako::Store::images_into)? {
                    return Ok((array.into_any(), Some(labels)));
                }
            }
            // Others may be smaller.
            Err(error) => {
                let found = self.handle.run_parallel(py, |store| store.descriptors(ids))?;
                if found.iter().flatten().all(|found| is_alike(found, &like)) {
                    return Err(error);
                }
            }
        }
        let list = PyList::empty(py);
        for ids in ids.chunks(images_a_piece(&like)) {
            for image in self.handle.run_parallel(py, |store| store.images(ids))? {
                list.append(arrays::from_image(py, image)?)?;
            }
            py.check_signals()?;
        }
        Ok((list.into_any(), None))
    }

    /// Decodes images by `decode_into` into `out`, which is made for as many like this one. Their labels; `None` where they
    /// are not of one shape and type.
    fn fill(
        &self,
        py: Python<'_>,
        ids: &[Id],
        like: &Descriptor,
        out: &Bound<'_, PyUntypedArray>,
        decode_into: fn(&pinako::Store, &[Id], &mut [u8]) -> pinako::Result<Labels>,
    ) -> PyResult<Option<Labels>> {
        let out = Bytes::of(out);
        let mut labels = Vec::with_capacity(ids.len());
        for piece in ids.chunks(images_a_piece(like)) {
            let of_piece = self.handle.run_parallel(py, |store| {
                // SAFETY: the caller has the array, which is new or was lent for this; the slice has ended when Python may
                // use the array again, as in what it does for a signal.
                let out = unsafe { out.as_mut_slice() };
                let length = out.len() / ids.len();
                let out = &mut out[labels.len() * length..][..piece.len() * length];
                let ids = piece;
                if ids[0] != like.id && !is_alike(&store.descriptor(ids[0])?, like) {
                    return Ok(None);
                }
                match decode_into(store, ids, out) {
                    Ok(labels) => Ok(Some(labels)),
                    Err(error) if error.kind() == ErrorKind::InvalidInput => {
                        let found = store.descriptors(ids)?;
                        if found.iter().flatten().all(|found| is_alike(found, like)) { Err(error) } else { Ok(None) }
                    }
                    Err(error) => Err(error),
                }
            })?;
            let Some(of_piece) = of_piece else { return Ok(None) };
            labels.extend(of_piece);
            py.check_signals()?;
        }
        Ok(Some(labels))
    }
}

fn is_alike(a: &Descriptor, b: &Descriptor) -> bool {
    (a.shape, a.sample_type) == (b.shape, b.sample_type)
}

/// How many images like this one are read at once.
fn images_a_piece(like: &Descriptor) -> usize {
    usize::try_from(PIECE as u64 / like.image_bytes()).unwrap_or(usize::MAX).max(1)
}

/// The labels as Python has them.
fn label_array(py: Python<'_>, labels: Labels) -> Bound<'_, PyArray1<i64>> {
    labels.into_iter().map(|label| label.unwrap_or(NO_LABEL)).collect::<Vec<_>>().into_pyarray(py)
}

/// Checks that `out` is an array for images like this one, which together have this shape.
fn check_out(out: &Bound<'_, PyUntypedArray>, expected: &[usize; 4], like: &Descriptor) -> PyResult<()> {
    if out.shape() != expected {
        let count = expected[0];
        return Err(PyValueError::new_err(format!(
            "out has the shape {:?}, {count} images of image {}'s shape take {expected:?}",
            out.shape(),
            like.id
        )));
    }
    if arrays::sample_type(&out.dtype()) != Some(like.sample_type) {
        return Err(PyTypeError::new_err(format!(
            "out is of {}, image {} of {}",
            out.dtype(),
            like.id,
            arrays::dtype_name(like.sample_type)
        )));
    }
    Ok(())
}
