//! The image files: writing those of a batch, reading all or some bytes of one.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind as Io, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::thread;

use super::line::{Line, MAX_LINK, extension, file_name};
use crate::backend::{Entry, Payload, ReadRequest};
use crate::backends::folder::Folder;
use crate::checksum;
use crate::descriptor::{Encoding, Id};
use crate::error::{Error, Result};

/// Bytes of a stream that are in memory at once.
const PIECE: u64 = 1 << 20;

/// Payloads up to this length are read without asking for the file's length before memory is taken.
const SMALL: u64 = 1 << 20;

/// Fewest images that are worth a thread of their own.
const SHARE: usize = 64;

/// Most threads that write; each has a piece of a stream in memory.
const WRITERS: usize = 8;

/// Writes the files of a batch whose first id is `first`, and gives the `file_name` of each image's line. Streams get
/// their checksums. `sync` makes each file durable.
pub(super) fn write_all<'a>(
    folder: &Folder,
    first: Id,
    entries: &mut [Entry<'a>],
    sync: bool,
) -> Result<Vec<Cow<'a, str>>> {
    // Threads of our own for the reason that `index` gives.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (entries.len() / SHARE).min(cores).clamp(1, WRITERS);
    let share = entries.len().div_ceil(threads).max(1);
    // The kernel makes one file at a time in a folder; who waits for that in a lock of ours does not spin.
    let creating = Mutex::new(());
    let write_some = &|first: Id, entries: &mut [Entry<'a>]| -> Result<Vec<Cow<'a, str>>> {
        (first..).zip(entries).map(|(id, entry)| write(folder, &creating, id, entry, sync)).collect()
    };
    thread::scope(|scope| {
        let mut shares =
            entries.chunks_mut(share).enumerate().map(|(n, entries)| (first + (n * share) as u64, entries));
        let own = shares.next();
        let others: Vec<_> = shares.map(|(first, entries)| scope.spawn(move || write_some(first, entries))).collect();
        let mut names = own.map_or(Ok(Vec::new()), |(first, entries)| write_some(first, entries))?;
        for other in others {
            names.append(&mut other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(names)
    })
}

fn write<'a>(folder: &Folder, creating: &Mutex<()>, id: Id, entry: &mut Entry<'a>, sync: bool) -> Result<Cow<'a, str>> {
    let Some(extension) = extension(entry.descriptor.encoding) else { return linked_path(entry) };
    let name = file_name(id, extension);
    let turn = creating.lock();
    let mut file = folder.create_file(&name).map_err(|error| folder.cannot("create", &name, error))?;
    drop(turn);
    let cannot = |error| folder.cannot("write", &name, error);
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
    Ok(name.into())
}

/// The payload of a linked image: no file, but a path that its line holds.
fn linked_path<'a>(entry: &mut Entry<'a>) -> Result<Cow<'a, str>> {
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
    let path = String::from_utf8(path)
        .map_err(|error| Error::invalid("the path of a linked image is not UTF-8").with_source(error))?;
    Ok(path.into())
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
        return Err(Error::corrupt(format!("{} is damaged", folder.path_of(name).display())));
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
        let file = match self.open.take() {
            Some((id, file)) if id == line.id => file,
            _ => match self.folder.open_file(name) {
                Ok(file) => file,
                Err(error) if error.kind() == Io::NotFound => return Ok(None),
                Err(error) => return Err(self.folder.cannot("open", name, error)),
            },
        };
        let whole = range.end - range.start == line.payload_length;
        if range.end - range.start > SMALL {
            let found = file.metadata().map_err(|error| self.folder.cannot("read", name, error))?.len();
            if found < range.end || whole && found != range.end {
                return Err(self.wrong_length(line, found));
            }
        }
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
            let found = file.metadata().map_err(|error| self.folder.cannot("read", name, error))?.len();
            return Err(self.wrong_length(line, found));
        }
        if !whole {
            self.open = Some((line.id, file));
        }
        Ok(Some(&self.buffer[..wanted]))
    }

    fn wrong_length(&self, line: &Line<'_>, found: u64) -> Error {
        Error::corrupt(format!(
            "{} has {found} bytes, its line in metadata.jsonl says {}",
            self.folder.path_of(&line.file_name).display(),
            line.payload_length
        ))
        .at_id(line.id)
        .with_hint("the file was changed or damaged: restore it, or remove the image")
    }
}
