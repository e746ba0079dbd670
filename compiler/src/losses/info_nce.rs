//! Cross-entropy between a row's vector and those of its batch.

use millstream_schemas::choice::{Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::embeddings::{RowPairs, normalized, products, vector, wrong_vectors};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind};
use super::loss_kind::{Build, LossKind};
use super::row_mean::mean_by_weight;
use crate::CompilerError;
use crate::graph::{ElementType, Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "info_nce",
    summary: "Finds the vectors that belong together among all of the batch.",
    documentation: "Targets are int64 `[batch]`, the group of each row, as of `category` with `as: group`; numbers that \
        all differ, as of `row_id`, make each row its own. For a prediction `[batch, 2, features]`, a question and an answer a row, with \
        s_ij = cos(question i, answer j)/τ, τ = `temperature`: the loss of row i is the mean over the answers p of its \
        group of −log(exp s_ip / Σ_j exp s_ij) (van den Oord et al., \"Representation Learning with Contrastive \
        Predictive Coding\", 2018); with `symmetric` half of it is of answers among questions (Radford et al., CLIP, \
        2021). For a prediction `[batch, features]` s_ij is between rows, a row is not compared with itself, and rows \
        alone in their group count only as what others are told from (Khosla et al., \"Supervised Contrastive \
        Learning\", 2020). The mean is over rows by their weight. The larger the batch, the harder the task. Its figure \
        is the loss.",
    samples: &["{}", r#"{"temperature": 0.5, "symmetric": true}"#],
    build: Build::of::<InfoNce>(),
};

/// What a score of a pair that is not to be looked at is lowered by.
const OUT_OF_SIGHT: f32 = 1e6;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct InfoNce {
    /// What cosines are divided by, above 0: the smaller, the more the nearest wrong vectors count.
    #[schemars(extend("exclusiveMinimum" = 0))]
    temperature: f64,
    /// Of two vectors a row, whether questions are found by answers too.
    symmetric: bool,
}

impl Default for InfoNce {
    fn default() -> Self {
        Self { temperature: 0.05, symmetric: false }
    }
}

impl Options for InfoNce {
    fn validate(&self) -> Result<(), String> {
        above("temperature", self.temperature)
    }
}

impl LossFunction for InfoNce {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Embeddings
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        match (prediction.dtype, prediction.shape.as_slice()) {
            (ElementType::F32, [rows, _]) => Ok(TensorType::new(ElementType::I64, [rows.clone()])),
            (ElementType::F32, [rows, pair, _]) if *pair == 2 => Ok(TensorType::new(ElementType::I64, [rows.clone()])),
            _ => Err(wrong_vectors("float32 [batch, features] or [batch, 2, features]", prediction)),
        }
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let is_pair = graph.shape(inputs.prediction)?.len() == 3;
        let vectors = normalized(graph, inputs.prediction)?;
        let (questions, answers) = match is_pair {
            true => (vector(graph, vectors, 0)?, vector(graph, vectors, 1)?),
            false => (vectors, vectors),
        };
        let cosines = products(graph, questions, answers)?;
        let temperature = graph.scalar(self.temperature as f32);
        let scores = graph.divided_by(cosines, temperature)?;
        let pairs = RowPairs::of(graph, inputs, is_pair)?;
        let (mut of_row, found) = of_rows(graph, scores, &pairs)?;
        if is_pair && self.symmetric {
            let turned = graph.transpose(scores, &[1, 0])?;
            let (of_answers, _) = of_rows(graph, turned, &pairs)?;
            let sum = graph.plus(of_row, of_answers)?;
            let half = graph.scalar(0.5);
            of_row = graph.times(sum, half)?;
        }
        let has_any = graph.add("Sign", &[found], &[])?;
        let weights = graph.times(inputs.weights()?, has_any)?;
        let (loss, weight) = mean_by_weight(graph, of_row, weights)?;
        Ok(LossNodes { loss, weight: Some(weight) })
    }
}

/// Of each row of scores `[batch, batch]` the mean of −log softmax over its positives, 0 where it has none, and how many
/// those are: `[batch]` each.
fn of_rows(graph: &mut Graph, scores: ValueId, pairs: &RowPairs) -> Result<(ValueId, ValueId), CompilerError> {
    let seen = graph.plus(pairs.alike, pairs.unlike)?;
    let (one, far) = (graph.scalar(1.0), graph.scalar(OUT_OF_SIGHT));
    let unseen = graph.minus(one, seen)?;
    let lowered = graph.times(unseen, far)?;
    let scores = graph.minus(scores, lowered)?;
    let log_probability = graph.add("LogSoftmax", &[scores], &[("axis", 1.into())])?;
    let agreement = graph.times(pairs.alike, log_probability)?;
    let sum = graph.reduce_sum(agreement, &[1], false)?;
    let found = graph.reduce_sum(pairs.alike, &[1], false)?;
    let least = graph.add("Max", &[found, one], &[])?;
    let mean = graph.divided_by(sum, least)?;
    Ok((graph.add("Neg", &[mean], &[])?, found))
}
