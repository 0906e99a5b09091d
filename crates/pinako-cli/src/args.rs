//! The command line as plain values. Nothing here opens, reads or decides anything.

mod bench;
mod regions;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind as UsageError;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use pinako::{Error, Id, ImportEncoding, Layout, Region};

use crate::pick::{ImagePick, LabelPick};

pub use bench::{BenchArgs, BenchRegionsArgs, BenchStoresArgs, Experiment};
pub use regions::{CalibrateArgs, ExplainArgs, RelayoutArgs};

const STORES_AND_EXIT_CODES: &str = "\
Stores:
  lmdb:DIR  files:DIR  hdf5:DIR  sqlite:FILE  object:DIR, or the path of a store, whatever kind it
  is of. A new store at a bare path is LMDB's.
  postgres://USER@HOST/DATABASE  s3://BUCKET/PREFIX  gs://BUCKET/PREFIX  az://CONTAINER/PREFIX

Exit codes:
  0    done
  1    failed; the error says why
  2    the command line makes no sense
  3    verify found images that are not sound
  4    there is no such store, image, label or file
  130  interrupted by Ctrl-C; what was stored until then is safe";

/// Stores millions of images, or a few enormous ones, and gives back any of them, fast.
#[derive(Debug, Parser)]
#[command(name = "pinako", version, max_term_width = 100, arg_required_else_help = true, after_help = STORES_AND_EXIT_CODES)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// A value that the library reads out of text.
fn of_library<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(with_hint)
}

/// An error of the library, of which clap would not show the hint.
fn with_hint(error: Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    }
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
    Vacuum(VacuumArgs),
    Calibrate(CalibrateArgs),
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
    /// What to import, and last where to: a path, or any kind of store that `pinako --help` lists
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    /// How image files are stored [default: keep]
    #[arg(long, value_name = "HOW")]
    encoding: Option<EncodingArg>,

    /// Store the samples themselves, in this order: row, or hilbert[:B] for blocks of B x B pixels along the Hilbert curve,
    /// where rectangles are fast to read [default: hilbert:64 from a million pixels on]
    #[arg(long, value_name = "LAYOUT", conflicts_with = "link", value_parser = of_library::<Layout>)]
    layout: Option<Layout>,

    /// Leave image files where they are and store only their paths, which are of this machine in a store on a server
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

    /// Where to: a path, or any kind of store that `pinako --help` lists
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
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", allow_hyphen_values = true, value_parser = of_library::<Region>)]
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
    /// Where to: a path, or any kind of store that `pinako --help` lists
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
/// Readers may go on meanwhile; ids and names stay. In PostgreSQL they wait while a table is written anew, and fail where
/// that takes longer than their `statement_timeout`, which is a minute unless their URL says otherwise. In a bucket every
/// change writes down all the objects that there are, so compact when they have become thousands of small ones; `vacuum`
/// gives their space back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako compact photos.lmdb")]
pub struct CompactArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,
}

/// Delete what compaction and killed writers left behind in a bucket
///
/// Changes of a store in a bucket, or in an object: folder, put new objects in the place of old ones, which stay for those who
/// are reading them. So do the objects of appends that never ended. Other kinds of stores leave nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinako vacuum s3://bucket/photos
  pinako vacuum --keep 36h --dry-run s3://bucket/photos")]
pub struct VacuumArgs {
    /// Which store
    #[arg(value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub store: String,

    /// Keep what was replaced less than so long ago: an hour at least; what was left behind stays an hour more
    #[arg(long, value_name = "TIME", default_value_t = VacuumArgs::KEEP.into())]
    pub keep: humantime::Duration,

    /// Only say what would be deleted, by this machine's clock instead of the server's; writes nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl VacuumArgs {
    /// What is kept where nobody says for how long.
    pub const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
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

/// A length of time. What takes it says where none at all makes no sense.
fn seconds(text: &str) -> Result<f64, String> {
    let is_time = |seconds: &f64| Duration::try_from_secs_f64(*seconds).is_ok();
    text.parse().ok().filter(is_time).ok_or_else(|| "a number of seconds is expected, 0 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((size("7"), size("2k"), size("3M"), size("1G")), (Ok(7), Ok(2048), Ok(3 << 20), Ok(1 << 30)));
        for bad in ["", "M", "-1", "1.5G", "1T", "1é", "99999999999G"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
