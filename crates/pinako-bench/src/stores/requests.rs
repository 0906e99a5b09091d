//! What a store on a server costs where requests and bytes are paid for: counted, not estimated.

use pinako::backend::Traffic;
use serde::Serialize;

use crate::figures;

/// What is told of a store on a server beside its times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Requests {
    /// The backend's name.
    pub backend: String,
    /// Images in the store.
    pub count: u64,
    /// Making the store and storing all images.
    pub store: Asked,
    /// Opening the store and reading all images.
    pub read: Asked,
    /// Reading one image at random, in an open store: the mean.
    pub single: Option<Asked>,
}

/// What was asked of a server: sums, or means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Asked {
    /// Requests.
    pub requests: f64,
    /// Bytes sent.
    pub sent: f64,
    /// Bytes received.
    pub received: f64,
}

/// What prices are compared by.
const IMAGES: u64 = 100_000;

/// Images from which on requests are in proportion to them: those of some batches.
const LEAST_BATCHES: u64 = 30_000;

impl From<Traffic> for Asked {
    fn from(traffic: Traffic) -> Self {
        let [requests, sent, received] = [traffic.requests, traffic.sent, traffic.received].map(|sum| sum as f64);
        Asked { requests, sent, received }
    }
}

impl Asked {
    /// `factor` times as much.
    pub fn times(self, factor: f64) -> Self {
        Asked { requests: self.requests * factor, sent: self.sent * factor, received: self.received * factor }
    }

    /// What was asked since `before`.
    pub(super) fn since(self, before: Asked) -> Self {
        Asked {
            requests: self.requests - before.requests,
            sent: self.sent - before.sent,
            received: self.received - before.received,
        }
    }

    fn text(self) -> String {
        let requests = figures::counted(self.requests.round() as u64, "request");
        format!("{requests} and {}", figures::bytes(self.sent + self.received))
    }
}

impl Requests {
    /// The cost line: requests and bytes for as many images as prices are compared by, in proportion to what was counted;
    /// or what was counted, where that is so little that requests are not in proportion to it.
    pub fn line(&self) -> String {
        let Requests { backend, count, .. } = self;
        let (factor, images) = match *count < LEAST_BATCHES {
            true => (1.0, *count),
            false => (IMAGES as f64 / *count as f64, IMAGES),
        };
        let mut text = format!(
            "{backend}: {} images take {} to store, {} to read all of them at once",
            figures::count(images),
            self.store.times(factor).text(),
            self.read.times(factor).text()
        );
        if let Some(single) = self.single {
            text += &format!(", {} to read them one at a time", single.times(images as f64).text());
        }
        if *count != images {
            text += &format!(" (in proportion to what {} took)", figures::count(*count));
        }
        if images != IMAGES {
            text += &format!("; more of them take fewer requests each: measure {}", figures::count(IMAGES));
        }
        text + "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(count: u64) -> String {
        let asked = |requests, sent, received| Asked { requests, sent, received };
        Requests {
            backend: "s3".to_owned(),
            count,
            store: asked(3.0, 30e6, 0.0),
            read: asked(5.0, 0.0, 31e6),
            single: Some(asked(1.5, 0.0, 3072.0)),
        }
        .line()
    }

    #[test]
    fn a_line_is_in_proportion_to_batches_and_not_to_less() {
        let line = line_of(50_000);
        assert!(line.starts_with("s3: 100,000 images take 6 requests and "), "{line}");
        assert!(line.contains(", 10 requests and ") && line.contains(", 150,000 requests and "), "{line}");
        assert!(line.ends_with("(in proportion to what 50,000 took)."), "{line}");
        let line = line_of(1_000);
        assert!(line.starts_with("s3: 1,000 images take 3 requests and "), "{line}");
        assert!(
            line.contains(", 1,500 requests and ") && line.ends_with("fewer requests each: measure 100,000."),
            "{line}"
        );
    }
}
