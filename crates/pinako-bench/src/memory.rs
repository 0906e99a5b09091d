//! How much memory a piece of work takes.
//!
//! Counted is the process's *anonymous* memory (`RssAnon`): what it allocated and touched. Pages of files that are
//! mapped or cached are not: they are the system's to take back at any moment, and counting them would blame LMDB for
//! using the page cache by another road than `read`. A thread looks at it every half a millisecond, so a shorter peak
//! can be missed; work is never measured and timed at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_micros(500);

/// Does `work` and gives the most bytes of anonymous memory that the process had meanwhile beyond what it had before;
/// `None` where the system does not say (only Linux does).
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, Option<u64>) {
    give_back_free_memory();
    let Some(before) = anonymous_bytes() else { return (work(), None) };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = before;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_bytes().unwrap_or(0));
                thread::sleep(INTERVAL);
            }
            peak
        });
        let result = work();
        let after = anonymous_bytes().unwrap_or(0);
        done.store(true, Ordering::Relaxed);
        let peak = watcher.join().unwrap_or(before).max(after);
        (result, Some(peak.saturating_sub(before)))
    })
}

fn anonymous_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What was freed before must not be counted as held: reusing it would look like taking nothing.
fn give_back_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim(3) has this signature, no preconditions and may be called from any thread.
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_what_was_touched_even_if_it_is_gone_at_the_end() {
        let size = 64 << 20;
        let (_, peak) = peak_of(|| {
            let touched = vec![1u8; size];
            thread::sleep(Duration::from_millis(20));
            std::hint::black_box(touched).len()
        });
        let peak = peak.unwrap();
        // Other tests of this process take memory and give it back meanwhile.
        assert!(peak >= size as u64 / 2 && peak < 2 * size as u64, "{peak}");
    }
}
