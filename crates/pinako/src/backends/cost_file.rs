//! What reads of a store were found to cost: a [sealed] line, `.cost.json` in its folder or `FILE-cost.json` beside its
//! file. What they cost of one on a server depends on who reads: it is in this user's own cache, in `pinako/cost`.
//!
//! No store needs it, and none is the worse for one that is missing, damaged or of another disk: plans then begin with a
//! guess. So nothing but this knows of it; a backend takes it for a file of somebody else's. The dot keeps it out of the
//! sight of `datasets`.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind as Io, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Kind;
use super::folder::Folder;
use super::sealed::{self, Header};
use crate::checksum;
use crate::error::{Error, Result};

/// In the header.
const KIND: &str = "cost";

/// More bytes than any such file has.
const MAX_LENGTH: u64 = 4096;

/// Where the costs of a store are kept.
#[derive(Debug, Clone)]
pub(crate) struct CostFile {
    folder: PathBuf,
    name: String,
    /// Whether the folder is this user's cache, made when it is needed.
    in_cache: bool,
}

/// What reads of a store were measured to cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// t1: seconds for a read.
    pub read_seconds: f64,
    /// t2: seconds for a byte.
    pub byte_seconds: f64,
    /// P: reads in flight at once.
    pub parallel_reads: u32,
    /// When it was measured, in seconds since 1970 began (UTC).
    pub unix_seconds: u64,
    /// By how many reads.
    pub reads: u64,
    /// The part by which these costs were off, in the middle: 0.1 is ten per cent.
    pub typical_error: f64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    calibration: Calibration,
}

impl CostFile {
    /// That of the store at `path`, which is absolute; there is none for stores in memory.
    pub(super) fn of(kind: Kind, path: &Path) -> Option<Self> {
        match kind {
            Kind::Memory => None,
            Kind::Sqlite => {
                let name = path.file_name()?.to_str()?;
                Some(CostFile { folder: path.parent()?.to_owned(), name: format!("{name}-cost.json"), in_cache: false })
            }
            _ => Some(CostFile { folder: path.to_owned(), name: ".cost.json".to_owned(), in_cache: false }),
        }
    }

    /// That of the store that a server has at `url`, which may be shown; `None` where this user has no home.
    pub(super) fn of_server(url: &str) -> Option<Self> {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache")))?;
        let known = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_ascii_lowercase() } else { '-' };
        let shown: String = url.bytes().map(known).take(80).collect();
        let sum = checksum::crc32c(url.as_bytes());
        Some(CostFile {
            folder: cache.join("pinako").join("cost"),
            name: format!("{shown}-{sum:08x}.json"),
            in_cache: true,
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// What is kept there, if there is anything.
    ///
    /// # Errors
    /// `Corrupt` where it is damaged, `Unsupported` where a newer version wrote it.
    pub(crate) fn read(&self) -> Result<Option<Calibration>> {
        let path = self.path();
        let mut text = Vec::new();
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        // Somebody may have put a pipe there.
        let file = File::options().read(true).custom_flags(nonblocking).open(&path);
        let read = file.and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => return Ok(None),
            Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
        }
        let line = sealed::check(&text).and_then(|_| {
            let header: Header = sealed::read(&text)?;
            header.check(KIND)?;
            sealed::read::<Line>(&text)
        });
        line.map(|line| Some(line.calibration)).map_err(|error| error.context(path.display()))
    }

    /// Whether this process may write there.
    pub(crate) fn can_write(&self) -> Result<()> {
        self.make_cache()?;
        let may = rustix::fs::access(&self.folder, rustix::fs::Access::WRITE_OK);
        may.map_err(|error| Error::io(format!("cannot write in {}", self.folder.display()), error.into()))
    }

    /// Keeps `calibration` there, in place of what was.
    pub(crate) fn write(&self, calibration: Calibration) -> Result<()> {
        let mut text = Vec::new();
        sealed::write(&Line { header: Header::new(KIND), calibration }, &mut text)?;
        self.make_cache()?;
        Folder::open(&self.folder)?.replace_with(&self.name, &text)
    }

    /// Makes the folder, where it is not a store's.
    fn make_cache(&self) -> Result<()> {
        let cannot = |error| Error::io(format!("cannot make {}", self.folder.display()), error);
        if self.in_cache { fs::create_dir_all(&self.folder).map_err(cannot) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const FOUND: Calibration = Calibration {
        read_seconds: 4.5e-5,
        byte_seconds: 1.1e-9,
        parallel_reads: 4,
        unix_seconds: 1_795_000_000,
        reads: 1234,
        typical_error: 0.125,
    };

    #[test]
    fn what_is_kept_is_found_again_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = CostFile::of(Kind::Lmdb, folder.path()).unwrap();
        assert_eq!(file.read().unwrap(), None);
        file.write(FOUND).unwrap();
        assert_eq!(file.read().unwrap(), Some(FOUND));
        let text = std::fs::read(file.path()).unwrap();
        for bit in 0..(text.len() - 1) * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(file.path(), flipped).unwrap();
            let error = file.read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
        }
        for other in [&b""[..], b"\n", b"{}", &[b' '; 9000], &text[1..]] {
            std::fs::write(file.path(), other).unwrap();
            assert!(file.read().is_err());
        }
        let mut newer = Vec::new();
        sealed::write(&serde_json::json!({"pinako": KIND, "format_version": 2}), &mut newer).unwrap();
        std::fs::write(file.path(), newer).unwrap();
        assert_eq!(file.read().unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn each_store_on_a_server_has_one_of_its_own_in_the_cache() {
        let of = |url| CostFile::of_server(url).unwrap().path();
        let one = of("s3://bucket/a");
        assert!(one.to_str().unwrap().contains("/pinako/cost/s3---bucket-a-"), "{one:?}");
        assert_ne!(one, of("s3://bucket/A"));
        let folder = tempfile::tempdir().unwrap();
        let file = CostFile { folder: folder.path().join("not/yet"), name: "x.json".to_owned(), in_cache: true };
        assert_eq!(file.read().unwrap(), None);
        file.write(FOUND).unwrap();
        assert_eq!(file.read().unwrap(), Some(FOUND));
    }

    #[test]
    fn a_file_of_a_store_has_it_beside() {
        let of = |kind| CostFile::of(kind, Path::new("/a/pets.db")).map(|file| file.path());
        assert_eq!(of(Kind::Sqlite), Some("/a/pets.db-cost.json".into()));
        assert_eq!(of(Kind::Hdf5), Some("/a/pets.db/.cost.json".into()));
        assert_eq!(of(Kind::Memory), None);
    }
}
