//! A process that changes a store is killed at random moments, again and again on the same store: what it said was
//! done is there, what it was doing is there as a whole or not at all, and the store opens as if nothing had happened.
//!
//! `PINAKO_CRASH_RUNS` says how often each backend's process is killed.

mod changes;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use changes::{Change, Expected};
use pinako::Durability;
use pinako::backend::Backend;
use pinako::backends::{self, Mode};

/// What starts the line that the writing process prints after each change that was made.
const DONE: &str = "done ";

/// Kills of each backend's process where nobody says how many.
const FEW_RUNS: u64 = 8;

/// How a run opens the store: whether synced or not, a killed process loses nothing.
fn durability(run: u64) -> Durability {
    if run % 4 < 2 { Durability::Full } else { Durability::Buffered }
}

/// Not a test but the process that the others start and kill.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn writer() {
    let (Ok(url), Ok(run), Ok(first)) =
        (std::env::var("PINAKO_CRASH_URL"), std::env::var("PINAKO_CRASH_RUN"), std::env::var("PINAKO_CRASH_FIRST"))
    else {
        return;
    };
    let store = backends::open(&url, Mode::Write, durability(run.parse().unwrap())).unwrap();
    // Not `println!`, which the test harness would hold back.
    let mut out = std::io::stdout();
    for number in first.parse().unwrap().. {
        let next_id = store.properties().unwrap().next_id;
        Change::number(number, next_id).make(&*store).unwrap();
        writeln!(out, "\n{DONE}{number}").and_then(|()| out.flush()).unwrap();
    }
}

/// The writing process; it does not outlive its handle.
struct Writer {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Writer {
    fn start(url: &str, run: u64, first: u64) -> Writer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["writer", "--exact", "--ignored", "--nocapture"])
            .env("PINAKO_CRASH_URL", url)
            .env("PINAKO_CRASH_RUN", run.to_string())
            .env("PINAKO_CRASH_FIRST", first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Writer { process, out }
    }

    /// The number of the next change that was made; `None` where the process has ended.
    fn done(&mut self) -> Option<u64> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(number) = line.strip_suffix('\n').and_then(|line| line.strip_prefix(DONE)) {
                return Some(number.parse().unwrap());
            }
        }
    }

    fn kill(&mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "the writer ended before it was killed");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Random enough for the moments of death, which nobody could repeat anyway.
fn random_below(end: u64) -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let bytes = pinako::conformance::pattern(nanos, 0, 8);
    u64::from_le_bytes(bytes.try_into().unwrap()) % end
}

/// A store on which processes work that get killed, and what it must hold.
struct Ruin {
    url: String,
    expected: Expected,
    /// The number of the next change.
    next: u64,
}

impl Ruin {
    fn open(&self, mode: Mode) -> Box<dyn Backend> {
        backends::open(&self.url, mode, Durability::Full).unwrap()
    }

    /// The next change was made.
    fn made(&mut self) {
        self.expected.make(Change::number(self.next, self.expected.next_id));
        self.next += 1;
    }

    fn was_acknowledged(&mut self, number: u64) {
        assert_eq!(number, self.next, "changes are made in order");
        self.made();
    }

    /// Lets a process make changes, watched by a `witness` in this one, and kills it.
    fn kill_a_writer(&mut self, run: u64, witness: Option<&dyn Backend>) {
        let mut writer = Writer::start(&self.url, run, self.next);
        // Some die while they open the store, most in the middle of a change.
        let patience = if run % 5 == 4 { 0 } else { 1 + random_below(40) };
        for _ in 0..patience {
            let number = writer.done().expect("the writer goes on until it is killed");
            self.was_acknowledged(number);
            if let Some(witness) = witness {
                self.expected.assert_seen(witness);
            }
        }
        thread::sleep(Duration::from_micros(random_below(20_000)));
        writer.kill();
        while let Some(number) = writer.done() {
            self.was_acknowledged(number);
        }
    }

    /// Checks all of the store, of which the last change may have been made before the writer could say so.
    fn assert_holds(&mut self, store: &dyn Backend) {
        if self.expected.differs(store) {
            println!("{}: change {} was made, though not acknowledged", self.url, self.next);
            self.made();
        }
        self.expected.assert_holds(store);
    }
}

fn survives_kills(scheme: &str) {
    let runs = std::env::var("PINAKO_CRASH_RUNS").map_or(FEW_RUNS, |runs| runs.parse().expect("a number of runs"));
    // A store that did not survive stays for whoever wants to know why.
    let mut folder = tempfile::Builder::new().prefix("pinako-crash-").disable_cleanup(true).tempdir().unwrap();
    let url = format!("{scheme}:{}", folder.path().join("store").display());
    let mut ruin = Ruin { url, expected: Expected::default(), next: 0 };
    drop(ruin.open(Mode::Create));

    for run in 0..runs {
        println!("{}: run {run} begins with change {}", ruin.url, ruin.next);
        // Another process may have the store open all the while; where none has, the next to open it finds the ruins.
        let witness = run.is_multiple_of(2).then(|| ruin.open(Mode::Read));
        ruin.kill_a_writer(run, witness.as_deref());
        let mode = if run.is_multiple_of(3) { Mode::Read } else { Mode::Write };
        let store = witness.unwrap_or_else(|| ruin.open(mode));
        ruin.assert_holds(&*store);
        drop(store);

        let store = ruin.open(Mode::Write);
        Change::number(ruin.next, ruin.expected.next_id).make(&*store).unwrap();
        ruin.made();
        ruin.expected.assert_holds(&*store);
    }

    // What the dead left lying about does not stay for ever.
    let store = ruin.open(Mode::Write);
    store.compact().unwrap();
    ruin.expected.assert_holds(&*store);
    let payload_bytes = store.footprint().unwrap().payload_bytes;
    drop(store);
    let disk_bytes = disk_bytes(folder.path());
    // Small files take whole blocks, and an engine some room of its own.
    let allowed = 2 * payload_bytes + 8192 * ruin.expected.count() + (1 << 20);
    assert!(disk_bytes <= allowed, "{payload_bytes} bytes of payload take {disk_bytes}, more than {allowed}");
    println!("{scheme}: {payload_bytes} bytes of {} payloads take {disk_bytes}", ruin.expected.count());
    folder.disable_cleanup(false);
}

/// Bytes that a folder and all in it take.
fn disk_bytes(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    let inside: u64 = match metadata.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| disk_bytes(&entry.unwrap().path())).sum(),
        false => 0,
    };
    metadata.blocks() * 512 + inside
}

#[test]
fn files() {
    survives_kills("files");
}

#[cfg(feature = "hdf5")]
#[test]
fn hdf5() {
    survives_kills("hdf5");
}

#[test]
fn lmdb() {
    survives_kills("lmdb");
}

#[test]
fn sqlite() {
    survives_kills("sqlite");
}
