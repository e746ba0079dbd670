//! Where fifty steps lead, to hold a rule against PyTorch. What tests quote as `groups` is, in Python:
//!
//! ```python
//! matrix, vector = (torch.nn.Parameter(torch.tensor([math.cos(i) for i in r])) for r in (range(12), range(12, 16)))
//! matrix.data = matrix.data.reshape(3, 4)
//! groups = [{"params": [matrix]}, {"params": [vector], "weight_decay": 0.0}]
//! # in front of each `step()`, t from 0, for the elements i from 0 of the matrix and from 12 of the vector:
//! gradient = (1 + 0.1 * i) * math.sin(0.7 * i + 0.3 * t)
//! ```

use super::rule::{ParameterFacts, UpdateRule};

/// A weight of shape [3, 4] that decays.
pub(super) fn facts_of_matrix() -> ParameterFacts<'static> {
    ParameterFacts {
        shape: &[3, 4],
        layer: "matrix",
        learning_rate_multiplier: 1.0,
        decays: true,
        weight_decay: None,
        is_statistic: false,
    }
}

/// Makes fifty steps, whose ends are to be `wanted`: the elements of the matrix, then those of the vector.
pub(super) fn assert_trajectory(rule: &dyn UpdateRule, rate: f32, wanted: [f64; 16]) {
    let matrix = facts_of_matrix();
    let vector = ParameterFacts { shape: &[4], layer: "vector", decays: false, ..matrix };
    for (facts, places) in [(matrix, 0..12), (vector, 12..16)] {
        let mut parameter: Vec<f32> = places.clone().map(|i| (i as f64).cos() as f32).collect();
        let mut state: Vec<Vec<f32>> = rule.state(facts).iter().map(|tensor| tensor.start_values()).collect();
        for step in 0..50 {
            let gradient = |i| ((1.0 + 0.1 * i as f64) * (0.7 * i as f64 + 0.3 * step as f64).sin()) as f32;
            let gradient: Vec<f32> = places.clone().map(gradient).collect();
            rule.update(&rule.coefficients(step, rate), facts, 1.0, &mut parameter, &gradient, &mut state);
        }
        for (got, wanted) in parameter.iter().zip(&wanted[places]) {
            let what = facts.layer;
            assert!((f64::from(*got) - wanted).abs() < 1e-5, "{rule:?}: the {what} has {got}, wanted {wanted}");
        }
    }
}
