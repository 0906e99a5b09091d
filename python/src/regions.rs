//! Rectangles of images.

use std::ops::ControlFlow;
use std::path::PathBuf;

use numpy::PyUntypedArray;
use pinako::{Error, ErrorKind, Id, Region, SampleType, Shape};
use pinako_bench::explain;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::arrays::{self, Bytes};
use crate::errors::to_py;
use crate::handle::PIECE;
use crate::ids;
use crate::store::Store;

#[pymethods]
impl Store {
    /// A rectangle of an image, with its upper left corner at column x and row y: an array of height, width, channels.
    ///
    /// Of images stored raw, no more is read than it takes. Raises an `InvalidInputError` (a `ValueError`) where it is not
    /// inside of the image.
    ///
    /// >>> store.region("earth", 4000, 1200, 400, 300).shape
    /// (300, 400, 3)
    #[pyo3(signature = (image, x, y, width, height))]
    fn region<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        width: &Bound<'py, PyAny>,
        height: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyUntypedArray>> {
        let id = ids::one(py, &self.handle, image)?;
        let region = region(py, [x, y, width, height])?;
        // One region is read by this thread: to ask others would take longer than most.
        let image = self.handle.run(py, |store| store.region(id, region))?;
        arrays::from_image(py, image)
    }

    /// Many rectangles at once, given as (image, x, y, width, height), planned together and read on all cores: one array of
    /// N,H,W,C where they are of one size, else a list.
    fn regions<'py>(&self, py: Python<'py>, regions: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut wanted: Vec<(Id, Region)> = Vec::new();
        for one in regions.try_iter()? {
            let one = one?;
            let wrong = || PyTypeError::new_err("regions are asked for as (image, x, y, width, height)");
            let five: Vec<_> = one.try_iter().and_then(Iterator::collect::<PyResult<_>>).map_err(|_| wrong())?;
            let [index, place @ ..] = <[_; 5]>::try_from(five).map_err(|_| wrong())?;
            wanted.push((ids::one(py, &self.handle, &index)?, region(py, place.each_ref())?));
        }
        let Some((shape, sample_type)) = self.alike(py, &wanted)? else {
            let images = self.handle.run_parallel(py, |store| store.regions(&wanted))?;
            let arrays = images.into_iter().map(|image| arrays::from_image(py, image)).collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, arrays)?.into_any());
        };
        let [height, width, channels] = arrays::dims(shape);
        let array = arrays::empty(py, sample_type, &[wanted.len(), height, width, channels])?;
        // SAFETY: the array is new, and is kept alive here.
        let out = unsafe { Bytes::of(&array).as_mut_slice() };
        let length = out.len() / wanted.len();
        let piece = (PIECE / length).max(1);
        for (wanted, out) in wanted.chunks(piece).zip(out.chunks_mut(piece * length)) {
            self.handle.run_parallel(py, |store| store.regions_into(wanted, out))?;
            py.check_signals()?;
        }
        Ok(array.into_any())
    }

    /// What `pinako explain --json` prints; and a picture of it, where one is asked for.
    fn _explain(
        &self,
        py: Python<'_>,
        index: &Bound<'_, PyAny>,
        place: [Bound<'_, PyAny>; 4],
        strategies: Vec<String>,
        measure: bool,
        picture: Option<PathBuf>,
    ) -> PyResult<String> {
        let id = ids::one(py, &self.handle, index)?;
        let region = region(py, place.each_ref())?;
        let strategies = strategies.iter().map(|text| text.parse()).collect::<pinako::Result<Vec<_>>>();
        let strategies = strategies.map_err(|error| to_py(py, &error))?;
        let options = explain::Options { strategies, measure, ..explain::Options::default() };
        self.handle.run_parallel(py, |store| {
            let found = explain::explain(store, id, region, &options, &mut |_| ControlFlow::Continue(()))?;
            if let Some(file) = &picture {
                pinako::export::write_file(file, &explain::picture(store, id, region, &options)?)?;
            }
            Ok(serde_json::to_string(&found).expect("numbers and texts have a JSON form"))
        })
    }
}

impl Store {
    /// The shape and the type of all of these regions; `None` where they differ, or cannot be read.
    fn alike(&self, py: Python<'_>, regions: &[(Id, Region)]) -> PyResult<Option<(Shape, SampleType)>> {
        let mut ids: Vec<Id> = regions.iter().map(|&(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        let images = self.handle.run_parallel(py, |store| store.descriptors(&ids))?;
        let mut kinds = regions.iter().map(|&(id, region)| {
            let image = images[ids.binary_search(&id).ok()?].as_ref()?;
            region.check_inside(image.shape).ok()?;
            Some((region.shape(image.shape.channels()).ok()?, image.sample_type))
        });
        let first = kinds.next().flatten();
        Ok(first.filter(|_| kinds.all(|kind| kind == first)))
    }
}

/// The region of a place: x, y, width and height.
fn region(py: Python<'_>, place: [&Bound<'_, PyAny>; 4]) -> PyResult<Region> {
    let mut sides = [0; 4];
    for ((side, given), what) in sides.iter_mut().zip(place).zip(["x", "y", "width", "height"]) {
        // Whole numbers of numpy's, too.
        let number = given.call_method0("__index__").map_err(|_| {
            PyTypeError::new_err(format!("the {what} of a region is a whole number, not {}", given.get_type()))
        })?;
        *side = number.extract().map_err(|_| {
            let message = format!("a region has no {what} of {number}");
            to_py(py, &Error::new(ErrorKind::InvalidInput, message))
        })?;
    }
    let [x, y, width, height] = sides;
    Region::new(x, y, width, height).map_err(|error| to_py(py, &error))
}
