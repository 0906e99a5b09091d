//! For tests: a small file system of its own, which can be filled and made read-only. Only root can mount one: elsewhere
//! the tests that need it are skipped by name, which is a failure where `CI` is set.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, io, thread};

use tempfile::TempDir;

/// Unmounted in the end.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn mount(megabytes: u64) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = mount(&format!("size={megabytes}m"), folder.path());
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(folder));
        }
        assert!(env::var_os("CI").is_none(), "a disk must be mounted in CI: {mounted:?}");
        eprintln!("skipped: {}: cannot mount a tmpfs", thread::current().name().unwrap_or_default());
        None
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Leaves no room at all.
    #[allow(dead_code)]
    pub fn fill(&self) {
        let mut file = File::create(self.path("full")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    #[allow(dead_code)]
    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        assert!(mount(options, self.0.path()).unwrap().status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn mount(options: &str, folder: &Path) -> io::Result<Output> {
    Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output()
}
