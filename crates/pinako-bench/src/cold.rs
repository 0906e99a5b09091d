//! Forgetting files, so that reading them again asks the disk.
//!
//! Without privileges the page cache gives up single files: `posix_fadvise` with `DONTNEED` drops their clean pages.
//! Pages that are dirty or that a memory map holds stay, so a store must be synced and closed before. What the kernel
//! knows of directories and inodes stays too, and what a disk or the host of a virtual machine caches is out of reach.
//! Some file systems (tmpfs) live in memory and cannot forget: [`can_forget`] tries it out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes to the disk what is dirty on the file system that `path` is on.
pub fn settle(path: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(path)?)?;
    #[cfg(not(target_os = "linux"))]
    let _ = path;
    Ok(())
}

/// Drops the file `path`, or all files in the folder `path`, from the page cache. What was not synced stays there.
pub fn forget(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| forget(&entry?.path()));
    }
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Drops `length` bytes from `start` on of an open file from the page cache.
pub fn forget_part(file: &File, start: u64, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(file, start, std::num::NonZeroU64::new(length), rustix::fs::Advice::DontNeed)?;
    #[cfg(not(target_os = "linux"))]
    let _ = (file, start, length);
    Ok(())
}

/// Has the system read of an open file what is asked for and no more.
pub fn no_read_ahead(file: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Random)?;
    #[cfg(not(target_os = "linux"))]
    let _ = file;
    Ok(())
}

/// Whether files in `folder` can be forgotten: writes one, forgets it and looks.
pub fn can_forget(folder: &Path) -> io::Result<bool> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&[1; 1 << 16])?;
    file.as_file().sync_all()?;
    forget(file.path())?;
    is_forgotten(file.as_file())
}

/// Whether the beginning of a file is not in memory, as far as the system says.
#[cfg(target_os = "linux")]
pub(crate) fn is_forgotten(file: &File) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    // A read that must not wait fails where it would have to.
    match preadv2(file, &mut [io::IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT) {
        Err(Errno::AGAIN) => Ok(true),
        Ok(_) | Err(Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_forgotten(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_open_file_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        if !can_forget(folder.path()).unwrap() {
            return eprintln!("skipped: the folder for temporary files does not forget");
        }
        let path = folder.path().join("file");
        fs::write(&path, vec![1; 1 << 16]).unwrap();
        settle(folder.path()).unwrap();
        let file = File::open(&path).unwrap();
        no_read_ahead(&file).unwrap();
        forget_part(&file, 4096, 1 << 15).unwrap();
        assert!(!is_forgotten(&file).unwrap(), "its first page stays");
        forget_part(&file, 0, 1 << 16).unwrap();
        assert!(is_forgotten(&file).unwrap());
    }
}
