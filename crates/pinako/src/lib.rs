//! Stores millions of images, or a few enormous ones, and gives back one, many, or any rectangle of one, fast.
//!
//! ```
//! use pinako::{Image, NewImage, Region, Shape, Store};
//!
//! # fn main() -> pinako::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let url = format!("lmdb:{}", folder.path().join("pets").display());
//! let store = Store::create(&url)?; // "lmdb:pets", "files:pets", "hdf5:pets" or "sqlite:pets.db"
//! store.set_label_names(&["cat".into(), "dog".into()])?;
//!
//! let photo = Image::from_samples(Shape::new(2, 3, 1)?, &[0u8, 1, 2, 3, 4, 5])?;
//! let ids = store.append([NewImage::pixels(&photo).name("tom").label(0)])?;
//!
//! assert_eq!(store.image(ids.start)?, photo);
//! assert_eq!(store.find("tom")?, Some(ids.start));
//! assert_eq!(store.region(ids.start, Region::new(1, 0, 2, 2)?)?.bytes(), [1, 2, 4, 5]);
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//!
//! | module | answers |
//! | --- | --- |
//! | [`store`] | what can a user do? [`Store`] and [`NewImage`] |
//! | [`image`] | what is an image in memory? [`Image`], [`Shape`], [`Region`] |
//! | [`descriptor`] | what is known of an image without its pixels? |
//! | `encoding` | how do pixels become bytes? |
//! | [`layout`] | where does each pixel stand in a raw payload? |
//! | [`plan`] | how does a rectangle become reads? |
//! | `checksum` | are the bytes those that were stored? |
//! | [`export`] | how do images leave a store? |
//! | [`source`] | what are images imported from? |
//! | [`backend`] | what must a place for bytes do? The trait and its contract |
//! | [`backends`] | which places are there, and which URL means which? |
//! | [`wrappers`] | how is a store counted, broken or slowed down, for tests and experiments? |
//! | [`conformance`] | does a backend keep the contract? |
//! | [`error`] | what can go wrong? |

pub mod backend;
pub mod backends;
mod checksum;
pub mod conformance;
pub mod descriptor;
mod encoding;
pub mod error;
pub mod export;
pub mod image;
pub mod layout;
mod of_process;
pub mod plan;
mod planes;
pub mod source;
pub mod store;
pub mod wrappers;

pub use backend::Durability;
pub use descriptor::{Attributes, BlockSide, Descriptor, Encoding, Id, ImageFormat, Label, Layout};
pub use encoding::PixelEncoding;
pub use error::{Error, ErrorKind, Result};
pub use image::{Image, ImageView, Region, Sample, SampleType, Shape};
pub use store::{ImportEncoding, ImportOptions, Imported, NewImage, OpenOptions, Progress, Store, Watch};
