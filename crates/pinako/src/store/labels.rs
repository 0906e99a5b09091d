//! Label names of two places brought together.
//!
//! Labels are numbers; what class a number means is said by the list of label names. Where images come in from
//! somewhere with a list of its own, classes are matched by name and new ones are added at the end.

use super::Store;
use crate::descriptor::Label;
use crate::error::{Error, Result};

/// What the labels of an incoming set become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LabelMap {
    /// They stay as they are.
    Same,
    /// Label `i` becomes `.0[i]`.
    Table(Vec<Label>),
}

impl LabelMap {
    /// What `label` becomes.
    ///
    /// # Errors
    /// `InvalidInput` where the incoming list has no name for it.
    pub(crate) fn map(&self, label: Label) -> Result<Label> {
        match self {
            LabelMap::Same => Ok(label),
            LabelMap::Table(table) => {
                usize::try_from(label).ok().and_then(|label| table.get(label)).copied().ok_or_else(|| {
                    Error::invalid(format!(
                        "the label {label} does not fit the {} label names it came with",
                        table.len()
                    ))
                })
            }
        }
    }
}

impl Store {
    /// Adds those of `incoming` that are not among the store's label names yet, and says what the incoming labels
    /// become. A store that has images and no label names keeps labels as numbers.
    pub(crate) fn merge_label_names(&self, incoming: &[String]) -> Result<LabelMap> {
        let properties = self.properties()?;
        let mut names = properties.label_names;
        if incoming.is_empty() || (names.is_empty() && properties.count > 0) {
            return Ok(LabelMap::Same);
        }
        let known = names.len();
        let table: Vec<Label> = incoming
            .iter()
            .map(|name| {
                let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                });
                place as Label
            })
            .collect();
        if names.len() > known {
            self.set_label_names(&names)?;
        }
        let same = table.iter().enumerate().all(|(from, &to)| from as Label == to);
        Ok(if same { LabelMap::Same } else { LabelMap::Table(table) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_matched_by_name() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let store = Store::create("memory:").unwrap();
        assert_eq!(store.merge_label_names(&names("cat dog")).unwrap(), LabelMap::Same);
        let map = store.merge_label_names(&names("emu dog")).unwrap();
        assert_eq!((map.map(0).unwrap(), map.map(1).unwrap(), map.map(2).is_err()), (2, 1, true));
        assert_eq!(store.label_names().unwrap(), names("cat dog emu"));
        assert_eq!(store.merge_label_names(&[]).unwrap(), LabelMap::Same);
    }
}
