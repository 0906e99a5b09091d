//! Servers that do not let us in or do not let us do, and places where no store is: what is said of each.

use pinako::backends::{self, Mode};
use pinako::conformance::assert_holds;
use pinako::{ErrorKind, Store};

use crate::samples::{Stored, append, assert_kind, assert_says, image, open};
use crate::servers::{drop_fresh, fresh_url, psql, variable};

#[test]
fn nobody_at_the_address_is_transient_and_the_hint_names_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://ann:secret@127.0.0.1:{free}/db");
    for mode in [Mode::Read, Mode::Write, Mode::Create] {
        let error = assert_kind(open(&url, mode), ErrorKind::Transient);
        assert_says(&error, &format!("127.0.0.1:{free}"), &format!("pg_isready -h 127.0.0.1 -p {free}"));
    }
    let error = assert_kind(Store::options().open_or_create(&url), ErrorKind::Transient);
    assert_says(&error, "postgres://ann:***@", "pg_isready");
    let missing = tempfile::tempdir().unwrap().path().join("gone");
    let url = format!("postgres://ann@/db?host={}", missing.display());
    assert_says(&assert_kind(open(&url, Mode::Read), ErrorKind::Transient), "/gone/.s.PGSQL.5432", "");
}

#[test]
fn something_else_at_the_address_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    for mode in ["disable", "prefer"] {
        let url = format!("postgres://ann:secret@127.0.0.1:{port}/db?sslmode={mode}");
        let error = open(&url, Mode::Read).expect_err("an error");
        assert_says(&error, &format!("127.0.0.1:{port}"), "something else than PostgreSQL");
    }
}

#[test]
fn a_wrong_password_and_a_missing_one_are_denied() {
    let Some(url) = variable("PINAKO_TEST_POSTGRES_PASSWORD_URL") else { return };
    let with_password = |password: &str| url.replace(":secret@", password);
    for (password, message) in [(":secret-not@", "does not take the password"), ("@", "wants a password")] {
        let error = assert_kind(open(&format!("{}?schema=x", with_password(password)), Mode::Read), ErrorKind::Denied);
        assert_says(&error, message, "PGPASSWORD");
    }
    let by_option = format!("{}?schema=t{}&password=secret", with_password("@"), std::process::id());
    let store = Store::create(&by_option).unwrap();
    assert!(store.url().contains("password=***"), "{}", store.url());
    drop(store);
    drop_fresh(&by_option.replace("&password=secret", "").replace('@', ":secret@"));
    let error = assert_kind(open(&format!("{url}?schema=none"), Mode::Read), ErrorKind::NotFound);
    assert_says(&error, "guarded:***@", "");
}

#[test]
fn a_file_of_passwords_counts_if_nobody_else_can_read_it() {
    let Some(url) = variable("PINAKO_TEST_POSTGRES_PASSWORD_URL") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = url.split_once('@').unwrap().1.replace('/', ":");
    std::fs::write(file.path(), format!("# ours\nelsewhere:*:*:*:wrong\n{place}:guarded:secret\n")).unwrap();
    let url = format!("{}?schema=none&passfile={}", url.replace(":secret@", "@"), file.path().display());
    assert_kind(open(&url, Mode::Read), ErrorKind::NotFound);
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = assert_kind(open(&url, Mode::Read), ErrorKind::Denied);
    assert_says(&error, "wants a password", "chmod 600");
}

#[test]
fn a_missing_database_is_not_found_and_the_hint_makes_it() {
    let Some(url) = variable("PINAKO_TEST_POSTGRES") else { return };
    let url = format!("{}_not", url);
    for mode in [Mode::Read, Mode::Create] {
        let error = assert_kind(open(&url, mode), ErrorKind::NotFound);
        assert_says(&error, "there is no database \"postgres_not\"", "createdb -h 127.0.0.1 -p ");
    }
}

#[test]
fn who_may_not_is_denied_and_who_may_only_read_reads() {
    let (Some(url), Some(nobody)) = (fresh_url("POSTGRES"), variable("PINAKO_TEST_POSTGRES_NO_RIGHTS")) else { return };
    let schema = url.split_once("?schema=").unwrap().1;
    let nobody = format!("{nobody}?schema={schema}");
    assert_says(&assert_kind(open(&nobody, Mode::Create), ErrorKind::Denied), "", "CREATE on the database");
    let store = open(&url, Mode::Create).unwrap();
    let images: Vec<Stored> = (0..5).map(|id| image(id, 3000)).collect();
    append(&*store, &images).unwrap();
    for mode in [Mode::Read, Mode::Write] {
        assert_says(&assert_kind(open(&nobody, mode), ErrorKind::Denied), "", "SELECT on its tables");
    }
    psql(
        &url,
        &format!("GRANT USAGE ON SCHEMA {schema} TO nobody; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO nobody"),
    );
    assert_holds(&*open(&nobody, Mode::Read).unwrap(), &images);
    let writer = open(&nobody, Mode::Write).unwrap();
    let labels = writer.set_label_names(&["x".into()], None);
    for refused in [append(&*writer, &[image(5, 1)]).map(drop), writer.remove(&[0]).map(drop), labels] {
        assert_says(&assert_kind(refused, ErrorKind::Denied), "", "INSERT, UPDATE and DELETE");
    }
    for refused in [writer.compact(), backends::delete(&nobody)] {
        assert_says(&assert_kind(refused, ErrorKind::Denied), "", "as the user who created it");
    }
    assert_holds(&*writer, &images);
    drop_fresh(&url);
}

#[test]
fn a_schema_with_something_else_is_left_alone_and_an_empty_one_is_taken() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let schema = url.split_once("?schema=").unwrap().1;
    for mode in [Mode::Read, Mode::Write] {
        assert_says(&assert_kind(open(&url, mode), ErrorKind::NotFound), schema, "create");
    }
    psql(&url, &format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.others (x integer)"));
    assert_says(&assert_kind(open(&url, Mode::Create), ErrorKind::Conflict), "others", "?schema=");
    for mode in [Mode::Read, Mode::Write] {
        assert_says(&assert_kind(open(&url, mode), ErrorKind::InvalidInput), "others", "?schema=");
    }
    psql(&url, &format!("DROP TABLE {schema}.others"));
    assert_kind(open(&url, Mode::Read), ErrorKind::NotFound);
    drop(open(&url, Mode::Create).unwrap());
    assert_says(&assert_kind(open(&url, Mode::Create), ErrorKind::Conflict), "already", "open it");
    drop(open(&url, Mode::Write).unwrap());
    drop_fresh(&url);
}

#[test]
fn names_of_schemas_may_be_anything() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let odd = format!("{url}%20%22a%22'b;--%5C");
    let store = open(&odd, Mode::Create).unwrap();
    append(&*store, &[image(0, 3000)]).unwrap();
    store.compact().unwrap();
    assert!(store.footprint().unwrap().disk_bytes > 3000);
    assert_holds(&*open(&odd, Mode::Read).unwrap(), &[image(0, 3000)]);
    let schema = url.split_once("?schema=").unwrap().1;
    psql(&url, &format!("DROP SCHEMA \"{schema} \"\"a\"\"'b;--\\\" CASCADE"));
}

#[test]
fn one_of_many_who_create_makes_the_store() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let made = std::thread::scope(|scope| {
        let creators = [(); 6].map(|()| scope.spawn(|| open(&url, Mode::Create)));
        creators.map(|creator| creator.join().unwrap())
    });
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    for refused in made.into_iter().filter(|made| made.is_err()) {
        assert_kind(refused, ErrorKind::Conflict);
    }
    assert_holds(&*open(&url, Mode::Write).unwrap(), &[]);
    drop_fresh(&url);
}

#[test]
fn an_encoding_that_cannot_hold_every_name_is_refused() {
    let Some(url) = variable("PINAKO_TEST_POSTGRES") else { return };
    let name = format!("latin{}", std::process::id());
    psql(&url, &format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"));
    let place = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    let error = assert_kind(open(&place, Mode::Create), ErrorKind::Unsupported);
    psql(&url, &format!("DROP DATABASE {name}"));
    assert_says(&error, "LATIN1", "createdb -E UTF8");
}

#[test]
fn where_reading_is_the_default_a_writer_says_that_it_writes() {
    let Some(url) = variable("PINAKO_TEST_POSTGRES") else { return };
    let name = format!("still{}", std::process::id());
    let place = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    psql(&url, &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"));
    psql(&url, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let store = open(&place, Mode::Create).unwrap();
    append(&*store, &[image(0, 3000)]).unwrap();
    assert_holds(&*open(&place, Mode::Read).unwrap(), &[image(0, 3000)]);
    store.compact().unwrap();
    drop(store);
    backends::delete(&place).unwrap();
    psql(&url, &format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn a_server_that_refuses_a_row_is_not_sent_all_the_others() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&url, Mode::Create).unwrap();
    let schema = url.split_once("?schema=").unwrap().1;
    psql(
        &url,
        &format!(
            "CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''disk_full''; END'; \
             CREATE TRIGGER refuse BEFORE INSERT ON {schema}.payload FOR EACH ROW EXECUTE FUNCTION {schema}.full()"
        ),
    );
    let before = store.traffic().sent;
    let images: Vec<Stored> = (0..100).map(|id| image(id, 1 << 20)).collect();
    let error = assert_kind(append(&*store, &images), ErrorKind::Backend);
    assert_says(&error, "disk is full", "nothing of this was stored");
    let sent = store.traffic().sent - before;
    assert!(sent < 50 << 20, "{sent} bytes");
    psql(&url, &format!("DROP TRIGGER refuse ON {schema}.payload"));
    append(&*store, &images[..1]).unwrap();
    assert_holds(&*store, &images[..1]);
    drop_fresh(&url);
}

#[test]
fn a_pooler_that_forgets_statements_between_transactions_is_told() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let store = open(&url, Mode::Create).unwrap();
    append(&*store, &[image(0, 10)]).unwrap();
    let schema = url.split_once("?schema=").unwrap().1;
    // As if it had another connection from here on.
    psql(
        &url,
        &format!(
            "CREATE FUNCTION {schema}.forget() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN EXECUTE ''DEALLOCATE ALL''; RETURN OLD; END'; \
             CREATE TRIGGER forget BEFORE DELETE ON {schema}.image FOR EACH ROW EXECUTE FUNCTION {schema}.forget()"
        ),
    );
    assert_eq!(store.properties().unwrap().count, 1);
    store.remove(&[0]).unwrap();
    let error = assert_kind(store.properties(), ErrorKind::Unsupported);
    assert_says(&error, "several clients in turn", "pool_mode = session");
    drop_fresh(&url);
}
