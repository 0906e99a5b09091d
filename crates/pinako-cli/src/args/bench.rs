//! The arguments of the experiments.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Subcommand, ValueHint};
use pinako_bench::regions::{Device, Options as Regions};
use pinako_bench::stores::Options;

use super::{seconds, size, with_hint};

/// The defaults of lists, as a person would write them.
static COUNTS: LazyLock<String> = LazyLock::new(|| Options::COUNTS.map(|count| count.to_string()).join(","));
static BACKENDS: LazyLock<String> = LazyLock::new(|| Options::BACKENDS.join(","));

/// Measure which way of storing suits your images on your machine
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub experiment: Experiment,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Experiment {
    Stores(BenchStoresArgs),
    Regions(BenchRegionsArgs),
}

/// Compare the kinds of store at storing and reading many small images
///
/// Stores and reads one image, then more and more of them, with warm and cold caches, synced to the disk and not, each
/// several times in turn; reads single images at random; measures disk and memory. Every image that is read is compared
/// with the one that was stored. The report in OUT has a page to read (index.html), plots (SVG, PNG) and all figures
/// (JSON, CSV).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako bench stores
  pinako bench stores --counts 1,100,10000 --backends lmdb,files
  pinako bench stores --data cifar-10-batches-py --folder /mnt/ssd --out cifar-report
  pinako bench stores --counts 10000 --backends lmdb,s3://bucket/scratch,postgres://me@db/scratch")]
pub struct BenchStoresArgs {
    /// The images to store: whatever import takes [default: images like photographs, made up]
    #[arg(long, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub data: Option<PathBuf>,

    /// How many images to store; where the data has fewer, they are taken again and again
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = COUNTS.as_str())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=Options::LARGEST_COUNT))]
    pub counts: Vec<u64>,

    /// The kinds of store to compare: files, lmdb, hdf5, sqlite, object, or the URLs of servers (postgres://, s3://, gs://,
    /// az://), where stores named pinako-bench-... are made and deleted again, unless the run is killed
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', default_value = BACKENDS.as_str())]
    #[arg(value_parser = backend)]
    pub backends: Vec<String>,

    /// The folder for the report: a new one, an empty one, or one with an older report, which is replaced
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "bench-stores")]
    pub out: PathBuf,

    /// A folder on the disk to measure, for the stores that are made and removed [default: OUT]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,

    /// How often everything is measured at the largest count; small counts are measured more often
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repetitions: u32,

    /// Another number makes other images up and reads others at random
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// The whole report as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Count the reads of a rectangle of an image, along the Hilbert curve and row by row, and time them
///
/// Repeats the experiments of "A New Method to Store and Retrieve Images" (CS-TR-3991, 1999) beside its own figures. Table 1
/// counts the runs of queries at all positions. Tables 2 to 4 time queries of pixels of 12, 8 and 4 bytes by unbuffered
/// reads at random places of a large file, with 1, 2, 4 and 8 reads in flight. The report in OUT has a page to read
/// (index.html), plots (SVG, PNG) and all figures (JSON, CSV).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako bench regions
  pinako bench regions --tables 1
  pinako bench regions --folder /mnt/ssd --seconds 600 --file-bytes 8G --out ssd-report
  pinako bench regions --tables 2,3,4 --device 0.02,1e-8,8   # a bucket: 20 ms a read, 100 MB/s
  pinako bench regions --tables 2,3,4 --store s3://bucket/scratch
  pinako bench regions --tables 2,3,4 --device paper --seconds 0")]
pub struct BenchRegionsArgs {
    /// Which of the paper's tables
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2,3,4")]
    #[arg(value_parser = table)]
    pub tables: Vec<u32>,

    /// For table 1: count so many positions of each query, at random [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub positions: Option<u64>,

    /// For tables 2 to 4: predict them for a device with T1 seconds a read, T2 seconds a byte and up to P reads in flight (1
    /// unless said), or for the paper's own disk, as its times have it; and measure them as far as the seconds suffice, as
    /// the device is played: reads wait as long as they would there
    #[arg(long, value_name = "T1,T2[,P]|paper", allow_hyphen_values = true, value_parser = device)]
    pub device: Option<Device>,

    /// For tables 2 to 4: measure reads of a store, as its backend makes them: files, lmdb, hdf5, sqlite, object, or the URL
    /// of a server, where a store is made and deleted again. Requests are counted, too
    #[arg(long, value_name = "KIND", conflicts_with_all = ["device", "file_bytes"], value_parser = backend)]
    pub store: Option<String>,

    /// How long tables 2 to 4 are measured, all together; with --device, 0 only predicts
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, allow_hyphen_values = true, value_parser = seconds)]
    pub seconds: f64,

    /// The file to read from: plain, or with K, M or G (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1G", conflicts_with = "device")]
    pub file_bytes: u64,

    /// The folder for the report: a new one, an empty one, or one with an older report, which is replaced
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "bench-regions")]
    pub out: PathBuf,

    /// A folder on the disk to measure, for the file that is made and removed [default: OUT]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "device")]
    pub folder: Option<PathBuf>,

    /// Another number reads at other places
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// The whole report as JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// A kind of store, or a server that may have some.
fn backend(text: &str) -> Result<String, String> {
    Options::check_backend(text).map(|()| text.to_owned()).map_err(with_hint)
}

/// The paper's device, or any other by its costs.
fn device(text: &str) -> Result<Device, String> {
    if text == "paper" { Ok(Device::Paper) } else { super::regions::device(text).map(Device::Costs) }
}

/// The number of a table of the paper.
fn table(text: &str) -> Result<u32, String> {
    let is_one = |table: &u32| Regions::TABLES.contains(table);
    text.parse().ok().filter(is_one).ok_or_else(|| "the tables are 1, 2, 3 and 4, as in --tables 2,3".to_owned())
}
