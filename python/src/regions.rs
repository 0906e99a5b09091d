//! Rectangles of images.

use std::ops::ControlFlow;
use std::path::PathBuf;

use numpy::PyUntypedArray;
use pinako::{Id, Region};
use pinako_bench::explain;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::arrays::{self, Bytes};
use crate::errors::to_py;
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
        x: i64,
        y: i64,
        width: i64,
        height: i64,
    ) -> PyResult<Bound<'py, PyUntypedArray>> {
        let id = ids::one(py, &self.handle, image)?;
        let region = region(py, [x, y, width, height])?;
        let like = self.handle.run(py, |store| {
            let found = store.descriptor(id)?;
            region.check_inside(found.shape).map_err(|error| error.at_id(id).at_store(store.url()))?;
            Ok(found)
        })?;
        let dims = [region.height() as usize, region.width() as usize, like.shape.channels().into()];
        let array = arrays::empty(py, like.sample_type, &dims)?;
        let bytes = Bytes::of(&array);
        // SAFETY: the array is new, and is kept alive here.
        self.handle.run_parallel(py, |store| store.region_into(id, region, unsafe { bytes.as_mut_slice() }))?;
        Ok(array)
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
            let mut numbers = [0_i64; 4];
            for (number, given) in numbers.iter_mut().zip(&place) {
                *number = given.extract().map_err(|_| wrong())?;
            }
            wanted.push((ids::one(py, &self.handle, &index)?, region(py, numbers)?));
        }
        let images = self.handle.run_parallel(py, |store| store.regions(&wanted))?;
        let Some(first) = images.first() else { return Ok(PyList::empty(py).into_any()) };
        let kind = (first.shape(), first.sample_type());
        if images.iter().any(|image| (image.shape(), image.sample_type()) != kind) {
            let arrays = images.iter().map(|image| arrays::from_image(py, image)).collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, arrays)?.into_any());
        }
        let [height, width, channels] = arrays::dims(first.shape());
        let array = arrays::empty(py, first.sample_type(), &[images.len(), height, width, channels])?;
        // SAFETY: the array is new, and nobody else has it.
        let out = unsafe { Bytes::of(&array).as_mut_slice() };
        for (out, image) in out.chunks_exact_mut(first.bytes().len()).zip(&images) {
            out.copy_from_slice(image.bytes());
        }
        Ok(array.into_any())
    }

    /// What `pinako explain --json` prints; and a picture of it, where one is asked for.
    fn _explain(
        &self,
        py: Python<'_>,
        index: &Bound<'_, PyAny>,
        place: [i64; 4],
        strategies: Vec<String>,
        measure: bool,
        picture: Option<PathBuf>,
    ) -> PyResult<String> {
        let id = ids::one(py, &self.handle, index)?;
        let region = region(py, place)?;
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

/// The region with its corner at x, y.
fn region(py: Python<'_>, [x, y, width, height]: [i64; 4]) -> PyResult<Region> {
    let side = |length: i64, what: &str| {
        u32::try_from(length).map_err(|_| PyValueError::new_err(format!("a region has no {what} of {length}")))
    };
    Region::new(side(x, "x")?, side(y, "y")?, side(width, "width")?, side(height, "height")?)
        .map_err(|error| to_py(py, &error))
}
