//! How many connections it takes.

use pinako::{ErrorKind, Store};

use crate::proxy::Proxy;
use crate::samples::assert_kind;
use crate::servers::{drop_fresh, fresh_url};

#[test]
fn to_look_whether_there_is_a_store_is_to_open_it() {
    let Some(url) = fresh_url("POSTGRES") else { return };
    let proxy = Proxy::new(&url);
    let through = proxy.url(&url);
    let store = Store::options().open_or_create(&through).unwrap();
    assert_eq!(store.count().unwrap(), 0);
    assert_kind(Store::open(&url), ErrorKind::NotFound);
    store.set_label_names(&["one".to_owned()]).unwrap();

    let before = proxy.connections();
    let again = Store::options().open_or_create(&through).unwrap();
    assert_eq!(again.label_names().unwrap(), ["one"]);
    assert_eq!(proxy.connections() - before, 1);
    drop_fresh(&url);
}
