use std::io::Cursor;

use super::*;

fn read(bytes: &[u8]) -> Result<Pickle> {
    Pickle::read(&mut Cursor::new(bytes), bytes.len() as u64, &["Picture"])
}

#[test]
fn an_array_as_python_2_wrote_it_is_read() {
    let mut bytes = b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04\
        K\x00\x85q\x05U\x01bq\x06\x87q\x07Rq\x08(K\x01M\x2c\x01K\x02\x86q\x09cnumpy\ndtype\nq\x0aU\x02u1q\x0b\
        K\x00K\x01\x87q\x0cRq\x0d(K\x03U\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89\
        T\x58\x02\x00\x00"
        .to_vec();
    let at = bytes.len() as u64;
    bytes.extend([7; 600]);
    bytes.extend(b"q\x10tq\x11bu.");
    let pickle = read(&bytes).unwrap();
    let Some(Value::Array(Some(array))) = pickle.get(pickle.root(), "data") else { panic!("{pickle:?}") };
    assert_eq!((&array.shape[..], array.element), (&[300, 2][..], Element::Unsigned(1)));
    let Value::Blob(blob) = pickle.value(array.data) else { panic!("{pickle:?}") };
    assert_eq!((blob.at, blob.length), (at, 600));
}

#[test]
fn numbers_come_out_whole() {
    let numbers = b"\x80\x02(J\xfe\xff\xff\xffM\xe8\x03\x8a\x03\x00\x00\xff\x8a\x00\x88t.";
    let pickle = read(numbers).unwrap();
    let numbers = pickle.root().items().unwrap().iter().map(|&item| match pickle.value(item) {
        Value::Int(number) => *number,
        other => panic!("{other:?}"),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [-2, 1000, -65536, 0, 1]);
}

#[test]
fn a_pickle_with_a_call_in_it_is_an_error_that_names_the_call() {
    for pickle in [
        &b"\x80\x02cos\nsystem\nU\x0atouch /tmp\x85R."[..],
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch /tmp\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)\x81}b.",
    ] {
        let error = read(pickle).unwrap_err();
        assert!(error.to_string().contains("calls os.system"), "{error}");
    }
}

#[test]
fn objects_are_read_of_the_classes_that_were_named() {
    let object = b"\x80\x04\x8c\x08__main__\x8c\x07Picture\x93)\x81}\x8c\x05labelK\x07sb.";
    let pickle = read(object).unwrap();
    assert!(matches!(pickle.attribute(pickle.root(), "label"), Some(Value::Int(7))));
}

#[test]
fn what_is_deep_repeated_or_circular_takes_no_more_than_it_has() {
    // A million lists in each other.
    let mut deep = b"\x80\x02".to_vec();
    deep.resize(deep.len() + 1_000_000, b']');
    deep.resize(deep.len() + 999_999, b'a');
    deep.push(b'.');
    assert!(matches!(read(&deep).unwrap().root(), Value::List(_)));
    // Each list holds the one before it twice: 2^250 in all.
    let mut laughs = b"\x80\x02]q\x00".to_vec();
    for level in 0..250u8 {
        laughs.extend([b']', b'q', level + 1, b'(', b'h', level, b'h', level, b'e']);
    }
    laughs.push(b'.');
    read(&laughs).unwrap();
    // A list that holds itself.
    read(b"\x80\x02]q\x00h\x00a.").unwrap();
    // More instructions than there can be in a batch of images.
    let mut long = b"\x80\x02".to_vec();
    long.extend(b"N0".repeat(MAX_STEPS));
    assert!(read(&long).unwrap_err().to_string().contains("instructions"));
    // Names of functions, each made anew of the same long string, in so many bytes altogether.
    let text = [b"T\x00\x02\x00\x00", &[b'x'; MAX_KEPT as usize][..], b"q\x00"].concat();
    let globals = b"h\x00h\x00\x930".repeat((MAX_KEPT_TOTAL / 1024) as usize);
    let names = [b"\x80\x02", &text[..], &globals[..]].concat();
    assert!(read(&names).unwrap_err().to_string().contains("bytes of strings"));
}

#[test]
fn garbage_is_an_error() {
    for garbage in
        [&b""[..], b".", b"\x80\x02", b"\x80\x09.", b"\x80\x02R.", b"\x80\x02t.", b"\x80\x02h\x05.", b"\x80\x02]]s."]
    {
        assert!(read(garbage).is_err(), "{garbage:?}");
    }
    let error = read(b"\x80\x02B\xff\xff\xff\xff").unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
}
