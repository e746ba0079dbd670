//! The runs of a folder, for a team: a table, and one page that needs nothing else.

mod entries;
mod found;
mod lineage;
mod listing;
mod page;
mod picture;
mod report;

use std::path::Path;

pub use crate::run_files::{FINGERPRINTS_FILE, METRICS_FILE, RECIPE_FILE};
pub use listing::is_run_folder;
pub use report::{BaseModel, Descent, EntryFigure, EntryKind, Origin, RunEntry, RunsReport, Through};

use crate::RecipeError;

/// Looks for runs, ensembles and searches in a folder and the folders within it. Models are read, for their hashes.
///
/// # Errors
/// The folder cannot be read. A run that cannot be read is left out, and told.
pub fn runs(folder: &Path) -> Result<RunsReport, RecipeError> {
    let (found, notes) = listing::all(folder)?;
    let (models, lineage) = lineage::of(&found);
    let runs = found.into_iter().map(|found| found.entry).collect();
    Ok(RunsReport { version: 1, folder: folder.to_owned(), runs, models, lineage, notes })
}

/// The report as one HTML page, whose links start from the folder.
pub fn page(report: &RunsReport) -> String {
    page::html(report)
}
