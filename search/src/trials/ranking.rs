use super::history::History;
use super::trial::{Trial, TrialState};

/// A trial with what it is ranked by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranked<'a> {
    pub(crate) trial: &'a Trial,
    key: (Class, f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Complete,
    /// Ended early, or set aside.
    Early,
    Infeasible,
}

/// What came of trials, best first: complete ones by the first objective, then those that ended early, of which the later is
/// the better, then those that break constraints, by how much. Trials that failed, or of which nothing is known, are not in it.
///
/// One that is paused counts as one that ended early: it may never be gone on with.
pub(crate) fn ranking<'a>(history: &History<'a>) -> Vec<Ranked<'a>> {
    let mut ranked: Vec<Ranked<'a>> = history.trials.iter().filter_map(|trial| rank(history, trial)).collect();
    // It is stable: of equals the earlier one comes first.
    ranked.sort_by(|a, b| {
        let ((class, first, second), (other, third, fourth)) = (a.key, b.key);
        class.cmp(&other).then(first.total_cmp(&third)).then(second.total_cmp(&fourth))
    });
    ranked
}

fn rank<'a>(history: &History<'a>, trial: &'a Trial) -> Option<Ranked<'a>> {
    let violation = trial.violation();
    let key = match trial.state {
        TrialState::Complete | TrialState::Stopped if violation > 0.0 => (Class::Infeasible, violation, 0.0),
        TrialState::Complete => (Class::Complete, history.loss(*trial.values.first()?), 0.0),
        TrialState::Stopped | TrialState::Paused => match trial.reports.last_key_value() {
            Some((step, value)) if value.is_nan() => (Class::Early, -(*step as f64), f64::INFINITY),
            Some((step, value)) => (Class::Early, -(*step as f64), history.loss(*value)),
            None => (Class::Early, 1.0, 0.0),
        },
        TrialState::Running | TrialState::Waiting | TrialState::Failed => return None,
    };
    Some(Ranked { trial, key })
}

#[cfg(test)]
mod tests {
    use super::super::objective::Objective;
    use super::*;
    use crate::Assignment;

    #[test]
    fn complete_comes_before_early_and_early_before_infeasible() {
        let trial =
            |number: u64, state: TrialState, value: Option<f64>, reports: &[(u64, f64)], constraint: f64| Trial {
                state,
                values: value.into_iter().collect(),
                reports: reports.iter().copied().collect(),
                constraints: vec![constraint],
                ..Trial::waiting(number, Assignment::default())
            };
        let trials = [
            trial(0, TrialState::Complete, Some(0.1), &[], 2.0),
            trial(1, TrialState::Stopped, None, &[(1, 0.0), (3, 0.9)], 0.0),
            trial(2, TrialState::Complete, Some(0.7), &[], 0.0),
            trial(3, TrialState::Failed, None, &[], 0.0),
            trial(4, TrialState::Complete, Some(0.3), &[], -1.0),
            trial(5, TrialState::Paused, None, &[(3, 0.8)], 0.0),
            trial(6, TrialState::Stopped, None, &[(4, f64::NAN)], 0.0),
            trial(7, TrialState::Stopped, None, &[], 0.0),
            trial(8, TrialState::Running, None, &[(9, 0.0)], 0.0),
            trial(9, TrialState::Complete, Some(0.0), &[], 1.0),
            trial(10, TrialState::Complete, Some(0.3), &[], 0.0),
        ];
        let order = |objective: Objective| -> Vec<u64> {
            let history = History { trials: &trials, finished: &[], objectives: &[objective] };
            ranking(&history).iter().map(|ranked| ranked.trial.number).collect()
        };
        assert_eq!(order(Objective::minimize("loss")), [4, 10, 2, 6, 5, 1, 7, 9, 0]);
        assert_eq!(order(Objective::maximize("accuracy")), [2, 4, 10, 6, 1, 5, 7, 9, 0]);
    }
}
