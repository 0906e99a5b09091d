//! Pinako's side of `benches/peers/stores.py`: does one thing to one store and prints how long it took, as JSON.
//!
//! ```text
//! peer URL store     IMAGES.npy   stores all images durably, in one append
//! peer URL read_all  IMAGES.npy   reads all into one buffer, compares with the array
//! peer URL read_one  IMAGES.npy   median of many reads of one image at random
//! peer URL cold_one  IMAGES.npy   the same, fewer, with nothing of the store in the page cache
//! peer URL open      IMAGES.npy   opens the store and reads one descriptor
//! peer URL bare_one   IMAGES.npy   reads of one payload's bytes at random, by a prepared statement of tokio-postgres alone
//! peer DIR floor     IMAGES.npy   makes files as long as the images' PNG files, and syncs: what a file system allows
//! ```

mod page_cache;
mod scattered;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use pinako::{ImageView, NewImage, PixelEncoding, SampleType, Shape, Store};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    // cargo adds --bench
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [url, what, images] = &arguments[..] else {
        eprintln!("peer URL store|read_all|read_one|cold_one|open|floor IMAGES.npy: run benches/peers/stores.py");
        return Ok(());
    };
    let (shape, count, bytes) = load(Path::new(images))?;
    let seconds = match &**what {
        "store" => store(url, shape, &bytes)?,
        "read_all" => read_all(url, count, &bytes)?,
        "read_one" => read_one(url, shape, count, &bytes, 20_000, false)?,
        "cold_one" => read_one(url, shape, count, &bytes, 300, true)?,
        #[cfg(feature = "postgres")]
        "bare_one" => bare_one(url, shape, count, &bytes, 20_000)?,
        "open" => open(url)?,
        "floor" => floor(Path::new(url), shape, &bytes)?,
        other => return Err(format!("{other} is nothing that can be measured").into()),
    };
    println!("{{\"seconds\": {seconds:e}}}");
    Ok(())
}

/// Shape of one image, number of images, all pixels.
fn load(path: &Path) -> Result<(Shape, u64, Vec<u8>), Failure> {
    let array = npyz::NpyFile::new(std::io::BufReader::new(std::fs::File::open(path)?))?;
    let &[count, height, width, channels] = array.shape() else { return Err("the array must be N,H,W,C".into()) };
    let shape = Shape::new(height.try_into()?, width.try_into()?, channels.try_into()?)?;
    Ok((shape, count, array.into_vec::<u8>()?))
}

fn store(url: &str, shape: Shape, bytes: &[u8]) -> Result<f64, Failure> {
    let length = shape.byte_length(SampleType::U8) as usize;
    let start = Instant::now();
    let store = Store::create(url)?;
    let views = bytes.chunks(length).map(|bytes| ImageView::new(shape, SampleType::U8, bytes));
    let images = views.enumerate().map(|(i, view)| Ok(NewImage::view(view?).label(i as i64 % 10)));
    store.append(images.collect::<pinako::Result<Vec<_>>>()?)?;
    drop(store);
    Ok(start.elapsed().as_secs_f64())
}

/// As little as can be done to have a file for each image: two threads make them, 64 at a turn, because only one can
/// make files in a folder at once.
fn floor(folder: &Path, shape: Shape, bytes: &[u8]) -> Result<f64, Failure> {
    let store = Store::create("memory:")?;
    for chunk in bytes.chunks(shape.byte_length(SampleType::U8) as usize * 1024) {
        let views = chunk.chunks(shape.byte_length(SampleType::U8) as usize);
        let views = views.map(|bytes| ImageView::new(shape, SampleType::U8, bytes));
        let images = views.map(|view| Ok(NewImage::encoded(view?, PixelEncoding::Png)));
        store.append(images.collect::<pinako::Result<Vec<_>>>()?)?;
    }
    let lengths = store.scan(0).map(|image| Ok(image?.payload_length as usize)).collect::<pinako::Result<Vec<_>>>()?;
    drop(store);

    let start = Instant::now();
    std::fs::create_dir(folder)?;
    let turns = Mutex::new(lengths.chunks(64).enumerate());
    let work = || -> std::io::Result<()> {
        loop {
            let mut turn = turns.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let Some((number, lengths)) = turn.next() else { return Ok(()) };
            let names = (number * 64..).map(|id| folder.join(format!("{id:08}.png")));
            let files: Vec<File> = names.take(lengths.len()).map(File::create_new).collect::<Result<_, _>>()?;
            drop(turn);
            for (mut file, &length) in files.into_iter().zip(lengths) {
                file.write_all(&bytes[..length])?;
            }
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work().and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    rustix::fs::syncfs(File::open(folder)?)?;
    Ok(start.elapsed().as_secs_f64())
}

fn read_all(url: &str, count: u64, bytes: &[u8]) -> Result<f64, Failure> {
    let ids: Vec<u64> = (0..count).collect();
    let mut seconds = 0.0;
    // The second time: what is measured is reading, not the first use of a process's memory.
    let mut out = vec![0; bytes.len()];
    for _ in 0..2 {
        out.fill(0);
        let start = Instant::now();
        let store = Store::options().open_read_only(url)?;
        store.images_into(&ids, &mut out)?;
        seconds = start.elapsed().as_secs_f64();
        if out != bytes {
            return Err("what was read is not what was stored".into());
        }
    }
    Ok(seconds)
}

fn read_one(url: &str, shape: Shape, count: u64, bytes: &[u8], times: usize, cold: bool) -> Result<f64, Failure> {
    if cold {
        page_cache::forget(Path::new(url.split_once(':').map_or(url, |(_, path)| path)))?;
    }
    let store = Store::options().open_read_only(url)?;
    let mut next = scattered::ids(count);
    let length = shape.byte_length(SampleType::U8) as usize;
    let mut seconds = Vec::with_capacity(times);
    if !cold {
        for _ in 0..times {
            black_box(store.image(next())?);
        }
    }
    for _ in 0..times {
        let id = next();
        let start = Instant::now();
        let image = black_box(store.image(id)?);
        seconds.push(start.elapsed().as_secs_f64());
        if image.bytes() != &bytes[id as usize * length..][..length] {
            return Err(format!("image {id} is not what was stored").into());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[times / 2])
}

/// What one round trip to PostgreSQL takes: a prepared statement that knows nothing of images, sent and answered in this
/// thread.
#[cfg(feature = "postgres")]
fn bare_one(url: &str, shape: Shape, count: u64, bytes: &[u8], times: usize) -> Result<f64, Failure> {
    let (server, schema) = url.split_once("?schema=").ok_or("the URL must name a schema")?;
    let mut next = scattered::ids(count);
    let length = shape.byte_length(SampleType::U8) as usize;
    let mut seconds = Vec::with_capacity(times);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let select = client.prepare(&format!("SELECT bytes FROM {schema}.payload WHERE id = $1")).await?;
        for round in 0..2 * times {
            let id = next();
            let start = Instant::now();
            let row = client.query_one(&select, &[&(id as i64)]).await?;
            let image: Vec<u8> = black_box(row.try_get::<_, &[u8]>(0)?.to_vec());
            if round >= times {
                seconds.push(start.elapsed().as_secs_f64());
            }
            if image != bytes[id as usize * length..][..length] {
                return Err(format!("image {id} is not what was stored").into());
            }
        }
        Ok::<_, Failure>(())
    })?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[times / 2])
}

fn open(url: &str) -> Result<f64, Failure> {
    let start = Instant::now();
    let store = Store::options().open_read_only(url)?;
    black_box(store.descriptor(0)?);
    Ok(start.elapsed().as_secs_f64())
}
