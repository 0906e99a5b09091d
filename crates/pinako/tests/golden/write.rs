//! Writes golden stores of the current format version: once, when there is a new one.
//!
//!     cargo run -p pinako --example write_golden -- crates/pinako/tests/golden/v1

#[path = "content.rs"]
mod content;

use std::path::PathBuf;

use pinako::Store;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("the folder to write them into?")?);
    std::fs::create_dir_all(&folder)?;
    for scheme in ["files", "lmdb", "hdf5", "sqlite", "object"] {
        content::write(&Store::create(&format!("{scheme}:{}", folder.join(scheme).display()))?)?;
    }
    Ok(())
}
