//! Stochastic gradient descent whose momentum is remembered in eight bits.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::eight_bits::EightBits;
use super::optimizer_kind::{Build, OptimizerKind};
use super::sgd::Sgd;

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "sgd_8bit",
    summary: "Stochastic gradient descent whose momentum is remembered in eight bits.",
    documentation: "Dettmers et al., \"8-bit Optimizers via Block-wise Quantization\" (2022), with the dynamic map of bitsandbytes, as `adamw_8bit` has it: each 256 \
        elements of b are codes of a byte times the largest of them. A step decodes them, goes as `sgd` does, in floats, and codes the new \
        momentum anew. Parameters of fewer than `min_8bit_size` numbers are trained by SGD. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"min_8bit_size": 1}"#, r#"{"min_8bit_size": 40, "weight_decay": 0.1, "nesterov": true}"#],
    learning_rate: 1e-2,
    build: Build::from_options::<Sgd8Bit, EightBits<Sgd>>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Sgd8Bit {
    /// Share of the last step that is kept, above 0 and below 1: without it nothing is remembered.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    momentum: f64,
    /// Look ahead by the momentum (Nesterov).
    nesterov: bool,
    /// Added to the gradient, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// Parameters of fewer numbers keep a state of 32 bits.
    min_8bit_size: usize,
}

impl Default for Sgd8Bit {
    fn default() -> Self {
        let Sgd { momentum, nesterov, weight_decay } = Sgd::default();
        Self { momentum, nesterov, weight_decay, min_8bit_size: 4096 }
    }
}

impl Options for Sgd8Bit {
    fn validate(&self) -> Result<(), String> {
        if self.momentum == 0.0 {
            return Err("momentum is above 0, since nothing is remembered without it, got 0; use `sgd`".into());
        }
        self.plain().validate()
    }
}

impl Sgd8Bit {
    fn plain(&self) -> Sgd {
        let Self { momentum, nesterov, weight_decay, .. } = *self;
        Sgd { momentum, nesterov, weight_decay }
    }
}

impl From<Sgd8Bit> for EightBits<Sgd> {
    fn from(options: Sgd8Bit) -> Self {
        Self { rule: options.plain(), min_8bit_size: options.min_8bit_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// The formula of `sgd` in doubles, written down in Python by itself, whose memory is the nearest of the 256 numbers of
    /// `bitsandbytes.functional.create_dynamic_map` after each step.
    #[test]
    fn fifty_steps_are_those_of_the_formula_with_what_is_remembered_in_codes() {
        let options = Sgd8Bit { min_8bit_size: 1, weight_decay: 0.1, ..Sgd8Bit::default() };
        assert_trajectory(
            &EightBits::from(options),
            0.01,
            [
                0.45543205,
                0.083775099,
                -0.4543194,
                -0.64264564,
                -0.23454049,
                0.54161281,
                0.95662996,
                0.64650014,
                -0.211638,
                -0.99458115,
                -1.0506184,
                -0.3672298,
                0.86493447,
                1.4074601,
                0.90616323,
                -0.1226746,
            ],
        );
        let options = Sgd8Bit { min_8bit_size: 1, momentum: 0.8, nesterov: true, ..Sgd8Bit::default() };
        assert_trajectory(
            &EightBits::from(options),
            0.02,
            [
                0.65327146,
                0.050285591,
                -0.797256,
                -1.0329306,
                -0.31068385,
                0.93026581,
                1.6028415,
                1.0884568,
                -0.3579285,
                -1.604853,
                -1.7335917,
                -0.67686872,
                0.76902687,
                1.491244,
                1.158146,
                0.20896249,
            ],
        );
    }
}
