//! The angle between two vectors, which is to be small or large.

use millstream_schemas::choice::{Options, between};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::embeddings::{normalized, vector, wrong_vectors};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{row_mean, rows_of_mean};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "cosine_embedding",
    summary: "The angle between two vectors, small where they belong together.",
    documentation: "For a prediction `[batch, 2, features]`, two vectors a row, targets are float32 `[batch]`, 1 where \
        they belong together and −1, or 0, where not, as of `number` with `as: scalar`: the loss of a row is 1 − cos, or max(0, cos − `margin`), as of PyTorch's \
        `CosineEmbeddingLoss`. For a prediction `[batch, features]` targets are vectors of that shape, as of `vector`, for example those \
        of a larger model, and the loss of a row is 1 − cos between both. The mean is over rows by their weight. Its \
        figure is the loss.",
    samples: &["{}", r#"{"margin": 0.3}"#],
    build: Build::of::<CosineEmbedding>(),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CosineEmbedding {
    /// The cosine up to which vectors that do not belong together are far enough, −1 to 1.
    #[schemars(range(min = -1, max = 1))]
    margin: f64,
}

impl Options for CosineEmbedding {
    fn validate(&self) -> Result<(), String> {
        between("margin", self.margin, -1.0, 1.0)
    }
}

impl LossFunction for CosineEmbedding {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Embeddings
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        match (prediction.dtype, prediction.shape.as_slice()) {
            (ElementType::F32, [_, _]) => Ok(prediction.clone()),
            (ElementType::F32, [rows, pair, _]) if *pair == 2 => Ok(TensorType::f32([rows.clone()])),
            _ => Err(wrong_vectors("float32 [batch, 2, features] or [batch, features]", prediction)),
        }
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let terms = self.terms(graph, inputs)?;
        row_mean(graph, terms, inputs)
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let terms = self.terms(graph, inputs)?;
        rows_of_mean(graph, terms, inputs).map(Some)
    }
}

impl CosineEmbedding {
    /// For each row, `[batch]`.
    fn terms(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<ValueId, CompilerError> {
        let is_pair = graph.shape(inputs.prediction)?.len() == 3;
        let (one, other) = match is_pair {
            true => (vector(graph, inputs.prediction, 0)?, vector(graph, inputs.prediction, 1)?),
            false => (inputs.prediction, inputs.targets),
        };
        let (one, other) = (normalized(graph, one)?, normalized(graph, other)?);
        let product = graph.times(one, other)?;
        let cosine = graph.reduce_sum(product, &[1], false)?;
        let whole = graph.scalar(1.0);
        let apart = graph.minus(whole, cosine)?;
        if !is_pair {
            return Ok(apart);
        }
        let (margin, zero) = (graph.scalar(self.margin as f32), graph.scalar(0.0));
        let together = graph.minus(cosine, margin)?;
        let together = graph.add("Relu", &[together], &[])?;
        let belong = graph.add("Greater", &[inputs.targets, zero], &[])?;
        graph.add("Where", &[belong, apart, together], &[])
    }
}
