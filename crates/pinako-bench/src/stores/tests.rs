//! Whole runs, tiny ones.

use std::fs;
use std::ops::ControlFlow;

use pinako::{ErrorKind, NewImage, Store};
use tempfile::TempDir;

use super::contender::Contender;
use super::*;
use crate::machine::Machine;
use crate::pictures;

fn tiny(out: &TempDir) -> Options {
    Options {
        counts: vec![50, 1, 10, 1],
        backends: vec!["lmdb".into(), "hdf5".into(), "lmdb".into()],
        repetitions: 1,
        ..Options::new(out.path().join("report"))
    }
}

fn to_the_end(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_run_measures_everything_and_leaves_only_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let options = tiny(&folder);
    let (mut last, mut total) = (0, 0);
    let report = run(&options, &mut |progress| {
        assert!(progress.done >= last && progress.done <= progress.total, "{progress:?}");
        (last, total) = (progress.done, progress.total);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(total > 0);
    assert_eq!((&report.counts[..], &report.backends[..]), (&[1, 10, 50][..], &["lmdb".into(), "hdf5".into()][..]));

    for backend in &report.backends {
        for &count in &report.counts {
            for operation in Operation::ALL {
                let found = report.find(backend, count, operation);
                let random = matches!(operation, Operation::RandomCold | Operation::RandomWarm);
                // Too few for single reads from a cold cache.
                let measured = operation == Operation::RandomWarm && count == 50;
                assert_eq!(found.is_some(), !random || measured, "{backend} {count} {operation:?}");
                let Some(found) = found else { continue };
                let memory = matches!(operation, Operation::StoreMemory | Operation::ReadMemory);
                assert_eq!(found.samples.len(), if memory { 1 } else { 3 }, "{operation:?}");
                assert!(memory || found.summary.min > 0.0, "{found:?}");
                assert_eq!(found.singles.is_empty(), !random);
            }
        }
        let median = |operation| report.find(backend, 50, operation).unwrap().summary.median;
        assert!(median(Operation::OpenWarm) < median(Operation::ReadWarm), "opening is a part of reading");
        assert!(median(Operation::Disk) >= 50.0 * pictures::BYTES as f64 * 0.5, "images take space");
    }

    let mut names: Vec<String> =
        fs::read_dir(&options.out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.iter().any(|name| name == "report.csv") && names.iter().any(|name| name == "report.json"));
    assert!(!names.iter().any(|name| name.starts_with("pinako-bench-")), "{names:?}");

    let json: serde_json::Value = serde_json::from_slice(&fs::read(options.out.join("report.json")).unwrap()).unwrap();
    assert_eq!(json["measurements"].as_array().unwrap().len(), report.measurements.len());
    assert_eq!(json["recommendation"]["headline"], report.recommendation.headline);
    let csv = fs::read_to_string(options.out.join("report.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + report.measurements.len());
    assert!(csv.contains("lmdb,50,store_synced,seconds,3,"), "{csv}");
}

#[test]
fn images_of_different_shapes_are_measured_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for side in 1..4u8 {
        let pixels = [b"P5 ".to_vec(), format!("{side} {side} 255\n").into_bytes(), vec![side; (side * side).into()]];
        fs::write(source.join(format!("{side}.pgm")), pixels.concat()).unwrap();
    }
    let report = run(&Options { data: Some(source), ..tiny(&folder) }, &mut to_the_end).unwrap();
    assert_eq!((report.data.images, report.data.bytes, report.data.shape), (3, 14, None));
}

#[test]
fn a_file_that_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("text.png");
    fs::write(&source, "no image").unwrap();
    let error = run(&Options { data: Some(source.clone()), ..tiny(&folder) }, &mut to_the_end).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: not an image file", source.display())), "{error}");
}

#[test]
fn a_store_that_gives_other_images_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let liar = Contender::new("liar", |path, opening| {
        let truth = Contender::of_backend("lmdb").start(path, opening)?;
        if opening != super::contender::Opening::Read {
            return Ok(truth);
        }
        let lies = Store::create("memory:")?;
        for place in 0..truth.count()? {
            let (image, label) = (truth.image(place)?, truth.descriptor(place)?.label);
            let other = match place {
                7 => truth.image(8)?,
                _ => image,
            };
            lies.append([NewImage::pixels(&other).label(label)])?;
        }
        Ok(lies)
    });
    let options = tiny(&folder).checked().unwrap();
    let error = compare(&options, &[liar], &mut to_the_end).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), "liar: image 7 is not the image that was stored");
    assert!(!options.out.exists(), "no report and no store is left");
}

#[test]
fn what_a_server_keeps_is_not_read_cold_and_takes_part_in_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut far = Contender::new("far", |path, opening| Contender::of_backend("lmdb").start(path, opening));
    far.is_on_server = true;
    let options = Options { counts: vec![1_000], ..tiny(&folder) }.checked().unwrap();
    let (mut done, mut total) = (0, 0);
    let report = compare(&options, &[far, Contender::of_backend("lmdb")], &mut |progress| {
        (done, total) = (progress.done, progress.total);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(done <= total && done + 2_000 >= total, "{done} of {total}");
    for operation in Operation::ALL {
        let is_cold = matches!(operation, Operation::ReadCold | Operation::OpenCold | Operation::RandomCold);
        assert!(report.find("lmdb", 1_000, operation).is_some(), "{operation:?}");
        assert_eq!(report.find("far", 1_000, operation).is_some(), !is_cold, "{operation:?}");
    }
    for advice in &report.recommendation.advice {
        let is_cold = matches!(advice.operation, Operation::ReadCold | Operation::RandomCold);
        assert!(!is_cold || advice.best == ["lmdb"], "{advice:?}");
    }
    let mut alone = Contender::of_backend("lmdb");
    alone.is_on_server = true;
    let report = compare(&options, &[alone], &mut to_the_end).unwrap();
    report.write(folder.path()).unwrap();
}

#[test]
fn a_run_that_is_broken_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = tiny(&folder);
    let mut steps = 0;
    let error = run(&options, &mut |_| {
        steps += 1;
        if steps < 7 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .unwrap_err();
    assert_eq!((error.kind(), steps), (ErrorKind::Interrupted, 7));
    assert!(!options.out.exists());
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut Options)| {
        let mut options = tiny(&folder);
        change(&mut options);
        let error = run(&options, &mut to_the_end).unwrap_err();
        assert!(!options.out.exists());
        (error.kind(), error.to_string())
    };
    let invalid = |message: &str| (ErrorKind::InvalidInput, message.to_owned());
    assert_eq!(refused(|options| options.counts.clear()), invalid("no counts of images are given"));
    assert_eq!(refused(|options| options.counts.push(0)), invalid("0 is no count of images: 1 to 1000000000 are"));
    let beyond = "18446744073709551615 is no count of images: 1 to 1000000000 are";
    assert_eq!(refused(|options| options.counts.push(u64::MAX)), invalid(beyond));
    assert_eq!(refused(|options| options.backends.clear()), invalid("no backends are given"));
    assert_eq!(
        refused(|options| options.backends.push("tape".into())),
        invalid("\"tape\" is no kind of store that can be measured")
    );
}

#[test]
fn a_store_that_does_not_fit_the_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { counts: vec![Options::LARGEST_COUNT], ..tiny(&folder) };
    let images = SourceImages::make(0, 1).unwrap();
    let error = check_space(folder.path(), &images, options.counts[0]).unwrap_err();
    assert!(error.hint().unwrap().contains("smaller counts"), "{error}");
}

/// A report as a run of all backends might give it; the figures are made up.
fn made_up() -> Report {
    let scale = [
        ("files", [250e-6, 90e-6, 170e-6, 15e-6, 80e-6, 30e-6, 400e-6, 4_200.0]),
        ("lmdb", [9e-6, 5e-6, 2e-6, 2.2e-6, 9e-6, 0.9e-6, 130e-6, 4_190.0]),
        ("hdf5", [4e-6, 3e-6, 1.5e-6, 1.4e-6, 5e-6, 2e-6, 210e-6, 3_140.0]),
        ("sqlite", [14e-6, 9e-6, 4e-6, 4e-6, 12e-6, 8e-6, 260e-6, 4_096.0]),
    ];
    let mut measurements = Vec::new();
    for (backend, figures) in scale {
        for count in Options::COUNTS {
            let n = count as f64;
            let [synced, buffered, _, warm, cold, random, far, disk] = figures;
            let mut add = |operation, value: f64, spread: f64| {
                let samples = vec![value, value * (1.0 + spread), value * (1.0 - spread / 2.0)];
                let singles = match operation {
                    Operation::RandomCold | Operation::RandomWarm => samples.clone(),
                    _ => Vec::new(),
                };
                measurements.extend(Measurement::new(backend.into(), count, operation, samples, singles));
            };
            add(Operation::StoreSynced, 6e-3 + synced * n, 0.3);
            add(Operation::StoreBuffered, 1e-3 + buffered * n, 0.1);
            add(Operation::ReadWarm, 2e-4 + warm * n, 0.05);
            add(Operation::ReadCold, 2e-3 + cold * n, 0.2);
            add(Operation::OpenWarm, 1e-4, 0.05);
            add(Operation::OpenCold, 1e-3, 0.05);
            add(Operation::Disk, 16_384.0 + disk * n, 0.0);
            add(Operation::StoreMemory, (4e6 + 100.0 * n).min(5e7), 0.0);
            add(Operation::ReadMemory, 1e6, 0.0);
            if count == 100_000 {
                add(Operation::RandomWarm, random, 0.4);
                add(Operation::RandomCold, far, 0.9);
            }
        }
    }
    Report {
        head: Head {
            pinako_version: "0.1.0".into(),
            command: "pinako bench stores --out <report>".into(),
            date: "2026-01-02T03:04:05Z".into(),
            seconds: 245.0,
            debug_build: false,
            machine: Machine::here(Path::new(".")),
            folder: "/data/report".into(),
        },
        data: Data {
            description: "pictures made up, seed 0".into(),
            images: 50_000,
            bytes: 153_600_000,
            shape: Some("32x32x3 u8".into()),
            sheet: SourceImages::make(0, 16).unwrap().data.sheet,
        },
        cold_is_cold: true,
        backends: Options::BACKENDS.map(str::to_owned).to_vec(),
        counts: Options::COUNTS.to_vec(),
        recommendation: recommendation::recommend(&measurements),
        requests: Vec::new(),
        measurements,
    }
}

#[test]
fn the_report_is_complete_and_needs_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    made_up().write(folder.path()).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut expected: Vec<String> =
        plots::NAMES.iter().flat_map(|name| [format!("{name}.png"), format!("{name}.svg")]).collect();
    expected.extend(["index.html", "report.csv", "report.json"].map(str::to_owned));
    expected.sort();
    assert_eq!(names, expected);

    for name in plots::NAMES {
        let png = fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
        let svg = fs::read_to_string(folder.path().join(format!("{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("viewBox") && !svg.contains("var("), "{name}");
    }
    let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
    let page = page.replace("url(#", ""); // a place in the page itself
    for outside in ["<script", "<link", "src=\"http", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("Against hdf5, lmdb reads single images 2.2x faster."));
    assert!(page.contains("pinako bench stores --out &lt;report&gt;"), "what others wrote is escaped");
    assert!(page.contains("25.0 s") && page.contains("314 MB") && page.contains("data:image/png;base64,iVBOR"));
    assert!(!page.contains("class=\"warning\""));
}

#[test]
fn a_report_that_deserves_no_trust_says_so() {
    let mut report = made_up();
    (report.head.debug_build, report.cold_is_cold) = (true, false);
    let page = page::page(&report, &[]);
    assert_eq!(page.matches("class=\"warning\"").count(), 2);
}

#[test]
fn one_count_of_one_image_is_enough_for_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { counts: vec![1], backends: vec!["lmdb".into()], ..tiny(&folder) };
    let report = run(&options, &mut to_the_end).unwrap();
    assert_eq!(report.recommendation.headline, "Only lmdb was measured, so there is nothing to choose from.");
    assert!(options.out.join("index.html").exists() && !options.out.join("store-log.png").exists());
}

#[test]
fn a_report_replaces_an_older_one_with_more_plots_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine.png");
    fs::write(&mine, "mine").unwrap();
    let mut report = made_up();
    report.write(folder.path()).unwrap();
    report.counts = vec![1];
    report.write(folder.path()).unwrap();
    let is_there = |name: &str| folder.path().join(name).exists();
    assert!(mine.exists() && is_there("disk.png") && is_there("disk.svg"));
    for plot in plots::NAMES.into_iter().filter(|name| *name != "disk") {
        assert!(!is_there(&format!("{plot}.png")) && !is_there(&format!("{plot}.svg")), "{plot}");
    }
}
