//! Which parameter of a module in the source a weight of a graph is, as PyTorch would hold it.

use crate::adapter_files::Tensor;
use crate::finetuning::{Layer, Weight};
use crate::graph::{Graph, ValueId};

/// A weight of the model that is held whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredForm {
    pub(crate) value: ValueId,
    /// `weight` or `bias`.
    pub(crate) part: &'static str,
    /// Whether PyTorch holds the matrix turned: outputs first.
    pub(crate) is_turned: bool,
}

impl StoredForm {
    /// What a weight of a layer is; nothing where that cannot be told. `base`: the graph that the layers were found in.
    pub(crate) fn of(base: &Graph, weight: &Weight) -> Option<Self> {
        let node = base.nodes().get(weight.node)?;
        let form = |part, is_turned| Some(Self { value: weight.value, part, is_turned });
        // behind other nodes the form is that of what they make
        let is_behind = node.input(weight.input) != Some(weight.value);
        let is_matrix = weight.shape.len() == 2;
        match (node.operator.as_str(), weight.input) {
            ("MatMul", 1) if is_matrix && is_behind => {
                let made = base.nodes().iter().find(|view| view.outputs.first().copied().flatten() == node.input(1))?;
                let is_transposed = made.is("Transpose") && made.input(0) == Some(weight.value);
                if is_transposed { form("weight", false) } else { None }
            }
            ("MatMul", 1) if is_matrix => form("weight", true),
            ("Gemm", 1) if is_matrix && !is_behind && node.float("alpha").unwrap_or(1.0) == 1.0 => {
                form("weight", node.int("transB").unwrap_or(0) == 0)
            }
            ("Conv" | "ConvTranspose", 1) | ("Gather", 0) if !is_behind => form("weight", false),
            ("Gemm" | "Conv" | "ConvTranspose", 2) => form("bias", false),
            ("Add", _) if !is_matrix => form("bias", false),
            // a normalization that is written in parts; scales of other layers have names of their own
            ("Mul", _) if weight.shape.len() == 1 && base.name(weight.value).ends_with(".weight") => {
                form("weight", false)
            }
            ("SkipLayerNormalization" | "SkipSimplifiedLayerNormalization", 2) => form("weight", false),
            ("SkipLayerNormalization", 3) => form("bias", false),
            // other inputs are sums, tables, or not what files of adapters have
            ("SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" | "EmbedLayerNormalization", _) => None,
            (operator, 1) if operator.ends_with("Normalization") => form("weight", false),
            (operator, 2) if operator.ends_with("Normalization") => form("bias", false),
            _ => None,
        }
    }

    /// A tensor of the graph as PyTorch holds it, or the other way round.
    pub(crate) fn stored(&self, tensor: Tensor) -> Tensor {
        if self.is_turned { tensor.turned() } else { tensor }
    }

    /// The weight of a layer that is this parameter of it.
    pub(crate) fn find(base: &Graph, layer: &Layer, part: &str) -> Option<Self> {
        let mut forms = layer.weights.iter().filter_map(|weight| Self::of(base, weight));
        forms.find(|form| form.part == part)
    }
}
