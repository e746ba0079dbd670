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
            ("MatMul" | "Gemm", 1) if is_matrix && node.float("alpha").unwrap_or(1.0) == 1.0 => {
                if is_behind && !is_transpose(base, node.input(1)?, weight.value) {
                    return None;
                }
                form("weight", (node.int("transB").unwrap_or(0) != 0) == is_behind)
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

/// Whether a value is a matrix transposed.
fn is_transpose(base: &Graph, value: ValueId, matrix: ValueId) -> bool {
    let maker = base.producer(value).filter(|maker| maker.is("Transpose") && maker.input(0) == Some(matrix));
    maker.is_some_and(|transpose| matches!(transpose.ints("perm"), None | Some([1, 0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, value, weight, with};

    #[test]
    fn a_matrix_behind_a_transpose_is_told_whichever_node_multiplies() {
        let view = |order: &[i64]| with(node("Transpose", &["w"], &["t"]), "perm", order);
        let product = |operator: &str, from: &str| node(operator, &["x", from], &["y"]);
        let turned = |from: &str| with(product("Gemm", from), "transB", &[1]);
        // whether PyTorch holds the weight turned, where that can be told
        for (nodes, wanted) in [
            (vec![product("MatMul", "w")], Some(true)),
            (vec![product("Gemm", "w")], Some(true)),
            (vec![turned("w")], Some(false)),
            (vec![view(&[1, 0]), product("MatMul", "t")], Some(false)),
            (vec![view(&[1, 0]), product("Gemm", "t")], Some(false)),
            (vec![view(&[1, 0]), turned("t")], Some(true)),
            (vec![view(&[0, 1]), product("Gemm", "t")], None),
            (vec![view(&[0, 1]), product("MatMul", "t")], None),
        ] {
            let at = nodes.len() - 1;
            let told = format!("{nodes:?}");
            let base = read(graph(nodes, vec![weight("w", &[4, 4])], vec![value("x", &[4])], vec![value("y", &[4])]));
            let own = Weight { value: base.find("w").unwrap(), shape: vec![4, 4], node: at, input: 1 };
            assert_eq!(StoredForm::of(&base, &own).map(|form| form.is_turned), wanted, "{told}");
        }
    }
}
