//! A loss.

use millstream::compiler::CompilerError;
use millstream::compiler::graph::{Graph, TensorType};
use millstream::compiler::losses::{self, LossFunction, LossInputs, LossKind, LossNodes, PredictionKind};
use millstream::schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const BRIER: LossKind = LossKind {
    name: "brier",
    summary: "The squared distance between probabilities.",
    documentation: "Brier (1950): Σ (softmax(scores) − t)^2 / Σ w, for distributions t that sum to w = 1, times `factor`.",
    samples: &["{}", r#"{"factor": 0.5}"#],
    build: losses::Build::of::<Brier>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Brier {
    /// What the distance is multiplied with, 0 to 10.
    #[schemars(range(min = 0, max = 10))]
    factor: f64,
}

impl Default for Brier {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

impl Options for Brier {
    fn validate(&self) -> Result<(), String> {
        between("factor", self.factor, 0.0, 10.0)
    }
}

impl LossFunction for Brier {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        Ok(prediction.clone())
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let probability = graph.add("Softmax", &[inputs.prediction], &[("axis", 1.into())])?;
        let weight = graph.reduce_sum(inputs.targets, &[1], true)?;
        let off = graph.minus(probability, inputs.targets)?;
        let square = graph.times(off, off)?;
        let square = graph.times(square, weight)?;
        let sum = graph.reduce_sum(square, &[0, 1], false)?;
        let weight = graph.reduce_sum(weight, &[0, 1], false)?;
        let least = graph.scalar(1e-12);
        let weight = graph.add("Max", &[weight, least], &[])?;
        let mean = graph.divided_by(sum, weight)?;
        let factor = graph.scalar(self.factor as f32);
        Ok(LossNodes { loss: graph.times(mean, factor)?, weight: None })
    }
}
