//! Vectors of one group nearer to each other than to those of others.

use millstream_schemas::choice::{Options, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::embeddings::{RowPairs, normalized, products, vector, wrong_vectors};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{divided_by_weight, mean_by_weight, row_mean, rows_of_mean};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "triplet",
    summary: "Vectors of one group are to be nearer to each other than to those of others, by a margin.",
    documentation: "Prediction `[batch, features]`, targets int64 `[batch]`, the group of each row, as of `category` with \
        `as: group`. A triplet is a row a, another row p of its group and a row n of another group of the batch, and its \
        loss is max(0, d(a, p) − d(a, n) + `margin`), as of PyTorch's `TripletMarginLoss`. Under `mining: all` the loss \
        is the mean over all triplets, under `hard` the mean over the rows a that are in any, each with its farthest p \
        and nearest n (Hermans et al., \"In Defense of the Triplet Loss\", 2017), by the weight of a. A batch should hold \
        several rows of each group. For a prediction `[batch, 3, features]`, a, p and n of each row, the loss is the mean over rows by their \
        weight; there is nothing to mine, and the targets are not looked at: those of `row_id` will do. Its figure is the loss.",
    samples: &[r#"{"margin": 1}"#, r#"{"mining": "all", "margin": 0.7}"#, r#"{"distance": "cosine", "margin": 0.4}"#],
    build: Build::of::<Triplet>(),
};

/// What squared distances are at least: a root has no slope at 0.
const LEAST_SQUARE: f32 = 1e-12;
/// Farther than any distance.
const FAR: f32 = 1e6;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Triplet {
    /// How much nearer, 0 or more, in the unit of the distance.
    #[schemars(range(min = 0))]
    margin: f64,
    /// What distance is between two vectors.
    distance: Distance,
    /// Which triplets of a batch are looked at.
    mining: Mining,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Distance {
    /// The length of their difference.
    #[default]
    Euclidean,
    /// 1 less the cosine between them.
    Cosine,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mining {
    /// The hardest of each row.
    #[default]
    Hard,
    /// All: memory grows with the third power of the batch.
    All,
}

impl Default for Triplet {
    fn default() -> Self {
        Self { margin: 1.0, distance: Distance::default(), mining: Mining::default() }
    }
}

impl Options for Triplet {
    fn validate(&self) -> Result<(), String> {
        at_least("margin", self.margin)
    }
}

impl LossFunction for Triplet {
    fn reads(&self) -> PredictionKind {
        PredictionKind::Embeddings
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        match (prediction.dtype, prediction.shape.as_slice()) {
            (ElementType::F32, [rows, _]) => Ok(TensorType::new(ElementType::I64, [rows.clone()])),
            (ElementType::F32, [rows, three, _]) if *three == 3 => {
                Ok(TensorType::new(ElementType::I64, [rows.clone()]))
            }
            _ => Err(wrong_vectors("float32 [batch, features] or [batch, 3, features]", prediction)),
        }
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        if graph.shape(inputs.prediction)?.len() == 3 {
            let terms = self.of_rows(graph, inputs)?;
            return row_mean(graph, terms, inputs);
        }
        let distances = self.distance.between_rows(graph, inputs.prediction)?;
        let pairs = RowPairs::of(graph, inputs, false)?;
        let margin = graph.scalar(self.margin as f32);
        match self.mining {
            Mining::Hard => hard(graph, inputs, distances, &pairs, margin),
            Mining::All => all(graph, inputs, distances, &pairs, margin),
        }
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        if graph.shape(inputs.prediction)?.len() != 3 {
            return Ok(None);
        }
        let terms = self.of_rows(graph, inputs)?;
        rows_of_mean(graph, terms, inputs).map(Some)
    }
}

impl Triplet {
    /// Each row is a triplet: its loss, `[batch]`.
    fn of_rows(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<ValueId, CompilerError> {
        let anchor = vector(graph, inputs.prediction, 0)?;
        let [to_positive, to_negative] = [1, 2].map(|at| {
            let other = vector(graph, inputs.prediction, at)?;
            self.distance.between(graph, anchor, other)
        });
        let (to_positive, to_negative, margin) = (to_positive?, to_negative?, graph.scalar(self.margin as f32));
        let apart = graph.minus(to_positive, to_negative)?;
        let apart = graph.plus(apart, margin)?;
        graph.add("Relu", &[apart], &[])
    }
}

impl Distance {
    /// Of two vectors of each row, `[batch]`.
    fn between(self, graph: &mut Graph, one: ValueId, other: ValueId) -> Result<ValueId, CompilerError> {
        if self == Self::Cosine {
            let (one, other) = (normalized(graph, one)?, normalized(graph, other)?);
            let product = graph.times(one, other)?;
            let (whole, cosine) = (graph.scalar(1.0), graph.reduce_sum(product, &[1], false)?);
            return graph.minus(whole, cosine);
        }
        let difference = graph.minus(one, other)?;
        let squares = graph.times(difference, difference)?;
        let square = graph.reduce_sum(squares, &[1], false)?;
        let least = graph.scalar(LEAST_SQUARE);
        let square = graph.add("Max", &[square, least], &[])?;
        graph.add("Sqrt", &[square], &[])
    }

    /// `[batch, batch]`.
    fn between_rows(self, graph: &mut Graph, vectors: ValueId) -> Result<ValueId, CompilerError> {
        if self == Self::Cosine {
            let unit = normalized(graph, vectors)?;
            let (one, cosines) = (graph.scalar(1.0), products(graph, unit, unit)?);
            return graph.minus(one, cosines);
        }
        // |a − b|² = |a|² − 2·a·b + |b|²
        let squares = graph.times(vectors, vectors)?;
        let down = graph.reduce_sum(squares, &[1], true)?;
        let across = graph.transpose(down, &[1, 0])?;
        let both = graph.plus(down, across)?;
        let product = products(graph, vectors, vectors)?;
        let two = graph.scalar(2.0);
        let twice = graph.times(product, two)?;
        let square = graph.minus(both, twice)?;
        let least = graph.scalar(LEAST_SQUARE);
        let square = graph.add("Max", &[square, least], &[])?;
        graph.add("Sqrt", &[square], &[])
    }
}

fn hard(
    graph: &mut Graph,
    inputs: &LossInputs,
    distances: ValueId,
    pairs: &RowPairs,
    margin: ValueId,
) -> Result<LossNodes, CompilerError> {
    let (one, far) = (graph.scalar(1.0), graph.scalar(FAR));
    let positives = graph.times(distances, pairs.alike)?;
    let farthest = graph.reduce_max(positives, &[1], false)?;
    let no_negative = graph.minus(one, pairs.unlike)?;
    let shift = graph.times(no_negative, far)?;
    let negatives = graph.plus(distances, shift)?;
    let nearness = graph.add("Neg", &[negatives], &[])?;
    let nearness = graph.reduce_max(nearness, &[1], false)?;
    let apart = graph.plus(farthest, nearness)?;
    let apart = graph.plus(apart, margin)?;
    let terms = graph.add("Relu", &[apart], &[])?;
    let [positives, negatives] = [pairs.alike, pairs.unlike].map(|some| graph.reduce_max(some, &[1], false));
    let is_in_any = graph.times(positives?, negatives?)?;
    let weights = graph.times(inputs.weights()?, is_in_any)?;
    let (loss, weight) = mean_by_weight(graph, terms, weights)?;
    Ok(LossNodes { loss, weight: Some(weight) })
}

fn all(
    graph: &mut Graph,
    inputs: &LossInputs,
    distances: ValueId,
    pairs: &RowPairs,
    margin: ValueId,
) -> Result<LossNodes, CompilerError> {
    let (second, third) = (graph.integers(&[1]), graph.integers(&[2]));
    let mut spread = |value: ValueId, axis: ValueId| graph.add("Unsqueeze", &[value, axis], &[]);
    let (positive, negative) = (spread(distances, third)?, spread(distances, second)?);
    let (alike, unlike) = (spread(pairs.alike, third)?, spread(pairs.unlike, second)?);
    let apart = graph.minus(positive, negative)?;
    let apart = graph.plus(apart, margin)?;
    let terms = graph.add("Relu", &[apart], &[])?;
    let is_triplet = graph.times(alike, unlike)?;
    let terms = graph.times(terms, is_triplet)?;
    let [terms, triplets] = [terms, is_triplet].map(|value| graph.reduce_sum(value, &[1, 2], false));
    let (terms, triplets, weights) = (terms?, triplets?, inputs.weights()?);
    let [terms, triplets] = [terms, triplets].map(|of_row| graph.times(of_row, weights));
    let [sum, weight] = [terms?, triplets?].map(|of_row| graph.reduce_sum(of_row, &[0], false));
    let (sum, weight) = (sum?, weight?);
    Ok(LossNodes { loss: divided_by_weight(graph, sum, weight)?, weight: Some(weight) })
}
