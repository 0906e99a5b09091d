//! What stands between the brackets of `store[...]`, as ids.
//!
//! Numbers there are ids, which never change and are never given again. Where no image was removed they are places, too,
//! as in any sequence. A slice means those of its ids that are there; a negative number counts back from the last image.

use std::ops::Range;

use numpy::{PyReadonlyArray1, PyUntypedArray};
use pinako::{Id, Store};
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyList, PySlice, PyString, PyTuple};

use crate::errors::image_not_found;
use crate::handle::Handle;

/// What was asked for.
pub enum Index {
    /// One image.
    One(Id),
    /// Many, in this order.
    Many(Vec<Id>),
}

impl Index {
    pub fn of(py: Python<'_>, handle: &Handle, index: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(slice) = index.cast::<PySlice>() {
            return of_slice(py, handle, slice).map(Index::Many);
        }
        if index.is_instance_of::<PyString>() || is_integer(index) {
            return one(py, handle, index).map(Index::One);
        }
        if index.is_instance_of::<PyTuple>() {
            let message =
                "store[a, b] would be a place within an image: write store[a][b], or store[[a, b]] for two images";
            return Err(PyTypeError::new_err(message));
        }
        many(py, handle, index).map(Index::Many)
    }
}

/// Whether it is a whole number: Python's, numpy's, or an array or tensor of one and no dimensions. That a tensor of one
/// dimension with one element is a number to Python, too, and so is a bool, does not make it one.
fn is_integer(index: &Bound<'_, PyAny>) -> bool {
    if index.is_instance_of::<PyInt>() {
        return !index.is_instance_of::<PyBool>();
    }
    if index.extract::<i64>().is_err() && !is_huge(index) {
        return false;
    }
    let is_array = index.getattr("ndim").is_ok_and(|count| !count.eq(0).unwrap_or(false));
    let is_bool = || index.getattr("dtype").is_ok_and(|dtype| dtype.to_string().contains("bool"));
    !is_array && !is_bool()
}

/// Whether it is a whole number that no id can be.
fn is_huge(index: &Bound<'_, PyAny>) -> bool {
    index.extract::<i64>().is_err_and(|error| error.is_instance_of::<PyOverflowError>(index.py()))
}

/// The one image that an id or a name means.
pub fn one(py: Python<'_>, handle: &Handle, index: &Bound<'_, PyAny>) -> PyResult<Id> {
    if let Ok(name) = index.cast::<PyString>() {
        let name = &*name.to_cow()?;
        let found = handle.run(py, |store| store.find(name))?;
        return found.ok_or_else(|| no_image_named(py, handle, name));
    }
    if !is_integer(index) {
        return Err(no_index(index));
    }
    if is_huge(index) {
        return Err(image_not_found(py, handle, &format!("there is no image {index}"), None));
    }
    let number: i64 = index.extract().map_err(|_| no_index(index))?;
    match Id::try_from(number) {
        Ok(id) => Ok(id),
        Err(_) => Ok(FromTheEnd::of(py, handle, number)?.id(number)),
    }
}

fn no_index(index: &Bound<'_, PyAny>) -> PyErr {
    let kind = index.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!(
        "images are asked for by id, by name, or by a slice, a list or an array of ids, not by {kind}"
    ))
}

/// What negative numbers mean.
struct FromTheEnd {
    /// How many numbers count as places, from the first on.
    places: u64,
    /// The ids of the last images, where places are no ids.
    last: Option<Vec<Id>>,
}

impl FromTheEnd {
    /// Looks once for all numbers down to `least`, which is negative.
    fn of(py: Python<'_>, handle: &Handle, least: i64) -> PyResult<Self> {
        let back = least.unsigned_abs();
        let found = handle.run(py, |store| {
            let properties = store.properties()?;
            let (count, next_id) = (properties.count, properties.next_id);
            let last = match count < next_id && back <= count {
                true => Some(last(store, next_id, back)?),
                false => None,
            };
            Ok(FromTheEnd { places: last.as_ref().map_or(count, |last| last.len() as u64), last })
        })?;
        if back > found.places {
            return Err(image_not_found(py, handle, &format!("{least} is before the first image"), None));
        }
        Ok(found)
    }

    /// The id that a negative number means, which is not less than the least.
    fn id(&self, number: i64) -> Id {
        let place = self.places - number.unsigned_abs();
        self.last.as_ref().map_or(place, |last| last[place as usize])
    }
}

/// The ids of the last images, at least so many where there are. Ids are listed upwards alone: it looks further and further
/// back for where to begin.
fn last(store: &Store, next_id: Id, count: u64) -> pinako::Result<Vec<Id>> {
    let mut span = count;
    loop {
        let start = next_id.saturating_sub(span);
        let ids = present(store, start..next_id)?;
        if ids.len() as u64 >= count || start == 0 {
            return Ok(ids);
        }
        span = span.saturating_mul(4);
    }
}

/// The ids of the images that are there.
pub fn present(store: &Store, ids: Range<Id>) -> pinako::Result<Vec<Id>> {
    store
        .scan(ids.start)
        .map(|found| found.map(|found| found.id))
        .take_while(|id| !matches!(id, Ok(id) if *id >= ids.end))
        .collect()
}

/// The ids of all images.
pub fn all(store: &Store) -> pinako::Result<Vec<Id>> {
    let properties = store.properties()?;
    if properties.count == properties.next_id {
        Ok((0..properties.next_id).collect())
    } else {
        present(store, 0..properties.next_id)
    }
}

fn named(py: Python<'_>, handle: &Handle, names: &Bound<'_, PyAny>) -> PyResult<Vec<Id>> {
    let names = names.try_iter()?.map(|name| name?.extract()).collect::<PyResult<Vec<String>>>();
    let names =
        names.map_err(|_| PyTypeError::new_err("images are asked for by names or by ids, not by both at once"))?;
    let found =
        handle.run_parallel(py, |store| store.find_all(&names.iter().map(String::as_str).collect::<Vec<_>>()))?;
    let ids = found.into_iter().zip(&names).map(|(found, name)| found.ok_or_else(|| no_image_named(py, handle, name)));
    ids.collect()
}

fn no_image_named(py: Python<'_>, handle: &Handle, name: &str) -> PyErr {
    image_not_found(py, handle, &format!("there is no image named {name:?}"), None)
}

fn of_slice(py: Python<'_>, handle: &Handle, slice: &Bound<'_, PySlice>) -> PyResult<Vec<Id>> {
    let properties = handle.run(py, |store| store.properties())?;
    let length =
        isize::try_from(properties.next_id).map_err(|_| PyIndexError::new_err("ids are too large for slices"))?;
    let slice = slice.indices(length)?;
    let ids = (0..slice.slicelength as i64).map(|place| (slice.start as i64 + place * slice.step as i64) as Id);
    let mut ids: Vec<Id> = ids.collect();
    if properties.count < properties.next_id && !ids.is_empty() {
        let (first, last) = (*ids.iter().min().unwrap_or(&0), *ids.iter().max().unwrap_or(&0));
        let there = handle.run(py, |store| present(store, first..last + 1))?;
        ids.retain(|id| there.binary_search(id).is_ok());
    }
    Ok(ids)
}

/// The ids in a range, a list or an array of them; or those of the names in a list.
pub fn many(py: Python<'_>, handle: &Handle, index: &Bound<'_, PyAny>) -> PyResult<Vec<Id>> {
    let is_list = index.is_instance_of::<PyList>() || index.is_instance_of::<PyTuple>();
    if (is_list || index.is_instance_of::<PyUntypedArray>())
        && index.get_item(0).is_ok_and(|first| first.is_instance_of::<PyString>())
    {
        return named(py, handle, index);
    }
    let array = py.import("pinako._arrays")?.call_method1("ids", (index,))?;
    let array: PyReadonlyArray1<'_, i64> = array.extract()?;
    let numbers = array.as_slice()?;
    let least = numbers.iter().copied().min().filter(|&least| least < 0);
    let from_the_end = least.map(|least| FromTheEnd::of(py, handle, least)).transpose()?;
    let id = |number: i64| from_the_end.as_ref().filter(|_| number < 0).map_or(number as Id, |end| end.id(number));
    Ok(numbers.iter().map(|&number| id(number)).collect())
}
