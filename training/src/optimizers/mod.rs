//! Update rules: each file holds one, as an update in place in Rust and as graph nodes, its twin for other devices.

mod adamw;
mod graph;
mod lion;
mod optimizer;
mod optimizer_kind;
mod rule;
mod sgd;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice};

pub(crate) use graph::{UpdateGraph, update_graph};
pub use optimizer::Optimizer;
pub use optimizer_kind::{Build, OptimizerKind};
pub use rule::{NodeInputs, ParameterFacts, UpdateRule};

/// The optimizers of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<OptimizerKind> {
    static CATALOG: OnceLock<Catalog<OptimizerKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            adamw::OPTIMIZER, //
            lion::OPTIMIZER,
            sgd::OPTIMIZER,
        ])
    })
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("adamw"), "training.optimizer")
            .expect("all of its options have defaults")
    }
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
    use millstream_schemas::ChoiceError;
    use millstream_schemas::choice::Row;
    use serde_json::{Value, json};

    use super::*;

    fn chosen(name: &str, options: Value) -> Result<Optimizer, ChoiceError> {
        Optimizer::choose(standard(), &Choice::new(name, options), "training.optimizer")
    }

    #[test]
    fn rows_are_whole_and_their_samples_are_taken() {
        for row in standard().rows() {
            assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
            for sample in row.samples {
                let options: Value = serde_json::from_str(sample).unwrap();
                let optimizer = chosen(row.name, options).unwrap_or_else(|error| panic!("{sample}: {error}"));
                let again = chosen(row.name, optimizer.choice().options.clone()).unwrap();
                assert_eq!(optimizer.choice(), again.choice());
                let schema = row.schema();
                let known = schema["properties"].as_object().unwrap();
                let filled = optimizer.choice().options.as_object().unwrap();
                assert!(filled.keys().eq(known.keys()), "{filled:?}, {known:?}");
                assert!(known.values().all(|option| option.get("description").is_some()), "{schema}");
                assert_eq!(schema["properties"]["learning_rate"]["default"], json!(row.learning_rate));
            }
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        for (name, options, message) in [
            ("adamw", json!({"learning_rate": -1.0}), "adamw: learning_rate is a finite number above 0, got -1"),
            ("adamw", json!({"beta1": 1.0}), "adamw: beta1 is 0 to below 1, got 1"),
            ("adamw", json!({"beta2": -0.1}), "adamw: beta2 is 0 to below 1, got -0.1"),
            ("adamw", json!({"epsilon": 0.0}), "adamw: epsilon is a finite number above 0, got 0"),
            ("adamw", json!({"weight_decay": -0.1}), "adamw: weight_decay is a finite number of 0 or more, got -0.1"),
            (
                "adamw",
                json!({"momentum": 0.9}),
                "adamw: unknown option `momentum`; it has beta1, beta2, epsilon, weight_decay, learning_rate",
            ),
            ("sgd", json!({"momentum": 1.0}), "sgd: momentum is 0 to below 1, got 1"),
            (
                "sgd",
                json!({"nesterov": true, "momentum": 0.0}),
                "sgd: momentum is above 0, because `nesterov` is on, got 0",
            ),
            ("sgd", json!({"learning_rate": "fast"}), "sgd: learning_rate: wanted a number, got `fast`"),
            ("lion", json!({"beta1": 2}), "lion: beta1 is 0 to below 1, got 2"),
        ] {
            assert_eq!(chosen(name, options).unwrap_err().to_string(), format!("training.optimizer.{message}"));
        }
        let unknown = chosen("adam", json!({})).unwrap_err().to_string();
        assert_eq!(unknown, "training.optimizer: unknown optimizer `adam`; did you mean `adamw`?");
    }

    #[test]
    fn clipping_scales_only_norms_above_the_limit() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
        let values: Vec<f32> = (0..19).map(|value| value as f32).collect();
        assert_eq!(sum_of_squares(&values), 2109.0);
    }
}
