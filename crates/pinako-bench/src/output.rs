//! The folder that gets a report.

use std::path::Path;
use std::{fs, io};

use pinako::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::chart::Chart;

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

/// What a report is written as: all figures for programs, their summaries for spreadsheets, a page for people with
/// its plots beside it.
pub struct Files<'a, R> {
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
        let json = serde_json::to_vec(self.report)
            .map_err(|error| Error::new(ErrorKind::Backend, "cannot make JSON of the report").with_source(error))?;
        write("report.json", &json)?;
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
