//! What a measurement was made on: a figure without its machine is none.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

const UNKNOWN: &str = "unknown";

/// The machine, as far as it says what it is.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
    /// The file system under the measured stores: type and mount point.
    pub file_system: String,
    /// The disk under it: name, model, kind.
    pub disk: String,
}

impl Machine {
    /// This machine, and what is under `folder`, which must exist.
    pub fn here(folder: &Path) -> Self {
        let mount = fs::canonicalize(folder).ok().and_then(|folder| {
            let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
            mount_of(&table, &folder)
        });
        let (file_system, disk) = match &mount {
            Some(mount) => {
                (format!("{} at {}", mount.kind, mount.point.display()), disk(mount).unwrap_or(UNKNOWN.into()))
            }
            None => (UNKNOWN.into(), UNKNOWN.into()),
        };
        Machine {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok())
                .map_or(0, |kilobytes| kilobytes * 1024),
            system: system(),
            file_system,
            disk,
        }
    }
}

/// The value in the first line `key: value` of a file of /proc.
fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == key).then(|| value.trim().to_owned())
    })
}

fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    match fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(kernel) => format!("{name}, kernel {}", kernel.trim()),
        Err(_) => name.to_owned(),
    }
}

struct Mount {
    point: PathBuf,
    kind: String,
    /// `major:minor` of the device.
    device: String,
    source: String,
}

/// The mount that `folder` is on: the longest mount point above it, the last one where two are at one place.
fn mount_of(table: &str, folder: &Path) -> Option<Mount> {
    table
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?; // see proc(5): the optional fields end with a hyphen
            let mut left = left.split(' ');
            let device = left.nth(2)?.to_owned();
            let point = PathBuf::from(left.nth(1)?.replace("\\040", " "));
            let mut right = right.split(' ');
            let (kind, source) = (right.next()?.to_owned(), right.next()?.to_owned());
            folder.starts_with(&point).then_some(Mount { point, kind, device, source })
        })
        .max_by_key(|mount| mount.point.components().count())
}

/// Name, model and kind of the disk, from /sys.
fn disk(mount: &Mount) -> Option<String> {
    let Ok(block) = fs::canonicalize(format!("/sys/dev/block/{}", mount.device)) else {
        return Some(format!("none of its own ({})", mount.source)); // tmpfs, network file systems, overlays
    };
    let whole = if block.join("partition").exists() { block.parent()?.to_owned() } else { block };
    let read = |name: &str| fs::read_to_string(whole.join(name)).ok().map(|text| text.trim().to_owned());
    let mut text = whole.file_name()?.to_string_lossy().into_owned();
    if let Some(model) = read("device/model") {
        text = format!("{text}, {model}");
    }
    match read("queue/rotational").as_deref() {
        Some("0") => text += ", not rotating",
        Some("1") => text += ", said to be rotating",
        _ => {}
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_found() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     30 22 0:40 / /tmp rw,nosuid shared:3 - tmpfs tmpfs rw\n\
                     31 22 8:2 / /tmp/my\\040disk rw - xfs /dev/sda2 rw\n\
                     32 22 8:3 / /tmpfoo rw - btrfs /dev/sda3 rw";
        let kind = |folder: &str| mount_of(table, Path::new(folder)).map(|mount| (mount.kind, mount.device));
        assert_eq!(kind("/home"), Some(("ext4".into(), "8:1".into())));
        assert_eq!(kind("/tmp/a"), Some(("tmpfs".into(), "0:40".into())));
        assert_eq!(kind("/tmp/my disk/x"), Some(("xfs".into(), "8:2".into())));
        assert!(mount_of("nonsense\n - \n", Path::new("/")).is_none());
    }
}
