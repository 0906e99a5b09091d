//! Stores millions of images, or a few enormous ones, and gives back one, many, or any rectangle of one, fast.

pub mod backend;
pub mod backends;
pub mod conformance;
pub mod descriptor;
pub mod error;
pub mod image;

pub use backend::Durability;
pub use descriptor::{Attributes, Descriptor, Encoding, Id, ImageFormat, Label, Layout};
pub use error::{Error, ErrorKind, Result};
pub use image::{Image, ImageView, Region, Sample, SampleType, Shape};
