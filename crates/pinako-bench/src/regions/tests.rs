//! Whole runs, tiny ones.

use std::fs;
use std::ops::ControlFlow;

use pinako::ErrorKind;
use tempfile::TempDir;

use super::*;

fn tiny(out: &TempDir) -> Options {
    Options {
        positions: Some(40),
        seconds: 0.4,
        file_bytes: Options::LEAST_FILE,
        ..Options::new(out.path().join("report"))
    }
}

fn to_the_end(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_run_measures_for_the_time_given_and_leaves_only_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(&tiny(&folder), &mut to_the_end).unwrap();
    let Some(Source::Measured(how)) = &report.source else { panic!("{:?}", report.source) };
    assert!(how.queries > 0 && how.readings > how.queries && how.seconds < 60.0, "{how:?}");
    assert_eq!(report.times.len(), 12);
    let row = &report.first_times().next().unwrap().rows[0];
    let cell = row.find(Method::Row).unwrap();
    assert!(cell.measured.unwrap() > 0.0 && cell.predicted > 0.0 && (cell.reads, row.query) == (800.0, 800));

    let names: Vec<String> = fs::read_dir(folder.path().join("report"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["report.json", "report.csv", "index.html", "runs.svg", "runs.png", "growth.svg", "times-12-bytes.png"]
    {
        assert!(names.iter().any(|found| found == name), "{name} of {names:?}");
    }
    assert!(names.iter().all(|name| !name.starts_with("pinako-bench-")), "{names:?}");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("report/report.json")).unwrap()).unwrap();
    assert_eq!(json["runs"]["rows"][0]["paper"][1], 743.91);
}

#[test]
fn a_device_is_predicted_without_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let cost = Cost::new(20e-3, 1e-8, 1, 1).unwrap();
    let options = Options { tables: vec![4, 2, 4], device: Some(Device::Costs(cost)), seconds: 0.0, ..tiny(&folder) };
    run(&Options { tables: vec![1], ..tiny(&folder) }, &mut to_the_end).unwrap();
    assert!(options.out.join("runs.png").exists());
    let report = run(&options, &mut to_the_end).unwrap();
    assert!(!options.out.join("runs.png").exists(), "the plot of an older report goes");
    let names: Vec<&str> = plots::charts(&report).iter().map(|chart| chart.name).collect();
    assert!(names.iter().all(|name| plots::NAMES.contains(name)), "{names:?}");
    assert!(report.runs.is_none() && matches!(report.source, Some(Source::Device(None))));
    assert_eq!(
        report.times.iter().map(|table| (table.number, table.pixel_size)).collect::<Vec<_>>(),
        [(2, 12), (4, 4)]
    );
    for row in report.times.iter().flat_map(|table| &table.rows) {
        // A read costs as much as 2 MB: the fewer the better.
        assert!(row.best().unwrap().0 > 4, "n* is read by, too: {row:?}");
        let rows = row.find(Method::Row).unwrap();
        let bytes = rows.bytes;
        assert!((rows.predicted - (f64::from(row.query) * 20e-3 + bytes * 1e-8)).abs() < 1e-6);
        assert!(row.cells.iter().all(|cell| cell.played.is_none()));
    }
}

#[test]
fn a_device_is_played_for_the_time_given_and_no_query_is_quicker_than_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let cost = Cost::new(1e-3, 1e-9, 4, 1).unwrap();
    let options = Options { tables: vec![4], device: Some(Device::Costs(cost)), seconds: 0.5, ..tiny(&folder) };
    let report = run(&options, &mut to_the_end).unwrap();
    assert_eq!(report.times.iter().map(|table| table.in_flight).collect::<Vec<_>>(), [1, 2, 4]);
    let playing = report.playing().unwrap().clone();
    let cells: Vec<&Cell> = report.times.iter().flat_map(|table| &table.rows).flat_map(|row| &row.cells).collect();
    let played = || cells.iter().filter_map(|cell| Some((cell, cell.played?)));
    for (cell, Played { queries, seconds, predicted, requests }) in played() {
        assert_eq!(requests, 0.0, "nobody was asked");
        assert!(queries > 0 && seconds >= predicted, "{cell:?}");
    }
    assert_eq!((playing.cells, playing.of_cells), (played().count() as u64, 3 * 8 * 9));
    assert_eq!(playing.queries, played().map(|(_, played)| played.queries).sum::<u64>());
    // All rows one by one would take most of a second: the quickest of each way are measured, and others are not.
    assert!(Method::ALL.iter().all(|way| played().any(|(cell, _)| cell.method == *way)), "{playing:?}");
    assert!(playing.quickest_left.unwrap() > 0.0 && playing.cells < playing.of_cells, "{playing:?}");
    let table = &report.main_tables()[0];
    let columns = |name: &str| table.rows.iter().filter(|row| row.cells[1] == name).count();
    assert_eq!((columns("predicted"), columns("measured"), columns("paper")), (8, 8, 8));
    let csv = fs::read_to_string(options.out.join("report.csv")).unwrap();
    let timed = csv.lines().skip(1).map(|line| line.rsplit(',').nth(3).unwrap().parse::<u64>().unwrap());
    assert_eq!(timed.sum::<u64>(), playing.queries);
}

#[test]
fn a_sample_of_positions_agrees_with_all_of_them() {
    let all = runs::count(None, 0, &mut to_the_end).unwrap();
    let some = runs::count(Some(3000), 1, &mut to_the_end).unwrap();
    for (all, some) in all.rows.iter().zip(&some.rows) {
        assert_eq!((all.positions, some.positions), (u64::from(1025 - all.query).pow(2), 3000));
        for (all, some) in all.grown.iter().zip(some.grown) {
            assert!((all / some - 1.0).abs() < 0.05, "{all} {some}");
        }
    }
    // The theorem: the curve has one crossing less than pixels, and there are two borders to each pixel but the last.
    let borders = all.borders[0];
    assert_eq!((borders.crossings, borders.pixels), (1024 * 1024 - 1, 2 * 1024 * 1023));
}

#[test]
fn what_is_said_of_counts_follows_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let said = |positions| {
        let report = run(&Options { tables: vec![1], positions, ..tiny(&folder) }, &mut to_the_end).unwrap();
        let corollary = report.conclusions.iter().find(|said| said.topic == "Corollary 3.2").unwrap().text.clone();
        (report.headline.unwrap(), corollary)
    };
    let (headline, corollary) = said(Some(1));
    assert!(headline.contains("say little") && !headline.contains("no fewer"), "{headline}");
    assert!(corollary.contains("say little") && !corollary.contains("Holds"), "{corollary}");
    let (headline, corollary) = said(None);
    assert!(headline.contains("no fewer") && !headline.contains("say little"), "{headline}");
    assert!(corollary.contains("Holds by count: a query") && !corollary.contains("say little"), "{corollary}");
}

#[test]
fn what_makes_no_sense_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        Options { tables: vec![], ..tiny(&folder) },
        Options { tables: vec![1, 5], ..tiny(&folder) },
        Options { positions: Some(0), ..tiny(&folder) },
        Options { tables: vec![1], device: Some(Device::Paper), ..tiny(&folder) },
        Options { tables: vec![1], folder: Some(folder.path().to_owned()), ..tiny(&folder) },
        Options { seconds: 0.0, ..tiny(&folder) },
        Options { seconds: f64::NAN, ..tiny(&folder) },
        Options { seconds: -1.0, ..tiny(&folder) },
        Options { seconds: -1.0, device: Some(Device::Paper), ..tiny(&folder) },
        Options { file_bytes: 1 << 20, ..tiny(&folder) },
    ];
    for options in bad {
        let error = run(&options, &mut to_the_end).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{options:?}");
        assert!(!options.out.exists());
    }
}

#[test]
fn a_run_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for tables in [vec![1], vec![3]] {
        let mut steps = 0;
        let mut stop = |_: Progress<'_>| {
            steps += 1;
            if steps > 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = Options { tables, positions: Some(1_000_000_000), ..tiny(&folder) };
        let error = run(&options, &mut stop).unwrap_err();
        assert_eq!((error.kind(), folder.path().read_dir().unwrap().count()), (ErrorKind::Interrupted, 0));
    }
}

#[test]
fn a_store_is_read_as_its_backend_does_and_not_left() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { tables: vec![4], store: Some("lmdb".to_owned()), ..tiny(&folder) };
    let mut report = run(&options, &mut to_the_end).unwrap();
    let Some(Source::Store(read)) = &report.source else { panic!("{:?}", report.source) };
    assert_eq!((&*read.store, read.calibrated.images), ("lmdb", 1));
    assert!(read.playing.queries > 0 && read.playing.queries == report.playing().unwrap().queries, "{read:?}");
    assert_eq!(report.main_tables().len(), 1, "no server, no requests");
    for (requests, tables) in [(1.0, 1), (1.5, 2)] {
        let cells = report.times.iter_mut().flat_map(|table| &mut table.rows).flat_map(|row| &mut row.cells);
        cells.filter_map(|cell| cell.played.as_mut()).for_each(|played| played.requests = requests);
        assert_eq!(report.main_tables().len(), tables, "{requests} requests a query");
    }
    let left = fs::read_dir(&options.out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with("pinako-bench-")));

    let refused = |options: Options| run(&options, &mut to_the_end).unwrap_err().kind();
    assert_eq!(refused(Options { store: Some("tape".to_owned()), ..options.clone() }), ErrorKind::InvalidInput);
    assert_eq!(refused(Options { device: Some(Device::Paper), ..options }), ErrorKind::InvalidInput);
}
