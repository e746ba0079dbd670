use millstream_schemas::choice::between;

use super::course::Course;
use super::stopping_function::Decision;
use crate::TrialState;

/// A trial's best loss held against a quantile of the others' losses at the same step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantile {
    pub(super) percent: f64,
    pub(super) startup_trials: usize,
    pub(super) warmup_steps: u64,
    pub(super) interval_steps: u64,
    pub(super) least_trials: usize,
}

impl Quantile {
    pub(super) fn validate(&self) -> Result<(), String> {
        between("percentile", self.percent, 0.0, 100.0)?;
        at_least_one("interval_steps", self.interval_steps)?;
        at_least_one("least_trials", self.least_trials as u64)
    }

    pub(super) fn decide(&self, course: &Course<'_>) -> Decision {
        let complete: Vec<_> = course.others().filter(|trial| trial.state == TrialState::Complete).collect();
        if complete.is_empty()
            || complete.len() < self.startup_trials
            || !course.is_due(self.warmup_steps, self.interval_steps)
        {
            return Decision::Continue;
        }
        // A minimum passes over what is no number, and is none where all are.
        let best = course.losses().fold(f64::NAN, f64::min);
        if best.is_nan() {
            return Decision::Stop;
        }
        let at_step = complete.iter().filter_map(|trial| trial.reports.get(&course.step()));
        let reported: Vec<f64> = at_step.map(|value| course.history.loss(*value)).collect();
        if reported.len() < self.least_trials {
            return Decision::Continue;
        }
        match quantile(reported, self.percent / 100.0) {
            Some(limit) if best > limit => Decision::Stop,
            _ => Decision::Continue,
        }
    }
}

pub(super) fn at_least_one(name: &str, value: u64) -> Result<(), String> {
    if value == 0 { Err(format!("{name} is 1 or more, got 0")) } else { Ok(()) }
}

/// The value below which this share lies, on a straight line between neighbours; what is no number is left out.
fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let place = share * values.len().checked_sub(1)? as f64;
    let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
    // The same twice has no line between, also where it is infinite.
    Some(if below == above { below } else { below + (above - below) * place.fract() })
}

#[cfg(test)]
mod tests {
    use super::super::course::Course;
    use super::*;
    use crate::{Assignment, History, Objective, Trial};

    #[test]
    fn quantiles_are_those_of_numpy() {
        let values = || vec![4.0, f64::NAN, 1.0, 3.0, 2.0];
        for (share, wanted) in [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)] {
            assert!((quantile(values(), share).unwrap() - wanted).abs() < 1e-12);
        }
        assert_eq!(quantile(vec![f64::NAN], 0.5), None);
        assert_eq!(quantile(vec![f64::INFINITY; 2], 0.5), Some(f64::INFINITY));
    }

    fn complete(number: u64, reports: &[f64]) -> Trial {
        let steps = reports.iter().enumerate().map(|(at, value)| (at as u64 + 1, *value)).collect();
        Trial {
            state: TrialState::Complete,
            values: vec![0.0],
            reports: steps,
            ..Trial::waiting(number, Assignment::default())
        }
    }

    #[test]
    fn the_best_so_far_is_held_against_the_others_at_that_step() {
        let rule = Quantile { percent: 50.0, startup_trials: 3, warmup_steps: 0, interval_steps: 1, least_trials: 1 };
        let others =
            [complete(0, &[3.0, 2.0]), complete(1, &[4.0, 3.0]), complete(2, &[5.0, 4.0]), complete(9, &[5.0])];
        for (reports, rule, direction, wanted) in [
            (&[4.1][..], rule, Objective::minimize("loss"), Decision::Continue),
            (&[4.6], rule, Objective::minimize("loss"), Decision::Stop),
            // It was better before.
            (&[2.5, 9.0], rule, Objective::minimize("loss"), Decision::Continue),
            (&[3.5, 9.0], rule, Objective::minimize("loss"), Decision::Stop),
            (&[f64::NAN], rule, Objective::minimize("loss"), Decision::Stop),
            (&[9.0, 9.0, 9.0], rule, Objective::minimize("loss"), Decision::Continue),
            (&[4.1], rule, Objective::maximize("accuracy"), Decision::Stop),
            (&[4.6], rule, Objective::maximize("accuracy"), Decision::Continue),
            (&[9.0], Quantile { startup_trials: 5, ..rule }, Objective::minimize("loss"), Decision::Continue),
            (&[9.0], Quantile { warmup_steps: 2, ..rule }, Objective::minimize("loss"), Decision::Continue),
            (&[9.0, 9.0], Quantile { warmup_steps: 2, ..rule }, Objective::minimize("loss"), Decision::Stop),
            (&[9.0, 9.0], Quantile { least_trials: 4, ..rule }, Objective::minimize("loss"), Decision::Continue),
            (&[4.1], Quantile { percent: 25.0, ..rule }, Objective::minimize("loss"), Decision::Stop),
        ] {
            let trial = complete(5, reports);
            let history = History { trials: &others, finished: &[], objectives: &[direction] };
            let got = rule.decide(&Course { history, trial: &trial, seed: 0 });
            assert_eq!(got, wanted, "{reports:?} {rule:?}");
        }
    }

    #[test]
    fn an_interval_looks_at_the_first_report_behind_it() {
        let due = |steps: &[u64], warmup, interval| {
            let reports = steps.iter().map(|step| (*step, 0.0)).collect();
            let trial = Trial { reports, ..Trial::waiting(0, Assignment::default()) };
            let history = History { trials: &[], finished: &[], objectives: &[] };
            Course { history, trial: &trial, seed: 0 }.is_due(warmup, interval)
        };
        assert!(due(&[4], 4, 3) && !due(&[3], 4, 3) && !due(&[4, 5], 4, 3) && due(&[4, 8], 4, 3));
        assert!(due(&[4, 6, 7], 4, 3) && !due(&[7, 9], 4, 3) && due(&[1, 2], 0, 1));
    }
}
