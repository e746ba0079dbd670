//! One self-contained HTML page about one or several runs: curves, settings, figures, confusion matrices, mistakes, and
//! how the runs came about.

mod about;
mod axis;
mod chart;
mod letters;
mod matrix;
mod page;
mod rate_chart;
mod setting;
mod tables;

use std::path::Path;

use crate::TrainingError;
use crate::range_test::RangeTest;
use crate::record::RunRecord;
use millstream_schemas::files;

pub use about::{About, BoxLook, Example, ShownBox, WrongMask, WrongPicture, WrongRow};
pub use page::{Beside, Page};

/// The page of some records alone.
///
/// # Errors
/// As [`Page::render`].
pub fn render(title: &str, runs: &[RunRecord]) -> Result<String, TrainingError> {
    Page { title, runs, ..Page::default() }.render()
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
