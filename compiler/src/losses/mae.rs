//! The mean of the absolute differences.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{difference, mean_of_numbers, rows_of_numbers, target_of_numbers};
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "mae",
    summary: "The mean of the absolute differences.",
    documentation: "Σ_rows w·mean(|prediction − target|) / Σ w: the mean over the numbers of a row, then over rows \
        by their weight w. The slope at a difference of 0 is taken as 0. Under `ignore_padding` a place, the numbers along the last axis together, counts only \
        where its target is not all 0, and all that count do so alike. The metrics are `mse`, `mae` and `r2`.",
    samples: &["{}", r#"{"ignore_padding": true}"#],
    build: Build::of::<Mae>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mae {
    /// Whether places whose targets are all 0, as `boxes` fills rows up, do not count.
    ignore_padding: bool,
}

impl Options for Mae {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl LossFunction for Mae {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Numbers
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        target_of_numbers(prediction, self.ignore_padding)
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let terms = terms(graph, inputs)?;
        mean_of_numbers(graph, terms, inputs, self.ignore_padding)
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let terms = terms(graph, inputs)?;
        rows_of_numbers(graph, terms, inputs, self.ignore_padding).map(Some)
    }
}

/// For each number.
fn terms(graph: &mut Graph, inputs: &LossInputs) -> Result<ValueId, CompilerError> {
    let difference = difference(graph, inputs)?;
    graph.add("Abs", &[difference], &[])
}
