//! Reading the lines of some images, without holding the index meanwhile.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::index::METADATA;
use super::line::Line;
use crate::backends::folder::Folder;
use crate::error::Result;

/// Lines that are this near to each other are read at once: a call costs as much as copying some thousand bytes.
const NEAR: u64 = 4096;

/// Most bytes that are read at once, unless one line is longer.
const PIECE: u64 = 256 << 10;

/// Where the lines of some images stand. The file is what it was when they were looked up, even if it is replaced.
pub(super) struct Lookup {
    file: Arc<File>,
    found: Vec<Found>,
    missing: Vec<usize>,
}

struct Found {
    offset: u64,
    end: u64,
    place: usize,
}

impl Lookup {
    pub(super) fn new(file: Arc<File>) -> Lookup {
        Lookup { file, found: Vec::new(), missing: Vec::new() }
    }

    /// Adds the line at `offset..end`, of what was asked for in that place.
    pub(super) fn add(&mut self, place: usize, offset: u64, end: u64) {
        self.found.push(Found { offset, end, place });
    }

    /// Adds that there is no such image as was asked for in that place.
    pub(super) fn add_missing(&mut self, place: usize) {
        self.missing.push(place);
    }

    /// Calls `visit` once for each place, with its line where there is one, in the order of the lines.
    pub(super) fn each(
        mut self,
        folder: &Folder,
        mut visit: impl FnMut(usize, Option<&Line<'_>>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for place in self.missing {
            if visit(place, None)?.is_break() {
                return Ok(());
            }
        }
        self.found.sort_unstable_by_key(|found| (found.offset, found.place));
        let mut buffer = Vec::new();
        let mut rest = &self.found[..];
        while let Some(first) = rest.first() {
            let mut end = first.end;
            let near = |found: &&Found| {
                let joins = found.offset <= end + NEAR && found.end - first.offset <= PIECE || found.end <= end;
                end = if joins { end.max(found.end) } else { end };
                joins
            };
            let count = rest.iter().take_while(near).count();
            let together;
            (together, rest) = rest.split_at(count.max(1));
            buffer.resize((end - first.offset) as usize, 0);
            let cannot = |error| folder.cannot("read", METADATA, error);
            self.file.read_exact_at(&mut buffer, first.offset).map_err(cannot)?;
            for found in together {
                let bytes = &buffer[(found.offset - first.offset) as usize..(found.end - first.offset) as usize];
                let at_line = |error: crate::Error| {
                    error.context(format!("{}, the line at byte {}", folder.path_of(METADATA).display(), found.offset))
                };
                let line = Line::parse(bytes).map_err(at_line)?;
                if visit(found.place, Some(&line))?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
