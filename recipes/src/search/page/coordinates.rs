//! Parallel coordinates: a line through the values of each trial, and its figure.

use super::axis::Axis;
use super::marks::{Goodness, colour, complete, told};
use super::plot::{escaped, panel, tenth};
use crate::search::StudyReport;

const HEIGHT: f64 = 310.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 276.0;
/// Where a line goes of a trial in which a value is not there.
const ABSENT: f64 = -0.09;
/// Between two axes.
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
    let mut drawn = String::new();
    let mut ordered = complete.clone();
    // The best lie above the others.
    let goodness = Goodness::among(study, &complete);
    ordered.sort_by(|a, b| goodness.of(a.1).total_cmp(&goodness.of(b.1)));
    for (trial, value) in ordered {
        let others = others.iter().map(|(at, axis)| axis.place(*trial.values.get(*at)?));
        let places = trial.places.iter().copied().chain([figure.place(value)]).chain(others).enumerate();
        let points = places.map(|(at, place)| format!("{} {}", x(at), y(place.unwrap_or(ABSENT))));
        drawn.push_str(&format!(
            "<path class=\"thin\" style=\"stroke: {}\" d=\"M{}\"><title>{}</title></path>\n",
            colour(goodness.of(value), "faint"),
            points.collect::<Vec<_>>().join("L"),
            escaped(&told(study, trial))
        ));
    }
    for (at, axis) in axes.iter().enumerate() {
        let (name, x) = (names.get(at).copied().unwrap_or(&axis.name), x(at));
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
            drawn.push_str(&format!("<text x=\"{}\" y=\"{}\">{}</text>\n", x + 4.0, y(*place) + 4.0, escaped(label)));
        }
    }
    let width = MARGIN * 2.0 + (axes.len() - 1) as f64 * GAP;
    let picture = format!(
        "<svg viewBox=\"0 0 {width} {HEIGHT}\" style=\"min-width: {}px; max-width: {}px\" role=\"img\" aria-label=\"Parallel coordinates\">\n{drawn}</svg>\n",
        (width * 0.75).round(),
        (width * 1.6).round()
    );
    let note = format!("a line is a trial, the bluer the better its {}; –: it has no such value", kind.label());
    Some(panel("Parallel coordinates", &picture, &note).replacen(
        "class=\"panel\"",
        "class=\"panel\" style=\"grid-column: 1 / -1\"",
        1,
    ))
}
