//! One self-contained HTML page about one or several runs: curves, settings, figures, confusion matrices.

mod axis;
mod chart;
mod page;
mod rate_chart;

use std::path::Path;

use crate::TrainingError;
use crate::range_test::RangeTest;
use crate::record::RunRecord;
use millstream_schemas::files;

/// A file beside a page, by its name, and what it is.
pub type Beside = (String, String);

/// The page as text. It needs no other file and no address.
///
/// # Errors
/// The template fails, which no record should bring about.
pub fn render(title: &str, runs: &[RunRecord]) -> Result<String, TrainingError> {
    page::render(title, runs, &[]).map_err(TrainingError::Report)
}

/// Writes the page, with links to files that lie beside it.
///
/// # Errors
/// The template fails or the file cannot be written.
pub fn write(path: &Path, title: &str, runs: &[RunRecord], beside: &[Beside]) -> Result<(), TrainingError> {
    let page = page::render(title, runs, beside).map_err(TrainingError::Report)?;
    files::replace_file(path, page.as_bytes()).map_err(TrainingError::io("write", path))
}

/// Writes the picture of a learning-rate range test as an SVG file; says whether there was enough to draw.
///
/// # Errors
/// The file cannot be written.
pub fn write_range_test(path: &Path, test: &RangeTest) -> Result<bool, TrainingError> {
    let Some(picture) = rate_chart::render(test.points(), test.suggestion()) else { return Ok(false) };
    files::replace_file(path, picture.as_bytes()).map_err(TrainingError::io("write", path))?;
    Ok(true)
}
