//! Adam that remembers a quarter as much: both moments in eight bits.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::eight_bits::EightBits;
use super::optimizer_kind::{Build, OptimizerKind};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adam_8bit",
    summary: "Adam that remembers a quarter as much: both moments in eight bits.",
    documentation: "Dettmers et al., \"8-bit Optimizers via Block-wise Quantization\" (2022), with the dynamic map of bitsandbytes, as `adamw_8bit` has it: each 256 \
        elements of m and of v are codes of a byte times the largest of them. A step decodes them, goes as `adam` does, in floats, and codes the \
        new moments anew. Parameters of fewer than `min_8bit_size` numbers are trained by Adam. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"min_8bit_size": 1}"#, r#"{"min_8bit_size": 40, "weight_decay": 0.1, "beta1": 0.8}"#],
    learning_rate: 1e-3,
    build: Build::from_options::<Adam8Bit, EightBits<Adam>>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Adam8Bit {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Added to the gradient, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// Parameters of fewer numbers keep a state of 32 bits.
    min_8bit_size: usize,
}

impl Default for Adam8Bit {
    fn default() -> Self {
        let Adam { beta1, beta2, epsilon, weight_decay, .. } = Adam::default();
        Self { beta1, beta2, epsilon, weight_decay, min_8bit_size: 4096 }
    }
}

impl Options for Adam8Bit {
    fn validate(&self) -> Result<(), String> {
        self.plain().validate()
    }
}

impl Adam8Bit {
    fn plain(&self) -> Adam {
        let Self { beta1, beta2, epsilon, weight_decay, .. } = *self;
        Adam { beta1, beta2, epsilon, weight_decay, amsgrad: false }
    }
}

impl From<Adam8Bit> for EightBits<Adam> {
    fn from(options: Adam8Bit) -> Self {
        Self { rule: options.plain(), min_8bit_size: options.min_8bit_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// The formula of `adam` in doubles, written down in Python by itself, whose memory is the nearest of the 256 numbers of
    /// `bitsandbytes.functional.create_dynamic_map` after each step.
    #[test]
    fn fifty_steps_are_those_of_the_formula_with_what_is_remembered_in_codes() {
        let options = Adam8Bit { min_8bit_size: 1, weight_decay: 0.1, ..Adam8Bit::default() };
        assert_trajectory(
            &EightBits::from(options),
            0.05,
            [
                0.3321406,
                0.029063781,
                -0.60162019,
                -0.86423292,
                -0.29462887,
                0.67849763,
                1.1615302,
                0.82544337,
                -0.18886662,
                -1.1493756,
                -1.1745613,
                -0.29916926,
                0.74465132,
                1.1644026,
                0.65023212,
                -0.36278117,
            ],
        );
        let options = Adam8Bit { min_8bit_size: 1, weight_decay: 0.0, beta1: 0.8, beta2: 0.9, ..Adam8Bit::default() };
        assert_trajectory(
            &EightBits::from(options),
            0.02,
            [
                0.85847872,
                0.37488779,
                -0.54873168,
                -1.0426984,
                -0.59142838,
                0.45657075,
                1.1113705,
                0.85529909,
                -0.14753507,
                -1.0780898,
                -1.0059443,
                -0.12975908,
                0.79031928,
                0.97483961,
                0.306655,
                -0.61328113,
            ],
        );
    }
}
