//! A folder to run the command in, and small things to run it on.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An empty folder, in which the command is run.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Place(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file, with its folders.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is inside")).expect("folders can be made");
        fs::write(path, bytes).expect("files can be written");
    }

    /// Writes a small color image as a PPM file; its pixels follow from `seed`.
    pub fn picture(&self, name: &str, seed: u8) {
        self.write(name, [&b"P6 4 3 255\n"[..], &pixels(seed)].concat());
    }

    /// Writes many images of one pixel as an IDX file.
    pub fn specks(&self, name: &str, count: u32) {
        let header = [&[0, 0, 8, 3], &count.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        let samples: Vec<u8> = (0..count).map(|place| place as u8).collect();
        self.write(name, [header, samples].concat());
    }

    /// The names of what is in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinako"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null()).env_remove("COLUMNS");
        command
    }

    /// Runs the command with these arguments, parted at spaces.
    pub fn run(&self, args: &str) -> Ended {
        let output = self.command(args.split(' ')).output().expect("the command starts");
        Ended {
            code: output.status.code().expect("it ended by itself"),
            bytes: output.stdout,
            talk: String::from_utf8(output.stderr).expect("talk is text"),
            folder: format!("{}/", self.0.path().display()),
        }
    }

    /// Runs the command, which must go well, and gives its output.
    pub fn ok(&self, args: &str) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "pinako {args}\n{ended}");
        ended.text()
    }
}

/// The pixels of [`Place::picture`], 3 rows of 4.
pub fn pixels(seed: u8) -> Vec<u8> {
    (0..3 * 4 * 3).map(|place: u8| place.wrapping_mul(7).wrapping_add(seed.wrapping_mul(31))).collect()
}

/// What came of a run.
pub struct Ended {
    pub code: i32,
    pub bytes: Vec<u8>,
    pub talk: String,
    /// Where it ran.
    folder: String,
}

impl Ended {
    /// The standard output.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// All of it but how long it took and where it ran, for snapshots.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().replace(&self.folder, ""))?;
        for line in self.talk.replace(&self.folder, "").lines() {
            match line.split_once(") in ") {
                Some((what, _)) => writeln!(f, "! {what}) in [time]")?,
                None => writeln!(f, "! {line}")?,
            }
        }
        write!(f, "exit code {}", self.code)
    }
}
