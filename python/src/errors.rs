//! Errors of the library as Python's exceptions: a class a kind, defined in `_errors.py`.

use std::error::Error as _;

use pinako::{Error, ErrorKind, Id};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::handle::Handle;

/// The exception that `error` is in Python, with its causes in its text.
pub fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    make(py, error).unwrap_or_else(|failed| failed)
}

fn make(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = match error.kind() {
        // With a cause it is the file that an image links to.
        ErrorKind::NotFound if error.id().is_some() && error.source().is_none() => "ImageNotFoundError",
        ErrorKind::NotFound => "PathNotFoundError",
        ErrorKind::InvalidInput => "InvalidInputError",
        ErrorKind::Corrupt => "CorruptError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::FeatureDisabled => "FeatureDisabledError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::Denied => "DeniedError",
        ErrorKind::Transient => "TransientError",
        _ => "BackendError",
    };
    exception(py, class, error)
}

fn exception(py: Python<'_>, class: &str, error: &Error) -> PyResult<PyErr> {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message += &format!(": {text}");
        }
        cause = error.source();
    }
    let about = PyDict::new(py);
    about.set_item("hint", error.hint())?;
    about.set_item("store", error.store())?;
    about.set_item("image", error.id())?;
    let class = py.import("pinako._errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&about))?))
}

/// The exception for an image that is not there: an `IndexError` and a `KeyError`.
pub fn image_not_found(py: Python<'_>, handle: &Handle, message: &str, id: Option<Id>) -> PyErr {
    let error = Error::new(ErrorKind::NotFound, message).at_store(handle.url());
    let error = match id {
        Some(id) => error.at_id(id),
        None => error,
    };
    exception(py, "ImageNotFoundError", &error).unwrap_or_else(|failed| failed)
}
