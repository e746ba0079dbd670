//! Optimizers and schedules held against fifty steps of PyTorch's, which `trajectories/make.py` writes into `of_pytorch.json`.

use millstream_schemas::Choice;
use serde::Deserialize;
use serde_json::Value;

use crate::optimizers::{self, Optimizer, ParameterFacts, SharpnessAware, StateValues, UpdateRule};
use crate::schedules::{self, RunLength, Schedule};

const STEPS: u64 = 50;
const FURTHEST: f64 = 1e-5;

#[derive(Deserialize)]
struct OfPyTorch {
    optimizers: Vec<Trajectory>,
    sharpness_aware: Vec<Trajectory>,
    schedules: Vec<Course>,
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
    ends: Vec<f64>,
}

#[derive(Deserialize)]
struct Course {
    choice: Value,
    /// The first step that is compared.
    from: usize,
    factors: Vec<f64>,
}

fn of_pytorch() -> OfPyTorch {
    serde_json::from_str(include_str!("trajectories/of_pytorch.json")).expect("make.py wrote it")
}

fn choice(value: &Value) -> Choice {
    serde_json::from_value(value.clone()).expect("a name with options")
}

/// A parameter on its way.
struct Moving {
    facts: ParameterFacts<'static>,
    first: usize,
    values: Vec<f32>,
    state: Vec<StateValues>,
}

impl Moving {
    /// As `make.py` has it, where `there` are the weights.
    fn gradient(&self, there: &[f32], step: u64, pull: f32) -> Vec<f32> {
        let own = |at: usize| (1.0 + 0.1 * at as f64) * (0.7 * at as f64 + 0.3 * step as f64).sin();
        there.iter().enumerate().map(|(at, value)| own(self.first + at) as f32 + pull * value).collect()
    }
}

fn start(rule: &dyn UpdateRule) -> [Moving; 2] {
    let matrix = ParameterFacts {
        shape: &[3, 4],
        layer: "matrix",
        learning_rate_multiplier: 1.0,
        decays: true,
        weight_decay: None,
        is_statistic: false,
    };
    let vector = ParameterFacts { shape: &[4], layer: "vector", decays: false, ..matrix };
    [(matrix, 0..12), (vector, 12..16)].map(|(facts, places)| Moving {
        facts,
        first: places.start,
        values: places.map(|at| (at as f64).cos() as f32).collect(),
        state: rule.state(facts).iter().map(|tensor| tensor.start_values()).collect(),
    })
}

fn assert_ends(row: &Trajectory, both: &[Moving; 2]) {
    let found = both.iter().flat_map(|one| &one.values);
    for (at, (found, wanted)) in found.zip(&row.ends).enumerate() {
        let is_near = (f64::from(*found) - wanted).abs() < FURTHEST;
        assert!(is_near, "{}: element {at} is {found}, wanted {wanted}", row.choice);
    }
    assert_eq!(row.ends.len(), 16);
}

fn rule_of(row: &Trajectory) -> Optimizer {
    Optimizer::choose(optimizers::standard(), &choice(&row.choice), "training.optimizer").expect("it is one of ours")
}

#[test]
fn fifty_steps_of_an_optimizer_are_those_of_pytorch() {
    for row in of_pytorch().optimizers {
        let optimizer = rule_of(&row);
        let rule = &**optimizer.rule();
        let mut both = start(rule);
        for step in 0..STEPS {
            let coefficients = rule.coefficients(step, row.rate);
            for one in &mut both {
                let gradient = one.gradient(&one.values, step, 0.0);
                rule.update(&coefficients, one.facts, 1.0, &mut one.values, &gradient, &mut one.state);
            }
        }
        assert_ends(&row, &both);
    }
}

#[test]
fn fifty_steps_with_a_way_uphill_are_those_of_pytorch() {
    for row in of_pytorch().sharpness_aware {
        let optimizer = rule_of(&row);
        let (rule, way) = (&**optimizer.rule(), SharpnessAware { rho: row.rho, adaptive: row.adaptive });
        let mut both = start(rule);
        for step in 0..STEPS {
            let gradients = both.each_ref().map(|one| one.gradient(&one.values, step, 0.5));
            let sums = both.iter().zip(&gradients).map(|(one, gradient)| way.sum_of_squares(&one.values, gradient));
            let factor = way.factor(sums.sum::<f64>().sqrt());
            let coefficients = rule.coefficients(step, row.rate);
            for (one, gradient) in both.iter_mut().zip(&gradients) {
                let mut uphill = one.values.clone();
                way.ascend(&mut uphill, gradient, factor);
                let gradient = one.gradient(&uphill, step, 0.5);
                rule.update(&coefficients, one.facts, 1.0, &mut one.values, &gradient, &mut one.state);
            }
        }
        assert_ends(&row, &both);
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
