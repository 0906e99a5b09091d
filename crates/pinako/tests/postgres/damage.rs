//! Tables that others changed: found out, and told of the image that it is about.

use std::ops::ControlFlow;

use pinako::backend::ReadRequest;
use pinako::backends::Mode;
use pinako::conformance::assert_holds;
use pinako::{ErrorKind, Id, Result, Store};

use crate::samples::{PIECE, Stored, append, assert_kind, assert_says, image, open};
use crate::servers::{drop_fresh, fresh_url, psql};

/// A store of three images, the last of which has two pieces.
struct Example {
    url: String,
    images: Vec<Stored>,
}

impl Example {
    fn new() -> Option<Example> {
        let example =
            Example { url: fresh_url("POSTGRES")?, images: vec![image(0, 60), image(1, 9000), image(2, PIECE + 5)] };
        append(&*open(&example.url, Mode::Create).unwrap(), &example.images).unwrap();
        Some(example)
    }

    fn tamper(&self, sql: &str) {
        psql(&self.url, &format!("SET search_path = {}; {sql}", self.url.split_once("?schema=").unwrap().1));
    }

    /// Reads all there is, by every way of asking.
    fn read_all(&self) -> Result<()> {
        let store = open(&self.url, Mode::Read)?;
        store.properties()?;
        let ids: Vec<Id> = vec![0, 1, 2];
        let any = &mut |_, _: Option<&[u8]>| Ok(());
        store.describe(&ids, &mut |_, _| Ok(()))?;
        store.scan(0, &mut |_| Ok(ControlFlow::Continue(())))?;
        store.find(&["image 0", "image 1", "image 2"])?;
        store.fetch(&ids, &mut |_, _| Ok(()))?;
        ids.iter().try_for_each(|id| store.fetch(&[*id], &mut |_, _| Ok(())))?;
        let mut requests: Vec<_> = ids.iter().map(|&id| ReadRequest::new(id, 0..1)).collect();
        requests.push(ReadRequest::new(2, PIECE as u64 - 1..PIECE as u64 + 2));
        store.read(&requests, any)
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop_fresh(&self.url);
    }
}

#[test]
fn values_that_make_no_sense_are_errors_that_name_the_image_which_can_be_removed() {
    use ErrorKind::{Corrupt, Unsupported};
    let Some(example) = Example::new() else { return };
    example.tamper("CREATE TABLE image_kept AS TABLE image; CREATE TABLE payload_kept AS TABLE payload");
    for (step, (set, kind)) in [
        ("height = -1", Corrupt),
        ("height = 0", Corrupt),
        ("width = 1::bigint << 32", Corrupt),
        ("channels = 70000", Corrupt),
        ("name = ''", Corrupt),
        ("name = 'another'", Corrupt),
        ("attributes = '[1]'", Corrupt),
        ("attributes = '{\"another\":1}'", Corrupt),
        ("payload_length = -1", Corrupt),
        ("payload_length = 9223372036854775807", Corrupt),
        ("payload_length = payload_length + 1", Corrupt),
        ("checksum = -1", Corrupt),
        ("checksum = checksum - 1", Corrupt),
        ("label = 77", Corrupt),
        ("descriptor_checksum = descriptor_checksum - 1", Corrupt),
        ("sample_type = 'u9'", Unsupported),
        ("encoding = 'raw:spiral'", Unsupported),
    ]
    .into_iter()
    .enumerate()
    {
        let id = step as Id % 3;
        example.tamper(&format!("UPDATE image SET {set} WHERE id = {id}"));
        let error = assert_kind(example.read_all(), kind);
        assert_eq!(error.id(), Some(id), "{set}: {error}");
        assert_eq!(open(&example.url, Mode::Write).unwrap().remove(&[id]).unwrap(), 1, "{set}");
        example.tamper(&format!(
            "DO $$ BEGIN IF EXISTS (SELECT FROM payload WHERE id = {id}) THEN RAISE 'it is not gone'; END IF; END $$;
             TRUNCATE image; INSERT INTO image TABLE image_kept;
             TRUNCATE payload; INSERT INTO payload TABLE payload_kept"
        ));
        example.read_all().unwrap();
    }
}

#[test]
fn pieces_that_are_missing_or_cut_are_errors_that_name_the_image() {
    for (id, piece) in [(0, 0), (1, 0), (2, 0), (2, 1)] {
        let Some(example) = Example::new() else { return };
        example.tamper("CREATE TABLE payload_kept AS TABLE payload");
        for sql in [
            "DELETE FROM payload",
            "UPDATE payload SET bytes = substring(bytes FROM 2)",
            "UPDATE payload SET bytes = bytes || '\\x00'",
            "UPDATE payload SET piece = piece + 7",
        ] {
            example.tamper(&format!("{sql} WHERE id = {id} AND piece = {piece}"));
            let error = assert_kind(example.read_all(), ErrorKind::Corrupt);
            assert_eq!(error.id(), Some(id), "{sql} of piece {piece}: {error}");
            example.tamper("TRUNCATE payload; INSERT INTO payload TABLE payload_kept");
        }
        example.read_all().unwrap();
    }
}

#[test]
fn a_byte_that_was_changed_is_found_by_its_checksum() {
    let Some(example) = Example::new() else { return };
    for byte in 0..60 {
        let flip =
            format!("UPDATE payload SET descriptor = set_byte(descriptor, {byte}, get_byte(descriptor, {byte}) # 8)");
        example.tamper(&format!("{flip} WHERE id = 1"));
        assert_eq!(example.read_all().unwrap_err().id(), Some(1), "byte {byte}");
        example.tamper(&format!("{flip} WHERE id = 1"));
    }
    for (id, piece, byte) in [(0, 0, 59), (1, 0, 5000), (2, 0, PIECE - 1), (2, 1, 0)] {
        let flip = format!(
            "UPDATE payload SET bytes = set_byte(bytes, {byte}, get_byte(bytes, {byte}) # 1) \
             WHERE id = {id} AND piece = {piece}"
        );
        example.tamper(&flip);
        let store = Store::open(&example.url).unwrap();
        let error = assert_kind(store.payload(id), ErrorKind::Corrupt);
        assert_eq!(error.id(), Some(id), "{error}");
        assert_says(&error, "checksum", "");
        example.tamper(&flip);
    }
    assert_holds(&*open(&example.url, Mode::Read).unwrap(), &example.images);
}

#[test]
fn an_image_is_as_whole_without_the_descriptor_beside_its_payload() {
    let Some(example) = Example::new() else { return };
    example.tamper("UPDATE payload SET descriptor = NULL WHERE id = 1");
    assert_holds(&*open(&example.url, Mode::Read).unwrap(), &example.images);
    example.tamper("UPDATE payload SET descriptor = NULL");
    assert_holds(&*open(&example.url, Mode::Read).unwrap(), &example.images);
}

#[test]
fn what_the_store_says_of_itself_is_checked() {
    for sql in [
        "DELETE FROM store WHERE key = 'next_id'",
        "UPDATE store SET value = '-1' WHERE key = 'next_id'",
        "UPDATE store SET value = '1' WHERE key = 'images'",
        "UPDATE store SET value = '{}' WHERE key = 'label_names'",
        "UPDATE store SET value = '[\"another\"]' WHERE key = 'label_names'",
        "UPDATE store SET checksum = 7 WHERE key = 'payload_bytes'",
        "UPDATE store SET value = 'x' WHERE key = 'version'",
        "DROP TABLE store",
        "DROP TABLE payload",
        "ALTER TABLE image DROP COLUMN label",
        "ALTER TABLE image ALTER COLUMN label TYPE text",
        "ALTER TABLE payload ALTER COLUMN bytes TYPE text USING 'x'",
    ] {
        let Some(example) = Example::new() else { return };
        example.tamper(sql);
        let error =
            assert_kind(example.read_all().and_then(|()| Store::open(&example.url)?.footprint()), ErrorKind::Corrupt);
        assert_says(&error, "", "");
    }
}

#[test]
fn another_format_is_refused_by_its_number_with_what_to_do() {
    let Some(example) = Example::new() else { return };
    for (version, sum) in [("71", crc32c::crc32c(b"version71")), ("0", crc32c::crc32c(b"version0"))] {
        example.tamper(&format!("UPDATE store SET value = '{version}', checksum = {sum} WHERE key = 'version'"));
        let kind = if version == "0" { ErrorKind::Corrupt } else { ErrorKind::Unsupported };
        for mode in [Mode::Read, Mode::Write] {
            let error = assert_kind(open(&example.url, mode), kind);
            assert!(error.to_string().contains(version), "{error}");
            assert!(kind == ErrorKind::Corrupt || error.hint().is_some(), "{error:?}");
        }
    }
}

#[test]
fn ids_beyond_the_next_one_are_never_given_twice() {
    let Some(example) = Example::new() else { return };
    let sum = crc32c::crc32c(b"next_id1");
    example.tamper(&format!("UPDATE store SET value = '1', checksum = {sum} WHERE key = 'next_id'"));
    let store = open(&example.url, Mode::Write).unwrap();
    assert_says(&assert_kind(append(&*store, &[image(7, 5)]), ErrorKind::Corrupt), "next", "");
}

#[test]
fn the_last_id_is_the_last() {
    let Some(example) = Example::new() else { return };
    let last = i64::MAX as Id - 1;
    let sum = crc32c::crc32c(format!("next_id{last}").as_bytes());
    example.tamper(&format!("UPDATE store SET value = '{last}', checksum = {sum} WHERE key = 'next_id'"));
    let store = open(&example.url, Mode::Write).unwrap();
    assert_kind(append(&*store, &[image(last, 5), image(9, 5)]), ErrorKind::InvalidInput);
    assert_eq!(append(&*store, &[image(last, 5)]).unwrap(), last..last + 1);
    assert_kind(append(&*store, &[image(9, 5)]), ErrorKind::InvalidInput);
    let images: Vec<Stored> = example.images.iter().cloned().chain([image(last, 5)]).collect();
    assert_holds(&*store, &images);
    assert_eq!(store.remove(&[last, last + 1, u64::MAX]).unwrap(), 1);
}
