//! What can be tried only with a disk that fails; the rest is in `tests/files.rs`.

use std::sync::Arc;

use super::*;
use crate::backend::{Payload, WRITER_PATIENCE};
use crate::backends::folder::faults;
use crate::conformance::{assert_holds, pattern};
use crate::descriptor::{Descriptor, Encoding};
use crate::error::ErrorKind;
use crate::image::{SampleType, Shape};

fn image(id: Id) -> (Descriptor, Vec<u8>) {
    let payload = pattern(id, 0, 100);
    let descriptor = Descriptor {
        id,
        name: Some(format!("image {}", 1000 + id)),
        shape: Shape::new(1, 1, 1).unwrap(),
        sample_type: SampleType::U8,
        encoding: Encoding::Kept(ImageFormat::Png),
        label: None,
        attributes: None,
        payload_length: 100,
        checksum: crc32c::crc32c(&payload),
    };
    (descriptor, payload)
}

fn append(store: &dyn Backend, (descriptor, payload): &(Descriptor, Vec<u8>)) -> Result<Range<Id>> {
    let descriptor = Descriptor { id: 0, ..descriptor.clone() };
    store.append(&mut [Entry { descriptor, payload: Payload::Bytes(payload) }])
}

#[test]
fn a_batch_that_could_not_be_synced_is_forgotten_by_those_who_have_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let writer = open(&path, Mode::Create, Durability::Full, WRITER_PATIENCE).unwrap();
    let reader: Arc<dyn Backend> = open(&path, Mode::Read, Durability::Full, WRITER_PATIENCE).unwrap().into();
    let images = [image(0), image(1)];
    append(&*writer, &images[0]).unwrap();
    assert_holds(&*reader, &images[..1]);

    // It reads the batch before its writer finds out that it cannot be synced, and not again before the next one, whose
    // line is just as long.
    let digits = |image: &(Descriptor, Vec<u8>)| image.0.checksum.to_string().len();
    let lost = (2..).map(image).find(|lost| digits(lost) == digits(&images[1])).unwrap();
    let looks = Arc::clone(&reader);
    faults::fail_sync(path.join(METADATA), move || assert_eq!(looks.properties().unwrap().count, 2));
    assert_eq!(append(&*writer, &lost).unwrap_err().kind(), ErrorKind::Backend);
    append(&*writer, &images[1]).unwrap();
    assert_holds(&*reader, &images);
    assert_holds(&*writer, &images);
}
