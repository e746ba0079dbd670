//! Networks with layers of every form that methods are put beside.

use millstream_compiler::graph::{Attribute, Constant, Graph, TensorType, ValueId};
use millstream_compiler::{CompilerError, Model, OperatorCatalog};

use crate::{CLASSES, IMAGE};

/// Numbers in −1 to 1, the same each time.
pub(crate) fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

pub(crate) fn weight_values(name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let spread = 1.0 / (count as f32 / shape[0] as f32).sqrt();
    numbers(count, name.len()).into_iter().map(|value| value * spread).collect()
}

pub(crate) fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    graph.constant(name, Constant::f32(shape, &weight_values(name, shape)))
}

/// Convolutions (strided and dilated, in groups, depthwise), then linear layers: one with a bias, its weight behind a transpose, one stored
/// transposed with a factor, one that reads columns, one used twice; then the head.
pub(crate) fn network() -> Result<Model, CompilerError> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32(IMAGE));
    let kernel = weight(&mut graph, "encoder.strided.weight", &[16, 4, 3, 3]);
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let windows = [("strides", ints(&[2, 1])), ("pads", ints(&[1, 2, 1, 2])), ("dilations", ints(&[1, 2]))];
    let value = graph.add("Conv", &[x, kernel], &windows)?;
    let value = graph.add("Relu", &[value], &[])?;
    let kernel = weight(&mut graph, "encoder.grouped.weight", &[32, 8, 3, 3]);
    let value = graph.add("Conv", &[value, kernel], &[("group", 2.into()), ("auto_pad", "SAME_UPPER".into())])?;
    let kernel = weight(&mut graph, "encoder.depthwise.weight", &[32, 1, 3, 3]);
    let value = graph.add("Conv", &[value, kernel], &[("group", 32.into())])?;
    let value = graph.add("GlobalAveragePool", &[value], &[])?;
    let value = graph.add("Flatten", &[value], &[])?;
    let stored = weight(&mut graph, "plain.weight", &[48, 32]);
    let plain = graph.add("Transpose", &[stored], &[])?;
    let value = graph.add("MatMul", &[value, plain], &[])?;
    let bias = weight(&mut graph, "plain.bias", &[48]);
    let value = graph.add("Add", &[value, bias], &[])?;
    let value = graph.add("Tanh", &[value], &[])?;
    let (turned, bias) = (weight(&mut graph, "turned.weight", &[40, 48]), weight(&mut graph, "turned.bias", &[40]));
    let attributes = [("transB", 1.into()), ("alpha", 0.5.into()), ("beta", 2.0.into())];
    let value = graph.add("Gemm", &[value, turned, bias], &attributes)?;
    let value = graph.add("Transpose", &[value], &[])?;
    let columns = weight(&mut graph, "columns.weight", &[40, 40]);
    let value = graph.add("Gemm", &[value, columns], &[("transA", 1.into())])?;
    let tied = weight(&mut graph, "tied.weight", &[40, 40]);
    let value = graph.add("MatMul", &[value, tied], &[])?;
    let value = graph.add("Tanh", &[value], &[])?;
    let value = graph.add("MatMul", &[value, tied], &[])?;
    let (head, bias) = (weight(&mut graph, "head.weight", &[40, CLASSES]), weight(&mut graph, "head.bias", &[CLASSES]));
    let scores = graph.add("Gemm", &[value, head, bias], &[])?;
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("network"))
}

/// Tokens of an image, then two blocks: one makes queries, keys and values in one layer of matrices and normalizes before its
/// parts, the other makes them apart, of values stored transposed and keys without a bias, and normalizes behind; then the head.
pub(crate) fn transformer() -> Result<Model, CompilerError> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32(IMAGE));
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let reshape = |graph: &mut Graph, value: ValueId, shape: &[i64]| {
        let shape = graph.named_constant("shape", Constant::i64([shape.len()], shape));
        graph.add("Reshape", &[value, shape], &[])
    };
    let turn =
        |graph: &mut Graph, value: ValueId, order: &[i64]| graph.add("Transpose", &[value], &[("perm", ints(order))]);
    let normalize = |graph: &mut Graph, value: ValueId, name: &str| {
        let scale = graph.constant(&format!("{name}.weight"), Constant::f32([12], &[1.0; 12]));
        let shift = weight(graph, &format!("{name}.bias"), &[12]);
        let inputs = [Some(value), Some(scale), Some(shift)];
        Ok::<ValueId, CompilerError>(graph.add_with("LayerNormalization", &inputs, &[("axis", (-1).into())], 1)?[0])
    };
    let linear = |graph: &mut Graph, value: ValueId, name: &str, shape: [usize; 2]| {
        let matrix = weight(graph, &format!("{name}.weight"), &shape);
        let bias = weight(graph, &format!("{name}.bias"), &shape[1..]);
        let product = graph.add("MatMul", &[value, matrix], &[])?;
        graph.add("Add", &[bias, product], &[])
    };
    let gemm = |graph: &mut Graph, value: ValueId, name: &str, shape: [usize; 2]| {
        let matrix = weight(graph, &format!("{name}.weight"), &shape);
        let bias = weight(graph, &format!("{name}.bias"), &shape[1..]);
        let rows = reshape(graph, value, &[-1, shape[0] as i64])?;
        let product = graph.add("Gemm", &[rows, matrix, bias], &[])?;
        reshape(graph, product, &[-1, 9, shape[1] as i64])
    };
    let attend = |graph: &mut Graph, [q, k, v]: [ValueId; 3]| {
        let keys = turn(graph, k, &[0, 1, 3, 2])?;
        let scores = graph.add("MatMul", &[q, keys], &[])?;
        let scale = graph.named_constant("scale", Constant::f32([], &[0.5]));
        let scores = graph.add("Mul", &[scores, scale], &[])?;
        let weights = graph.add("Softmax", &[scores], &[("axis", (-1).into())])?;
        let mixed = graph.add("MatMul", &[weights, v], &[])?;
        let mixed = turn(graph, mixed, &[0, 2, 1, 3])?;
        reshape(graph, mixed, &[-1, 9, 12])
    };
    let kernel = weight(&mut graph, "encoder.patches.weight", &[12, 4, 3, 3]);
    let patches = graph.add("Conv", &[x, kernel], &[("strides", ints(&[3, 3]))])?;
    let patches = reshape(&mut graph, patches, &[-1, 12, 9])?;
    let stream = turn(&mut graph, patches, &[0, 2, 1])?;

    let read = normalize(&mut graph, stream, "encoder.0.norm1")?;
    let all = gemm(&mut graph, read, "encoder.0.qkv", [12, 36])?;
    let all = reshape(&mut graph, all, &[-1, 9, 3, 3, 4])?;
    let all = turn(&mut graph, all, &[2, 0, 3, 1, 4])?;
    let mut parts = [all; 3];
    for (at, part) in parts.iter_mut().enumerate() {
        let index = graph.named_constant("index", Constant::i64([], &[at as i64]));
        *part = graph.add("Gather", &[all, index], &[("axis", 0.into())])?;
    }
    let mixed = attend(&mut graph, parts)?;
    let output = gemm(&mut graph, mixed, "encoder.0.output", [12, 12])?;
    let stream = graph.add("Add", &[output, stream], &[])?;
    let read = normalize(&mut graph, stream, "encoder.0.norm2")?;
    let wide = gemm(&mut graph, read, "encoder.0.up", [12, 20])?;
    let active = graph.add("Relu", &[wide], &[])?;
    let narrow = gemm(&mut graph, active, "encoder.0.down", [20, 12])?;
    let stream = graph.add("Add", &[stream, narrow], &[])?;

    let split = |graph: &mut Graph, value: ValueId| {
        let value = reshape(graph, value, &[-1, 9, 3, 4])?;
        turn(graph, value, &[0, 2, 1, 3])
    };
    let q = linear(&mut graph, stream, "encoder.1.query", [12, 12])?;
    let matrix = weight(&mut graph, "encoder.1.key.weight", &[12, 12]);
    let k = graph.add("MatMul", &[stream, matrix], &[])?;
    let matrix = weight(&mut graph, "encoder.1.value.weight", &[12, 12]);
    let (matrix, bias) = (graph.add("Transpose", &[matrix], &[])?, weight(&mut graph, "encoder.1.value.bias", &[12]));
    let v = graph.add("MatMul", &[stream, matrix], &[])?;
    let v = graph.add("Add", &[v, bias], &[])?;
    let parts = [split(&mut graph, q)?, split(&mut graph, k)?, split(&mut graph, v)?];
    let mixed = attend(&mut graph, parts)?;
    let output = linear(&mut graph, mixed, "encoder.1.output", [12, 12])?;
    let sum = graph.add("Add", &[output, stream], &[])?;
    let stream = normalize(&mut graph, sum, "encoder.1.norm1")?;
    let wide = linear(&mut graph, stream, "encoder.1.up", [12, 20])?;
    let active = graph.add("Tanh", &[wide], &[])?;
    let narrow = linear(&mut graph, active, "encoder.1.down", [20, 12])?;
    let sum = graph.add("Add", &[narrow, stream], &[])?;
    let stream = normalize(&mut graph, sum, "encoder.1.norm2")?;

    let pooled = graph.add("ReduceMean", &[stream], &[("axes", ints(&[1])), ("keepdims", 0.into())])?;
    let (head, bias) = (weight(&mut graph, "head.weight", &[12, CLASSES]), weight(&mut graph, "head.bias", &[CLASSES]));
    let scores = graph.add("Gemm", &[pooled, head, bias], &[])?;
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("transformer"))
}
