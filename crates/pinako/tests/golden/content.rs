//! What every golden store holds.

use pinako::{Attributes, BlockSide, Image, Layout, NewImage, PixelEncoding, Sample, SampleType, Shape, Store};

/// Id, image, name, label, attributes.
type Row = (u64, Image, Option<&'static str>, Option<i64>, Option<&'static str>);

/// The images that are there. The image 1 was removed.
pub fn expected() -> Vec<Row> {
    let attributes = Some(r#"{"camera":"Q","iso":[100,2.5]}"#);
    let mut all = vec![
        (0, ramp(SampleType::U8, 8, 8, 3), Some("first"), Some(0), None),
        (2, ramp(SampleType::U8, 5, 7, 1), Some("ünï/cöde.png"), Some(1), attributes),
        (3, ramp(SampleType::U16, 4, 6, 4), Some("kept"), None, None),
    ];
    for (place, sample) in SampleType::ALL.into_iter().enumerate() {
        all.push((4 + place as u64, ramp(sample, 3, 2 + place as u32, 2), None, Some(place as i64 % 2), None));
    }
    // More than a KiB: in lmdb: its record stands before it.
    all.push((10, ramp(SampleType::U8, 20, 20, 3), Some("thumbnail"), Some(1), None));
    // In the hilbert layout.
    all.push((11, ramp(SampleType::U16, 9, 13, 3), Some("curve"), None, None));
    all
}

/// Puts into a new store what [`expected`] says, in three batches.
#[allow(dead_code)] // the test reads only, the example writes only
pub fn write(store: &Store) -> pinako::Result<()> {
    store.set_label_names(&["cat".into(), "dog".into()])?;
    let all = expected();
    let new = |place: usize| {
        let (_, image, name, label, attributes) = &all[place];
        let attributes = attributes.map(|text| Attributes::parse(text).expect("a JSON object"));
        let new = match place {
            1 => NewImage::encoded(image.view(), PixelEncoding::Png),
            _ if *name == Some("curve") => {
                let block = BlockSide::new(4).expect("a power of two");
                NewImage::encoded(image.view(), PixelEncoding::RawIn(Layout::Hilbert(block)))
            }
            _ => NewImage::encoded(image.view(), PixelEncoding::Raw),
        };
        let new = new.label(*label).attributes(attributes);
        if let Some(name) = name { new.name(*name) } else { new }
    };
    store.append([new(0), NewImage::pixels(&all[0].1).name("removed"), new(1)])?;
    store.remove(&[1])?;
    let maker = Store::create("memory:")?;
    maker.append([NewImage::encoded(all[2].1.view(), PixelEncoding::Png)])?;
    store.append([NewImage::file(maker.payload(0)?).name("kept")])?;
    store.append((3..all.len()).map(new))?;
    Ok(())
}

fn ramp(sample: SampleType, height: u32, width: u32, channels: u16) -> Image {
    fn of<T: Sample>(shape: Shape, value: impl Fn(u32) -> T) -> Image {
        let count = shape.height() * shape.width() * u32::from(shape.channels());
        Image::from_samples(shape, &(0..count).map(value).collect::<Vec<T>>())
            .expect("as many samples as the shape has")
    }
    let shape = Shape::new(height, width, channels).expect("a sound shape");
    match sample {
        SampleType::U8 => of(shape, |i| (i * 3) as u8),
        SampleType::U16 => of(shape, |i| (i * 701) as u16),
        SampleType::U32 => of(shape, |i| i * 70_000_001),
        SampleType::I16 => of(shape, |i| (i * 701) as i16 - 9000),
        SampleType::F32 => of(shape, |i| i as f32 * -0.5),
        _ => of(shape, |i| f64::from(i) / 3.0),
    }
}
