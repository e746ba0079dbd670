//! Stochastic gradient descent whose momentum is remembered in eight bits.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::eight_bits::EightBits;
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::sgd::Sgd;
use super::state_values::StateValues;

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "sgd_8bit",
    summary: "Stochastic gradient descent whose momentum is remembered in eight bits.",
    documentation: "Dettmers et al., \"8-bit Optimizers via Block-wise Quantization\" (2022), with the dynamic map of bitsandbytes, as `adamw_8bit` has it: each 256 \
        elements of b are codes of a byte times the largest of them. A step decodes them, goes as `sgd` does, in floats, and codes the new \
        momentum anew. Parameters of fewer than `min_8bit_size` numbers are trained by SGD. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"min_8bit_size": 1}"#, r#"{"min_8bit_size": 40, "weight_decay": 0.1, "nesterov": true}"#],
    learning_rate: 1e-2,
    build: Build::of::<Sgd8Bit>(),
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

impl UpdateRule for Sgd8Bit {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        EightBits { rule: &self.plain(), least: self.min_8bit_size }.state(facts)
    }

    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        self.plain().coefficients(step, learning_rate)
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [StateValues],
    ) {
        let eight_bits = EightBits { rule: &self.plain(), least: self.min_8bit_size };
        eight_bits.update(coefficients, facts, scale, parameter, gradient, state);
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        EightBits { rule: &self.plain(), least: self.min_8bit_size }.nodes(graph, inputs)
    }
}
