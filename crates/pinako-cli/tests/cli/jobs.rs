//! Whole stores: import, export, copy, verify, compact, and being interrupted.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, pixels};

const KINDS: [&str; 4] = ["lmdb:lmdb", "files:files", "hdf5:hdf5", "sqlite:sqlite.db"];

/// Two class folders with two images each.
fn classes() -> Place {
    let place = Place::new();
    for (seed, name) in ["cat/a.pnm", "cat/b.pnm", "dog/a.pnm", "dog/c.pnm"].into_iter().enumerate() {
        place.picture(&format!("pets/{name}"), seed as u8);
    }
    place
}

#[test]
fn an_import_run_again_stores_nothing_twice() {
    let place = classes();
    insta::assert_snapshot!(place.run("import pets store"), @"
    ! pets: image files in 2 class folders
    ! imported 4 images (188 B) in [time]
    exit code 0
    ");
    insta::assert_snapshot!(place.run("import pets store"), @"
    ! pets: image files in 2 class folders
    ! imported 0 images (0 B) in [time]
    ! there before: 4 images
    exit code 0
    ");
    place.picture("pets/dog/b.pnm", 9);
    insta::assert_snapshot!(place.run("import pets store"), @"
    ! pets: image files in 2 class folders
    ! imported 1 image (47 B) in [time]
    ! there before: 4 images
    exit code 0
    ");
    insta::assert_snapshot!(place.ok("list store"), @"
    id  label  shape  type  encoding  bytes  name
     0  0 cat  3x4x3  u8    kept:pnm     47  cat/a.pnm
     1  0 cat  3x4x3  u8    kept:pnm     47  cat/b.pnm
     2  1 dog  3x4x3  u8    kept:pnm     47  dog/a.pnm
     3  1 dog  3x4x3  u8    kept:pnm     47  dog/c.pnm
     4  1 dog  3x4x3  u8    kept:pnm     47  dog/b.pnm
    ");
}

#[test]
fn an_import_takes_several_sources_under_names_with_a_prefix() {
    let place = classes();
    place.picture("more/dog/x.pnm", 5);
    place.ok("import pets/cat more store --name-prefix all/ --encoding raw");
    insta::assert_snapshot!(place.ok("list store"), @"
    id  label  shape  type  encoding  bytes  name
     0  -      3x4x3  u8    raw:row      36  all/a.pnm
     1  -      3x4x3  u8    raw:row      36  all/b.pnm
     2  -      3x4x3  u8    raw:row      36  all/dog/x.pnm
    ");
}

#[test]
fn options_may_stand_between_the_sources_and_the_store() {
    let place = classes();
    for (store, args) in [
        ("a", "import pets/cat pets/dog/c.pnm --encoding raw a"),
        ("b", "import pets/cat --encoding raw pets/dog/c.pnm b"),
        ("c", "import --encoding raw pets/cat pets/dog/c.pnm c"),
        ("d", "import pets/cat pets/dog/c.pnm d --encoding raw"),
    ] {
        place.ok(args);
        assert_eq!(place.ok(&format!("list {store} --json")).matches("raw:row").count(), 3, "{args}");
    }
}

#[test]
fn bad_files_end_an_import_or_are_listed() {
    let place = classes();
    place.write("pets/cat/broken.png", "no image");
    place.write("pets/dog/cut.pnm", "P6 4 3 255\nab");
    insta::assert_snapshot!(place.run("import pets store"), @"
    ! pets: image files in 2 class folders
    ! error: pets/cat/broken.png: not an image file: it starts like none of JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM
    ! hint: mend or remove it, then start the same import again, which goes on after what it stored, or leave bad images out with --skip-bad
    exit code 1
    ");
    insta::assert_snapshot!(place.run("import pets store --skip-bad"), @"
    ! pets: image files in 2 class folders
    ! imported 4 images (188 B) in [time]
    ! skipped: 2 images
    !   pets/cat/broken.png: not an image file: it starts like none of JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM
    !   pets/dog/cut.pnm: a damaged pnm file: it ends too early
    exit code 0
    ");
    assert_eq!(place.ok("list store --json").lines().count(), 4);
    insta::assert_snapshot!(place.run("import pets/dog/a.pnm other --max-image-bytes 46"), @"
    ! pets/dog/a.pnm: an image file
    ! error: pets/dog/a.pnm has 47 bytes, more than the limit of 46
    ! hint: raise --max-image-bytes if the file is to be trusted; then start the same import again, which goes on after what it stored, or leave bad images out with --skip-bad
    exit code 1
    ");
}

#[test]
fn a_job_that_stores_nothing_makes_no_store_and_adds_no_label_names() {
    let place = classes();
    place.write("pets/cat/a.png", "no image");
    for store in KINDS {
        assert_eq!(place.run(&format!("import pets {store}")).code, 1);
        assert_eq!(place.run(&format!("import pets/cat/a.png {store} --skip-bad")).code, 0);
    }
    assert_eq!(place.names(), ["pets"]);
    std::fs::create_dir(place.path("mine")).unwrap();
    assert_eq!(place.run("import pets lmdb:mine").code, 1);
    assert_eq!(std::fs::read_dir(place.path("mine")).unwrap().count(), 0);

    place.ok("import pets/cat/b.pnm there");
    assert_eq!(place.run("import pets there").code, 1);
    let info: serde_json::Value = serde_json::from_str(&place.ok("info there --json")).unwrap();
    assert_eq!((&info["count"], &info["label_names"]), (&1.into(), &serde_json::json!([])));

    let mut bytes = place.read("there/data.mdb");
    let payload = place.read("pets/cat/b.pnm");
    let at = (0..bytes.len()).find(|&at| bytes[at..].starts_with(&payload)).expect("the payload is stored as it is");
    bytes[at] ^= 1;
    place.write("there/data.mdb", bytes);
    assert_eq!(place.run("copy there copy").code, 1);
    assert!(!place.path("copy").exists());
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let place = classes();
    for name in ["pipe.png", "set/0.png", "pipe"] {
        std::fs::create_dir_all(place.path("set")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, place.path(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    place.write("set/1.csv", "7\n");
    insta::assert_snapshot!(place.run("import pipe.png store"), @"
    ! error: pipe.png is no regular file
    ! hint: store what comes out of a pipe or device in a file first
    exit code 1
    ");
    for args in ["import pipe store", "import set store", "put store pipe.png --link"] {
        assert_eq!(place.run(args).code, 1, "{args}");
    }
    assert!(!place.path("store").exists());
}

#[test]
fn control_characters_in_names_of_files_do_not_reach_the_terminal() {
    let place = Place::new();
    place.write("pets/a\u{1b}[2J\nerror: forged.png", "no image");
    place.picture("pets/b.pnm", 1);
    insta::assert_snapshot!(place.run("import pets store"), @r#"
    ! pets: image files
    ! error: pets/a\u{1b}[2J\nerror: forged.png: "a\u{1b}[2J\nerror: forged.png" cannot be the name of an image: it has control characters
    ! hint: mend or remove it, then start the same import again, which goes on after what it stored, or leave bad images out with --skip-bad
    exit code 1
    "#);
    insta::assert_snapshot!(place.run("import pets store --skip-bad"), @r#"
    ! pets: image files
    ! imported 1 image (47 B) in [time]
    ! skipped: 1 image
    !   pets/a\u{1b}[2J\nerror: forged.png: "a\u{1b}[2J\nerror: forged.png" cannot be the name of an image: it has control characters
    exit code 0
    "#);
}

#[test]
fn a_source_that_is_not_there_makes_no_store() {
    let place = Place::new();
    insta::assert_snapshot!(place.run("import nothing store"), @"
    ! error: cannot open nothing
    ! caused by: No such file or directory (os error 2)
    exit code 4
    ");
    assert!(place.names().is_empty());
}

#[test]
fn a_copy_holds_the_same_in_every_kind_of_store() {
    let place = classes();
    place.ok("import pets store");
    let all = place.ok("list store --json");
    let mut from = "store";
    for to in KINDS {
        place.ok(&format!("copy {from} {to}"));
        assert_eq!(place.ok(&format!("list {to} --json")), all, "{to}");
        assert!(place.ok(&format!("verify {to}")).is_empty());
        from = to;
    }
    insta::assert_snapshot!(place.run("copy store files:files"), @"
    ! copied 0 images (0 B) in [time]
    ! 4 images had been copied before
    exit code 0
    ");
}

#[test]
fn an_export_follows_the_extension_and_replaces_nothing() {
    let place = classes();
    place.ok("import pets store");
    insta::assert_snapshot!(place.run("export store out"), @"
    ! exported 4 images (188 B) in [time]
    exit code 0
    ");
    assert_eq!(place.read("out/dog/c.pnm"), place.read("pets/dog/c.pnm"));
    place.ok("export store out.npy");
    assert!(place.read("out.npy").ends_with(&pixels(3)) && place.path("out.labels.npy").is_file());
    place.ok("export store out.h5");
    assert!(place.read("out.h5").starts_with(b"\x89HDF"));
    insta::assert_snapshot!(place.run("export store out"), @"
    ! error: out is there already
    ! hint: choose another name, or remove it first
    exit code 1
    ");
    insta::assert_snapshot!(place.run("export store batches --format cifar"), @"
    ! error: lmdb:store: image 0: CIFAR-10's layout takes images of one shape: this one is 3x4x3 u8, not 32x32x3 u8
    ! hint: export image files in class folders instead
    exit code 1
    ");
}

#[test]
fn verify_names_what_is_not_sound() {
    let place = classes();
    place.ok("import pets/cat store");
    place.ok("put store pets/dog/c.pnm --link");
    insta::assert_snapshot!(place.run("verify store"), @"
    ! verified 3 images (111 B) in [time]
    ! every image is sound
    exit code 0
    ");

    let mut bytes = place.read("store/data.mdb");
    let payload = pixels(1);
    let places: Vec<usize> = (0..bytes.len() - 36).filter(|&at| bytes[at..at + 36] == payload).collect();
    assert!(!places.is_empty(), "the payload is stored as it is");
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    place.write("store/data.mdb", bytes);
    place.picture("pets/dog/c.pnm", 100);
    insta::assert_snapshot!(place.run("verify store"), @r#"
    lmdb:store: image 1: its payload's checksum is 1242bcdd, its descriptor says 218e0761: the payload is damaged (named "b.pnm")
    lmdb:store: image 2: the linked file store/../pets/dog/c.pnm was changed since it was linked: its checksum is c43d02bf, not 79f1d02c (named "c.pnm")
    ! verified 3 images (111 B) in [time]
    ! not sound: 2 images
    exit code 3
    "#);
    insta::assert_snapshot!(place.run("verify store --json"), @r#"
    {"id":1,"name":"b.pnm","problem":"lmdb:store: image 1: its payload's checksum is 1242bcdd, its descriptor says 218e0761: the payload is damaged"}
    {"id":2,"name":"c.pnm","problem":"lmdb:store: image 2: the linked file store/../pets/dog/c.pnm was changed since it was linked: its checksum is c43d02bf, not 79f1d02c"}
    ! verified 3 images (111 B) in [time]
    ! not sound: 2 images
    exit code 3
    "#);
}

#[test]
fn verify_goes_on_after_an_image_whose_descriptor_is_damaged() {
    let place = classes();
    place.ok("import pets store");
    let mut bytes = place.read("store/data.mdb");
    let name = b"cat/b.pnm";
    // Where the name is looked up, an id follows on it, which begins with zeros.
    let is_record = |at: usize| bytes[at..].starts_with(name) && bytes[at + name.len()] != 0;
    let places: Vec<usize> = (0..bytes.len() - name.len()).filter(|&at| is_record(at)).collect();
    places.into_iter().for_each(|at| bytes[at] = 0xff);
    place.write("store/data.mdb", bytes);
    insta::assert_snapshot!(place.run("verify store"), @"
    lmdb:store: image 1: its descriptor has the checksum 3f7fb28f instead of 8aa0141f
    ! verified 4 images (141 B) in [time]
    ! not sound: 1 image
    exit code 3
    ");
}

#[test]
fn an_image_whose_descriptor_is_damaged_can_be_removed_and_stored_again() {
    for (scheme, file) in [("lmdb", "store/data.mdb"), ("hdf5", "store/parts/00000000.h5"), ("sqlite", "store")] {
        let place = classes();
        place.ok(&format!("import pets {scheme}:store"));
        let mut bytes = place.read(file);
        let name = b"cat/b.pnm";
        // In LMDB an id follows on the name where it is looked up, and begins with zeros.
        let is_there = |at: usize| bytes[at..].starts_with(name) && bytes[at + name.len()] != 0;
        let places: Vec<usize> = (0..bytes.len() - name.len()).filter(|&at| is_there(at)).collect();
        places.into_iter().for_each(|at| bytes[at + name.len() - 1] += 1);
        place.write(file, bytes);
        assert_eq!(place.run("verify store").code, 3, "{scheme}");
        place.ok("remove store 1");
        assert_eq!(place.run("verify store").code, 0, "{scheme}");
        place.ok("import pets store");
        place.ok("compact store");
        assert_eq!(place.run("verify store").code, 0, "{scheme}");
        let listed = place.ok("list store");
        assert!(listed.contains("cat/b.pnm") && listed.matches(".pnm").count() == 4, "{scheme}: {listed}");
    }
}

#[test]
fn compact_says_what_it_gave_back() {
    let place = Place::new();
    place.specks("specks.idx", 20_000);
    place.ok("import specks.idx store");
    let disk = || {
        let info: serde_json::Value = serde_json::from_str(&place.ok("info store --json")).unwrap();
        info["disk_bytes"].as_u64().unwrap()
    };
    let before = disk();
    let ids: Vec<String> = (10..20_000).map(|id: u32| id.to_string()).collect();
    place.ok(&format!("remove store {}", ids.join(" ")));
    let ended = place.run("compact store");
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.talk.contains(" on disk before, ") && disk() < before / 2, "{ended}");
    assert_eq!(place.ok("list store --json").lines().count(), 10);
}

#[test]
fn an_interrupted_import_leaves_a_sound_store_and_goes_on() {
    const COUNT: u32 = 160_000; // twenty batches
    let place = Place::new();
    place.specks("specks.idx", COUNT);
    let count = || -> u64 {
        let info = place.run("info store --json");
        serde_json::from_slice(&info.bytes).map_or(0, |info: serde_json::Value| info["count"].as_u64().unwrap())
    };

    let child = place.command(["import", "specks.idx", "store"]).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while count() == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "no batch arrived");
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{talk}");
    assert!(talk.contains("interrupted: stopped after ") && talk.contains("hint: "), "{talk}");

    assert!((1..u64::from(COUNT)).contains(&count()), "{talk}");
    assert_eq!(place.run("verify store").code, 0);
    place.ok("import specks.idx store");
    assert_eq!(count(), u64::from(COUNT));
}

#[test]
fn an_import_of_one_large_image_is_interrupted_in_the_midst_of_it() {
    let place = Place::new();
    let (text, length) = ("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 16000, 16000), }", 256_000_000);
    place.write("set.npy", [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat());
    let file = std::fs::OpenOptions::new().write(true).open(place.path("set.npy")).unwrap();
    file.set_len(10 + text.len() as u64 + length).unwrap();
    // Whether a file without a name has this much: what the pixels are put aside in.
    let put_aside = |process: u32| {
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
        open.filter(|entry| entry.path().read_link().is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)")))
            .filter_map(|entry| std::fs::metadata(entry.path()).ok())
            .map(|metadata| metadata.len())
            .max()
            .unwrap_or(0)
    };
    // In the midst of what is put aside, and about when it begins to be stored.
    for (store, so_far) in [("store", length / 4), ("files:files", length / 4 * 3), ("hdf5:hdf5", length / 4 * 3)] {
        let child = place.command(["import", "set.npy", store]).stderr(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while put_aside(child.id()) < so_far {
            assert!(started.elapsed() < Duration::from_secs(60), "nothing is put aside");
        }
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{store} {talk}");
        assert!(talk.contains("interrupted: stopped after 0 images"), "{talk}");
        assert!(talk.contains("hint: what was stored is safe; start the same job again to go on"), "{talk}");
        if so_far < length / 2 {
            assert_eq!(place.names(), ["set.npy"], "nothing is left lying about");
        }
    }
    place.ok("import set.npy files:files");
    let listed = place.ok("list files --json");
    assert!(listed.contains("set/0") && listed.lines().count() == 1, "{listed}");
    let left = std::fs::read_dir(place.path("files")).unwrap().flatten().map(|entry| entry.metadata().unwrap().len());
    assert!(left.sum::<u64>() < length + (1 << 20), "what was half stored is gone");
}

#[test]
fn a_killed_export_leaves_what_the_next_one_replaces() {
    let place = classes();
    place.ok("import pets store");
    place.write(".out.npy.pinako-partial", "half an array");
    place.write(".out.pinako-partial/cat/old.png", "half");
    place.ok("export store out.npy");
    place.ok("export store out");
    assert_eq!(place.names(), ["out", "out.labels.npy", "out.npy", "pets", "store"]);
    assert!(!place.path("out/cat/old.png").exists());

    // One that is still at work is left alone.
    let busy = std::fs::File::create(place.path(".again.npy.pinako-partial")).unwrap();
    busy.lock().unwrap();
    insta::assert_snapshot!(place.run("export store again.npy"), @"
    ! error: another process is writing again.npy
    ! hint: choose another name, or wait for it to end
    exit code 1
    ");
    assert!(place.path(".again.npy.pinako-partial").exists());
}

#[test]
fn what_a_killed_export_of_any_kind_left_is_replaced() {
    let place = classes();
    place.ok("import pets store");
    place.write(".out.pinako-partial", "half an array");
    place.ok("export store out");
    place.write(".out.npy.pinako-partial/cat/old.png", "half");
    place.ok("export store out.npy");
    place.write(".a.png.pinako-partial", "half an image");
    place.ok("get store 0 -o a.png");
    assert_eq!(place.names(), ["a.png", "out", "out.labels.npy", "out.npy", "pets", "store"]);
}

#[test]
fn an_array_export_that_was_killed_when_only_its_labels_had_their_name_is_done_again() {
    let place = classes();
    place.ok("import pets/cat unlabelled");
    place.ok("import pets store");
    let half_named = || {
        place.write(".out.npy.pinako-partial", b"\x93NUMPY...");
        place.write("out.labels.npy", "labels of nothing");
    };
    half_named();
    place.ok("export store out.npy");
    assert!(place.read("out.labels.npy").starts_with(b"\x93NUMPY"));
    std::fs::remove_file(place.path("out.npy")).unwrap();
    half_named();
    place.ok("export unlabelled out.npy");
    assert!(!place.path("out.labels.npy").exists());
    std::fs::remove_file(place.path("out.npy")).unwrap();

    // Labels that no such export left are somebody's.
    place.write(".out.npy.pinako-partial", "half an array");
    place.write("out.labels.npy", "mine");
    insta::assert_snapshot!(place.run("export store out.npy"), @"
    ! error: out.labels.npy is there already
    ! hint: choose another name, or remove it first
    exit code 1
    ");
    assert_eq!((place.read("out.labels.npy"), place.path("out.npy").exists()), (b"mine".to_vec(), false));
}

#[test]
fn an_array_is_not_exported_to_a_name_that_is_written_like_a_folder() {
    let place = classes();
    place.ok("import pets store");
    insta::assert_snapshot!(place.run("export store out.npy/"), @"
    ! error: out.npy/ is written like a folder, and is to be a file
    ! hint: leave the / at its end out
    exit code 1
    ");
    insta::assert_snapshot!(place.run("export store nowhere/out.npy"), @"
    ! error: cannot write nowhere/out.npy
    ! caused by: No such file or directory (os error 2)
    ! hint: make its folder first
    exit code 4
    ");
    place.ok("export store out.npy/ --format folders");
    assert_eq!(place.names(), ["out.npy", "pets", "store"]);
}

#[test]
fn bench_stores_shows_figures_of_each_kind_and_writes_a_report() {
    let place = Place::new();
    let table = place.ok("bench stores --counts 1,3 --backends lmdb,files --repetitions 1");
    let rows: Vec<Vec<&str>> =
        table.lines().skip(2).take(4).map(|row| row.split_whitespace().take(2).collect()).collect();
    assert_eq!(rows, [["1", "lmdb"], ["1", "files"], ["3", "lmdb"], ["3", "files"]], "{table}");
    assert!(place.path("bench-stores/report.json").is_file());

    let report = place.ok("bench stores --counts 5 --backends hdf5 --repetitions 1 --json --out again");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["counts"][0], &report["backends"][0]), (&5.into(), &"hdf5".into()));
}

#[test]
fn bench_regions_shows_the_papers_tables_and_writes_a_report() {
    let place = Place::new();
    let text = place.ok("bench regions --positions 10 --device paper --seconds 0 --out predicted");
    for title in ["Table 1: ", "Theorem 3.1: ", "Table 2: ", "Table 3: ", "Table 4: "] {
        assert_eq!(text.lines().filter(|line| line.starts_with(title)).count(), 1, "{title}\n{text}");
    }
    assert!(text.contains("743.91") && text.contains("Nothing was read"), "{text}");
    assert!(place.path("predicted/index.html").is_file());

    let report = place.ok("bench regions --tables 2 --seconds 0.5 --file-bytes 16M --json");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["times"][3]["in_flight"], &report["runs"]), (&8.into(), &serde_json::Value::Null));
    let ended = place.run("bench regions --tables 2 --file-bytes 1M");
    assert!(ended.code == 1 && ended.talk.contains("too small"), "{ended}");
}
