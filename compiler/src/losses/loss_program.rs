use millstream_schemas::TensorEntry;

use super::loss::Loss;
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};
use crate::operators::OperatorCatalog;
use crate::tensor_entry::tensor_entry;

/// A loss alone, compiled for predictions of one shape: what measures a model that comes from a file.
#[derive(Clone, Debug)]
pub struct LossProgram {
    /// ONNX bytes. Inputs: prediction, targets, then weights and lengths where there are any. Outputs: loss, then weight, the losses of
    /// the rows and their weights, where there are any.
    pub model: Vec<u8>,
    /// The model's output.
    pub prediction: TensorEntry,
    /// What it is compared with.
    pub targets: TensorEntry,
    /// Weight of each row, where the loss takes it.
    pub weights: Option<TensorEntry>,
    /// How many places of the prediction's second axis are each row's, where the loss takes it.
    pub lengths: Option<TensorEntry>,
    /// The scalar loss.
    pub loss: TensorEntry,
    /// What the loss is a mean over, where that is not the sum of the rows' weights.
    pub weight: Option<TensorEntry>,
    /// The loss of each row by itself, float32 `[batch]`, where that was asked for and the loss states it.
    pub row_losses: Option<TensorEntry>,
    /// What counts of each row, float32 `[batch]`, where that is not its weight.
    pub row_weights: Option<TensorEntry>,
}

impl Loss {
    /// Compiles the loss alone, for predictions of this type.
    ///
    /// # Errors
    /// It cannot be computed from such a prediction.
    pub fn compile(&self, prediction: &TensorType, catalog: &OperatorCatalog) -> Result<LossProgram, CompilerError> {
        self.program(prediction, catalog, false)
    }

    /// As [`Loss::compile`], with the loss of each row where the loss states it.
    ///
    /// # Errors
    /// As [`Loss::compile`].
    pub fn compile_with_rows(
        &self,
        prediction: &TensorType,
        catalog: &OperatorCatalog,
    ) -> Result<LossProgram, CompilerError> {
        self.program(prediction, catalog, true)
    }

    fn program(
        &self,
        prediction: &TensorType,
        catalog: &OperatorCatalog,
        with_rows: bool,
    ) -> Result<LossProgram, CompilerError> {
        let mut graph = Graph::new(self.least_opset(), catalog.clone());
        let prediction = graph.input("prediction", prediction.clone());
        let inputs = self.inputs(&mut graph, prediction)?;
        let nodes = self.nodes(&mut graph, &inputs)?;
        let rows = if with_rows { self.row_nodes(&mut graph, &inputs)? } else { None };
        let (row_losses, row_weights) = (rows.map(|rows| rows.loss), rows.and_then(|rows| rows.weight));
        let outputs: Vec<ValueId> =
            std::iter::once(nodes.loss).chain(nodes.weight).chain(row_losses).chain(row_weights).collect();
        graph.set_outputs(&outputs);
        let entry = |value| tensor_entry(&graph, value);
        Ok(LossProgram {
            prediction: entry(prediction),
            targets: entry(inputs.targets),
            weights: inputs.weights.map(entry),
            lengths: inputs.lengths.map(entry),
            loss: entry(nodes.loss),
            weight: nodes.weight.map(entry),
            row_losses: row_losses.map(entry),
            row_weights: row_weights.map(entry),
            model: graph.to_onnx("loss"),
        })
    }
}
