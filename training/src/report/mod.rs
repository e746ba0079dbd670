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

/// The page as text. It names no other file and no address.
///
/// # Errors
/// The template fails, which no record should bring about.
pub fn render(title: &str, runs: &[RunRecord]) -> Result<String, TrainingError> {
    page::render(title, runs).map_err(TrainingError::Report)
}

/// Writes the page.
///
/// # Errors
/// The template fails or the file cannot be written.
pub fn write(path: &Path, title: &str, runs: &[RunRecord]) -> Result<(), TrainingError> {
    files::replace_file(path, render(title, runs)?.as_bytes()).map_err(TrainingError::io("write", path))
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
