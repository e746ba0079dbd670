//! The mean of the squared differences.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{difference, row_mean, same_as_prediction};
use crate::CompilerError;
use crate::graph::{Graph, TensorType};

pub(super) const LOSS: LossKind = LossKind {
    name: "mse",
    summary: "The mean of the squared differences.",
    documentation: "Σ_rows w·mean((prediction − target)²) / Σ w: the mean over the numbers of a row, then over \
        rows by their weight w.",
    samples: &["{}"],
    build: Build::of::<Mse>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mse {}

impl Options for Mse {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl LossFunction for Mse {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        same_as_prediction(prediction)
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let difference = difference(graph, inputs)?;
        let terms = graph.times(difference, difference)?;
        row_mean(graph, terms, inputs)
    }
}
