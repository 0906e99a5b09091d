//! Real reads, of which none is answered by the page cache.
//!
//! The paper made a file of 1 GB, larger than its machine's memory, and took every query to another random place of it.
//! Memory has outgrown that trick, so the file is opened past the page cache (`O_DIRECT`: whole blocks, into memory that is
//! aligned to them); where a file system does not take that, a query's part of the file is dropped from the cache first.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pinako::plan::Cost;
use pinako::{Error, ErrorKind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

use super::{Progress, Watch, paper};
use crate::random::Random;
use crate::summary::Summary;
use crate::{cold, interrupted, machine, scratch};

/// Bytes that are read at least, aligned to as many: the paper's disk page.
pub const BLOCK: u32 = 4096;

/// How the page cache is kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbuffered {
    /// Reads go past it (`O_DIRECT`).
    Direct,
    /// What a query is going to read is dropped from it first (`posix_fadvise`).
    Forgotten,
    /// It is not: this file system takes neither.
    No,
}

impl Unbuffered {
    /// As a sentence goes on after "the file was read".
    pub const fn text(self) -> &'static str {
        match self {
            Unbuffered::Direct => "past the page cache (O_DIRECT)",
            Unbuffered::Forgotten => {
                "after its part was dropped from the page cache (posix_fadvise), before each query"
            }
            Unbuffered::No => {
                "from memory (its file system neither takes O_DIRECT nor forgets, so these are no times of a disk)"
            }
        }
    }
}

/// A large file to read from. It has no name, so that it goes with this process, however that ends.
pub(super) struct Disk {
    folder: PathBuf,
    file: File,
    bytes: u64,
    pub unbuffered: Unbuffered,
    /// By [`Disk::IN_FLIGHT`].
    crews: Vec<Crew>,
}

/// The threads that read at once.
struct Crew {
    pool: ThreadPool,
    buffers: Vec<Mutex<Vec<u8>>>,
}

/// What a query took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Seconds, without special readings.
    pub seconds: f64,
    /// How many of those there were.
    pub special: u64,
}

impl Disk {
    /// How many reads are in flight at once.
    pub const IN_FLIGHT: [u32; 4] = [1, 2, 4, 8];

    /// Makes a file of so many bytes in `folder`, of noise, so that nothing can compress it.
    pub fn make(folder: &Path, bytes: u64, seed: u64, watch: &mut Watch<'_>) -> Result<Self> {
        let failed = |error| Error::io(format!("cannot write a file of {bytes} bytes in {}", folder.display()), error);
        scratch::check_space(folder, bytes, "the file to read from", "a smaller file")?;
        let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
        let mut random = Random::new(seed, bytes);
        let mut chunk = vec![0; 8 << 20];
        let mut left = bytes;
        while left > 0 {
            if watch(Progress { step: "writing the file to read from", queries: 0 }).is_break() {
                return Err(interrupted());
            }
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            for word in chunk[..part].chunks_mut(8) {
                word.copy_from_slice(&random.bits().to_ne_bytes()[..word.len()]);
            }
            file.write_all(&chunk[..part]).map_err(failed)?;
            left -= part as u64;
        }
        file.sync_all().map_err(failed)?;
        let unbuffered = unbuffer(&file, folder).map_err(failed)?;
        let crews = Self::IN_FLIGHT.into_iter().map(Crew::new).collect::<Result<Vec<Crew>>>()?;
        Ok(Disk { folder: folder.to_owned(), file, bytes, unbuffered, crews })
    }

    /// Measures what reads cost with so many of them in flight: of one block each and of 1 MiB each, each for as long as
    /// `budget`. Two medians, two unknowns.
    pub fn calibrate(&self, in_flight: u32, budget: Duration, random: &mut Random) -> Result<Cost> {
        const TURNS: usize = 8;
        const LEAST: usize = 5;
        let mut of = |length: u64| -> Result<f64> {
            let began = Instant::now();
            let mut turns = Vec::new();
            while turns.len() < LEAST || (began.elapsed() < budget && turns.len() < 100) {
                let reads: Vec<Range<u64>> = (0..TURNS * in_flight as usize)
                    .map(|_| self.place(length, random))
                    .map(|start| start..start + length)
                    .collect();
                let reading = self.read(0, &reads, in_flight, |_| f64::INFINITY)?;
                turns.push(reading.seconds / TURNS as f64);
            }
            Ok(Summary::of(&turns).map_or(0.0, |summary| summary.median))
        };
        let (short, long) = (u64::from(BLOCK), 1 << 20);
        costs([(short, of(short)?), (long, of(long)?)], in_flight)
    }

    /// A place where a part of `length` bytes begins, at random.
    pub fn place(&self, length: u64, random: &mut Random) -> u64 {
        random.below((self.bytes - length) / u64::from(BLOCK) + 1) * u64::from(BLOCK)
    }

    /// Drops `length` bytes from `start` on from the page cache, where that is what keeps it out.
    pub fn forget(&self, start: u64, length: u64) -> Result<()> {
        match self.unbuffered {
            Unbuffered::Forgotten => cold::forget_part(&self.file, start, length).map_err(|error| self.failed(error)),
            Unbuffered::Direct | Unbuffered::No => Ok(()),
        }
    }

    /// Reads `reads`, whole blocks counted from `start`, `in_flight` of them at once. Where one takes longer than `limit`
    /// says for its bytes, it is special. What the query takes is what the thread that is busy longest takes.
    pub fn read(
        &self,
        start: u64,
        reads: &[Range<u64>],
        in_flight: u32,
        limit: impl Fn(u64) -> f64 + Sync,
    ) -> Result<Reading> {
        let Some(crew) = self.crews.iter().find(|crew| crew.buffers.len() == in_flight as usize) else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{in_flight} reads in flight are not prepared")));
        };
        let next = AtomicUsize::new(0);
        let work = |buffer: &mut Vec<u8>| -> io::Result<Reading> {
            let mut sum = Reading { seconds: 0.0, special: 0 };
            while let Some(read) = reads.get(next.fetch_add(1, Ordering::Relaxed)) {
                let length = read.end - read.start;
                let bytes = aligned(buffer, length as usize);
                let began = Instant::now();
                self.file.read_exact_at(bytes, start + read.start)?;
                let seconds = began.elapsed().as_secs_f64();
                if seconds > limit(length) {
                    sum.special += 1;
                } else {
                    sum.seconds += seconds;
                }
            }
            Ok(sum)
        };
        let found = crew.pool.broadcast(|thread| {
            let mut buffer = crew.buffers[thread.index()].lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut buffer)
        });
        let mut whole = Reading { seconds: 0.0, special: 0 };
        for reading in found {
            let reading = reading.map_err(|error| self.failed(error))?;
            whole.seconds = whole.seconds.max(reading.seconds);
            whole.special += reading.special;
        }
        Ok(whole)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(format!("cannot read the file in {}", self.folder.display()), error)
    }
}

impl Crew {
    fn new(threads: u32) -> Result<Self> {
        let pool = ThreadPoolBuilder::new().num_threads(threads as usize).build().map_err(|error| {
            Error::new(ErrorKind::Backend, format!("cannot start {threads} threads")).with_source(error)
        })?;
        Ok(Crew { pool, buffers: (0..threads).map(|_| Mutex::default()).collect() })
    }
}

/// `length` bytes of `buffer`, which grows where it has to, from an address that direct reads take.
fn aligned(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    let align = BLOCK as usize;
    if buffer.len() < length + align {
        buffer.resize(length + align, 0);
    }
    let start = buffer.as_ptr().align_offset(align);
    &mut buffer[start..start + length]
}

/// Keeps the page cache out of what is read of the file, and says how.
fn unbuffer(file: &File, folder: &Path) -> io::Result<Unbuffered> {
    // In a file system that is memory, reads past the page cache are none.
    let is_memory = machine::Machine::here(folder).file_system.starts_with("tmpfs");
    if !is_memory && read_directly(file)? {
        return Ok(Unbuffered::Direct);
    }
    cold::no_read_ahead(file)?;
    Ok(if cold::can_forget(folder)? { Unbuffered::Forgotten } else { Unbuffered::No })
}

/// Has reads of the file go past the page cache, where its file system takes that.
#[cfg(target_os = "linux")]
fn read_directly(file: &File) -> io::Result<bool> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(file)?;
    let mut buffer = Vec::new();
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_ok() {
        if file.read_exact_at(aligned(&mut buffer, BLOCK as usize), 0).is_ok() {
            return Ok(true);
        }
        fcntl_setfl(file, flags)?;
    }
    Ok(false)
}

#[cfg(not(target_os = "linux"))]
fn read_directly(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// The costs at which turns of `in_flight` reads of so many bytes each take so many seconds: P reads of b bytes take
/// t1 + P b t2. What noise makes negative counts as next to nothing.
fn costs([(short, of_short), (long, of_long)]: [(u64, f64); 2], in_flight: u32) -> Result<Cost> {
    let least = 1e-12;
    let bytes = |length: u64| (length * u64::from(in_flight)) as f64;
    let byte_seconds = ((of_long - of_short) / bytes(long - short)).max(least);
    let read_seconds = (of_short - byte_seconds * bytes(short)).max(least);
    Cost::new(read_seconds, byte_seconds, in_flight, BLOCK)
}

/// Beyond how many seconds a reading of so many bytes is special.
pub(super) fn limit(cost: &Cost) -> impl Fn(u64) -> f64 + Sync {
    let cost = *cost;
    move |bytes| paper::SPECIAL * (cost.read_seconds() + bytes as f64 * cost.byte_seconds())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    #[test]
    fn all_bytes_of_a_query_are_read_by_any_number_of_threads_and_slow_reads_are_special() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::make(folder.path(), 1 << 20, 7, &mut |_| ControlFlow::Continue(())).unwrap();
        let reads: Vec<Range<u64>> = (0..16).map(|block| block * 8192..block * 8192 + 4096).collect();
        for in_flight in Disk::IN_FLIGHT {
            let all = disk.read(4096, &reads, in_flight, |_| f64::INFINITY).unwrap();
            assert!(all.seconds > 0.0 && all.special == 0);
            let none = disk.read(4096, &reads, in_flight, |bytes| if bytes == 4096 { -1.0 } else { 9.0 }).unwrap();
            assert_eq!((none.seconds, none.special), (0.0, 16));
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing would be left by a process that is killed");
        let beyond = disk.read(1 << 20, &reads, 1, |_| f64::INFINITY).unwrap_err();
        assert!(beyond.to_string().contains("cannot read"), "{beyond}");
    }

    #[test]
    fn what_reads_cost_is_found_from_short_and_long_ones() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::make(folder.path(), 4 << 20, 7, &mut |_| ControlFlow::Continue(())).unwrap();
        let cost = disk.calibrate(2, Duration::ZERO, &mut Random::new(1, 1)).unwrap();
        assert_eq!((cost.parallel_reads(), cost.block()), (2, 4096));

        let turn = |length: u64| (length, 1e-3 + 4.0 * length as f64 * 1e-8);
        let cost = costs([turn(4096), turn(1 << 20)], 4).unwrap();
        assert!((cost.read_seconds() - 1e-3).abs() < 1e-9 && (cost.byte_seconds() - 1e-8).abs() < 1e-15, "{cost:?}");
        let noise = costs([(4096, 1e-3), (1 << 20, 0.9e-3)], 1).unwrap();
        assert_eq!(noise.byte_seconds(), 1e-12);
    }
}
