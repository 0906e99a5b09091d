//! Compaction and vacuum, beside others.

use std::thread;
use std::time::Instant;

use super::rigged::denied;
use super::*;
use crate::backends::object::vacuum::vacuum_beyond;

fn parts(service: &Rigged) -> usize {
    objects(service).iter().filter(|path| !is_manifest(path)).count()
}

#[test]
fn a_reader_with_an_old_manifest_goes_on_after_compaction_and_vacuum() {
    let service = Rigged::new();
    let (store, reader) = (new_store(&service, SMALL), open(&service, Mode::Read, SMALL).unwrap());
    let all = mixed(&store);
    assert_holds(&reader, &all);
    store.compact().unwrap();
    assert_holds(&reader, &all);
    let old = reader.known();
    store.compact().unwrap();
    thread::sleep(Duration::from_millis(5));
    let vacuumed = vacuum_beyond(&store, Duration::ZERO, Duration::ZERO, false).unwrap();
    assert!(vacuumed.objects > 3, "{vacuumed:?}");
    // As one that began to read before all that.
    *reader.known.write() = old;
    let ids: Vec<Id> = all.iter().map(|(descriptor, _)| descriptor.id).collect();
    assert_eq!(fetch(&reader, &ids).unwrap().into_iter().flatten().collect::<Images>(), all);
    assert_holds(&reader, &all);
    assert_holds(&store, &all);
}

#[test]
fn a_vacuum_spares_what_is_young_or_named_and_a_rehearsal_only_tells() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let mut all = mixed(&store);
    store.compact().unwrap();
    replace(&service, &store.objects.part(77), vec![1, 2, 3]);
    replace(&service, &ObjectPath::from("some/where/parts/notes.txt"), vec![1]);
    let before = objects(&service);
    let hour = Duration::from_secs(3600);
    let young = store.vacuum(hour, false).unwrap();
    assert_eq!((young.objects, young.bytes), (0, 0));
    let named = store.known().manifest.parts().iter().flat_map(Part::files).count();
    assert_eq!(
        young.young_objects,
        before.len() as u64 - named as u64 - 2,
        "all but the newest, what it names, and notes"
    );
    assert_eq!(store.vacuum(hour - Duration::from_secs(1), false).unwrap_err().kind(), ErrorKind::InvalidInput);
    thread::sleep(Duration::from_millis(5));
    let told = vacuum_beyond(&store, Duration::ZERO, Duration::ZERO, true).unwrap();
    assert_eq!(objects(&service), before);
    assert_eq!(vacuum_beyond(&store, Duration::ZERO, Duration::ZERO, false).unwrap(), told);
    let after = objects(&service);
    assert_eq!(after.len() as u64, before.len() as u64 - told.objects);
    assert!(after.contains(&ObjectPath::from("some/where/parts/notes.txt")), "it is nobody's of ours");
    assert!(!after.contains(&store.objects.part(77)), "no manifest names it");
    assert_eq!(after.iter().filter(|path| is_manifest(path)).count(), 1);
    assert_holds(&store, &all);
    append(&store, vec![image(99, 10)], &mut all);
    assert_holds(&open(&service, Mode::Read, SMALL).unwrap(), &all);
    let reader = open(&service, Mode::Read, SMALL).unwrap();
    assert_eq!(reader.vacuum(hour, false).unwrap_err().kind(), ErrorKind::Denied);
    service.asked();
    reader.vacuum(hour, true).unwrap();
    assert!(service.asked().iter().all(|(ask, _)| matches!(ask, Ask::Get | Ask::List)), "it writes nothing");
}

#[test]
fn a_vacuum_leaves_no_folder_of_its_own_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_folder(folder.path(), Mode::Create, WRITER_PATIENCE).unwrap();
    for rehearsal in [true, false] {
        store.vacuum(Duration::from_secs(3600), rehearsal).unwrap();
        assert!(!folder.path().join("vacuum").exists());
    }
    assert_eq!(store.properties().unwrap().count, 0);
}

#[test]
fn a_vacuum_reads_two_manifests_however_many_are_kept() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let all = small_parts(&store);
    store.compact().unwrap();
    replace(&service, &store.objects.part(77), vec![1, 2, 3]);
    let before = objects(&service);
    service.asked();
    let hour = Duration::from_secs(3600);
    // All manifests are kept: the parts of the newest were put after the oldest, the empty store's, which names none.
    vacuum_beyond(&store, hour, Duration::ZERO, false).unwrap();
    let read = service.asked().iter().filter(|(ask, path)| *ask == Ask::Get && is_manifest(path)).count();
    assert_eq!((read, objects(&service)), (2, before), "the oldest and the newest");
    assert_holds(&store, &all);
    // What no manifest names goes only once it would have been named by now.
    thread::sleep(Duration::from_millis(5));
    vacuum_beyond(&store, Duration::ZERO, hour, false).unwrap();
    assert!(objects(&service).contains(&store.objects.part(77)));
    vacuum_beyond(&store, Duration::ZERO, Duration::ZERO, false).unwrap();
    assert!(!objects(&service).contains(&store.objects.part(77)));
    assert_eq!(parts(&service), store.known().manifest.parts().len());
    assert_holds(&store, &all);
}

#[test]
fn compaction_merges_what_is_small_and_drops_what_is_removed() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let mut all = Vec::new();
    for seed in 0..12 {
        append(&store, vec![image(seed, 40)], &mut all);
    }
    append(&store, vec![image(12, 3000)], &mut all);
    remove(&store, &[1, 2, 7], &mut all);
    store.compact().unwrap();
    assert_holds(&store, &all);
    let known = store.known();
    let counts: Vec<u64> = known.manifest.parts().iter().map(|part| part.count).collect();
    assert_eq!(counts.iter().sum::<u64>(), 10);
    assert!(counts.len() < 10 && known.manifest.removed().count() == 0, "{counts:?}");
    remove(&store, &[12], &mut all);
    store.compact().unwrap();
    assert_eq!(store.footprint().unwrap().payload_bytes, 9 * 40);
    assert_holds(&store, &all);
    let number = store.known().number;
    store.compact().unwrap();
    assert_eq!(store.known().number, number, "there is nothing more to do");
}

/// Twelve images, one a part, of which three go together in one.
fn small_parts(store: &Object) -> Images {
    let mut all = Vec::new();
    for seed in 0..12 {
        append(store, vec![image(seed, 300)], &mut all);
    }
    all
}

#[test]
fn a_compaction_that_is_broken_off_keeps_what_it_did_and_leaves_nothing_behind() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let all = small_parts(&store);
    let mut manifests = 0;
    service.rule(move |ask, path| {
        manifests += usize::from(ask == Ask::Put && is_manifest(path));
        if manifests > 2 && ask == Ask::Put { Fate::Fails(denied(path)) } else { Fate::Goes }
    });
    assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Denied);
    service.no_rule();
    let kept = store.known().manifest.parts().len();
    assert!((6..=8).contains(&kept), "two of four, or one more that was on its way: {kept}");
    assert_eq!(parts(&service), 12 + (12 - kept) / 2, "each of those took the place of three");
    assert_holds(&store, &all);
    store.compact().unwrap();
    assert!(store.known().manifest.parts().len() < 6);
    assert_holds(&store, &all);
}

#[test]
fn a_compaction_puts_parts_while_others_are_on_their_way() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let all = small_parts(&store);
    service.asked();
    let beside = service.clone();
    service.rule(move |ask, path| {
        let puts = || beside.asked_so_far().iter().filter(|(ask, path)| *ask == Ask::Put && !is_manifest(path)).count();
        let given_up = Instant::now() + Duration::from_secs(10);
        while ask == Ask::Put && puts() < 2 {
            if Instant::now() > given_up {
                return Fate::Fails(denied(path));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Fate::Goes
    });
    store.compact().unwrap();
    service.no_rule();
    assert_holds(&store, &all);
}

#[test]
fn what_is_damaged_keeps_nothing_else_from_being_compacted() {
    let service = Rigged::new();
    let mut all = small_parts(&new_store(&service, SMALL));
    let store = open(&service, Mode::Write, SMALL).unwrap();
    let damaged = store.known().manifest.parts()[1].clone();
    let path = store.objects.part(damaged.part);
    replace(&service, &path, vec![7; damaged.file_bytes as usize]);
    let error = store.compact().unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(path.filename().unwrap()), "{error}");
    assert_eq!(store.known().manifest.parts().len(), 3 + 3);
    all.remove(1);
    let ids: Vec<Id> = all.iter().map(|(descriptor, _)| descriptor.id).collect();
    assert_eq!(fetch(&store, &ids).unwrap().into_iter().flatten().collect::<Images>(), all);
}

#[test]
fn a_store_is_deleted_whole_its_newest_manifest_after_the_others_and_whatever_comes_between_can_be_resumed() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let all = small_parts(&store);
    let holiday = ObjectPath::from("some/where/holiday.jpg");
    replace(&service, &holiday, vec![1]);
    replace(&service, &store.objects.probes().join("0012ab34cd56ef78"), vec![1]);
    let delete = || wait_for(delete::delete(&store.objects));

    let newest = store.objects.manifest(store.known().number);
    let mut deletions = 0;
    service.rule(move |ask, path| {
        deletions += usize::from(ask == Ask::Delete);
        match ask {
            Ask::Delete if deletions > 3 => Fate::Fails(denied(path)),
            _ => Fate::Goes,
        }
    });
    assert_eq!(delete().unwrap_err().kind(), ErrorKind::Denied);
    assert!(objects(&service).contains(&newest));
    assert_holds(&store, &all);

    // All the manifests, and then no more.
    service.rule(|ask, path| match ask {
        Ask::Delete if !is_manifest(path) => Fate::Fails(denied(path)),
        _ => Fate::Goes,
    });
    assert_eq!(delete().unwrap_err().kind(), ErrorKind::Denied);
    assert!(!objects(&service).iter().any(is_manifest));
    assert_eq!(
        store.properties().map(drop).and_then(|()| store.reload().map(drop)).unwrap_err().kind(),
        ErrorKind::NotFound
    );

    // Somebody else deletes it, too.
    service.rule(|ask, path| match ask {
        Ask::Delete => {
            let source = "it is gone".into();
            Fate::IsLost(object_store::Error::NotFound { path: path.to_string(), source })
        }
        _ => Fate::Goes,
    });
    delete().unwrap();
    service.no_rule();
    delete().unwrap();
    assert_eq!(objects(&service), std::slice::from_ref(&holiday));
    assert_eq!(delete().unwrap_err().kind(), ErrorKind::NotFound);
    super::delete(&service, &holiday);
    drop(open(&service, Mode::Create, SMALL).unwrap());
}

#[test]
fn what_others_change_during_a_compaction_stays_changed() {
    let service = Rigged::new();
    let (store, other) = (new_store(&service, SMALL), Arc::new(open(&service, Mode::Write, SMALL).unwrap()));
    let mut all = Vec::new();
    for seed in 0..6 {
        append(&store, vec![image(seed, 40)], &mut all);
    }
    let beside = Arc::clone(&other);
    let mut is_done = false;
    service.rule(move |ask, path| {
        // Just before the compaction puts its manifest.
        if ask == Ask::Put && is_manifest(path) && !is_done {
            is_done = true;
            thread::scope(|scope| {
                let changes = scope.spawn(|| {
                    beside.remove(&[2]).unwrap();
                    beside.append(&mut entries(&[image(6, 40)])).unwrap();
                });
                changes.join().unwrap();
            });
        }
        Fate::Goes
    });
    store.compact().unwrap();
    service.no_rule();
    all.remove(2);
    all.push((Descriptor { id: 6, ..image(6, 40).0 }, image(6, 40).1));
    assert_holds(&store, &all);
    assert_holds(&*other, &all);
    assert!(store.known().manifest.parts().len() < 5);
}

#[test]
fn of_two_compactions_at_once_one_begins_again() {
    let service = Rigged::new();
    let (store, other) = (new_store(&service, SMALL), Arc::new(open(&service, Mode::Write, SMALL).unwrap()));
    let mut all = Vec::new();
    for seed in 0..6 {
        append(&store, vec![image(seed, 40)], &mut all);
    }
    let mut is_done = false;
    let beside = Arc::clone(&other);
    service.rule(move |ask, path| {
        if ask == Ask::Put && is_manifest(path) && !is_done {
            is_done = true;
            thread::scope(|scope| scope.spawn(|| beside.compact().unwrap()).join().unwrap());
        }
        Fate::Goes
    });
    store.compact().unwrap();
    service.no_rule();
    assert_holds(&store, &all);
    assert_holds(&*other, &all);
    thread::sleep(Duration::from_millis(5));
    vacuum_beyond(&store, Duration::ZERO, Duration::ZERO, false).unwrap();
    assert_eq!(parts(&service), store.known().manifest.parts().len());
    assert_holds(&*other, &all);
}

#[test]
fn writers_and_readers_go_on_beside_compactions_and_vacuums() {
    let service = Rigged::new();
    let store = new_store(&service, SMALL);
    let mut all = mixed(&store);
    let count = all.len();
    let reader = open(&service, Mode::Read, SMALL).unwrap();
    let minute = Duration::from_secs(60);
    let done = std::sync::atomic::AtomicBool::new(false);
    let added = thread::scope(|scope| {
        let (done, all, service) = (&done, &all, &service);
        let writer = scope.spawn(move || {
            let store = open(service, Mode::Write, SMALL).unwrap();
            let mut added = Vec::new();
            for seed in 100..115 {
                append(&store, vec![image(seed, 30)], &mut added);
            }
            added
        });
        scope.spawn(move || {
            let ids: Vec<Id> = all.iter().map(|(descriptor, _)| descriptor.id).collect();
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let found: Images = fetch(&reader, &ids).unwrap().into_iter().flatten().collect();
                assert_eq!(&found, all);
            }
        });
        while !writer.is_finished() {
            store.compact().unwrap();
            // Spares what the writer may have put a while ago, as it must where there is no telling how slow it is.
            vacuum_beyond(&store, minute, minute, false).unwrap();
        }
        let added = writer.join();
        // To readers it may do anything.
        vacuum_beyond(&store, Duration::ZERO, Duration::ZERO, false).unwrap();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        added.unwrap()
    });
    all.extend(added);
    assert_eq!(all.len(), count + 15);
    // Which number follows says nothing to a handle any more, where no vacuum would be so hasty.
    store.reload().unwrap();
    all.sort_by_key(|(descriptor, _)| descriptor.id);
    // A handle that knows a manifest from before that vacuum may take it for the newest.
    assert_holds(&open(&service, Mode::Read, SMALL).unwrap(), &all);
}
