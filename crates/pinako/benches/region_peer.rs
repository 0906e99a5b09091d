//! Pinako's side of `benches/peers/regions.py`, which says what is measured.
//!
//! ```text
//! region_peer URL store LAYOUT RASTER.npy     stores the raster, 1,H,W,C of u8, in that layout
//! region_peer URL warm|cold REGIONS RASTER    reads regions and checks them: median seconds of each kind, as JSON
//! ```

mod page_cache;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Instant;

use pinako::{ImageView, Layout, NewImage, PixelEncoding, Region, SampleType, Shape, Store};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    // cargo adds --bench
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [url, what, detail, raster] = &arguments[..] else {
        eprintln!("region_peer URL store|warm|cold LAYOUT|REGIONS.json RASTER.npy: run benches/peers/regions.py");
        return Ok(());
    };
    let array = npyz::NpyFile::new(BufReader::new(File::open(raster)?))?;
    let &[1, height, width, channels] = array.shape() else { return Err("the array must be 1,H,W,C".into()) };
    let shape = Shape::new(height.try_into()?, width.try_into()?, channels.try_into()?)?;
    let bytes = array.into_vec::<u8>()?;
    let view = ImageView::new(shape, SampleType::U8, &bytes)?;
    match &**what {
        "store" => {
            let start = Instant::now();
            let encoding = PixelEncoding::RawIn(detail.parse::<Layout>()?);
            Store::create(url)?.append([NewImage::encoded(view, encoding)])?;
            println!("{{\"seconds\": {:e}}}", start.elapsed().as_secs_f64());
        }
        "warm" | "cold" => {
            let kinds: BTreeMap<String, Vec<[u32; 4]>> = serde_json::from_reader(BufReader::new(File::open(detail)?))?;
            let mut medians = BTreeMap::new();
            for (kind, regions) in kinds {
                medians.insert(kind, read(url, view, &regions, what == "cold")?);
            }
            println!("{}", serde_json::to_string(&medians)?);
        }
        other => return Err(format!("{other} is nothing that can be measured").into()),
    }
    Ok(())
}

/// The median of the seconds that regions take, into a buffer that is there already, as for the peers.
fn read(url: &str, raster: ImageView<'_>, regions: &[[u32; 4]], cold: bool) -> Result<f64, Failure> {
    let path = PathBuf::from(url.split_once(':').map_or(url, |(_, path)| path));
    let mut store = Some(Store::options().open_read_only(url)?);
    let mut seconds = Vec::new();
    let mut buffer = vec![1; raster.bytes().len()];
    for turn in 0..if cold { 1 } else { 2 } {
        for &[x, y, width, height] in regions {
            let region = Region::new(x, y, width, height)?;
            if cold {
                store = None; // what is mapped stays in memory
                page_cache::forget(&path)?;
            }
            let store = match &mut store {
                Some(store) => store,
                none => none.insert(Store::options().open_read_only(url)?),
            };
            let out = &mut buffer[..width as usize * height as usize * usize::from(raster.shape().channels())];
            let start = Instant::now();
            store.region_into(0, region, out)?;
            seconds.push(start.elapsed().as_secs_f64());
            if turn == 0 && out != raster.crop(region)?.bytes() {
                return Err(format!("the region {region} is not what was stored").into());
            }
        }
    }
    let mut seconds = seconds.split_off(if cold { 0 } else { regions.len() });
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
