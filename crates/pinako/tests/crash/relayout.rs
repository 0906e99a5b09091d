//! Relayouts that are killed at any moment: whatever is left, the next one makes the same image of it, once.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use pinako::{Attributes, Image, Layout, NewImage, PixelEncoding, SampleType, Shape, Store};

use crate::process::Process;
use crate::random_below;
use crate::schemes::SCHEMES;

/// Kills of each backend's process.
const RUNS: u64 = 6;

fn image() -> Image {
    let bytes = (0..301 * 270 * 3u32).map(|at| (at.wrapping_mul(40_503) >> 7) as u8).collect();
    Image::from_bytes(Shape::new(301, 270, 3).unwrap(), SampleType::U8, bytes).unwrap()
}

fn attributes() -> Attributes {
    Attributes::parse(r#"{"pi":3.14,"sun":{"height":45}}"#).unwrap()
}

/// One relayout of all there is after the other, for ever.
pub fn relayout_for_ever(store: &Store, mut done: impl FnMut(u64)) {
    for (number, layout) in ["hilbert:8", "row", "hilbert:1"].into_iter().cycle().enumerate() {
        relayout_all(store, layout.parse().unwrap());
        done(number as u64);
    }
}

fn relayout_all(store: &Store, layout: Layout) {
    let ids: Vec<u64> = store.scan(0).map(|image| image.unwrap().id).collect();
    for id in ids {
        if store.descriptors(&[id]).unwrap()[0].is_some() {
            store.relayout(id, layout, &mut |_| ControlFlow::Continue(())).unwrap();
        }
    }
}

#[test]
fn a_killed_relayout_is_finished_by_the_next_one() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}:{}", folder.path().join("store").display());
        let (image, attributes) = (image(), attributes());
        let other = Image::from_bytes(Shape::new(9, 8, 1).unwrap(), SampleType::U8, vec![7; 72]).unwrap();
        let new = || NewImage::encoded(image.view(), PixelEncoding::RawIn(Layout::Row)).label(3);
        Store::create(&url).unwrap().append([new().name("a").attributes(attributes.clone()), new()]).unwrap();
        for run in 0..RUNS {
            let mut process = Process::relayouter(&url);
            for _ in 0..random_below(3) {
                process.done().expect("it goes on until it is killed");
            }
            thread::sleep(Duration::from_micros(random_below(40_000)));
            process.kill();

            let store = Store::open(&url).unwrap();
            let left: Vec<_> = store.scan(0).map(Result::unwrap).collect();
            let names: Vec<_> = left.iter().map(|left| left.name.as_deref()).collect();
            println!("{scheme}, run {run}: {names:?}");
            let named = names.iter().filter(|name| name.is_some_and(|name| name.starts_with('a'))).count();
            assert!(named > 0 && named < names.len(), "an image is lost: {names:?}");
            assert!(left.iter().all(|left| store.image(left.id).unwrap() == image), "{names:?}");
            // What somebody stores before it is finished is none of its business.
            let new_other = || NewImage::encoded(other.view(), PixelEncoding::RawIn(Layout::Row));
            let others = store.append([new_other(), new_other().name("b")]).unwrap();
            relayout_all(&store, "hilbert:64".parse().unwrap());
            let (found, mine): (Vec<_>, Vec<_>) =
                store.scan(0).map(Result::unwrap).partition(|found| found.shape == image.shape());
            assert_eq!(mine.len(), 2, "{scheme}: {mine:?}");
            for mine in &mine {
                assert!(mine.id >= others.start && store.image(mine.id).unwrap() == other);
                store.remove(&[mine.id]).unwrap();
            }
            assert_eq!(found.len(), 2, "{scheme}: of {names:?} are left {found:?}");
            for name in [Some("a"), None] {
                let found: Vec<_> = found.iter().filter(|image| image.name.as_deref() == name).collect();
                assert_eq!(found.len(), 1, "{scheme} {name:?}");
                assert_eq!((found[0].label, found[0].attributes.is_some()), (Some(3), name.is_some()));
                assert!(found[0].attributes.iter().all(|found| *found == attributes));
                assert_eq!(store.image(found[0].id).unwrap(), image);
            }
        }
    }
}
