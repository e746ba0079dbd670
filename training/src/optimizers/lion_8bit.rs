//! Lion that remembers a quarter as much: its momentum in eight bits.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::eight_bits::EightBits;
use super::lion::Lion;
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "lion_8bit",
    summary: "Lion that remembers a quarter as much: its momentum in eight bits.",
    documentation: "Dettmers et al., \"8-bit Optimizers via Block-wise Quantization\" (2022), with the dynamic map of bitsandbytes, as `adamw_8bit` has it: each 256 \
        elements of m are codes of a byte times the largest of them. A step decodes them, goes as `lion` does, in floats, and codes the new \
        momentum anew. Parameters of fewer than `min_8bit_size` numbers are trained by Lion. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"min_8bit_size": 1}"#, r#"{"min_8bit_size": 40, "weight_decay": 0.1, "beta1": 0.95}"#],
    learning_rate: 1e-4,
    build: Build::of::<Lion8Bit>(),
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

impl UpdateRule for Lion8Bit {
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
