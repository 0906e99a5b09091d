//! The manifest log as a file: one line a commit, appended and synced.
//!
//! Readers keep it open and look at its length before each call: a longer one has commits to read, and where the path
//! leads to another file it was replaced: by a compaction, by a writer that could not make its commit durable, or
//! together with the whole store. A crash while a line is appended leaves a torn line at the end, which readers pass
//! over and the next writer cuts off.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backends::folder::{Folder, sync_commit};
use crate::backends::manifest::{Commit, LOG_NAME, MAX_HEADER, Manifest, Part};
use crate::backends::mark::Mark;
use crate::backends::sealed::{self, Header};
use crate::backends::{Mode, boot};
use crate::error::{Error, Result};

/// Which backend's log it is.
pub(super) const KIND: &str = "hdf5";

/// Says how many bytes of the log are durable at least.
pub(super) const MARK: Mark = Mark { name: "manifest.end", of: LOG_NAME };

/// Looks at whether the files of a part, written before the machine last stopped and not synced, came through whole.
pub(super) type Survived<'a> = dyn Fn(&Part) -> bool + 'a;

/// The log, read as far as it was when last looked at.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Device and inode of the file, which no other has while it is open.
    identity: (u64, u64),
    /// Bytes of whole lines that were read.
    read: u64,
    /// Whether more stood behind them: a torn line, or one that was just being written.
    torn: bool,
    manifest: Arc<Manifest>,
}

impl Log {
    /// Makes the log of an empty store in `folder`, which has none.
    pub(super) fn create(folder: &Folder) -> Result<()> {
        MARK.create(folder, 0)?;
        replace(folder, &[])
    }

    /// Whether what is at `path` may be the beginning of an empty store's log.
    pub(super) fn is_begun(path: &Path) -> bool {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_HEADER).read_to_end(&mut text));
        read.is_ok() && head().is_ok_and(|head| head.starts_with(&text))
    }

    /// Opens and reads the log in `folder`.
    ///
    /// # Errors
    /// `Corrupt` where it was cut off.
    pub(super) fn open(folder: &Path, mode: Mode, survived: &Survived<'_>) -> Result<Self> {
        let place = Folder::open(folder)?;
        let mut mark = MARK.read(&place)?;
        loop {
            let log = Log::read(folder, mode, survived)?;
            let Some(end) = mark.filter(|&end| end > log.read) else { return Ok(log) };
            // Unless a compaction has just lowered it.
            mark = MARK.read(&place)?;
            if mark == Some(end) {
                return Err(log.cut_off(end));
            }
        }
    }

    fn read(folder: &Path, mode: Mode, survived: &Survived<'_>) -> Result<Self> {
        let path = folder.join(LOG_NAME);
        let file = File::options()
            .read(true)
            .write(mode != Mode::Read)
            .open(&path)
            .map_err(|error| Error::io(format!("cannot open {}", path.display()), error))?;
        let found = file.metadata().map_err(|error| Error::io(format!("cannot look at {}", path.display()), error))?;
        let mut log = Log {
            path,
            file,
            identity: identity(&found),
            read: 0,
            torn: true,
            manifest: Arc::new(Manifest::of_numbered_parts()),
        };
        log.read_on(survived)?;
        Ok(log)
    }

    /// What the commits that were read add up to.
    pub(super) fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Whether nothing was committed since it was read.
    pub(super) fn is_fresh(&self) -> Result<bool> {
        let found = fs::metadata(&self.path).map_err(|error| self.cannot("look at", error))?;
        Ok(!self.torn && identity(&found) == self.identity && found.len() == self.read)
    }

    /// Reads what was committed since. Says whether another log had taken its place.
    pub(super) fn refresh(&mut self, mode: Mode, survived: &Survived<'_>) -> Result<bool> {
        let found = fs::metadata(&self.path).map_err(|error| self.cannot("look at", error))?;
        // It becomes shorter where a whole line could neither be synced nor the log be replaced.
        let replaced = identity(&found) != self.identity || found.len() < self.read;
        if replaced {
            *self = Log::open(self.folder(), mode, survived)?;
        } else if self.torn || found.len() > self.read {
            self.read_on(survived)?;
        }
        Ok(replaced)
    }

    /// Reads the lines that follow.
    fn read_on(&mut self, survived: &Survived<'_>) -> Result<()> {
        let length = self.file.metadata().map_err(|error| self.cannot("look at", error))?.len();
        let size = usize::try_from(length.saturating_sub(self.read)).unwrap_or(usize::MAX);
        let mut tail = Vec::new();
        tail.try_reserve_exact(size)
            .map_err(|_| Error::corrupt(format!("{}: {length} bytes are too many to read", self.path.display())))?;
        tail.resize(size, 0);
        self.file.read_exact_at(&mut tail, self.read).map_err(|error| self.cannot("read", error))?;

        let damaged = |error: Error, at: u64| error.context(format!("{} at byte {at}", self.path.display()));
        let mut lines = Lines { rest: &tail, at: self.read };
        if self.read == 0 {
            let (first, after) = lines.next().unwrap_or((&tail, length));
            let header = sealed::read::<Header>(first).map_err(|error| self.has_no_head(first, error))?;
            header.check(KIND).map_err(|error| error.context(self.path.display()))?;
            self.read = after;
        }
        let mut commits = Vec::new();
        for (text, after) in lines.by_ref() {
            match sealed::read::<Commit>(text) {
                Ok(commit) => commits.push((commit, after)),
                // A machine that stopped may have left blocks of zeros where lines were not synced.
                Err(_) if text.contains(&0) => break,
                Err(error) => return Err(damaged(error, after - text.len() as u64)),
            }
        }
        for (text, after) in lines.by_ref() {
            if matches!(sealed::read::<Commit>(text), Ok(commit) if commit.unsynced.is_none()) {
                let error = Error::corrupt("a line before it is damaged");
                return Err(damaged(error, after - text.len() as u64));
            }
        }

        let synced = commits.iter().rposition(|(commit, _)| commit.unsynced.is_none()).map_or(0, |last| last + 1);
        let manifest = Arc::make_mut(&mut self.manifest);
        for (place, (commit, after)) in commits.into_iter().enumerate() {
            let in_doubt = place >= synced && !commit.unsynced.as_deref().is_some_and(boot::still_runs);
            if in_doubt && !commit.parts.iter().all(survived) {
                break;
            }
            manifest.apply(commit).map_err(|error| error.context(self.path.display()))?;
            self.read = after;
        }
        self.torn = self.read < length;
        Ok(())
    }

    /// Appends a commit and syncs it, unless it is one that need not be. The caller is the only writer and has
    /// refreshed the log.
    pub(super) fn append(&mut self, commit: Commit) -> Result<()> {
        let sync = commit.unsynced.is_none();
        let mut text = Vec::new();
        sealed::write(&commit, &mut text)?;
        let commit = self.manifest.check(commit)?;
        let written = self.cut().and_then(|()| self.file.write_all_at(&text, self.read));
        let written = written.map_err(|error| self.cannot("write", error));
        let synced = written.and_then(|()| if sync { sync_commit(&self.file, &self.path) } else { Ok(()) });
        if let Err(error) = synced {
            if self.take_back().is_err() {
                // If this fails too, there is nothing more to do: the commit is whole or torn, and both are sound.
                let _ = self.file.set_len(self.read);
            }
            return Err(error);
        }
        self.read += text.len() as u64;
        if sync {
            let _ = self.mark();
        }
        // Where nobody reads just now, there is nothing to copy.
        Arc::make_mut(&mut self.manifest).take(commit);
        Ok(())
    }

    /// Puts a log in the place of this one that has no line beyond those that were read. To cut a whole line off would
    /// not do: readers that have read it already would not notice once another line stands there.
    fn take_back(&mut self) -> Result<()> {
        let mut text = vec![0; self.read as usize];
        self.file.read_exact_at(&mut text, 0).map_err(|error| self.cannot("read", error))?;
        let folder = self.folder().to_owned();
        Folder::open(&folder)?.replace_with(LOG_NAME, &text)?;
        *self = Log::open(&folder, Mode::Write, &|_| true)?;
        Ok(())
    }

    /// Makes it durable as it is now, so that no earlier state of it can come back.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|error| self.cannot("sync", error))?;
        Folder::open(self.folder())?.sync_names()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Cuts a torn line off.
    fn cut(&mut self) -> std::io::Result<()> {
        if self.torn {
            self.file.set_len(self.read)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Puts a log with this one commit in place of the log. The caller is the only writer.
    pub(super) fn rewrite(&mut self, commit: &Commit) -> Result<()> {
        let folder = Folder::open(self.folder())?;
        if MARK.read(&folder)?.is_some() {
            MARK.set_durably(&folder, 0)?; // the new log may be shorter
        }
        replace(&folder, std::slice::from_ref(commit))?;
        *self = Log::open(self.folder(), Mode::Write, &|_| true)?;
        let _ = self.mark();
        Ok(())
    }

    /// Marks all that was read as committed. Whether or not this succeeds, it is: then the mark stays behind.
    fn mark(&self) -> Result<()> {
        let folder = Folder::open(self.folder())?;
        match MARK.read(&folder)? {
            Some(_) => MARK.set(&folder, self.read),
            None => MARK.create(&folder, self.read),
        }
    }

    fn cut_off(&self, end: u64) -> Error {
        let (path, whole) = (self.path.display(), self.read);
        Error::corrupt(format!("{path} was cut off: its whole lines have {whole} bytes, of {end} that were committed"))
            .with_hint(format!(
                "restore it from a copy. To go on with the images that it still names, copy the folder, then remove {}: \
                 the next writer removes the parts that it does not name",
                MARK.name
            ))
    }

    fn has_no_head(&self, first: &[u8], error: Error) -> Error {
        let found = match first {
            [] => "it is empty".to_owned(),
            _ => format!("it begins with {:?}", String::from_utf8_lossy(&first[..first.len().min(80)])),
        };
        let expected = head().unwrap_or_default();
        let (path, expected) = (self.path.display(), String::from_utf8_lossy(expected.trim_ascii_end()));
        Error::corrupt(format!("{path} is damaged: its first line should be {expected}, but {found}"))
            .with_hint("restore it from a copy; where nothing but that line is damaged, put it in its place")
            .with_source(error)
    }

    fn cannot(&self, what: &str, error: std::io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.path.display()), error)
    }
}

/// The whole lines of a log's text, without their line feeds, each with the place in the file where the next begins.
struct Lines<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], u64);

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        self.at += end as u64 + 1;
        Some((line, self.at))
    }
}

/// The first line.
fn head() -> Result<Vec<u8>> {
    let mut line = Vec::new();
    sealed::write(&Header::new(KIND), &mut line)?;
    Ok(line)
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Writes a log aside and puts it in its place, durably.
fn replace(folder: &Folder, commits: &[Commit]) -> Result<()> {
    let mut text = head()?;
    for commit in commits {
        sealed::write(commit, &mut text)?;
    }
    folder.replace_with(LOG_NAME, &text)
}
