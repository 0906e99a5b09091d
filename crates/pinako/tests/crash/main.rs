//! A process that changes a store is killed at random moments, again and again on the same store: what it said was
//! done is there, what it was doing is there as a whole or not at all, and the store opens as if nothing had happened.
//!
//! `PINAKO_CRASH_RUNS` says how often each backend's process is killed.

mod changes;
mod process;
mod relayout;
#[path = "../schemes/mod.rs"]
mod schemes;
#[cfg(any(feature = "cloud", feature = "postgres"))]
#[path = "../servers/mod.rs"]
mod servers;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use changes::{Change, Expected};
use pinako::backend::Backend;
use pinako::backends::{self, Mode};
use pinako::{Durability, ErrorKind};
use process::Process;
use schemes::SCHEMES;

/// Kills of each backend's process where nobody says how many.
const FEW_RUNS: u64 = 8;

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
        let mut writer = Process::writer(&self.url, run, self.next);
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
        if self.url.starts_with("postgres:") {
            // A commit that was sent is made, be its sender dead or not: a change, even of nothing, waits for that.
            self.open(Mode::Write).remove(&[]).unwrap();
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

/// Kills processes that change a new store at `url`, which is checked each time, and at last compacted.
fn outlive_writers(url: String) -> Ruin {
    let runs = std::env::var("PINAKO_CRASH_RUNS").map_or(FEW_RUNS, |runs| runs.parse().expect("a number of runs"));
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

    let store = ruin.open(Mode::Write);
    store.compact().unwrap();
    ruin.expected.assert_holds(&*store);
    ruin
}

fn survives_kills(scheme: &str) {
    // A store that did not survive stays for whoever wants to know why.
    let mut folder = tempfile::Builder::new().prefix("pinako-crash-").disable_cleanup(true).tempdir().unwrap();
    let ruin = outlive_writers(format!("{scheme}:{}", folder.path().join("store").display()));

    if scheme == "object" {
        // What the dead left lying about, and what compaction replaced, is a vacuum's, but not before an hour is over.
        return folder.disable_cleanup(false);
    }
    // What the dead left lying about does not stay for ever.
    let payload_bytes = ruin.open(Mode::Read).footprint().unwrap().payload_bytes;
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

/// A process is killed in the middle of an append. Before, this one tries to change the store too, with little
/// patience.
fn survives_an_append_that_never_ends(url: String) {
    let mut ruin = Ruin { url, expected: Expected::default(), next: 0 };
    drop(ruin.open(Mode::Create));
    let store =
        backends::open_with_patience(&ruin.url, Mode::Write, Durability::Full, Duration::from_millis(50)).unwrap();
    for _ in 0..5 {
        Change::number(ruin.next, ruin.expected.next_id).make(&*store).unwrap();
        ruin.made();
    }

    let mut writer = Process::endless_writer(&ruin.url);
    ruin.expected.assert_holds(&*store);
    match store.set_label_names(&["beside".to_owned()], None) {
        Ok(()) => ruin.expected.make(Change::SetLabelNames(vec!["beside".to_owned()])),
        // Where it is refused, that is what it must be refused with.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", ruin.url),
    }
    ruin.expected.assert_holds(&*store);
    writer.kill();
    for store in [store, ruin.open(Mode::Write)] {
        ruin.expected.assert_holds(&*store);
        Change::number(ruin.next, ruin.expected.next_id).make(&*store).unwrap();
        ruin.made();
        ruin.expected.assert_holds(&*store);
    }
}

#[test]
fn a_writer_gives_up_on_another_process_whose_death_frees_the_store() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        survives_an_append_that_never_ends(format!("{scheme}:{}", folder.path().join("store").display()));
    }
    #[cfg(feature = "postgres")]
    if let Some(url) = servers::fresh_url("POSTGRES") {
        survives_an_append_that_never_ends(url.clone());
        servers::drop_fresh(&url);
    }
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

#[cfg(feature = "cloud")]
#[test]
fn object() {
    survives_kills("object");
}

#[test]
fn lmdb() {
    survives_kills("lmdb");
}

#[test]
fn sqlite() {
    survives_kills("sqlite");
}

#[cfg(feature = "postgres")]
#[test]
fn postgres() {
    if let Some(url) = servers::fresh_url("POSTGRES") {
        let ruin = outlive_writers(url.clone());
        let pinako::backend::Footprint { disk_bytes, payload_bytes } = ruin.open(Mode::Read).footprint().unwrap();
        let allowed = 2 * payload_bytes + 8192 * ruin.expected.count() + (1 << 20);
        assert!(disk_bytes <= allowed, "{payload_bytes} bytes of payload take {disk_bytes}, more than {allowed}");
        servers::drop_fresh(&url);
    }
}

#[cfg(feature = "cloud")]
#[test]
fn s3() {
    if let Some(url) = servers::fresh_url("S3") {
        outlive_writers(url);
    }
}
