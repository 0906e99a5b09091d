//! Single images: put, get, list, info, remove.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Place, pixels};

/// A store of three images: `tom.ppm` (kept) and `jerry` (raw) with labels, `7` (PNG) without.
fn pets() -> Place {
    let place = Place::new();
    place.picture("tom.ppm", 1);
    place.picture("b.ppm", 2);
    assert_eq!(place.ok("put pets tom.ppm --label cat"), "0\n");
    assert_eq!(place.ok("put pets b.ppm --label mouse --name jerry --encoding raw"), "1\n");
    assert_eq!(place.ok("put pets b.ppm --name 7 --encoding png"), "2\n");
    place
}

#[test]
fn list_shows_a_table_or_json_lines() {
    let place = pets();
    insta::assert_snapshot!(place.run("list pets"), @"
    id  label    shape  type  encoding  bytes  name
     0  0 cat    3x4x3  u8    kept:pnm     47  tom.ppm
     1  1 mouse  3x4x3  u8    raw:row      36  jerry
     2  -        3x4x3  u8    png         107  7
    exit code 0
    ");
    insta::assert_snapshot!(place.run("list pets --json"), @r#"
    {"id":0,"name":"tom.ppm","label":0,"label_name":"cat","height":3,"width":4,"channels":3,"sample_type":"u8","encoding":"kept:pnm","payload_bytes":47,"checksum":"218e0761","attributes":null}
    {"id":1,"name":"jerry","label":1,"label_name":"mouse","height":3,"width":4,"channels":3,"sample_type":"u8","encoding":"raw:row","payload_bytes":36,"checksum":"8ffc459e","attributes":null}
    {"id":2,"name":"7","label":null,"label_name":null,"height":3,"width":4,"channels":3,"sample_type":"u8","encoding":"png","payload_bytes":107,"checksum":"b99c76b3","attributes":null}
    exit code 0
    "#);
    insta::assert_snapshot!(place.run("list pets --label mouse"), @"
    id  label    shape  type  encoding  bytes  name
     1  1 mouse  3x4x3  u8    raw:row      36  jerry
    exit code 0
    ");
    insta::assert_snapshot!(place.run("list pets --from 1 --limit 1"), @"
    id  label    shape  type  encoding  bytes  name
     1  1 mouse  3x4x3  u8    raw:row      36  jerry
    exit code 0
    ");
    insta::assert_snapshot!(place.run("list pets --label 5"), @"
    id  label  shape  type  encoding  bytes  name
    exit code 0
    ");
}

#[test]
fn info_shows_the_store_or_one_image() {
    let place = pets();
    let without_disk = |text: String| {
        let on_disk = |line: &&str| !line.contains("on disk") && !line.contains("disk_bytes");
        text.lines().filter(on_disk).map(|line| format!("{line}\n")).collect::<String>()
    };
    insta::assert_snapshot!(without_disk(place.ok("info pets")), @"
    store           lmdb:pets
    format version  1
    images          3
    next id         3
    payload         190 B
    reading costs   60.0 µs a read, 1.00 ms a MB, 8 in flight, in blocks of 4,096 bytes: a first guess for this kind of store

    shape  type  encoding  images
    3x4x3  u8    kept:pnm       1
    3x4x3  u8    png            1
    3x4x3  u8    raw:row        1

    label    images
    -             1
    0 cat         1
    1 mouse       1
    ");
    insta::assert_snapshot!(without_disk(place.ok("info pets --json")), @r#"
    {
      "url": "lmdb:pets",
      "format_version": 1,
      "count": 3,
      "next_id": 3,
      "payload_bytes": 190,
      "costs": {
        "read_seconds": 0.00006,
        "byte_seconds": 1e-9,
        "parallel_reads": 8,
        "block": 4096,
        "source": "first_guess"
      },
      "label_names": [
        "cat",
        "mouse"
      ],
      "labels": [
        {
          "label": null,
          "name": null,
          "images": 1
        },
        {
          "label": 0,
          "name": "cat",
          "images": 1
        },
        {
          "label": 1,
          "name": "mouse",
          "images": 1
        }
      ],
      "images_of_other_labels": 0,
      "kinds": [
        {
          "height": 3,
          "width": 4,
          "channels": 3,
          "sample_type": "u8",
          "encoding": "kept:pnm",
          "images": 1
        },
        {
          "height": 3,
          "width": 4,
          "channels": 3,
          "sample_type": "u8",
          "encoding": "png",
          "images": 1
        },
        {
          "height": 3,
          "width": 4,
          "channels": 3,
          "sample_type": "u8",
          "encoding": "raw:row",
          "images": 1
        }
      ],
      "images_of_other_kinds": 0
    }
    "#);
    insta::assert_snapshot!(place.run("info pets jerry"), @"
    id           1
    name         jerry
    label        1 mouse
    width        4 pixels
    height       3 pixels
    channels     3
    sample type  u8
    encoding     raw:row
    payload      36 bytes
    checksum     8ffc459e
    exit code 0
    ");
    insta::assert_snapshot!(place.run("info pets 0 --json"), @r#"
    {
      "id": 0,
      "name": "tom.ppm",
      "label": 0,
      "label_name": "cat",
      "height": 3,
      "width": 4,
      "channels": 3,
      "sample_type": "u8",
      "encoding": "kept:pnm",
      "payload_bytes": 47,
      "checksum": "218e0761",
      "attributes": null
    }
    exit code 0
    "#);
}

#[test]
fn info_of_a_store_has_the_numbers_that_scripts_ask_for() {
    let place = pets();
    let info: serde_json::Value = serde_json::from_str(&place.ok("info pets --json")).unwrap();
    assert_eq!((info["count"].as_u64(), info["format_version"].as_u64()), (Some(3), Some(1)));
    assert!(info["payload_bytes"].as_u64() > Some(2 * 36) && info["disk_bytes"].as_u64() > Some(0));
}

#[test]
fn get_gives_the_pixels_that_were_put_in_every_form() {
    let place = pets();
    for (image, seed) in [("0", 1), ("jerry", 2), ("2", 2), ("name:7", 2)] {
        place.ok(&format!("get pets {image} -o image.npy"));
        assert!(place.read("image.npy").ends_with(&pixels(seed)), "{image}");
        place.ok(&format!("get pets {image} -o image.png"));
        place.ok("put again image.png --unnamed");
    }
    for id in 0..4 {
        place.ok(&format!("get again {id} -o image.npy"));
        assert!(place.read("image.npy").ends_with(&pixels(if id == 0 { 1 } else { 2 })), "{id}");
    }
    place.ok("get pets tom.ppm -o as-it-came.ppm");
    assert_eq!(place.read("as-it-came.ppm"), place.read("tom.ppm"));
    assert_eq!(place.run("get pets 1 --payload").bytes, pixels(2));
    assert!(place.run("get pets 1").bytes.starts_with(b"\x89PNG"));
}

#[test]
fn get_gives_a_region() {
    let place = pets();
    place.ok("get pets 0 --region 1,1,2,2 -o corner.npy");
    let all = pixels(1);
    assert!(place.read("corner.npy").ends_with(&[&all[15..21], &all[27..33]].concat()));
    insta::assert_snapshot!(place.run("get pets 0 --region 3,0,2,1"), @"
    ! error: lmdb:pets: image 0: the region 3,0,2,1 is not inside the image, which is 4 wide and 3 high
    exit code 1
    ");
    insta::assert_snapshot!(place.run("get pets 0 --region 0,0,2,2 -o corner.ppm"), @"
    ! error: lmdb:pets: image 0: a region cannot be written as pnm
    ! hint: write PNG, or .npy for the samples themselves
    exit code 1
    ");
}

#[test]
fn get_replaces_a_file_as_a_whole_or_not_at_all() {
    let place = pets();
    place.write("real.png", "old");
    std::fs::set_permissions(place.path("real.png"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("real.png", place.path("link.png")).unwrap();
    let before = place.names();

    assert_eq!(place.run("get pets 0 --region 9,9,9,9 -o link.png").code, 1);
    assert_eq!(place.read("real.png"), b"old");
    place.ok("get pets 0 -o link.png");
    assert!(place.read("real.png").starts_with(b"\x89PNG"));
    assert!(place.path("link.png").is_symlink());
    assert_eq!(place.path("real.png").metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(place.names(), before);
}

#[test]
fn get_writes_to_what_is_no_plain_file_without_replacing_it() {
    let place = pets();
    symlink("/dev/null", place.path("null.png")).unwrap();
    place.ok("get pets 0 -o null.png");
    assert!(!place.path("null.png").metadata().unwrap().is_file());
}

#[test]
fn put_stores_all_files_or_none_and_makes_no_store_for_none() {
    let place = Place::new();
    place.picture("good.ppm", 1);
    place.write("bad.png", "no image");
    place.write("cut.ppm", "P6 4 3 255\nab");
    insta::assert_snapshot!(place.run("put new good.ppm bad.png"), @"
    ! error: bad.png: not an image file: it starts like none of JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put new good.ppm cut.ppm"), @"
    ! error: cut.ppm: a damaged pnm file: it ends too early
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put new good.ppm --name a\tb"), @r#"
    ! error: "a\tb" cannot be the name of an image: it has control characters
    exit code 1
    "#);
    place.picture("odd\tname.ppm", 1);
    insta::assert_snapshot!(place.run("put new good.ppm odd\tname.ppm"), @r#"
    ! error: "odd\tname.ppm" cannot be the name of an image: it has control characters
    ! hint: give one with --name, or none with --unnamed
    exit code 1
    "#);
    assert_eq!(place.run("put new good.ppm missing.png").code, 4);
    assert!(!place.path("new").exists());

    assert_eq!(place.ok("put new good.ppm"), "0\n");
    place.picture("fresh.ppm", 2);
    insta::assert_snapshot!(place.run("put new fresh.ppm good.ppm"), @r#"
    ! error: lmdb:new: image 0 is named "good.ppm" already
    ! hint: names are unique: put them one by one with --name, or all with --unnamed
    exit code 1
    "#);
    assert_eq!(place.ok("list new").lines().count(), 2);
    assert_eq!(place.ok("put new fresh.ppm good.ppm --unnamed"), "1\n2\n");
}

#[test]
fn a_put_that_fails_adds_no_label_and_makes_no_store() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    place.picture("more/a.ppm", 2);
    insta::assert_snapshot!(place.run("put new a.ppm more/a.ppm --label cat"), @r#"
    ! error: lmdb:new: two of the files are named "a.ppm"
    ! hint: names are unique: put them one by one with --name, or all with --unnamed
    exit code 1
    "#);
    assert!(!place.path("new").exists());

    place.ok("put new a.ppm --label cat");
    assert_eq!(place.run("put new more/a.ppm --label dog").code, 1);
    insta::assert_snapshot!(place.run("list new --label dog"), @r#"
    ! error: there is no label named "dog"
    ! hint: the label names are cat
    exit code 4
    "#);
}

#[test]
fn a_label_that_does_not_fit_is_refused() {
    let place = pets();
    insta::assert_snapshot!(place.run("put pets tom.ppm --unnamed --label 2"), @"
    ! error: lmdb:pets: there is no label 2
    ! hint: the label names are cat, mouse; --label NAME adds one
    exit code 4
    ");
    assert_eq!(place.run("put pets tom.ppm --unnamed --label -1").code, 4);
    insta::assert_snapshot!(place.run("list pets --label dog"), @r#"
    ! error: there is no label named "dog"
    ! hint: the label names are cat, mouse
    exit code 4
    "#);
    insta::assert_snapshot!(place.run("put pets tom.ppm --unnamed --label dog"), @"
    3
    ! added the label 2, dog
    exit code 0
    ");

    place.ok("put numbers tom.ppm --label -3");
    insta::assert_snapshot!(place.run("put numbers b.ppm --label dog"), @r#"
    ! error: there is no label named "dog"
    ! hint: the store has no label names: give the label's number, or name its labels by `pinako labels`
    exit code 4
    "#);
}

#[test]
fn labels_get_their_names() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    place.picture("b.ppm", 2);
    place.ok("put pets a.ppm --label 1");
    insta::assert_snapshot!(place.run("labels pets cat"), @"
    ! error: lmdb:pets: image 0 has the label 1, which would be without a name
    ! hint: give a name to each of the labels 0, 1, 2, ..., in this order
    exit code 1
    ");
    insta::assert_snapshot!(place.run("labels pets cat cat"), @r#"
    ! error: two labels are to be named "cat"
    exit code 1
    "#);
    assert!(place.ok("list pets").contains(" 0  1      3x4x3"));
    insta::assert_snapshot!(place.run("labels pets cat mouse"), @"
    ! the label names are cat, mouse
    exit code 0
    ");
    assert!(place.ok("list pets").contains(" 0  1 mouse  3x4x3"));
    assert_eq!(place.ok("put pets b.ppm --label cat"), "1\n");
}

#[test]
fn a_linked_file_stays_where_it_is() {
    let place = pets();
    place.ok("put pets b.ppm --link");
    assert_eq!(place.run("get pets b.ppm --payload").text(), "../b.ppm");
    place.ok("get pets b.ppm -o copy.ppm");
    assert_eq!(place.read("copy.ppm"), place.read("b.ppm"));
    assert!(place.ok("info pets b.ppm").contains("../b.ppm"));
}

#[test]
fn remove_says_what_was_not_there() {
    let place = pets();
    insta::assert_snapshot!(place.run("remove pets 1 17 tom.ppm nobody 1 17 nobody"), @r#"
    ! removed 2 images
    ! not there: image 17, image named "nobody"
    exit code 4
    "#);
    assert_eq!(place.ok("list pets --json").lines().count(), 1);
    insta::assert_snapshot!(place.run("remove pets name:7"), @"
    ! removed 1 image
    exit code 0
    ");
}
