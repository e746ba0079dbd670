use std::sync::Arc;

use millstream_schemas::TARGETS;
use millstream_schemas::choice::{Catalog, Choice, ChoiceError};
use serde::{Serialize, Serializer};

use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::LossKind;
use crate::CompilerError;
use crate::graph::{ElementType, Graph, TensorType, ValueId};

/// A loss that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Loss {
    choice: Choice,
    function: Arc<dyn LossFunction>,
}

impl Loss {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<LossKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// What the model's output is read as.
    pub fn reads(&self) -> PredictionKind {
        self.function.reads()
    }

    /// The type of the targets that it needs for a prediction of this type.
    ///
    /// # Errors
    /// It cannot be computed from such a prediction.
    pub fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        self.function.target(prediction)
    }

    /// Whether the weight of each row is an input of its own.
    pub fn takes_weights(&self) -> bool {
        self.function.takes_weights()
    }

    /// The class that does not count, where targets are numbers of classes.
    pub fn ignored_class(&self) -> Option<i64> {
        self.function.ignored_class()
    }

    /// Whether how many places of the prediction's second axis are each row's is an input of its own.
    pub fn takes_lengths(&self) -> bool {
        self.function.takes_lengths()
    }

    /// Version of the standard operators that a graph of the loss alone is written in.
    pub fn least_opset(&self) -> i64 {
        self.function.least_opset()
    }

    /// Adds the inputs `targets` and, where it takes them, `weights` and `lengths`.
    ///
    /// # Errors
    /// The prediction's type is not known, or is none that the loss can be computed from.
    pub fn inputs(&self, graph: &mut Graph, prediction: ValueId) -> Result<LossInputs, CompilerError> {
        let known = graph.known_type(prediction)?.clone();
        let targets = self.target(&known)?;
        let targets = graph.input(TARGETS, targets);
        let rows = TensorType { shape: known.shape.iter().take(1).cloned().collect(), ..known };
        let lengths = TensorType { dtype: ElementType::I64, ..rows.clone() };
        let weights = self.takes_weights().then(|| graph.input("weights", rows));
        let lengths = self.takes_lengths().then(|| graph.input("lengths", lengths));
        Ok(LossInputs { prediction, targets, weights, lengths })
    }

    /// Adds its nodes.
    ///
    /// # Errors
    /// An operator that it uses is missing in the graph's table.
    pub fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        self.function.nodes(graph, inputs)
    }

    /// Adds the nodes of the loss of each row, where it states them.
    ///
    /// # Errors
    /// An operator that it uses is missing in the graph's table.
    pub fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        self.function.row_nodes(graph, inputs)
    }

    /// Adds the nodes of its gradient by the prediction, where it states that itself.
    ///
    /// # Errors
    /// An operator that it uses is missing in the graph's table.
    pub fn gradient(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<ValueId>, CompilerError> {
        self.function.gradient(graph, inputs)
    }
}

impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
