use millstream_schemas::TensorEntry;

use super::loss::Loss;
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};
use crate::operators::OperatorCatalog;
use crate::tensor_entry::tensor_entry;

/// A loss alone, compiled for predictions of one shape: what measures a model that comes from a file.
#[derive(Clone, Debug)]
pub struct LossProgram {
    /// ONNX bytes. Inputs: prediction, targets, then weights and lengths where there are any. Outputs: loss, then weight where there is
    /// one.
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
}

impl Loss {
    /// Compiles the loss alone, for predictions of this type.
    ///
    /// # Errors
    /// It cannot be computed from such a prediction.
    pub fn compile(&self, prediction: &TensorType, catalog: &OperatorCatalog) -> Result<LossProgram, CompilerError> {
        let mut graph = Graph::new(self.least_opset(), catalog.clone());
        let prediction = graph.input("prediction", prediction.clone());
        let inputs = self.inputs(&mut graph, prediction)?;
        let nodes = self.nodes(&mut graph, &inputs)?;
        let outputs: Vec<ValueId> = std::iter::once(nodes.loss).chain(nodes.weight).collect();
        graph.set_outputs(&outputs);
        let entry = |value| tensor_entry(&graph, value);
        Ok(LossProgram {
            prediction: entry(prediction),
            targets: entry(inputs.targets),
            weights: inputs.weights.map(entry),
            lengths: inputs.lengths.map(entry),
            loss: entry(nodes.loss),
            weight: nodes.weight.map(entry),
            model: graph.to_onnx("loss"),
        })
    }
}
