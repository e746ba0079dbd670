//! Which vectors are added to what a product or a scale makes and nothing else reads: biases and shifts, whatever they are called.

use std::collections::HashMap;

use super::attention::Edges;
use super::moved_axes::moved_axes;
use super::weight::Weight;
use crate::graph::{Graph, TensorType};

/// For each node that adds a vector, the node whose result it is added to: a product with a weight and without a bias of its own, or a
/// vector that scales. `read`: the weights that each node reads.
///
/// Between the two there may be other forms of the result, as the `Reshape` behind a product of matrices that Keras writes for a layer of
/// tokens. The vector holds a number for each that the product makes.
pub(super) fn added_vectors(graph: &Graph, read: &[Vec<Weight>]) -> HashMap<usize, usize> {
    let edges = Edges::new(graph);
    let mut found = HashMap::new();
    for (at, weights) in read.iter().enumerate() {
        let [weight] = weights.as_slice() else { continue };
        let sum = axis_made(graph, weight).and_then(|axis| sum_behind(&edges, at, axis));
        if let Some((sum, input)) = sum
            && matches!(read[sum].as_slice(), [vector] if vector.input == input)
        {
            found.insert(sum, at);
        }
    }
    found
}

/// The axis of a node's result along which there is a number for each that it makes with this weight, which is all it has of its own.
fn axis_made(graph: &Graph, weight: &Weight) -> Option<usize> {
    let node = &graph.nodes()[weight.node];
    let rank = graph.tensor_type(node.outputs.first().copied().flatten()?)?.shape.len();
    let has_bias = || node.input(2).is_some();
    match (node.domain.as_str(), node.operator.as_str(), weight.input) {
        ("", "MatMul", 1) | ("com.microsoft", "FusedMatMul", 1) => rank.checked_sub(1),
        // a matrix times columns
        ("", "MatMul", 0) => rank.checked_sub(2),
        ("", "Gemm", 1) if !has_bias() => rank.checked_sub(1),
        ("", "Conv" | "ConvTranspose", 1) if !has_bias() => (rank > 1).then_some(1),
        ("", "Mul", _) => {
            let shape = graph.tensor_type(node.input(weight.input)?)?.fixed_shape()?;
            let longest = shape.iter().position(|length| *length > 1)?;
            let is_vector = shape.iter().product::<usize>() == shape[longest];
            rank.checked_sub(shape.len()).map(|missing| missing + longest).filter(|_| is_vector)
        }
        _ => None,
    }
}

/// The node that adds a vector along an axis of what the node `at` makes, as the only one that reads this, and the input that the
/// vector is.
fn sum_behind(edges: &Edges<'_>, at: usize, mut axis: usize) -> Option<(usize, usize)> {
    let graph = edges.graph;
    let mut value = graph.nodes()[at].outputs.first().copied().flatten()?;
    let count = graph.tensor_type(value)?.shape.get(axis)?.fixed()?;
    // a node stands behind those that it reads
    loop {
        let [reader] = edges.readers.get(&value)?.as_slice() else { return None };
        if graph.outputs().contains(&value) {
            return None;
        }
        let node = &graph.nodes()[*reader];
        let known = graph.tensor_type(value)?;
        if node.is("Add") {
            let input = usize::from(node.input(0) == Some(value));
            let vector = graph.tensor_type(node.input(input)?)?;
            return is_along(vector, known.shape.len(), axis, count).then_some((*reader, input));
        }
        let made = node.outputs.first().copied().flatten().filter(|_| node.input(0) == Some(value))?;
        axis = moved_axes(node, &known.shape, &graph.tensor_type(made)?.shape)?.get(axis).copied().flatten()?;
        value = made;
    }
}

/// Whether a vector has a number for each of the `count` along an axis of a tensor of so many axes that it is added to, and no others.
fn is_along(vector: &TensorType, rank: usize, axis: usize, count: usize) -> bool {
    let Some(shape) = vector.fixed_shape() else { return false };
    let own = rank.checked_sub(shape.len()).and_then(|missing| axis.checked_sub(missing));
    own.and_then(|own| shape.get(own)) == Some(&count) && shape.iter().product::<usize>() == count
}

#[cfg(test)]
mod tests {
    use crate::finetuning::{Layer, layers};
    use crate::handmade::{graph, integers, node, read, untyped, value, weight, whole, with};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::operators::OperatorCatalog;

    /// The layers of a network from `x` `[batch, …]` to `y`, each with the names of its weights.
    fn found(lengths: &[i64], nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> Vec<(String, Vec<String>)> {
        let graph = read(graph(nodes, weights, vec![value("x", lengths)], vec![untyped("y")]));
        let of = |layer: Layer| {
            let names = layer.weights.iter().map(|weight| graph.name(weight.value).to_owned()).collect();
            (layer.name, names)
        };
        layers(&graph, &OperatorCatalog::standard()).into_iter().map(of).collect()
    }

    fn layer(name: &str, weights: &[&str]) -> (String, Vec<String>) {
        (name.to_owned(), weights.iter().map(|&weight| weight.to_owned()).collect())
    }

    #[test]
    fn a_layer_whose_names_are_not_pytorchs_is_one_with_its_bias() {
        let dense = |w: &str, b: &str| vec![node("MatMul", &["x", w], &["p"]), node("Add", &["p", b], &["y"])];
        // names of a matrix and of what is added to its product, and what the layer is called
        for (w, b, name) in [
            // Keras 3 by tf2onnx
            ("f/dense_1/Cast/ReadVariableOp:0", "f/dense_1/BiasAdd/ReadVariableOp:0", "f/dense_1"),
            // an operation that nobody has listed
            ("f/dense_1/Convert/ReadVariableOp:0", "f/dense_1/BiasAdd/ReadVariableOp:0", "f/dense_1"),
            ("const_fold_opt__49", "f/dense_1/BiasAdd/ReadVariableOp:0", "f/dense_1"),
            ("f/dense_1/MatMul/ReadVariableOp:0", "const_fold_opt__50", "f/dense_1"),
            // keras2onnx
            ("dense_1/kernel:0", "dense_1/bias:0", "dense_1"),
            // MATLAB
            ("fc_W", "fc_B", "fc_W"),
            ("linear_0.w_0", "linear_0.b_0", "linear_0"),
            ("onnx::MatMul_12", "fc.bias", "fc"),
            ("fc.weight", "onnx::Add_13", "fc"),
            ("attn.in_proj_weight", "attn.in_proj_bias", "attn.in_proj_weight"),
        ] {
            let weights = vec![weight(w, &[4, 3]), weight(b, &[3])];
            assert_eq!(found(&[4], dense(w, b), weights), [layer(name, &[w, b])], "{w}, {b}");
        }
        // what is added is of another module, by the path that PyTorch has given it
        let weights = vec![weight("fc.weight", &[4, 3]), weight("gate.bias", &[3])];
        let apart = [layer("fc", &["fc.weight"]), layer("gate", &["gate.bias"])];
        assert_eq!(found(&[4], dense("fc.weight", "gate.bias"), weights), apart);
    }

    #[test]
    fn a_bias_is_found_in_other_forms_of_what_a_layer_makes() {
        let reshape = |from: &str, shape: &str, to: &str| node("Reshape", &[from, shape], &[to]);
        let turned = |from: &str, to: &str, order: &[i64]| with(node("Transpose", &[from], &[to]), "perm", order);
        // Keras's layer of tokens
        let tokens = vec![
            reshape("x", "rows", "r"),
            node("MatMul", &["r", "w"], &["p"]),
            reshape("p", "tokens", "q"),
            node("Add", &["b", "q"], &["y"]),
        ];
        let shapes = [whole("rows", &[2], &[-1, 4]), whole("tokens", &[3], &[-1, 5, 3])];
        let weights = [vec![weight("w", &[4, 3]), weight("b", &[3])], shapes.to_vec()].concat();
        assert_eq!(found(&[5, 4], tokens, weights), [layer("w", &["w", "b"])]);
        // a convolution along one axis, written as one of images
        let sound = vec![
            node("Conv", &["x", "f/conv1d_1/convolution/ExpandDims_1:0"], &["c"]),
            node("Squeeze", &["c", "two"], &["s"]),
            turned("s", "t", &[0, 2, 1]),
            node("Add", &["t", "const_fold_opt__49"], &["y"]),
        ];
        let (kernel, bias) = ("f/conv1d_1/convolution/ExpandDims_1:0", "const_fold_opt__49");
        let weights = vec![weight(kernel, &[6, 4, 1, 3]), weight(bias, &[6]), whole("two", &[1], &[2])];
        assert_eq!(found(&[4, 1, 9], sound, weights), [layer("f/conv1d_1", &[kernel, bias])]);
        let image = vec![node("Conv", &["x", "k"], &["c"]), node("Add", &["c", "b"], &["y"])];
        let weights = vec![weight("k", &[6, 4, 3, 3]), weight("b", &[6, 1, 1])];
        assert_eq!(found(&[4, 9, 9], image, weights), [layer("k", &["k", "b"])]);
        let columns = vec![node("MatMul", &["w", "x"], &["p"]), node("Add", &["p", "b"], &["y"])];
        let weights = vec![weight("w", &[3, 4]), weight("b", &[3, 1])];
        assert_eq!(found(&[4, 5], columns, weights), [layer("w", &["w", "b"])]);
        // a normalization that is written out
        let norm = vec![
            node("MatMul", &["x", "first.weight"], &["h"]),
            node("Mul", &["h", "scale"], &["m"]),
            node("Add", &["m", "shift"], &["y"]),
        ];
        let weights = vec![weight("first.weight", &[4, 4]), weight("scale", &[4]), weight("shift", &[4])];
        assert_eq!(
            found(&[4], norm, weights),
            [layer("first", &["first.weight"]), layer("scale", &["scale", "shift"])]
        );
    }

    #[test]
    fn what_is_added_to_something_else_too_or_along_another_axis_is_no_bias() {
        let (w, apart) = (|| weight("w", &[4, 3]), [layer("w", &["w"]), layer("b", &["b"])]);
        // nodes behind the product `p` `[batch, 5, 3]`, and the shape of what is added
        let rows: [(Vec<NodeProto>, &[usize]); 4] = [
            (vec![node("Add", &["p", "b"], &["y"])], &[5, 1]),
            (vec![node("Add", &["p", "b"], &["y"])], &[5, 3]),
            (vec![node("Tanh", &["p"], &["t"]), node("Add", &["t", "b"], &["y"])], &[3]),
            (vec![node("Add", &["p", "b"], &["s"]), node("Mul", &["s", "p"], &["y"])], &[3]),
        ];
        for (behind, shape) in rows {
            let nodes = [vec![node("MatMul", &["x", "w"], &["p"])], behind].concat();
            assert_eq!(found(&[5, 4], nodes, vec![w(), weight("b", shape)]), apart, "{shape:?}");
        }
        let ids = integers("x", &[]);
        let nodes = vec![node("Gather", &["w", "x"], &["p"]), node("Add", &["p", "b"], &["y"])];
        let graph = read(graph(nodes, vec![w(), weight("b", &[3])], vec![ids], vec![value("y", &[3])]));
        assert_eq!(layers(&graph, &OperatorCatalog::standard()).len(), 2, "a table is no product");
    }
}
