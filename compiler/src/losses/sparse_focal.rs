//! The focal loss with classes as numbers.

use millstream_schemas::choice::{Options, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_numbers::{self, ClassNumbers, IGNORE_INDEX, infinite_in_rows, total};
use super::class_weights::ClassWeights;
use super::focal::{focal, focal_of_rows};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::sums_of_rows;
use crate::CompilerError;
use crate::graph::{Graph, TensorType};

pub(super) const LOSS: LossKind = LossKind {
    name: "sparse_focal",
    summary: "The focal loss between scores and classes given as numbers.",
    documentation: "Targets are int64 numbers of classes as for `sparse_cross_entropy`, one for each row, pixel or \
        token. With t the one-hot vector of a class it is `focal`: the mean over the places that count, which those \
        of the class `ignore_index` do not. A class that is neither that nor 0 to classes − 1 makes the loss \
        infinite, so that the run stops at its rows. All metrics of classes go with it; of masks, `mean_iou`.",
    samples: &["{}", r#"{"gamma": 0, "ignore_index": 255}"#, r#"{"gamma": 0.5, "alpha": [0.75, 0.25, 1]}"#],
    build: Build::of::<SparseFocal>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SparseFocal {
    /// How much less well known places count; 0 for not at all.
    #[schemars(range(min = 0))]
    gamma: f64,
    /// Factor of each class, in their order; none for 1 each; `balanced` for rows / (classes · rows of the class), of the rows
    /// that are trained on.
    alpha: ClassWeights,
    /// The class of places that do not count.
    ignore_index: i64,
}

impl Default for SparseFocal {
    fn default() -> Self {
        Self { gamma: 2.0, alpha: ClassWeights::default(), ignore_index: IGNORE_INDEX }
    }
}

impl Options for SparseFocal {
    fn validate(&self) -> Result<(), String> {
        at_least("gamma", self.gamma)?;
        self.alpha.check("alpha")
    }
}

impl LossFunction for SparseFocal {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        let target = class_numbers::target(prediction)?;
        self.alpha.require_one_each(LOSS.name, "alpha", prediction)?;
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
        let (loss, _) = focal(graph, prediction, numbers.one_hot, self.gamma as f32, self.alpha.factors())?;
        let weight = Some(total(graph, numbers.counts)?);
        Ok(LossNodes { loss: graph.plus(loss, numbers.penalty)?, weight })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let numbers = ClassNumbers::read(graph, prediction, targets, self.ignore_index)?;
        let (gamma, alpha) = (self.gamma as f32, self.alpha.factors());
        let (loss, _) = focal_of_rows(graph, prediction, numbers.one_hot, gamma, alpha)?;
        let weight = Some(sums_of_rows(graph, numbers.counts)?);
        let penalty = infinite_in_rows(graph, numbers.missing)?;
        Ok(Some(RowLossNodes { loss: graph.plus(loss, penalty)?, weight }))
    }
}
