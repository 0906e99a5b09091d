//! Keeps labelled pictures, gets some of them back by name, by id and as one array, and takes a rectangle of one.
//!
//!     cargo run --release -p pinako --example thumbnails -- /tmp/thumbnails
//!
//! The argument is any store's URL: `lmdb:DIR`, `files:DIR`, `hdf5:DIR`, `sqlite:FILE`; a bare path is LMDB's.

use pinako::{Attributes, Image, NewImage, Region, Shape, Store};

fn main() -> pinako::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let store = Store::create(&url)?;
    store.set_label_names(&["dark".into(), "bright".into()])?;

    // A thousand gradients of 32 x 32 pixels; one append is one durable commit.
    let shape = Shape::new(32, 32, 3)?;
    let pictures: Vec<Image> = (0..1000)
        .map(|n: u32| {
            let samples: Vec<u8> = (0..32 * 32 * 3).map(|i| ((i + n * 5) % 256) as u8).collect();
            Image::from_samples(shape, &samples)
        })
        .collect::<pinako::Result<_>>()?;
    let ids = store.append(pictures.iter().enumerate().map(|(n, picture)| {
        let attributes = Attributes::parse(&format!(r#"{{"offset": {}}}"#, n * 5)).expect("it is a JSON object");
        NewImage::pixels(picture).name(format!("gradient-{n}")).label(n as i64 % 2).attributes(attributes)
    }))?;
    println!("stored images {} to {} in {url}", ids.start, ids.end - 1);

    // One, by name.
    let id = store.find("gradient-42")?.expect("it was stored just now");
    let descriptor = store.descriptor(id)?;
    println!("gradient-42 is image {id}: {} {}", descriptor.shape, descriptor.sample_type);
    assert_eq!(store.image(id)?, pictures[42]);

    // Many, into one buffer as a training loop wants them, in parallel and in the order asked.
    let batch: Vec<u64> = ids.clone().step_by(10).collect();
    let mut array = vec![0; batch.len() * shape.byte_length(descriptor.sample_type) as usize];
    store.images_into(&batch, &mut array)?;
    println!("read {} images as one array of {} bytes", batch.len(), array.len());

    // A rectangle: x, y, width, height.
    let corner = store.region(id, Region::new(0, 0, 8, 4)?)?;
    println!("its corner is {}", corner.shape());

    // All of a class, without holding more than a batch of descriptors.
    let mut bright = 0;
    for descriptor in store.scan(0) {
        bright += u32::from(descriptor?.label == Some(1));
    }
    println!("{bright} images are labelled bright");
    Ok(())
}
