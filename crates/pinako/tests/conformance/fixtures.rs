//! Where the stores of these tests stand.

use std::time::Duration;

use pinako::Durability;
use pinako::backend::Backend;
use pinako::backends::{self, Memory, Mode};
use pinako::conformance::Fixture;
use tempfile::TempDir;

#[cfg(any(feature = "cloud", feature = "postgres"))]
use crate::servers::{drop_fresh, fresh_url};

/// A store in memory, whose handles are clones.
#[derive(Default)]
pub struct MemoryFixture(Memory);

impl Fixture for MemoryFixture {
    fn create(&self) -> Box<dyn Backend> {
        self.open()
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(self.0.clone())
    }

    fn open_impatient(&self) -> Box<dyn Backend> {
        self.open()
    }

    fn open_read_only(&self) -> Option<Box<dyn Backend>> {
        None
    }
}

/// A store in memory with a wrapper around each handle.
pub struct WrappedFixture(MemoryFixture, fn(Box<dyn Backend>) -> Box<dyn Backend>);

impl WrappedFixture {
    pub fn new(wrap: fn(Box<dyn Backend>) -> Box<dyn Backend>) -> Self {
        WrappedFixture(MemoryFixture::default(), wrap)
    }
}

impl Fixture for WrappedFixture {
    fn create(&self) -> Box<dyn Backend> {
        self.1(self.0.create())
    }

    fn open(&self) -> Box<dyn Backend> {
        self.1(self.0.open())
    }

    fn open_impatient(&self) -> Box<dyn Backend> {
        self.open()
    }

    fn open_read_only(&self) -> Option<Box<dyn Backend>> {
        self.0.open_read_only().map(self.1)
    }
}

/// A store at a URL of its own: on the disk, or on a server.
pub struct UrlFixture {
    _folder: Option<TempDir>,
    url: String,
    durability: Durability,
}

impl UrlFixture {
    /// In a folder of its own.
    pub fn new(scheme: &str, durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}:{}", folder.path().join("store").display());
        UrlFixture { _folder: Some(folder), url, durability }
    }

    /// On the server of that name, if it runs; see [`fresh_url`].
    #[cfg(any(feature = "cloud", feature = "postgres"))]
    #[allow(dead_code)]
    pub fn on_server(name: &str, durability: Durability) -> Option<Self> {
        let url = fresh_url(name)?;
        Some(UrlFixture { _folder: None, url, durability })
    }

    fn open_as(&self, mode: Mode) -> Box<dyn Backend> {
        backends::open(&self.url, mode, self.durability).unwrap()
    }
}

#[cfg(any(feature = "cloud", feature = "postgres"))]
impl Drop for UrlFixture {
    fn drop(&mut self) {
        drop_fresh(&self.url);
    }
}

impl Fixture for UrlFixture {
    fn create(&self) -> Box<dyn Backend> {
        self.open_as(Mode::Create)
    }

    fn open(&self) -> Box<dyn Backend> {
        self.open_as(Mode::Write)
    }

    fn open_impatient(&self) -> Box<dyn Backend> {
        let patience = Duration::from_millis(50);
        backends::open_with_patience(&self.url, Mode::Write, self.durability, patience).unwrap()
    }

    fn open_read_only(&self) -> Option<Box<dyn Backend>> {
        Some(self.open_as(Mode::Read))
    }
}
