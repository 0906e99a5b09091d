//! Ctrl-C: the first asks the running job to end what it is storing and stop, the second ends the process at once. Both
//! leave a sound store; the first also says how to go on.
//!
//! Only SIGINT is caught. SIGTERM and a hangup end the process as they always do, which a store survives as well, and
//! `nohup` keeps its meaning.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::report;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. Where that is not possible, Ctrl-C ends the process as usual.
pub fn listen() {
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(report::INTERRUPTED));
        }
        report::say("");
        report::say("stopping; Ctrl-C again ends at once");
    });
}

/// Whether somebody asked to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
