//! Optimizers and schedules held against fifty steps of PyTorch's, which `trajectories/make.py` writes into `of_pytorch.json`.

use millstream_schemas::Choice;
use serde::Deserialize;
use serde_json::Value;

use crate::metrics::{Better, FigureKind, Unit};
use crate::optimizers::trajectory::{FURTHEST, STEPS, assert_close, assert_trajectory, start};
use crate::optimizers::{self, Optimizer, SharpnessAware};
use crate::schedules::{self, PlateauState, RunLength, Schedule};

#[derive(Deserialize)]
struct OfPyTorch {
    optimizers: Vec<Trajectory>,
    sharpness_aware: Vec<Trajectory>,
    schedules: Vec<Course>,
    plateaus: Vec<Reductions>,
}

#[derive(Deserialize)]
struct Trajectory {
    choice: Value,
    rate: f32,
    #[serde(default)]
    rho: f32,
    #[serde(default)]
    adaptive: bool,
    /// Twelve elements of a matrix that decays, four of a vector that does not.
    ends: [f64; 16],
}

#[derive(Deserialize)]
struct Course {
    choice: Value,
    /// The first step that is compared.
    from: usize,
    factors: Vec<f64>,
}

/// A rate of 0.1 that is reduced as evaluations say.
#[derive(Deserialize)]
struct Reductions {
    choice: Value,
    better: Better,
    figures: Vec<f64>,
    /// After each evaluation.
    rates: Vec<f64>,
}

fn of_pytorch() -> OfPyTorch {
    serde_json::from_str(include_str!("trajectories/of_pytorch.json")).expect("make.py wrote it")
}

fn choice(value: &Value) -> Choice {
    serde_json::from_value(value.clone()).expect("a name with options")
}

fn rule_of(row: &Trajectory) -> Optimizer {
    Optimizer::choose(optimizers::standard(), &choice(&row.choice), "training.optimizer").expect("it is one of ours")
}

/// A gradient that heeds where the weights are, as `make.py` has it.
fn pulled(gradient: &[f32], there: &[f32]) -> Vec<f32> {
    gradient.iter().zip(there).map(|(own, value)| own + 0.5 * value).collect()
}

#[test]
fn fifty_steps_of_an_optimizer_are_those_of_pytorch() {
    for row in of_pytorch().optimizers {
        assert_trajectory(&**rule_of(&row).rule(), row.rate, row.ends);
    }
}

#[test]
fn fifty_steps_with_a_way_uphill_are_those_of_pytorch() {
    for row in of_pytorch().sharpness_aware {
        let optimizer = rule_of(&row);
        let (rule, way) = (&**optimizer.rule(), SharpnessAware { rho: row.rho, adaptive: row.adaptive });
        let mut both = start(rule);
        for step in 0..STEPS {
            let own = both.each_ref().map(|one| one.gradient(step));
            let gradients = [0, 1].map(|one: usize| pulled(&own[one], &both[one].values));
            let sums = both.iter().zip(&gradients).map(|(one, gradient)| way.sum_of_squares(&one.values, gradient));
            let factor = way.factor(sums.sum::<f64>().sqrt());
            let coefficients = rule.coefficients(step, row.rate);
            for ((one, own), gradient) in both.iter_mut().zip(&own).zip(&gradients) {
                let mut uphill = one.values.clone();
                way.ascend(&mut uphill, gradient, factor);
                let gradient = pulled(own, &uphill);
                rule.update(&coefficients, one.facts, 1.0, &mut one.values, &gradient, &mut one.state);
            }
        }
        let ends: Vec<f32> = both.into_iter().flat_map(|one| one.values).collect();
        assert_close(rule, &format!("weights with {way:?}"), &ends, row.ends);
    }
}

#[test]
fn fifty_steps_of_a_schedule_are_those_of_pytorch() {
    let run = RunLength { steps: STEPS, steps_per_epoch: 25 };
    for row in of_pytorch().schedules {
        let schedule = Schedule::choose(schedules::standard(), &choice(&row.choice), "training.schedule");
        let schedule = schedule.expect("it is one of ours");
        assert_eq!(row.factors.len() as u64, STEPS);
        for (step, wanted) in row.factors.iter().enumerate().skip(row.from) {
            let found = schedule.factor(step as u64, run);
            assert!((found - wanted).abs() < FURTHEST, "{}: at step {step} {found}, wanted {wanted}", row.choice);
        }
    }
}

#[test]
fn a_rate_that_follows_fifty_evaluations_is_that_of_pytorch() {
    const RATE: f64 = 0.1;
    for row in of_pytorch().plateaus {
        let schedule = Schedule::choose(schedules::standard(), &choice(&row.choice), "training.schedule");
        let rule = schedule.expect("it is one of ours").plateau().expect("it follows evaluations");
        let decides =
            FigureKind { name: "figure".into(), better: row.better, unit: Unit::Number, of_constant_answer: false };
        assert_eq!((row.figures.len() as u64, row.rates.len() as u64), (STEPS, STEPS));
        let (mut state, mut reductions) = (PlateauState::default(), 0);
        for (epoch, (figure, wanted)) in (0..).zip(row.figures.iter().zip(&row.rates)) {
            reductions += usize::from(state.add(&rule, Some(*figure), &decides, (RATE, epoch)));
            let found = RATE * state.factor;
            assert!(
                (found - wanted).abs() < FURTHEST * wanted,
                "{}: after {epoch} {found}, wanted {wanted}",
                row.choice
            );
        }
        assert!(reductions > 1, "{}: {reductions} reductions", row.choice);
    }
}
