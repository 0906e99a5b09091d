//! `s3://`, `gs://`, `az://` and `object:DIR`.

#[allow(dead_code)]
mod connect;
mod delete;
#[allow(dead_code)]
mod error;
#[allow(dead_code)]
mod profile;
#[allow(dead_code)]
mod traffic;

use std::path::Path;
use std::time::Duration;

use super::Mode;
use crate::backend::Backend;
use crate::error::{Error, Result};

pub(crate) fn is_at(_path: &Path) -> bool {
    false
}

pub(crate) fn open_folder(_path: &Path, _mode: Mode, _patience: Duration) -> Result<Box<dyn Backend>> {
    Err(Error::unsupported("this version has no stores of this kind"))
}

pub(crate) fn open_url(_url: &str, _mode: Mode, _patience: Duration) -> Result<Box<dyn Backend>> {
    Err(Error::unsupported("this version has no stores of this kind"))
}

/// Deletes the store at `url`, which is a server's.
pub(crate) fn delete(url: &str) -> Result<()> {
    let place = connect::connect_url(url)?;
    super::runtime::wait_for(delete::delete(&place))
}
