//! That a backend pushes everything it was asked for, each once.
//!
//! An image is put together out of what is pushed. A push that does not come would leave pixels that nobody has read, and
//! nothing else would tell: what was wanted of them is not known above the backend.

use crate::descriptor::Id;
use crate::error::{Error, ErrorKind, Result};

/// Which places of a batch were pushed.
pub(super) struct Pushed<'a, T> {
    asked: &'a [T],
    id: fn(&T) -> Id,
    seen: Vec<bool>,
}

impl<'a, T> Pushed<'a, T> {
    /// Nothing yet of what is `asked`, each of the image that `id` says.
    pub(super) fn new(asked: &'a [T], id: fn(&T) -> Id) -> Self {
        Pushed { asked, id, seen: vec![false; asked.len()] }
    }

    /// What was asked at a place that is pushed now.
    ///
    /// # Errors
    /// `Backend` where nothing was, or it was pushed before.
    pub(super) fn take(&mut self, place: usize) -> Result<&'a T> {
        let (Some(asked), Some(seen)) = (self.asked.get(place), self.seen.get_mut(place)) else {
            let count = self.asked.len();
            return Err(wrong(format!("the backend answered number {place} of {count} questions, counted from 0")));
        };
        if std::mem::replace(seen, true) {
            return Err(wrong("the backend answered twice where it was asked once").at_id((self.id)(asked)));
        }
        Ok(asked)
    }

    /// Ends the batch.
    ///
    /// # Errors
    /// `Backend` where something was not pushed.
    pub(super) fn finish(self) -> Result<()> {
        match self.seen.iter().position(|seen| !seen) {
            None => Ok(()),
            Some(place) => {
                Err(wrong("the backend gave no answer where it was asked").at_id((self.id)(&self.asked[place])))
            }
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Backend, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_counts_once_and_none_is_left_out() {
        let mut pushed = Pushed::new(&[10, 20, 30], |&id| id);
        assert!(pushed.take(2).is_ok() && pushed.take(0).is_ok());
        assert_eq!(pushed.take(2).unwrap_err().id(), Some(30));
        assert!(pushed.take(3).unwrap_err().to_string().contains("number 3 of 3"));
        let error = pushed.finish().unwrap_err();
        assert_eq!((error.kind(), error.id()), (ErrorKind::Backend, Some(20)));
        assert!(Pushed::new(&[], |&id| id).finish().is_ok());
    }
}
