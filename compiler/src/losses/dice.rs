//! How far two masks are from covering each other.

use millstream_schemas::choice::{Options, above, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_numbers::{self, ClassNumbers, IGNORE_INDEX, infinite_in_rows};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{mean_by_weight, rows_by_weight};
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "dice",
    summary: "How far predicted masks are from covering the true ones, class by class.",
    documentation: "Scores `[batch, classes, …]`, targets int64 `[batch, …]`, as for `sparse_cross_entropy`. Of a row \
        and a class, with p = softmax(scores) and t the one-hot targets, summed over the places that count: \
        D = 1 − (2·Σ p·t + ε)/(Σ p + Σ t + ε), ε = `smoothing` (Milletari et al., \"V-Net\", 2016, with sums in place of \
        squares, as MONAI's `DiceLoss`). A row's loss is the mean of D over its classes, plus `cross_entropy` times its \
        mean cross-entropy; the loss is the mean over the rows in which any place counts. Small classes count as much \
        as large ones. A class that is neither `ignore_index` nor 0 to classes − 1 makes the loss infinite. Its metric \
        is `mean_iou`; all others of classes go with it.",
    samples: &["{}", r#"{"smoothing": 0.01, "cross_entropy": 1}"#, r#"{"cross_entropy": 0.5, "ignore_index": 255}"#],
    build: Build::of::<Dice>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Dice {
    /// ε, above 0, in places: what keeps a class that is nowhere from being 0/0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    smoothing: f64,
    /// How much of the cross-entropy is added, 0 or more.
    #[schemars(range(min = 0))]
    cross_entropy: f64,
    /// The class of places that do not count.
    ignore_index: i64,
}

impl Default for Dice {
    fn default() -> Self {
        Self { smoothing: 1.0, cross_entropy: 0.0, ignore_index: IGNORE_INDEX }
    }
}

impl Options for Dice {
    fn validate(&self) -> Result<(), String> {
        above("smoothing", self.smoothing)?;
        at_least("cross_entropy", self.cross_entropy)
    }
}

impl LossFunction for Dice {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        if prediction.shape.len() == 2 {
            let message = format!(
                "the loss compares masks, float32 [batch, classes, places, …], and the prediction is {prediction}; for a \
                 class for each row choose `cross_entropy`"
            );
            return Err(CompilerError::setting("training.loss", message));
        }
        class_numbers::target(prediction)
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn ignored_class(&self) -> Option<i64> {
        Some(self.ignore_index)
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let Rows { of_row, is_there, numbers } = self.read(graph, inputs)?;
        let (mean, rows) = mean_by_weight(graph, of_row, is_there)?;
        Ok(LossNodes { loss: graph.plus(mean, numbers.penalty)?, weight: Some(rows) })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let Rows { of_row, is_there, numbers } = self.read(graph, inputs)?;
        let loss = rows_by_weight(graph, of_row, is_there)?;
        let penalty = infinite_in_rows(graph, numbers.missing)?;
        Ok(Some(RowLossNodes { loss: graph.plus(loss, penalty)?, weight: Some(is_there) }))
    }
}

/// What is known of each row.
struct Rows {
    /// Its loss, `[batch]`.
    of_row: ValueId,
    /// 1 where any place of it counts, otherwise 0, `[batch]`.
    is_there: ValueId,
    /// Its classes.
    numbers: ClassNumbers,
}

impl Dice {
    fn read(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Rows, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let numbers = ClassNumbers::read(graph, prediction, targets, self.ignore_index)?;
        let ClassNumbers { one_hot, counts, .. } = numbers;
        let places: Vec<i64> = (2..graph.shape(prediction)?.len() as i64).collect();
        let log_probability = graph.add("LogSoftmax", &[prediction], &[("axis", 1.into())])?;
        let probability = graph.add("Exp", &[log_probability], &[])?;
        let probability = graph.times(probability, counts)?;
        let both = graph.times(probability, one_hot)?;
        let both = graph.reduce_sum(both, &places, false)?;
        let [predicted, true_ones] = [probability, one_hot].map(|value| graph.reduce_sum(value, &places, false));
        let sum = graph.plus(predicted?, true_ones?)?;
        let (two, smoothing) = (graph.scalar(2.0), graph.scalar(self.smoothing as f32));
        let twice = graph.times(both, two)?;
        let (covered, of) = (graph.plus(twice, smoothing)?, graph.plus(sum, smoothing)?);
        let covered = graph.divided_by(covered, of)?;
        let one = graph.scalar(1.0);
        let apart = graph.minus(one, covered)?;
        let classes = graph.shape(apart)?[1].clone();
        let apart = graph.reduce_sum(apart, &[1], false)?;
        let share = graph.one_over(&classes)?;
        let mut of_row = graph.times(apart, share)?;
        let axes: Vec<i64> = [1].into_iter().chain(places).collect();
        let count = graph.reduce_sum(counts, &axes, false)?;
        if self.cross_entropy > 0.0 {
            let agreement = graph.times(one_hot, log_probability)?;
            let entropy = mean_of_rows(graph, agreement, count, &axes)?;
            let factor = graph.scalar(-self.cross_entropy as f32);
            let entropy = graph.times(entropy, factor)?;
            of_row = graph.plus(of_row, entropy)?;
        }
        let is_there = graph.add("Min", &[count, one], &[])?;
        Ok(Rows { of_row, is_there, numbers })
    }
}

/// Sums over `axes`, each divided by the count of its row, or by 1 where that is 0.
fn mean_of_rows(graph: &mut Graph, terms: ValueId, count: ValueId, axes: &[i64]) -> Result<ValueId, CompilerError> {
    let sum = graph.reduce_sum(terms, axes, false)?;
    let one = graph.scalar(1.0);
    let count = graph.add("Max", &[count, one], &[])?;
    graph.divided_by(sum, count)
}
