//! A file or folder that is written aside and appears under its own name when it is whole and on the disk.
//!
//! It is written under one fixed name in the same folder, locked by who writes it. What a process that was killed left
//! there goes when something of that name is written again; a process that is still at work is left alone.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::cannot_write;
use crate::error::{Error, Result};

/// Something that is being written aside; removed where it is dropped before it is [`done`](Self::done).
pub(super) struct Aside {
    path: PathBuf,
    out: PathBuf,
    /// Holds the lock.
    lock: File,
    /// The first bytes of what a killed process left.
    left: [u8; LEFT],
    is_done: bool,
}

/// As many bytes as tell a file that was begun from one that was ended.
const LEFT: usize = 8;

impl Aside {
    /// Makes an empty folder to be `out`.
    ///
    /// # Errors
    /// `Conflict` where there is something already, but for an empty folder, or another process is writing it.
    pub(super) fn folder(out: &Path) -> Result<Self> {
        let is_empty = |out: &Path| fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        Self::new(out, is_empty, |path| fs::create_dir(path).and_then(|()| File::open(path)))
    }

    /// Locks what `make` makes, after what a killed process left was removed. `is_replaced` says whether what is there
    /// at `out` may be replaced.
    fn new(
        out: &Path,
        is_replaced: impl FnOnce(&Path) -> bool,
        make: impl FnOnce(&Path) -> io::Result<File>,
    ) -> Result<Self> {
        let Some(name) = out.file_name() else {
            return Err(Error::invalid(format!("{} names no file or folder", out.display())));
        };
        let mut aside = std::ffi::OsString::from(".");
        aside.push(name);
        aside.push(".pinako-partial");
        let path = out.with_file_name(aside);
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => busy(out), // between its removal here and its making anew
            _ => cannot_write(out, error),
        };
        let mut left = [0; LEFT];
        match File::open(&path) {
            Ok(old) => {
                hold(&old, &path, out)?;
                let _ = old.read_at(&mut left, 0); // a folder cannot be read so
                remove(&path).map_err(cannot)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        let lock = make(&path).map_err(cannot)?;
        hold(&lock, &path, out)?;
        let aside = Aside { path, out: out.to_owned(), lock, left, is_done: false };
        // Looked at now, for who had the lock before may just have ended.
        if out.symlink_metadata().is_ok() && !is_replaced(out) {
            return Err(Error::conflict(format!("{} is there already", out.display()))
                .with_hint("choose another name, or remove it first"));
        }
        Ok(aside)
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written is whole: makes it durable, then gives it its name.
    pub(super) fn done(mut self) -> Result<()> {
        let give_name = || {
            // One sync for all the files in a folder.
            if self.lock.metadata()?.is_dir() {
                rustix::fs::syncfs(&self.lock)?
            } else {
                self.lock.sync_all()?
            }
            fs::rename(&self.path, &self.out)
        };
        give_name().map_err(|error| cannot_write(&self.out, error))?;
        self.is_done = true;
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot_write(&self.out, error))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = remove(&self.path); // or the next one of that name will
        }
    }
}

/// Locks `file`, which is at `path` to be `out`.
///
/// # Errors
/// `Conflict` where another process has it, or had it and gave it its name or removed it.
fn hold(file: &File, path: &Path, out: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(out)),
        // A file system without locks has to do without.
        Err(TryLockError::Error(_)) => {}
    }
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let held = file.metadata().map(place).map_err(|error| cannot_write(out, error))?;
    match path.symlink_metadata().map(place) {
        Ok(there) if there == held => Ok(()),
        _ => Err(busy(out)),
    }
}

fn busy(out: &Path) -> Error {
    Error::conflict(format!("another process is writing {}", out.display()))
        .with_hint("choose another name, or wait for it to end")
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// A file that is written aside.
pub(super) struct AsideFile {
    aside: Aside,
    file: BufWriter<File>,
}

impl AsideFile {
    /// Makes an empty file to be `out`.
    ///
    /// # Errors
    /// `Conflict` where there is something already, or another process is writing it.
    pub(super) fn new(out: &Path) -> Result<Self> {
        Self::make(out, |_| false)
    }

    /// Makes an empty file to be `out`, whatever is there until then.
    ///
    /// # Errors
    /// `Conflict` where another process is writing it.
    pub(super) fn replacing(out: &Path) -> Result<Self> {
        Self::make(out, |_| true)
    }

    fn make(out: &Path, is_replaced: impl FnOnce(&Path) -> bool) -> Result<Self> {
        if out.as_os_str().as_bytes().ends_with(b"/") {
            return Err(Error::invalid(format!("{} is written like a folder, and is to be a file", out.display()))
                .with_hint("leave the / at its end out"));
        }
        let aside = Aside::new(out, is_replaced, |path| File::options().write(true).create_new(true).open(path))?;
        let file = aside.lock.try_clone().map_err(|error| cannot_write(out, error))?;
        Ok(AsideFile { aside, file: BufWriter::new(file) })
    }

    /// Whether what a killed process left began with `start`.
    pub(super) fn left_began_with(&self, start: &[u8]) -> bool {
        self.aside.left.starts_with(start)
    }

    /// Gives the file these permissions.
    pub(super) fn set_permissions(&self, permissions: Permissions) -> Result<()> {
        self.aside.lock.set_permissions(permissions).map_err(|error| cannot_write(&self.aside.out, error))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.aside.out, error))
    }

    /// Writes over what the file starts with.
    pub(super) fn write_start(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(|error| cannot_write(&self.aside.out, error))?;
        self.write(bytes)
    }

    /// See [`Aside::done`].
    pub(super) fn done(mut self) -> Result<()> {
        self.file.flush().map_err(|error| cannot_write(&self.aside.out, error))?;
        self.aside.done()
    }
}
