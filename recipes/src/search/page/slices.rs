//! The first figure by each parameter alone.

use super::axis::Axis;
use super::marks::{class, complete, told};
use super::plot::{Plot, panel};
use crate::search::StudyReport;

pub(super) fn render(study: &StudyReport) -> Vec<String> {
    let Some(kind) = study.figures.first() else { return Vec::new() };
    let complete = complete(study);
    let Some(y) = Axis::of_figure(kind, complete.iter().map(|(_, value)| *value)) else { return Vec::new() };
    let slice = |(at, parameter): (usize, &millstream_search::spaces::Parameter)| {
        let mut plot = Plot::new(Axis::of_parameter(parameter), y.clone());
        for (trial, value) in &complete {
            if let (Some(place), Some(height)) = (trial.places.get(at).copied().flatten(), y.place(*value)) {
                plot.dot(class(study, trial), (place, height), &told(study, trial));
            }
        }
        let title = format!("{} by {}", kind.label(), millstream_schemas::shown(&parameter.name));
        panel(&title, &plot.render(&title), "")
    };
    study.parameters.iter().enumerate().map(slice).collect()
}
