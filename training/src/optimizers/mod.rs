//! Update rules: each file holds one, as an update in place in Rust and as graph nodes, its twin for other devices.

mod adafactor;
mod adagrad;
mod adam;
mod adam_8bit;
mod adamw;
mod adamw_8bit;
mod averaged;
mod dynamic_map;
mod eight_bits;
mod graph;
mod l1_decay;
mod lamb;
mod lion;
mod lion_8bit;
mod lookahead;
mod moments;
mod muon;
mod nadam;
mod newton_schulz;
mod norms;
mod optimizer;
mod optimizer_kind;
mod penalized;
mod radam;
mod rmsprop;
mod rule;
mod schedule_free_adamw;
mod sgd;
mod sgd_8bit;
mod sharpness_aware;
mod state_values;
#[cfg(test)]
pub(crate) mod trajectory;
mod update_parts;

use std::sync::OnceLock;

use millstream_schemas::choice::{Catalog, Choice};

pub use averaged::Averaging;
pub(crate) use averaged::{Averaged, WEIGHT_AVERAGE};
pub(crate) use graph::{UpdateGraph, UpdatePart};
pub(crate) use l1_decay::WithL1Decay;
pub use lookahead::Lookahead;
pub(crate) use lookahead::WithLookahead;
pub(crate) use norms::{clip_scale, sum_of_squares};
pub use optimizer::Optimizer;
pub use optimizer_kind::{Build, OptimizerKind};
pub(crate) use penalized::Penalized;
pub use penalized::Penalties;
pub(crate) use rule::state_of;
pub use rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
pub(crate) use sharpness_aware::AscentGraph;
pub use sharpness_aware::SharpnessAware;
pub(crate) use state_values::{BYTES, FLOATS};
pub use state_values::{StateStart, StateValues, floats};

/// The optimizers of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<OptimizerKind> {
    static CATALOG: OnceLock<Catalog<OptimizerKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            adafactor::OPTIMIZER,
            adagrad::OPTIMIZER,
            adam::OPTIMIZER,
            adam_8bit::OPTIMIZER,
            adamw::OPTIMIZER,
            adamw_8bit::OPTIMIZER,
            lamb::OPTIMIZER,
            lion::OPTIMIZER,
            lion_8bit::OPTIMIZER,
            muon::OPTIMIZER,
            nadam::OPTIMIZER,
            radam::OPTIMIZER,
            rmsprop::OPTIMIZER,
            schedule_free_adamw::OPTIMIZER,
            sgd::OPTIMIZER,
            sgd_8bit::OPTIMIZER,
        ])
    })
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::choose(standard(), &Choice::named("adamw"), "training.optimizer")
            .expect("all of its options have defaults")
    }
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
            ("rmsprop", json!({"alpha": 1.0}), "rmsprop: alpha is 0 to below 1, got 1"),
            ("adagrad", json!({"initial_sum": -1}), "adagrad: initial_sum is a finite number of 0 or more, got -1"),
            ("adafactor", json!({"beta2_decay": 0.1}), "adafactor: beta2_decay is between -1 and 0, got 0.1"),
            (
                "adafactor",
                json!({"clip_threshold": 0.5}),
                "adafactor: clip_threshold is a finite number of 1 or more, got 0.5",
            ),
            ("schedule_free_adamw", json!({"beta1": 0}), "schedule_free_adamw: beta1 is above 0 and below 1, got 0"),
            ("schedule_free_adamw", json!({"r": -1}), "schedule_free_adamw: r is a finite number of 0 or more, got -1"),
            ("adamw_8bit", json!({"beta2": 1}), "adamw_8bit: beta2 is 0 to below 1, got 1"),
            (
                "adamw_8bit",
                json!({"min_8bit_size": -1}),
                "adamw_8bit: min_8bit_size: wanted a whole number of 0 or more, got -1",
            ),
            (
                "sgd_8bit",
                json!({"momentum": 0}),
                "sgd_8bit: momentum is above 0, since nothing is remembered without it, got 0; use `sgd`",
            ),
            ("muon", json!({"newton_schulz_steps": 0}), "muon: newton_schulz_steps is between 1 and 99, got 0"),
            (
                "muon",
                json!({"scaling": "own"}),
                "muon: scaling: wanted one of `match_rms_adamw`, `original`, `spectral_unclamped`, got `own`",
            ),
        ] {
            assert_eq!(chosen(name, options).unwrap_err().to_string(), format!("training.optimizer.{message}"));
        }
        let unknown = chosen("rmsprob", json!({})).unwrap_err().to_string();
        assert_eq!(unknown, "training.optimizer: unknown optimizer `rmsprob`; did you mean `rmsprop`?");
    }
}
