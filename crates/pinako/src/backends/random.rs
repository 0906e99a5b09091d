//! Numbers and words that nobody else comes upon: the system's own random ones, of which forked processes get different
//! ones, too.

use crate::error::{Error, ErrorKind, Result};

/// A number at random.
pub(super) fn number() -> Result<u64> {
    let none = |error: getrandom::Error| {
        Error::new(ErrorKind::Backend, "the system gives no random numbers").with_source(error.to_string())
    };
    getrandom::u64().map_err(none)
}

/// A word at random: 16 hexadecimal digits.
pub(super) fn token() -> Result<String> {
    number().map(|number| format!("{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let tokens: std::collections::HashSet<String> = (0..1000).map(|_| token().unwrap()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!(tokens.iter().all(|token| token.len() == 16));
    }
}
