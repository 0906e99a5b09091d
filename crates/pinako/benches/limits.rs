//! How far one image at random is from what LMDB itself takes: the same gets from the same store in the same minute.
//!
//! ```text
//! cargo bench -p pinako --bench limits -- STORE   (a folder that an `lmdb:` store of raw images of one length is in)
//! ```
//!
//! The rows build up: a transaction and the search for the value with payload and descriptor; with its bytes copied;
//! with their checksum. The last row is [`Store::image`], which does all of it, checks what it finds and makes an image
//! of it. Medians of rounds that take turns.

mod scattered;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, WithoutTls};
use pinako::Store;

type Failure = Box<dyn std::error::Error>;
type Payloads = Database<'static, Bytes, Bytes>;

const ROUNDS: usize = 15;
const READS: u32 = 20_000;

const ROWS: [&str; 4] =
    ["LMDB: payload found", "LMDB: payload found, copied", "LMDB: payload found, copied, summed", "Store::image"];

fn main() -> Result<(), Failure> {
    // cargo adds --bench
    let Some(folder) = std::env::args().skip(1).find(|argument| argument != "--bench") else {
        eprintln!("limits STORE: the folder of an lmdb: store");
        return Ok(());
    };
    let mut times: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let (env, payloads, count) = open(&folder)?;
        for row in 0..ROWS.len() - 1 {
            times.entry(row).or_default().push(each(count, |id| raw(&env, payloads, row, id))?);
        }
        env.prepare_for_closing().wait();
        let store = Store::options().open_read_only(&format!("lmdb:{folder}"))?;
        let one = each(count, |id| {
            black_box(store.image(id)?);
            Ok(())
        });
        times.entry(ROWS.len() - 1).or_default().push(one?);
    }
    for (row, mut times) in times {
        times.sort_by(f64::total_cmp);
        println!("{:36} {:6.3} us ({:.3}-{:.3})", ROWS[row], times[ROUNDS / 2], times[0], times[ROUNDS - 1]);
    }
    Ok(())
}

fn open(folder: &str) -> Result<(Env<WithoutTls>, Payloads, u64), Failure> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(1).map_size(1 << 40);
    // SAFETY: nothing writes to the store while this runs.
    let env = unsafe { options.flags(EnvFlags::NO_READ_AHEAD | EnvFlags::READ_ONLY).open(folder)? };
    let opened = env.open_databases_and_commit(env.read_txn()?, |opener, txn| {
        Ok::<_, heed::Error>(match opener.open_database(txn, Some("payload"))? {
            Some(payloads) => CommitOrAbort::Commit(payloads),
            None => CommitOrAbort::Abort(format!("{folder} is no store")),
        })
    })?;
    let payloads: Payloads = match opened {
        CommitOrAbort::Commit(payloads) => payloads,
        CommitOrAbort::Abort(problem) => return Err(problem.into()),
    };
    let txn = env.read_txn()?;
    let count = payloads.len(&txn)?;
    drop(txn);
    Ok((env, payloads, count))
}

/// Microseconds of one of many reads of images at random.
fn each(count: u64, mut read: impl FnMut(u64) -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut next = scattered::ids(count);
    for _ in 0..READS {
        read(next())?;
    }
    let start = Instant::now();
    for _ in 0..READS {
        read(next())?;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(READS) * 1e6)
}

fn raw(env: &Env<WithoutTls>, payloads: Payloads, row: usize, id: u64) -> Result<(), Failure> {
    let txn = env.read_txn()?;
    let bytes = payloads.get(&txn, &id.to_be_bytes())?.ok_or("images were removed from this store: take another")?;
    black_box(bytes[0]);
    if row > 0 {
        black_box(bytes.to_vec());
    }
    if row > 1 {
        black_box(crc_fast::crc32_iscsi(bytes));
    }
    Ok(())
}
