//! Settings from which most is expected, by a model of the figure.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposer_function::{Proposal, ProposerFunction, Request, one_objective};
use super::proposer_kind::{Build, ProposerKind};
use crate::gaussian::{Acquisition, Coordinate, Kernel, Regression, maximize};
use crate::parzen::ParzenSearch;
use crate::spaces::{Distribution, Group};
use crate::trials::ranking;
use crate::{History, Objective, Space, Trial, TrialState};

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "gaussian_process",
    summary: "Settings from which most is expected, by a model of the figure; for some ten to some hundred slow trials.",
    documentation: "Bayesian optimization with a Gaussian process: a Matérn kernel of smoothness 5/2 with a length for each parameter, \
        in which alternatives are equal or not, fitted to what is likeliest (priors as in Optuna's `GPSampler`), and the logarithm of \
        the expected improvement (Ament et al., 2023). Trials that run are given 32 values that they may come to, over which the \
        expectation is averaged, so that several processes do not try the same. Where trials tell constraints, the probability that \
        they hold is a factor. A trial that ended early counts with its last report, neither better than the median of complete \
        trials nor worse than the worst. The first `startup_trials` are drawn at random; what depends on an alternative is proposed as \
        `tpe` does. Of more than 250 trials the best 50 and the last 200 are looked at.",
    samples: &["{}", r#"{"startup_trials": 5, "noise": false}"#],
    build: Build::of::<GaussianProcess>(),
};

/// Trials that a model is made of; the time goes with the third power of their number.
const LARGEST: usize = 250;
const BEST: usize = 50;
/// Settings beyond which steps are too small to be looked at one by one.
const MANY: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct GaussianProcess {
    /// Trials that are drawn at random before anything is learned from them.
    startup_trials: usize,
    /// Whether the same settings can come to different figures.
    noise: bool,
}

impl Default for GaussianProcess {
    fn default() -> Self {
        Self { startup_trials: 10, noise: true }
    }
}

impl Options for GaussianProcess {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ProposerFunction for GaussianProcess {
    fn check(&self, _: &Space, objectives: &[Objective]) -> Result<(), String> {
        one_objective("gaussian_process", objectives)
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let complete = request.history.in_state(TrialState::Complete).count();
        if complete < 2 || ranking(&request.history).len() < self.startup_trials {
            return Some(request.drawn().into());
        }
        let mut random = request.random("gaussian_process parts");
        let mut settings = |group: &Group| {
            let modelled = if group.when.is_none() { self.settings(request, group) } else { None };
            let parzen = ParzenSearch::default();
            modelled.unwrap_or_else(|| parzen.settings(request.space, group, &request.history, &mut random))
        };
        Some(request.space.filled_by(|group, _| settings(group)).into())
    }
}

impl GaussianProcess {
    /// Settings of the parameters that are always there. `None` where points are too alike to be computed with.
    fn settings(&self, request: &Request<'_>, group: &Group) -> Option<Vec<f64>> {
        let cube = Cube::new(request.space, group);
        let history = &request.history;
        let observed = observed(history);
        let points: Vec<Vec<f64>> = observed.iter().filter_map(|(trial, _)| cube.point(trial)).collect();
        if points.len() != observed.len() || points.is_empty() || cube.coordinates.is_empty() {
            return None;
        }
        let losses: Vec<f64> = observed.iter().map(|(_, loss)| -loss).collect();
        let (values, ..) = standardized(&losses);
        let has_constraints = observed.iter().any(|(trial, _)| !trial.constraints.is_empty());
        let is_candidate = |place: &usize| {
            let trial = observed[*place].0;
            trial.state == TrialState::Complete && (!has_constraints || trial.is_feasible())
        };
        let best = (0..observed.len())
            .filter(is_candidate)
            .reduce(|best, other| if values[other] > values[best] { other } else { best });
        // by number, so that one which waits to be gone on with counts as when it ran
        let running =
            history.trials.iter().filter(|trial| matches!(trial.state, TrialState::Running | TrialState::Waiting));
        let running: Vec<Vec<f64>> = running.filter_map(|trial| cube.point(trial)).take(LARGEST).collect();
        let mut random = request.random("gaussian_process");
        let fit = |points: &[Vec<f64>], values: &[f64]| {
            let kernel = Kernel::fitted(points, values, &cube.is_choice(), self.noise);
            Regression::new(kernel, points.to_vec())
        };
        let regression = fit(&points, &values)?;
        let lengths: Vec<f64> = regression.kernel.inverse_squares.iter().map(|inverse| 1.0 / inverse.sqrt()).collect();
        let best_value = best.map(|place| values[place]);
        let mut acquisition = Acquisition::new(regression, &points, &values, best_value, &running, random.next_u64())?;
        let constraints = observed.iter().map(|(trial, _)| trial.constraints.len()).max().unwrap_or(0);
        for constraint in 0..constraints {
            let told = points
                .iter()
                .zip(&observed)
                .filter_map(|(point, (trial, _))| Some((point.clone(), *trial.constraints.get(constraint)?)));
            let (points, values): (Vec<Vec<f64>>, Vec<f64>) = told.unzip();
            let (values, mean, deviation) = standardized(&values);
            acquisition.constrain(fit(&points, &values)?, &values, -mean / deviation);
        }
        let known: Vec<Vec<f64>> = best.map(|place| points[place].clone()).into_iter().collect();
        Some(cube.settings(&maximize(&acquisition, &cube.coordinates, &lengths, &known, &mut random)))
    }
}

/// The trials that a model is made of, with their losses.
fn observed<'a>(history: &History<'a>) -> Vec<(&'a Trial, f64)> {
    let complete: Vec<(&Trial, f64)> = history
        .in_state(TrialState::Complete)
        .filter_map(|trial| Some((trial, history.loss(*trial.values.first()?))))
        .collect();
    let mut losses: Vec<f64> = complete.iter().map(|(_, loss)| *loss).collect();
    losses.sort_by(f64::total_cmp);
    if losses.is_empty() {
        return Vec::new();
    }
    let (median, worst) = (losses[losses.len() / 2], losses[losses.len() - 1]);
    let early = [TrialState::Stopped, TrialState::Paused].into_iter().flat_map(|state| history.in_state(state));
    let early = early.filter_map(|trial| {
        let loss = history.loss(*trial.reports.last_key_value()?.1);
        // What is no number is as bad as anything.
        Some((trial, if loss.is_nan() { worst } else { loss.clamp(median, worst) }))
    });
    let mut all: Vec<(&Trial, f64)> = complete.into_iter().chain(early).collect();
    if all.len() > LARGEST {
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.number.cmp(&b.0.number)));
        all[BEST..].sort_by_key(|(trial, _)| std::cmp::Reverse(trial.number));
        all.truncate(LARGEST);
    }
    all.sort_by_key(|(trial, _)| trial.number);
    all
}

/// Values with mean 0 and deviation 1, and the mean and deviation that they had. Infinite ones become as large as the largest
/// finite ones.
fn standardized(values: &[f64]) -> (Vec<f64>, f64, f64) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (least, most) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let clipped: Vec<f64> =
        values.iter().map(|value| if least <= most { value.max(least).min(most) } else { 0.0 }).collect();
    let count = clipped.len().max(1) as f64;
    // Before the sum, so that it does not overflow.
    let mean: f64 = clipped.iter().map(|value| value / count).sum();
    let largest = clipped.iter().map(|value| (value - mean).abs()).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let squares: f64 = clipped.iter().map(|value| ((value - mean) / largest) * ((value - mean) / largest)).sum();
    let deviation = (largest * (squares / count).sqrt()).max(1e-12);
    (clipped.iter().map(|value| (value - mean) / deviation).collect(), mean, deviation)
}

/// The parameters of a group as coordinates.
struct Cube<'a> {
    space: &'a Space,
    members: &'a [usize],
    /// The members that can be more than one setting.
    open: Vec<usize>,
    coordinates: Vec<Coordinate>,
}

impl<'a> Cube<'a> {
    fn new(space: &'a Space, group: &'a Group) -> Self {
        let distribution = |member: usize| &space.parameters()[member].distribution;
        let open: Vec<usize> =
            group.members.iter().copied().filter(|member| distribution(*member).count() != Some(1)).collect();
        let coordinate = |distribution: &Distribution| match (distribution.alternatives(), distribution.scale()) {
            (Some(values), _) => Coordinate::Choice(values.len()),
            (None, Some(scale)) => match distribution.count().filter(|count| *count <= MANY) {
                Some(count) => {
                    let setting = |step: u64| distribution.unit(scale.low + step as f64 * scale.step);
                    Coordinate::Steps((0..count).map(setting).collect())
                }
                None => Coordinate::Number,
            },
            (None, None) => Coordinate::Number,
        };
        let coordinates = open.iter().map(|member| coordinate(distribution(*member))).collect();
        Self { space, members: &group.members, open, coordinates }
    }

    fn is_choice(&self) -> Vec<bool> {
        self.coordinates.iter().map(|coordinate| matches!(coordinate, Coordinate::Choice(_))).collect()
    }

    fn point(&self, trial: &Trial) -> Option<Vec<f64>> {
        let coordinate = |(member, coordinate): (&usize, &Coordinate)| {
            let parameter = &self.space.parameters()[*member];
            let setting = trial.assignment.get(&parameter.name)?;
            Some(if matches!(coordinate, Coordinate::Choice(_)) {
                setting
            } else {
                parameter.distribution.unit(setting)
            })
        };
        self.open.iter().zip(&self.coordinates).map(coordinate).collect()
    }

    fn settings(&self, point: &[f64]) -> Vec<f64> {
        let setting = |member: &usize| {
            let distribution = &self.space.parameters()[*member].distribution;
            match self.open.iter().position(|open| open == member) {
                Some(at) if matches!(self.coordinates[at], Coordinate::Choice(_)) => point[at],
                Some(at) => distribution.at(point[at]),
                None => distribution.at(0.5),
            }
        };
        self.members.iter().map(setting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Assignment;

    fn trial(number: u64, state: TrialState, value: f64) -> Trial {
        let trial = Trial { state, ..Trial::waiting(number, Assignment::default()) };
        match state {
            TrialState::Complete => Trial { values: vec![value], ..trial },
            _ => Trial { reports: [(1, value)].into_iter().collect(), ..trial },
        }
    }

    #[test]
    fn what_ended_early_is_neither_better_than_the_median_nor_worse_than_the_worst() {
        let complete =
            [3.0, 1.0, 2.0].into_iter().enumerate().map(|(at, value)| trial(at as u64, TrialState::Complete, value));
        let early = [0.0, 2.5, 99.0, f64::NAN]
            .into_iter()
            .enumerate()
            .map(|(at, value)| trial(at as u64 + 3, TrialState::Stopped, value));
        let mut trials: Vec<Trial> = complete.chain(early).collect();
        trials.push(trial(7, TrialState::Failed, 0.0));
        let losses = |objective: Objective| -> Vec<f64> {
            let history = History { trials: &trials, finished: &[], objectives: &[objective] };
            observed(&history).into_iter().map(|(_, loss)| loss).collect()
        };
        assert_eq!(losses(Objective::minimize("x")), [3.0, 1.0, 2.0, 2.0, 2.5, 3.0, 3.0]);
        assert_eq!(losses(Objective::maximize("x")), [-3.0, -1.0, -2.0, -1.0, -2.0, -2.0, -1.0]);
    }

    #[test]
    fn of_many_trials_the_best_and_the_last_are_looked_at() {
        let trials: Vec<Trial> = (0..400).map(|number| trial(number, TrialState::Complete, number as f64)).collect();
        let history = History { trials: &trials, finished: &[], objectives: &[Objective::minimize("x")] };
        let numbers: Vec<u64> = observed(&history).iter().map(|(trial, _)| trial.number).collect();
        assert_eq!(numbers, (0..50).chain(200..400).collect::<Vec<_>>());
    }

    #[test]
    fn values_are_brought_to_one_scale_whatever_theirs_is() {
        for values in [vec![1e300, -1e300, 0.0], vec![1.0, f64::INFINITY, 2.0], vec![f64::INFINITY; 3], vec![5.0; 3]] {
            let (standard, ..) = standardized(&values);
            assert!(standard.iter().all(|value| value.is_finite() && value.abs() < 2.0), "{values:?}: {standard:?}");
        }
        let (standard, mean, deviation) = standardized(&[1.0, 3.0]);
        assert_eq!((standard, mean, deviation), (vec![-1.0, 1.0], 2.0, 1.0));
    }
}
