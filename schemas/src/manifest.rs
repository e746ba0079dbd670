use serde::{Deserialize, Serialize};

/// Written as JSON beside each compiled training graph: what its inputs and outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingManifest {
    /// Version of this format; 2. (Version 1 had one entry `targets`, and `logits` for `prediction`.)
    pub version: u32,
    /// Rows in a batch; the graph's shapes are fixed to it.
    pub batch: usize,
    /// Inputs that come from the data, in graph order.
    pub inputs: Vec<TensorEntry>,
    /// Inputs that the loss compares the prediction with.
    pub targets: Vec<TensorEntry>,
    /// The input for the weight of each row in the loss, `[batch]`, where the loss takes it: 0 leaves a row out. Otherwise a
    /// row of the targets sums to its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<TensorEntry>,
    /// The scalar loss.
    pub loss: TensorEntry,
    /// The model's own output: scores `[batch, classes, …]`, or numbers.
    pub prediction: TensorEntry,
    /// What the loss is a mean over, a scalar output, where that is not the sum of the rows' weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<TensorEntry>,
    /// What is trained; each is an input of the graph, and its gradient an output.
    pub parameters: Vec<ParameterEntry>,
}

impl TrainingManifest {
    /// The version that this build writes.
    pub const VERSION: u32 = 2;
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
