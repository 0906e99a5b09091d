//! Several processes append to one store at once, each batch after batch: all of it is there in the end, under ids that
//! ascend without a gap inside a batch. Of processes that are killed meanwhile, whatever was acknowledged is there, and
//! nothing by halves.
#![cfg(any(feature = "cloud", feature = "postgres"))]

mod servers;

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::ops::{ControlFlow, Range};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{self, Mode};
use pinako::conformance::{assert_holds, pattern};
use pinako::{Descriptor, Durability, Encoding, Id, ImageFormat, SampleType, Shape};

const WRITERS: u64 = 4;
const BATCHES: u64 = 25;

/// More batches than a process appends before it is killed.
const ENDLESS: u64 = 10_000;

/// What starts the line that a process prints after each batch that was appended.
const DONE: &str = "done ";

/// The images of one batch of one writer: descriptors without ids, and payloads.
fn batch(writer: u64, number: u64) -> Vec<(Descriptor, Vec<u8>)> {
    let count = 1 + (writer * 7 + number) % 12;
    let image = |place| {
        let seed = (writer * 10_000 + number) * 100 + place;
        let payload = pattern(seed, 0, (seed % 3000) as usize);
        let descriptor = Descriptor {
            id: 0,
            name: Some(format!("{writer}/{number}/{place}")),
            shape: Shape::new(5, 4, 3).unwrap(),
            sample_type: SampleType::U8,
            encoding: Encoding::Kept(ImageFormat::Jpeg),
            label: Some(number as i64),
            attributes: None,
            payload_length: payload.len() as u64,
            checksum: crc32c::crc32c(&payload),
        };
        (descriptor, payload)
    };
    (0..count).map(image).collect()
}

fn append(store: &dyn Backend, images: &[(Descriptor, Vec<u8>)]) -> Range<Id> {
    let entry = |(descriptor, payload)| Entry { descriptor: Descriptor::clone(descriptor), payload };
    let payloads = images.iter().map(|(descriptor, payload)| (descriptor, Payload::Bytes(payload)));
    store.append(&mut payloads.map(entry).collect::<Vec<_>>()).unwrap()
}

fn open(url: &str, mode: Mode) -> Box<dyn Backend> {
    backends::open(url, mode, Durability::Full).unwrap()
}

/// Appends batches, and prints each one's number and first id.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn writer() {
    let (Ok(url), Ok(writer), Ok(batches)) =
        (env::var("PINAKO_WRITER_URL"), env::var("PINAKO_WRITER"), env::var("PINAKO_WRITER_BATCHES"))
    else {
        return;
    };
    let store = open(&url, Mode::Write);
    for number in 0..batches.parse().unwrap() {
        let ids = append(&*store, &batch(writer.parse().unwrap(), number));
        // Not `println!`, which the test harness would hold back.
        let mut out = std::io::stdout();
        writeln!(out, "\n{DONE}{number} {}", ids.start).and_then(|()| out.flush()).unwrap();
    }
}

/// A process that appends. It does not outlive its handle.
struct Process {
    process: Child,
}

impl Process {
    /// Starts one that tells its writer's number, the number of each batch that was appended, and the first id of that.
    fn start(url: &str, writer: u64, batches: u64, tell: &Sender<((u64, u64), Id)>) -> Process {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["writer", "--exact", "--ignored", "--nocapture"])
            .env("PINAKO_WRITER_URL", url)
            .env("PINAKO_WRITER", writer.to_string())
            .env("PINAKO_WRITER_BATCHES", batches.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let done = move |line: String| {
            let (number, first) = line.strip_prefix(DONE)?.split_once(' ')?;
            Some(((writer, number.parse().ok()?), first.parse().ok()?))
        };
        let tell = tell.clone();
        // The end of the process is that of its lines.
        thread::spawn(move || lines.filter_map(done).try_for_each(|batch| tell.send(batch)));
        Process { process }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Batches that were acknowledged: their first ids, by writer and number.
type Acknowledged = BTreeMap<(u64, u64), Id>;

/// Asserts that `store` holds whole batches only, the acknowledged ones under the ids that were told.
fn assert_whole_batches(store: &dyn Backend, acknowledged: &Acknowledged) -> usize {
    let mut found = Vec::new();
    store
        .scan(0, &mut |descriptor| {
            found.push(descriptor);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let mut expected = Vec::new();
    let mut batches = BTreeMap::new();
    while expected.len() < found.len() {
        let first: &Descriptor = &found[expected.len()];
        let name: Vec<u64> = first.name.as_ref().unwrap().split('/').map(|part| part.parse().unwrap()).collect();
        batches.insert((name[0], name[1]), first.id);
        let images = batch(name[0], name[1]);
        expected.extend(
            (first.id..).zip(images).map(|(id, (descriptor, payload))| (Descriptor { id, ..descriptor }, payload)),
        );
    }
    assert_holds(store, &expected);
    assert!(expected.iter().map(|(descriptor, _)| descriptor.id).eq(0..expected.len() as Id), "ids have no gap");
    for (batch, first) in acknowledged {
        assert_eq!(batches.get(batch), Some(first), "what was acknowledged is there");
    }
    batches.len()
}

fn lose_nothing(url: &str) {
    drop(open(url, Mode::Create));
    let (tell, told) = mpsc::channel();
    let _processes: Vec<_> = (0..WRITERS).map(|writer| Process::start(url, writer, BATCHES, &tell)).collect();
    drop(tell);
    let acknowledged: Acknowledged = told.iter().collect();
    assert_eq!(acknowledged.len() as u64, WRITERS * BATCHES, "every append succeeded");
    let store = open(url, Mode::Read);
    assert_eq!(assert_whole_batches(&*store, &acknowledged) as u64, WRITERS * BATCHES);
}

fn lose_nothing_when_killed(url: &str) {
    let store = open(url, Mode::Create);
    let mut acknowledged = Acknowledged::new();
    for round in 0..3 {
        let (tell, told) = mpsc::channel();
        let processes: Vec<_> =
            (0..WRITERS).map(|writer| Process::start(url, round * WRITERS + writer, ENDLESS, &tell)).collect();
        drop(tell);
        acknowledged.extend([told.recv().expect("somebody appends")]);
        for mut process in processes {
            thread::sleep(Duration::from_millis(random_below(400)));
            assert!(
                process.process.try_wait().unwrap().is_none_or(|status| !status.success()),
                "it was killed too late"
            );
            process.process.kill().unwrap();
        }
        acknowledged.extend(told);
        // Takes its turn after whatever of theirs is still on its way to a server.
        let own = 1_000_000 + round;
        acknowledged.insert((own, 0), append(&*store, &batch(own, 0)).start);
        let there = assert_whole_batches(&*store, &acknowledged);
        println!("{url}: {there} batches, {} of them acknowledged", acknowledged.len());
    }
}

/// Random enough for the moments of death, which nobody could repeat anyway.
fn random_below(end: u64) -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_micros()) * 7919 % end
}

macro_rules! many_writers {
    ($name:ident, $url:expr) => {
        mod $name {
            #[test]
            fn at_once_lose_nothing() {
                if let Some(url) = $url {
                    super::lose_nothing(&url);
                    super::servers::drop_fresh(&url);
                }
            }

            #[test]
            fn that_are_killed_lose_nothing_acknowledged() {
                if let Some(url) = $url {
                    super::lose_nothing_when_killed(&url);
                    super::servers::drop_fresh(&url);
                }
            }
        }
    };
}

#[cfg(feature = "postgres")]
many_writers!(postgres, super::servers::fresh_url("POSTGRES"));
#[cfg(feature = "cloud")]
many_writers!(s3, super::servers::fresh_url("S3"));
#[cfg(feature = "cloud")]
many_writers!(gs, super::servers::fresh_url("GS"));
#[cfg(feature = "cloud")]
many_writers!(az, super::servers::fresh_url("AZ"));
