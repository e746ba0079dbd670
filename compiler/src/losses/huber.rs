//! Squared differences, and beyond a bound straight ones.

use millstream_schemas::choice::{Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{difference, mean_of_numbers, rows_of_numbers, target_of_numbers};
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "huber",
    summary: "Squared differences, and beyond `delta` straight ones.",
    documentation: "Huber, \"Robust Estimation of a Location Parameter\" (1964): with e = |prediction − target| and \
        δ = `delta`, e²/2 where e ≤ δ and δ·(e − δ/2) beyond; the mean over the numbers of a row, then over rows by \
        their weight. Under `ignore_padding` a place, the numbers along the last axis together, counts only \
        where its target is not all 0, and all that count do so alike. The metrics are `mse`, `mae` and `r2`.",
    samples: &["{}", r#"{"delta": 0.3}"#, r#"{"delta": 0.5, "ignore_padding": true}"#],
    build: Build::of::<Huber>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Huber {
    /// The difference from which on the loss is a straight line, above 0, in the unit of the targets.
    #[schemars(extend("exclusiveMinimum" = 0))]
    delta: f64,
    /// Whether places whose targets are all 0, as `boxes` fills rows up, do not count.
    ignore_padding: bool,
}

impl Default for Huber {
    fn default() -> Self {
        Self { delta: 1.0, ignore_padding: false }
    }
}

impl Options for Huber {
    fn validate(&self) -> Result<(), String> {
        above("delta", self.delta)
    }
}

impl LossFunction for Huber {
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
        let terms = self.terms(graph, inputs)?;
        mean_of_numbers(graph, terms, inputs, self.ignore_padding)
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let terms = self.terms(graph, inputs)?;
        rows_of_numbers(graph, terms, inputs, self.ignore_padding).map(Some)
    }
}

impl Huber {
    /// For each number.
    fn terms(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<ValueId, CompilerError> {
        let difference = difference(graph, inputs)?;
        let size = graph.add("Abs", &[difference], &[])?;
        // With c = min(e, δ) both pieces are c·(e − c/2).
        let delta = graph.scalar(self.delta as f32);
        let cut = graph.add("Min", &[size, delta], &[])?;
        let half = graph.scalar(0.5);
        let half = graph.times(cut, half)?;
        let rest = graph.minus(size, half)?;
        graph.times(cut, rest)
    }
}
