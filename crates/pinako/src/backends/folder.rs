//! A folder that is kept open: every system call on the store's files goes through here and names the file it failed
//! on. Files are opened relative to the folder, which is cheaper than by path, and right even if it is moved.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::writer_lock::WriterLock;
use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    directory: OwnedFd,
}

impl Folder {
    /// Makes a new store's folder at `path`, which is absolute, unless it is there. Those above it that are made as
    /// well are durable when this returns; its own name is after [`sync_own_name`](Self::sync_own_name).
    pub(super) fn create(path: &Path) -> Result<Folder> {
        let above: Vec<&Path> = path.ancestors().skip(1).take_while(|above| !above.exists()).collect();
        fs::create_dir_all(path)
            .map_err(|error| Error::io(format!("cannot make the folder {}", path.display()), error))?;
        for above in above {
            Folder::open(above)?.sync_own_name()?;
        }
        Folder::open(path)
    }

    pub(super) fn open(path: &Path) -> Result<Folder> {
        let directory = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Error::io(format!("cannot open the folder {}", path.display()), error.into()))?;
        Ok(Folder { path: path.to_owned(), directory })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole path of one of its files, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The error of not being able to `do_what` with one of its files.
    pub(super) fn cannot(&self, do_what: &str, name: &str, error: impl Into<io::Error>) -> Error {
        Error::io(format!("cannot {do_what} {}", self.path_of(name).display()), error.into())
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        // A pipe that somebody put in its place must not be waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(rustix::fs::openat(&self.directory, name, flags, Mode::empty())?.into())
    }

    /// Opens a file that is there for writing anywhere in it.
    pub(super) fn open_to_change(&self, name: &str) -> Result<File> {
        rustix::fs::openat(&self.directory, name, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map(File::from)
            .map_err(|error| self.cannot("write to", name, error))
    }

    /// Makes a new file. One of that name is unlinked, not overwritten: it may be a link to something else.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.directory, name, flags, Mode::from_raw_mode(0o666));
        match create() {
            Err(Errno::EXIST) => {
                self.unlink(name)?;
                Ok(create()?.into())
            }
            created => Ok(created?.into()),
        }
    }

    pub(super) fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Unlinks a file; that there is none is no error.
    pub(super) fn unlink(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces a file, durably: whoever looks, now or after a crash, finds the old contents or the new. Where only the
    /// last step fails, the file is replaced, but a crash may bring the old one back.
    pub(super) fn replace(&self, name: &str, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let aside = aside(name);
        let mut file = self.create_file(&aside).map_err(|error| self.cannot("create", &aside, error))?;
        let renamed = write(&mut file).and_then(|()| {
            file.sync_all().map_err(|error| self.cannot("sync", &aside, error))?;
            rustix::fs::renameat(&self.directory, &aside, &self.directory, name)
                .map_err(|error| self.cannot("replace", name, error))
        });
        if let Err(error) = renamed {
            let _ = self.unlink(&aside);
            return Err(error);
        }
        self.sync_names()
    }

    /// Replaces a file by `bytes`, durably.
    pub(super) fn replace_with(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.replace(name, |file| file.write_all(bytes).map_err(|error| self.cannot("write", name, error)))
    }

    /// Makes the names of its files durable.
    pub(super) fn sync_names(&self) -> Result<()> {
        #[cfg(test)]
        faults::may_sync(&self.path).map_err(|error| self.cannot("sync", "", error))?;
        rustix::fs::fsync(&self.directory).map_err(|error| self.cannot("sync", "", error))
    }

    /// Makes its own name durable.
    pub(super) fn sync_own_name(&self) -> Result<()> {
        let path = self.path.canonicalize().map_err(|error| self.cannot("find", "", error))?;
        path.parent().map_or(Ok(()), |parent| Folder::open(parent)?.sync_names())
    }

    /// Makes everything in it durable, at the price of one sync of the whole file system.
    pub(super) fn sync_everything(&self) -> Result<()> {
        rustix::fs::syncfs(&self.directory).map_err(|error| self.cannot("sync", "", error))
    }

    /// Calls `visit` with the name of everything in it, until that breaks off with an error.
    pub(super) fn each_name(&self, mut visit: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let listing = Dir::read_from(&self.directory).map_err(|error| self.cannot("list", "", error))?;
        for entry in listing {
            let entry = entry.map_err(|error| self.cannot("list", "", error))?;
            // What has no UTF-8 name is none of ours.
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => visit(name)?,
            }
        }
        Ok(())
    }

    /// Waits its turn to write, for as long as `patience`; `name` is the file whose lock is that turn.
    ///
    /// # Errors
    /// `Conflict` where another writer is still at work then.
    pub(super) fn lock(&self, name: &str, patience: Duration) -> Result<WriterLock> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::from_raw_mode(0o666))
            .map_err(|error| self.cannot("open", name, error))?;
        WriterLock::wait(file.into(), &self.path, Instant::now() + patience)
    }
}

/// Makes a commit durable that was written to `file`, which is at `path`.
pub(super) fn sync_commit(file: &File, path: &Path) -> Result<()> {
    let cannot = |error| Error::io(format!("cannot sync {}", path.display()), error);
    #[cfg(test)]
    faults::may_sync(path).map_err(cannot)?;
    file.sync_data().map_err(cannot)
}

/// The name under which the replacement of a file is written.
pub(super) fn aside(name: &str) -> String {
    format!("{name}.tmp")
}

/// Disks that fail, which a test cannot have otherwise.
#[cfg(test)]
pub(super) mod faults {
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};

    /// What is not to be synced, and what happens instead.
    type Fault = (PathBuf, Box<dyn FnOnce()>);

    thread_local! {
        static FAULTS: RefCell<Vec<Fault>> = const { RefCell::new(Vec::new()) };
    }

    /// Lets this thread's next sync of the folder or commit at `path` fail, after `meanwhile`. May be called for
    /// several.
    pub(in super::super) fn fail_sync(path: impl Into<PathBuf>, meanwhile: impl FnOnce() + 'static) {
        FAULTS.with_borrow_mut(|faults| faults.push((path.into(), Box::new(meanwhile))));
    }

    pub(in super::super) fn may_sync(path: &Path) -> io::Result<()> {
        let fault = FAULTS.with_borrow_mut(|faults| {
            let place = faults.iter().position(|(faulty, _)| faulty == path)?;
            Some(faults.remove(place).1)
        });
        fault.map_or(Ok(()), |meanwhile| {
            meanwhile();
            Err(io::Error::other("a fault made by a test"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_folders_that_are_made_for_a_store_are_durable() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let store = root.join("a/b/store");
        for above in [&root, &root.join("a")] {
            faults::fail_sync(above, || ());
            let error = Folder::create(&store).unwrap_err();
            assert!(error.to_string().contains("cannot sync"), "{error}");
            fs::remove_dir_all(root.join("a")).unwrap();
        }
        faults::fail_sync(root.join("a/b"), || ());
        assert!(Folder::create(&store).unwrap().sync_own_name().is_err());
        Folder::create(&store).unwrap().sync_own_name().unwrap();
    }
}
