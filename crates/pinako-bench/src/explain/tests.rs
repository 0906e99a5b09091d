use pinako::{Image, NewImage, PixelEncoding, SampleType, Shape};

use super::*;

fn explained(store: &Store, region: Region, options: &Options) -> Result<Explanation> {
    explain(store, 0, region, options, &mut |_| ControlFlow::Continue(()))
}

fn store(layout: &str, side: u32) -> Store {
    let store = Store::create("memory:").unwrap();
    let shape = Shape::new(side, side, 3).unwrap();
    let bytes = (0..shape.byte_length(SampleType::U8)).map(|at| (at % 253) as u8).collect();
    let image = Image::from_bytes(shape, SampleType::U8, bytes).unwrap();
    let encoding = match layout {
        "png" => PixelEncoding::Png,
        layout => PixelEncoding::RawIn(layout.parse().unwrap()),
    };
    store.append([NewImage::encoded(image.view(), encoding)]).unwrap();
    store
}

fn region(text: &str) -> Region {
    text.parse().unwrap()
}

#[test]
fn the_ways_are_those_of_the_plans_and_growing_ends_at_one_read() {
    for layout in ["row", "hilbert:1", "hilbert:64"] {
        let store = store(layout, 200);
        let region = region("13,57,60,41");
        let found = explained(&store, region, &Options { measure: true, ..Options::default() }).unwrap();
        let names: Vec<&str> = found.ways.iter().map(|way| way.strategy.as_str()).collect();
        assert!(names.starts_with(&["exact", "grow:1"]) && names.ends_with(&["paper", "optimal"]), "{names:?}");
        for way in &found.ways {
            let plan = store.plan(0, region, way.strategy.parse().unwrap(), Budget::default()).unwrap();
            assert_eq!((way.reads, way.bytes), (plan.reads.len(), plan.bytes()));
            assert!(way.runs >= way.reads && (way.strategy == "optimal" || way.runs == way.reads), "{way:?}");
            assert_eq!(way.bytes, found.region_bytes + way.extra_bytes.unwrap());
            assert!(way.measured_seconds.unwrap().median > 0.0);
        }
        let single = found.ways.iter().filter(|way| way.strategy.starts_with("grow") && way.reads == 1);
        assert!(single.count() <= 1, "{layout}");
        assert!(found.ways.iter().all(|way| way.predicted_seconds >= found.ways.last().unwrap().predicted_seconds));
    }
}

#[test]
fn an_image_that_must_be_decoded_is_read_whole() {
    let store = store("png", 50);
    let options = Options { measure: true, ..Options::default() };
    let found = explained(&store, region("1,2,3,4"), &options).unwrap();
    let [way] = &found.ways[..] else { panic!("{found:?}") };
    assert_eq!((way.strategy.as_str(), way.reads, way.extra_bytes, found.n_star), ("whole", 1, None, None));
    assert!(found.frontier.is_empty() && found.frontier_in_brief(9).is_empty());
    assert_eq!(way.bytes, store.descriptor(0).unwrap().payload_length);
    assert_eq!(picture(&store, 0, region("1,2,3,4"), &options).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn the_frontier_goes_from_every_run_to_one_read_and_has_the_optimal_plan() {
    for layout in ["row", "hilbert:1", "hilbert:64"] {
        let store = store(layout, 200);
        let region = region("13,57,60,41");
        let found = explained(&store, region, &Options::default()).unwrap();
        let reads: Vec<usize> = found.frontier.iter().map(|point| point.reads).collect();
        assert_eq!(reads, (1..=found.ways[0].reads).rev().collect::<Vec<_>>());
        assert_eq!(found.frontier[0].bytes, found.ways[0].bytes);
        assert!(found.frontier.windows(2).all(|pair| pair[0].bytes < pair[1].bytes));
        let optimal: Vec<&Point> = found.frontier.iter().filter(|point| point.is_optimal).collect();
        let [optimal] = &optimal[..] else { panic!("{optimal:?}") };
        let way = found.ways.last().unwrap();
        assert_eq!((optimal.reads, optimal.bytes, Some(optimal.extra_bytes)), (way.reads, way.bytes, way.extra_bytes));
        for points in [1, 2, 5, 9] {
            let brief = found.frontier_in_brief(points);
            assert!(brief.len() <= points.max(2) + 1 && brief.contains(optimal), "{brief:?}");
            assert_eq!((brief.first(), brief.last()), (found.frontier.first(), found.frontier.last()));
        }
    }
}

#[test]
fn a_budget_bounds_the_optimal_way_and_no_other() {
    let store = store("hilbert:1", 200);
    let region = region("13,57,60,41");
    let budget = Budget { max_reads: Some(4), max_extra_bytes: None };
    let found = explained(&store, region, &Options { budget, ..Options::default() }).unwrap();
    assert!(found.ways.last().unwrap().reads <= 4 && found.ways[0].reads > 4);
    assert!(found.frontier.iter().any(|point| point.is_optimal && point.reads == found.ways.last().unwrap().reads));
    let strategies = vec![Strategy::Exact];
    assert!(explained(&store, region, &Options { budget, strategies, ..Options::default() }).is_err());
    let budget = Budget { max_reads: Some(4), max_extra_bytes: Some(0) };
    let error = explained(&store, region, &Options { budget, ..Options::default() }).unwrap_err();
    assert_eq!((error.kind(), error.id()), (ErrorKind::InvalidInput, Some(0)));
}

#[test]
fn ways_that_take_too_long_are_not_read_by_and_a_watch_stops_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("files:{}", folder.path().join("map").display());
    let image = Image::from_bytes(Shape::new(64, 64, 1).unwrap(), SampleType::U8, vec![7; 4096]).unwrap();
    let encoding = PixelEncoding::RawIn("hilbert:1".parse().unwrap());
    Store::create(&url).unwrap().append([NewImage::encoded(image.view(), encoding)]).unwrap();
    // A second for each dozen bytes, and next to nothing for a read.
    let slow = pinako::backend::IoHints { read_seconds: 1e-9, byte_seconds: 0.08, parallel_reads: 1, block: 1 };
    let store = Store::options().device(slow).open_read_only(&url).unwrap();
    let measure = Options { measure: true, ..Options::default() };
    let found = explained(&store, region("5,9,22,19"), &measure).unwrap();
    assert!(found.ways.iter().all(|way| way.predicted_seconds > 30.0 && way.measured_seconds.is_none()), "{found:?}");

    let mut readings = 0;
    let stopped = explain(&self::store("row", 200), 0, region("1,2,3,4"), &measure, &mut |so_far| {
        readings = so_far;
        if so_far < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!((stopped.unwrap_err().kind(), readings), (ErrorKind::Interrupted, 3));
}

#[test]
fn pictures_are_drawn_of_images_of_any_shape_and_regions_anywhere() {
    for (layout, shape, at) in [
        ("hilbert:1", (1, 1), "0,0,1,1"),
        ("hilbert:256", (3, 700), "690,2,10,1"),
        ("hilbert:64", (1025, 1023), "0,0,1023,1025"),
        ("row", (300, 5), "4,299,1,1"),
        ("hilbert:2", (64, 64), "63,63,1,1"),
    ] {
        let store = Store::create("memory:").unwrap();
        let shape = Shape::new(shape.0, shape.1, 1).unwrap();
        let image = Image::from_bytes(shape, SampleType::U8, vec![7; shape.pixels() as usize]).unwrap();
        store.append([NewImage::encoded(image.view(), PixelEncoding::RawIn(layout.parse().unwrap()))]).unwrap();
        let strategies =
            vec![Strategy::Exact, Strategy::Grow(3), Strategy::Grow(pinako::plan::MAX_GROWTH), Strategy::Optimal];
        let drawn = picture(&store, 0, region(at), &Options { strategies, ..Options::default() }).unwrap();
        assert!(Image::decode(&drawn, 1 << 28).is_ok(), "{layout} {at}");
    }
}
