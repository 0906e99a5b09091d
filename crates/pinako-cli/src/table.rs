//! Tables for people, and one image as a row of a table or as JSON.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
use pinako::{Descriptor, Encoding, Label};
use serde::Serialize;
use serde_json::value::RawValue;

/// A table with a header and no lines; the columns of `right` are aligned right.
pub fn with_header(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    plain(&mut table, right);
    table
}

/// A table of two columns: what, and how much.
pub fn pairs(rows: &[(&str, String)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(rows.iter().map(|(what, value)| [*what, value.as_str()]));
    plain(&mut table, &[]);
    table
}

fn plain(table: &mut Table, right: &[usize]) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for &place in right {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A table that is printed page by page, so that it need not be held as a whole; columns keep the widths of the pages
/// before, so the last column is the place for what varies most.
pub struct Pages {
    header: &'static [&'static str],
    right: &'static [usize],
    widths: Vec<u16>,
    page: Table,
    headed: bool,
}

impl Pages {
    /// Rows a page.
    pub const ROWS: usize = 1000;

    /// A table with this header.
    pub fn new(header: &'static [&'static str], right: &'static [usize]) -> Self {
        Pages { header, right, widths: Vec::new(), page: with_header(header, right), headed: false }
    }

    /// Adds a row; a page that is full by it comes back as text.
    pub fn add(&mut self, row: Vec<String>) -> Option<String> {
        self.page.add_row(row);
        (self.page.row_count() >= Self::ROWS).then(|| self.turn())
    }

    /// The text of the page so far, with which a new one starts.
    pub fn turn(&mut self) -> String {
        for (column, &width) in self.page.column_iter_mut().zip(&self.widths) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
        let skip = usize::from(self.headed);
        let mut text = String::new();
        for line in self.page.lines().skip(skip) {
            text += line.trim_end();
            text.push('\n');
        }
        let found = self.page.column_max_content_widths();
        let padded = found.into_iter().map(|width| width.saturating_add(2));
        self.widths = match self.widths.is_empty() {
            true => padded.collect(),
            false => self.widths.iter().zip(padded).map(|(&old, new)| old.max(new)).collect(),
        };
        self.page = with_header(self.header, self.right);
        self.headed = true;
        text
    }
}

/// What is known of an image, as `--json` shows it.
#[derive(Debug, Serialize)]
pub struct ImageJson<'a> {
    id: u64,
    name: Option<&'a str>,
    label: Option<Label>,
    label_name: Option<&'a str>,
    height: u32,
    width: u32,
    channels: u16,
    sample_type: &'static str,
    encoding: String,
    payload_bytes: u64,
    /// CRC32C of the payload, eight hexadecimal digits.
    checksum: String,
    attributes: Option<&'a RawValue>,
}

impl<'a> ImageJson<'a> {
    pub fn new(descriptor: &'a Descriptor, label_names: &'a [String]) -> Self {
        ImageJson {
            id: descriptor.id,
            name: descriptor.name.as_deref(),
            label: descriptor.label,
            label_name: label_name(descriptor.label, label_names),
            height: descriptor.shape.height(),
            width: descriptor.shape.width(),
            channels: descriptor.shape.channels(),
            sample_type: descriptor.sample_type.name(),
            encoding: descriptor.encoding.to_string(),
            payload_bytes: descriptor.payload_length,
            checksum: format!("{:08x}", descriptor.checksum),
            attributes: descriptor.attributes.as_ref().and_then(|text| serde_json::from_str(text.as_str()).ok()),
        }
    }
}

/// `value` as JSON on one line.
pub fn to_json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts have a JSON form")
}

/// The name of a label, where it has one.
pub fn label_name(label: Option<Label>, names: &[String]) -> Option<&str> {
    names.get(usize::try_from(label?).ok()?).map(String::as_str)
}

/// A label as a table shows it: `3`, or `3 cat` where it has a name.
pub fn label_text(label: Option<Label>, names: &[String]) -> String {
    match (label, label_name(label, names)) {
        (Some(label), Some(name)) => format!("{label} {}", one_line(name)),
        (Some(label), None) => label.to_string(),
        (None, _) => "-".to_owned(),
    }
}

/// An encoding as a table shows it: without what a linked file's length and checksum were.
pub fn encoding_text(encoding: Encoding) -> String {
    match encoding {
        Encoding::Linked(link) => format!("linked:{}", link.format.name()),
        other => other.to_string(),
    }
}

/// Text of somebody else's without what would move the cursor.
pub fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_keep_their_columns_and_their_one_header() {
        let mut pages = Pages::new(&["id", "name"], &[0]);
        let row = |id: &str, name: &str| vec![id.to_owned(), name.to_owned()];
        assert_eq!(pages.add(row("1000", "a")), None);
        assert_eq!(pages.turn(), "  id  name\n1000  a\n");
        pages.add(row("7", "long name"));
        assert_eq!(pages.turn(), "   7  long name\n");
        assert_eq!(Pages::new(&["id", "name"], &[0]).turn(), "id  name\n");
    }
}
