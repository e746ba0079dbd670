//! Softmax cross-entropy with classes as numbers.

use millstream_schemas::choice::{Options, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cross_entropy::{of_probabilities, require_scores};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind};
use super::loss_kind::{Build, LossKind};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, TensorType};

pub(super) const LOSS: LossKind = LossKind {
    name: "sparse_cross_entropy",
    summary: "Softmax cross-entropy between scores and classes given as numbers.",
    documentation: "Targets are int64 numbers of classes: `[batch]` for scores `[batch, classes]`, `[batch, height, width]` \
        for scores `[batch, classes, height, width]`, a class for each pixel. With t the one-hot vector of a class it is \
        `cross_entropy`, so that all places count alike, whichever row they are in, and those whose class is \
        `ignore_index` do not (as in PyTorch's `CrossEntropyLoss`). A class that is neither that nor 0 to classes − 1 \
        makes the loss infinite, so that the run stops at its rows.",
    samples: &["{}", r#"{"ignore_index": 255}"#, r#"{"label_smoothing": 0.1}"#],
    build: Build::of::<SparseCrossEntropy>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SparseCrossEntropy {
    /// The class of places that do not count.
    ignore_index: i64,
    /// Share of the target probability spread evenly over all classes, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    label_smoothing: f64,
}

impl Default for SparseCrossEntropy {
    fn default() -> Self {
        Self { ignore_index: -100, label_smoothing: 0.0 }
    }
}

impl Options for SparseCrossEntropy {
    fn validate(&self) -> Result<(), String> {
        share("label_smoothing", self.label_smoothing)
    }
}

impl LossFunction for SparseCrossEntropy {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        require_scores(prediction)?;
        let mut shape = prediction.shape.clone();
        shape.remove(1);
        Ok(TensorType { dtype: ElementType::I64, shape })
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let scores = graph.shape(inputs.prediction)?;
        let (classes, further) = (scores[1].fixed(), scores.len() - 2);
        let classes = classes.ok_or_else(|| {
            CompilerError::setting("training.loss", "the number of classes is open; state its length in the model")
        })?;
        let mut shape = vec![classes];
        shape.extend(std::iter::repeat_n(1, further));
        let numbers: Vec<i64> = (0..classes as i64).collect();
        let numbers = graph.constant("classes", Constant::i64(shape, &numbers));
        let ignored = graph.constant("ignore_index", Constant::i64([], &[self.ignore_index]));
        let axis = graph.integers(&[1]);
        let column = graph.add("Unsqueeze", &[inputs.targets, axis], &[])?;
        let is_class = graph.add("Equal", &[column, numbers], &[])?;
        let is_ignored = graph.add("Equal", &[column, ignored], &[])?;
        let counts = graph.add("Not", &[is_ignored], &[])?;
        let is_target = graph.add("And", &[is_class, counts], &[])?;
        let targets = graph.cast(is_target, ElementType::F32)?;
        let LossNodes { loss, .. } = of_probabilities(graph, inputs.prediction, targets, self.label_smoothing as f32)?;
        // Σ over places of (counts − Σ targets) is 0 unless a class is out of range; log(1 − 0) is 0, log(1 − 1) is −∞.
        let counts = graph.cast(counts, ElementType::F32)?;
        let found = graph.reduce_sum(targets, &[1], true)?;
        let missing = graph.minus(counts, found)?;
        let one = graph.scalar(1.0);
        let found = graph.minus(one, missing)?;
        let penalty = graph.add("Log", &[found], &[])?;
        let axes: Vec<i64> = (0..further as i64 + 2).collect();
        let penalty = graph.reduce_sum(penalty, &axes, false)?;
        let loss = graph.minus(loss, penalty)?;
        let weight = graph.reduce_sum(counts, &axes, false)?;
        Ok(LossNodes { loss, weight: Some(weight) })
    }
}
