//! The command on stores that servers have: everything that it does on others.

use std::fs;

use crate::support::Place;

#[allow(dead_code)]
#[path = "../../../pinako/tests/servers/mod.rs"]
mod running;

/// What a person would do with a store at `url`, where nothing is yet, and with it as a place for comparisons.
fn tour(url: &str) {
    let place = Place::new();
    let run = |args: &str| place.run(&args.replace("URL", url));
    let ok = |args: &str| place.ok(&args.replace("URL", url));

    let missing = run("info URL");
    assert_eq!(missing.code, 4, "{missing}");
    assert!(missing.talk.contains("there is no store") && missing.talk.contains("hint: "), "{missing}");

    place.specks("specks-idx3-ubyte", 300);
    for (file, seed) in [("pets/cat/tom.ppm", 1), ("pets/dog/rex.ppm", 2)] {
        place.picture(file, seed);
    }
    ok("import specks-idx3-ubyte URL");
    ok("import pets URL");
    ok("import pets URL"); // all is there
    assert!(ok("info URL").contains("302"), "{}", ok("info URL"));
    assert!(ok("list URL").contains("cat/tom"), "{}", ok("list URL"));
    ok("get URL cat/tom.ppm -o tom.ppm");
    assert_eq!(place.read("tom.ppm"), place.read("pets/cat/tom.ppm"));
    assert!(run("verify URL").talk.contains("302 images"));

    ok("copy URL lmdb:copy");
    let again = run("copy lmdb:copy URL");
    assert!(again.talk.contains("302 images had been copied before"), "nothing twice: {again}");
    ok("export URL pets-again");
    assert_eq!(fs::read_dir(place.path("pets-again")).unwrap().count(), 3, "two classes, and those without");

    assert!(run("remove URL cat/tom.ppm").talk.contains("removed 1 image"));
    ok("compact URL");
    assert!(run("vacuum --dry-run URL").talk.contains("would delete"));
    assert!(ok("info URL").contains("301"), "{}", ok("info URL"));
    assert_eq!(run("get URL cat/tom.ppm").code, 4);

    let linked = run("put URL --link pets/dog/rex.ppm --name linked");
    assert!(linked.talk.contains("the links are paths on this machine"), "{linked}");
    ok("remove URL linked");

    ok("bench stores --counts 7 --repetitions 1 --backends lmdb,URL --out stores");
    let page = String::from_utf8(place.read("stores/index.html")).unwrap();
    assert!(page.contains("Requests and bytes") && page.contains(": 7 images take "), "{page}");
    let bench = "bench regions --tables 4 --seconds 0.3 --store URL --out regions";
    assert!(ok(bench).contains("Requests of a query when pixel size = 4"), "{}", ok(bench));
    assert!(ok("info URL").contains("301"), "comparisons leave it alone");
}

#[test]
fn a_store_in_postgres_has_all_that_others_have() {
    if let Some(url) = running::fresh_url("POSTGRES") {
        tour(&url);
    }
}

#[test]
fn a_store_in_a_bucket_has_all_that_others_have() {
    if let Some(url) = running::fresh_url("S3") {
        tour(&url);
    }
}
