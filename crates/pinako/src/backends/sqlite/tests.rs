//! What only this backend can get wrong; the rest is in the conformance suite.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::connection::with_suffix;
use super::{LARGE_BATCH, MAKING, is_at, is_begun, payload};
use crate::backend::{Backend, Durability, Entry, Payload, ReadRequest, WRITER_PATIENCE};
use crate::backends::Mode;
use crate::backends::small_disk::SmallDisk;
use crate::conformance::{assert_holds, pattern};
use crate::descriptor::{Attributes, Descriptor, Encoding, Id, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{SampleType, Shape};

type Stored = (Descriptor, Vec<u8>);

fn image(id: Id, length: usize) -> Stored {
    let payload = pattern(id, 0, length);
    let descriptor = Descriptor {
        id,
        name: Some(format!("image {id}")),
        shape: Shape::new(4, 5, 3).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Raw(Layout::Row),
        label: Some(id as i64),
        attributes: Some(Attributes::parse(r#"{"a":1}"#).unwrap()),
        payload_length: length as u64,
        checksum: crc32c::crc32c(&payload),
    };
    (descriptor, payload)
}

fn append(store: &dyn Backend, images: &[Stored]) -> Result<()> {
    let mut entries: Vec<Entry<'_>> = images
        .iter()
        .map(|(descriptor, payload)| {
            let descriptor = Descriptor { id: 0, ..descriptor.clone() };
            Entry { descriptor, payload: Payload::Bytes(payload) }
        })
        .collect();
    store.append(&mut entries).map(drop)
}

fn open(path: &Path, mode: Mode, durability: Durability) -> Result<Box<dyn Backend>> {
    super::open(path, mode, durability, WRITER_PATIENCE)
}

fn create(path: &Path) -> Box<dyn Backend> {
    open(path, Mode::Create, Durability::Full).unwrap()
}

fn reopen(path: &Path) -> Result<Box<dyn Backend>> {
    open(path, Mode::Read, Durability::Full)
}

/// A folder with a closed store of three images, the last of which has two pieces.
fn example() -> (TempDir, PathBuf, Vec<Stored>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let images = vec![image(0, 60), image(1, 100_000), image(2, payload::PIECE as usize + 5)];
    append(&*open(&path, Mode::Create, Durability::Buffered).unwrap(), &images).unwrap();
    (folder, path, images)
}

/// Reads all there is, by every way of asking.
fn read_all(path: &Path, images: &[Stored]) -> Result<()> {
    let store = reopen(path)?;
    store.properties()?;
    store.find(&["image 1"])?;
    let ids: Vec<Id> = (0..images.len() as u64).collect();
    store.describe(&ids, &mut |_, _| Ok(()))?;
    store.scan(0, &mut |_| Ok(std::ops::ControlFlow::Continue(())))?;
    store.fetch(&ids, &mut |_, _| Ok(()))?;
    let mut requests: Vec<_> = ids.iter().map(|&id| ReadRequest::new(id, 0..1)).collect();
    requests.push(ReadRequest::new(2, payload::PIECE - 1..payload::PIECE + 2));
    store.read(&requests, &mut |_, _| Ok(()))
}

fn tamper(path: &Path, sql: &str) {
    let sql = format!("PRAGMA synchronous = OFF; {sql}");
    Connection::open(path).unwrap().execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[track_caller]
fn assert_kind<T>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

#[test]
fn what_is_no_store_is_told_apart_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, content: &[u8], sql: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        if !sql.is_empty() {
            tamper(&path, sql);
        }
        path
    };
    let cases = [
        (make("text", "no database\n".repeat(1000).as_bytes(), ""), ErrorKind::Corrupt),
        (make("byte", b"x", ""), ErrorKind::InvalidInput),
        (make("cut header", b"SQLite format 3\0", ""), ErrorKind::Corrupt),
        (make("tables", b"", "CREATE TABLE image (id INTEGER PRIMARY KEY)"), ErrorKind::InvalidInput),
        (make("mark", b"", "PRAGMA application_id = 7"), ErrorKind::InvalidInput),
        (folder.path().to_owned(), ErrorKind::InvalidInput),
    ];
    for (path, kind) in cases {
        let before = fs::read(&path).ok();
        assert!(!is_at(&path));
        assert_kind(open(&path, Mode::Read, Durability::Full), kind);
        assert_kind(open(&path, Mode::Write, Durability::Full), kind);
        assert_kind(open(&path, Mode::Create, Durability::Full), ErrorKind::Conflict);
        assert!(fs::read(&path).ok() == before, "{} is as it was", path.display());
    }
    let missing = folder.path().join("missing");
    for mode in [Mode::Read, Mode::Write] {
        assert_kind(open(&missing, mode, Durability::Full), ErrorKind::NotFound);
    }
    assert_kind(open(&missing.join("store"), Mode::Create, Durability::Full), ErrorKind::NotFound);
    assert!(!missing.exists());
}

#[test]
fn an_empty_file_becomes_a_store_only_where_the_making_of_one_was_broken_off() {
    let (folder, emptied, _) = example();
    File::create(&emptied).unwrap();
    for mode in [Mode::Read, Mode::Write, Mode::Create] {
        let error = assert_kind(open(&emptied, mode, Durability::Full), ErrorKind::Corrupt);
        assert!(error.to_string().contains("is empty") && error.hint().is_some(), "{error:?}");
    }
    let bare = emptied.to_str().unwrap();
    for mode in [Mode::Read, Mode::Write, Mode::Create] {
        assert_kind(crate::backends::open(bare, mode, Durability::Full), ErrorKind::Corrupt);
    }
    assert_eq!(fs::read(&emptied).unwrap(), b"");
    assert_eq!(files_in(folder.path()), [emptied]);

    let begun = folder.path().join("begun");
    for path in [&begun, &with_suffix(&begun, MAKING)] {
        File::create(path).unwrap();
    }
    assert_kind(reopen(&begun), ErrorKind::InvalidInput);
    assert!(!is_at(&begun) && is_begun(&begun));
    assert_holds(&*create(&begun), &[]);
    assert!(is_at(&begun) && !is_begun(&begun));
    assert_kind(open(&begun, Mode::Create, Durability::Full), ErrorKind::Conflict);
    // One that was killed when the store was whole.
    File::create(with_suffix(&begun, MAKING)).unwrap();
    drop(open(&begun, Mode::Write, Durability::Full).unwrap());
    assert_eq!(files_in(folder.path()), [begun, folder.path().join("store")]);
}

#[test]
fn a_store_is_made_by_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(create(&path));
    // SQLite counts the commits in the file's header, so that clients know whether what they have read still holds.
    assert_eq!(fs::read(&path).unwrap()[24..28], [0, 0, 0, 1]);
    let auto_vacuum: i64 =
        Connection::open(&path).unwrap().query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(auto_vacuum, 2, "incremental");
}

#[test]
fn a_store_is_recognised_while_locked_half_written_or_damaged() {
    let (folder, path, images) = example();
    let lock = Connection::open(&path).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(is_at(&path), "beside a writer that keeps everybody out");
    drop(lock);

    let half = folder.path().join("half");
    leave_half_written(&path, &half);
    assert!(is_at(&half), "with the journal of a writer that was killed");
    assert_holds(&*open_url(&half).unwrap(), &images);

    File::options().write(true).open(&path).unwrap().set_len(50_000).unwrap();
    assert!(is_at(&path), "cut");
    assert_kind(open_url(&path), ErrorKind::Corrupt);
}

/// Opens a store by its bare path.
fn open_url(path: &Path) -> Result<Box<dyn Backend>> {
    crate::backends::open(path.to_str().unwrap(), Mode::Read, Durability::Full)
}

/// Copies the store at `path` as a writer leaves it that is killed in the middle of a transaction, with the journal.
fn leave_half_written(path: &Path, half: &Path) {
    let journal = with_suffix(half, "-journal");
    fs::copy(path, half).unwrap();
    let writer = Connection::open(half).unwrap();
    writer.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE payload SET bytes = zeroblob(9)").unwrap();
    writer.cache_flush().unwrap();
    let left = [half, &*journal].map(|path| (path, fs::read(path).unwrap()));
    assert!(left[0].1 != fs::read(path).unwrap());
    drop(writer);
    for (path, bytes) in left {
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let (_folder, path, _) = example();
    tamper(&path, "PRAGMA user_version = 71");
    assert!(assert_kind(reopen(&path), ErrorKind::Unsupported).to_string().contains("71"));
    tamper(&path, "PRAGMA user_version = -1");
    assert_kind(reopen(&path), ErrorKind::Corrupt);
}

#[test]
fn values_that_make_no_sense_are_errors_that_name_the_image_which_can_be_removed() {
    use ErrorKind::{Corrupt, Unsupported};
    for (sql, kind) in [
        ("UPDATE image SET height = -1", Corrupt),
        ("UPDATE image SET height = 0", Corrupt),
        ("UPDATE image SET width = 'wide'", Corrupt),
        ("UPDATE image SET width = 1 << 32", Corrupt),
        ("UPDATE image SET channels = 70000", Corrupt),
        ("UPDATE image SET name = ''", Corrupt),
        ("UPDATE image SET name = x'ff'", Corrupt),
        ("UPDATE image SET name = CAST(x'ff' AS TEXT)", Corrupt),
        ("UPDATE image SET label = 'cat'", Corrupt),
        ("UPDATE image SET label = 0.5", Corrupt),
        ("UPDATE image SET attributes = '[1]'", Corrupt),
        ("UPDATE image SET payload_length = -1", Corrupt),
        ("UPDATE image SET payload_length = 'long'", Corrupt),
        ("UPDATE image SET payload_length = 9223372036854775807", Corrupt),
        ("UPDATE image SET payload_length = payload_length + 1", Corrupt),
        ("UPDATE image SET payload_length = payload_length - 1", Corrupt),
        ("UPDATE image SET payload_length = payload_length + (1 << 40)", Corrupt),
        ("UPDATE image SET checksum = -1", Corrupt),
        ("UPDATE image SET checksum = 1 << 32", Corrupt),
        ("UPDATE image SET label = 77", Corrupt),
        ("UPDATE image SET name = 'another'", Corrupt),
        ("UPDATE image SET attributes = '{\"another\":1}'", Corrupt),
        ("UPDATE image SET checksum = checksum - 1", Corrupt),
        ("UPDATE image SET descriptor_checksum = descriptor_checksum - 1", Corrupt),
        ("UPDATE image SET sample_type = 'u9'", Unsupported),
        ("UPDATE image SET encoding = 'raw:spiral'", Unsupported),
    ] {
        for id in [0, 1, 2] {
            let (_folder, path, images) = example();
            tamper(&path, &format!("{sql} WHERE id = {id}"));
            let error = assert_kind(read_all(&path, &images), kind);
            assert_eq!(error.id(), Some(id), "{sql}: {error}");
            let store = open(&path, Mode::Write, Durability::Buffered).unwrap();
            assert_eq!(store.remove(&[id]).unwrap(), 1, "{sql}");
            drop(store);
            let left = format!("SELECT count(*) FROM payload WHERE id & ((1 << 40) - 1) = {id}");
            let left: i64 = Connection::open(&path).unwrap().query_row(&left, [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "{sql}");
        }
    }
}

#[test]
fn pieces_that_are_missing_or_cut_are_errors_that_name_the_image() {
    for (id, rows) in [(0, vec![0]), (1, vec![1]), (2, vec![2, (1u64 << 40) | 2])] {
        for row in rows {
            for sql in [
                "DELETE FROM payload",
                "UPDATE payload SET bytes = substr(bytes, 2)",
                "UPDATE payload SET bytes = bytes || x'00'",
                "UPDATE payload SET bytes = 5",
                "UPDATE payload SET bytes = zeroblob(1 << 22)",
                "UPDATE payload SET id = id + 7",
            ] {
                let (_folder, path, images) = example();
                tamper(&path, &format!("{sql} WHERE id = {row}"));
                let error = assert_kind(read_all(&path, &images), ErrorKind::Corrupt);
                assert_eq!(error.id(), Some(id), "{sql} at {row}: {error}");
            }
        }
    }
}

#[test]
fn what_the_store_says_of_itself_is_checked() {
    for sql in [
        "DELETE FROM store WHERE key = 'next_id'",
        "UPDATE store SET value = -1 WHERE key = 'next_id'",
        "UPDATE store SET value = 'many' WHERE key = 'images'",
        "UPDATE store SET value = 0.5 WHERE key = 'payload_bytes'",
        "UPDATE store SET value = '{}' WHERE key = 'label_names'",
        "UPDATE store SET value = value + 1 WHERE key = 'next_id'",
        "UPDATE store SET value = '[\"another\"]' WHERE key = 'label_names'",
        "UPDATE store SET checksum = 7 WHERE key = 'images'",
        "DROP TABLE store",
        "DROP TABLE payload",
        "ALTER TABLE image DROP COLUMN label",
    ] {
        let (_folder, path, images) = example();
        tamper(&path, sql);
        assert_kind(read_all(&path, &images), ErrorKind::Corrupt);
        let store = open(&path, Mode::Write, Durability::Full).unwrap();
        assert_kind(append(&*store, &[image(9, 10)]), ErrorKind::Corrupt);
    }
}

#[test]
fn a_value_longer_than_any_of_ours_is_not_read() {
    for sql in [
        "UPDATE payload SET bytes = zeroblob(1 << 28) WHERE id = 0",
        "UPDATE image SET attributes = zeroblob(1 << 28) WHERE id = 0",
        "UPDATE store SET value = zeroblob(1 << 28) WHERE key = 'label_names'",
    ] {
        let (_folder, path, images) = example();
        tamper(&path, sql);
        assert_kind(read_all(&path, &images), ErrorKind::Corrupt);
    }
    let (_folder, path, _) = example();
    let store = open(&path, Mode::Write, Durability::Full).unwrap();
    assert_kind(store.set_label_names(&["x".repeat(1 << 24)], None), ErrorKind::InvalidInput);
}

#[test]
fn damaged_files_are_errors_and_never_a_panic() {
    let (_folder, path, images) = example();
    let sound = fs::read(&path).unwrap();
    for cut in (1..60).map(|part| sound.len() * part / 60) {
        fs::write(&path, &sound[..cut]).unwrap();
        assert!(read_all(&path, &images).is_err(), "cut at {cut}");
    }
    fs::write(&path, &sound).unwrap();
    let write = |byte, at: usize| File::options().write(true).open(&path).unwrap().write_all_at(&[byte], at as u64);
    // The header and the small pages are where it matters.
    let bits = (0..100).map(|bit| bit * 8 + bit % 8).chain((0..400).map(|step| step * 7919 % (20 * (16 << 10) * 8)));
    for bit in bits {
        let byte = sound[bit / 8];
        write(byte ^ 1 << (bit % 8), bit / 8).unwrap();
        if let Err(error) = read_all(&path, &images) {
            // A flipped bit may also make a version, a sample type or an encoding that nobody knows.
            let kinds = [ErrorKind::Corrupt, ErrorKind::InvalidInput, ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind()), "bit {bit}: {error:?}");
        }
        write(byte, bit / 8).unwrap();
    }
    assert_holds(&*reopen(&path).unwrap(), &images);
}

#[test]
fn a_closed_store_is_one_file_and_readers_leave_it_so() {
    let (folder, path, images) = example();
    let alone = [path.clone()];
    assert_eq!(files_in(folder.path()), alone);
    let reader = reopen(&path).unwrap();
    assert_holds(&*reader, &images);
    assert_eq!(files_in(folder.path()), alone, "beside a reader");
    drop(reader);
    let store = open(&path, Mode::Write, Durability::Full).unwrap();
    append(&*store, &[image(3, 10)]).unwrap();
    store.remove(&[3]).unwrap();
    drop(store);
    assert_eq!(files_in(folder.path()), alone);
}

#[test]
fn a_large_batch_goes_straight_into_the_file_unless_somebody_else_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = create(&path);
    let log = || files_in(folder.path()).iter().any(|path| path.ends_with("store-wal"));
    let large = |id| image(id, LARGE_BATCH as usize);
    let mut images = vec![large(0)];
    append(&*store, &images).unwrap();
    assert!(!log(), "a large batch needs none");
    images.push(image(1, 10));
    append(&*store, &images[1..]).unwrap();
    assert!(log(), "a small one does");
    images.push(large(2));
    append(&*store, &images[2..]).unwrap();
    assert!(!log(), "a large one again");
    images.push(image(3, 10));
    append(&*store, &images[3..]).unwrap();
    let other = reopen(&path).unwrap();
    assert_holds(&*other, &images);
    images.push(large(4));
    append(&*store, &images[4..]).unwrap();
    assert!(log(), "the other reader must not wait");
    assert_holds(&*other, &images);
    assert_holds(&*store, &images);
}

#[test]
fn images_removed_here_and_there_give_back_their_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut images: Vec<Stored> = (0..2000).map(|id| image(id, 3072)).collect();
    let store = create(&path);
    append(&*store, &images).unwrap();
    let before = store.footprint().unwrap().disk_bytes;
    store.compact().unwrap();
    assert!(store.footprint().unwrap().disk_bytes <= before);
    let odd: Vec<Id> = (0..2000).filter(|id| id % 2 == 1).collect();
    assert_eq!(store.remove(&odd).unwrap(), 1000);
    images.retain(|(descriptor, _)| descriptor.id % 2 == 0);
    store.compact().unwrap();
    let after = store.footprint().unwrap().disk_bytes;
    assert!(after < before * 6 / 10, "{before} bytes on the disk became {after}");
    assert_holds(&*store, &images);
    assert_holds(&*reopen(&path).unwrap(), &images);
}

#[test]
fn the_last_id_is_the_last() {
    let (_folder, path, mut images) = example();
    let sum = crc32c::crc32c(format!("next_id{}", payload::MAX_ID).as_bytes());
    tamper(&path, &format!("UPDATE store SET value = {}, checksum = {sum} WHERE key = 'next_id'", payload::MAX_ID));
    let store = open(&path, Mode::Write, Durability::Full).unwrap();
    let last = image(payload::MAX_ID, payload::PIECE as usize + 1);
    let one_more = image(9, 5);
    assert_kind(append(&*store, &[last.clone(), one_more.clone()]), ErrorKind::InvalidInput);
    append(&*store, std::slice::from_ref(&last)).unwrap();
    assert_kind(append(&*store, &[one_more]), ErrorKind::InvalidInput);
    images.push(last);
    assert_holds(&*store, &images);
    assert_eq!(store.remove(&[payload::MAX_ID, payload::MAX_ID + 1, u64::MAX]).unwrap(), 1);
}

#[test]
fn an_unchanging_file_of_any_name_is_read_through_its_uri() {
    let (_folder, path, _) = example();
    let odd = path.with_file_name("50% ä?b#c&d=e.db");
    fs::rename(&path, &odd).unwrap();
    tamper(&odd, "PRAGMA journal_mode = WAL");
    let uri = super::connection::immutable_uri(&odd);
    let connection = Connection::open(uri).unwrap();
    assert_eq!(connection.query_row("SELECT count(*) FROM image", [], |row| row.get(0)), Ok(3));
    assert_eq!(files_in(odd.parent().unwrap()), [odd]);
}

#[test]
fn where_nothing_can_be_written_whole_stores_are_read_and_half_written_ones_are_not() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let (_example, path, images) = example();
    let place = |name: &str| disk.path(name);
    for name in ["closed", "log"] {
        fs::copy(&path, place(name)).unwrap();
    }
    tamper(&place("log"), "PRAGMA journal_mode = WAL");
    leave_half_written(&path, &place("half"));

    disk.set_read_only(true);
    for name in ["closed", "log"] {
        assert_holds(&*reopen(&place(name)).unwrap(), &images);
        let denied = assert_kind(open(&place(name), Mode::Write, Durability::Full), ErrorKind::Denied);
        assert!(denied.hint().unwrap().contains("mounted read-only"), "{denied:?}");
    }
    let refused = reopen(&place("half")).map(drop);
    disk.set_read_only(false);
    let undone = reopen(&place("half")).map(|store| assert_holds(&*store, &images));
    assert!(assert_kind(refused, ErrorKind::Denied).hint().unwrap().contains("copy it"));
    undone.unwrap();
}
