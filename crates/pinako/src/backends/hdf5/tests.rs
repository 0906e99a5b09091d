//! What the conformance suite cannot see from outside: what is in the folder, and what happens when it is damaged.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::*;
use crate::backend::{Entry, Payload, WRITER_PATIENCE};
use crate::backends::folder::faults;
use crate::backends::manifest::{Kind, is_at};
use crate::backends::sealed::{self, Header};
use crate::conformance::{assert_holds, pattern, pattern_reader};
use crate::descriptor::{Descriptor, Encoding, ImageFormat, Layout};
use crate::error::ErrorKind;
use crate::image::{Image, SampleType, Shape};
use crate::{NewImage, Store};

/// Files of so few bytes that a small test has several.
const SMALL: Limits = Limits { payload_bytes: 1000, images: 50, run: 8 };

type Images = Vec<(Descriptor, Vec<u8>)>;

fn store(folder: &Path, mode: Mode, durability: Durability) -> Result<Hdf5> {
    Hdf5::open(&folder.join("store"), mode, durability, WRITER_PATIENCE, SMALL)
}

fn new_store(folder: &Path) -> Hdf5 {
    store(folder, Mode::Create, Durability::Full).unwrap()
}

fn kept(seed: u64, length: usize) -> (Descriptor, Vec<u8>) {
    let payload = pattern(seed, 0, length);
    let descriptor = Descriptor {
        id: 0,
        name: seed.is_multiple_of(2).then(|| format!("image {seed}")),
        shape: Shape::new(2, 3, 1).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Kept(ImageFormat::Png),
        label: Some(seed as i64),
        attributes: None,
        payload_length: length as u64,
        checksum: crc32c::crc32c(&payload),
    };
    (descriptor, payload)
}

fn raw(seed: u64, sample_type: SampleType) -> (Descriptor, Vec<u8>) {
    let (descriptor, payload) = kept(seed, 6 * sample_type.size());
    (Descriptor { sample_type, encoding: Encoding::Raw(Layout::Row), ..descriptor }, payload)
}

fn append(store: &Hdf5, mut images: Images, all: &mut Images) {
    let mut entries: Vec<Entry<'_>> = images
        .iter()
        .map(|(descriptor, payload)| Entry { descriptor: descriptor.clone(), payload: Payload::Bytes(payload) })
        .collect();
    let ids = store.append(&mut entries).unwrap();
    for (id, (descriptor, _)) in ids.zip(&mut images) {
        descriptor.id = id;
    }
    all.extend(images);
}

fn remove(store: &Hdf5, ids: &[Id], all: &mut Images) {
    assert_eq!(store.remove(ids).unwrap(), ids.len() as u64);
    all.retain(|(descriptor, _)| !ids.contains(&descriptor.id));
}

/// One of each kind of part: images, payloads, a payload in pieces; and a few removed images.
fn mixed(store: &Hdf5) -> Images {
    let mut all = Vec::new();
    append(store, (0..10).map(|seed| raw(seed, SampleType::U16)).collect(), &mut all);
    append(store, (10..15).map(|seed| kept(seed, 20 * (seed as usize - 10))).collect(), &mut all);
    append(store, vec![kept(15, 3500)], &mut all);
    remove(store, &[3, 12], &mut all);
    all
}

fn kinds(store: &Hdf5) -> Vec<(Kind, u64)> {
    store.manifest().unwrap().parts().iter().map(|part| (part.kind, part.count)).collect()
}

fn part_files(store: &Hdf5) -> usize {
    list(store.files.folder()).unwrap().len()
}

#[test]
fn a_batch_becomes_few_parts_as_uniform_as_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path());
    let mut all = Vec::new();
    let batch = [
        // Too few for a part of their own, beside others.
        (0..7).map(|seed| raw(seed, SampleType::U8)).collect::<Images>(),
        vec![kept(7, 50), kept(8, 0)],
        (9..19).map(|seed| raw(seed, SampleType::F64)).collect(),
        vec![kept(19, 2500)],
        (20..28).map(|seed| raw(seed, SampleType::F32)).collect(),
    ];
    append(&store, batch.concat(), &mut all);
    let expected = [(Kind::Payloads, 9), (Kind::Images, 10), (Kind::Pieces, 1), (Kind::Images, 8)];
    assert_eq!(kinds(&store), expected);
    assert_holds(&store, &all);
    append(&store, (0..75).map(|seed| raw(2 * seed + 1, SampleType::F64)).collect(), &mut all);
    assert_eq!(kinds(&store)[4..], [(Kind::Images, 20), (Kind::Images, 20), (Kind::Images, 20), (Kind::Images, 15)]);
    assert_holds(&store, &all);
}

#[test]
fn a_streamed_payload_in_pieces_is_read_across_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path());
    let (descriptor, payload) = kept(2, 4321);
    let mut reader = pattern_reader(2, 4321);
    let descriptor = Descriptor { checksum: 0, ..descriptor };
    store.append(&mut [Entry { descriptor, payload: Payload::Stream(&mut reader) }]).unwrap();
    assert_eq!(store.manifest().unwrap().parts()[0].pieces.len(), 5);
    for range in [0..4321, 999..1000, 1000..2000, 999..1001, 500..3500, 4000..4321, 4321..4321, 0..0, 2000..2000] {
        let request = ReadRequest::new(0, range.clone());
        let mut pushed = 0;
        let expected = &payload[range.start as usize..range.end as usize];
        store
            .read(&[request], &mut |_, bytes| {
                pushed += 1;
                assert!(bytes == Some(expected), "{range:?}");
                Ok(())
            })
            .unwrap();
        assert_eq!(pushed, 1);
    }
    assert_holds(&store, &[(kept(2, 4321).0, payload)]);
}

#[test]
fn compaction_merges_parts_drops_removed_images_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path());
    let reader = self::store(folder.path(), Mode::Read, Durability::Full).unwrap();
    let mut all = mixed(&store);
    for seed in 30..60 {
        append(&store, vec![raw(seed, SampleType::U8)], &mut all);
    }
    store.set_label_names(&["cat".into()], None).unwrap();
    assert_holds(&reader, &all);
    let before = store.properties().unwrap();
    store.compact().unwrap();
    let expected = [(Kind::Images, 9), (Kind::Payloads, 4), (Kind::Pieces, 1), (Kind::Images, 30)];
    assert_eq!(kinds(&store), expected);
    assert_eq!(store.properties().unwrap(), before);
    assert_eq!(part_files(&store), 4 + 4);
    assert_eq!(fs::read_to_string(folder.path().join("store").join(LOG_NAME)).unwrap().lines().count(), 2);
    for store in [&store, &reader, &self::store(folder.path(), Mode::Write, Durability::Full).unwrap()] {
        assert_holds(store, &all);
    }
    let log = fs::read(folder.path().join("store").join(LOG_NAME)).unwrap();
    store.compact().unwrap();
    assert_eq!(fs::read(folder.path().join("store").join(LOG_NAME)).unwrap(), log, "there was nothing to gain");
    remove(&store, &all.iter().map(|(descriptor, _)| descriptor.id).collect::<Vec<_>>(), &mut all.clone());
    store.compact().unwrap();
    assert_eq!((part_files(&store), store.properties().unwrap().next_id), (0, before.next_id));
}

#[test]
fn an_append_that_fails_leaves_no_files_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path());
    let all = mixed(&store);
    let files = part_files(&store);
    let (descriptor, _) = kept(40, 4321);
    let mut short = pattern_reader(40, 4000);
    let mut entries = [Entry { descriptor, payload: Payload::Stream(&mut short) }];
    assert_eq!(store.append(&mut entries).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(part_files(&store), files);
    assert_holds(&store, &all);
}

#[test]
fn what_a_killed_writer_left_is_ignored_and_then_removed() {
    let folder = tempfile::tempdir().unwrap();
    let all = mixed(&new_store(folder.path()));
    let path = folder.path().join("store");
    for name in ["00000009.h5", "00000077.h5"] {
        fs::write(path.join(PARTS).join(name), b"half a part").unwrap();
    }
    let log = path.join(LOG_NAME);
    OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{\"next_id\":17,\"next_pa").unwrap();

    let reader = store(folder.path(), Mode::Read, Durability::Full).unwrap();
    assert_holds(&reader, &all);
    let writer = store(folder.path(), Mode::Write, Durability::Full).unwrap();
    let mut all = all;
    append(&writer, vec![kept(20, 10)], &mut all);
    assert_holds(&writer, &all);
    assert_holds(&reader, &all);
    assert!(!path.join(PARTS).join("00000077.h5").exists());
    assert!(!fs::read_to_string(log).unwrap().contains("next_pa{"));
}

#[test]
fn a_damaged_log_is_an_error_and_never_an_older_store() {
    let folder = tempfile::tempdir().unwrap();
    mixed(&new_store(folder.path()));
    let log = folder.path().join("store").join(LOG_NAME);
    let sound = fs::read(&log).unwrap();
    for place in 0..sound.len() - 1 {
        let mut damaged = sound.clone();
        damaged[place] ^= 0x10;
        fs::write(&log, &damaged).unwrap();
        assert!(store(folder.path(), Mode::Read, Durability::Full).is_err(), "byte {place}");
    }
    let mut newer = Vec::new();
    sealed::write(&newer_header(), &mut newer).unwrap();
    fs::write(&log, newer).unwrap();
    let error = store(folder.path(), Mode::Read, Durability::Full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn verify_names_an_image_whose_label_or_id_stands_otherwise_beside_its_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("hdf5:{}", folder.path().join("store").display());
    let image = Image::from_bytes(Shape::new(1, 1, 1).unwrap(), SampleType::U8, vec![7]).unwrap();
    let label = 0x1122_3344_5566_7788_i64;
    let labelled = |place| NewImage::pixels(&image).label(label + place);
    Store::create(&url).unwrap().append((0..3).map(labelled)).unwrap();
    let part = file_of(&folder.path().join("store").join(PARTS), 0);
    let sound = fs::read(&part).unwrap();
    // Labels, then ids.
    let labels = sound.windows(8).position(|bytes| bytes == label.to_le_bytes()).unwrap();
    for (place, dataset) in [(labels + 8, "\"meta\""), (labels + 32, "\"ids\"")] {
        let mut damaged = sound.clone();
        damaged[place] ^= 0x20;
        fs::write(&part, damaged).unwrap();
        let mut problems = Vec::new();
        let store = Store::options().open_read_only(&url).unwrap();
        store.verify(&mut |problem| problems.push(problem), &mut |_| ControlFlow::Continue(())).unwrap();
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(problem.id, Some(1));
        assert!(problem.error.to_string().contains(dataset), "{}", problem.error);
        assert_eq!(store.image(1).unwrap(), image, "which the descriptor still leads to");
    }
}

#[test]
fn a_log_without_its_first_line_says_what_that_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let all = mixed(&new_store(folder.path()));
    let path = folder.path().join("store");
    let log = path.join(LOG_NAME);
    let sound = fs::read_to_string(&log).unwrap();
    let (first, rest) = sound.split_once('\n').unwrap();
    for damaged in [String::new(), "\n".into(), sound.replacen("hdf5", "hdf4", 1), rest.into(), "no\n".repeat(9999)] {
        fs::write(&log, damaged).unwrap();
        assert!(is_at(&path, log::KIND), "so that a path without a scheme leads to the error");
        let error = store(folder.path(), Mode::Read, Durability::Full).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::Corrupt && text.contains(log.to_str().unwrap()), "{text}");
        assert!(text.contains(first) && error.hint().is_some(), "{text}");
    }
    fs::write(&log, format!("{first}\n{rest}")).unwrap();
    assert_holds(&store(folder.path(), Mode::Read, Durability::Full).unwrap(), &all);
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_read_is_a_stores() {
    let folder = tempfile::tempdir().unwrap();
    drop(new_store(folder.path()));
    let path = folder.path().join("store");
    let log = path.join(LOG_NAME);
    fs::remove_file(&log).unwrap();
    // Whoever reads there fails, root too.
    std::os::unix::fs::symlink("/proc/self/mem", &log).unwrap();
    assert!(is_at(&path, log::KIND), "so that a path without a scheme leads to the error");
    assert!(store(folder.path(), Mode::Read, Durability::Full).unwrap_err().to_string().contains(LOG_NAME));
}

#[test]
fn a_log_that_was_cut_off_anywhere_is_an_error_and_no_part_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store_before = new_store(folder.path());
    let mut all = mixed(&store_before);
    store_before.compact().unwrap();
    append(&store_before, vec![kept(20, 30)], &mut all);
    let parts = part_files(&store_before);
    let log = folder.path().join("store").join(LOG_NAME);
    let sound = fs::read(&log).unwrap();
    for length in 0..sound.len() {
        fs::write(&log, &sound[..length]).unwrap();
        for mode in [Mode::Read, Mode::Write] {
            let error = store(folder.path(), mode, Durability::Full).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes");
        }
        assert!(store_before.remove(&[0]).is_err(), "{length} bytes, by a handle that was open");
    }
    fs::write(&log, &sound).unwrap();
    assert_holds(&store(folder.path(), Mode::Write, Durability::Full).unwrap(), &all);
    assert_eq!(part_files(&store_before), parts);
}

#[test]
fn commits_that_are_not_synced_are_not_marked() {
    let folder = tempfile::tempdir().unwrap();
    let buffered = |mode| store(folder.path(), mode, Durability::Buffered).unwrap();
    let log = folder.path().join("store").join(LOG_NAME);
    let (mut all, mut more) = (Vec::new(), Vec::new());
    append(&buffered(Mode::Create), vec![kept(0, 30)], &mut all);
    buffered(Mode::Write).sync().unwrap();
    let synced = fs::read(&log).unwrap();
    append(&buffered(Mode::Write), vec![kept(1, 30)], &mut more);
    // As the machine may leave it when it goes down.
    fs::write(&log, &synced).unwrap();
    assert_holds(&buffered(Mode::Write), &all);
}

fn newer_header() -> Header {
    Header { pinako: "hdf5".into(), format_version: FORMAT_VERSION + 1 }
}

#[test]
fn a_folder_of_other_peoples_hdf5_files_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.h5"), b"\x89HDF\r\n\x1a\n").unwrap();
    assert!(!is_at(folder.path(), "hdf5"));
    fs::write(folder.path().join(LOG_NAME), b"{\"some\":\"thing\"}\n").unwrap();
    assert!(!is_at(folder.path(), "hdf5"));
    let kind = |mode| Hdf5::open(folder.path(), mode, Durability::Full, WRITER_PATIENCE, SMALL).unwrap_err().kind();
    assert_eq!((kind(Mode::Create), kind(Mode::Write)), (ErrorKind::Conflict, ErrorKind::Corrupt));
    fs::remove_file(folder.path().join(LOG_NAME)).unwrap();
    assert_eq!((kind(Mode::Create), kind(Mode::Write)), (ErrorKind::Conflict, ErrorKind::InvalidInput));
    new_store(folder.path());
    assert!(is_at(&folder.path().join("store"), "hdf5"));
    assert_eq!(store(folder.path(), Mode::Create, Durability::Full).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn nothing_is_made_of_a_folder_with_other_peoples_files() {
    for name in ["parts/mine.h5", "parts/00000000.h5", "lock", "manifest.jsonl.tmp", "notes.txt"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "mine").unwrap();
        assert_eq!(store(folder.path(), Mode::Create, Durability::Full).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(list(file.parent().unwrap()).unwrap(), std::slice::from_ref(&file));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}

#[test]
fn what_a_killed_creation_leaves_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::create_dir_all(path.join(PARTS)).unwrap();
    fs::write(path.join(LOCK), "").unwrap();
    fs::write(path.join(aside(LOG_NAME)), "{\"pinako\":\"hd").unwrap();
    assert_holds(&new_store(folder.path()), &[]);
}

#[test]
fn only_leftover_parts_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    drop(new_store(folder.path()));
    let parts = folder.path().join("store").join(PARTS);
    fs::create_dir(parts.join("00000009.h5")).unwrap();
    for name in ["00000007.h5", "7.h5", "notes.txt", "00000008.h5.bak"] {
        fs::write(parts.join(name), "x").unwrap();
    }
    let mut all = Vec::new();
    append(&store(folder.path(), Mode::Write, Durability::Full).unwrap(), vec![kept(1, 10)], &mut all);
    let mut names: Vec<_> = list(&parts).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["00000000.h5", "00000008.h5.bak", "00000009.h5", "7.h5", "notes.txt"]);
}

#[test]
fn a_store_put_in_the_place_of_another_is_seen_with_its_own_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let handle = new_store(folder.path());
    append(&handle, vec![kept(2, 100)], &mut old);
    assert_holds(&handle, &old);
    fs::rename(folder.path().join("store"), folder.path().join("aside")).unwrap();
    append(&new_store(folder.path()), vec![kept(4, 100)], &mut new);
    assert_holds(&handle, &new);
}

#[test]
fn label_names_are_durable_even_where_appends_are_not() {
    let folder = tempfile::tempdir().unwrap();
    new_store(folder.path());
    let buffered = store(folder.path(), Mode::Write, Durability::Buffered).unwrap();
    append(&buffered, vec![kept(30, 100)], &mut Vec::new());
    buffered.set_label_names(&["cat".to_owned()], None).unwrap();
    assert!(buffered.manifest().unwrap().is_synced());
}

/// Reads all there is and gives how many calls failed.
fn failures(store: &Hdf5) -> usize {
    let mut failed = 0;
    let mut count = |result: Result<()>| match result {
        Ok(()) => {}
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported];
            let text = error.to_string();
            assert!(kinds.contains(&error.kind()) && text.contains(".h5"), "{error:?}");
            assert!(error.hint().is_some() || !text.contains("missing") && !text.contains("written with"), "{error:?}");
            failed += 1;
        }
    };
    count(store.scan(0, &mut |_| Ok(ControlFlow::Continue(()))));
    for id in 0..16 {
        count(store.describe(&[id], &mut |_, _| Ok(())));
        count(store.fetch(&[id], &mut |_, _| Ok(())));
        count(store.find(&[&format!("image {id}")]).map(drop));
    }
    failed
}

#[test]
fn a_cut_or_missing_part_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("store").join(PARTS);
    mixed(&new_store(folder.path()));
    for path in list(&parts).unwrap() {
        let sound = fs::read(&path).unwrap();
        for length in (0..sound.len()).step_by(97) {
            fs::write(&path, &sound[..length]).unwrap();
            assert!(failures(&store(folder.path(), Mode::Read, Durability::Full).unwrap()) > 0);
        }
        fs::remove_file(&path).unwrap();
        assert!(failures(&store(folder.path(), Mode::Read, Durability::Full).unwrap()) > 0);
        fs::write(&path, &sound).unwrap();
    }
    assert_eq!(failures(&store(folder.path(), Mode::Read, Durability::Full).unwrap()), 0);
}

#[test]
fn a_damaged_part_costs_verify_the_images_in_it_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // Images 0 to 9 are in the first part, 10 to 14 in the second, 15 in a third; 3 and 12 are removed.
    mixed(&new_store(folder.path()));
    let part = path.join(PARTS).join("00000001.h5");
    let sound = fs::read(&part).unwrap();
    let damages: [&dyn Fn(); 3] =
        [&|| fs::write(&part, b"").unwrap(), &|| fs::write(&part, vec![0; sound.len()]).unwrap(), &|| {
            fs::remove_file(&part).unwrap()
        }];
    let store = || crate::Store::open(&format!("hdf5:{}", path.display())).unwrap();
    for damage in damages {
        damage();
        let mut named = Vec::new();
        let verified = store()
            .verify(
                &mut |problem| {
                    let error = problem.error.to_string();
                    assert!(error.contains("00000001.h5") || !(10..15).contains(&problem.id.unwrap()), "{error}");
                    named.push(problem.id);
                },
                &mut |_| ControlFlow::Continue(()),
            )
            .unwrap();
        // The payloads of the others are no pictures, but they are looked at.
        assert_eq!(verified.images, 14);
        assert_eq!(named.iter().filter(|id| (10..15).contains(&id.unwrap())).count(), 4, "{named:?}");
    }
}

#[test]
fn a_flipped_bit_in_a_part_is_an_error_or_other_content_but_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("store").join(PARTS);
    mixed(&new_store(folder.path()));
    let mut failed = 0;
    for path in list(&parts).unwrap() {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let sound = fs::read(&path).unwrap();
        // The headers come first; what follows are numbers and records, one like the other.
        let places = (0..sound.len()).filter(|place| *place < 1200 || place % 11 == 0);
        for (place, byte) in places.map(|place| (place, &sound[place])) {
            file.write_all_at(&[byte ^ (1 << (place % 8))], place as u64).unwrap();
            failed += failures(&store(folder.path(), Mode::Read, Durability::Full).unwrap());
            file.write_all_at(&[*byte], place as u64).unwrap();
        }
    }
    assert!(failed > 0);
}

#[test]
fn when_the_machine_stops_what_was_not_synced_is_undone_latest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let full = new_store(folder.path());
    let mut all = mixed(&full);
    drop(full);
    let buffered = store(folder.path(), Mode::Write, Durability::Buffered).unwrap();
    append(&buffered, vec![kept(30, 100)], &mut all);
    let first_is_safe = all.clone();
    let lost = format!("{:08}.h5", buffered.manifest().unwrap().next_part().unwrap());
    append(&buffered, vec![kept(31, 100)], &mut all);
    append(&buffered, vec![kept(32, 100)], &mut all);
    assert_holds(&buffered, &all);
    drop(buffered);
    assert_holds(&store(folder.path(), Mode::Read, Durability::Full).unwrap(), &all);

    // The machine starts anew, and a block of the part in the middle did not reach the disk.
    let boot = boot::id();
    let text = fs::read_to_string(path.join(LOG_NAME)).unwrap();
    let mut lines = Vec::new();
    for text in text.split_inclusive('\n') {
        match sealed::read::<Commit>(text.as_bytes()) {
            Ok(mut commit) => {
                commit.unsynced = commit.unsynced.map(|id| id.replace(boot, "another run"));
                sealed::write(&commit, &mut lines).unwrap();
            }
            Err(_) => lines.extend_from_slice(text.as_bytes()),
        }
    }
    fs::write(path.join(LOG_NAME), lines).unwrap();
    let length = fs::metadata(path.join(PARTS).join(&lost)).unwrap().len();
    let file = OpenOptions::new().write(true).open(path.join(PARTS).join(&lost)).unwrap();
    file.write_all_at(&vec![0; length as usize / 2], length / 2).unwrap();

    assert_holds(&store(folder.path(), Mode::Read, Durability::Full).unwrap(), &first_is_safe);
    let writer = store(folder.path(), Mode::Write, Durability::Full).unwrap();
    let mut all = first_is_safe;
    append(&writer, vec![kept(33, 100)], &mut all);
    assert_holds(&store(folder.path(), Mode::Read, Durability::Full).unwrap(), &all);
}

#[test]
fn a_commit_that_could_not_be_synced_is_forgotten_by_those_who_have_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let writer = new_store(folder.path());
    let mut all = Vec::new();
    append(&writer, vec![kept(1, 100)], &mut all);
    let reader = store(folder.path(), Mode::Read, Durability::Full).unwrap();
    assert_holds(&reader, &all);

    // It reads the commit before its writer finds out that it cannot be synced, and not again before the next one.
    let reader = Arc::new(reader);
    let looks = Arc::clone(&reader);
    let log = folder.path().join("store").join(LOG_NAME);
    faults::fail_sync(log, move || assert_eq!(looks.properties().unwrap().count, 2));
    let (descriptor, payload) = kept(3, 100);
    let mut lost = [Entry { descriptor, payload: Payload::Bytes(&payload) }];
    assert_eq!(writer.append(&mut lost).unwrap_err().kind(), ErrorKind::Backend);
    append(&writer, vec![kept(5, 100)], &mut all);
    assert_holds(&*reader, &all);
}

#[test]
fn parts_stay_while_a_crash_may_bring_back_a_log_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = new_store(folder.path());
    let all = mixed(&store);
    let before = part_files(&store);
    let old_log = fs::read(path.join(LOG_NAME)).unwrap();
    for _ in ["the new log's name", "the next try, before parts are removed"] {
        faults::fail_sync(&path, || ());
    }
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Backend);
    assert_ne!(fs::read(path.join(LOG_NAME)).unwrap(), old_log);
    assert_holds(&store, &all);
    fs::write(path.join(LOG_NAME), old_log).unwrap();
    assert_holds(&self::store(folder.path(), Mode::Write, Durability::Full).unwrap(), &all);
    assert!(part_files(&store) > before, "the new parts are there as well");
}

#[test]
fn an_append_does_not_copy_what_is_known_of_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = new_store(folder.path());
    let mut all = Vec::new();
    append(&store, vec![kept(1, 10)], &mut all);
    let manifest = || Arc::as_ptr(store.log().manifest());
    let before = manifest();
    append(&store, vec![kept(2, 10)], &mut all);
    assert_eq!(manifest(), before);
    // A reader keeps what it has begun with.
    let view = View::new(&store).unwrap();
    append(&store, vec![kept(3, 10)], &mut all);
    assert_eq!((view.manifest.count(), manifest() == before), (2, false));
    assert_holds(&store, &all);
}

#[test]
fn sync_makes_buffered_commits_durable_once() {
    let folder = tempfile::tempdir().unwrap();
    new_store(folder.path());
    let buffered = store(folder.path(), Mode::Write, Durability::Buffered).unwrap();
    append(&buffered, vec![kept(30, 100)], &mut Vec::new());
    assert!(!buffered.manifest().unwrap().is_synced());
    buffered.sync().unwrap();
    let log = fs::read(folder.path().join("store").join(LOG_NAME)).unwrap();
    buffered.sync().unwrap();
    assert!(buffered.manifest().unwrap().is_synced());
    assert_eq!(fs::read(folder.path().join("store").join(LOG_NAME)).unwrap(), log);
}
