//! The arguments of what has to do with regions of images.

use std::path::PathBuf;

use clap::ValueHint;
use pinako::plan::{Cost, Strategy};
use pinako::{Layout, Region};

use super::{DecodeArgs, of_library, seconds, size};
use crate::pick::ImagePick;

/// Show how a rectangle of an image is read, and what other ways would cost
///
/// A read costs t1 seconds however short it is, and a byte t2. So it may pay to read what is between two pieces of the
/// rectangle, too, and to throw it away. Strategies: exact reads every piece by itself, where pieces in the same block of the
/// device are one read; grow:N grows the rectangle to multiples of 2^N pixels; paper is grow:N with the N that CS-TR-3991
/// finds best at these costs; optimal, which all commands use, reads over those gaps that are cheaper to read than to leave
/// out. What it chose from is shown below: for some numbers of reads, from all pieces by themselves down to a single read,
/// the fewest bytes that these take; all of them are in --json.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako explain earth.lmdb 0 --region 4000,1200,400,400
  pinako explain earth.lmdb 0 --region 4000,1200,400,400 --run
  pinako explain earth.lmdb 0 --region 4000,1200,400,400 --picture plan.png
  pinako explain earth.lmdb 0 --region 4000,1200,400,400 --device 0.02,1e-8,8 --max-reads 4
  pinako explain earth.lmdb 0 --region 4000,1200,400,400 -S exact -S grow:3 --json")]
pub struct ExplainArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The image: digits are an id, all else is a name; name:TEXT is always a name
    #[arg(value_name = "ID|NAME")]
    pub image: ImagePick,

    /// The rectangle of pixels; 0,0 is the top left
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", allow_hyphen_values = true, value_parser = of_library::<Region>)]
    pub region: Region,

    /// A strategy: exact, grow:N with N up to 16, paper, optimal; may be given several times [default: all]
    #[arg(short = 'S', long = "strategy", value_name = "STRATEGY", value_parser = of_library::<Strategy>)]
    pub strategies: Vec<Strategy>,

    /// The most reads that the optimal plan may have
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = reads)]
    pub max_reads: Option<usize>,

    /// The most bytes that the optimal plan may read and throw away: plain, or with K, M or G (powers of 1024)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = size)]
    pub max_extra_bytes: Option<u64>,

    /// Plan for another device: seconds a read, seconds a byte, reads in flight at once (1 unless said). With --run, it is
    /// played: reads wait as long as they would there
    #[arg(long, value_name = "T1,T2[,P]", allow_hyphen_values = true, value_parser = device)]
    pub device: Option<Cost>,

    /// Read the rectangle by each strategy, too, several times, and show the median time; those are left out that are
    /// predicted to take longer than 2 seconds
    #[arg(long)]
    pub run: bool,

    /// Draw the rectangle and the reads over the image: a PNG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub picture: Option<PathBuf>,

    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub decode: DecodeArgs,
}

/// Measure what reads of a store cost, for rectangles to be planned by
///
/// A read costs t1 seconds however short it is, a byte t2, and P reads can be in flight at once. They are found from reads
/// of the store's largest raw images, at random places, none of them answered by the page cache where the file system can be
/// made to forget. Two figures say how well they foretell what was measured.
///
/// What was found is kept beside the store, in STORE/.cost.json or FILE-cost.json, or for one on a server in your own cache,
/// ~/.cache/pinako/cost, and used by whoever opens it from then on. It is true of the disk that the store is on: calibrate a
/// store again that was moved to another.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako calibrate earth.lmdb
  pinako calibrate earth.lmdb --seconds 30
  pinako calibrate earth.lmdb --json | jq '.read_seconds, .byte_seconds, .parallel_reads'")]
pub struct CalibrateArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// How long to read; each kind of read is timed three times in any case
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, allow_hyphen_values = true, value_parser = seconds)]
    pub seconds: f64,

    /// One JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

/// Store raw images anew in another layout; prints their new ids
///
/// Name, label and attributes stay. An image that is in that layout already stays as it is. `compact` gives back the space
/// of the old ones.
///
/// An image is stored under NAME (relayout) first, and under its own name when that is free: if this is broken off (Ctrl-C
/// says what to go on with), the image is there under that name, or its own, or both. A relayout of either finishes it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako relayout earth.lmdb 0 --layout hilbert
  pinako relayout earth.lmdb earth/0 moon/0 --layout row")]
pub struct RelayoutArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The images: digits are an id, all else is a name; name:TEXT is always a name
    #[arg(required = true, value_name = "ID|NAME")]
    pub images: Vec<ImagePick>,

    /// The layout: row, or hilbert[:B] for blocks of B x B pixels along the Hilbert curve
    #[arg(long, value_name = "LAYOUT", value_parser = of_library::<Layout>)]
    pub layout: Layout,
}

/// A number of reads that there can be.
fn reads(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&reads| reads > 0).ok_or_else(|| "a number of reads is 1 or more".to_owned())
}

/// What another device costs: `0.02,1e-8`, `0.02,1e-8,8`.
pub(super) fn device(text: &str) -> Result<Cost, String> {
    let numbers: Vec<&str> = text.split(',').map(str::trim).collect();
    let (read, byte, parallel) = match numbers[..] {
        [read, byte] => (read, byte, "1"),
        [read, byte, parallel] => (read, byte, parallel),
        _ => return Err("the seconds of a read and of a byte are expected, as in 0.02,1e-8 or 0.02,1e-8,8".to_owned()),
    };
    let seconds = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is no number of seconds"));
    let parallel = parallel.parse().map_err(|_| format!("{parallel:?} is no number of reads in flight"))?;
    Cost::new(seconds(read)?, seconds(byte)?, parallel, 1).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_two_or_three_numbers_that_can_be() {
        let of = |read, parallel| Ok(Cost::new(read, 1e-8, parallel, 1).unwrap());
        assert_eq!((device("0.02,1e-8"), device("0.02, 1e-8, 8")), (of(0.02, 1), of(0.02, 8)));
        for bad in
            ["", "1", "1,0", "0,1", "NaN,1", "1,inf", "1,1,0", "1,1,-1", "1,1,1.5", "1,1,1,1", "-1,1", "1e9,1", "a,b"]
        {
            assert!(device(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            device("1e-300,1"),
            Err("the cost of a read must be from 1e-15 seconds to an hour, not 1e-300".to_owned())
        );
    }
}
