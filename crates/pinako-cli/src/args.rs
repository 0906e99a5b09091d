//! The command line as plain values. Nothing here opens, reads or decides anything.

mod regions;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::error::ErrorKind as UsageError;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use pinako::plan::Cost;
use pinako::{Id, ImportEncoding, Layout, Region};
use pinako_bench::regions::Device;
use pinako_bench::stores::Options;

use crate::pick::{ImagePick, LabelPick};

pub use regions::{ExplainArgs, RelayoutArgs};

const EXIT_CODES: &str = "\
Stores:
  lmdb:DIR  files:DIR  hdf5:DIR  sqlite:FILE, or the path of a store, whatever kind it is of.
  A new store at a bare path is LMDB's.

Exit codes:
  0    done
  1    failed; the error says why
  2    the command line makes no sense
  3    verify found images that are not sound
  4    there is no such store, image, label or file
  130  interrupted by Ctrl-C; what was stored until then is safe";

/// The defaults of lists, as a person would write them.
static COUNTS: LazyLock<String> = LazyLock::new(|| Options::COUNTS.map(|count| count.to_string()).join(","));
static BACKENDS: LazyLock<String> = LazyLock::new(|| Options::BACKENDS.join(","));

/// Stores millions of images, or a few enormous ones, and gives back any of them, fast.
#[derive(Debug, Parser)]
#[command(name = "pinako", version, max_term_width = 100, arg_required_else_help = true, after_help = EXIT_CODES)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What the commands that decode image files share.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// Most bytes that the image in an image file may have once decoded: plain, or with K, M or G (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "512M")]
    pub max_image_bytes: u64,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Import(ImportArgs),
    Export(ExportArgs),
    Copy(CopyArgs),
    Get(GetArgs),
    Explain(ExplainArgs),
    Put(PutArgs),
    Relayout(RelayoutArgs),
    Remove(RemoveArgs),
    Labels(LabelsArgs),
    Info(InfoArgs),
    List(ListArgs),
    Verify(VerifyArgs),
    Compact(CompactArgs),
    Bench(BenchArgs),
    Completions(CompletionsArgs),
}

/// How image files become payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EncodingArg {
    /// Image files keep their bytes; arrays are stored as suits the store
    Keep,
    /// Store the samples themselves: the fastest to read
    Raw,
    /// Store PNG files: smaller, lossless, slower to read
    Png,
}

/// Import images into a store; makes the store if there is none
///
/// What a SOURCE is, is recognised: CIFAR-10 and CIFAR-100 (Python or binary batches), IDX files (MNIST, gzipped too), a
/// folder of image files with or without class folders, one image file, .npy and .npz arrays, LMDB environments and
/// HDF5 files of (N, height, width, channels) images. Of a folder with several of these one is taken, and it is said which
/// files are left aside. Where labels come as an array of numbers, -1 is no label.
///
/// An import that was stopped goes on when the same command is run again: what is there, by its name, is not stored twice.
#[derive(Debug, clap::Args)]
#[command(override_usage = "pinako import [OPTIONS] <SOURCE>... <STORE>")]
#[command(after_help = "\
Examples:
  pinako import photos/ photos.lmdb
  pinako import cifar-10-batches-py sqlite:cifar.db
  pinako import train-images-idx3-ubyte.gz files:mnist
  pinako import --layout hilbert earth.npy earth.lmdb
  pinako import --link --skip-bad /mnt/archive lmdb:archive")]
pub struct ImportArgs {
    // One list, because clap does not take an option between a list and what follows it.
    /// What to import, and last where to: lmdb:DIR, files:DIR, hdf5:DIR, sqlite:FILE, or a path
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    /// How image files are stored [default: keep]
    #[arg(long, value_name = "HOW")]
    encoding: Option<EncodingArg>,

    /// Store the samples themselves, in this order: row, or hilbert[:B] for blocks of B x B pixels along the Hilbert curve,
    /// where rectangles are fast to read [default: hilbert:64 from a million pixels on]
    #[arg(long, value_name = "LAYOUT", conflicts_with = "link")]
    layout: Option<Layout>,

    /// Leave image files where they are and store only their paths
    #[arg(long, conflicts_with = "encoding")]
    link: bool,

    /// Leave out images that cannot be read, and list them at the end, instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,

    /// Text put before each image's name
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub name_prefix: String,

    /// Sync to the disk once at the end instead of after each batch: a crash of the machine may undo the last batches
    #[arg(long)]
    pub buffered: bool,

    #[command(flatten)]
    pub decode: DecodeArgs,
}

impl ImportArgs {
    /// The sources, one at least, and the store.
    ///
    /// # Errors
    /// A usage error where there are not both.
    pub fn sources_and_store(&self) -> Result<(&[PathBuf], &str), clap::Error> {
        match self.paths.split_last() {
            Some((store, sources)) if !sources.is_empty() => match store.to_str() {
                Some(store) => Ok((sources, store)),
                None => Err(Self::usage(UsageError::InvalidUtf8, "the path of the store is not UTF-8")),
            },
            _ => Err(Self::usage(UsageError::MissingRequiredArgument, "a SOURCE and a STORE are expected")),
        }
    }

    /// What becomes of the images.
    ///
    /// # Errors
    /// A usage error where a layout is given for what has none.
    pub fn how(&self) -> Result<ImportEncoding, clap::Error> {
        match (self.encoding, self.layout) {
            _ if self.link => Ok(ImportEncoding::Link),
            (None | Some(EncodingArg::Raw), Some(layout)) => Ok(ImportEncoding::RawIn(layout)),
            (Some(EncodingArg::Keep | EncodingArg::Png), Some(_)) => {
                let message = "--layout is for raw samples: give no --encoding with it, or --encoding raw";
                Err(Self::usage(UsageError::ArgumentConflict, message))
            }
            (None | Some(EncodingArg::Keep), None) => Ok(ImportEncoding::AsTheyCame),
            (Some(EncodingArg::Raw), None) => Ok(ImportEncoding::Raw),
            (Some(EncodingArg::Png), None) => Ok(ImportEncoding::Png),
        }
    }

    fn usage(kind: UsageError, message: &str) -> clap::Error {
        let mut command = Args::command();
        command.build();
        match command.find_subcommand_mut("import") {
            Some(import) => import.error(kind, message),
            None => command.error(kind, message),
        }
    }
}

/// Export all images: as files, arrays, or in a dataset's form
///
/// OUT appears when it is whole and on the disk. In arrays of labels (.npy, HDF5) -1 is no label.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako export photos.lmdb photos/               a folder for each label
  pinako export sqlite:cifar.db cifar.npy         one N,H,W,C array, and cifar.labels.npy
  pinako export cifar.lmdb cifar.h5               datasets images and meta
  pinako export cifar.lmdb batches --format cifar CIFAR-10's Python batches")]
pub struct ExportArgs {
    /// Where from
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The folder or file to write; nothing may be there yet
    #[arg(value_name = "OUT", value_hint = ValueHint::AnyPath)]
    pub out: PathBuf,

    /// What to write [default: by OUT's extension: .npy, .h5 or .hdf5, else folders]
    #[arg(long)]
    pub format: Option<FormatArg>,

    #[command(flatten)]
    pub decode: DecodeArgs,
}

/// What export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Image files, in a folder for each label
    Folders,
    /// One NumPy array of all images and one of the labels
    Npy,
    /// One HDF5 file
    Hdf5,
    /// CIFAR-10's Python batches
    Cifar,
}

/// Copy all images of one store into another, which is made if there is none
///
/// Payloads go over as they are: nothing is decoded, and linked files are not looked at. A copy that was stopped goes on
/// when the same command is run again: what is there is not copied twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako copy photos.lmdb sqlite:photos.db
  pinako copy files:photos hdf5:photos.parts")]
pub struct CopyArgs {
    /// Where from
    #[arg(value_hint = ValueHint::AnyPath)]
    pub from: String,

    /// Where to: lmdb:DIR, files:DIR, hdf5:DIR, sqlite:FILE, or a path
    #[arg(value_hint = ValueHint::AnyPath)]
    pub to: String,

    /// Sync to the disk once at the end instead of after each batch: a crash of the machine may undo the last batches
    #[arg(long)]
    pub buffered: bool,
}

/// Get one image, or a rectangle of it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako get photos.lmdb 42 -o cat.png
  pinako get photos.lmdb holiday/beach -o beach.jpg     as it was kept
  pinako get photos.lmdb 42 --region 100,50,640,480 > corner.png
  pinako get cifar.lmdb name:7 -o seven.npy             the image named 7, not the one with the id 7")]
pub struct GetArgs {
    /// Where from
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The image: digits are an id, all else is a name; name:TEXT is always a name
    #[arg(value_name = "ID|NAME")]
    pub image: ImagePick,

    /// The file to write: .png, .npy, or what the image was kept as (.jpg, ...) [default: PNG to the standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// Only this rectangle of pixels; 0,0 is the top left
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT")]
    pub region: Option<Region>,

    /// The stored bytes as they are, whatever they mean
    #[arg(long, conflicts_with = "region")]
    pub payload: bool,

    #[command(flatten)]
    pub decode: DecodeArgs,
}

/// Put image files into a store, which is made if there is none; prints their ids
///
/// All files are stored, or none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako put pets.lmdb tom.jpg --label cat
  pinako put pets.lmdb *.png --label 3
  pinako put files:pets scan.tif --encoding raw --name scan-7")]
pub struct PutArgs {
    /// Where to: lmdb:DIR, files:DIR, hdf5:DIR, sqlite:FILE, or a path
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// Image files: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,

    /// Their label: digits are the number, all else is a label name, which is added if it is new
    #[arg(long, value_name = "N|NAME", allow_negative_numbers = true)]
    pub label: Option<LabelPick>,

    /// The name of the image, where there is one file [default: the file's name]
    #[arg(long)]
    pub name: Option<String>,

    /// Give the images no names
    #[arg(long, conflicts_with = "name")]
    pub unnamed: bool,

    /// How the files are stored
    #[arg(long, value_name = "HOW", default_value = "keep")]
    pub encoding: EncodingArg,

    /// Leave the files where they are and store only their paths
    #[arg(long, conflicts_with = "encoding")]
    pub link: bool,

    #[command(flatten)]
    pub decode: DecodeArgs,
}

/// Remove images from a store
///
/// Ids are never given again; `compact` gives the space back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako remove photos.lmdb 42 43 holiday/beach")]
pub struct RemoveArgs {
    /// Where from
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The images: digits are an id, all else is a name; name:TEXT is always a name
    #[arg(required = true, value_name = "ID|NAME")]
    pub images: Vec<ImagePick>,
}

/// Name the labels of a store, in the place of the names that they have
///
/// Labels are numbers, and a store may do without names. Once there are some, each label has one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako labels mnist.lmdb zero one two three four five six seven eight nine")]
pub struct LabelsArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The names of the labels 0, 1, 2, ...
    #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub names: Vec<String>,
}

/// Show what a store holds, or what is known of one image
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako info photos.lmdb
  pinako info photos.lmdb 42
  pinako info sqlite:photos.db --json | jq .count")]
pub struct InfoArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// The image: digits are an id, all else is a name; name:TEXT is always a name
    #[arg(value_name = "ID|NAME")]
    pub image: Option<ImagePick>,

    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// List the images of a store in the order of their ids
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako list photos.lmdb --limit 20
  pinako list photos.lmdb --label cat
  pinako list photos.lmdb --json | jq -r 'select(.width > 1000) | .id'")]
pub struct ListArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// Only images with this label: digits are the number, all else is a label name
    #[arg(long, value_name = "N|NAME", allow_negative_numbers = true)]
    pub label: Option<LabelPick>,

    /// At most this many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,

    /// Only ids from this one on
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub from: Id,

    /// JSON lines, an object for each image, instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Read and decode every image, and name those that are not sound
///
/// Checks each payload's length and checksum, that it decodes, and that linked files are still what they were. The
/// exit code is 3 where something was found.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako verify photos.lmdb
  pinako verify photos.lmdb --json | jq .id")]
pub struct VerifyArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// JSON lines, an object for each image that is not sound
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub decode: DecodeArgs,
}

/// Give back the space of removed images and merge what many small appends left behind
///
/// Readers may go on meanwhile; ids and names stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako compact photos.lmdb")]
pub struct CompactArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,
}

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
  pinako bench stores --data cifar-10-batches-py --folder /mnt/ssd --out cifar-report")]
pub struct BenchStoresArgs {
    /// The images to store: whatever import takes [default: images like photographs, made up]
    #[arg(long, value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub data: Option<PathBuf>,

    /// How many images to store; where the data has fewer, they are taken again and again
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = COUNTS.as_str())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=Options::LARGEST_COUNT))]
    pub counts: Vec<u64>,

    /// The kinds of store to compare
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', default_value = BACKENDS.as_str())]
    #[arg(value_parser = PossibleValuesParser::new(Options::BACKENDS))]
    pub backends: Vec<String>,

    /// The folder for the report
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
  pinako bench regions --tables 2,3,4 --device 0.02,1e-8,8   # 20 ms a read, 8 at once
  pinako bench regions --tables 2,3,4 --device paper")]
pub struct BenchRegionsArgs {
    /// Which of the paper's tables
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2,3,4")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4))]
    pub tables: Vec<u32>,

    /// For table 1: count so many positions of each query, at random [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub positions: Option<u64>,

    /// For tables 2 to 4: read nothing, but predict them for a device with T1 seconds a read, T2 seconds a byte and P reads
    /// in flight (1 if left out), or for the paper's own disk, as its times have it
    #[arg(long, value_name = "T1,T2[,P]|paper", value_parser = device)]
    pub device: Option<Device>,

    /// How long tables 2 to 4 are measured, all together
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds, conflicts_with = "device")]
    pub seconds: f64,

    /// The file to read from: plain, or with K, M or G (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1G", conflicts_with = "device")]
    pub file_bytes: u64,

    /// The folder for the report
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "bench-regions")]
    pub out: PathBuf,

    /// A folder on the disk to measure, for the file that is made and removed [default: OUT]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,

    /// Another number reads at other places
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// The whole report as JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako completions bash > ~/.local/share/bash-completion/completions/pinako
  pinako completions zsh > ~/.zfunc/_pinako
  pinako completions fish > ~/.config/fish/completions/pinako.fish")]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
}

/// A device by its costs: `0.02,1e-8`, `0.02,1e-8,8`, `paper`.
fn device(text: &str) -> Result<Device, String> {
    if text == "paper" {
        return Ok(Device::Paper);
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (read, byte, in_flight) = match parts[..] {
        [read, byte] => (read, byte, "1"),
        [read, byte, in_flight] => (read, byte, in_flight),
        _ => return Err("the seconds of a read and of a byte are expected, as in 0.02,1e-8, or paper".to_owned()),
    };
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is no number of seconds"));
    let in_flight = in_flight.parse().map_err(|_| format!("{in_flight:?} is no number of reads in flight"))?;
    Cost::new(number(read)?, number(byte)?, in_flight, 1).map(Device::Costs).map_err(|error| error.to_string())
}

/// A length of time that is more than none.
fn seconds(text: &str) -> Result<f64, String> {
    let is_time = |seconds: &f64| *seconds > 0.0 && Duration::try_from_secs_f64(*seconds).is_ok();
    text.parse().ok().filter(is_time).ok_or_else(|| "a number of seconds above 0 is expected".to_owned())
}

/// A number of bytes, plain or with K, M or G.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()) {
        digits if digits.len() == text.len() => (digits, 0),
        digits => match text[digits.len()..].to_ascii_uppercase().as_str() {
            "K" => (digits, 10),
            "M" => (digits, 20),
            "G" => (digits, 30),
            unit => return Err(format!("{unit} is no unit of size: K, M or G is")),
        },
    };
    let number: u64 =
        digits.parse().map_err(|_| "a whole number of bytes, or with K, M or G, is expected".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it does not fit 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_device_is_two_or_three_costs_or_the_papers() {
        let of = |read, byte, in_flight| Ok(Device::Costs(Cost::new(read, byte, in_flight, 1).unwrap()));
        assert_eq!(device("paper"), Ok(Device::Paper));
        assert_eq!((device("0.02,1e-8"), device("0.02, 1e-8, 8")), (of(0.02, 1e-8, 1), of(0.02, 1e-8, 8)));
        for bad in ["", "1", "1,2,3,4", "0,1", "1,NaN", "1,-1", "1,1,0", "1,1,1.5", "a,b"] {
            assert!(device(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((size("7"), size("2k"), size("3M"), size("1G")), (Ok(7), Ok(2048), Ok(3 << 20), Ok(1 << 30)));
        for bad in ["", "M", "-1", "1.5G", "1T", "1é", "99999999999G"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
