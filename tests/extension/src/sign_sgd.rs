//! An optimizer.

use millstream::compiler::CompilerError;
use millstream::compiler::graph::{Graph, ValueId};
use millstream::schemas::choice::{Options, between};
use millstream::training::optimizers::{
    self, NodeInputs, OptimizerKind, ParameterFacts, StateTensor, StateValues, UpdateRule,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const SIGN_SGD: OptimizerKind = OptimizerKind {
    name: "sign_sgd",
    summary: "Steps of one length along the sign of the gradient.",
    documentation: "Bernstein et al. (2018): θ ← θ − η·sign(g), and nothing where |g| is below `threshold`.",
    samples: &["{}", r#"{"threshold": 0.001}"#],
    learning_rate: 1e-3,
    build: optimizers::Build::of::<SignSgd>(),
};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SignSgd {
    /// Smaller gradients move nothing, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    threshold: f64,
}

impl Options for SignSgd {
    fn validate(&self) -> Result<(), String> {
        between("threshold", self.threshold, 0.0, 1.0)
    }
}

impl UpdateRule for SignSgd {
    fn state(&self, _: ParameterFacts<'_>) -> Vec<StateTensor> {
        Vec::new()
    }

    fn coefficients(&self, _step: u64, learning_rate: f32) -> Vec<f32> {
        vec![learning_rate]
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        _: &mut [StateValues],
    ) {
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        for (value, gradient) in parameter.iter_mut().zip(gradient) {
            let gradient = gradient * scale;
            if gradient.abs() > self.threshold as f32 {
                *value -= rate * gradient.signum();
            }
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let sign = graph.add("Sign", &[inputs.gradient], &[])?;
        let change = graph.times(sign, inputs.coefficients[0])?;
        Ok((graph.minus(inputs.parameter, change)?, Vec::new()))
    }
}
