//! One HDF5 file of all images, as most Python code keeps them: datasets `images` and `meta`.

use std::path::Path;

use super::aside::AsideFile;
use super::{Batches, write_array};
use crate::backends::hdf5_head;
use crate::error::{Error, Result};

pub(super) fn export(batches: &Batches<'_>, out: &Path) -> Result<()> {
    let (shape, sample) = batches.first()?;
    let count = batches.total;
    let head = hdf5_head(count, shape, sample)?;
    let mut file = AsideFile::new(out)?;
    file.write(&head)?;
    let labels = write_array(batches, (shape, sample), &mut |bytes| file.write(bytes))?;
    if labels.len() as u64 != count {
        return Err(Error::conflict(format!("there were {count} images, now there are {}", labels.len()))
            .with_hint("something else changed the store meanwhile: export it again")
            .at_store(batches.store.url()));
    }
    for label in labels {
        file.write(&label.to_le_bytes())?;
    }
    file.done()
}
