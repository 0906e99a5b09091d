//! Every backend of the library passes the suite.

use pinako::Durability;
use pinako::backend::Backend;
use pinako::backends::{self, Memory, Mode};
use pinako::conformance::Fixture;
use pinako::conformance_tests;
use tempfile::TempDir;

/// A store in memory, whose handles are clones.
#[derive(Default)]
struct MemoryFixture(Memory);

impl Fixture for MemoryFixture {
    fn create(&self) -> Box<dyn Backend> {
        self.open()
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(self.0.clone())
    }

    fn open_read_only(&self) -> Option<Box<dyn Backend>> {
        None
    }
}

/// A store on the disk, in a folder of its own.
#[allow(dead_code, reason = "the backends on the disk take it, one line each, as they come")]
struct DiskFixture {
    _folder: TempDir,
    url: String,
    durability: Durability,
}

#[allow(dead_code, reason = "see above")]
impl DiskFixture {
    fn new(scheme: &str, durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}:{}", folder.path().join("store").display());
        DiskFixture { _folder: folder, url, durability }
    }

    fn open_as(&self, mode: Mode) -> Box<dyn Backend> {
        backends::open(&self.url, mode, self.durability).unwrap()
    }
}

impl Fixture for DiskFixture {
    fn create(&self) -> Box<dyn Backend> {
        self.open_as(Mode::Create)
    }

    fn open(&self) -> Box<dyn Backend> {
        self.open_as(Mode::Write)
    }

    fn open_read_only(&self) -> Option<Box<dyn Backend>> {
        Some(self.open_as(Mode::Read))
    }
}

conformance_tests!(memory, MemoryFixture::default());
