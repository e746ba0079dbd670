//! The page of a study: one file that names no other.

use super::status::StudyReport;

/// The page as text.
pub(crate) fn render(report: &StudyReport) -> String {
    format!("<!doctype html>\n<title>{}</title>\n", report.name.replace('&', "&amp;").replace('<', "&lt;"))
}
