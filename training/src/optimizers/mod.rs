//! Update rules: each file holds one, as an update in place in Rust and as graph nodes, its twin for other devices.

mod adamw;
mod graph;
mod sgd;
mod update_rule;

use millstream_schemas::recipe::OptimizerRecipe;

pub(crate) use graph::{UpdateGraph, update_graph};
use update_rule::Built;
pub use update_rule::OptimizerKind;
pub(crate) use update_rule::{NodeInputs, ParameterFacts, UpdateRule};

/// All optimizers, by name.
pub static OPTIMIZERS: &[OptimizerKind] = &[adamw::OPTIMIZER, sgd::OPTIMIZER];

/// The rule that a recipe asks for.
///
/// # Errors
/// An option has a value that makes no sense.
pub(crate) fn build(recipe: &OptimizerRecipe) -> Built {
    let found = OPTIMIZERS.iter().find_map(|kind| (kind.build)(recipe));
    found.expect("every variant of `OptimizerRecipe` has its row in the table, as a test checks")
}

/// The factor that brings the joint Euclidean norm of all gradients down to `limit`; 1 when it is not above.
pub(crate) fn clip_scale(norm: f64, limit: f32) -> f32 {
    // PyTorch's `clip_grad_norm_` adds the same 1e-6.
    (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32
}

/// Sum of squares, added up in doubles in a fixed order.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::{AdamW, Sgd};

    use super::*;

    #[test]
    fn every_variant_has_a_row_of_its_name() {
        for recipe in [OptimizerRecipe::Adamw(AdamW::default()), OptimizerRecipe::Sgd(Sgd::default())] {
            let rows = OPTIMIZERS.iter().filter(|kind| (kind.build)(&recipe).is_some());
            let names: Vec<&str> = rows.map(|kind| kind.name).collect();
            let in_recipes = serde_json::to_value(&recipe).unwrap();
            assert!(in_recipes.as_object().unwrap().keys().eq(names), "{in_recipes}");
        }
        assert!(OPTIMIZERS.is_sorted_by_key(|kind| kind.name));
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        let adamw = |change: fn(&mut AdamW)| {
            let mut options = AdamW::default();
            change(&mut options);
            OptimizerRecipe::Adamw(options)
        };
        let sgd = |change: fn(&mut Sgd)| {
            let mut options = Sgd::default();
            change(&mut options);
            OptimizerRecipe::Sgd(options)
        };
        let rows = [
            (adamw(|o| o.learning_rate = -1.0), "training.optimizer.adamw.learning_rate"),
            (adamw(|o| o.learning_rate = f32::NAN), "training.optimizer.adamw.learning_rate"),
            (adamw(|o| o.beta1 = 1.0), "training.optimizer.adamw.beta1"),
            (adamw(|o| o.beta2 = -0.1), "training.optimizer.adamw.beta2"),
            (adamw(|o| o.epsilon = 0.0), "training.optimizer.adamw.epsilon"),
            (adamw(|o| o.weight_decay = -0.1), "training.optimizer.adamw.weight_decay"),
            (sgd(|o| o.momentum = 1.0), "training.optimizer.sgd.momentum"),
            (sgd(|o| (o.nesterov, o.momentum) = (true, 0.0)), "training.optimizer.sgd.momentum"),
        ];
        for (recipe, name) in rows {
            let message = build(&recipe).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}, wanted {name}");
        }
    }

    #[test]
    fn clipping_scales_only_norms_above_the_limit() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
        let values: Vec<f32> = (0..19).map(|value| value as f32).collect();
        assert_eq!(sum_of_squares(&values), 2109.0);
    }
}
