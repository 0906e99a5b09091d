//! Writers that meet, and answers that are lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::rigged::{cut, denied};
use super::*;

#[test]
fn who_loses_the_race_for_a_manifest_begins_again_without_putting_parts_again() {
    let service = Rigged::new();
    let (one, other) = (new_store(&service, SMALL), open(&service, Mode::Write, SMALL).unwrap());
    let mut all = Vec::new();
    append(&one, (0..10).map(|seed| image(seed, 20)).collect(), &mut all);
    service.asked();
    append(&other, (10..20).map(|seed| image(seed, 20)).collect(), &mut all);
    let parts = service.asked().iter().filter(|(ask, path)| *ask == Ask::Put && !is_manifest(path)).count();
    assert_eq!(parts, 1);
    assert_eq!(all.iter().map(|(descriptor, _)| descriptor.id).collect::<Vec<Id>>(), (0..20).collect::<Vec<Id>>());
    assert_holds(&one, &all);
    assert_holds(&other, &all);
}

#[test]
fn a_name_that_was_taken_or_given_free_meanwhile_is_known_to_be() {
    let service = Rigged::new();
    let (one, other) = (new_store(&service, SMALL), open(&service, Mode::Write, SMALL).unwrap());
    let mut all = Vec::new();
    append(&one, vec![image(0, 20)], &mut all);
    let parts = objects(&service).len();
    let refused = other.append(&mut entries(&[image(0, 30)])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(objects(&service).len(), parts, "what was put is deleted again");
    other.fresh().unwrap();
    remove(&one, &[0], &mut all);
    append(&other, vec![image(0, 30)], &mut all);
    assert_holds(&one, &all);
}

#[test]
fn a_writer_gives_up_when_its_patience_is_over() {
    let service = Rigged::new();
    let (one, other) = (new_store(&service, SMALL), open(&service, Mode::Write, SMALL).unwrap());
    let impatient = open_patient(&service, Mode::Write, SMALL, Duration::ZERO).unwrap();
    let mut all = Vec::new();
    append(&one, vec![image(0, 20)], &mut all);
    assert_eq!(impatient.append(&mut entries(&[image(1, 20)])).unwrap_err().kind(), ErrorKind::Conflict);
    append(&impatient, vec![image(2, 20)], &mut Vec::new());
    assert_eq!(other.properties().unwrap().next_id, 2);
}

#[test]
fn an_answer_that_is_lost_is_no_loss() {
    for everything in [false, true] {
        let service = Rigged::new();
        let store = new_store(&service, SMALL);
        let mut all = Vec::new();
        let mut lost = 0;
        service.rule(move |ask, path| {
            lost += 1;
            if ask == Ask::Put && is_manifest(path) && (everything || lost % 2 == 0) {
                Fate::IsLost(cut())
            } else {
                Fate::Goes
            }
        });
        for seed in 0..5 {
            append(&store, vec![image(seed, 20)], &mut all);
        }
        remove(&store, &[2], &mut all);
        service.no_rule();
        assert_eq!(store.properties().unwrap().next_id, 5);
        assert_holds(&store, &all);
        assert_eq!(store.known().number, 6, "each change has one manifest");
    }
}

#[test]
fn a_manifest_that_comes_to_nothing_is_put_again() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let mut failures = 0;
    service.rule(move |ask, path| {
        failures += usize::from(ask == Ask::Put && is_manifest(path));
        if failures == 1 && ask == Ask::Put { Fate::Fails(cut()) } else { Fate::Goes }
    });
    let mut all = Vec::new();
    append(&store, vec![image(0, 20)], &mut all);
    service.no_rule();
    assert_holds(&store, &all);
}

#[test]
fn a_change_that_may_have_been_made_is_said_to_be_in_doubt_and_keeps_its_parts() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    service.rule(|_, path| if is_manifest(path) { Fate::IsLost(cut()) } else { Fate::Goes });
    let error = store.append(&mut entries(&[image(0, 20)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    service.no_rule();
    assert_holds(&store, &[(Descriptor { id: 0, ..image(0, 20).0 }, image(0, 20).1)]);
}

#[test]
fn a_refusal_after_an_answer_that_was_lost_takes_nothing_back() {
    let is_change = |ask, path: &ObjectPath| ask == Ask::Put && is_manifest(path);
    for nothing_is_told in [false, true] {
        let service = Rigged::new();
        let store = new_store(&service, SMALL);
        let mut is_first = true;
        service.rule(move |ask, path| match ask {
            // The manifest goes in, unheard; when it is put again, the credentials have expired.
            Ask::Put if is_change(ask, path) && std::mem::take(&mut is_first) => Fate::IsLost(denied(path)),
            Ask::Get if nothing_is_told && is_manifest(path) => Fate::Fails(denied(path)),
            _ => Fate::Goes,
        });
        let appended = store.append(&mut entries(&[image(0, 20)]));
        match nothing_is_told {
            false => assert_eq!(appended.unwrap(), 0..1),
            true => assert_eq!(appended.unwrap_err().kind(), ErrorKind::Transient),
        }
        service.no_rule();
        assert_holds(&store, &[(Descriptor { id: 0, ..image(0, 20).0 }, image(0, 20).1)]);
    }
}

#[test]
fn a_manifest_that_a_folder_could_not_make_durable_is_in_doubt() {
    let service = Rigged::new();
    let objects = Objects::new(place(&service, false));
    let store = Object::open(objects, Mode::Create, WRITER_PATIENCE, SMALL).unwrap();
    service.rule(|ask, path| match ask {
        Ask::Put if is_manifest(path) => Fate::IsLost(cut()),
        _ => Fate::Goes,
    });
    let error = store.append(&mut entries(&[image(0, 20)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    service.no_rule();
    // Others may have seen it: it is not taken away from under them.
    assert_holds(&store, &[(Descriptor { id: 0, ..image(0, 20).0 }, image(0, 20).1)]);
}

#[test]
fn what_was_put_too_long_ago_to_be_safe_from_vacuums_is_not_named() {
    assert!(super::write::NAMING < super::vacuum::LEAST);
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let mut all = Vec::new();
    for seed in 0..4 {
        append(&store, vec![image(seed, 300)], &mut all);
    }
    let before = objects(&service);
    let late = open(&service, Mode::Write, Limits { naming: Duration::ZERO, ..SMALL }).unwrap();
    let error = late.append(&mut entries(&[image(9, 20)])).unwrap_err();
    assert!(error.hint().unwrap().contains("fewer"), "{error:?}");
    assert!(late.compact().is_err());
    assert_eq!(objects(&service), before);
    assert_holds(&store, &all);

    // As when the last part has just come up.
    let begun = Moment::of(super::write::NAMING + Duration::from_secs(1));
    assert_eq!(Limits::USUAL.check_in_time(begun).unwrap_err().kind(), ErrorKind::Backend);
    Limits::USUAL.check_in_time(Moment::of(super::write::NAMING - Duration::from_secs(60))).unwrap();
}

#[test]
fn a_server_that_takes_no_object_is_not_asked_for_ever() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    service.rule(|ask, path| match ask {
        Ask::Put => {
            let source = "it is there".into();
            Fate::Fails(object_store::Error::AlreadyExists { path: path.to_string(), source })
        }
        _ => Fate::Goes,
    });
    let error = store.append(&mut entries(&[image(0, 20)])).unwrap_err();
    assert!(error.kind() == ErrorKind::Backend && error.hint().unwrap().contains("never replaces"), "{error:?}");
    assert_eq!(asked(&service)[0], 8);
}

#[test]
fn an_append_that_is_refused_leaves_nothing_behind() {
    for refuse_manifest in [true, false] {
        let service = Rigged::new();
        let store = new_store(&service, SMALL);
        let before = objects(&service);
        let count = AtomicUsize::new(0);
        service.rule(move |ask, path| {
            let is_third = count.fetch_add(1, Ordering::Relaxed) == 2;
            let is_refused = if refuse_manifest { is_manifest(path) } else { is_third };
            if ask == Ask::Put && is_refused { Fate::Fails(denied(path)) } else { Fate::Goes }
        });
        let images: Images = (0..10).map(|seed| image(seed, 400)).collect();
        let error = store.append(&mut entries(&images)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert_eq!(objects(&service), before);
        service.no_rule();
        let mut all = Vec::new();
        append(&store, images, &mut all);
        assert_holds(&store, &all);
    }
}

#[test]
fn a_part_whose_answer_is_lost_is_put_under_another_number() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let mut is_first = true;
    service.rule(move |ask, path| {
        // As if the same request had come through before, unheard.
        if ask == Ask::Put && !is_manifest(path) && is_first {
            is_first = false;
            let source = "it is there".into();
            return Fate::IsLost(object_store::Error::AlreadyExists { path: path.to_string(), source });
        }
        Fate::Goes
    });
    let mut all = Vec::new();
    append(&store, vec![image(0, 20)], &mut all);
    service.no_rule();
    assert_holds(&store, &all);
    assert_eq!(objects(&service).iter().filter(|path| !is_manifest(path)).count(), 2);
}

#[test]
fn many_writers_lose_nothing() {
    let service = Rigged::new();
    drop(new_store(&service, SMALL));
    let mut all: Images = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = open(&service, Mode::Write, SMALL).unwrap();
                scope.spawn(move || {
                    let mut own = Vec::new();
                    for batch in 0..6 {
                        let seed = 1000 * writer + 10 * batch;
                        append(&store, (seed..seed + 5).map(|seed| image(seed, 20)).collect(), &mut own);
                    }
                    own
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    all.sort_by_key(|(descriptor, _)| descriptor.id);
    assert!(all.iter().map(|(descriptor, _)| descriptor.id).eq(0..120));
    assert_holds(&open(&service, Mode::Read, SMALL).unwrap(), &all);
}

#[test]
fn only_one_of_two_makes_a_store() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let refused = open(&service, Mode::Create, SMALL).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_holds(&store, &[]);
    let service = Rigged::new();
    assert_eq!(open(&service, Mode::Read, SMALL).unwrap_err().kind(), ErrorKind::NotFound);
    service.rule(|ask, _| if ask == Ask::Put { Fate::IsLost(cut()) } else { Fate::Goes });
    let _ = open(&service, Mode::Create, SMALL);
    service.no_rule();
    assert_holds(&open(&service, Mode::Write, SMALL).unwrap(), &[]);
    let service = Rigged::new();
    replace(&service, &ObjectPath::from("some/where/holiday.jpg"), vec![1]);
    let refused = open(&service, Mode::Create, SMALL).unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("holiday.jpg"), "{refused}");
}
