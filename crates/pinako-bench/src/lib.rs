//! Pinako's experiments: they tell which way of storing suits *your* images on *your* machine.
//!
//! [`stores`] compares the backends at storing and reading many small images. It is what `pinako bench stores` runs:
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use pinako_bench::stores::{self, Options};
//!
//! # fn main() -> pinako::Result<()> {
//! let options = Options { counts: vec![1, 100, 10_000], ..Options::new("report") };
//! let report = stores::run(&options, &mut |_| ControlFlow::Continue(()))?;
//! println!("{}", report.recommendation.headline);
//! # Ok(())
//! # }
//! ```
//!
//! [`regions`] repeats the experiments of the Hilbert layout, by counting and by real reads: `pinako bench regions`.
//!
//! # The map
//!
//! | module | answers |
//! | --- | --- |
//! | [`stores`] | which backend stores and reads many small images best? |
//! | [`calibrate`] | what do reads of a store cost? |
//! | [`explain`] | how is a region of an image read, and what would other ways cost? |
//! | [`regions`] | how many runs has a rectangle, and how long does it take to read one? |
//! | [`costs`] | how are costs shown? |
//! | [`pictures`] | what is measured where nobody gives images? |
//! | [`figures`] | how are figures written for people? |
//! | [`summary`] | what do many samples say in a few numbers? |
//! | [`cold`] | how is the page cache made to forget? |
//! | [`memory`] | how much memory does a piece of work take? |
//! | [`machine`] | what was it measured on? |
//! | [`head`] | what does every report begin with? |

pub mod calibrate;
mod chart;
pub mod cold;
pub mod costs;
pub mod explain;
pub mod figures;
pub mod head;
mod html;
pub mod machine;
pub mod memory;
mod output;
pub mod pictures;
pub mod regions;
mod scratch;
pub mod stores;
mod summary;

/// The error of a run that the watch broke off.
fn interrupted() -> pinako::Error {
    pinako::Error::new(pinako::ErrorKind::Interrupted, "stopped before everything was measured")
        .with_hint("nothing was reported")
}

fn invalid(message: impl Into<String>) -> pinako::Error {
    pinako::Error::new(pinako::ErrorKind::InvalidInput, message)
}
