//! Two figures against each other, and the trials that no other beats.

use super::axis::Axis;
use super::marks::told;
use super::plot::{Plot, panel};
use crate::search::{StudyReport, TrialReport};

pub(super) fn render(study: &StudyReport) -> Option<String> {
    let [first, second] = study.figures.get(..2)? else { return None };
    let of = |trial: &TrialReport| match trial.values.get(..2) {
        Some([a, b]) if a.is_finite() && b.is_finite() => Some((*a, *b)),
        _ => None,
    };
    let values = || study.trials.iter().filter_map(of);
    let y = Axis::of_figure(first, values().map(|(a, _)| a))?;
    let x = Axis::of_figure(second, values().map(|(_, b)| b))?;
    let mut plot = Plot::new(x.clone(), y.clone());
    let place = |(a, b): (f64, f64)| Some((x.place(b)?, y.place(a)?));
    let is_in_front = |trial: &TrialReport| study.front.contains(&trial.number);
    let front = study.trials.iter().filter(|trial| is_in_front(trial));
    let mut front: Vec<(f64, f64)> = front.filter_map(of).filter_map(place).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    // of three figures or more no line leads through them in two
    if front.len() > 1 && study.figures.len() == 2 {
        plot.line("line", "", &front, "trials that no other beats in both");
    }
    for trial in &study.trials {
        if let Some(place) = of(trial).and_then(place) {
            let class = if is_in_front(trial) { "best" } else { "early" };
            plot.dot(class, place, &told(study, trial));
        }
    }
    let title = format!("{} against {}: what no other beats", first.label(), second.label());
    Some(panel(&title, &plot.render(&title), "filled: no other beats it in all figures"))
}
