//! What the conformance suite cannot ask, because it knows nothing of files, pages and other processes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, EnvOpenOptions};
use tempfile::TempDir;

use super::open::{DATA_FILE, LOCK_FILE};
use super::payload::PIECE;
use super::*;
use crate::backend::{Payload, WRITER_PATIENCE};
use crate::backends::folder::faults;
use crate::backends::small_disk::SmallDisk;
use crate::conformance::pattern;
use crate::descriptor::Descriptor;
use crate::{Encoding, ErrorKind, ImageFormat, SampleType, Shape, Store};

/// More than one transaction takes.
const LONG: u64 = (70 << 20) + 1;

fn open(path: &Path, mode: Mode) -> Result<Box<dyn Backend>> {
    super::open(path, mode, Durability::Full, WRITER_PATIENCE)
}

struct Folder {
    _temporary: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Folder { path: temporary.path().join("store"), _temporary: temporary }
    }

    fn open(&self, mode: Mode) -> Result<Box<dyn Backend>> {
        open(&self.path, mode)
    }

    fn create(&self) -> Box<dyn Backend> {
        self.open(Mode::Create).unwrap()
    }

    fn kind(&self, mode: Mode) -> ErrorKind {
        self.open(mode).unwrap_err().kind()
    }

    /// Puts into databases as any program that uses LMDB may; the store must not be open.
    fn put(&self, database: &str, entries: &[(&[u8], &[u8])]) {
        fs::create_dir_all(&self.path).unwrap();
        // SAFETY: nobody else has the environment open.
        let env = unsafe { EnvOpenOptions::new().max_dbs(8).map_size(1 << 30).open(&self.path) }.unwrap();
        let txn = env.write_txn().unwrap();
        env.create_databases_and_commit(txn, |opener, txn| {
            let table: Database<'_, Bytes, Bytes> = opener.create_database(txn, Some(database))?;
            for (key, value) in entries {
                table.put(txn, key, value)?;
            }
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
        })
        .unwrap();
    }
}

fn descriptor(name: Option<&str>, payload_length: u64) -> Descriptor {
    Descriptor {
        id: 0,
        name: name.map(str::to_owned),
        shape: Shape::new(1, 1, 1).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Kept(ImageFormat::Jpeg),
        label: None,
        attributes: None,
        payload_length,
        checksum: 0,
    }
}

fn append(store: &dyn Backend, payloads: &[Vec<u8>]) -> Result<std::ops::Range<Id>> {
    let entry = |payload: &Vec<u8>| descriptor(None, payload.len() as u64);
    let mut entries: Vec<_> =
        payloads.iter().map(|payload| Entry { descriptor: entry(payload), payload: Payload::Bytes(payload) }).collect();
    store.append(&mut entries)
}

fn payload(store: &dyn Backend, id: Id) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    store.fetch(&[id], &mut |_, image| {
        found = image.map(|(_, payload)| payload.to_vec());
        Ok(())
    })?;
    Ok(found)
}

fn append_stream(store: &dyn Backend, length: u64, reader: &mut (dyn Read + Send)) -> Result<std::ops::Range<Id>> {
    store.append(&mut [Entry { descriptor: descriptor(Some("long"), length), payload: Payload::Stream(reader) }])
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_corrupt() {
    let folder = Folder::new();
    append(&*folder.create(), &vec![pattern(1, 0, 3000); 100]).unwrap();
    let data = folder.path.join(DATA_FILE);
    let whole = fs::read(&data).unwrap();
    for length in [1, 100, 4095, 4096, 8191, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&data, &whole[..length]).unwrap();
        for mode in [Mode::Read, Mode::Write] {
            assert_eq!(folder.kind(mode), ErrorKind::Corrupt, "{length} bytes");
        }
    }
    fs::write(&data, &whole).unwrap();
    assert_eq!(payload(&*folder.open(Mode::Write).unwrap(), 99).unwrap().unwrap(), pattern(1, 0, 3000));
}

#[test]
fn a_file_that_is_none_of_lmdb_is_corrupt() {
    let folder = Folder::new();
    drop(folder.create());
    fs::write(folder.path.join(DATA_FILE), pattern(3, 0, 100_000)).unwrap();
    assert_eq!(folder.kind(Mode::Write), ErrorKind::Corrupt);
}

#[test]
fn a_store_that_lost_its_data_file_is_not_made_again() {
    let folder = Folder::new();
    append(&*folder.create(), &[vec![1; 10]]).unwrap();
    let data = folder.path.join(DATA_FILE);
    let sound = fs::read(&data).unwrap();
    for lose in [|data: &Path| fs::write(data, "").unwrap(), |data: &Path| fs::remove_file(data).unwrap()] {
        lose(&data);
        assert_eq!(folder.kind(Mode::Create), ErrorKind::Corrupt);
        assert!(folder.path.join(TURN_FILE).exists());
        fs::write(&data, &sound).unwrap();
    }
    assert_eq!(payload(&*folder.open(Mode::Write).unwrap(), 0).unwrap().unwrap(), [1; 10]);
}

#[test]
fn a_store_whose_making_was_broken_off_can_be_made_again() {
    let folder = Folder::new();
    fs::create_dir(&folder.path).unwrap();
    for name in [DATA_FILE, LOCK_FILE] {
        File::create(folder.path.join(name)).unwrap();
    }
    assert_eq!(folder.kind(Mode::Write), ErrorKind::NotFound);
    drop(folder.create());
    assert_eq!(folder.kind(Mode::Create), ErrorKind::Conflict);
}

#[test]
fn somebody_elses_environment_is_named_as_such_and_left_alone() {
    let folder = Folder::new();
    folder.put("store", &[(b"cat", b"1")]);
    for mode in [Mode::Read, Mode::Write] {
        let error = folder.open(mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("an LMDB environment, but no Pinako store"), "{error}");
        assert!(error.hint().unwrap().contains("pinako import"));
    }
    let before = fs::read(folder.path.join(DATA_FILE)).unwrap();
    assert_eq!(folder.kind(Mode::Create), ErrorKind::Conflict);
    assert!(fs::read(folder.path.join(DATA_FILE)).unwrap() == before);
}

#[test]
fn a_newer_format_is_unsupported() {
    let folder = Folder::new();
    drop(folder.create());
    folder.put("store", &[(b"version", b"12")]);
    let error = folder.open(Mode::Read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("12") && error.hint().unwrap().contains("update"), "{error}");
}

#[test]
fn a_folder_with_other_files_is_not_made_a_store() {
    let folder = Folder::new();
    fs::create_dir(&folder.path).unwrap();
    fs::write(folder.path.join("precious.txt"), "x").unwrap();
    assert_eq!(folder.kind(Mode::Create), ErrorKind::Conflict);
    assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
}

#[test]
fn a_store_that_was_put_in_the_place_of_an_open_one_is_not_mistaken_for_it() {
    let (folder, other) = (Folder::new(), Folder::new());
    let old = folder.create();
    drop(other.create());
    fs::remove_dir_all(&folder.path).unwrap();
    fs::rename(&other.path, &folder.path).unwrap();
    assert_eq!(folder.kind(Mode::Write), ErrorKind::Conflict);
    drop(old);
    append(&*folder.open(Mode::Write).unwrap(), &[vec![1]]).unwrap();
}

#[test]
fn a_long_append_that_fails_leaves_nothing_behind() {
    let folder = Folder::new();
    let store = folder.create();
    let failed = append_stream(&*store, LONG, &mut std::io::repeat(7).take(LONG - 1));
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!((store.properties().unwrap().next_id, store.find(&["long"]).unwrap()), (0, vec![None]));
    assert_eq!(payload(&*store, 0).unwrap(), None);

    assert_eq!(append(&*store, &[vec![1; 10]]).unwrap(), 0..1);
    let used = store.footprint().unwrap().disk_bytes;
    assert_eq!(append_stream(&*store, LONG, &mut std::io::repeat(8).take(LONG)).unwrap(), 1..2);
    let grown = store.footprint().unwrap().disk_bytes - used;
    assert!(grown < 20 << 20, "the pages of the failed append are used again: {grown} bytes more");
    assert!(payload(&*store, 1).unwrap().unwrap() == vec![8; LONG as usize]);
    assert_eq!(store.remove(&[1]).unwrap(), 1);
    assert_eq!(payload(&*store, 1).unwrap(), None);
}

#[test]
fn what_a_killed_append_left_behind_is_not_seen_and_goes() {
    let folder = Folder::new();
    append(&*folder.create(), &[vec![1; 10]]).unwrap();
    let leftover = vec![9; PIECE];
    folder.put("payload", &[(&1u64.to_be_bytes(), &leftover), (&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], b"rest")]);
    let store = folder.open(Mode::Write).unwrap();
    assert_eq!(payload(&*store, 1).unwrap(), None);
    assert_eq!(append(&*store, &[vec![2; 5]]).unwrap(), 1..2);
    assert_eq!(payload(&*store, 1).unwrap().unwrap(), [2; 5]);
}

#[test]
fn a_payload_that_is_missing_or_lacks_a_piece_is_corrupt() {
    let folder = Folder::new();
    append(&*folder.create(), &[vec![1; PIECE + 10], vec![2; 10]]).unwrap();
    folder.put("payload", &[(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], b"short")]);
    let mut record = Vec::new();
    record::encode(7, &descriptor(None, 5), &mut record);
    folder.put("descriptor", &[(&7u64.to_be_bytes(), &record)]);
    let store = folder.open(Mode::Read).unwrap();
    for id in [0, 7] {
        let error = payload(&*store, id).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::Corrupt, Some(id)), "{error}");
    }
    assert_eq!(payload(&*store, 1).unwrap().unwrap(), [2; 10]);
}

#[test]
fn a_damaged_record_before_a_payload_is_corrupt() {
    let folder = Folder::new();
    append(&*folder.create(), &[vec![1; 2000]]).unwrap();
    let mut record = Vec::new();
    record::encode(0, &descriptor(None, 2000), &mut record);
    let value =
        |length: u32, record: &[u8], payload: usize| [&length.to_le_bytes(), record, &vec![1; payload][..]].concat();
    let length = record.len() as u32;
    let mut flipped = record.clone();
    flipped[28] ^= 1;
    for damaged in [
        value(length, &record, 1999),
        value(length, &record, 2001),
        value(length, &flipped, 2000),
        value(length - 1, &record, 2000),
        value(u32::MAX, &record, 2000),
        vec![1; 2000],
        vec![0; 1024],
    ] {
        folder.put("payload", &[(&0u64.to_be_bytes(), &damaged)]);
        let error = payload(&*folder.open(Mode::Read).unwrap(), 0).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::Corrupt, Some(0)), "{error}");
    }
}

#[test]
fn of_damaged_images_that_are_removed_nothing_is_left() {
    let folder = Folder::new();
    // Alone, behind a record, in a value too long to tell, in pieces; and one that is sound.
    let lengths = [0, 100, 2000, 32 << 10, PIECE + 10, 500_000];
    append(&*folder.create(), &lengths.map(|length| vec![1; length])).unwrap();
    let ids: [Id; 5] = [0, 1, 2, 3, 4];
    for id in ids {
        folder.put("descriptor", &[(&id.to_be_bytes(), b"damaged")]);
    }
    let store = folder.open(Mode::Write).unwrap();
    assert_eq!(store.remove(&ids).unwrap(), 5);
    assert_eq!((store.properties().unwrap().count, store.footprint().unwrap().payload_bytes), (1, 500_000));
}

#[test]
fn verify_compares_the_record_before_a_payload_with_the_other() {
    let folder = Folder::new();
    let payload = [7; 2000];
    let checksum = crate::checksum::crc32c(&payload);
    let descriptor = Descriptor { checksum, ..descriptor(None, 2000) };
    let entry = Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(&payload) };
    folder.create().append(&mut [entry]).unwrap();
    let mut record = Vec::new();
    record::encode(0, &Descriptor { label: Some(5), ..descriptor }, &mut record);
    folder.put("descriptor", &[(&0u64.to_be_bytes(), &record)]);
    let mut problems = Vec::new();
    let store = Store::options().open_read_only(&format!("lmdb:{}", folder.path.display())).unwrap();
    store.verify(&mut |problem| problems.push(problem.error), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(problems[0].to_string().contains("differs"), "{problems:?}");
}

#[test]
fn removals_in_any_order_leave_a_file_that_is_as_long_as_it_says() {
    let folder = Folder::new();
    drop(folder.create());
    for seed in 0..6u64 {
        // Between opening and opening again in this process nobody has the environment open.
        let store = folder.open(Mode::Write).unwrap();
        let ids = append(&*store, &vec![pattern(seed, 0, 10 + 900 * seed as usize); 400]).unwrap();
        drop(store);
        let store = folder.open(Mode::Write).unwrap();
        let step = [1, 2, 3, 7, 5, 1][seed as usize];
        let gone: Vec<Id> = ids.clone().step_by(step).collect();
        assert_eq!(store.remove(&gone).unwrap(), gone.len() as u64);
        drop(store);
        let store = folder.open(Mode::Read).unwrap();
        assert_eq!(payload(&*store, ids.start).unwrap(), None);
    }
}

#[test]
fn a_thread_may_read_inside_a_read_while_the_map_waits_to_grow() {
    let folder = Folder::new();
    let store = folder.create();
    append(&*store, &[vec![3; 10]]).unwrap();
    let long = [vec![4; LONG as usize]];
    thread::scope(|scope| {
        let mut grows = None;
        let mut sink = |_, _: Option<&[u8]>| {
            grows = Some(scope.spawn(|| append(&*store, &long).unwrap()));
            thread::sleep(Duration::from_millis(100)); // for the append to wait for this read
            assert_eq!(payload(&*store, 0)?.unwrap(), [3; 10]);
            Ok(())
        };
        store.read(&[ReadRequest::new(0, 0..10)], &mut sink).unwrap();
        assert_eq!(grows.unwrap().join().unwrap(), 1..2);
    });
}

/// A process that has the store open: the test binary, told by the environment what to do.
struct Other {
    process: Child,
    /// Open for as long as the process may write to it.
    _out: BufReader<ChildStdout>,
}

impl Other {
    fn start(folder: &Folder, megabytes: u64) -> Other {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["backends::lmdb::tests::other_process", "--exact", "--ignored", "--nocapture"])
            .env("PINAKO_LMDB_OTHER", &folder.path)
            .env("PINAKO_LMDB_MEGABYTES", megabytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        assert!(out.by_ref().lines().any(|line| line.unwrap() == "ready"), "the other process is ready");
        Other { process, _out: out }
    }

    fn finish(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// Not a test but the other process: appends, says so, and ends when its input does.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn other_process() {
    let (Ok(path), Ok(megabytes)) = (std::env::var("PINAKO_LMDB_OTHER"), std::env::var("PINAKO_LMDB_MEGABYTES")) else {
        return;
    };
    let store = open(Path::new(&path), Mode::Write).unwrap();
    for _ in 0..megabytes.parse().unwrap() {
        append(&*store, &[vec![5; 1 << 20]]).unwrap();
    }
    let mut out = std::io::stdout();
    out.write_all(b"\nready\n").and_then(|()| out.flush()).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn another_process_may_make_the_map_larger() {
    let folder = Folder::new();
    let store = folder.create();
    append(&*store, &[vec![1; 10]]).unwrap();
    Other::start(&folder, 100).finish();
    assert_eq!(store.properties().unwrap().count, 101);
    assert!(payload(&*store, 100).unwrap().unwrap() == vec![5; 1 << 20]);
    Other::start(&folder, 100).finish();
    assert_eq!(append(&*store, &[vec![2; 10]]).unwrap(), 201..202);
}

#[test]
fn a_store_that_another_process_has_open_is_not_compacted() {
    let folder = Folder::new();
    let store = folder.create();
    append(&*store, &vec![vec![1; 5000]; 100]).unwrap();
    store.remove(&(1..100).collect::<Vec<_>>()).unwrap();
    let other = Other::start(&folder, 0);
    let before = store.footprint().unwrap();
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(payload(&*store, 0).unwrap().unwrap(), vec![1; 5000]);
    assert_eq!(store.footprint().unwrap(), before);
    other.finish();
    store.compact().unwrap();
    assert!(store.footprint().unwrap().disk_bytes < before.disk_bytes / 2);
    assert_eq!(payload(&*store, 0).unwrap().unwrap(), vec![1; 5000]);
}

#[test]
fn a_store_on_a_read_only_file_system_can_be_read() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let path = disk.path("store");
    let store = open(&path, Mode::Create).unwrap();
    append(&*store, &[vec![4; 5000]]).unwrap();
    drop(store);
    disk.set_read_only(true);
    assert_eq!(open(&path, Mode::Write).unwrap_err().kind(), ErrorKind::Denied);
    let store = open(&path, Mode::Read).unwrap();
    assert_eq!(payload(&*store, 0).unwrap().unwrap(), vec![4; 5000]);
    assert_eq!(open(&path, Mode::Write).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(store.remove(&[0]).unwrap_err().kind(), ErrorKind::Denied);
    store.sync().unwrap();
}

#[test]
fn on_a_full_disk_a_store_can_be_read_and_fails_clearly_to_be_written() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let path = disk.path("store");
    append(&*open(&path, Mode::Create).unwrap(), &[vec![4; 5000]]).unwrap();
    fs::remove_file(path.join(LOCK_FILE)).unwrap(); // as in a copy that was made without it
    disk.fill();
    let error = open(&path, Mode::Write).unwrap_err();
    assert!(error.hint().unwrap().contains("free some space"), "{error}");
    let store = open(&path, Mode::Read).unwrap();
    assert_eq!(payload(&*store, 0).unwrap().unwrap(), vec![4; 5000]);
    let error = open(&disk.path("new"), Mode::Create).unwrap_err();
    assert!(error.hint().unwrap().contains("free some space"), "{error}");
}

#[test]
fn an_append_that_fills_the_disk_says_so_and_gives_its_room_back() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let store = open(&disk.path("store"), Mode::Create).unwrap();
    append(&*store, &[vec![1; 1 << 20]]).unwrap();
    let error = append(&*store, &[vec![2; 9 << 20]]).unwrap_err();
    assert!(error.hint().unwrap().contains("free some space"), "{error}");
    assert_eq!(store.remove(&[0]).unwrap(), 1);
    assert_eq!(append(&*store, &[vec![3; 5 << 20]]).unwrap(), 1..2);
    assert!(payload(&*store, 1).unwrap().unwrap() == vec![3; 5 << 20]);
}

#[test]
fn an_append_that_fills_the_disk_before_it_is_committed_says_so() {
    for megabytes in [20, 22, 24] {
        let Some(disk) = SmallDisk::mount(megabytes) else { return };
        let store = open(&disk.path("store"), Mode::Create).unwrap();
        // LMDB keeps 16 MiB of changed pages and writes the others while more is put: here the disk takes none of a
        // write, there a part of one.
        let error = append(&*store, &vec![vec![1; 3000]; 20_000]).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{error:?}");
    }
}

#[test]
fn a_value_whose_size_reaches_beyond_the_file_is_corrupt() {
    type Use = fn(&dyn Backend) -> Result<()>;
    let uses: [(&[u8], usize, Use); 8] = [
        (&[0; 8], 100, |store| payload(store, 0).map(drop)),
        (&[0; 8], 3000, |store| payload(store, 0).map(drop)), // in pages of its own
        (&[0; 8], 10, |store| store.describe(&[0], &mut |_, _| Ok(()))),
        (&[0; 8], 10, |store| store.scan(0, &mut |_| Ok(ControlFlow::Continue(())))),
        (&[0; 8], 10, |store| store.remove(&[0]).map(drop)),
        (b"next_id", 10, |store| store.properties().map(drop)),
        (b"label_names", 10, |store| store.properties().map(drop)),
        (b"name", 10, |store| store.find(&["name"]).map(drop)),
    ];
    for (number, (key, length, using)) in uses.into_iter().enumerate() {
        let folder = Folder::new();
        let bytes = vec![5; length];
        let entry = Entry { descriptor: descriptor(Some("name"), length as u64), payload: Payload::Bytes(&bytes) };
        folder.create().append(&mut [entry]).unwrap();
        let data = folder.path.join(DATA_FILE);
        let mut file = fs::read(&data).unwrap();
        // Before a key stand 32 bits of its value's size, 16 of flags (1: in pages of its own), 16 of its own length.
        for flags in [0, 1] {
            let node = [&[flags, 0, key.len() as u8, 0][..], key].concat();
            for at in (4..file.len() - node.len()).filter(|&at| file[at..].starts_with(&node)).collect::<Vec<_>>() {
                file[at - 1] |= 0x10;
            }
        }
        assert!(fs::read(&data).unwrap() != file);
        fs::write(&data, &file).unwrap();
        let error = using(&*folder.open(Mode::Write).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{number}: {error}");
    }
}

#[test]
fn an_image_whose_descriptor_counts_pieces_that_are_not_there_is_removed() {
    let folder = Folder::new();
    append(&*folder.create(), &[vec![1; 10]]).unwrap();
    let mut record = Vec::new();
    record::encode(0, &descriptor(None, u64::MAX), &mut record);
    folder.put("descriptor", &[(&0u64.to_be_bytes(), &record)]);
    let store = folder.open(Mode::Write).unwrap();
    assert_eq!(store.remove(&[0, 0]).unwrap(), 1);
    assert_eq!((payload(&*store, 0).unwrap(), store.properties().unwrap().count), (None, 0));
}

#[test]
fn a_read_inside_a_read_does_not_wait_for_a_larger_map() {
    let folder = Folder::new();
    let store = folder.create();
    append(&*store, &[vec![1; 10]]).unwrap();
    let mut sink = |_, _: Option<&[u8]>| {
        Other::start(&folder, 100).finish(); // makes the map larger
        assert_eq!(payload(&*store, 0).unwrap_err().kind(), ErrorKind::Transient);
        Ok(())
    };
    store.read(&[ReadRequest::new(0, 0..10)], &mut sink).unwrap();
    assert_eq!(payload(&*store, 0).unwrap().unwrap(), [1; 10]);
}

#[test]
fn an_append_that_cannot_be_synced_is_gone_again() {
    let folder = Folder::new();
    let store = folder.create();
    append(&*store, &[vec![1; 10]]).unwrap();
    let other = Arc::from(folder.open(Mode::Read).unwrap());
    let looks: Arc<dyn Backend> = Arc::clone(&other);
    let data = folder.path.canonicalize().unwrap().join(DATA_FILE);
    faults::fail_sync(data, move || assert_eq!(looks.properties().unwrap().count, 2));
    append(&*store, &[vec![2; 10]]).unwrap_err();
    assert_eq!((payload(&*other, 1).unwrap(), other.properties().unwrap().count), (None, 1));
    append(&*store, &[vec![3; 10]]).unwrap();
    assert_eq!(other.properties().unwrap().count, 2);
}

#[test]
fn a_folder_that_is_no_store_gets_a_hint() {
    let folder = Folder::new();
    fs::create_dir(&folder.path).unwrap();
    let error = folder.open(Mode::Read).unwrap_err();
    assert!(error.hint().unwrap().contains("pinako import"), "{error}");
}

#[test]
fn verify_counts_descriptors_whose_lengths_have_no_sum() {
    let folder = Folder::new();
    append(&*folder.create(), &[vec![1; 10], vec![2; 10]]).unwrap();
    for id in 0..2_u64 {
        let mut record = Vec::new();
        record::encode(id, &descriptor(None, u64::MAX), &mut record);
        folder.put("descriptor", &[(&id.to_be_bytes(), &record)]);
    }
    let store = crate::Store::open(&format!("lmdb:{}", folder.path.display())).unwrap();
    let verified = store.verify(&mut drop, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((verified.images, verified.problems, verified.bytes), (2, 2, u64::MAX));
}
