//! Stopping rules in a whole study.

use millstream_schemas::Choice;
use millstream_search::{Asked, Catalogs, Decision, Objective, Outcome, Space, Study, StudySettings, TrialState};
use serde_json::{Value, json};

fn study(stopping: Value) -> Study {
    let (space, _) = Space::extract(&json!({"x": {"uniform": [0, 1]}})).unwrap();
    let mut settings = StudySettings::new("rules", space, vec![Objective::minimize("loss")]);
    settings.proposer = Choice::named("sobol");
    settings.stopping = serde_json::from_value(stopping).unwrap();
    Study::new(settings, &Catalogs::default()).unwrap()
}

/// A loss that falls to x: whoever is better at the end is better all the way.
fn loss(x: f64, step: u64) -> f64 {
    x + 1.0 / step as f64
}

/// Works on trials of 27 steps until there is nothing to do any more; gives the number of steps that were worked.
fn work(study: &mut Study, trials: u64) -> u64 {
    let mut steps = 0;
    let mut began = 0;
    loop {
        let asked = if began < trials { study.ask().unwrap() } else { none_left(study) };
        let Asked::Trial(trial) = asked else { return steps };
        began += u64::from(trial.reported.is_none());
        let x = trial.assignment.get("x").unwrap();
        let first = trial.reported.unwrap_or(0) + 1;
        let mut end = Outcome::complete(loss(x, 27));
        for step in first..=27 {
            steps += 1;
            match study.report(trial.number, step, loss(x, step)).unwrap() {
                Decision::Continue => {}
                Decision::Stop => {
                    end = Outcome::Stopped;
                    break;
                }
                Decision::Pause => {
                    study.pause(trial.number).unwrap();
                    break;
                }
            }
        }
        if study.trials()[trial.number as usize].state == TrialState::Running {
            study.tell(trial.number, end).unwrap();
        }
    }
}

/// Asks without wanting new trials.
fn none_left(study: &mut Study) -> Asked {
    let (asked, event) = study.plan_ask("alone", 0.0, Some(0)).unwrap();
    if let Some(event) = event {
        study.apply(&event).unwrap();
    }
    asked
}

#[test]
fn every_rule_saves_steps_and_keeps_the_best() {
    for (stopping, most) in [
        (json!([]), 81 * 27),
        (json!(["median"]), 81 * 20),
        (json!([{"percentile": {"percentile": 10}}]), 81 * 12),
        (json!([{"successive_halving": {"min_steps": 1, "reduction_factor": 3}}]), 81 * 8),
        (json!([{"hyperband": {"max_steps": 27}}]), 81 * 14),
        (json!([{"asha": {"max_steps": 27, "reduction_factor": 3}}]), 81 * 6),
        (json!(["median", {"patience": {"patience": 30}}, {"threshold": {"upper": 1.5}}]), 81 * 20),
    ] {
        let mut study = study(stopping.clone());
        let steps = work(&mut study, 81);
        assert!(steps <= most, "{stopping}: {steps} steps");
        let best = study.best().unwrap_or_else(|| panic!("{stopping}: none is complete"));
        let rank = study.trials().iter().filter(|trial| trial.assignment.get("x") < best.assignment.get("x")).count();
        assert!(rank <= 3, "{stopping}: {rank} are better");
    }
}

#[test]
fn asha_promotes_what_turned_out_to_be_good_and_goes_on_where_it_was() {
    let mut study = study(json!([{"asha": {"max_steps": 27, "reduction_factor": 3}}]));
    work(&mut study, 27);
    let count = |state: TrialState| study.trials().iter().filter(|trial| trial.state == state).count();
    assert_eq!((count(TrialState::Complete) + count(TrialState::Paused), count(TrialState::Running)), (27, 0));
    let reached = |step: u64| study.trials().iter().filter(|trial| trial.last_step() >= Some(step)).count();
    // Of 27 at the first rung 9 go on, and some that looked good for a while.
    assert!(
        (9..=14).contains(&reached(2)) && (3..=7).contains(&reached(4)) && (1..=4).contains(&reached(27)),
        "{} {} {}",
        reached(2),
        reached(4),
        reached(27)
    );
    assert!(study.trials().iter().all(|trial| trial.reports.len() as u64 == trial.last_step().unwrap()));
}

#[test]
fn where_too_few_were_paused_for_a_promotion_the_best_comes_to_its_end() {
    let mut study = study(json!([{"asha": {"max_steps": 27, "reduction_factor": 4}}]));
    work(&mut study, 3);
    let best = study.best().expect("one is complete");
    assert!(study.trials().iter().all(|trial| trial.assignment.get("x") >= best.assignment.get("x")));
    assert_eq!(study.trials().iter().filter(|trial| trial.state == TrialState::Complete).count(), 1);
}

#[test]
fn what_is_not_running_takes_no_reports_and_what_no_rule_paused_is_not_paused() {
    let mut study = study(json!(["median"]));
    let Asked::Trial(trial) = study.ask().unwrap() else { panic!("there is always another") };
    let error = study.pause(trial.number).unwrap_err().to_string();
    assert_eq!(error, "trial 0: no stopping rule has paused it");
    let error = study.tell(trial.number, Outcome::with(vec![], vec![])).unwrap_err().to_string();
    assert_eq!(error, "trial 0: the study looks for 1 figure, got 0");
    study.tell(trial.number, Outcome::Stopped).unwrap();
    assert_eq!(study.report(trial.number, 1, 0.0).unwrap_err().to_string(), "trial 0: nobody works on it");
}
