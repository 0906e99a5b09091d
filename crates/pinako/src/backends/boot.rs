//! Which run of the machine this is: only while it lasts is there sure to be what was written and not synced.

use std::sync::LazyLock;

/// What the kernel calls this run; empty where it does not say.
static ID: LazyLock<String> = LazyLock::new(|| {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim_end().to_owned()
});

/// The name of this run of the machine, to be written beside what is not synced; empty where it has none.
pub(super) fn id() -> &'static str {
    &ID
}

/// Whether the machine is sure to have run on since `id` was asked for.
pub(super) fn still_runs(id: &str) -> bool {
    !id.is_empty() && id == *ID
}
