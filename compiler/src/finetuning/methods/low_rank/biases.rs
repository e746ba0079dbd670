use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finetuning::{Layer, Weight};
use crate::graph::Graph;

/// Operators that hand on a bias in another form.
const VIEWS: [&str; 6] = ["Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// Which biases of the model are trained beside what is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum TrainedBiases {
    /// None of them.
    #[default]
    None,
    /// Those of all layers, normalizations and the head among them.
    All,
    /// Those of the layers that the method goes to.
    LoraOnly,
}

impl TrainedBiases {
    /// The biases that are trained, a layer for each of the model's that has some.
    pub(in super::super) fn layers(self, graph: &Graph, model: &[Layer], adapted: &[String]) -> Vec<Layer> {
        let is_wanted = |layer: &&Layer| match self {
            Self::None => false,
            Self::All => true,
            Self::LoraOnly => adapted.contains(&layer.name),
        };
        let of = |layer: &Layer| Layer {
            name: format!("{}.bias", layer.name),
            operator: layer.operator.clone(),
            weights: layer.weights.iter().filter(|weight| is_bias(graph, weight)).cloned().collect(),
            learning_rate_multiplier: 1.0,
            beside: Some(layer.name.clone()),
        };
        model.iter().filter(is_wanted).map(of).filter(|layer| !layer.weights.is_empty()).collect()
    }
}

/// Whether a weight is added to what a layer makes. Methods before may have moved nodes, so its readers are looked for.
fn is_bias(graph: &Graph, weight: &Weight) -> bool {
    if weight.shape.iter().filter(|length| **length > 1).count() > 1 {
        return false;
    }
    let mut reads = vec![weight.value];
    for node in graph.nodes() {
        let Some(input) = node.inputs.iter().position(|value| value.is_some_and(|value| reads.contains(&value))) else {
            continue;
        };
        if let (true, Some(made)) = (VIEWS.iter().any(|view| node.is(view)), node.outputs.first().copied().flatten()) {
            reads.push(made);
            continue;
        }
        return match (node.operator.as_str(), input) {
            ("Add", _) | ("GRU" | "LSTM" | "RNN", 3) => true,
            ("BiasGelu" | "FastGelu", 1) | ("SkipLayerNormalization", 3 | 4) => true,
            (operator, 2) => {
                matches!(operator, "Attention" | "Conv" | "ConvTranspose" | "Gemm" | "FusedConv" | "FusedGemm")
                    || operator.ends_with("Normalization") && operator != "SkipLayerNormalization"
            }
            _ => false,
        };
    }
    false
}
