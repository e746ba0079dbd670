use serde::{Deserialize, Serialize};

use crate::shown;

/// Written as JSON beside each compiled training graph: what its inputs and outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingManifest {
    /// Version of this format; 2. (Version 1 had one entry `targets`, and `logits` for `prediction`.)
    pub version: u32,
    /// Rows in a batch; a name where the graph takes any number.
    pub batch: AxisLength,
    /// Inputs that come from the data, in graph order.
    pub inputs: Vec<TensorEntry>,
    /// Inputs that the loss compares the prediction with.
    pub targets: Vec<TensorEntry>,
    /// The input for the weight of each row in the loss, `[batch]`, where the loss takes it: 0 leaves a row out. Otherwise a
    /// row of the targets sums to its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<TensorEntry>,
    /// The input for how many places of the prediction's second axis, that of a sequence, are each row's, int64 `[batch]`, where the
    /// loss takes it: what is behind counts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<TensorEntry>,
    /// The scalar loss.
    pub loss: TensorEntry,
    /// The model's own output: scores `[batch, classes, …]`, or numbers.
    pub prediction: TensorEntry,
    /// What the loss is a mean over, a scalar output, where that is not the sum of the rows' weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<TensorEntry>,
    /// What the training step leaves out at random: inputs of it alone, behind the parameters, to be drawn anew for each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<MaskEntry>,
    /// The scalar input of the training step that its loss is multiplied by for the gradients, and these are divided by again:
    /// a power of two, where they are computed in float16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<TensorEntry>,
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
    pub shape: Vec<AxisLength>,
}

impl TensorEntry {
    /// The lengths of its axes, where all are numbers.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(AxisLength::fixed).collect()
    }
}

/// The length of an axis: a number, or a name for one that differs from run to run. In JSON `["batch", 3, 224, 224]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AxisLength {
    /// Always this many.
    Fixed(usize),
    /// As many as the name stands for in a run, at least one; of a computed tensor also an expression over such names.
    Named(String),
}

impl AxisLength {
    /// The number, if it is one.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Self::Fixed(length) => Some(*length),
            Self::Named(_) => None,
        }
    }
}

impl From<usize> for AxisLength {
    fn from(length: usize) -> Self {
        Self::Fixed(length)
    }
}

impl From<&str> for AxisLength {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

/// A name is cut and escaped.
impl std::fmt::Display for AxisLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "{length}"),
            Self::Named(name) => write!(f, "{}", shown(name)),
        }
    }
}

impl std::fmt::Debug for AxisLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A mask of dropout or of stochastic depth: booleans, each true with the same probability and independent of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskEntry {
    /// Name of the graph input.
    pub name: String,
    /// Length of each axis; names are those of axes of the other inputs.
    pub shape: Vec<AxisLength>,
    /// The probability of true, that a number or a branch stays: above 0, at most 1.
    pub keep: f32,
}

/// A tensor that training changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterEntry {
    /// Name of the graph input, and of the initializer in the exported model.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Graph output that holds its gradient; of a running statistic its next value.
    pub gradient: String,
    /// The layer it belongs to, as `inspect` names it.
    pub layer: String,
    /// Factor on the learning rate.
    pub learning_rate_multiplier: f32,
    /// Whether weight decay applies: true for matrices, kernels and tables, false for norms and biases whatever their axes,
    /// unless a recipe says otherwise.
    pub weight_decay: bool,
    /// The strength of its weight decay, where that is not the optimizer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay_strength: Option<f32>,
    /// Whether it is a running statistic of a normalization: it has no gradient, and takes its next value after each step.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_statistic: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_written_as_a_number_or_as_a_name() {
        let shape: Vec<AxisLength> = vec!["batch".into(), 3.into()];
        let entry = TensorEntry { name: "image".into(), dtype: "float32".into(), shape };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(text, r#"{"name":"image","dtype":"float32","shape":["batch",3]}"#);
        assert_eq!(serde_json::from_str::<TensorEntry>(&text).unwrap(), entry);
        assert_eq!((entry.fixed_shape(), format!("{:?}", entry.shape)), (None, "[batch, 3]".to_owned()));
    }
}
