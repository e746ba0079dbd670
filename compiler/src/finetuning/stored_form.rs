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
    /// Whether PyTorch holds a vector, and the file one of channels with axes of length 1 behind it: see [`is_of_channels`].
    pub(crate) is_flat: bool,
}

impl StoredForm {
    /// What a weight of a layer is; nothing where that cannot be told. `base`: the graph that the layers were found in.
    pub(crate) fn of(base: &Graph, weight: &Weight) -> Option<Self> {
        let node = base.nodes().get(weight.node)?;
        let is_flat = is_of_channels(base.name(weight.value), &weight.shape);
        let form =
            |part, is_turned| Some(Self { value: weight.value, part, is_turned, is_flat: is_flat && part == "bias" });
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

    /// A tensor of the graph as PyTorch holds it.
    pub(crate) fn stored(&self, tensor: Tensor) -> Tensor {
        match (self.is_turned, self.is_flat) {
            (true, _) => tensor.turned(),
            (false, true) => tensor.flat(),
            (false, false) => tensor,
        }
    }

    /// The weight of a layer that is this parameter of it.
    pub(crate) fn find(base: &Graph, layer: &Layer, part: &str) -> Option<Self> {
        let mut forms = layer.weights.iter().filter_map(|weight| Self::of(base, weight));
        forms.find(|form| form.part == part)
    }
}

/// Whether a bias is `[channels, 1…]` under a name that an exporter made up (`onnx::Add_43`): of the vector that a normalization has in the
/// source, it has folded an `Unsqueeze` into it.
pub(crate) fn is_of_channels(name: &str, shape: &[usize]) -> bool {
    shape.len() > 2 && shape[1..].iter().all(|length| *length == 1) && !name.ends_with(".bias")
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

    #[test]
    fn a_bias_that_an_exporter_gives_axes_of_length_one_is_the_vector_that_pytorch_holds() {
        for (name, shape, wanted) in [
            ("onnx::Add_43", &[4, 1, 1][..], &[4][..]),
            ("q.bias", &[4, 1, 1], &[4, 1, 1]),
            ("onnx::Add_43", &[1, 4, 1], &[1, 4, 1]),
        ] {
            let nodes = vec![node("Add", &["x", name], &["y"])];
            let [inputs, outputs] = ["x", "y"].map(|name| vec![value(name, &[4, 4, 3])]);
            let base = read(graph(nodes, vec![weight(name, shape)], inputs, outputs));
            let own = Weight { value: base.find(name).unwrap(), shape: shape.to_vec(), node: 0, input: 1 };
            let form = StoredForm::of(&base, &own).unwrap();
            let tensor = Tensor::new(shape, vec![0.0; 4]).unwrap();
            assert_eq!((form.part, form.stored(tensor).shape()), ("bias", wanted), "{name} {shape:?}");
        }
    }
}
