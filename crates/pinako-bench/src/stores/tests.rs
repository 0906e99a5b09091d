//! Whole runs, tiny ones.

use std::fs;
use std::ops::ControlFlow;

use pinako::{ErrorKind, NewImage, Store};
use tempfile::TempDir;

use super::contender::Contender;
use super::*;
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
                assert_eq!(found.is_some(), !random || count == 50, "{backend} {count} {operation:?}");
                let Some(found) = found else { continue };
                let memory = matches!(operation, Operation::StoreMemory | Operation::ReadMemory);
                assert_eq!(found.samples.len(), if memory { 1 } else { 5 }, "{operation:?}");
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
    assert!(csv.contains("lmdb,50,store_synced,seconds,5,"), "{csv}");
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
    assert_eq!(fs::read_dir(&options.out).unwrap().count(), 0, "no report and no store is left");
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
    assert_eq!(fs::read_dir(&options.out).unwrap().count(), 0);
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
    assert_eq!(refused(|options| options.counts.push(0)), invalid("0 is no count of images"));
    assert_eq!(refused(|options| options.backends.clear()), invalid("no backends are given"));
    assert_eq!(
        refused(|options| options.backends.push("tape".into())),
        invalid("\"tape\" is no backend that can be compared")
    );
}

#[test]
fn a_store_that_does_not_fit_the_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { counts: vec![u64::MAX / 2], ..tiny(&folder) };
    let images = SourceImages::make(0, 1).unwrap();
    let error = check_space(folder.path(), &images, options.counts[0]).unwrap_err();
    assert!(error.hint().unwrap().contains("smaller counts"), "{error}");
}
