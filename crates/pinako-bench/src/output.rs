//! The folder that gets a report.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use pinako::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::chart::Chart;

/// The file that tells a report's folder from any other.
const REPORT: &str = "report.json";

/// A folder that goes again where it was made for nothing.
pub struct Made<'a>(Option<&'a Path>);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // This fails where there is something in it.
        let _ = self.0.map(fs::remove_dir);
    }
}

/// Makes a folder, unless it is there.
pub fn make_folder(path: &Path) -> Result<Made<'_>> {
    let is_there = path.exists();
    fs::create_dir_all(path).map_err(|error| Error::io(format!("cannot make the folder {}", path.display()), error))?;
    Ok(Made((!is_there).then_some(path)))
}

/// Makes the folder for a report of `experiment`, unless it is there. What is in a folder without such a report is
/// somebody's own, and might have the name of one of the report's files.
///
/// # Errors
/// `Conflict` where it has other files, of which one is named.
pub fn report_folder<'a>(path: &'a Path, experiment: &str) -> Result<Made<'a>> {
    let folder = make_folder(path)?;
    let cannot = |error| Error::io(format!("cannot see what is in {}", path.display()), error);
    let Some(entry) = fs::read_dir(path).map_err(cannot)?.next() else { return Ok(folder) };
    let mut found = entry.map_err(cannot)?.path();
    match File::open(path.join(REPORT)) {
        Ok(file) => {
            let named = serde_json::from_reader(BufReader::new(file));
            if named.is_ok_and(|Name { experiment: name }| name == experiment) {
                return Ok(folder);
            }
            found = path.join(REPORT);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
    }
    let message = format!("{} is of no older report of this experiment", found.display());
    Err(Error::new(ErrorKind::Conflict, message)
        .with_hint("give a new folder, an empty one, or one with such a report, which is replaced"))
}

/// What a report is of.
#[derive(Deserialize)]
struct Name {
    experiment: String,
}

/// A report with its name.
#[derive(Serialize)]
struct Named<'a, R> {
    experiment: &'static str,
    #[serde(flatten)]
    report: &'a R,
}

/// What a report is written as: all figures for programs, their summaries for spreadsheets, a page for people with
/// its plots beside it.
pub struct Files<'a, R> {
    /// What [`report_folder`] was told.
    pub experiment: &'static str,
    pub report: &'a R,
    /// The fields' names, then the records.
    pub csv: Vec<Vec<String>>,
    pub charts: &'a [Chart],
    /// The names of all plots that such a report may have.
    pub names: &'a [&'static str],
    pub page: String,
}

impl<R: Serialize> Files<'_, R> {
    /// Writes all of them into `folder`, and removes the plots of an older report that this one has not.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
        };
        let Files { experiment, report, .. } = *self;
        let json = serde_json::to_vec(&Named { experiment, report })
            .map_err(|error| Error::new(ErrorKind::Backend, "cannot make JSON of the report").with_source(error))?;
        write(REPORT, &json)?;
        write("report.csv", &self.csv()?)?;
        for chart in self.charts {
            write(&format!("{}.svg", chart.name), chart.svg().as_bytes())?;
            write(&format!("{}.png", chart.name), &chart.png()?)?;
        }
        write("index.html", self.page.as_bytes())?;
        // They would be taken for its own.
        for name in self.names.iter().filter(|&name| self.charts.iter().all(|chart| chart.name != *name)) {
            for path in ["svg", "png"].map(|kind| folder.join(format!("{name}.{kind}"))) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::io(format!("cannot remove {}", path.display()), error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn csv(&self) -> Result<Vec<u8>> {
        let failed = |error: csv::Error| Error::new(ErrorKind::Backend, "cannot make the CSV").with_source(error);
        let mut writer = csv::Writer::from_writer(Vec::new());
        for record in &self.csv {
            writer.write_record(record).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| failed(error.into_error().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_or_empty_folder_and_one_with_an_older_report_of_the_same_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let refused = |what: &str| {
            let error = report_folder(&path, "regions").err().unwrap();
            assert!(error.kind() == ErrorKind::Conflict && error.to_string().contains(what), "{error}");
        };
        drop(report_folder(&path, "regions").unwrap());
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        drop(report_folder(&path, "regions").unwrap());
        fs::write(path.join("growth.png"), "mine").unwrap();
        refused("growth.png");
        for report in ["", "[]", r#"{"machine": {}}"#, r#"{"experiment": "stores"}"#] {
            fs::write(path.join(REPORT), report).unwrap();
            refused(REPORT);
        }
        fs::write(path.join(REPORT), r#"{"experiment": "regions", "seed": 0}"#).unwrap();
        drop(report_folder(&path, "regions").unwrap());
        assert_eq!(fs::read(path.join("growth.png")).unwrap(), b"mine");
    }
}
