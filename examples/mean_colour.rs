//! The mean colour of each label's images, of any store: what the examples of engines beside this one compute, too.
//!
//!     cargo run --release -p pinako --example mean_colour -- cifar [--json]
//!
//! `mean_colour_dask.py` and `mean-colour-datafusion` read the parts of an object store by themselves, many at once.

use std::collections::BTreeMap;

use pinako::{Descriptor, Id, Image, Label, SampleType, Store};

/// What one label's images add up to; the means are taken at the very end, so that nothing is rounded before.
#[derive(Default)]
struct Colour {
    images: u64,
    pixels: u64,
    /// Red, green, blue.
    sums: [u64; 3],
}

impl Colour {
    fn add(&mut self, image: &Image) {
        self.images += 1;
        self.pixels += u64::from(image.shape().height()) * u64::from(image.shape().width());
        match image.shape().channels() {
            1 => {
                let sum: u64 = image.bytes().iter().map(|&sample| u64::from(sample)).sum();
                self.sums.iter_mut().for_each(|total| *total += sum);
            }
            _ => {
                for pixel in image.bytes().chunks_exact(3) {
                    self.sums.iter_mut().zip(pixel).for_each(|(total, &sample)| *total += u64::from(sample));
                }
            }
        }
    }

    fn means(&self) -> [f64; 3] {
        self.sums.map(|sum| sum as f64 / self.pixels as f64)
    }
}

/// Grey or RGB of 8 bits.
fn has_colour(descriptor: &Descriptor) -> bool {
    descriptor.sample_type == SampleType::U8 && matches!(descriptor.shape.channels(), 1 | 3)
}

fn main() -> pinako::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let Some(url) = arguments.iter().find(|argument| *argument != "--json") else {
        eprintln!("usage: mean_colour STORE [--json]");
        std::process::exit(2);
    };
    let store = Store::options().open_read_only(url)?;
    let names = store.label_names()?;

    let mut colours: BTreeMap<Option<Label>, Colour> = BTreeMap::new();
    let mut left_out = 0u64;
    let mut batch: Vec<(Id, Option<Label>)> = Vec::new();
    let mut bytes = 0;
    let mut scan = store.scan(0);
    loop {
        let next = scan.next().transpose()?;
        // Many images a call are read in parallel, but no more than memory has room for.
        if next.is_none() || bytes > 64 << 20 {
            let ids: Vec<Id> = batch.iter().map(|&(id, _)| id).collect();
            for (image, (_, label)) in store.images(&ids)?.iter().zip(batch.drain(..)) {
                colours.entry(label).or_default().add(image);
            }
            bytes = 0;
        }
        match next {
            Some(descriptor) if has_colour(&descriptor) => {
                bytes += descriptor.image_bytes();
                batch.push((descriptor.id, descriptor.label));
            }
            Some(_) => left_out += 1,
            None => break,
        }
    }

    if left_out > 0 {
        eprintln!("left out: {left_out} images that are neither grey nor RGB of 8 bits");
    }
    if !json {
        println!("{:>6}  {:<16} {:>9}  {:>6}  {:>6}  {:>6}", "label", "name", "images", "R", "G", "B");
    }
    for (label, colour) in &colours {
        let name = label.and_then(|label| names.get(usize::try_from(label).ok()?));
        let [red, green, blue] = colour.means();
        if json {
            let Colour { images, pixels, sums } = colour;
            let row = serde_json::json!({"label": label, "name": name, "images": images, "pixels": pixels, "sums": sums,
                "mean": [red, green, blue]});
            println!("{row}");
        } else {
            let label = label.map_or_else(|| "-".to_owned(), |label| label.to_string());
            let name = name.map_or("-", String::as_str);
            println!("{label:>6}  {name:<16} {:>9}  {red:>6.2}  {green:>6.2}  {blue:>6.2}", colour.images);
        }
    }
    Ok(())
}
