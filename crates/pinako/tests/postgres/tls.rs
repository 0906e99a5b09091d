//! TLS as `sslmode` has it, with a server that has a certificate for localhost and 127.0.0.1, signed by an authority.

use std::fs;

use pinako::ErrorKind;
use pinako::backends::Mode;

use crate::samples::{append, assert_kind, assert_says, image, open};
use crate::servers::{drop_fresh, fresh_url, psql, variable};

#[test]
fn every_mode_is_what_libpq_means_by_it() {
    let (Some(url), Some(authority)) = (fresh_url("POSTGRES"), variable("PINAKO_TEST_POSTGRES_CA")) else { return };
    append(&*open(&format!("{url}&sslmode=disable"), Mode::Create).unwrap(), &[image(0, 100_000)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.crt");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"])
        .args(["-keyout", "/dev/null", "-out"])
        .arg(&wrong)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |options: &str| {
        let store = open(&format!("{url}&{options}&application_name=tls_test"), Mode::Read)?;
        let mut bytes = Vec::new();
        store.fetch(&[0], &mut |_, found| {
            bytes = found.unwrap().1.to_vec();
            Ok(())
        })?;
        assert!(bytes == image(0, 100_000).1);
        let by_tls = psql(
            &url,
            "SELECT bool_or(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tls_test'",
        );
        drop(store);
        Ok(by_tls == "t")
    };
    let (right, wrong) = (format!("sslrootcert={authority}"), format!("sslrootcert={}", wrong.display()));
    for (options, by_tls) in [
        ("sslmode=disable".to_owned(), false),
        ("sslmode=allow".to_owned(), false),
        ("sslmode=prefer".to_owned(), true),
        (String::new(), true),
        ("sslmode=require".to_owned(), true),
        (format!("sslmode=require&{right}"), true),
        (format!("sslmode=verify-ca&{right}"), true),
        (format!("sslmode=verify-full&{right}"), true),
        (format!("sslmode=prefer&{wrong}"), true),
    ] {
        assert_eq!(read(&options).unwrap(), by_tls, "{options}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = assert_kind(read(&format!("sslmode={mode}&{wrong}")), ErrorKind::Denied);
        assert_says(&error, "no TLS with", "sslrootcert");
    }
    assert_kind(read("sslmode=verify-full&sslrootcert=system"), ErrorKind::Denied);
    assert_kind(read("sslmode=require&sslrootcert=system"), ErrorKind::InvalidInput);
    assert_kind(read("sslmode=verify-full&sslrootcert=/no/such/file"), ErrorKind::NotFound);
    let empty = folder.path().join("empty.crt");
    fs::write(&empty, "no certificate").unwrap();
    assert_kind(read(&format!("sslmode=verify-ca&sslrootcert={}", empty.display())), ErrorKind::Corrupt);
    // By another name than the certificate's.
    let by_name =
        |mode: &str| open(&format!("{}&sslmode={mode}&{right}", url.replace("127.0.0.1", "127.0.0.2")), Mode::Read);
    if std::net::TcpStream::connect(url.split(['@', '/']).nth(3).unwrap().replace("127.0.0.1", "127.0.0.2")).is_ok() {
        by_name("verify-ca").unwrap();
        assert_kind(by_name("verify-full"), ErrorKind::Denied);
    }
    drop_fresh(&url);
}
