//! Lion that remembers a quarter as much: its momentum in eight bits.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::eight_bits::EightBits;
use super::lion::Lion;
use super::optimizer_kind::{Build, OptimizerKind};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "lion_8bit",
    summary: "Lion that remembers a quarter as much: its momentum in eight bits.",
    documentation: "Dettmers et al., \"8-bit Optimizers via Block-wise Quantization\" (2022), with the dynamic map of bitsandbytes, as `adamw_8bit` has it: each 256 \
        elements of m are codes of a byte times the largest of them. A step decodes them, goes as `lion` does, in floats, and codes the new \
        momentum anew. Parameters of fewer than `min_8bit_size` numbers are trained by Lion. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"min_8bit_size": 1}"#, r#"{"min_8bit_size": 40, "weight_decay": 0.1, "beta1": 0.95}"#],
    learning_rate: 1e-4,
    build: Build::from_options::<Lion8Bit, EightBits<Lion>>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Lion8Bit {
    /// Share of the momentum in the direction of a step, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta1: f64,
    /// Decay of the momentum, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta2: f64,
    /// Pull towards zero, times the learning rate, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// Parameters of fewer numbers keep a state of 32 bits.
    min_8bit_size: usize,
}

impl Default for Lion8Bit {
    fn default() -> Self {
        let Lion { beta1, beta2, weight_decay } = Lion::default();
        Self { beta1, beta2, weight_decay, min_8bit_size: 4096 }
    }
}

impl Options for Lion8Bit {
    fn validate(&self) -> Result<(), String> {
        self.plain().validate()
    }
}

impl Lion8Bit {
    fn plain(&self) -> Lion {
        let Self { beta1, beta2, weight_decay, .. } = *self;
        Lion { beta1, beta2, weight_decay }
    }
}

impl From<Lion8Bit> for EightBits<Lion> {
    fn from(options: Lion8Bit) -> Self {
        Self { rule: options.plain(), min_8bit_size: options.min_8bit_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// The formula of `lion` in doubles, written down in Python by itself, whose memory is the nearest of the 256 numbers of
    /// `bitsandbytes.functional.create_dynamic_map` after each step.
    #[test]
    fn fifty_steps_are_those_of_the_formula_with_what_is_remembered_in_codes() {
        let options = Lion8Bit { min_8bit_size: 1, weight_decay: 0.1, ..Lion8Bit::default() };
        assert_trajectory(
            &EightBits::from(options),
            0.01,
            [
                0.82514293,
                0.39711901,
                -0.45444868,
                -0.94203348,
                -0.5246233,
                0.40552305,
                1.050311,
                0.73699505,
                -0.21609228,
                -1.0022565,
                -0.93476986,
                -0.093548633,
                0.84385396,
                1.0074468,
                0.27673722,
                -0.61968791,
            ],
        );
        let options = Lion8Bit { min_8bit_size: 1, beta1: 0.8, beta2: 0.9, ..Lion8Bit::default() };
        assert_trajectory(
            &EightBits::from(options),
            0.02,
            [
                0.82,
                0.38030231,
                -0.57614684,
                -1.1099925,
                -0.53364362,
                0.44366219,
                1.0801703,
                0.91390225,
                -0.18550003,
                -1.1111303,
                -0.99907153,
                -0.1955743,
                0.80385396,
                1.0274468,
                0.29673722,
                -0.55968791,
            ],
        );
    }
}
