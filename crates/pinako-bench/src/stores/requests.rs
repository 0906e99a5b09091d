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
pub const IMAGES: u64 = 100_000;

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
        let (requests, bytes) =
            (figures::count(self.requests.round() as u64), figures::bytes(self.sent + self.received));
        format!("{requests} {} and {bytes}", if self.requests.round() == 1.0 { "request" } else { "requests" })
    }
}

impl Requests {
    /// The cost line: requests and bytes for [`IMAGES`] images, in proportion to what was counted.
    pub fn line(&self) -> String {
        let factor = IMAGES as f64 / self.count as f64;
        let images = figures::count(IMAGES);
        let mut text = format!(
            "{}: {images} images take {} to store, {} to read all of them at once",
            self.backend,
            self.store.times(factor).text(),
            self.read.times(factor).text()
        );
        if let Some(single) = self.single {
            text += &format!(", {} to read them one at a time", single.times(IMAGES as f64).text());
        }
        if self.count != IMAGES {
            let counted = [self.store, self.read].map(|asked| figures::count(asked.requests.round() as u64));
            text += &format!(
                " (in proportion to {} images, which took {} and {} requests: in larger batches it is fewer)",
                figures::count(self.count),
                counted[0],
                counted[1]
            );
        }
        text + "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_proportion() {
        let asked = |requests, sent, received| Asked { requests, sent, received };
        let line = Requests {
            backend: "s3".to_owned(),
            count: 10_000,
            store: asked(3.0, 30e6, 0.0),
            read: asked(5.0, 0.0, 31e6),
            single: Some(asked(1.5, 0.0, 3072.0)),
        }
        .line();
        assert!(line.starts_with("s3: 100,000 images take 30 requests and "), "{line}");
        assert!(line.contains(", 50 requests and ") && line.contains(", 150,000 requests and "), "{line}");
        assert!(line.contains("(in proportion to 10,000 images, which took 3 and 5 requests"), "{line}");
    }
}
