//! The image files: writing those of a batch, reading all or some bytes of one.

use std::fs::File;
use std::io::{ErrorKind as Io, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::line::{Line, MAX_LINK, extension, file_name};
use crate::backend::{Durability, Entry, Payload, ReadRequest};
use crate::backends::folder::Folder;
use crate::checksum;
use crate::descriptor::{Encoding, Id};
use crate::error::{Error, Result};

/// Bytes of a stream that are in memory at once.
const PIECE: u64 = 1 << 20;

/// Payloads up to this length are read whole without asking for the file's length before memory is taken.
const SMALL: u64 = 1 << 20;

/// Images whose files are made in one go; as many files are open at once.
const BATCH: usize = 64;

/// Most threads that write; each has a piece of a stream in memory.
const WRITERS: usize = 4;

/// Batches after which what was written is synced, so that the disk has something to do while more is written.
const SYNC_AFTER: usize = 512;

/// Writes the files of a batch whose first id is `first`, and gives the `file_name` of each image's line. Streams get
/// their checksums. With [`Durability::Full`] the file of a single image is durable when this returns; to make many
/// durable, one sync of everything is left to the caller.
pub(super) fn write_all(
    folder: &Folder,
    first: Id,
    entries: &mut [Entry<'_>],
    durability: Durability,
) -> Result<Vec<String>> {
    let full = durability == Durability::Full;
    let alone = full && entries.len() == 1;
    // Threads of our own for the reason that `index` gives.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (entries.len() / BATCH).min(cores).clamp(1, WRITERS);
    let mut names = vec![String::new(); entries.len()];
    // The kernel makes one file at a time in a folder, and to hand that turn on takes longer than to make a file: a
    // thread makes those of a batch while the others fill theirs.
    let batches = Mutex::new(entries.chunks_mut(BATCH).zip(names.chunks_mut(BATCH)).enumerate());
    let write_some = || -> Result<()> {
        loop {
            let mut turn = batches.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((number, (entries, names))) = turn.next() else { return Ok(()) };
            let files = create(folder, first + (number * BATCH) as u64, entries, names)?;
            drop(turn);
            for ((entry, name), file) in entries.iter_mut().zip(names).zip(files) {
                match file {
                    Some(file) => write(folder, name, file, entry, alone)?,
                    None => *name = linked_path(entry)?,
                }
            }
            if full && number % SYNC_AFTER == SYNC_AFTER - 1 {
                folder.sync_everything()?;
            }
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(write_some)).collect();
        let written = write_some();
        let panicked = |panic| std::panic::resume_unwind(panic);
        others.into_iter().fold(written, |written, other| written.and(other.join().unwrap_or_else(panicked)))
    })?;
    Ok(names)
}

/// Makes the files of some images, empty, and their names; `None` for those without.
fn create(folder: &Folder, first: Id, entries: &[Entry<'_>], names: &mut [String]) -> Result<Vec<Option<File>>> {
    let mut files = Vec::with_capacity(entries.len());
    for ((id, entry), name) in (first..).zip(entries).zip(names) {
        let Some(extension) = extension(entry.descriptor.encoding) else {
            files.push(None);
            continue;
        };
        *name = file_name(id, extension);
        files.push(Some(folder.create_file(name).map_err(|error| folder.cannot("create", name, error))?));
    }
    Ok(files)
}

fn write(folder: &Folder, name: &str, mut file: File, entry: &mut Entry<'_>, sync: bool) -> Result<()> {
    let cannot = |error| folder.cannot("write", name, error);
    match entry.payload {
        Payload::Bytes(bytes) => file.write_all(bytes).map_err(cannot)?,
        Payload::Stream(_) => {
            let mut reader = entry.payload_reader();
            let mut piece = vec![0; reader.remaining().min(PIECE) as usize];
            while reader.remaining() > 0 {
                let length = reader.remaining().min(PIECE) as usize;
                reader.fill(&mut piece[..length])?;
                file.write_all(&piece[..length]).map_err(cannot)?;
            }
            entry.descriptor.checksum = reader.finish()?;
        }
    }
    if sync {
        file.sync_all().map_err(cannot)?;
    }
    Ok(())
}

/// The payload of a linked image: no file, but a path that its line holds.
fn linked_path(entry: &mut Entry<'_>) -> Result<String> {
    let length = entry.descriptor.payload_length;
    if length > MAX_LINK {
        return Err(Error::invalid(format!("the path of a linked image has {length} bytes, more than {MAX_LINK}")));
    }
    let mut path = vec![0; length as usize];
    let mut reader = entry.payload_reader();
    reader.fill(&mut path)?;
    let checksum = reader.finish()?;
    if let Payload::Stream(_) = entry.payload {
        entry.descriptor.checksum = checksum;
    }
    String::from_utf8(path)
        .map_err(|error| Error::invalid("the path of a linked image is not UTF-8").with_source(error))
}

/// Unlinks the files of a batch that did not come to be, as far as they are there and that is possible.
pub(super) fn unlink_all(folder: &Folder, first: Id, entries: &[Entry<'_>]) {
    for (id, entry) in (first..).zip(entries) {
        if let Some(extension) = extension(entry.descriptor.encoding) {
            let _ = folder.unlink(&file_name(id, extension));
        }
    }
}

/// Checks the length and the checksum of the file that this line names, if it names one.
///
/// # Errors
/// `Corrupt` or `NotFound` where it is not as it was written; others say that this cannot be known.
pub(super) fn check_file(folder: &Folder, line: &Line<'_>) -> Result<()> {
    if extension(line.encoding()?).is_none() {
        return Ok(());
    }
    let name = &*line.file_name;
    let cannot = |error| folder.cannot("read", name, error);
    let mut file = folder.open_file(name).map_err(cannot)?;
    let mut piece = vec![0; line.payload_length.min(PIECE) as usize + 1];
    let (mut length, mut checksum) = (0, 0);
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                length += count as u64;
                checksum = checksum::crc32c_append(checksum, &piece[..count]);
            }
            Err(error) if error.kind() == Io::Interrupted => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    if (length, checksum) != (line.payload_length, line.checksum) {
        return Err(Error::corrupt("its file is damaged"));
    }
    Ok(())
}

/// Reads payloads, one after another, into one buffer.
pub(super) struct Reader<'a> {
    folder: &'a Folder,
    buffer: Vec<u8>,
    /// The file that a range was last read of: there may be more.
    open: Option<(Id, File)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Folder) -> Reader<'a> {
        Reader { folder, buffer: Vec::new(), open: None }
    }

    /// The bytes that `request` asks of the image with this line; `None` where its file is not there.
    pub(super) fn read<'b>(&'b mut self, line: &'b Line<'_>, request: &ReadRequest) -> Result<Option<&'b [u8]>> {
        let encoding = line.encoding()?;
        let range = request.range_in(line.payload_length)?;
        if let Encoding::Linked(_) = encoding {
            // Inside, because the path's length is the payload's.
            return Ok(Some(&line.file_name.as_bytes()[range.start as usize..range.end as usize]));
        }
        let name = &*line.file_name;
        let whole = range.end - range.start == line.payload_length;
        let file = match self.open.take() {
            Some((id, file)) if id == line.id => file,
            _ => {
                let file = match self.folder.open_file(name) {
                    Ok(file) => file,
                    Err(error) if error.kind() == Io::NotFound => return Ok(None),
                    Err(error) => return Err(self.folder.cannot("open", name, error)),
                };
                // To read all of a small one shows its length, too.
                if !whole || line.payload_length > SMALL {
                    self.check_length(line, &file)?;
                }
                file
            }
        };
        // One byte more than the whole shows whether the file ends there.
        let wanted = (range.end - range.start) as usize;
        let room = wanted + usize::from(whole);
        if self.buffer.len() < room {
            self.buffer.try_reserve_exact(room - self.buffer.len()).map_err(|error| {
                Error::invalid(format!("{wanted} bytes do not fit in memory"))
                    .with_source(error)
                    .with_hint("read it in parts")
            })?;
            self.buffer.resize(room, 0);
        }
        let mut filled = 0;
        while filled < wanted {
            match file.read_at(&mut self.buffer[filled..room], range.start + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == Io::Interrupted => {}
                Err(error) => return Err(self.folder.cannot("read", name, error)),
            }
        }
        if filled != wanted {
            self.check_length(line, &file)?;
            return Err(Error::corrupt("its file ended while it was read").at_id(line.id));
        }
        if !whole {
            self.open = Some((line.id, file));
        }
        Ok(Some(&self.buffer[..wanted]))
    }

    fn check_length(&self, line: &Line<'_>, file: &File) -> Result<()> {
        let name = &*line.file_name;
        let found = file.metadata().map_err(|error| self.folder.cannot("read", name, error))?.len();
        if found == line.payload_length {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{} has {found} bytes, its line in metadata.jsonl says {}",
            self.folder.path_of(name).display(),
            line.payload_length
        ))
        .at_id(line.id)
        .with_hint("the file was changed or damaged: restore it, or remove the image"))
    }
}
