//! Softmax cross-entropy with classes as numbers.

use millstream_schemas::choice::{Options, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_numbers::{self, ClassNumbers, IGNORE_INDEX, infinite_in_rows, total};
use super::class_weights::{self, ClassWeights};
use super::cross_entropy::{of_probabilities, rows_of_probabilities};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::sums_of_rows;
use crate::CompilerError;
use crate::graph::{Graph, TensorType};

pub(super) const LOSS: LossKind = LossKind {
    name: "sparse_cross_entropy",
    summary: "Softmax cross-entropy between scores and classes given as numbers.",
    documentation: "Targets are int64 numbers of classes: `[batch]` for scores `[batch, classes]`, as of `class_label` with `as: index`, `[batch, height, \
        width]` for scores `[batch, classes, height, width]`, a class for each pixel, and `[batch, sequence]` for \
        scores of tokens, which models give as `[batch, sequence, classes]`. With t the one-hot vector of \
        a class it is `cross_entropy`, so that all places count alike, whichever row they are in, and those whose \
        class is `ignore_index` do not (as in PyTorch's `CrossEntropyLoss`). A class that is neither that nor 0 to \
        classes − 1 makes the loss infinite, so that the run stops at its rows. All metrics of classes go with it; of \
        masks, `mean_iou`.",
    samples: &[
        "{}",
        r#"{"ignore_index": 255}"#,
        r#"{"label_smoothing": 0.1}"#,
        r#"{"label_smoothing": 0.1, "class_weights": [1, 0.25, 2]}"#,
    ],
    build: Build::of::<SparseCrossEntropy>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SparseCrossEntropy {
    /// The class of places that do not count.
    ignore_index: i64,
    /// Share of the target probability spread evenly over all classes, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    label_smoothing: f64,
    /// How much each class counts, in their order, 0 or more; none for 1 each; `balanced` for rows / (classes · rows of the
    /// class), of the rows that are trained on.
    class_weights: ClassWeights,
}

impl Default for SparseCrossEntropy {
    fn default() -> Self {
        Self { ignore_index: IGNORE_INDEX, label_smoothing: 0.0, class_weights: ClassWeights::default() }
    }
}

impl Options for SparseCrossEntropy {
    fn validate(&self) -> Result<(), String> {
        share("label_smoothing", self.label_smoothing)?;
        self.class_weights.check("class_weights")
    }
}

impl LossFunction for SparseCrossEntropy {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        let target = class_numbers::target(prediction)?;
        self.class_weights.require_one_each(LOSS.name, "class_weights", prediction)?;
        Ok(target)
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn ignored_class(&self) -> Option<i64> {
        Some(self.ignore_index)
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let numbers = ClassNumbers::read(graph, prediction, targets, self.ignore_index)?;
        let smoothing = self.label_smoothing as f32;
        let nodes = of_probabilities(graph, prediction, numbers.one_hot, smoothing, self.class_weights.factors())?;
        let counted = if self.class_weights.is_none() { numbers.counts } else { numbers.one_hot };
        let counted = class_weights::by_class(graph, counted, self.class_weights.factors())?;
        let weight = Some(total(graph, counted)?);
        Ok(LossNodes { loss: graph.plus(nodes.loss, numbers.penalty)?, weight })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let numbers = ClassNumbers::read(graph, prediction, targets, self.ignore_index)?;
        let (smoothing, factors) = (self.label_smoothing as f32, self.class_weights.factors());
        let rows = rows_of_probabilities(graph, prediction, numbers.one_hot, smoothing, factors)?;
        let counted = if self.class_weights.is_none() { numbers.counts } else { numbers.one_hot };
        let counted = class_weights::by_class(graph, counted, factors)?;
        let weight = Some(sums_of_rows(graph, counted)?);
        let penalty = infinite_in_rows(graph, numbers.missing)?;
        Ok(Some(RowLossNodes { loss: graph.plus(rows.loss, penalty)?, weight }))
    }
}
