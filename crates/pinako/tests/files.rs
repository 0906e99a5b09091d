//! What `files:` makes of a folder that was torn by a crash, damaged, or changed by somebody else.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pinako::backend::{Backend, Entry, Payload};
use pinako::backends::{self, Mode};
use pinako::descriptor::Link;
use pinako::{Attributes, Descriptor, Durability, Encoding, Error, ErrorKind, Id, ImageFormat, SampleType, Shape};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    /// A new store with these batches of images, whose payloads are `image 0`, `image 1`, ...
    fn with_batches(durability: Durability, batches: &[u64]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        let store = backends::open(&folder.url(), Mode::Create, durability).unwrap();
        for &count in batches {
            append(&*store, count).unwrap();
        }
        folder
    }

    fn url(&self) -> String {
        format!("files:{}", self.path("store").display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path("store").join(name)
    }

    fn open(&self, mode: Mode) -> Result<Box<dyn Backend>, Error> {
        backends::open(&self.url(), mode, Durability::Full)
    }

    fn metadata(&self) -> String {
        fs::read_to_string(self.file("metadata.jsonl")).unwrap()
    }

    /// Replaces `from`, which is there, by `to` in one of the files.
    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(from), "{from} is in {text}");
        fs::write(self.file(name), sealed(&text.replacen(from, to, 1))).unwrap();
    }

    fn mark(&self, end: Id) {
        fs::write(self.file("metadata.end"), mark(end)).unwrap();
    }

    /// The contents of all of its files but the lock.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.names().into_iter().filter(|name| name != ".lock");
        names.map(|name| (name.clone(), fs::read(self.file(&name)).unwrap())).collect()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// These lines, each with the checksum that it must have.
fn sealed(lines: &str) -> String {
    let seal = |line: &str| {
        let body = line.rsplit_once(r#","crc32c""#).map_or(line.trim_end_matches('}'), |(body, _)| body);
        format!("{body},\"crc32c\":\"{:08x}\"}}\n", crc32c::crc32c(body.as_bytes()))
    };
    lines.lines().map(seal).collect()
}

fn mark(end: Id) -> String {
    sealed(&format!("{{\"end\":\"{end:020}\"}}"))
}

fn payload(id: Id) -> Vec<u8> {
    format!("image {id}").into_bytes()
}

fn descriptor(payload: &[u8]) -> Descriptor {
    Descriptor {
        id: 0,
        name: None,
        shape: Shape::new(2, 3, 1).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Png,
        label: Some(1),
        attributes: None,
        payload_length: payload.len() as u64,
        checksum: crc32c::crc32c(payload),
    }
}

fn append(store: &dyn Backend, count: u64) -> Result<(), Error> {
    let next = store.properties()?.next_id;
    let payloads: Vec<_> = (next..next + count).map(payload).collect();
    let mut entries: Vec<_> = payloads
        .iter()
        .map(|payload| Entry { descriptor: descriptor(payload), payload: Payload::Bytes(payload) })
        .collect();
    store.append(&mut entries).map(drop)
}

fn read(store: &dyn Backend, id: Id) -> Result<Option<Vec<u8>>, Error> {
    let mut found = None;
    store.fetch(&[id], &mut |_, image| {
        found = image.map(|(_, payload)| payload.to_vec());
        Ok(())
    })?;
    Ok(found)
}

#[track_caller]
fn assert_holds_first(store: &dyn Backend, count: u64) {
    assert_eq!(store.properties().unwrap().count, count);
    for id in 0..count {
        assert_eq!(read(store, id).unwrap(), Some(payload(id)), "image {id}");
    }
    assert_eq!(read(store, count).unwrap(), None);
}

#[test]
fn a_torn_batch_does_not_count_and_the_next_append_takes_its_place() {
    let folder = Folder::with_batches(Durability::Full, &[2, 3]);
    let whole = folder.metadata();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let second = lines[..2].concat().len();
    let mut torn: Vec<Vec<u8>> = (second..whole.len()).step_by(7).map(|end| whole[..end].into()).collect();
    // What a crash of the machine leaves of a batch that was not synced: parts of it read as zeros.
    for (hole, end) in
        [(second..second + 100, whole.len() - lines[4].len()), (whole.len() - 90..whole.len(), whole.len())]
    {
        let mut bytes = whole.clone().into_bytes();
        bytes[hole].fill(0);
        bytes.truncate(end);
        torn.push(bytes);
    }
    for torn in torn {
        fs::write(folder.file("metadata.jsonl"), &torn).unwrap();
        // The mark is set after the commit.
        folder.mark(2);
        let reader = folder.open(Mode::Read).unwrap();
        assert_holds_first(&*reader, 2);
        assert_eq!(fs::read(folder.file("metadata.jsonl")).unwrap(), torn, "a reader changes nothing");
        append(&*folder.open(Mode::Write).unwrap(), 3).unwrap();
        assert_holds_first(&*reader, 5);
        assert_eq!(folder.metadata(), whole);
    }
}

/// What a writer might do; the store must be sound for each.
fn change_each_way(store: &dyn Backend) -> [Result<(), Error>; 5] {
    [
        append(store, 1),
        store.remove(&[0]).map(drop),
        store.compact(),
        store.sync(),
        store.scan(0, &mut |_| Ok(ControlFlow::Continue(()))),
    ]
}

#[test]
fn a_metadata_file_that_was_cut_is_refused_and_nothing_is_changed() {
    for durability in [Durability::Full, Durability::Buffered] {
        let folder = Folder::with_batches(durability, &[1, 3, 1]);
        let open = folder.open(Mode::Write).unwrap();
        let whole = folder.metadata();
        let borders = whole.match_indices('\n').map(|(at, _)| at + 1);
        let last = whole.len() - 1;
        let ends: Vec<usize> =
            (0..last).step_by(61).chain(borders).chain([last]).filter(|&end| end < whole.len()).collect();
        for end in ends {
            fs::write(folder.file("metadata.jsonl"), &whole[..end]).unwrap();
            let before = folder.contents();
            for mode in [Mode::Read, Mode::Write] {
                let error = folder.open(mode).unwrap_err();
                let text = error.to_string();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {end}: {text}");
                assert!(text.contains("metadata.jsonl was cut: ") && text.contains("image 4 was stored"), "{text}");
                assert!(error.hint().is_some_and(|hint| hint.contains("metadata.end")), "{error:?}");
            }
            // Twice, because what was seen once must not count as known.
            for _ in 0..2 {
                assert!(open.properties().is_err());
                for (which, changed) in change_each_way(&*open).into_iter().enumerate() {
                    // There is nothing to sync where all is synced.
                    if which != 3 || durability == Durability::Buffered {
                        assert_eq!(changed.unwrap_err().kind(), ErrorKind::Corrupt, "cut at {end}, way {which}");
                    }
                }
            }
            assert_eq!(folder.contents(), before, "cut at {end}");
        }
        fs::write(folder.file("metadata.jsonl"), &whole).unwrap();
        assert_holds_first(&*open, 5);
        append(&*open, 1).unwrap();
        assert_holds_first(&*folder.open(Mode::Read).unwrap(), 6);
    }
}

#[test]
fn a_cut_is_seen_where_another_handle_appended_before() {
    let folder = Folder::with_batches(Durability::Full, &[1]);
    let store = folder.open(Mode::Write).unwrap();
    let other = folder.open(Mode::Write).unwrap();
    append(&*other, 1).unwrap();
    append(&*other, 1).unwrap();
    let whole = folder.metadata();
    let two: usize = whole.split_inclusive('\n').take(2).map(str::len).sum();
    fs::write(folder.file("metadata.jsonl"), &whole[..two]).unwrap();
    for _ in 0..2 {
        assert!(change_each_way(&*store).iter().enumerate().all(|(which, changed)| which == 3 || changed.is_err()));
    }
    fs::write(folder.file("metadata.jsonl"), &whole).unwrap();
    assert_holds_first(&*store, 3);
}

#[test]
fn to_go_on_after_a_cut_the_files_without_lines_are_moved_away_first() {
    let folder = Folder::with_batches(Durability::Full, &[2, 3]);
    let whole = folder.metadata();
    let kept: usize = whole.split_inclusive('\n').take(2).map(str::len).sum();
    fs::write(folder.file("metadata.jsonl"), &whole[..kept]).unwrap();
    fs::remove_file(folder.file("metadata.end")).unwrap();
    let store = folder.open(Mode::Write).unwrap();
    assert_holds_first(&*store, 2);
    let before = folder.contents();
    for (which, changed) in change_each_way(&*store).into_iter().enumerate().filter(|(which, _)| *which < 3) {
        let error = changed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{which}");
        assert!(error.hint().is_some_and(|hint| hint.contains("00000002.* on")), "{error:?}");
    }
    assert_eq!(folder.contents(), before);
    for id in 2..5 {
        fs::rename(folder.file(&format!("{id:08}.png")), folder.path(&format!("{id}"))).unwrap();
    }
    append(&*store, 1).unwrap();
    assert_holds_first(&*folder.open(Mode::Read).unwrap(), 3);
    assert_eq!(fs::read_to_string(folder.file("metadata.end")).unwrap(), mark(3));
}

#[test]
fn a_store_without_a_mark_gets_one_from_its_next_writer_and_a_damaged_mark_is_named() {
    let folder = Folder::with_batches(Durability::Full, &[2]);
    let (unsealed, other) = (format!("{:020}\n", 2), mark(3).replace('3', "2"));
    for garbage in ["", "\n", &unsealed, &other, &sealed(r#"{"end":"x"}"#), &sealed(r#"{"a":1}"#), &mark(2).repeat(2)] {
        fs::write(folder.file("metadata.end"), garbage).unwrap();
        let error = folder.open(Mode::Read).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("metadata.end is damaged"), "{error}");
        assert!(error.hint().is_some());
    }
    fs::remove_file(folder.file("metadata.end")).unwrap();
    let names = folder.names();
    assert_holds_first(&*folder.open(Mode::Read).unwrap(), 2);
    assert_eq!(folder.names(), names);
    let store = folder.open(Mode::Write).unwrap();
    store.compact().unwrap();
    assert_eq!(fs::read_to_string(folder.file("metadata.end")).unwrap(), mark(2));
}

#[test]
fn the_mark_follows_appends_and_removals() {
    for durability in [Durability::Full, Durability::Buffered] {
        let folder = Folder::with_batches(durability, &[2, 3]);
        let store = backends::open(&folder.url(), Mode::Write, durability).unwrap();
        let found = || fs::read_to_string(folder.file("metadata.end")).unwrap();
        assert_eq!(found(), mark(5));
        for (removed, left) in [(vec![0], 5), (vec![4, 2], 4), (vec![1, 3], 0)] {
            store.remove(&removed).unwrap();
            assert_eq!(found(), mark(left));
            drop(folder.open(Mode::Read).unwrap());
        }
        append(&*store, 1).unwrap();
        assert_eq!(found(), mark(6));
    }
}

#[test]
fn readers_beside_a_writer_that_takes_away_the_last_image_find_nothing_wrong() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    let writing = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let store = folder.open(Mode::Write).unwrap();
            for _ in 0..50 {
                let last = store.properties().unwrap().next_id;
                append(&*store, 2).unwrap();
                store.remove(&[last + 1, last]).unwrap();
            }
            writing.store(false, Ordering::Relaxed);
        });
        scope.spawn(|| {
            let store = folder.open(Mode::Read).unwrap();
            while writing.load(Ordering::Relaxed) {
                assert!(matches!(store.properties().unwrap().count, 3 | 5));
            }
        });
        while writing.load(Ordering::Relaxed) {
            assert!(matches!(folder.open(Mode::Read).unwrap().properties().unwrap().count, 3 | 5));
        }
    });
}

#[test]
fn damage_is_not_taken_for_a_torn_batch() {
    let folder = Folder::with_batches(Durability::Full, &[2, 3]);
    let whole = folder.metadata();
    let start = |line: usize| whole.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
    let with = |line: usize, byte| {
        let mut bytes = whole.clone().into_bytes();
        bytes[start(line) + 20..start(line) + 25].fill(byte);
        bytes
    };
    for (line, damaged) in
        [(1, with(1, b'?')), (4, with(4, b'?')), (5, with(5, b'?')), (1, with(1, 0)), (3, with(3, 0))]
    {
        fs::write(folder.file("metadata.jsonl"), &damaged).unwrap();
        for mode in [Mode::Read, Mode::Write] {
            let error = folder.open(mode).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&format!("metadata.jsonl, line {line}: ")), "{error}");
        }
        assert_eq!(fs::read(folder.file("metadata.jsonl")).unwrap(), damaged, "nothing is cut off");
    }
}

#[test]
fn a_line_that_was_changed_says_which_checksum_it_must_have() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    let changed = folder.metadata().replacen(r#""id":1,"name":"","label":1"#, r#""id":1,"name":"","label":3"#, 1);
    fs::write(folder.file("metadata.jsonl"), &changed).unwrap();
    let error = folder.open(Mode::Read).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("metadata.jsonl, line 2: "), "{error}");
    let sound = sealed(&changed);
    let (_, sum) = sound.lines().nth(1).unwrap().rsplit_once(r#""crc32c":""#).unwrap();
    assert!(error.hint().is_some_and(|hint| hint.contains(sum.trim_end_matches("\"}"))), "{error:?}");
    fs::write(folder.file("metadata.jsonl"), sound).unwrap();
    assert_holds_first(&*folder.open(Mode::Read).unwrap(), 3);
}

#[test]
fn a_handle_that_is_open_stays_usable_when_its_folder_is_damaged() {
    let folder = Folder::with_batches(Durability::Full, &[2]);
    let store = folder.open(Mode::Write).unwrap();
    let whole = folder.metadata();
    fs::write(folder.file("metadata.jsonl"), "nonsense\n").unwrap();
    assert_eq!(read(&*store, 0).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(append(&*store, 1).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::write(folder.file("metadata.jsonl"), &whole).unwrap();
    assert_holds_first(&*store, 2);
    append(&*store, 1).unwrap();
    assert_holds_first(&*store, 3);
}

#[test]
fn lines_that_cannot_be_say_where_they_stand() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    let whole = folder.metadata();
    for (from, to, found) in [
        (r#""00000001.png""#, r#""../00000001.png""#, "file_name"),
        (r#""00000001.png""#, r#""/etc/passwd""#, "file_name"),
        (r#""00000001.png""#, r#""00000002.png""#, "file_name"),
        (r#""00000001.png","id":1"#, r#""00000000.png","id":0"#, "ids ascend"),
        (r#""00000001.png","id":1"#, r#""18446744073709551615.png","id":18446744073709551615"#, "ids ascend"),
        (r#""id":1,"name":"""#, r#""id":1,"name":"a\nb""#, "name"),
        (r#""id":1,"name":"""#, r#""id":1,"name":7"#, "JSON"),
        (r#""id":1,"#, r#""id":-1,"#, "JSON"),
        (r#""id":1,"name":"","label":1,"height":2"#, r#""id":1,"name":"","label":1,"height":0"#, "shape"),
        (r#""id":1,"name":"","label":1,"height":2"#, r#""id":1,"name":"","label":1.5,"height":2"#, "JSON"),
    ] {
        assert!(whole.contains(from));
        fs::write(folder.file("metadata.jsonl"), sealed(&whole.replacen(from, to, 1))).unwrap();
        let error = folder.open(Mode::Read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{to}");
        let text = error.to_string();
        assert!(text.contains("metadata.jsonl, line 2: ") && text.contains(found), "{to}: {text}");
    }
    fs::remove_file(folder.file("metadata.jsonl")).unwrap();
    let error = folder.open(Mode::Read).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("metadata.jsonl is missing"), "{error}");
}

#[test]
fn what_is_no_store_or_a_newer_one_is_told_apart() {
    let folder = Folder::with_batches(Durability::Full, &[1]);
    folder.edit("pinako.json", r#""format_version":1"#, r#""format_version":7"#);
    let error = folder.open(Mode::Read).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains('7'), "{error}");
    for garbage in [
        "",
        "{",
        "[]",
        "nonsense",
        r#"{"pinako":"files","format_version":1,"label_names":[],"next_id":1,"unsynced":null}"#,
        &sealed(r#"{"pinako":"lmdb","format_version":1}"#),
        &sealed(r#"{"pinako":"files","format_version":1}"#),
    ] {
        fs::write(folder.file("pinako.json"), garbage).unwrap();
        let error = folder.open(Mode::Read).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("pinako.json"), "{garbage}: {error}");
    }
    fs::remove_file(folder.file("pinako.json")).unwrap();
    assert_eq!(folder.open(Mode::Write).unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = folder.open(Mode::Create).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.to_string().contains("not empty"), "{error}");
    let nowhere = backends::open(&format!("files:{}", folder.path("nowhere").display()), Mode::Read, Durability::Full);
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn lines_without_their_pinako_json_are_not_replaced_by_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("files:{}", folder.path().display());
    let metadata = folder.path().join("metadata.jsonl");
    fs::write(&metadata, "{\"file_name\":\"a.png\"}\n").unwrap();
    let error = backends::open(&url, Mode::Create, Durability::Full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::write(&metadata, "").unwrap();
    backends::open(&url, Mode::Create, Durability::Full).unwrap();
}

#[test]
fn files_that_are_missing_or_of_another_length_are_named() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    let store = folder.open(Mode::Read).unwrap();
    for bytes in [Some("image"), Some("image 1 and more"), Some(""), None] {
        match bytes {
            Some(bytes) => fs::write(folder.file("00000001.png"), bytes).unwrap(),
            None => fs::remove_file(folder.file("00000001.png")).unwrap(),
        }
        let error = read(&*store, 1).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::Corrupt, Some(1)));
        assert!(error.to_string().contains("00000001.png") && error.hint().is_some(), "{error}");
        assert_eq!(read(&*store, 2).unwrap(), Some(payload(2)));
    }
}

#[test]
fn a_crash_of_the_machine_undoes_unsynced_batches_latest_first() {
    let batches = [2, 3, 4, 2];
    // The first file that was lost, and how many images are left.
    for (lost, left) in [(None, 11), (Some(9), 9), (Some(6), 5), (Some(2), 2)] {
        let folder = Folder::with_batches(Durability::Full, &batches[..1]);
        let store = backends::open(&folder.url(), Mode::Write, Durability::Buffered).unwrap();
        for &count in &batches[1..] {
            append(&*store, count).unwrap();
        }
        drop(store);
        assert_holds_first(&*folder.open(Mode::Read).unwrap(), 11);
        // A machine that started anew has another boot id.
        folder.edit("pinako.json", r#""boot":""#, r#""boot":"another "#);
        if let Some(lost) = lost {
            fs::write(folder.file(&format!("{lost:08}.png")), "").unwrap();
        }
        assert_holds_first(&*folder.open(Mode::Read).unwrap(), left);
        let store = folder.open(Mode::Write).unwrap();
        store.sync().unwrap();
        assert_holds_first(&*folder.open(Mode::Read).unwrap(), left);
        append(&*store, 1).unwrap();
        assert_holds_first(&*store, left + 1);
        assert!(fs::read_to_string(folder.file("pinako.json")).unwrap().contains(r#""unsynced":null"#));
        assert_holds_first(&*folder.open(Mode::Read).unwrap(), left + 1);
    }
}

#[test]
fn after_a_crash_of_the_machine_a_file_that_cannot_be_read_is_not_taken_for_lost() {
    let folder = Folder::with_batches(Durability::Buffered, &[2, 1]);
    folder.edit("pinako.json", r#""boot":""#, r#""boot":"another "#);
    let (image, elsewhere) = (folder.file("00000001.png"), folder.file("elsewhere"));
    fs::rename(&image, &elsewhere).unwrap();
    fs::create_dir(&image).unwrap(); // what reading fails at, whoever reads
    for mode in [Mode::Read, Mode::Write] {
        let error = folder.open(mode).and_then(|store| store.sync().and(store.properties())).unwrap_err();
        assert!(error.kind() == ErrorKind::Backend && error.to_string().contains("00000001.png"), "{error:?}");
    }
    fs::remove_dir(&image).unwrap();
    fs::rename(&elsewhere, &image).unwrap();
    assert_holds_first(&*folder.open(Mode::Write).unwrap(), 3);
}

#[test]
fn after_a_sync_nothing_is_in_doubt() {
    let folder = Folder::with_batches(Durability::Buffered, &[2]);
    let head = || fs::read_to_string(folder.file("pinako.json")).unwrap();
    assert!(head().contains(r#""unsynced":{"from":0,"#), "{}", head());
    folder.open(Mode::Write).unwrap().sync().unwrap();
    assert!(head().contains(r#""unsynced":null"#), "{}", head());
}

#[test]
fn a_leftover_file_is_replaced_not_overwritten() {
    let folder = Folder::with_batches(Durability::Full, &[1]);
    fs::write(folder.path("precious"), "precious").unwrap();
    fs::hard_link(folder.path("precious"), folder.file("00000001.png")).unwrap();
    std::os::unix::fs::symlink(folder.path("precious"), folder.file("00000002.png")).unwrap();
    let store = folder.open(Mode::Write).unwrap();
    append(&*store, 2).unwrap();
    assert_holds_first(&*store, 3);
    assert_eq!(fs::read(folder.path("precious")).unwrap(), b"precious");
}

#[test]
fn compaction_drops_what_crashes_left_and_nothing_else() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    let before = folder.names();
    let others = ["README", "1.png", "000000007.png", "00000007.txt", "x.jpg"];
    for name in ["00000007.png", "00000001.jpg", "123456789.raw", "metadata.jsonl.tmp"].iter().chain(&others) {
        fs::write(folder.file(name), "x").unwrap();
    }
    let store = folder.open(Mode::Write).unwrap();
    store.compact().unwrap();
    let mut expected: Vec<String> = others.iter().map(|&name| name.to_owned()).chain(before).collect();
    expected.sort();
    assert_eq!(folder.names(), expected);
    assert_holds_first(&*store, 3);
}

#[test]
fn reading_writes_nothing() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    fs::remove_file(folder.file(".lock")).unwrap();
    let before = folder.names();
    let store = folder.open(Mode::Read).unwrap();
    assert_holds_first(&*store, 3);
    store.footprint().unwrap();
    store.sync().unwrap();
    assert_eq!(folder.names(), before);
}

#[test]
fn keys_that_others_added_survive_a_removal() {
    let folder = Folder::with_batches(Durability::Full, &[3]);
    let text = folder.metadata().replace(r#","ends_batch""#, r#","caption":"a cat","ends_batch""#);
    fs::write(folder.file("metadata.jsonl"), sealed(&text)).unwrap();
    let store = folder.open(Mode::Write).unwrap();
    assert_eq!(store.remove(&[2]).unwrap(), 1);
    assert_eq!(folder.metadata().matches("a cat").count(), 2);
    assert_holds_first(&*store, 2);
    append(&*store, 1).unwrap();
    assert_eq!(read(&*store, 3).unwrap(), Some(payload(3)), "the id of the removed image is not given again");
}

#[test]
fn a_linked_image_is_a_line_and_no_file() {
    let folder = Folder::with_batches(Durability::Full, &[1]);
    let store = folder.open(Mode::Write).unwrap();
    let link = Link { format: ImageFormat::Jpeg, length: 7, checksum: 8 };
    let path = "../photos/\"katze\" ä.jpg";
    let linked = |payload: &[u8]| Descriptor {
        encoding: Encoding::Linked(link),
        name: Some("katze".into()),
        attributes: Some(Attributes::parse(r#"{"a":[1,"\n"]}"#).unwrap()),
        ..descriptor(payload)
    };
    let before = folder.names();
    let (mut bytes, checksum) = (path.as_bytes(), crc32c::crc32c(path.as_bytes()));
    let stream = Descriptor { checksum: 0, ..linked(path.as_bytes()) };
    store.append(&mut [Entry { descriptor: stream, payload: Payload::Stream(&mut bytes) }]).unwrap();
    assert_eq!(folder.names(), before);
    assert_eq!(read(&*store, 1).unwrap(), Some(path.into()));
    let mut described = None;
    store
        .describe(&[1], &mut |_, descriptor| {
            described = descriptor;
            Ok(())
        })
        .unwrap();
    assert_eq!(described, Some(Descriptor { id: 1, checksum, ..linked(path.as_bytes()) }));
    let not_utf8 = b"\xff.jpg";
    let refused = store.append(&mut [Entry {
        descriptor: Descriptor { name: None, ..linked(not_utf8) },
        payload: Payload::Bytes(not_utf8),
    }]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}
