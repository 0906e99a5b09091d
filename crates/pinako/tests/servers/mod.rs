//! The servers beside which the tests run. `scripts/servers.py` starts them and says by variables where they are.

use std::env;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// The URL of a store that nobody else has, on the server that the variable `PINAKO_TEST_{name}` gives the URL of.
/// `None` where it does not run: then the test is skipped, by its name, which is a failure where `CI` is set.
#[allow(dead_code)]
pub fn fresh_url(name: &str) -> Option<String> {
    static LATEST: AtomicU32 = AtomicU32::new(0);
    let server = variable(&format!("PINAKO_TEST_{name}"))?;
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let own = format!("t{}_{nanos}_{}", process::id(), LATEST.fetch_add(1, Relaxed));
    Some(match name {
        "POSTGRES" => format!("{server}?schema={own}"),
        _ => format!("{server}/{own}"),
    })
}

/// Has the PostgreSQL server at `url` do `statements`, and gives the rows that it answers with, as psql prints them.
#[allow(dead_code)]
pub fn psql(url: &str, statements: &str) -> String {
    let output = psql_session(url).args(["-c", statements]).output().unwrap();
    assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The command psql, which does what its input says.
#[allow(dead_code)]
pub fn psql_session(url: &str) -> process::Command {
    // The options after the ? are ours.
    let server = url.split('?').next().unwrap_or(url);
    let program = env::var("PINAKO_TEST_POSTGRES_BIN").map_or("psql".into(), |folder| format!("{folder}/psql"));
    let mut command = process::Command::new(program);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", server]);
    command
}

/// Drops what stands at a URL of [`fresh_url`], where that is in a database; other servers forget it when they end.
#[allow(dead_code)]
pub fn drop_fresh(url: &str) {
    if let (true, Some((_, schema))) = (url.starts_with("postgres:"), url.split_once("?schema=")) {
        psql(url, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE"));
    }
}

/// What that variable says; where it says nothing, as with [`fresh_url`].
pub fn variable(name: &str) -> Option<String> {
    let value = env::var(name).ok();
    if value.is_none() {
        assert!(env::var_os("CI").is_none(), "{name} is not set: scripts/servers.py starts the server");
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!("skipped: {test}: {name} is not set, see \"The servers of the tests\" in CONTRIBUTING.md");
    }
    value
}
