use std::collections::BTreeSet;

use crate::proposers::{Proposal, Proposer, Request, combination};
use crate::spaces::Size;
use crate::{Assignment, Random};

/// How often a proposer is asked, with other random numbers each time, before one of the untried settings is taken as they come.
const TRIES: u64 = 4;

/// What a proposer wants tried next. Where the settings of a space can be counted, it is never what was tried already, and `None` when all
/// of them were: a trial of the same settings would be the same run once more.
pub(super) fn untried(proposer: &Proposer, request: &Request<'_>) -> Option<Proposal> {
    let space = request.space;
    let Size::Finite(size) = space.size() else { return proposer.propose(request) };
    let tried: BTreeSet<_> = request.history.trials.iter().map(|trial| space.places(&trial.assignment)).collect();
    if tried.len() as u128 >= size {
        return None;
    }
    let is_new = |assignment: &Assignment| !tried.contains(&space.places(assignment));
    let again = |attempt: u64| match attempt {
        0 => request.seed,
        _ => Random::of(request.seed, request.number, &format!("again {attempt}")).next_u64(),
    };
    for attempt in 0..TRIES {
        let proposal = proposer.propose(&Request { seed: again(attempt), ..*request })?;
        if is_new(&proposal.assignment) {
            return Some(proposal);
        }
    }
    // as if somebody had asked for it: what the proposer notes is of what it proposes itself
    let first = u128::from(Random::of(request.seed, request.number, "untried").next_u64()) % size;
    let mut all = (0..=tried.len() as u128).map(|further| combination(space, (first + further) % size));
    all.find(is_new).map(Proposal::from)
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;
    use serde_json::json;

    use super::*;
    use crate::proposers::standard;
    use crate::{Asked, Catalogs, Objective, Outcome, Space, Study, StudySettings};

    fn recipe() -> serde_json::Value {
        json!({
            "a": {"uniform": [-0.1, 0.2], "step": 0.1},
            "b": {"choose": ["x", {"y": {"integer": [1, 2]}}]},
        })
    }

    fn study(proposer: &str) -> Study {
        let space = Space::extract(&recipe()).unwrap().0;
        let mut settings = StudySettings::new("few", space, vec![Objective::minimize("loss")]);
        settings.proposer = Choice::named(proposer);
        Study::new(settings, &Catalogs::default()).unwrap()
    }

    #[test]
    fn a_study_of_few_combinations_tries_each_once_and_ends_whatever_proposes() {
        for row in standard().rows() {
            let mut study = study(row.name);
            let mut seen = BTreeSet::new();
            while let Asked::Trial(trial) = study.ask().unwrap() {
                let settings = &study.settings().space;
                assert!(seen.insert(settings.places(&trial.assignment)), "{}: {:?}", row.name, trial.assignment);
                let loss: f64 = trial.assignment.iter().map(|(_, setting)| setting).sum();
                study.tell(trial.number, Outcome::complete(loss)).unwrap();
            }
            assert_eq!((seen.len(), study.trials().len()), (12, 12), "{}", row.name);
        }
    }

    #[test]
    fn what_somebody_asked_for_is_not_proposed_again() {
        for proposer in ["grid", "sobol"] {
            let mut study = study(proposer);
            let wanted = study.settings().space.drawn(7, 7);
            study.enqueue(wanted).unwrap();
            let mut trials = 0;
            while let Asked::Trial(trial) = study.ask().unwrap() {
                trials += 1;
                study.tell(trial.number, Outcome::complete(1.0)).unwrap();
            }
            assert_eq!(trials, 12, "{proposer}");
        }
    }

    #[test]
    fn a_grid_goes_on_in_order_behind_a_setting_that_somebody_wrote_as_a_decimal() {
        let space = Space::extract(&json!({"a": {"uniform": [-0.1, 0.2], "step": 0.1}})).unwrap().0;
        let mut settings = StudySettings::new("few", space, vec![Objective::minimize("loss")]);
        settings.proposer = Choice::named("grid");
        let mut study = Study::new(settings, &Catalogs::default()).unwrap();
        // what the grid has as -0.1 + 3 · 0.1 and -0.1 + 1 · 0.1
        for written in [0.2, 0.0] {
            study.enqueue([("a".to_owned(), written)].into_iter().collect()).unwrap();
        }
        while let Asked::Trial(trial) = study.ask().unwrap() {
            study.tell(trial.number, Outcome::complete(1.0)).unwrap();
        }
        let cells: Vec<_> = study.trials().iter().map(|trial| trial.note.get("cell")?.as_u64()).collect();
        assert_eq!(cells, [None, None, Some(0), Some(2)]);
    }
}
