//! Label names of two places brought together.
//!
//! Labels are numbers; what class a number means is said by the list of label names. Where images come in from
//! somewhere with a list of its own, classes are matched by name and new ones are added at the end.

use super::Store;
use crate::descriptor::{Descriptor, Label};
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
    /// become. Where nothing has names, labels are numbers and stay as they are.
    ///
    /// # Errors
    /// `Conflict` where the store has labels without names: what an incoming name means there cannot be known.
    pub(crate) fn merge_label_names(&self, incoming: &[String]) -> Result<LabelMap> {
        if incoming.is_empty() {
            return Ok(LabelMap::Same);
        }
        let mut names = self.label_names()?;
        if names.is_empty() {
            self.check_unlabelled()?;
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

    /// Checks that no image of the store has a label.
    fn check_unlabelled(&self) -> Result<()> {
        for descriptor in self.scan(0) {
            let Descriptor { id, label, .. } = descriptor?;
            if let Some(label) = label {
                return Err(self.here(
                    Error::conflict(format!(
                        "the store has no label names but labels (image {id} has {label}): what classes these are cannot \
                         be known, so those that come in cannot be matched with them"
                    ))
                    .with_hint("set the store's label names first, or start a new store"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::image::{Image, SampleType, Shape};
    use crate::store::NewImage;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn store_with(label: Option<Label>) -> Store {
        let store = Store::create("memory:").unwrap();
        let image = Image::from_bytes(Shape::new(1, 1, 1).unwrap(), SampleType::U8, vec![7]).unwrap();
        store.append([NewImage::pixels(&image).label(label)]).unwrap();
        store
    }

    #[test]
    fn classes_are_matched_by_name() {
        let store = Store::create("memory:").unwrap();
        assert_eq!(store.merge_label_names(&names("cat dog")).unwrap(), LabelMap::Same);
        let map = store.merge_label_names(&names("emu dog")).unwrap();
        assert_eq!((map.map(0).unwrap(), map.map(1).unwrap(), map.map(2).is_err()), (2, 1, true));
        assert_eq!(store.label_names().unwrap(), names("cat dog emu"));
        assert_eq!(store.merge_label_names(&[]).unwrap(), LabelMap::Same);
    }

    #[test]
    fn a_store_of_images_without_labels_takes_the_names_over() {
        let store = store_with(None);
        assert_eq!(store.merge_label_names(&names("cat dog")).unwrap(), LabelMap::Same);
        assert_eq!(store.label_names().unwrap(), names("cat dog"));
        let map = store.merge_label_names(&names("dog cat")).unwrap();
        assert_eq!((map.map(0).unwrap(), map.map(1).unwrap()), (1, 0));
    }

    #[test]
    fn labels_without_names_are_not_mixed_with_named_classes() {
        let store = store_with(Some(0));
        let error = store.merge_label_names(&names("cat dog")).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Conflict, true));
        assert!(error.to_string().contains("image 0 has 0"), "{error}");
        assert!(store.label_names().unwrap().is_empty());
        assert_eq!(store.merge_label_names(&[]).unwrap(), LabelMap::Same);
    }
}
