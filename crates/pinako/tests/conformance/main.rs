//! Every backend of the library, and every wrapper around one, passes the suite and agrees with a map.

mod fixtures;
mod model;
#[cfg(any(feature = "cloud", feature = "postgres"))]
#[path = "../servers/mod.rs"]
mod servers;

use fixtures::{MemoryFixture, UrlFixture, WrappedFixture};
use pinako::Durability;
use pinako::backend::IoHints;
use pinako::conformance_tests;
use pinako::wrappers::{Counted, Delayed, Faulty};

conformance_tests!(memory, MemoryFixture::default());
conformance_tests!(counted, WrappedFixture::new(|inner| Box::new(Counted::new(inner))));
conformance_tests!(faulty, WrappedFixture::new(|inner| Box::new(Faulty::new(inner))));
conformance_tests!(delayed, WrappedFixture::new(|inner| Box::new(Delayed::new(inner, NO_DELAY).unwrap())));
conformance_tests!(lmdb, UrlFixture::new("lmdb", Durability::Full));
conformance_tests!(lmdb_buffered, UrlFixture::new("lmdb", Durability::Buffered));
#[cfg(feature = "hdf5")]
conformance_tests!(hdf5, UrlFixture::new("hdf5", Durability::Full));
#[cfg(feature = "hdf5")]
conformance_tests!(hdf5_buffered, UrlFixture::new("hdf5", Durability::Buffered));
conformance_tests!(sqlite, UrlFixture::new("sqlite", Durability::Full));
conformance_tests!(sqlite_buffered, UrlFixture::new("sqlite", Durability::Buffered));
#[cfg(feature = "postgres")]
conformance_tests!(postgres, optional UrlFixture::on_server("POSTGRES", Durability::Full));
#[cfg(feature = "postgres")]
conformance_tests!(postgres_buffered, optional UrlFixture::on_server("POSTGRES", Durability::Buffered));
#[cfg(feature = "cloud")]
conformance_tests!(object, UrlFixture::new("object", Durability::Full));
#[cfg(feature = "cloud")]
conformance_tests!(s3, optional UrlFixture::on_server("S3", Durability::Full));
#[cfg(feature = "cloud")]
conformance_tests!(gs, optional UrlFixture::on_server("GS", Durability::Full));
#[cfg(feature = "cloud")]
conformance_tests!(az, optional UrlFixture::on_server("AZ", Durability::Full));
conformance_tests!(files, UrlFixture::new("files", Durability::Full));
conformance_tests!(files_buffered, UrlFixture::new("files", Durability::Buffered));

const NO_DELAY: IoHints = IoHints { read_seconds: 1e-15, byte_seconds: 1e-15, parallel_reads: 1, block: 1 };
