//! When the tables are written anew.

use pinako::backends::Mode;
use pinako::conformance::assert_holds;

use crate::samples::{Stored, append, image, open};
use crate::servers::{drop_fresh, fresh_url, psql};

/// The files of the tables: others after they were written anew.
fn files(url: &str) -> String {
    let schema = url.split_once("?schema=").unwrap().1;
    let file = |table| format!("pg_relation_filenode('{schema}.{table}')");
    psql(url, &format!("SELECT {}, {}, {}", file("payload"), file("image"), file("store")))
}

/// Has the room of what was removed be used again, as autovacuum does.
fn vacuum(url: &str) {
    let schema = url.split_once("?schema=").unwrap().1;
    for table in ["payload", "image", "store"] {
        psql(url, &format!("VACUUM {schema}.{table}"));
    }
}

#[test]
fn only_tables_that_take_more_than_they_need_are_written_anew() {
    // Several a page, two, and such as stand in chunks.
    for lengths in [[500; 4], [3100; 4], [9000; 4], [4000, 30, 2600, 12_000]] {
        let Some(url) = fresh_url("POSTGRES") else { return };
        let store = open(&url, Mode::Create).unwrap();
        let images: Vec<Stored> = (0..3000).map(|id| image(id, lengths[id as usize % 4] + id as usize % 9)).collect();
        for images in images.chunks(500) {
            append(&*store, images).unwrap();
        }
        let begun = files(&url);
        store.compact().unwrap();
        let parts = |files: &str| files.split('|').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parts(&files(&url))[..2], parts(&begun)[..2], "{lengths:?}: nothing was removed");

        let full = store.footprint().unwrap().disk_bytes;
        let gone = images.iter().map(|image| image.0.id).filter(|id| id % 4 == 0).collect::<Vec<_>>();
        store.remove(&gone).unwrap();
        vacuum(&url);
        store.compact().unwrap();
        let (compact, once) = (store.footprint().unwrap().disk_bytes, files(&url));
        assert!(compact < full, "{lengths:?}: {compact} of {full} bytes");
        assert!(parts(&once)[..2].iter().zip(parts(&begun)).all(|(now, then)| *now != then), "{lengths:?}");
        store.compact().unwrap();
        assert_eq!(files(&url), once, "{lengths:?}: it was compact");
        let left: Vec<Stored> = images.into_iter().filter(|image| image.0.id % 4 != 0).collect();
        assert_holds(&*store, &left);

        // The tables end where their last row is, their indexes do not.
        store.remove(&left.iter().map(|image| image.0.id).collect::<Vec<_>>()).unwrap();
        vacuum(&url);
        store.compact().unwrap();
        assert!(store.footprint().unwrap().disk_bytes < 150_000, "{lengths:?}");
        drop_fresh(&url);
    }
}
