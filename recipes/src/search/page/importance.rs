//! How much each parameter accounts for.

use super::plot::{escaped, panel};
use crate::search::StudyReport;

pub(super) fn render(study: &StudyReport) -> Option<String> {
    const WIDTH: f64 = 460.0;
    const ROW: f64 = 40.0;
    if study.importance.is_empty() {
        return None;
    }
    let mut bars = String::new();
    for (at, (name, share)) in study.importance.iter().enumerate() {
        let top = at as f64 * ROW;
        let (percent, name) = (format!("{:.1} %", share * 100.0), escaped(&millstream_schemas::shown(name)));
        bars.push_str(&format!(
            "<text x=\"0\" y=\"{}\">{name}</text><text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{percent}</text>\
             <rect class=\"bar\" x=\"0\" y=\"{}\" width=\"{:.1}\" height=\"12\" rx=\"2\"><title>{name}: {percent}</title></rect>\n",
            top + 14.0,
            top + 14.0,
            top + 19.0,
            (share * WIDTH).max(1.0)
        ));
    }
    let height = study.importance.len() as f64 * ROW;
    let figure = study.figures.first().map_or_else(String::new, |kind| kind.label());
    let title = format!("Importance for {figure}");
    let picture =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{bars}</svg>\n", escaped(&title));
    let note = study.importance_in_words().unwrap_or_default();
    Some(panel(&title, &picture, &note))
}
