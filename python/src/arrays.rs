//! Images and numpy's arrays: height, width, channels, as both have them in memory.

use std::ffi::c_int;

use numpy::npyffi::{PY_ARRAY_API, npy_intp};
use numpy::{
    IntoPyArray, PyArrayDescr, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods,
};
use pinako::{Image, SampleType, Shape};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::errors::to_py;

/// Images of so many bytes are arrays in the memory that they were decoded into; smaller ones are copied sooner.
const LENT: usize = 64 << 10;

/// A new array, C-contiguous, with whatever is in its memory: all that use it write every byte before Python sees it, or drop
/// it.
///
/// # Errors
/// numpy's `MemoryError`.
pub fn empty<'py>(py: Python<'py>, sample_type: SampleType, dims: &[usize]) -> PyResult<Bound<'py, PyUntypedArray>> {
    let dtype = match sample_type {
        SampleType::U8 => numpy::dtype::<u8>(py),
        SampleType::U16 => numpy::dtype::<u16>(py),
        SampleType::U32 => numpy::dtype::<u32>(py),
        SampleType::I16 => numpy::dtype::<i16>(py),
        SampleType::F32 => numpy::dtype::<f32>(py),
        SampleType::F64 => numpy::dtype::<f64>(py),
        other => return Err(PyTypeError::new_err(format!("numpy has no type for samples of {other}"))),
    };
    let mut lengths = dims.iter().map(|&length| length as npy_intp).collect::<Vec<_>>();
    // The crate's own constructors panic where there is not enough memory.
    // SAFETY: there are as many lengths as is said, and the reference to the type is given away, as it has to be.
    let array = unsafe {
        let array =
            PY_ARRAY_API.PyArray_Empty(py, lengths.len() as c_int, lengths.as_mut_ptr(), dtype.into_dtype_ptr(), 0);
        Bound::from_owned_ptr_or_err(py, array)?
    };
    Ok(array.cast_into()?)
}

/// The samples of an array, for as long as the array is there.
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    start: *mut u8,
    length: usize,
}

// SAFETY: it is memory like any other. Whoever writes into an array while another thread reads it gets what is torn, as
// everywhere in numpy; every bit pattern is a sample.
unsafe impl Send for Bytes {}
unsafe impl Sync for Bytes {}

impl Bytes {
    /// Those of a C-contiguous array.
    pub fn of(array: &Bound<'_, PyUntypedArray>) -> Self {
        debug_assert!(array.is_c_contiguous());
        let length = array.shape().iter().product::<usize>() * itemsize(array);
        // SAFETY: only where the samples begin is asked, which is the same for all types.
        let start = unsafe { array.as_any().cast_unchecked::<PyArrayDyn<u8>>() }.data();
        Bytes { start, length }
    }

    /// # Safety
    /// The array must be alive for as long as the slice is.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(self.start, self.length) } }
    }

    /// # Safety
    /// The array must be alive for as long as the slice is, and there must be no other slice of it.
    pub unsafe fn as_mut_slice<'a>(self) -> &'a mut [u8] {
        if self.length == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(self.start, self.length) } }
    }
}

fn itemsize(array: &Bound<'_, PyUntypedArray>) -> usize {
    array.dtype().itemsize()
}

/// The array of one image: height, width, channels.
pub fn from_image(py: Python<'_>, image: Image) -> PyResult<Bound<'_, PyUntypedArray>> {
    let (dims, sample_type) = (dims(image.shape()), image.sample_type());
    if image.bytes().len() < LENT {
        let array = empty(py, sample_type, &dims)?;
        // SAFETY: the array is new, and nobody else has it.
        unsafe { Bytes::of(&array).as_mut_slice() }.copy_from_slice(image.bytes());
        return Ok(array);
    }
    let bytes = image.into_bytes().into_pyarray(py);
    let samples = bytes.call_method1("view", (dtype_name(sample_type),))?;
    Ok(samples.call_method1("reshape", (dims,))?.cast_into()?)
}

pub fn dims(shape: Shape) -> [usize; 3] {
    [shape.height() as usize, shape.width() as usize, shape.channels().into()]
}

/// The type of samples that numpy calls by the name of `dtype`, native endian.
pub fn sample_type(dtype: &Bound<'_, PyArrayDescr>) -> Option<SampleType> {
    let name = match (dtype.kind(), dtype.itemsize()) {
        (b'u', 1) => "u8",
        (b'u', 2) => "u16",
        (b'u', 4) => "u32",
        (b'i', 2) => "i16",
        (b'f', 4) => "f32",
        (b'f', 8) => "f64",
        _ => return None,
    };
    SampleType::from_name(name).filter(|_| dtype.is_native_byteorder().unwrap_or(true))
}

/// What numpy calls samples of a type.
pub fn dtype_name(sample_type: SampleType) -> &'static str {
    match sample_type {
        SampleType::U8 => "uint8",
        SampleType::U16 => "uint16",
        SampleType::U32 => "uint32",
        SampleType::I16 => "int16",
        SampleType::F32 => "float32",
        SampleType::F64 => "float64",
        other => other.name(),
    }
}

/// An array of one image: of height, width and channels, or of height and width, which has one channel. C-contiguous and
/// native endian, which `_arrays.py` sees to.
pub struct Pixels<'py> {
    array: Bound<'py, PyUntypedArray>,
    shape: Shape,
    sample_type: SampleType,
}

impl<'py> Pixels<'py> {
    pub fn new(py: Python<'py>, array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = array.cast::<PyUntypedArray>()?.clone();
        let Some(sample_type) = sample_type(&array.dtype()) else {
            return Err(PyTypeError::new_err(format!("images of {} cannot be stored", array.dtype())));
        };
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let shape = match *array.shape() {
            [height, width] => Shape::new(side(height), side(width), 1),
            [height, width, channels] => {
                let channels = u16::try_from(channels).map_err(|_| {
                    PyValueError::new_err(format!("an image has at most {} channels, not {channels}", u16::MAX))
                })?;
                Shape::new(side(height), side(width), channels)
            }
            ref other => {
                return Err(PyValueError::new_err(format!(
                    "an image has height, width and channels, not {} dimensions",
                    other.len()
                )));
            }
        };
        Ok(Pixels { array, shape: shape.map_err(|error| to_py(py, &error))?, sample_type })
    }

    /// What is sent to threads that work while the array is kept alive.
    pub fn parts(&self) -> (Shape, SampleType, Bytes) {
        (self.shape, self.sample_type, Bytes::of(&self.array))
    }
}
