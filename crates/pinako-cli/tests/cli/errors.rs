//! What bad input gets, and how the command ends.

use std::fs::File;
use std::io;

use crate::support::Place;

#[test]
fn a_store_that_is_not_there_is_told() {
    let place = Place::new();
    place.write("folder/notes.txt", "no store");
    insta::assert_snapshot!(place.run("info nothing"), @"
    ! error: there is no store at nothing
    ! hint: give the path of a store, or files:DIR, lmdb:DIR, hdf5:DIR, sqlite:FILE, object:DIR or a server's URL
    exit code 4
    ");
    insta::assert_snapshot!(place.run("list lmdb:nothing"), @"
    ! error: lmdb:nothing: there is no store at nothing
    ! hint: give the path of a store, or files:DIR, lmdb:DIR, hdf5:DIR, sqlite:FILE, object:DIR or a server's URL
    exit code 4
    ");
    for kind in ["files", "lmdb", "hdf5", "sqlite"] {
        let ended = place.run(&format!("list {kind}:nothing"));
        assert_eq!(ended.code, 4, "{ended}");
        assert!(ended.talk.contains("there is no store at") && ended.talk.contains("hint: "), "{ended}");
        let ended = place.run(&format!("list {kind}:folder"));
        assert_eq!(ended.code, 1, "something else stands there: {ended}");
    }
    insta::assert_snapshot!(place.run("info folder"), @"
    ! error: folder is no Pinako store
    ! hint: to put the images in it into a store: pinako import folder STORE
    exit code 1
    ");
    insta::assert_snapshot!(place.run("info s4://bucket/x"), @"
    ! error: s4:// is no kind of store that this version knows
    ! hint: on servers there are postgres://, s3://, gs:// and az:// stores
    exit code 1
    ");
    insta::assert_snapshot!(place.run("info sqlite:"), @r#"
    ! error: "sqlite:" names no path
    ! hint: write sqlite:PATH
    exit code 1
    "#);
    insta::assert_snapshot!(place.run("info lmdb://pets"), @r#"
    ! error: "lmdb://pets" looks like a server's URL, but lmdb: stores are on the disk
    ! hint: write lmdb:pets, or lmdb:/pets for a path from the root on
    exit code 1
    "#);
    assert_eq!(place.names(), ["folder"]);
}

#[test]
fn a_place_where_no_store_can_be_made_is_told() {
    let place = Place::new();
    place.picture("pets/a.ppm", 1);
    insta::assert_snapshot!(place.run("import pets pets"), @"
    ! error: pets is no Pinako store
    ! hint: a new store needs a path of its own, or an empty folder
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put pets/a.ppm pets/a.ppm"), @"
    ! error: pets/a.ppm is no Pinako store
    ! hint: a new store needs a path of its own, or an empty folder
    exit code 1
    ");
    insta::assert_snapshot!(place.run("import pets sqlit:pets.db"), @"
    ! error: sqlit: is no kind of store that this version knows
    ! hint: write files:, lmdb:, hdf5:, sqlite: or object:, postgres://, s3://, gs:// or az://, or ./sqlit:pets.db if it is a path
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put sqlite:pets pets/a.ppm"), @"
    ! error: sqlite:pets: a folder, not a SQLite database
    ! hint: a new store needs a path of its own
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put lmdb:pets pets/a.ppm"), @"
    ! error: lmdb:pets: pets is no LMDB environment: it has no data.mdb
    ! hint: a new store needs a path of its own, or an empty folder
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put store pets"), @"
    ! error: pets is a folder, not an image file
    ! hint: pinako import pets STORE stores all images in it
    exit code 1
    ");
    assert_eq!(place.names(), ["pets"]);
    place.ok("import pets ./sqlit:pets.db");
}

#[test]
fn a_store_that_was_emptied_is_not_begun_anew() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    for (kind, file) in
        [("files:a", "a/metadata.jsonl"), ("hdf5:b", "b/manifest.jsonl"), ("lmdb:c", "c/data.mdb"), ("sqlite:d", "d")]
    {
        let path = kind.split_once(':').expect("a URL").1;
        place.ok(&format!("put {kind} a.ppm"));
        place.write(file, "");
        for args in ["put KIND a.ppm --unnamed", "put PATH a.ppm --unnamed", "info KIND", "info PATH"] {
            let ended = place.run(&args.replace("KIND", kind).replace("PATH", path));
            assert_eq!((ended.code, &ended.bytes[..]), (1, &b""[..]), "{kind}\n{ended}");
            assert!(ended.talk.contains("restore it from a copy"), "{kind}: {ended}");
        }
        assert_eq!(place.read(file), b"", "{kind}");
    }
    std::fs::remove_file(place.path("c/data.mdb")).unwrap();
    for args in ["put lmdb:c a.ppm --unnamed", "put c a.ppm --unnamed", "info lmdb:c", "info c"] {
        let ended = place.run(args);
        assert!(ended.code == 1 && ended.talk.contains("but images were stored in it"), "{ended}");
    }
}

#[test]
fn a_store_given_as_a_source_is_to_be_copied() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    for kind in ["files", "lmdb", "hdf5", "sqlite"] {
        place.ok(&format!("put {kind}:{kind} a.ppm"));
        let ended = place.run(&format!("import {kind}:{kind} files:new"));
        let hint = format!("hint: pinako copy {kind}:{kind} STORE");
        assert!(ended.code == 1 && ended.talk.contains(&hint), "{ended}");
    }
}

#[test]
fn an_image_that_is_not_there_is_told() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    place.ok("put store a.ppm");
    insta::assert_snapshot!(place.run("get store 7"), @"
    ! error: lmdb:store: there is no image 7
    ! hint: name:7 means the image that is named 7
    exit code 4
    ");
    insta::assert_snapshot!(place.run("info store nobody"), @r#"
    ! error: lmdb:store: there is no image named "nobody"
    ! hint: pinako list lmdb:store shows what there is
    exit code 4
    "#);
    insta::assert_snapshot!(place.run("get store 0 -o nowhere/a.png"), @"
    ! error: cannot write nowhere/a.png
    ! caused by: No such file or directory (os error 2)
    ! hint: make its folder first
    exit code 4
    ");
    std::fs::create_dir(place.path("folder.png")).unwrap();
    insta::assert_snapshot!(place.run("get store 0 -o folder.png"), @"
    ! error: folder.png is a folder
    ! hint: give the name of a file to be made in it
    exit code 1
    ");
    insta::assert_snapshot!(place.run("get store 0 -o new.png/"), @"
    ! error: new.png/ is written like a folder, and is to be a file
    ! hint: leave the / at its end out
    exit code 1
    ");
    assert_eq!(place.names(), ["a.ppm", "folder.png", "store"]);
    insta::assert_snapshot!(place.run("get store 0 -o a.xyz"), @"
    ! error: the extension of a.xyz does not say what to write
    ! hint: end it in .png or .npy, or in that of the file the image was kept as
    exit code 1
    ");
}

#[test]
fn a_command_line_that_makes_no_sense_is_told() {
    let place = Place::new();
    for args in [
        "lost",
        "import only-one",
        "get store",
        "get store 99999999999999999999",
        "get store 1 --region 1,2,3",
        "get store 1 --region 0,0,0,1",
        "get store 1 --region 0,0,-1,1",
        "get store 1 --region 4294967295,0,1,1",
        "list store --limit many",
        "list store --from -1",
        "get store 1 --max-image-bytes 1T",
        "import a b --encoding jpeg",
        "put store a.png --link --encoding raw",
        "put store a.png --name a --unnamed",
        "put store a.png --label ",
        "list store --label name:",
        "bench stores --counts 0",
        "bench stores --counts 18446744073709551615",
        "bench stores --backends oracle",
        "bench regions --tables 5",
        "bench regions --positions 0",
        "bench regions --seconds=-1",
        "bench regions --seconds NaN",
        "bench regions --device 1",
        "bench regions --device 0,1e-8",
        "bench regions --device 1,1,0",
        "bench regions --device paper --file-bytes 2G",
        "bench regions --device paper --folder here",
        "calibrate store --seconds NaN",
    ] {
        let ended = place.run(args);
        assert_eq!((ended.code, &ended.bytes[..]), (2, &b""[..]), "pinako {args}\n{ended}");
        assert!(ended.talk.starts_with("error: "), "{ended}");
    }
    for (args, says) in [
        ("bench regions --tables ,", "the tables are 1, 2, 3 and 4"),
        ("bench regions --seconds -1", "0 or more"),
        ("calibrate store --seconds -1", "0 or more"),
        ("explain store 1 --region 0,0,1,1 --max-reads 0", "1 or more"),
        ("explain store 1 --region 0,0,1,1 --max-reads -1", "1 or more"),
        ("explain store 1 --region 0,0,1,1 --max-extra-bytes -1", "a whole number of bytes"),
        ("explain store 1 --region 0,0,1,1 -S grow:20", "N from 0 to 16"),
        ("explain store 1 --region 0,0,1,1 -S Exact", "give exact, grow:N"),
    ] {
        let ended = place.run(args);
        assert!(ended.code == 2 && ended.talk.contains(says), "pinako {args}\n{ended}");
    }
    insta::assert_snapshot!(place.run("import --link only-one"), @"
    ! error: a SOURCE and a STORE are expected
    ! 
    ! Usage: pinako import [OPTIONS] <SOURCE>... <STORE>
    ! 
    ! For more information, try '--help'.
    exit code 2
    ");
    insta::assert_snapshot!(place.run("get store 99999999999999999999"), @"
    ! error: invalid value '99999999999999999999' for '<ID|NAME>': ids end at 18446744073709551615; write name:99999999999999999999 if it is a name
    ! 
    ! For more information, try '--help'.
    exit code 2
    ");
    insta::assert_snapshot!(place.run("put store a.png --label 99999999999999999999"), @"
    ! error: invalid value '99999999999999999999' for '--label <N|NAME>': the number is too large: labels go from -9223372036854775808 to 9223372036854775807; write name:99999999999999999999 if it is a name
    ! 
    ! For more information, try '--help'.
    exit code 2
    ");
    insta::assert_snapshot!(place.run("get store 1 --max-image-bytes 1T"), @"
    ! error: invalid value '1T' for '--max-image-bytes <SIZE>': T is no unit of size: K, M or G is
    ! 
    ! For more information, try '--help'.
    exit code 2
    ");
}

#[test]
fn a_store_that_would_end_with_the_command_is_refused() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    place.ok("put store a.ppm");
    insta::assert_snapshot!(place.run("import a.ppm memory:"), @"
    ! error: memory: keeps images only for as long as this command runs
    ! hint: name a store that stays; `pinako --help` lists the kinds
    exit code 1
    ");
    for args in ["copy store memory:", "put memory: a.ppm"] {
        assert_eq!(place.run(args).code, 1, "{args}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    place.ok("put store a.ppm");
    for args in [&["list", "store"][..], &["info", "store"], &["get", "store", "0"], &["completions", "bash"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = place.command(args).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{args:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    place.ok("put store a.ppm");
    for args in [&["list", "store"][..], &["info", "store", "--json"], &["get", "store", "0"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(args).stdout(full).output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {talk}");
        assert!(talk.starts_with("error: cannot write to the standard output\ncaused by: "), "{talk}");
    }
}

#[test]
fn an_image_beyond_the_limit_is_refused() {
    let place = Place::new();
    place.picture("a.ppm", 1);
    insta::assert_snapshot!(place.run("put store a.ppm --max-image-bytes 35"), @"
    ! error: a.ppm has more bytes than the limit of 35
    ! hint: raise --max-image-bytes if the file is to be trusted
    exit code 1
    ");
    insta::assert_snapshot!(place.run("put store a.ppm --max-image-bytes 46"), @"
    ! error: a.ppm has more bytes than the limit of 46
    ! hint: raise --max-image-bytes if the file is to be trusted
    exit code 1
    ");
    place.ok("put store a.ppm --max-image-bytes 47");
}
