//! A PostgreSQL server of a test's own, which may be killed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::servers::variable;

/// A cluster on this machine, stopped and removed in the end.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Cluster {
    /// A cluster that runs; `None` where there is no PostgreSQL.
    pub fn new() -> Option<Cluster> {
        let programs = PathBuf::from(variable("PINAKO_TEST_POSTGRES_BIN")?);
        let folder = tempfile::Builder::new().prefix("pinako-postgres-").tempdir().unwrap();
        if let Some((user, group)) = whom_to_be() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Cluster { folder, programs, port };
        let data = cluster.data();
        cluster
            .run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        cluster.start();
        Some(cluster)
    }

    /// The URL of a store in a schema of that name, with time enough for a restart on a busy machine.
    pub fn url(&self, schema: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?schema={schema}&connect_timeout=120", self.port)
    }

    pub fn start(&self) {
        let options = format!("-k {} -h 127.0.0.1 -p {}", self.folder.path().display(), self.port);
        let log = self.folder.path().join("log").display().to_string();
        let data = self.data();
        let start = || self.try_run("pg_ctl", &["-D", &data, "-w", "-o", &options, "-l", &log, "start"]);
        // Processes that a killed server left keep a new one from starting, until they have noticed.
        assert!(
            (0..300).any(|_| start() || {
                thread::sleep(Duration::from_millis(100));
                false
            }),
            "no start: see {log}"
        );
    }

    /// Stops the server as a crash would: no process of it does anything more.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }

    /// Kills the server's first process, whose others then end by themselves.
    pub fn kill(&self) {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        let process = file.lines().next().unwrap();
        assert!(Command::new("kill").args(["-9", process]).status().unwrap().success());
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        assert!(self.try_run(program, arguments), "{program} {arguments:?} failed in {}", self.folder.path().display());
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        // The server that it starts keeps what it is given.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = whom_to_be() {
            command.uid(user).gid(group);
        }
        command.status().unwrap().success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.try_run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }
}

/// PostgreSQL refuses to run as root: then it runs as its own user.
fn whom_to_be() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let mut fields = user.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next()?, fields.next()?))
}
