//! A part that is lost: its images are, and no others.

use super::*;
use crate::image::Image;
use crate::store::{NewImage, Store};

/// Does something to a part, which is at that path.
type Damage = fn(&Rigged, &ObjectPath, &Part);

const DAMAGES: [(&str, Damage); 4] = [
    ("deleted", |service, path, _| delete(service, path)),
    ("emptied", |service, path, _| replace(service, path, Vec::new())),
    ("cut", |service, path, _| {
        let whole = contents(service, path);
        replace(service, path, whole[..whole.len() / 2].to_vec());
    }),
    ("with a head of garbage", |service, path, part| {
        let mut bytes = contents(service, path);
        bytes[..part.head_bytes as usize].fill(0xa5);
        replace(service, path, bytes);
    }),
];

fn pixel() -> Image {
    Image::from_bytes(Shape::new(1, 1, 1).unwrap(), SampleType::U8, vec![7]).unwrap()
}

/// A store of three parts of 40 images each, whose names the manifest does not list, with the middle one damaged.
fn with_a_loss(damage: Damage) -> (Rigged, Store) {
    let service = Rigged::new();
    let object = new_store(&service, Limits::USUAL);
    let store = Store::from_backend(open(&service, Mode::Write, Limits::USUAL).unwrap());
    for batch in 0..3 {
        let pixel = pixel();
        store.append((0..40).map(|at| NewImage::pixels(&pixel).name(format!("b{batch}/{at}")))).unwrap();
    }
    let part = object.fresh().unwrap().manifest.parts()[1].clone();
    assert!(part.count == 40 && part.name_hashes.is_empty());
    damage(&service, &object.objects.part(part.part), &part);
    let store = Store::from_backend(open(&service, Mode::Write, Limits::USUAL).unwrap());
    service.asked();
    (service, store)
}

fn unsound(store: &Store) -> Vec<Option<Id>> {
    let mut unsound = Vec::new();
    let found = &mut |problem: crate::store::Problem| {
        assert_eq!(problem.error.kind(), ErrorKind::Corrupt, "{:?}", problem.error);
        assert!(problem.error.hint().unwrap().contains("restore it from a copy, or remove"), "{:?}", problem.error);
        unsound.push(problem.id);
    };
    let verified = store.verify(found, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(verified.images, store.count().unwrap());
    unsound
}

#[test]
fn of_a_lost_part_verify_names_the_images_and_finds_the_others_sound_in_few_requests() {
    for (what, damage) in DAMAGES {
        let (service, store) = with_a_loss(damage);
        assert_eq!(unsound(&store), (40..80).map(Some).collect::<Vec<_>>(), "{what}");
        let asked = service.asked().len();
        assert!(asked < 40, "{what}: {asked} requests");
    }
}

#[test]
fn beside_a_lost_part_everything_goes_on() {
    for (what, damage) in DAMAGES {
        let (_service, store) = with_a_loss(damage);
        let lost = |error: Error, id: Option<Id>| {
            assert_eq!((error.kind(), error.id()), (ErrorKind::Corrupt, id), "{what}: {error:?}");
            assert!(error.hint().unwrap().contains("pinako verify"), "{what}: {error:?}");
        };
        let ids = |store: &Store, first| -> Vec<Id> { store.scan(first).map(|found| found.unwrap().id).collect() };
        assert_eq!(store.find("b0/3").unwrap(), Some(3), "{what}");
        assert_eq!(store.find("b2/3").unwrap(), Some(83), "{what}");
        lost(store.find("b1/3").unwrap_err(), None);
        assert_eq!(store.image(83).unwrap(), pixel());
        lost(store.image(50).unwrap_err(), Some(50));
        lost(store.descriptors(&[3, 50, 51]).unwrap_err(), Some(50));
        assert_eq!(ids(&store, 80), (80..120).collect::<Vec<Id>>());

        // Whether a name is taken that may be in it, nobody knows; without one there is nothing to know.
        lost(store.append([NewImage::pixels(&pixel()).name("b3/0")]).unwrap_err(), None);
        let taken = store.append([NewImage::pixels(&pixel()).name("b0/0")]).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict);
        assert_eq!(store.append([NewImage::pixels(&pixel())]).unwrap(), 120..121);

        assert_eq!(store.remove(&[50, 3]).unwrap(), 2, "{what}");
        assert_eq!(unsound(&store), (40..80).filter(|id| *id != 50).map(Some).collect::<Vec<_>>(), "{what}");
        assert_eq!(store.remove(&(40..80).collect::<Vec<Id>>()).unwrap(), 39, "{what}");
        assert_eq!(unsound(&store), []);
        assert_eq!(store.find("b1/3").unwrap(), None);
        assert_eq!(store.append([NewImage::pixels(&pixel()).name("b1/3")]).unwrap(), 121..122);
        store.compact().unwrap();
        let left: Vec<Id> = (0..122).filter(|id| *id != 3 && !(40..80).contains(id)).collect();
        assert_eq!((ids(&store, 0), store.count().unwrap(), unsound(&store)), (left, 81, vec![]), "{what}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_not_taken_for_lost() {
    let (service, store) = with_a_loss(|_, _, _| ());
    service.rule(|ask, path| match ask {
        Ask::Get if !is_manifest(path) => Fate::Fails(rigged::denied(path)),
        _ => Fate::Goes,
    });
    let error = store.scan(0).next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.id()), (ErrorKind::Denied, None));
    service.no_rule();
    assert_eq!(unsound(&store), []);
}
