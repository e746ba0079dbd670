//! Where fifty steps lead, to hold a rule against PyTorch. What tests quote as `groups` is, in Python:
//!
//! ```python
//! matrix, vector = (torch.nn.Parameter(torch.tensor([math.cos(i) for i in r])) for r in (range(12), range(12, 16)))
//! matrix.data = matrix.data.reshape(3, 4)
//! groups = [{"params": [matrix]}, {"params": [vector], "weight_decay": 0.0}]
//! # in front of each `step()`, t from 0, for the elements i from 0 of the matrix and from 12 of the vector:
//! gradient = (1 + 0.1 * i) * math.sin(0.7 * i + 0.3 * t)
//! ```

use std::ops::Range;

use super::rule::{ParameterFacts, UpdateRule};
use super::state_values::StateValues;

pub(crate) const STEPS: u64 = 50;
/// How far a number may be from PyTorch's.
pub(crate) const FURTHEST: f64 = 1e-5;

/// A parameter on its way.
pub(crate) struct Moving {
    pub(crate) facts: ParameterFacts<'static>,
    places: Range<usize>,
    pub(crate) values: Vec<f32>,
    pub(crate) state: Vec<StateValues>,
}

impl Moving {
    /// At a step, counted from 0; wherever the weights are.
    pub(crate) fn gradient(&self, step: u64) -> Vec<f32> {
        let gradient = |i| ((1.0 + 0.1 * i as f64) * (0.7 * i as f64 + 0.3 * step as f64).sin()) as f32;
        self.places.clone().map(gradient).collect()
    }
}

/// A weight of shape [3, 4] that decays.
pub(crate) fn facts_of_matrix() -> ParameterFacts<'static> {
    ParameterFacts {
        shape: &[3, 4],
        layer: "matrix",
        learning_rate_multiplier: 1.0,
        decays: true,
        weight_decay: None,
        is_statistic: false,
    }
}

/// That matrix, and a vector of four that does not decay, before the first step.
pub(crate) fn start(rule: &dyn UpdateRule) -> [Moving; 2] {
    let matrix = facts_of_matrix();
    let vector = ParameterFacts { shape: &[4], layer: "vector", decays: false, ..matrix };
    [(matrix, 0..12), (vector, 12..16)].map(|(facts, places)| Moving {
        facts,
        values: places.clone().map(|i| (i as f64).cos() as f32).collect(),
        state: rule.state(facts).iter().map(|tensor| tensor.start_values()).collect(),
        places,
    })
}

/// Makes fifty steps, whose ends are to be `wanted`: the elements of the matrix, then those of the vector.
pub(crate) fn assert_trajectory(rule: &dyn UpdateRule, rate: f32, wanted: [f64; 16]) {
    assert_close(rule, "weights", &ends(rule, &|_| rate)[0], wanted);
}

/// As [`assert_trajectory`], with a rate for each step, counted from 0; then what is evaluated in the place of the weights.
pub(crate) fn assert_averaged_trajectory(rule: &dyn UpdateRule, rate: &dyn Fn(u64) -> f32, wanted: [[f64; 16]; 2]) {
    let [weights, averages] = ends(rule, rate);
    assert_close(rule, "weights", &weights, wanted[0]);
    assert_close(rule, "averages", &averages, wanted[1]);
}

/// The weights after fifty steps, and the averages of them where the rule has such.
fn ends(rule: &dyn UpdateRule, rate: &dyn Fn(u64) -> f32) -> [Vec<f32>; 2] {
    let mut ends = [Vec::new(), Vec::new()];
    for mut one in start(rule) {
        for step in 0..STEPS {
            let (coefficients, gradient) = (rule.coefficients(step, rate(step)), one.gradient(step));
            rule.update(&coefficients, one.facts, 1.0, &mut one.values, &gradient, &mut one.state);
        }
        ends[0].extend(&one.values);
        ends[1].extend(rule.average(one.facts, one.values, &one.state));
    }
    ends
}

pub(crate) fn assert_close(rule: &dyn UpdateRule, what: &str, got: &[f32], wanted: [f64; 16]) {
    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (f64::from(*got) - wanted).abs() < FURTHEST,
            "{rule:?}: element {at} of the {what} is {got}, wanted {wanted}"
        );
    }
}
