//! Pixels there and back, against the curve's own ranks.

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::Just;
use proptest::{prop_assert, prop_assert_eq, prop_compose, proptest};

use super::*;
use crate::descriptor::BlockSide;

/// An image of pixels of any size whose every byte tells where it is.
struct Sample {
    arrangement: Arrangement,
    shape: Shape,
    pixel: usize,
    image: Vec<u8>,
    payload: Vec<u8>,
}

fn sample(layout: Layout, width: u32, height: u32, pixel: u16) -> Sample {
    let shape = Shape::new(height, width, pixel).unwrap();
    let arrangement = Arrangement::new(layout, shape, SampleType::U8).unwrap();
    let pixel = usize::from(pixel);
    let length = width as usize * height as usize * pixel;
    let image: Vec<u8> = (0..length).map(|at| (at * 31 + at / 251) as u8).collect();
    let mut payload = vec![0; length];
    for (at, bytes) in image.chunks(pixel).enumerate() {
        let (x, y) = (at as u32 % width, at as u32 / width);
        let rank = match layout {
            Layout::Row => at,
            Layout::Hilbert(block) => Order::new(width, height, block.side()).unwrap().rank(x, y).unwrap() as usize,
        };
        payload[rank * pixel..][..pixel].copy_from_slice(bytes);
    }
    Sample { arrangement, shape, pixel, image, payload }
}

prop_compose! {
    fn layouts()(log in 0..=9u32) -> Layout {
        match log {
            9 => Layout::Row,
            log => Layout::Hilbert(BlockSide::new(1 << log).unwrap()),
        }
    }
}

prop_compose! {
    fn samples()(layout in layouts(), width in 1..100u32, height in 1..100u32, pixel in 1..=64u16)
        (x in 0..width, y in 0..height, w in 1..=width, h in 1..=height, layout in Just(layout),
         size in Just((width, height, pixel)))
        -> (Sample, Region) {
        let (width, height, pixel) = size;
        let region = Region::new(x, y, w.min(width - x), h.min(height - y)).unwrap();
        (sample(layout, width, height, pixel), region)
    }
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.shape, self.arrangement)
    }
}

proptest! {
    #[test]
    fn images_are_packed_and_unpacked((sample, _) in samples()) {
        let mut payload = vec![0; sample.payload.len()];
        sample.arrangement.pack(&sample.image, &mut payload);
        prop_assert!(payload == sample.payload);
        let mut image = vec![0; sample.image.len()];
        sample.arrangement.unpack(&payload, &mut image);
        prop_assert!(image == sample.image);
    }

    #[test]
    fn a_region_is_gathered_from_its_runs_and_from_pieces_cut_anywhere((sample, region) in samples(), cuts: [u16; 4]) {
        let view = crate::image::ImageView::new(sample.shape, SampleType::U8, &sample.image).unwrap();
        let expected = view.crop(region).unwrap().into_bytes();
        let arrangement = sample.arrangement;

        let mut out = vec![0; expected.len()];
        let runs = sample.arrangement.runs(region);
        prop_assert_eq!(runs.iter().map(|run| run.end - run.start).sum::<u64>(), expected.len() as u64);
        for run in runs.iter().rev() {
            arrangement.place(region, run.start, &sample.payload[run.start as usize..run.end as usize], &mut out);
        }
        prop_assert!(out == expected);

        // Pieces overlap by a pixel less one byte, so that one that is cut by an end is whole in the next.
        let mut cuts: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) % sample.payload.len()).collect();
        cuts.extend([0, sample.payload.len()]);
        cuts.sort_unstable();
        let mut out = vec![0; expected.len()];
        for pair in cuts.windows(2) {
            let start = pair[0].saturating_sub(sample.pixel - 1);
            arrangement.place(region, start as u64, &sample.payload[start..pair[1]], &mut out);
        }
        prop_assert!(out == expected);
    }

    #[test]
    fn parts_follow_each_other_and_are_packed_as_the_whole_is((sample, _) in samples()) {
        let mut payload = Vec::new();
        while let Some(part) = sample.arrangement.part_at(payload.len() as u64) {
            let offset = payload.len() as u64;
            let view = crate::image::ImageView::new(sample.shape, SampleType::U8, &sample.image).unwrap();
            let rows = view.crop(part).unwrap().into_bytes();
            let mut packed = vec![0; rows.len()];
            sample.arrangement.pack_part(part, offset, &rows, &mut packed);
            payload.extend(packed);
            prop_assert!(payload.len() <= sample.payload.len());
        }
        prop_assert!(payload == sample.payload);
    }

    #[test]
    fn what_grows_holds_the_region_and_stays_in_the_image((sample, region) in samples(), n in 0..=16u32) {
        let grown = sample.arrangement.grow(region, n);
        prop_assert!(grown.check_inside(sample.shape).is_ok());
        prop_assert!(grown.x() <= region.x() && grown.y() <= region.y());
        prop_assert!(grown.x() + grown.width() >= region.x() + region.width());
        prop_assert!(grown.y() + grown.height() >= region.y() + region.height());
        prop_assert_eq!((grown.x() % (1 << n), grown.y() % (1 << n)), (0, 0));
    }
}

#[test]
fn parts_of_large_images_cover_them_and_none_is_large() {
    for (width, height, pixel) in
        [(3000, 700, 3), (1, 5_000_000, 8), (5_000_000, 1, 8), (600, 600, 4096), (1025, 1023, 64), (300, 500, 65_535)]
    {
        for layout in ["row", "hilbert:1", "hilbert:64", "hilbert:256"] {
            for sample in [SampleType::U8, SampleType::F64] {
                let shape = Shape::new(height, width, pixel).unwrap();
                let arrangement = Arrangement::new(layout.parse().unwrap(), shape, sample).unwrap();
                let (mut offset, mut parts) = (0, 0);
                while let Some(part) = arrangement.part_at(offset) {
                    let bytes = u64::from(part.width()) * u64::from(part.height()) * arrangement.pixel_size();
                    assert!(bytes <= PART_BYTES, "{layout} {shape}: {part}");
                    // In the payload its pixels are one run.
                    let runs = arrangement.runs(part);
                    assert_eq!(runs.len(), 1, "{layout} {shape}: {part}");
                    assert_eq!(runs[0], offset..offset + bytes, "{layout} {shape}: {part}");
                    offset += bytes;
                    parts += 1;
                }
                assert_eq!(offset, arrangement.payload_bytes());
                assert!(parts > 1, "{layout} {shape}");
            }
        }
    }
}

#[test]
fn parts_of_large_pixels_are_packed_as_the_whole_is() {
    for layout in ["hilbert:1", "hilbert:2", "hilbert:4", "hilbert:16"] {
        // A pixel of 524,280 bytes: blocks of 4 x 4 have more than a part, and rows of 16 pixels, too.
        let shape = Shape::new(5, 19, u16::MAX).unwrap();
        let arrangement = Arrangement::new(layout.parse().unwrap(), shape, SampleType::F64).unwrap();
        let pixel = arrangement.pixel_size() as usize;
        let mut image = vec![0; arrangement.payload_bytes() as usize];
        image.chunks_exact_mut(pixel).zip(1..).for_each(|(pixel, number)| pixel[0] = number);
        let mut payload = vec![0; image.len()];
        arrangement.pack(&image, &mut payload);
        let mut offset = 0;
        while let Some(part) = arrangement.part_at(offset as u64) {
            let rows: Vec<u8> = rows_of(&image, pixel, part);
            let mut packed = vec![0; rows.len()];
            arrangement.pack_part(part, offset as u64, &rows, &mut packed);
            assert!(packed == payload[offset..offset + packed.len()], "{layout}: {part}");
            offset += packed.len();
        }
        assert_eq!(offset, payload.len(), "{layout}");
    }
}

/// The rows of `part` of an image that is 19 pixels wide.
fn rows_of(image: &[u8], pixel: usize, part: Region) -> Vec<u8> {
    let rows = row_runs(19, pixel as u64, part).into_iter();
    rows.flat_map(|run| image[run.start as usize..run.end as usize].to_vec()).collect()
}

#[test]
fn a_long_narrow_region_takes_no_memory_for_runs_that_it_has_not() {
    let shape = Shape::new(1, u32::MAX, 1).unwrap();
    let arrangement = Arrangement::new("hilbert:64".parse().unwrap(), shape, SampleType::U8).unwrap();
    let runs = arrangement.runs(Region::new(0, 0, u32::MAX, 1).unwrap());
    assert!(runs.len() == 1 && runs.capacity() < 10_000, "{}", runs.capacity());
}

#[test]
fn what_grows_beyond_all_bounds_is_the_image() {
    let sample = sample(Layout::Row, 50, 40, 1);
    let region = Region::new(7, 9, 1, 1).unwrap();
    for n in [32, 63, 64, u32::MAX] {
        assert_eq!(sample.arrangement.grow(region, n), Region::new(0, 0, 50, 40).unwrap());
    }
}

#[test]
fn no_thread_does_other_work_while_it_puts_an_image_in_order() {
    thread_local!(static IS_AT_IT: Cell<bool> = const { Cell::new(false) });
    let shape = Shape::new(2200, 2000, 1).unwrap();
    let arrangement = Arrangement::new("hilbert:4".parse().unwrap(), shape, SampleType::U8).unwrap();
    let (payload, mut image) = (vec![1; 2200 * 2000], vec![0; 2200 * 2000]);
    let nested = AtomicBool::new(false);
    let threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    threads.scope(|scope| {
        let (begun, begins) = mpsc::channel();
        let (done, ends) = mpsc::channel::<()>();
        // One thread has plenty of work that the two others may do, and does none of it.
        let nested = &nested;
        scope.spawn(move |scope| {
            for _ in 0..300 {
                scope.spawn(|_| {
                    nested.fetch_or(IS_AT_IT.get(), Relaxed);
                    thread::sleep(Duration::from_millis(1));
                });
            }
            begun.send(()).unwrap();
            let _ = ends.recv();
        });
        begins.recv().unwrap();
        IS_AT_IT.set(true);
        (0..5).for_each(|_| arrangement.unpack(&payload, &mut image));
        IS_AT_IT.set(false);
        drop(done);
    });
    assert!(image == payload);
    // A payload is lent by a call of the backend, which must not be called again before that ends.
    assert!(!nested.load(Relaxed));
}
