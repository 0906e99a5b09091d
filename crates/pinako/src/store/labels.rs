//! Label names of two places brought together.
//!
//! Labels are numbers; what class a number means is said by the list of label names. Where images come in from
//! somewhere with a list of its own, classes are matched by name and new ones are added at the end.

use super::Store;
use crate::descriptor::{Descriptor, Label};
use crate::error::{Error, ErrorKind, Result};

/// What the labels of an incoming set become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LabelMap {
    /// They have no names, and stay as they are.
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

/// The store's label names together with those of an incoming set.
#[derive(Debug)]
pub(crate) struct Merged {
    /// What the incoming labels become.
    pub(crate) map: LabelMap,
    /// The store's names as they were, and as they are to be.
    before: Vec<String>,
    names: Vec<String>,
}

impl Merged {
    /// How many label names the store is to have.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }
}

impl Store {
    /// Adds those of `incoming` that are not among the store's label names yet, and says what the incoming labels
    /// become. Where nothing has names, labels are numbers and stay as they are. Nothing is written yet: see
    /// [`save_label_names`](Self::save_label_names).
    ///
    /// # Errors
    /// `Conflict` where the store has labels without names: what an incoming name means there cannot be known.
    pub(crate) fn merge_label_names(&self, incoming: &[String]) -> Result<Merged> {
        let before = self.label_names()?;
        let mut names = before.clone();
        if incoming.is_empty() {
            return Ok(Merged { map: LabelMap::Same, before, names });
        }
        if names.is_empty() {
            self.check_unlabelled()?;
        }
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
        Ok(Merged { map: LabelMap::Table(table), before, names })
    }

    /// Writes what [`merge_label_names`](Self::merge_label_names) made, where it has new names. It is done late, when
    /// the first images are ready to be appended: a job that fails before adds no names.
    ///
    /// # Errors
    /// `Conflict` where the names were changed meanwhile, and now do not start with those.
    pub(crate) fn save_label_names(&self, merged: &mut Merged) -> Result<()> {
        if merged.names == merged.before {
            return Ok(());
        }
        if let Err(error) = self.change_label_names(&merged.before, &merged.names) {
            // Another job like this one may have added the same names meanwhile.
            if error.kind() != ErrorKind::Conflict || !self.label_names()?.starts_with(&merged.names) {
                return Err(error);
            }
        }
        merged.before.clone_from(&merged.names);
        Ok(())
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
                    .with_hint("name the store's labels first, by set_label_names, or start a new store"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, SampleType, Shape};
    use crate::store::NewImage;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn merge(store: &Store, text: &str) -> LabelMap {
        let mut merged = store.merge_label_names(&names(text)).unwrap();
        store.save_label_names(&mut merged).unwrap();
        merged.map
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
        assert_eq!(merge(&store, "cat dog"), LabelMap::Table(vec![0, 1]));
        let map = merge(&store, "emu dog");
        assert_eq!((map.map(0).unwrap(), map.map(1).unwrap(), map.map(2).is_err()), (2, 1, true));
        assert_eq!(store.label_names().unwrap(), names("cat dog emu"));
        assert_eq!(store.merge_label_names(&[]).unwrap().map, LabelMap::Same);
    }

    #[test]
    fn a_label_without_a_name_where_it_comes_from_is_no_class_here() {
        let store = Store::create("memory:").unwrap();
        merge(&store, "cat dog emu");
        let error = merge(&store, "cat dog").map(2).unwrap_err();
        assert!(error.to_string().contains("does not fit the 2 label names it came with"), "{error}");
        assert_eq!(store.label_names().unwrap(), names("cat dog emu"));
    }

    #[test]
    fn a_store_of_images_without_labels_takes_the_names_over() {
        let store = store_with(None);
        assert_eq!(merge(&store, "cat dog"), LabelMap::Table(vec![0, 1]));
        assert_eq!(store.label_names().unwrap(), names("cat dog"));
        let map = merge(&store, "dog cat");
        assert_eq!((map.map(0).unwrap(), map.map(1).unwrap()), (1, 0));
    }

    #[test]
    fn labels_without_names_are_not_mixed_with_named_classes() {
        let store = store_with(Some(0));
        let error = store.merge_label_names(&names("cat dog")).unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Conflict, true));
        assert!(error.to_string().contains("image 0 has 0"), "{error}");
        assert!(store.label_names().unwrap().is_empty());
        assert_eq!(store.merge_label_names(&[]).unwrap().map, LabelMap::Same);
    }
    #[test]
    fn names_are_added_when_they_are_saved_and_only_to_those_they_were_merged_with() {
        let store = store_with(None);
        let mut merged = store.merge_label_names(&names("cat dog")).unwrap();
        assert!(store.label_names().unwrap().is_empty());
        store.set_label_names(&names("emu")).unwrap();
        assert_eq!(store.save_label_names(&mut merged).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(store.label_names().unwrap(), names("emu"));
    }
}
