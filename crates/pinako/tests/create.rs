//! Making a store beside others who make the same one, and after one who was killed while making it.

mod schemes;
#[cfg(any(feature = "cloud", feature = "postgres"))]
mod servers;

use std::io::{BufRead, BufReader, Lines, Write};
#[cfg(feature = "cloud")]
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use pinako::{Error, ErrorKind, Image, NewImage, SampleType, Shape, Store, backends};
use schemes::SCHEMES;

/// How many make a store at once, and how often.
const AT_ONCE: usize = 4;
const ROUNDS: usize = 20;

/// Has `make` called with the URL of a new store, again and again on each kind of store.
fn for_many_new_stores(mut make: impl FnMut(&str)) {
    for scheme in SCHEMES {
        for _ in 0..ROUNDS {
            let folder = tempfile::tempdir().unwrap();
            make(&format!("{scheme}:{}", folder.path().join("store").display()));
        }
    }
}

/// Opens the store at `url`, or makes it, which the first change to it does.
fn open_or_create(url: &str) -> Result<Store, Error> {
    let store = Store::options().open_or_create(url)?;
    store.set_label_names(&["cat".into()])?;
    Ok(store)
}

#[test]
fn threads_that_make_one_store_at_once_all_get_it() {
    for_many_new_stores(|url| {
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| open_or_create(url).unwrap_or_else(|error| panic!("{url}: {error:?}")));
            }
        });
    });
}

#[test]
fn processes_that_make_one_store_at_once_all_get_it() {
    let mut makers: Vec<Maker> = (0..AT_ONCE).map(|_| Maker::start()).collect();
    for_many_new_stores(|url| {
        makers.iter().for_each(|maker| maker.tell(url));
        for maker in &mut makers {
            assert_eq!(maker.answer(), MADE, "{url}");
        }
    });
}

/// A process that makes the stores it is told to; it does not outlive its handle.
struct Maker {
    process: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What starts the line with a process's answer, and the answer where all went well.
const ANSWER: &str = "answer: ";
const MADE: &str = "made";

impl Maker {
    fn start() -> Maker {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["maker", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Maker { process, answers }
    }

    fn tell(&self, url: &str) {
        writeln!(self.process.stdin.as_ref().unwrap(), "{url}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut answers = self.answers.by_ref().map(|line| line.unwrap());
        answers.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned)).expect("the process answers")
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test but what a [`Maker`]'s process does.
#[test]
#[ignore = "runs in a process of its own, started by the tests"]
fn maker() {
    for url in std::io::stdin().lines() {
        let answer = match open_or_create(&url.unwrap()) {
            Ok(_) => MADE.to_owned(),
            Err(error) => format!("{error:?}"),
        };
        // Not `println!`, which the test harness would hold back.
        let mut out = std::io::stdout();
        writeln!(out, "\n{ANSWER}{answer}").and_then(|()| out.flush()).unwrap();
    }
}

#[test]
fn what_a_creation_left_that_was_broken_off_is_named_as_such_and_becomes_a_store() {
    for (scheme, left) in [
        ("files", &["metadata.jsonl", ".lock", "metadata.end", "pinako.json.tmp"][..]),
        ("hdf5", &["lock", "manifest.jsonl.tmp"]),
        ("lmdb", &["data.mdb", "lock.mdb"]),
        ("sqlite", &["", "-new"]),
        ("object", &["manifest/18446744073709551615.json#1"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let in_a_folder = scheme != "sqlite";
        if in_a_folder {
            std::fs::create_dir(&path).unwrap();
        }
        let between = if in_a_folder { "/" } else { "" };
        for name in left {
            let file = format!("{}{between}{name}", path.display());
            std::fs::create_dir_all(Path::new(&file).parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let (path, url) = (path.display().to_string(), format!("{scheme}:{}", path.display()));
        for place in [&path, &url] {
            let error = Store::open(place).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{place}: {error}");
            assert!(error.to_string().contains("broken off") && error.hint().unwrap().contains(&url), "{error:?}");
        }
        open_or_create(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        Store::open(&path).unwrap();
    }
}

/// An import and a copy into a bucket where there is no store yet go by few large batches, as into one that is there:
/// each costs its requests.
#[cfg(feature = "cloud")]
#[test]
fn a_store_that_is_to_be_made_in_a_bucket_is_filled_by_as_few_requests_as_one_that_is_there() {
    const COUNT: usize = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let array = folder.path().join("array.npy");
    let header = format!("{:117}\n", format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({COUNT}, 2, 2)}}"));
    std::fs::write(&array, [b"\x93NUMPY\x01\0v\0", header.as_bytes(), &[7; 4 * COUNT]].concat()).unwrap();
    let from = Store::create("memory:").unwrap();
    from.append(std::iter::repeat_n(&image(), COUNT).map(NewImage::pixels)).unwrap();
    let import = |store: &Store| {
        let mut source = pinako::source::open(&array).unwrap();
        let options = pinako::ImportOptions::default();
        store.import(&mut *source, &options, &mut |_| {}, &mut |_| ControlFlow::Continue(())).unwrap();
    };
    let copy = |store: &Store| {
        from.copy_to(store, &mut |_| ControlFlow::Continue(())).unwrap();
    };
    for fill in [&import as &dyn Fn(&Store), &copy] {
        let (Some(there), Some(fresh)) = (servers::fresh_url("S3"), servers::fresh_url("S3")) else { return };
        let stores = [Store::create(&there).unwrap(), Store::options().open_or_create(&fresh).unwrap()];
        let requests = stores.map(|store| {
            fill(&store);
            assert_eq!(store.count().unwrap(), COUNT as u64);
            store.traffic().requests
        });
        assert!(requests.iter().all(|&requests| requests < 10), "{requests:?}");
    }
}

fn image() -> Image {
    Image::from_bytes(Shape::new(2, 2, 1).unwrap(), SampleType::U8, vec![7; 4]).unwrap()
}

/// Makes a store at `url`, fills it, deletes it, and makes it again.
fn is_deleted_as_a_whole(url: &str) {
    let fill = || {
        let store = Store::create(url).unwrap();
        store.append([NewImage::pixels(&image())]).unwrap();
        assert_eq!(store.count().unwrap(), 1);
    };
    fill();
    backends::delete(url).unwrap();
    assert_eq!(Store::open(url).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(backends::delete(url).unwrap_err().kind(), ErrorKind::NotFound);
    fill();
    backends::delete(url).unwrap();
}

#[cfg(feature = "postgres")]
#[test]
fn a_store_in_postgres_is_deleted_as_a_whole() {
    if let Some(url) = servers::fresh_url("POSTGRES") {
        is_deleted_as_a_whole(&url);
    }
}

#[test]
fn a_store_on_the_disk_is_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("lmdb:{}", folder.path().join("store").display());
    Store::create(&url).unwrap();
    assert_eq!(backends::delete(&url).unwrap_err().kind(), ErrorKind::InvalidInput);
    Store::open(&url).unwrap();
}
