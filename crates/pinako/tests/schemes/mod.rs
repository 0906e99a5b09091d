//! The kinds of stores on the disk that this build has.

pub const SCHEMES: &[&str] = &[
    "files",
    "lmdb",
    "sqlite",
    #[cfg(feature = "hdf5")]
    "hdf5",
    #[cfg(feature = "cloud")]
    "object",
];
