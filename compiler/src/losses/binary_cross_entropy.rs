//! Cross-entropy of labels that may hold together.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_weights;
use super::cross_entropy::require_scores;
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{row_mean, rows_of_mean};
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "binary_cross_entropy",
    summary: "Cross-entropy of labels that may hold together, each by itself.",
    documentation: "Several labels a row. Scores x `[batch, labels, …]` are those before any sigmoid: that of the model \
        stands behind them, and stays in the exported model; where it has the labels on another axis, for each token `[batch, \
        sequence, labels]` or each pixel, they are read as the second. Targets t of the same shape are 0, 1 or a share between, \
        as of `multi_label` or columns of `number`. With p = `pos_weight`, 1 each by itself: −(p·t·log σ(x) + (1 − t)·log(1 − σ(x))), as \
        PyTorch's `BCEWithLogitsLoss`; the mean over the numbers of a row, then over rows by their weight. Its figure is \
        the loss; the metrics `average_precision`, `brier`, `exact_match`, `f1`, `precision`, `recall` and `roc_auc` go with it, \
        and others of classes suppose that one class excludes the others.",
    samples: &["{}", r#"{"pos_weight": [2, 0.5, 1]}"#],
    build: Build::of::<BinaryCrossEntropy>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BinaryCrossEntropy {
    /// How much it counts that a label holds, for each label in order, 0 or more: above 1 fewer are missed, below 1 fewer
    /// are found wrongly. None for 1 each.
    pos_weight: Vec<f64>,
}

impl Options for BinaryCrossEntropy {
    fn validate(&self) -> Result<(), String> {
        class_weights::check("pos_weight", &self.pos_weight)
    }
}

impl LossFunction for BinaryCrossEntropy {
    fn reads(&self) -> PredictionKind {
        PredictionKind::LabelScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        require_scores(prediction)?;
        class_weights::require_one_each(LOSS.name, "pos_weight", &self.pos_weight, prediction)?;
        Ok(prediction.clone())
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

impl BinaryCrossEntropy {
    /// For each number.
    fn terms(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<ValueId, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        // −log σ(x) is softplus(−x), and −log(1 − σ(x)) is softplus(x).
        let negative = graph.add("Neg", &[prediction], &[])?;
        let if_it_holds = graph.add("Softplus", &[negative], &[])?;
        let if_not = graph.add("Softplus", &[prediction], &[])?;
        let holds = graph.times(targets, if_it_holds)?;
        let holds = class_weights::by_class(graph, holds, &self.pos_weight)?;
        let one = graph.scalar(1.0);
        let rest = graph.minus(one, targets)?;
        let not = graph.times(rest, if_not)?;
        graph.plus(holds, not)
    }
}
