//! The figures that a search looks for and bounds: of evaluations, and of what a run costs.

use millstream_schemas::recipe::ByteSize;
use millstream_schemas::{grouped, nearest, shown};
use millstream_search::{Direction, Objective};
use millstream_training::RunRecord;
use millstream_training::metrics::{Better, FigureKind, Unit, interval_in_words, with_interval};

use super::open_recipe::OpenRecipe;
use crate::RecipeError;
use crate::choices::Choices;
use crate::run_folder::RunFolder;

/// A figure of a trial.
#[derive(Clone, Debug)]
pub(crate) struct SoughtFigure {
    pub(crate) kind: FigureKind,
    cost: Option<Cost>,
}

/// What a run costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Seconds,
    Parameters,
    ModelBytes,
}

/// The figure that is not the same when a run is made again.
pub(crate) const SECONDS: &str = "seconds";
const COSTS: [(&str, Cost); 3] =
    [(SECONDS, Cost::Seconds), ("parameters", Cost::Parameters), ("model_bytes", Cost::ModelBytes)];

impl SoughtFigure {
    /// Its value in a run that is at its end.
    pub(crate) fn value(&self, record: &RunRecord, folder: &RunFolder) -> Option<f64> {
        match self.cost {
            None => record.evaluation.as_ref()?.figure(&self.kind.name),
            // without what the first trial of a process does for those behind it
            Some(Cost::Seconds) => Some(record.history.warm_seconds()),
            Some(Cost::Parameters) => Some(record.trained as f64),
            Some(Cost::ModelBytes) => Some(std::fs::metadata(folder.model()).ok()?.len() as f64),
        }
    }

    /// Whether evaluations on the way tell it.
    pub(crate) fn is_measured(&self) -> bool {
        self.cost.is_none()
    }
}

/// What a study looks for, and what it is bound by.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    /// One or more.
    pub(crate) objectives: Vec<SoughtFigure>,
    constraints: Vec<Bound>,
}

#[derive(Clone, Debug)]
struct Bound {
    figure: SoughtFigure,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

impl Sought {
    /// # Errors
    /// A figure that no trial has, or that trials cannot be compared by.
    pub(crate) fn of(open: &OpenRecipe) -> Result<Self, RecipeError> {
        let (recipe, search) = (open.first(), open.search());
        let metrics = Choices::of(&recipe.training, open.catalogs())?.metrics;
        let measured = recipe.data.evaluate.is_some() || search.folds.is_some();
        let known: Vec<FigureKind> =
            if measured { [FigureKind::loss()].into_iter().chain(metrics.figures()).collect() } else { Vec::new() };
        let figure = |name: &str, place: &str| -> Result<SoughtFigure, RecipeError> {
            if let Some((_, cost)) = COSTS.iter().find(|(cost, _)| *cost == name) {
                return Ok(SoughtFigure { kind: of_cost(name), cost: Some(*cost) });
            }
            if let Some(kind) = known.iter().find(|kind| kind.name == name) {
                return Ok(SoughtFigure { kind: kind.clone(), cost: None });
            }
            if !measured {
                let message = "there are no rows to measure on; state `data.evaluate`, or `search.folds`";
                return Err(RecipeError::mismatch(place, message));
            }
            let names = || known.iter().map(|kind| kind.name.as_str()).chain(COSTS.iter().map(|(name, _)| *name));
            let near = nearest(name, names()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let all: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            let message = format!("there is no figure `{}`{near} (there are {})", shown(name), all.join(", "));
            Err(RecipeError::mismatch(place, message))
        };
        let wanted = match search.objective.as_slice() {
            [] => vec![metrics.decides().name.clone()],
            names => names.to_vec(),
        };
        let objectives = wanted.iter().map(|name| figure(name, "search.objective")).collect::<Result<Vec<_>, _>>()?;
        let varies = |place: &str| open.space().parameters().iter().any(|parameter| parameter.name.starts_with(place));
        let by_loss = objectives.iter().any(|figure| figure.kind.name == FigureKind::LOSS);
        if by_loss && (varies("training.loss") || varies("training.label_smoothing")) {
            let message = "trials with different losses cannot be compared by them; name another figure";
            return Err(RecipeError::mismatch("search.objective", message));
        }
        if !search.stopping.is_empty() && !objectives[0].is_measured() {
            let message = format!("rules look at evaluations, and `{}` is known at the end", objectives[0].kind.name);
            return Err(RecipeError::mismatch("search.stopping", message));
        }
        let bound = |(at, constraint): (usize, &millstream_schemas::recipe::ConstraintRecipe)| {
            let figure = figure(&constraint.figure, &format!("search.constraints[{at}].figure"))?;
            Ok(Bound { figure, at_most: constraint.at_most, at_least: constraint.at_least })
        };
        let constraints = search.constraints.iter().enumerate().map(bound).collect::<Result<_, RecipeError>>()?;
        Ok(Self { objectives, constraints })
    }

    /// The first figure, which rules and `best` look at.
    pub(crate) fn first(&self) -> &SoughtFigure {
        &self.objectives[0]
    }

    pub(crate) fn kinds(&self) -> Vec<FigureKind> {
        self.objectives.iter().map(|figure| figure.kind.clone()).collect()
    }

    /// In the words of a study.
    pub(crate) fn of_study(&self) -> Vec<Objective> {
        let objective = |figure: &SoughtFigure| Objective {
            figure: figure.kind.name.clone(),
            direction: match figure.kind.better {
                Better::Higher => Direction::Maximize,
                Better::Lower => Direction::Minimize,
            },
        };
        self.objectives.iter().map(objective).collect()
    }

    /// The figures of runs of one trial, their mean; what no run has is no number.
    pub(crate) fn values(&self, runs: &[(RunRecord, RunFolder)]) -> Vec<f64> {
        self.objectives.iter().map(|figure| mean(figure, runs)).collect()
    }

    /// What a trial is bound by, a bound each: `seconds at most 2.00 s`.
    pub(crate) fn bounds_in_words(&self) -> Vec<String> {
        let words = |bound: &Bound| {
            let end = |way: &str, end: Option<f64>| {
                end.map(|end| format!("{way} {}", shown_figure(&bound.figure.kind, Some(end))))
            };
            let ends = [end("at least", bound.at_least), end("at most", bound.at_most)];
            format!("{} {}", bound.figure.kind.label(), ends.into_iter().flatten().collect::<Vec<_>>().join(" and "))
        };
        self.constraints.iter().map(words).collect()
    }

    /// By how much bounds are broken.
    pub(crate) fn violations(&self, runs: &[(RunRecord, RunFolder)]) -> Vec<f64> {
        let broken = |bound: &Bound| {
            let value = mean(&bound.figure, runs);
            [bound.at_most.map(|most| value - most), bound.at_least.map(|least| least - value)]
        };
        self.constraints.iter().flat_map(broken).flatten().collect()
    }

    /// What those figures are that break bounds by what [`Self::violations`] gives: `parameters 530`.
    pub(crate) fn broken_in_words(&self, violations: &[f64]) -> Vec<String> {
        let ends = self.constraints.iter().flat_map(|bound| {
            let ends = [bound.at_most.map(|most| (most, 1.0)), bound.at_least.map(|least| (least, -1.0))];
            ends.into_iter().flatten().map(move |end| (&bound.figure.kind, end))
        });
        let broken = ends.zip(violations).filter(|(_, by)| **by > 0.0);
        broken
            .map(|((kind, (end, way)), by)| format!("{} {}", kind.label(), shown_figure(kind, Some(end + way * by))))
            .collect()
    }
}

fn mean(figure: &SoughtFigure, runs: &[(RunRecord, RunFolder)]) -> f64 {
    let values = runs.iter().map(|(record, folder)| figure.value(record, folder).unwrap_or(f64::NAN));
    values.sum::<f64>() / runs.len() as f64
}

/// Whether a figure is what a run costs, which no rows tell.
pub(crate) fn is_cost(kind: &FigureKind) -> bool {
    is_name_of_cost(&kind.name)
}

/// Whether a figure by this name is one.
pub(super) fn is_name_of_cost(name: &str) -> bool {
    COSTS.iter().any(|(cost, _)| *cost == name)
}

/// A value of a figure as people read it; costs are counted.
pub fn shown_figure(kind: &FigureKind, value: Option<f64>) -> String {
    match (COSTS.iter().find(|(name, _)| *name == kind.name), value.filter(|value| value.is_finite())) {
        (Some((_, Cost::Seconds)), Some(seconds)) => format!("{} s", three_digits(seconds)),
        (Some((_, Cost::Parameters)), Some(count)) => grouped(count.round().max(0.0) as u64),
        (Some((_, Cost::ModelBytes)), Some(bytes)) => ByteSize(bytes.round().max(0.0) as u64).to_string(),
        (_, value) => kind.shown(value),
    }
}

/// Where a figure lies as people read it: `70.3 % to 83.9 %`; costs are counted.
pub fn shown_figure_interval(kind: &FigureKind, interval: [f64; 2]) -> String {
    interval_in_words(interval, |end| shown_figure(kind, Some(end)))
}

/// A value of a figure with its interval, where it has one: `77.9 % (70.3 % to 83.9 %)`; costs are counted.
pub fn shown_figure_with_interval(kind: &FigureKind, value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    with_interval(shown_figure(kind, value), interval, |end| shown_figure(kind, Some(end)))
}

/// Three digits that count, and all before the point.
fn three_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 99.95 => grouped(value.round().max(0.0) as u64),
        size if size < 1e-5 => format!("{value:.2e}"),
        size => {
            // of what it is rounded to, so that 9.996 is 10.0
            let rounded: f64 = format!("{size:.2e}").parse().unwrap_or(size);
            let places = (2 - rounded.log10().floor() as i32).max(0) as usize;
            format!("{value:.places$}")
        }
    }
}

fn of_cost(name: &str) -> FigureKind {
    FigureKind { name: name.into(), better: Better::Lower, unit: Unit::Number, of_constant_answer: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_three_digits_that_count_however_short_they_are() {
        let kind = of_cost("seconds");
        for (seconds, wanted) in [
            (0.0, "0 s"),
            (0.000_004_123, "4.12e-6 s"),
            (0.004_123, "0.00412 s"),
            (0.0996, "0.0996 s"),
            (0.999_6, "1.00 s"),
            (9.996, "10.0 s"),
            (12.34, "12.3 s"),
            (99.94, "99.9 s"),
            (123.4, "123 s"),
            (12_345.6, "12,346 s"),
        ] {
            assert_eq!(shown_figure(&kind, Some(seconds)), wanted);
        }
    }
}
