//! One HDF5 file of all images, as most Python code keeps them: datasets `images` and `meta`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::{Aside, Batches, NO_LABEL, cannot_write, write_array};
use crate::backends::hdf5_head;
use crate::error::{Error, Result};

pub(super) fn export(batches: &mut Batches<'_, '_>, out: &Path) -> Result<()> {
    let (shape, sample) = batches.first()?;
    let count = batches.total;
    let head = hdf5_head(count, shape, sample)?;
    let aside = Aside::new(out)?;
    let failed = |error| cannot_write(out, error);
    let mut file = BufWriter::new(File::create_new(aside.path()).map_err(failed)?);
    file.write_all(&head).map_err(failed)?;
    let labels = write_array(batches, (shape, sample), &mut |bytes| file.write_all(bytes).map_err(failed))?;
    if labels.len() as u64 != count {
        return Err(Error::conflict(format!("there were {count} images, now there are {}", labels.len()))
            .with_hint("something else changed the store meanwhile: export it again")
            .at_store(batches.store.url()));
    }
    for label in labels {
        file.write_all(&label.unwrap_or(NO_LABEL).to_le_bytes()).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    aside.done()
}
