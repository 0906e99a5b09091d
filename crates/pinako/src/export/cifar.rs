//! CIFAR-10's Python layout, for the many scripts that read it: pickles of 10,000 images each, planes of red, green,
//! blue.
//!
//! The pickles are of protocol 2 with Python 2's byte strings, as the hosts' own are (the format is described on the
//! data set's page and seen in its files), so that `pickle.load(file, encoding="bytes")` gives the same keys.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::{Aside, Batches, cannot_write, check_alike, file_name};
use crate::descriptor::Descriptor;
use crate::error::{Error, Result};
use crate::image::{SampleType, Shape};

/// Images a batch: as many as the scripts expect, some 30 MB.
const BATCH: usize = 10_000;
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

pub(super) fn export(batches: &Batches<'_>, out: &Path) -> Result<()> {
    let shape = Shape::new(SIDE as u32, SIDE as u32, 3)?;
    let aside = Aside::folder(out)?;
    let folder = aside.path();

    let is_test = |descriptor: &Descriptor| descriptor.name.as_deref().is_some_and(|name| name.starts_with("test"));
    let mut number = 0;
    batches.walk((BATCH, u64::MAX), &|descriptor| !is_test(descriptor), &mut |descriptors| {
        number += 1;
        let title = format!("training batch {number}");
        write_batch(batches, descriptors, shape, &title, &folder.join(format!("data_batch_{number}")))
    })?;
    let mut number = 0;
    batches.walk((BATCH, u64::MAX), &is_test, &mut |descriptors| {
        number += 1;
        let name = if number == 1 { "test_batch".to_owned() } else { format!("test_batch_{number}") };
        write_batch(batches, descriptors, shape, &format!("testing batch {number}"), &folder.join(name))
    })?;

    let path = folder.join("batches.meta");
    let label_names = batches.store.label_names()?;
    write_pickle(&path, |pickle| {
        pickle.key(b"num_cases_per_batch")?;
        pickle.integer(BATCH as i32)?;
        pickle.key(b"label_names")?;
        pickle.list(label_names.iter(), |pickle, name| pickle.string(name.as_bytes()))?;
        pickle.key(b"num_vis")?;
        pickle.integer(3 * PLANE as i32)
    })?;
    aside.done()
}

fn write_batch(
    batches: &Batches<'_>,
    descriptors: &[Descriptor],
    shape: Shape,
    title: &str,
    path: &Path,
) -> Result<()> {
    let store = batches.store;
    let mut labels = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        check_alike(store, descriptor, shape, SampleType::U8, "CIFAR-10's layout")?;
        labels.push(label(descriptor).map_err(|error| error.at_id(descriptor.id).at_store(store.url()))?);
    }
    let mut pixels = vec![0; descriptors.len() * 3 * PLANE];
    batches.read_into(descriptors, &mut pixels)?;
    let mut planes = vec![0; pixels.len()];
    for (pixels, planes) in pixels.chunks_exact(3 * PLANE).zip(planes.chunks_exact_mut(3 * PLANE)) {
        for (place, pixel) in pixels.chunks_exact(3).enumerate() {
            (planes[place], planes[place + PLANE], planes[place + 2 * PLANE]) = (pixel[0], pixel[1], pixel[2]);
        }
    }
    write_pickle(path, |pickle| {
        pickle.key(b"batch_label")?;
        pickle.string(title.as_bytes())?;
        pickle.key(b"labels")?;
        pickle.list(labels.iter(), |pickle, &label| pickle.integer(label))?;
        pickle.key(b"data")?;
        pickle.array_u8(&planes, [descriptors.len() as i32, 3 * PLANE as i32])?;
        pickle.key(b"filenames")?;
        pickle.list(descriptors.iter(), |pickle, descriptor| match file_name(descriptor) {
            Some(name) => pickle.string(name.as_bytes()),
            None => pickle.string(format!("{:08}.png", descriptor.id).as_bytes()),
        })
    })
}

fn label(descriptor: &Descriptor) -> Result<i32> {
    let label = descriptor.label.ok_or_else(|| Error::unsupported("CIFAR-10's layout needs a label for each image"))?;
    let fits = i32::try_from(label).ok().filter(|&label| label >= 0);
    fits.ok_or_else(|| {
        Error::unsupported(format!("the label {label} does not fit CIFAR-10's layout: 0 to {}", i32::MAX))
    })
}

/// Writes a pickled dictionary to a new file; `items` writes keys and values in turn.
fn write_pickle(path: &Path, items: impl FnOnce(&mut Pickle<BufWriter<File>>) -> std::io::Result<()>) -> Result<()> {
    let write = || {
        let mut pickle = Pickle { out: BufWriter::new(File::create_new(path)?) };
        pickle.out.write_all(b"\x80\x02}(")?; // protocol 2, an empty dictionary, a mark
        items(&mut pickle)?;
        pickle.out.write_all(b"u.")?; // set what stands above the mark; stop
        pickle.out.flush()
    };
    write().map_err(|error| cannot_write(path, error))
}

/// Writes opcodes of pickle protocol 2.
struct Pickle<W> {
    out: W,
}

impl<W: Write> Pickle<W> {
    fn key(&mut self, key: &[u8]) -> std::io::Result<()> {
        self.string(key)
    }

    /// A byte string of Python 2.
    fn string(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match u8::try_from(bytes.len()) {
            Ok(length) => self.out.write_all(&[b'U', length])?,
            Err(_) => {
                self.out.write_all(b"T")?;
                self.out.write_all(&(bytes.len() as i32).to_le_bytes())?;
            }
        }
        self.out.write_all(bytes)
    }

    fn integer(&mut self, value: i32) -> std::io::Result<()> {
        self.out.write_all(b"J")?;
        self.out.write_all(&value.to_le_bytes())
    }

    fn list<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        self.out.write_all(b"](")?;
        for item in items {
            write(self, item)?;
        }
        self.out.write_all(b"e")
    }

    /// A NumPy array of bytes: `_reconstruct(ndarray, (0,), "b")`, then its state.
    fn array_u8(&mut self, bytes: &[u8], shape: [i32; 2]) -> std::io::Result<()> {
        self.out.write_all(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")?;
        self.out.write_all(b"(K\x01")?; // the state's version
        self.integer(shape[0])?;
        self.integer(shape[1])?;
        self.out.write_all(b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R")?;
        self.out.write_all(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")?; // C order
        self.string(bytes)?;
        self.out.write_all(b"tb")
    }
}
