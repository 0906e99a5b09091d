//! How a long job shows that it lives: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use pinako::Progress;
use pinako_bench::figures;

use crate::{interrupt, report};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A step that does not fit the terminal is cut off.
const BAR: &str = "{prefix} [{bar:24}] {done}/{all} UNIT  {per_sec}  {eta} left  {wide_msg}";
/// Where it is not known how much there is.
const SPINNER: &str = "{prefix} {spinner} {done} UNIT  {per_sec}  {elapsed}  {msg}";
/// A bar counts so many for an image: it moves while a large one is at work.
const STEPS: u64 = 100;

/// Something that tells nothing of how far it is: a terminal shows that it lives. Ctrl-C kills it, which loses nothing.
pub struct Waiting(ProgressBar);

impl Waiting {
    /// Shows `what` is being done, until it is dropped.
    pub fn start(what: &'static str) -> Self {
        Waiting(bar(what, ProgressStyle::with_template("{prefix} {spinner} {elapsed}").expect("a sound template")))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A job that is shown, and that Ctrl-C stops.
pub struct Job {
    /// What is being done: `importing`, `copying`, ...
    what: String,
    /// What is counted: `images`.
    unit: &'static str,
    bar: ProgressBar,
    started: Instant,
    last_line: Instant,
    /// What was done when the job was first heard of.
    first: Option<Progress>,
}

impl Job {
    /// Starts the clock of a job on images.
    pub fn start(what: &'static str) -> Self {
        Self::counting(what, "images")
    }

    /// Starts the clock of a job on something else.
    pub fn counting(what: &'static str, unit: &'static str) -> Self {
        interrupt::listen();
        let bar = bar(what, style(SPINNER, unit));
        let now = Instant::now();
        Job { what: what.to_owned(), unit, bar, started: now, last_line: now, first: None }
    }

    /// Shows how far the job is, and says whether it is to go on.
    pub fn watch(&mut self, progress: Progress) -> ControlFlow<()> {
        let first = *self.first.get_or_insert_with(|| {
            if let Some(total) = progress.total {
                self.bar.set_length(total.saturating_mul(STEPS));
                self.bar.set_style(style(BAR, self.unit));
            }
            self.bar.set_position(position(progress));
            self.bar.reset_eta(); // what was done before says nothing of the speed
            progress
        });
        self.bar.set_position(position(progress));
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            report::say(line(&self.what, self.unit, first, progress, self.started.elapsed()));
        }
        match interrupt::asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Says what is being done now.
    pub fn step(&mut self, what: &str) {
        self.bar.set_message(what.to_owned());
        what.clone_into(&mut self.what);
    }

    /// The bar, for what writes above it while the job runs: [`ProgressBar::suspend`].
    pub fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Takes the bar away and says how long the job took.
    pub fn finish(&self) -> Duration {
        self.bar.finish_and_clear();
        self.started.elapsed()
    }
}

impl Drop for Job {
    /// A job that failed leaves no half bar above its error.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on a terminal, and none elsewhere, of which nobody knows yet how long it gets.
fn bar(what: &'static str, style: ProgressStyle) -> ProgressBar {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)),
        false => ProgressBar::hidden(),
    };
    bar.set_style(style);
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(100)); // which then is what draws
    bar
}

fn position(progress: Progress) -> u64 {
    progress.images.saturating_mul(STEPS).saturating_add(progress.percent.unwrap_or(0).into())
}

fn style(template: &str, unit: &str) -> ProgressStyle {
    ProgressStyle::with_template(&template.replace("UNIT", unit))
        .expect("the templates here are sound")
        .progress_chars("=> ")
        .with_key("per_sec", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}/s", figures::rate(state.per_sec() / STEPS as f64));
        })
        .with_key("done", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}", figures::count(state.pos() / STEPS));
        })
        .with_key("all", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}", figures::count(state.len().unwrap_or(0) / STEPS));
        })
}

/// `importing: 12,000 of 60,000 images, 36.9 MB, 3,400 images/s, 14.1 s left`
fn line(what: &str, unit: &str, first: Progress, now: Progress, elapsed: Duration) -> String {
    let mut line = format!("{what}: {}", figures::count(now.images));
    if let Some(total) = now.total {
        line += &format!(" of {}", figures::count(total));
    }
    line += &format!(" {unit}");
    if now.bytes > 0 {
        line += &format!(", {}", figures::bytes(now.bytes as f64));
    }
    if let Some(percent) = now.percent {
        line += &format!(", {percent}% of a large one");
    }
    let rate = now.images.saturating_sub(first.images) as f64 / elapsed.as_secs_f64().max(1e-9);
    if rate >= 1.0 {
        line += &format!(", {} {unit}/s", figures::rate(rate));
        if let Some(total) = now.total {
            let left = total.saturating_sub(now.images) as f64 / rate;
            line += &format!(", {} left", figures::seconds(left));
        }
    }
    line
}

/// `60,000 images (184 MB) in 2.10 s, 28,600 images/s`
pub fn summary(images: u64, bytes: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let size = figures::bytes(bytes as f64);
    let mut text = format!("{} ({size}) in {}", figures::counted(images, "image"), figures::seconds(seconds));
    if images > 0 && seconds > 0.0 {
        text += &format!(", {} images/s", figures::rate(images as f64 / seconds));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_time_left_where_they_are_known() {
        let at = |images, total| Progress { images, total, bytes: 1000 * images, percent: None };
        let line = |first, now| line("copying", "images", first, now, Duration::from_secs(10));
        assert_eq!(
            line(at(1000, Some(60_000)), at(21_000, Some(60_000))),
            "copying: 21,000 of 60,000 images, 21.0 MB, 2,000 images/s, 19.5 s left"
        );
        assert_eq!(line(at(0, None), at(50, None)), "copying: 50 images, 50.0 kB, 5.00 images/s");
        assert_eq!(line(at(5, None), at(5, None)), "copying: 5 images, 5.00 kB");
        let now = Progress { percent: Some(42), ..at(0, Some(1)) };
        assert_eq!(line(at(0, Some(1)), now), "copying: 0 of 1 images, 42% of a large one");
        assert_eq!((position(now), position(at(3, None))), (42, 300));
    }
}
