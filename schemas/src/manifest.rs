use serde::{Deserialize, Serialize};

/// Written as JSON beside each compiled training graph: what its inputs and outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingManifest {
    /// Version of this format; 1.
    pub version: u32,
    /// Rows in a batch; the graph's shapes are fixed to it.
    pub batch: usize,
    /// Inputs that come from the data, in graph order.
    pub inputs: Vec<TensorEntry>,
    /// The input for class probabilities, `[batch, classes]`.
    pub targets: TensorEntry,
    /// The scalar loss.
    pub loss: TensorEntry,
    /// The model's own output, `[batch, classes]`.
    pub logits: TensorEntry,
    /// What is trained; each is an input of the graph, and its gradient an output.
    pub parameters: Vec<ParameterEntry>,
}

/// A named tensor of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// Name in the graph.
    pub name: String,
    /// ONNX element type, for example `float32`.
    pub dtype: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
}

/// A tensor that training changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterEntry {
    /// Name of the graph input, and of the initializer in the exported model.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Graph output that holds its gradient.
    pub gradient: String,
    /// The layer it belongs to, as `inspect` names it.
    pub layer: String,
    /// Factor on the learning rate.
    pub learning_rate_multiplier: f32,
    /// Whether weight decay applies: true for weights of two axes or more, false for biases and scales.
    pub weight_decay: bool,
}
