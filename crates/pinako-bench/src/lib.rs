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
//! | [`regions`] | how many runs has a rectangle, and how long does it take to read one? |
//! | [`calibrate`] | what do reads of a store cost? |
//! | [`explain`] | how is a region of an image read, and what would other ways cost? |
//! | [`costs`] | how are costs shown? |
//! | [`figures`] | how are figures written for people? |
//! | [`summary`] | what do many samples say in a few numbers? |
//! | [`head`] | what does every report begin with? |
//! | [`machine`] | what was it measured on? |
//! | `pictures` | what is measured where nobody gives images? |
//! | `random` | which numbers are random, and the same for a seed for ever? |
//! | `scratch` | where do stores stand that are made to be measured? |
//! | `cold` | how is the page cache made to forget? |
//! | `memory` | how much memory does a piece of work take? |
//! | `output`, `html`, `chart` | what is a report written as? |

pub mod calibrate;
mod chart;
mod cold;
pub mod costs;
pub mod explain;
pub mod figures;
pub mod head;
mod html;
pub mod machine;
mod memory;
mod output;
mod pictures;
mod random;
pub mod regions;
mod scratch;
pub mod stores;
pub mod summary;

/// The error of a run that the watch broke off.
fn interrupted() -> pinako::Error {
    pinako::Error::new(pinako::ErrorKind::Interrupted, "stopped before everything was measured")
        .with_hint("nothing was reported")
}

fn invalid(message: impl Into<String>) -> pinako::Error {
    pinako::Error::new(pinako::ErrorKind::InvalidInput, message)
}
