//! A rectangle of an image equals the crop of the whole, whatever the image, its layout, encoding and backend.
//!
//! `PROPTEST_CASES=10000` takes about as many regions a backend.

mod schemes;
#[cfg(feature = "postgres")]
mod servers;

use pinako::backend::{IoHints, ReadRequest};
use pinako::backends::{self, Mode};
use pinako::plan::{self, Budget};
use pinako::wrappers::{Counted, Delayed, Fault, Faulty, Operation};
use pinako::{
    BlockSide, Durability, ErrorKind, Image, Layout, NewImage, PixelEncoding, Region, SampleType, Shape, Store,
};
use proptest::prelude::{Just, ProptestConfig, Strategy};
use proptest::test_runner::TestRunner;
use proptest::{collection, prop_assert, prop_assert_eq, prop_oneof};
use schemes::SCHEMES;

const SAMPLES: [SampleType; 6] = SampleType::ALL;

/// An image and how it is stored.
fn images() -> impl Strategy<Value = (Image, PixelEncoding)> {
    let encodings = prop_oneof![
        Just(PixelEncoding::RawIn(Layout::Row)),
        (0..=8u32).prop_map(|log| PixelEncoding::RawIn(Layout::Hilbert(BlockSide::new(1 << log).unwrap()))),
        Just(PixelEncoding::Png),
    ];
    (1..90u32, 1..90u32, 1..9u16, 0..SAMPLES.len(), encodings, 0..256usize).prop_map(
        |(height, width, channels, sample, encoding, seed)| {
            let (shape, sample) = (Shape::new(height, width, channels).unwrap(), SAMPLES[sample]);
            let bytes = (0..shape.byte_length(sample) as usize).map(|at| (at * 37 + at / 241 + seed) as u8).collect();
            let encoding = if encoding.fits(shape, sample) { encoding } else { PixelEncoding::Raw };
            (Image::from_bytes(shape, sample, bytes).unwrap(), encoding)
        },
    )
}

/// A region inside an image of that shape, from parts of its sides.
fn region(shape: Shape, [x, y, width, height]: [u16; 4]) -> Region {
    let part = |part: u16, side: u32| u32::from(part) * side / 65_536;
    let (x, y) = (part(x, shape.width()), part(y, shape.height()));
    Region::new(x, y, 1 + part(width, shape.width() - x), 1 + part(height, shape.height() - y)).unwrap()
}

#[test]
fn regions_are_crops_on_every_backend() {
    for scheme in ["memory"].iter().chain(SCHEMES) {
        println!("on {scheme}:");
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}:{}", folder.path().join("store").display());
        regions_are_crops(&match *scheme {
            "memory" => Store::create("memory:").unwrap(),
            _ => Store::options().durability(Durability::Buffered).create(&url).unwrap(),
        });
    }
}

#[cfg(feature = "postgres")]
#[test]
fn regions_are_crops_in_postgresql() {
    let Some(url) = servers::fresh_url("POSTGRES") else { return };
    regions_are_crops(&Store::options().durability(Durability::Buffered).create(&url).unwrap());
    servers::drop_fresh(&url);
}

fn regions_are_crops(store: &Store) {
    // A batch of images a case and some regions of each.
    let batches = collection::vec((images(), collection::vec(proptest::array::uniform4(0..=u16::MAX), 5)), 1..5);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let config = ProptestConfig { cases: config.cases.div_ceil(12), ..config };
    let run = TestRunner::new(config).run(&batches, |batch| {
        let new = batch.iter().map(|((image, encoding), _)| NewImage::encoded(image.view(), *encoding));
        let ids = store.append(new).unwrap();
        let mut asked = Vec::new();
        let mut expected = Vec::new();
        for (id, ((image, encoding), parts)) in ids.zip(&batch) {
            for &part in parts {
                let region = region(image.shape(), part);
                let crop = image.view().crop(region).unwrap();
                let mut out = vec![0; crop.bytes().len()];
                store.region_into(id, region, &mut out).unwrap();
                prop_assert!(out == crop.bytes(), "{region} of image {id}");
                let strategy = [plan::Strategy::Exact, plan::Strategy::Grow(part[0] as u32 % 9), plan::Strategy::Paper];
                let strategy = strategy[part[1] as usize % 3];
                match store.region_by(id, region, strategy, Budget::default()) {
                    Ok(image) => prop_assert_eq!(image, crop.clone(), "{} of image {}", region, id),
                    Err(error) => {
                        prop_assert_eq!((error.kind(), *encoding), (ErrorKind::Unsupported, PixelEncoding::Png))
                    }
                }
                asked.push((id, region));
                expected.push(crop);
            }
        }
        prop_assert!(store.regions(&asked).unwrap() == expected);
        let bytes = expected.iter().flat_map(Image::bytes).copied().collect::<Vec<u8>>();
        let mut out = vec![0; bytes.len()];
        store.regions_into(&asked, &mut out).unwrap();
        prop_assert!(out == bytes);
        prop_assert_eq!(store.region(asked[0].0, asked[0].1).unwrap(), expected[0].clone());
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("on {}: {error}", store.url()));
}

/// An image of 600 x 700 pixels.
fn large() -> Image {
    let bytes = (0..600 * 700 * 3).map(|at| (at * 31 + at / 251) as u8).collect();
    Image::from_bytes(Shape::new(600, 700, 3).unwrap(), SampleType::U8, bytes).unwrap()
}

fn memory() -> Box<dyn pinako::backend::Backend> {
    backends::open("memory:", Mode::Create, Durability::Full).unwrap()
}

/// Images that files: maps, on a device that a read costs nothing on: optimal plans have hundreds of reads, more than are
/// asked of the disk at once.
#[test]
fn regions_of_many_reads_are_crops_on_every_backend() {
    let device = IoHints { read_seconds: 1e-12, byte_seconds: 1e-9, parallel_reads: 1, block: 1 };
    let image = large();
    let regions: Vec<Region> =
        ["0,0,700,600", "3,1,690,598", "100,200,64,50", "350,0,1,600", "0,301,700,2", "699,599,1,1"]
            .map(|region| region.parse().unwrap())
            .to_vec();
    for scheme in ["memory"].iter().chain(SCHEMES) {
        let folder = tempfile::tempdir().unwrap();
        let url = match *scheme {
            "memory" => "memory:".to_owned(),
            _ => format!("{scheme}:{}", folder.path().join("store").display()),
        };
        let store = Store::options().device(device).durability(Durability::Buffered).create(&url).unwrap();
        let encodings = ["row", "hilbert:1", "hilbert:8", "hilbert:64"];
        let new =
            encodings.map(|layout| NewImage::encoded(image.view(), PixelEncoding::RawIn(layout.parse().unwrap())));
        let mut asked = Vec::new();
        let mut most = 0;
        for id in store.append(new).unwrap() {
            for &region in &regions {
                let crop = image.view().crop(region).unwrap();
                assert!(
                    store.region(id, region).unwrap() == crop,
                    "{region} of {} on {scheme}",
                    encodings[id as usize]
                );
                let grown = store.region_by(id, region, plan::Strategy::Grow(2), Budget::default()).unwrap();
                assert!(grown == crop, "{region} of {} on {scheme}, grown", encodings[id as usize]);
                most = most.max(store.plan(id, region, Default::default(), Default::default()).unwrap().reads.len());
                asked.push((id, region));
            }
        }
        assert!(most > 512, "{most}");
        asked.sort_by_key(|(_, region)| (region.x(), region.y())); // images in turn
        for (image_of, &(id, region)) in store.regions(&asked).unwrap().iter().zip(&asked) {
            assert!(*image_of == image.view().crop(region).unwrap(), "{region} of {id} on {scheme}, together");
        }
    }
}

#[test]
fn only_what_is_planned_is_read_and_shared_bytes_once() {
    let image = large();
    let region: Region = "100,200,64,50".parse().unwrap();
    for layout in ["row", "hilbert:1", "hilbert:64"] {
        let counted = Counted::new(memory());
        let counts = counted.counts();
        let store = Store::from_backend(counted);
        let encoding = PixelEncoding::RawIn(layout.parse().unwrap());
        let ids = store.append([0; 2].map(|_| NewImage::encoded(image.view(), encoding))).unwrap();
        let requests = |strategy| -> Vec<ReadRequest> {
            let of_image = |id| {
                let reads = store.plan(id, region, strategy, Budget::default()).unwrap().reads;
                reads.into_iter().map(move |range| ReadRequest::new(id, range))
            };
            ids.clone().flat_map(of_image).collect()
        };
        for strategy in [plan::Strategy::Exact, plan::Strategy::Grow(3), plan::Strategy::Paper, plan::Strategy::Optimal]
        {
            let planned = requests(strategy);
            counts.reset();
            for id in ids.clone() {
                store.region_by(id, region, strategy, Budget::default()).unwrap();
            }
            assert_eq!(counts.reads(), planned, "{strategy}, {layout}");
            // All of an image at once, so that they can be in flight together.
            assert_eq!((counts.calls(Operation::Read), counts.calls(Operation::Fetch)), (2, 0), "{strategy}, {layout}");
        }

        let inside = "110,210,20,20".parse().unwrap();
        let both = ids.clone().flat_map(|id| [(id, region), (id, inside), (id, region)]);
        let planned = requests(plan::Strategy::Optimal);
        counts.reset();
        store.regions(&both.collect::<Vec<_>>()).unwrap();
        let mut reads = counts.reads(); // by several threads
        reads.sort_by_key(|read| (read.id, read.range.start));
        assert_eq!(reads, planned, "{layout}");
        assert!(counts.bytes_read() < image.bytes().len() as u64, "{layout}");
    }
}

/// 20 ms a read, one in flight: a [`Delayed`] batch of K reads waits K times as long (its own tests hold that).
#[test]
fn a_square_of_a_large_image_is_three_reads_of_a_distant_store_at_most() {
    const SIDE: u32 = 8192;
    let row: Vec<u8> = (0..SIDE + 251).map(|at| (at % 251) as u8).collect();
    let mut pixels = Vec::with_capacity((SIDE * SIDE) as usize);
    (0..SIDE as usize).for_each(|y| pixels.extend_from_slice(&row[y % 251..][..SIDE as usize]));
    let image = Image::from_bytes(Shape::new(SIDE, SIDE, 1).unwrap(), SampleType::U8, pixels).unwrap();
    let far = IoHints { read_seconds: 0.02, byte_seconds: 1e-9, parallel_reads: 1, block: 1 };
    let counted = Counted::new(Box::new(Delayed::new(memory(), far).unwrap()));
    let counts = counted.counts();
    let store = Store::from_backend(counted);
    let encodings = ["row", "hilbert:64"].map(|layout| PixelEncoding::RawIn(layout.parse().unwrap()));
    let ids = store.append(encodings.map(|encoding| NewImage::encoded(image.view(), encoding))).unwrap();
    let (by_row, by_curve) = (ids.start, ids.start + 1);

    // Where quarters of the curve meet, reads are most.
    let meeting = [1024, 2048, 4096, 6144];
    for side in [100, 200, 400, 800] {
        let corners = meeting.iter().flat_map(|&x| meeting.map(|y| (x - side / 2, y - side / 2)));
        let others = (0..100).map(|at| ((at * 7919) % (SIDE - side), (at * 104_729) % (SIDE - side)));
        for (x, y) in corners.chain(others) {
            let region = Region::new(x, y, side, side).unwrap();
            let reads = |id, strategy| store.plan(id, region, strategy, Budget::default()).unwrap().reads.len();
            assert_eq!(reads(by_row, plan::Strategy::Exact), side as usize);
            assert!(reads(by_curve, plan::Strategy::Optimal) <= 3, "{region}");
        }
        counts.reset();
        let region = Region::new(SIDE / 2 - side / 2, SIDE / 2 - side / 2, side, side).unwrap();
        assert!(store.region(by_curve, region).unwrap() == image.view().crop(region).unwrap(), "{region}");
        assert!(counts.calls(Operation::Read) == 1 && counts.read_requests() <= 3, "{region}");
    }
}

#[test]
fn a_backend_that_gives_too_little_or_nothing_is_an_error_and_no_wrong_pixel() {
    let region: Region = "100,200,64,50".parse().unwrap();
    let exact = |store: &Store, id| store.region_by(id, region, plan::Strategy::Exact, Budget::default()).map(drop);
    for layout in ["row", "hilbert:1", "hilbert:8", "hilbert:64"] {
        let faulty = Faulty::new(memory());
        let faults = faulty.faults();
        let store = Store::from_backend(faulty);
        let encoding = PixelEncoding::RawIn(layout.parse().unwrap());
        let image = large();
        let id = store.append([0; 2].map(|_| NewImage::encoded(image.view(), encoding))).unwrap().start;
        let reads = store.plan(id, region, plan::Strategy::Exact, Budget::default()).unwrap().reads.len();
        assert!(reads > 1, "{layout}");
        let mut whole = vec![0; 2 * image.bytes().len()];
        let mut ways: [(Operation, &mut dyn FnMut() -> pinako::Result<()>); 8] = [
            (Operation::Read, &mut || store.region(id, region).map(drop)),
            (Operation::Read, &mut || store.region_into(id, region, &mut [0; 64 * 50 * 3])),
            (Operation::Read, &mut || store.regions(&[(id + 1, region), (id, region), (id, region)]).map(drop)),
            (Operation::Read, &mut || exact(&store, id)),
            (Operation::Fetch, &mut || store.image(id).map(drop)),
            (Operation::Fetch, &mut || store.payload(id).map(drop)),
            (Operation::Fetch, &mut || store.images_into(&[id, id + 1], &mut whole).map(drop)),
            (Operation::Describe, &mut || store.region(id, region).map(drop)),
        ];
        for (number, (operation, read)) in ways.iter_mut().enumerate() {
            for fault in [Fault::Before(*operation), Fault::Skipped(*operation), Fault::Doubled(*operation)] {
                faults.order(fault, 0);
                let error = read().expect_err(&format!("way {number}, {fault:?}, {layout}"));
                assert_eq!(error.kind(), ErrorKind::Backend, "way {number}, {fault:?}, {layout}: {error}");
                let of_image = matches!(error.id(), Some(found) if found == id || found == id + 1);
                assert!(of_image || fault == Fault::Before(*operation), "way {number}, {fault:?}, {layout}: {error}");
            }
            if *operation != Operation::Describe {
                faults.order(Fault::ShortRead, 0);
                assert_eq!(read().unwrap_err().kind(), ErrorKind::Corrupt, "way {number}, {layout}");
            }
            read().unwrap();
        }
        assert_eq!(store.region(id, region).unwrap(), image.view().crop(region).unwrap());
    }
}

#[test]
fn regions_that_are_not_there_are_refused() {
    let store = Store::create("memory:").unwrap();
    let id = store.append([NewImage::pixels(&large())]).unwrap().start;
    for (region, text) in [("690,0,11,1", "not inside"), ("0,599,1,2", "not inside"), ("700,600,1,1", "not inside")] {
        let error = store.region(id, region.parse().unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::InvalidInput, Some(id)));
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(store.region(id + 1, "0,0,1,1".parse().unwrap()).unwrap_err().kind(), ErrorKind::NotFound);
    let error = store.region_into(id, "0,0,2,2".parse().unwrap(), &mut [0; 11]).unwrap_err();
    assert!(error.to_string().contains("11 bytes for a region of 12"), "{error}");
    let error = store.regions_into(&[(id, "0,0,2,2".parse().unwrap()); 3], &mut [0; 35]).unwrap_err();
    assert!(error.to_string().contains("35 bytes for regions of 36"), "{error}");
    assert_eq!(store.regions(&[]).unwrap(), []);
    store.regions_into(&[], &mut []).unwrap();
}
