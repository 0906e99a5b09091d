//! Rectangles of large images: layouts, and how rectangles are read.

use serde_json::Value;

use crate::support::Place;

/// A gray image of 64 x 64 pixels as an IDX file.
fn square(place: &Place, name: &str) {
    let samples = (0..64 * 64).map(|at: u32| (at * 37 + at / 251) as u8);
    let header = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 64, 0, 0, 0, 64];
    place.write(name, header.into_iter().chain(samples).collect::<Vec<u8>>());
}

/// An IDX file of one image of 4.2 MB.
fn large(place: &Place, name: &str) {
    let side = 2100u32;
    let mut file = vec![0, 0, 8, 3, 0, 0, 0, 1];
    file.extend([side, side].iter().flat_map(|side| side.to_be_bytes()));
    file.resize(file.len() + (side * side) as usize, 7);
    place.write(name, file);
}

fn json(place: &Place, args: &str) -> Value {
    serde_json::from_str(&place.ok(args)).expect("JSON")
}

#[test]
fn explain_compares_the_ways_to_read_a_rectangle() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    place.ok("import --layout hilbert:1 images-idx3-ubyte map");
    insta::assert_snapshot!(place.run("explain map 0 --region 5,9,22,19 --device 1e-3,1e-5"), @"
    image       0, 64 x 64, raw:hilbert:1
    region      5,9,22,19, 418 B of pixels
    costs       1.00 ms a read, 10.0 s a MB, 1 in flight: as --device says
    paper's n*  3 for pixels of 1 B

    strategy  runs  reads  bytes  extra  predicted
    exact       25     25    418      0    29.2 ms
    grow:1       7      7    480     62    11.8 ms
    grow:2       7      7    480     62    11.8 ms
    grow:3       2      2    768    350    9.68 ms
    grow:4       1      1  1,024    606    11.2 ms
    paper        2      2    768    350    9.68 ms
    optimal     25      2    698    280    8.98 ms

    the fewest bytes for so many reads (8 of 25 plans)
    reads  bytes  extra  predicted
       25    418      0    29.2 ms
       17    434     16    21.3 ms
       11    452     34    15.5 ms
        7    465     47    11.7 ms
        5    534    116    10.3 ms
        3    633    215    9.33 ms
        2    698    280    8.98 ms  optimal
        1    893    475    9.93 ms
    exit code 0
    ");
    insta::assert_snapshot!(place.run("explain map 0 --region 5,9,22,19 --device 1e-3,1e-5,4 -S exact -S optimal --max-reads 1"), @"
    image       0, 64 x 64, raw:hilbert:1
    region      5,9,22,19, 418 B of pixels
    costs       1.00 ms a read, 10.0 s a MB, 4 in flight: as --device says
    paper's n*  2 for pixels of 1 B

    strategy  runs  reads  bytes  extra  predicted
    exact       25     25    418      0    11.2 ms
    optimal     25      1    893    475    9.93 ms

    the fewest bytes for so many reads (8 of 25 plans)
    reads  bytes  extra  predicted
       25    418      0    11.2 ms
       17    434     16    9.34 ms
       11    452     34    7.52 ms
        7    465     47    6.65 ms
        5    534    116    7.34 ms
        3    633    215    7.33 ms
        2    698    280    7.98 ms
        1    893    475    9.93 ms  optimal
    exit code 0
    ");
    insta::assert_snapshot!(place.run("explain map 0 --region 5,9,22,19 --device 1e-3,1e-5 --max-reads 1 --max-extra-bytes 7"), @"
    ! error: lmdb:map: image 0: no plan keeps to the budget
    ! hint: with these bytes it takes at least 22 reads
    exit code 1
    ");
    let ended = place.run("explain map 0 --region 5,9,22,19 --device 1,1 -S exact --run");
    assert!(ended.text().contains("not read, as that would take more than 2 s"), "{ended}");
    assert!(ended.text().contains("the fewest bytes for so many reads"), "{ended}");
    insta::assert_snapshot!(place.run("explain map 0 --region 5,9,60,19"), @"
    ! error: lmdb:map: image 0: the region 5,9,60,19 is not inside the image, which is 64 wide and 64 high
    exit code 1
    ");

    let found = json(&place, "explain map 0 --region 5,9,22,19 --device 1e-3,1e-5 --json");
    let reads: Vec<u64> =
        found["frontier"].as_array().unwrap().iter().map(|point| point["reads"].as_u64().unwrap()).collect();
    assert_eq!(reads, (1..=25).rev().collect::<Vec<u64>>());
    let found = json(&place, "explain map 0 --region 5,9,22,19 --run --json --picture plan.png");
    assert!(found["ways"].as_array().unwrap().iter().all(|way| way["measured_seconds"]["median"].as_f64() > Some(0.0)));
    assert!(place.read("plan.png").starts_with(b"\x89PNG"));
    let ended = place.run("explain map 0 --region 5,9,22,19 --run");
    assert!(ended.text().contains("a first guess") && ended.text().contains("measured"), "{ended}");
}

#[test]
fn an_image_file_is_read_whole_and_explain_says_so() {
    let place = Place::new();
    place.picture("tom.ppm", 1);
    place.ok("put pets tom.ppm");
    insta::assert_snapshot!(place.run("explain pets tom.ppm --region 1,1,2,1 --device 1e-3,1e-5"), @"
    image    0, 4 x 3, kept:pnm
    region   1,1,2,1, 6 B of pixels
    costs    1.00 ms a read, 10.0 s a MB, 1 in flight: as --device says
    decoded  all of it is read and decoded, and the region is cut out; only the reading is predicted

    strategy  runs  reads  bytes  extra  predicted
    whole        1      1     47      -    1.47 ms
    exit code 0
    ");
    let ended = place.run("explain pets tom.ppm --region 1,1,2,1 --picture plan.png --max-reads 1");
    assert!(ended.code == 0 && ended.text().contains("whole") && ended.talk.contains("no picture"), "{ended}");
    assert!(ended.talk.contains("budgets are for raw images"), "{ended}");
    let ended = place.run("explain pets tom.ppm --region 1,1,2,1 --picture plan.jpg");
    assert!(
        ended.code == 1 && ended.talk.contains("plan.jpg") && ended.talk.contains("end its name in .png"),
        "{ended}"
    );
    assert!(!place.names().contains(&"plan.png".to_owned()));
}

#[test]
fn a_rectangle_is_the_same_in_every_layout_and_costs_what_explain_says() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    let mut tiles = Vec::new();
    for layout in ["row", "hilbert", "hilbert:1", "hilbert:256"] {
        let store = format!("files:{}", layout.replace(':', "-"));
        place.ok(&format!("import --layout {layout} images-idx3-ubyte {store}"));
        let encoding = json(&place, &format!("info {store} 0 --json"))["encoding"].clone();
        let full = if layout == "hilbert" { "hilbert:64" } else { layout };
        assert_eq!(encoding, format!("raw:{full}"));
        place.ok(&format!("get {store} 0 --region 5,9,22,19 -o tile.npy"));
        tiles.push(place.read("tile.npy"));
        // The device is waited for once a read.
        let found = json(
            &place,
            &format!(
                "explain {store} 0 --region 5,9,22,19 --device 0.002,1e-9 -S optimal --max-extra-bytes 2K --run --json"
            ),
        );
        let way = &found["ways"][0];
        assert_eq!(way["bytes"].as_u64(), way["extra_bytes"].as_u64().map(|extra| extra + 22 * 19));
        let reads = way["reads"].as_f64().unwrap();
        let measured = way["measured_seconds"]["min"].as_f64().unwrap();
        assert!(measured >= 0.002 * reads, "{found}");
    }
    assert!(tiles.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_layout_is_for_raw_samples_only() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    for other in ["--encoding png", "--encoding keep", "--link"] {
        let ended = place.run(&format!("import --layout row {other} images-idx3-ubyte map"));
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.talk.contains("--layout"), "{ended}");
    }
    place.ok("import --layout row --encoding raw images-idx3-ubyte map");
    insta::assert_snapshot!(place.run("import --layout hilbert:3 images-idx3-ubyte map2"), @r#"
    ! error: invalid value 'hilbert:3' for '--layout <LAYOUT>': "hilbert:3" is no layout: give row, hilbert, or hilbert:B with blocks of B x B pixels, a power of two from 1 to 256
    ! 
    ! For more information, try '--help'.
    exit code 2
    "#);
}

#[test]
fn a_region_or_a_device_that_makes_no_sense_is_told_what_it_should_be() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    place.ok("import images-idx3-ubyte map");
    let four = "four whole numbers of pixels below 2^32";
    for (region, code, says) in [
        ("-1,0,5,5", 2, four),
        ("0,0,4294967296,1", 2, four),
        ("0,0,1e3,1", 2, four),
        ("1,2,3", 2, four),
        ("0,0,0,5", 2, "is empty"),
        ("4294967295,0,4294967295,1", 2, "ends beyond 2^32 - 1"),
        ("4294967294,0,1,1", 1, "is not inside the image"),
    ] {
        for command in ["get map 0", "explain map 0"] {
            let ended = place.run(&format!("{command} --region {region}"));
            assert!(ended.code == code && ended.talk.contains(says), "{command} {region}: {ended}");
        }
    }
    for device in
        ["0,0", "nan,1e-9", "1e-3,nan", "inf,1", "-1,1", "1e-3,-1e-9", "1e-3,1e-9,0", "1e-3", "x", "1e-300,1e-8"]
    {
        for command in ["explain map 0 --region 1,1,5,5", "bench regions"] {
            let ended = place.run(&format!("{command} --device {device}"));
            assert!(ended.code == 2 && ended.talk.contains("for '--device <T1,T2[,P]"), "{command} {device}: {ended}");
        }
    }
}

#[test]
fn relayout_keeps_all_but_the_id_and_the_order() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    place.picture("tom.ppm", 1);
    place.ok("import --layout row images-idx3-ubyte map");
    place.ok("put map tom.ppm");
    place.ok("get map 0 -o before.npy");
    let before = json(&place, "info map 0 --json");
    let name = before["name"].as_str().unwrap();
    assert_eq!(place.ok(&format!("relayout map 0 {name} 0 --layout hilbert:8")), "3\n");
    assert_eq!(place.ok("relayout map 3 --layout hilbert:8"), "3\n");
    place.ok("get map 3 -o after.npy");
    assert_eq!(place.read("before.npy"), place.read("after.npy"));
    let mut after = json(&place, "info map 3 --json");
    assert_eq!(after["encoding"], "raw:hilbert:8");
    for changed in ["id", "encoding", "checksum"] {
        after[changed] = before[changed].clone();
    }
    assert_eq!(after, before);
    assert_eq!(place.ok("list map --json").lines().count(), 2);
    insta::assert_snapshot!(place.run("relayout map tom.ppm --layout row"), @"
    ! error: lmdb:map: image 1: it is kept:pnm: only raw images have a layout
    ! hint: import it again, with a layout
    exit code 1
    ");
    insta::assert_snapshot!(place.run("relayout map 3 99 --layout row"), @"
    ! error: lmdb:map: there is no image 99
    ! hint: name:99 means the image that is named 99
    exit code 4
    ");
    assert_eq!(json(&place, "info map 3 --json")["encoding"], "raw:hilbert:8");
    // It is known again when it is imported once more.
    let again = place.run("import --layout row images-idx3-ubyte map");
    assert!(again.code == 0 && again.talk.contains("there before: 1 image"), "{again}");
}

#[test]
fn what_a_killed_relayout_left_is_found_and_finished_by_the_same_command() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    place.ok("import --layout row images-idx3-ubyte map");
    let name = json(&place, "info map 0 --json")["name"].as_str().unwrap().to_owned();
    place.ok("get map 0 -o before.npy");
    // As if it had been killed when the image itself was removed.
    let store = pinako::Store::open(&place.path("map").display().to_string()).unwrap();
    let image = store.image(0).unwrap();
    let mark =
        pinako::Attributes::parse(&format!(r#"{{"pinako:relayout":{{"of":0,"name":"{name}","attributes":null}}}}"#));
    let encoding = pinako::PixelEncoding::RawIn("hilbert:8".parse().unwrap());
    let aside = pinako::NewImage::encoded(image.view(), encoding).name(format!("{name} (relayout)"));
    store.append([aside.attributes(mark.unwrap())]).unwrap();
    store.remove(&[0]).unwrap();
    drop(store);

    place.ok(&format!("get map {name} -o between.npy"));
    place.ok(&format!("relayout map {name} --layout hilbert:8"));
    place.ok(&format!("get map {name} -o after.npy"));
    assert_eq!(place.read("before.npy"), place.read("between.npy"));
    assert_eq!(place.read("before.npy"), place.read("after.npy"));
    assert_eq!(json(&place, "list map --json")["name"], name);
    assert_eq!(place.ok("list map --json").lines().count(), 1);
}

#[test]
fn calibrate_measures_a_store_and_all_that_open_it_know() {
    let place = Place::new();
    large(&place, "images-idx3-ubyte");
    place.ok("import --layout hilbert images-idx3-ubyte map");
    assert_eq!(json(&place, "info map --json")["costs"]["source"], "first_guess");

    let ended = place.run("calibrate map --seconds 0");
    assert!(ended.code == 0 && ended.text().contains("paper's n*") && ended.talk.contains("map/.cost.json"), "{ended}");
    let found = json(&place, "calibrate map --seconds 0 --json");
    assert!(found["typical_error"].as_f64() >= Some(0.0) && found["batches"].as_array().unwrap().len() > 5, "{found}");
    assert_eq!(found["before"]["source"], "calibrated");
    for costs in [&json(&place, "info map --json"), &json(&place, "explain map 0 --region 5,9,22,19 --json")] {
        let costs = &costs["costs"];
        assert_eq!(costs["source"], "calibrated");
        for name in ["read_seconds", "byte_seconds", "parallel_reads"] {
            assert_eq!(costs[name], found[name], "{name}");
        }
        assert!(costs["calibrated"].as_str().unwrap().starts_with("20"), "{costs}");
    }
    assert!(place.ok("info map").contains(" in flight, in blocks of 4,096 bytes: calibrated 20"));
    assert!(place.ok("explain map 0 --region 5,9,22,19 --device 1,1").contains("as --device says"));
    place.ok("verify map");

    let kept = place.read("map/.cost.json");
    place.write("map/.cost.json", &kept[..kept.len() / 2]);
    let told = place.ok("info map");
    let why = "a first guess for this kind of store (";
    assert!(told.contains(why) && told.contains("map/.cost.json") && told.contains("pinako calibrate"), "{told}");
    place.ok("get map 0 --region 5,9,22,19 -o tile.png");
}

#[test]
fn a_store_without_a_large_image_cannot_be_calibrated() {
    let place = Place::new();
    square(&place, "images-idx3-ubyte");
    place.ok("import images-idx3-ubyte map");
    insta::assert_snapshot!(place.run("calibrate map"), @"
    ! error: lmdb:map: its largest raw image has 4,096 bytes: too few to time reads of
    ! hint: it takes one of 4,194,304 bytes or more; what reads cost matters to rectangles of such images only
    exit code 1
    ");
    assert_eq!(place.run("calibrate nowhere").code, 4);
    assert!(!place.names().iter().any(|name| name.contains("cost")));
}
