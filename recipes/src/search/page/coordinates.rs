//! Parallel coordinates: a line through the values of each trial, and its figure.

use super::axis::Axis;
use super::marks::{Goodness, colour, complete, told};
use super::plot::{escaped, panel, tenth};
use crate::search::StudyReport;

const HEIGHT: f64 = 322.0;
/// Below the names of the axes, which stand in two rows.
const TOP: f64 = 46.0;
const BOTTOM: f64 = 288.0;
/// Where a line goes of a trial in which a value is not there.
const ABSENT: f64 = -0.09;
/// Between two axes, at the least.
const GAP: f64 = 110.0;
const MARGIN: f64 = 54.0;

pub(super) fn render(study: &StudyReport) -> Option<String> {
    let kind = study.figures.first()?;
    let complete = complete(study);
    let figure = Axis::of_figure(kind, complete.iter().map(|(_, value)| *value))?;
    if study.parameters.is_empty() {
        return None;
    }
    let others = study.figures.iter().enumerate().skip(1).filter_map(|(at, kind)| {
        let values = complete.iter().filter_map(|(trial, _)| trial.values.get(at).copied());
        Some((at, Axis::of_figure(kind, values)?))
    });
    let others: Vec<(usize, Axis)> = others.collect();
    let of_figures = std::iter::once(figure.clone()).chain(others.iter().map(|(_, axis)| axis.clone()));
    let axes: Vec<Axis> = study.parameters.iter().map(Axis::of_parameter).chain(of_figures).collect();
    let names = study.short_names();
    let x = |at: usize| MARGIN + at as f64 * GAP;
    let y = |place: f64| tenth(BOTTOM - place * (BOTTOM - TOP));
    let width = MARGIN * 2.0 + (axes.len() - 1) as f64 * GAP;
    let (mut lines, mut drawn) = (String::new(), String::new());
    let mut ordered = complete.clone();
    // The best lie above the others.
    let goodness = Goodness::among(study, &complete);
    ordered.sort_by(|a, b| goodness.of(a.1).total_cmp(&goodness.of(b.1)));
    for (trial, value) in ordered {
        let others = others.iter().map(|(at, axis)| axis.place(*trial.values.get(*at)?));
        let places = trial.places.iter().copied().chain([figure.place(value)]).chain(others).enumerate();
        let points = places.map(|(at, place)| format!("{} {}", x(at), y(place.unwrap_or(ABSENT))));
        lines.push_str(&format!(
            "<path class=\"thin\" style=\"stroke: {}\" d=\"M{}\"><title>{}</title></path>\n",
            colour(goodness.of(value), "faint"),
            points.collect::<Vec<_>>().join("L"),
            escaped(&told(study, trial))
        ));
    }
    for (at, axis) in axes.iter().enumerate() {
        let (name, x) = (names.get(at).copied().unwrap_or(&axis.name), format!("{:.3}%", 100.0 * x(at) / width));
        let height = if at % 2 == 0 { 12.0 } else { 26.0 };
        drawn.push_str(&format!(
            "<line class=\"rule\" x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text x=\"{x}\" y=\"{height}\" text-anchor=\"middle\"><title>{}</title>{}</text>\n",
            escaped(&axis.name),
            escaped(&millstream_schemas::shown_up_to(name, 24))
        ));
        let is_absent = complete.iter().any(|(trial, _)| trial.places.get(at).is_some_and(Option::is_none));
        let absent = is_absent.then(|| (ABSENT, "–".to_owned()));
        for (place, label) in axis.ticks.iter().chain(&absent) {
            drawn.push_str(&format!("<text x=\"{x}\" dx=\"4\" y=\"{}\">{}</text>\n", y(*place) + 4.0, escaped(label)));
        }
    }
    // lines are stretched to the width that is there, letters are not
    let picture = format!(
        "<div class=\"wide\"><svg class=\"coordinates\" style=\"min-width: {width}px; height: {HEIGHT}px\" role=\"img\" aria-label=\"Parallel coordinates\">\n\
         <svg viewBox=\"0 0 {width} {HEIGHT}\" style=\"height: {HEIGHT}px\" preserveAspectRatio=\"none\">\n{lines}</svg>\n{drawn}</svg></div>\n"
    );
    let note = format!("a line is a trial, the bluer the better its {}; –: it has no such value", kind.label());
    Some(panel("Parallel coordinates", &picture, &note).replacen(
        "class=\"panel\"",
        "class=\"panel\" style=\"grid-column: 1 / -1\"",
        1,
    ))
}
