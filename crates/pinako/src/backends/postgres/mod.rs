//! `postgres://USER@HOST/DATABASE`.

use std::time::Duration;

use super::Mode;
use crate::backend::{Backend, Durability};
use crate::error::{Error, Result};

pub(crate) fn open(_url: &str, _mode: Mode, _durability: Durability, _patience: Duration) -> Result<Box<dyn Backend>> {
    Err(Error::unsupported("this version has no stores of this kind"))
}
