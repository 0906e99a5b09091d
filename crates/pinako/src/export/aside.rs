//! A file or folder that is written aside and appears under its own name when it is whole and on the disk.
//!
//! It is written under one fixed name in the same folder, locked by who writes it. What a process that was killed left
//! there is replaced by the next export of that name; a process that is still at work is left alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::cannot_write;
use crate::error::{Error, Result};

/// Something that is being written aside; removed where it is dropped before it is [`done`](Self::done).
pub(super) struct Aside {
    path: PathBuf,
    out: PathBuf,
    /// Holds the lock.
    lock: File,
    is_done: bool,
}

impl Aside {
    /// Makes an empty folder to be `out`.
    ///
    /// # Errors
    /// `Conflict` where there is something already, but for an empty folder, or another process is writing it.
    pub(super) fn folder(out: &Path) -> Result<Self> {
        let is_empty = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        Self::new(out, is_empty, |path| {
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            File::open(path)
        })
        .and_then(|aside| {
            let empty = || {
                for entry in fs::read_dir(&aside.path)? {
                    let path = entry?.path();
                    if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
                }
                Ok(())
            };
            empty().map_err(|error| cannot_write(out, error))?;
            Ok(aside)
        })
    }

    /// Locks what `make` makes or finds. What is there at `out` may be replaced or not.
    fn new(out: &Path, is_replaced: bool, make: impl FnOnce(&Path) -> io::Result<File>) -> Result<Self> {
        if out.symlink_metadata().is_ok() && !is_replaced {
            return Err(Error::conflict(format!("{} is there already", out.display()))
                .with_hint("choose another name, or remove it first"));
        }
        let Some(name) = out.file_name() else {
            return Err(Error::invalid(format!("{} names no file or folder", out.display())));
        };
        let mut aside = std::ffi::OsString::from(".");
        aside.push(name);
        aside.push(".pinako-partial");
        let path = out.with_file_name(aside);
        let busy = || {
            Error::conflict(format!("another process is writing {}", out.display()))
                .with_hint("choose another name, or wait for it to end")
        };
        let cannot = |error| cannot_write(out, error);
        let lock = make(&path).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            // A file system without locks has to do without.
            Err(TryLockError::Error(_)) => {}
        }
        // Who wrote it may have given it its name before the lock was ours.
        let place = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = place(&lock.metadata().map_err(cannot)?);
        match path.symlink_metadata() {
            Ok(there) if place(&there) == ours => {}
            _ => return Err(busy()),
        }
        Ok(Aside { path, out: out.to_owned(), lock, is_done: false })
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
            // Nobody knows of it: what cannot be removed does no harm but for its space.
            let _ = if self.path.is_dir() { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
        }
    }
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
        let open = |path: &Path| File::options().read(true).write(true).create(true).truncate(false).open(path);
        let aside = Aside::new(out, false, open)?;
        let cannot = |error| cannot_write(out, error);
        aside.lock.set_len(0).map_err(cannot)?;
        let file = BufWriter::new(aside.lock.try_clone().map_err(cannot)?);
        Ok(AsideFile { aside, file })
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
