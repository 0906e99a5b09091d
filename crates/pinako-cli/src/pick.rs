//! How a person says which image or which label is meant: digits are a number, all else is a name, and `name:` before
//! it makes a name of anything.

use std::str::FromStr;

use pinako::{Error, ErrorKind, Id, Label, Result, Store};

/// Which image is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePick {
    Id(Id),
    Name(String),
}

impl FromStr for ImagePick {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("name:") {
            Some(name) => Ok(ImagePick::Name(name.to_owned())),
            None if text.is_empty() => Err("an id or a name is expected".to_owned()),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
                Ok(id) => Ok(ImagePick::Id(id)),
                Err(_) => Err(format!("ids end at {}; write name:{text} if it is a name", Id::MAX)),
            },
            None => Ok(ImagePick::Name(text.to_owned())),
        }
    }
}

impl ImagePick {
    /// The id, where one is given.
    pub fn id(&self) -> Option<Id> {
        match self {
            ImagePick::Id(id) => Some(*id),
            ImagePick::Name(_) => None,
        }
    }

    /// The id of the image that is meant, where there is such an image.
    fn look_up(&self, store: &Store) -> Result<Option<Id>> {
        match self {
            ImagePick::Id(id) => Ok(store.descriptors(&[*id])?.pop().flatten().map(|descriptor| descriptor.id)),
            ImagePick::Name(name) => store.find(name),
        }
    }

    /// The id of the image that is meant, which must be there: under its name, or where a relayout has it meanwhile.
    pub fn resolve(&self, store: &Store) -> Result<Id> {
        if let Some(id) = self.look_up(store)? {
            return Ok(id);
        }
        if let ImagePick::Name(name) = self {
            // Once more, for the relayout may just have ended.
            if let Some(id) = store.find_aside(name)?.map_or_else(|| store.find(name), |id| Ok(Some(id)))? {
                return Ok(id);
            }
        }
        let error = Error::new(ErrorKind::NotFound, format!("there is no {self}")).at_store(store.url());
        Err(error.with_hint(match self {
            ImagePick::Id(id) => format!("name:{id} means the image that is named {id}"),
            ImagePick::Name(_) => format!("pinako list {} shows what there is", store.url()),
        }))
    }
}

impl std::fmt::Display for ImagePick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ImagePick::Id(id) => write!(f, "image {id}"),
            ImagePick::Name(name) => write!(f, "image named {name:?}"),
        }
    }
}

/// Which label is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelPick {
    Number(Label),
    Name(String),
}

impl FromStr for LabelPick {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        match text.strip_prefix("name:") {
            Some("") => Err("a label name is expected after name:".to_owned()),
            Some(name) => Ok(LabelPick::Name(name.to_owned())),
            None if text.is_empty() => Err("a number or a label name is expected".to_owned()),
            None if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
                Ok(number) => Ok(LabelPick::Number(number)),
                Err(_) => Err(format!(
                    "the number is too large: labels go from {} to {}; write name:{text} if it is a name",
                    Label::MIN,
                    Label::MAX
                )),
            },
            None => Ok(LabelPick::Name(text.to_owned())),
        }
    }
}

impl LabelPick {
    /// The number of the label that is meant; a name must be among `names`.
    pub fn resolve(&self, names: &[String]) -> Result<Label> {
        match self {
            LabelPick::Number(label) => Ok(*label),
            LabelPick::Name(name) => match names.iter().position(|known| known == name) {
                Some(place) => Ok(place as Label),
                None => Err(Error::new(ErrorKind::NotFound, format!("there is no label named {name:?}"))
                    .with_hint(known_names(names))),
            },
        }
    }
}

impl std::fmt::Display for LabelPick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LabelPick::Number(label) => label.fmt(f),
            LabelPick::Name(name) => f.write_str(name),
        }
    }
}

/// A hint that says which label names there are.
pub fn known_names(names: &[String]) -> String {
    match names {
        [] => "the store has no label names: give the label's number, or name its labels by `pinako labels`".to_owned(),
        _ if names.len() > 20 => {
            format!("the label names are {}, and {} more", names[..20].join(", "), names.len() - 20)
        }
        _ => format!("the label names are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_ids_and_all_else_is_a_name() {
        assert_eq!("42".parse(), Ok(ImagePick::Id(42)));
        for (text, name) in [("tom", "tom"), ("name:42", "42"), ("name:name:x", "name:x"), ("-1", "-1"), ("4x", "4x")] {
            assert_eq!(text.parse(), Ok(ImagePick::Name(name.to_owned())));
        }
        assert!("".parse::<ImagePick>().is_err() && "99999999999999999999".parse::<ImagePick>().is_err());
    }

    #[test]
    fn labels_are_numbers_or_known_names() {
        let names = ["cat".to_owned(), "7".to_owned()];
        let resolve = |text: &str| text.parse::<LabelPick>().unwrap().resolve(&names);
        assert_eq!(resolve("-3").unwrap(), -3);
        assert_eq!((resolve("cat").unwrap(), resolve("7").unwrap(), resolve("name:7").unwrap()), (0, 7, 1));
        for text in ["", "name:", "99999999999999999999", "-99999999999999999999"] {
            assert!(text.parse::<LabelPick>().is_err(), "{text:?}");
        }
        assert!(resolve("dog").unwrap_err().hint().unwrap().contains("cat, 7"));
    }
}
