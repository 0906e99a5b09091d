//! The processes that are killed: this test program itself, started for one of three ignored "tests" that never end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{self, Mode};
use pinako::{Durability, Store};

use crate::changes::{Change, endless_image};
use crate::relayout::relayout_for_ever;

/// What starts the line that a process prints after each change that was made.
const DONE: &str = "done ";

/// How a run opens the store: whether synced or not, a killed process loses nothing.
fn durability(run: u64) -> Durability {
    if run % 4 < 2 { Durability::Full } else { Durability::Buffered }
}

fn argument(name: &str) -> Option<String> {
    std::env::var(format!("PINAKO_CRASH_{name}")).ok()
}

fn number_argument(name: &str) -> u64 {
    argument(name).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The store that this process is to change; `None` where it was not started by [`Process::start`].
fn store() -> Option<Box<dyn Backend>> {
    let url = argument("URL")?;
    Some(backends::open(&url, Mode::Write, durability(number_argument("RUN"))).unwrap())
}

fn say_done(number: u64) {
    // Not `println!`, which the test harness would hold back.
    let mut out = std::io::stdout();
    writeln!(out, "\n{DONE}{number}").and_then(|()| out.flush()).unwrap();
}

/// Makes one change after the other.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn writer() {
    let Some(store) = store() else { return };
    for number in number_argument("FIRST").. {
        let next_id = store.properties().unwrap().next_id;
        Change::number(number, next_id).make(&*store).unwrap();
        say_done(number);
    }
}

/// Appends an image whose bytes never end.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn endless_writer() {
    let Some(store) = store() else { return };
    let (descriptor, payload) = endless_image();
    let mut reader = payload.chain(SleepsForEver);
    let entry = Entry { descriptor, payload: Payload::Stream(&mut reader) };
    store.append(&mut [entry]).unwrap();
}

/// Puts all images in another layout, again and again.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn relayouter() {
    let Some(url) = argument("URL") else { return };
    relayout_for_ever(&Store::open(&url).unwrap(), say_done);
}

struct SleepsForEver;

impl Read for SleepsForEver {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        say_done(0);
        loop {
            thread::park();
        }
    }
}

/// A process that changes a store; it does not outlive its handle.
pub struct Process {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts [`writer`] with change number `first`.
    pub fn writer(url: &str, run: u64, first: u64) -> Process {
        Process::start("process::writer", url, &[("RUN", run), ("FIRST", first)])
    }

    /// Starts [`endless_writer`], and waits until the bytes that it has are taken.
    pub fn endless_writer(url: &str) -> Process {
        let mut process = Process::start("process::endless_writer", url, &[]);
        assert_eq!(process.done(), Some(0));
        process
    }

    /// Starts [`relayouter`].
    pub fn relayouter(url: &str) -> Process {
        Process::start("process::relayouter", url, &[])
    }

    fn start(test: &str, url: &str, arguments: &[(&str, u64)]) -> Process {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env("PINAKO_CRASH_URL", url)
            .envs(arguments.iter().map(|(name, value)| (format!("PINAKO_CRASH_{name}"), value.to_string())))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Process { process, out }
    }

    /// The number of the next change that was made; `None` where the process has ended.
    pub fn done(&mut self) -> Option<u64> {
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

    pub fn kill(&mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "the process ended before it was killed");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
