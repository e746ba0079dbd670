//! The path of the module in the source that a node or a weight was exported from.

use crate::graph::{Graph, Node};

/// What torch.export notes beside a node: the paths of the modules around it, outermost first, and the operation.
const NAME_SCOPES: &str = "pkg.torch.onnx.name_scopes";

/// Last parts of the names of parameters, behind the path of their module.
const PARTS: [&str; 9] = ["weight", "bias", "kernel", "gamma", "beta", "scale", "weights", "biases", "weight_bias"];

/// What TensorFlow calls the tensor of a variable, behind the operation that reads it.
const READ_VARIABLE: &str = "/ReadVariableOp";

/// Operations in whose names TensorFlow puts the variables of a layer; further ones of a kind have a number behind them.
const OPERATIONS: [&str; 19] = [
    "Add",
    "BiasAdd",
    "Cast",
    "Conv1D",
    "Conv2D",
    "Einsum",
    "ExpandDims",
    "FusedBatchNormV3",
    "MatMul",
    "Mul",
    "Reshape",
    "Squeeze",
    "Tensordot",
    "add",
    "batchnorm",
    "convolution",
    "depthwise",
    "einsum",
    "mul",
];

/// Nodes that ONNX Runtime's builder of language models names a layer's parameters after: `q_proj.MatMul.weight`, `q_proj.Add.bias`.
const NODES: [&str; 3] = ["Add", "Gemm", "MatMul"];

/// The path of the module that a node was exported from, with dots: from what torch.export notes beside it, or from its name
/// as TorchScript makes it, `/encoder/layer.0/query/MatMul`; where that says nothing, from the name of what it makes first,
/// `/encoder/layer.0/query/MatMul_output_0`.
pub(crate) fn of_node(graph: &Graph, node: &Node) -> Option<String> {
    let scopes = node.metadata.iter().find(|(key, _)| key == NAME_SCOPES).map(|(_, value)| quoted(value));
    if let Some([.., module, _]) = scopes.as_deref() {
        return (!module.is_empty()).then(|| module.clone());
    }
    let name = node.name.trim_start_matches('/');
    if let Some((path, last)) = name.rsplit_once('/') {
        let is_own =
            last == node.operator || last.strip_prefix(&node.operator).is_some_and(|tail| tail.starts_with('_'));
        return Some(of_scopes(if is_own { path } else { name }));
    }
    // one of the model itself says so: `/MatMul`
    let made = node.outputs.first().copied().flatten().filter(|_| !node.name.starts_with('/'))?;
    let (path, _) = maker(graph.name(made))?.trim_start_matches('/').rsplit_once('/')?;
    Some(of_scopes(path))
}

/// What a node was called after which an exporter has named what it makes: `/fc1/MatMul` of `/fc1/MatMul_output_0`, `dense/MatMul` of
/// `dense/MatMul:0`.
fn maker(value: &str) -> Option<&str> {
    match value.rsplit_once("_output_") {
        Some((maker, number)) if is_number(number) => Some(maker),
        _ => Some(without_output(value)).filter(|maker| maker.len() < value.len()),
    }
}

/// `blocks.1.attn.qkv` of `blocks/blocks.1/attn/qkv`.
fn of_scopes(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        // a list of modules is followed by its member, whose name holds that of the list
        while parts.last().is_some_and(|list| part.strip_prefix(*list).is_some_and(|tail| tail.starts_with('.'))) {
            parts.pop();
        }
        parts.push(part);
    }
    parts.join(".")
}

/// The path of the module that a weight belongs to, where its name says so: `layer3.0.conv1` of `layer3.0.conv1.weight`.
///
/// TensorFlow's `model/dense/MatMul/ReadVariableOp:0` is of `model/dense`, Keras's `dense/kernel:0` of `dense`, and PaddlePaddle's
/// `linear_0.w_0` of `linear_0`.
pub(crate) fn of_weight(name: &str) -> Option<&str> {
    if let Some(at) = name.rfind(READ_VARIABLE) {
        return Some(without_operations(&name[..at])).filter(|path| !path.is_empty());
    }
    let (path, part) = without_output(name).rsplit_once(['.', '/'])?;
    let path = match path.rsplit_once('.') {
        Some((outer, last)) if NODES.contains(&last) => outer,
        _ => path,
    };
    ((PARTS.contains(&part) || is_numbered_part(part)) && !path.is_empty()).then_some(path)
}

/// What a layer is called after a weight whose name has no path of a module: without the number that TensorFlow puts behind a tensor, and
/// without the operations that have made this one of a variable.
pub(crate) fn label(name: &str) -> &str {
    let bare = without_output(name);
    if bare.len() < name.len() { without_operations(bare) } else { name }
}

/// Whether two constants may be parameters of one module, a matrix and what is added behind its product. Names that others than PyTorch
/// give need not tell; a path that PyTorch's have is the module's.
pub(crate) fn may_be_of_one_module(first: &str, second: &str) -> bool {
    let is_of_source = |name: &str| name.contains('.') && !name.contains('/') && !is_generated(name);
    !(is_of_source(first) && is_of_source(second)) || of_weight(first) == of_weight(second)
}

/// `model/dense` of `model/dense/MatMul`.
fn without_operations(mut path: &str) -> &str {
    let is_operation = |last: &str| match last.rsplit_once('_') {
        Some((operation, number)) if is_number(number) => OPERATIONS.contains(&operation),
        _ => OPERATIONS.contains(&last),
    };
    while let Some((outer, _)) = path.rsplit_once('/').filter(|(_, last)| is_operation(last)) {
        path = outer;
    }
    path
}

/// A name without what TensorFlow puts behind it: which of the results of an operation it is, `:0`.
pub(super) fn without_output(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((operation, number)) if is_number(number) && !operation.ends_with(':') => operation,
        _ => name,
    }
}

/// Whether PaddlePaddle calls a parameter of a module so: `w_0`, `b_0`, or `w_0_deepcopy_5` of a module that was copied.
fn is_numbered_part(part: &str) -> bool {
    let own = match part.split_once("_deepcopy_") {
        Some((own, number)) if is_number(number) => own,
        _ => part,
    };
    own.strip_prefix("w_").or_else(|| own.strip_prefix("b_")).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What `torch.export` calls the first result of each of these operators; that of a second one has a number.
const OPERATORS: [&str; 34] = [
    "add",
    "alias",
    "arange",
    "cat",
    "clone",
    "cos",
    "cumsum",
    "detach",
    "div",
    "exp",
    "expand",
    "full",
    "gather",
    "index",
    "linspace",
    "mul",
    "neg",
    "ones",
    "permute",
    "pow",
    "reciprocal",
    "repeat",
    "reshape",
    "rsqrt",
    "sin",
    "slice",
    "split",
    "squeeze",
    "stack",
    "sub",
    "transpose",
    "unsqueeze",
    "view",
    "zeros",
];

/// Further results of such operators, whose names a module's own parameter may have as well.
const RESULTS: [&str; 17] = [
    "clamp",
    "embedding",
    "flip",
    "index_select",
    "log",
    "max",
    "mean",
    "min",
    "pad",
    "roll",
    "select",
    "sqrt",
    "sum",
    "t",
    "tile",
    "unfold",
    "where",
];

/// Whether `torch.export` may have named a constant after the operator whose result it keeps: a position table that was looked up
/// is `embedding`. Whether it is learned is another question.
pub(crate) fn may_be_result(name: &str) -> bool {
    RESULTS.contains(&name)
}

/// Whether an exporter made up a name: `onnx::MatMul_758`, `val_12`, `/head/Constant_output_0`, `squeeze`, Paddle2ONNX's `p2o.Constant.3`.
pub(crate) fn is_generated(name: &str) -> bool {
    is_number(name)
        || name.starts_with('/')
        || name.starts_with("p2o.")
        || name.contains("::")
        || OPERATORS.contains(&name)
        || of_weight(name).is_none() && name.rsplit_once('_').is_some_and(|(_, tail)| is_number(tail))
}

/// The texts of a list as Python prints it: `['', 'encoder', "it's"]`.
pub(crate) fn quoted(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = list;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else { break };
        found.push(rest[start + 1..][..length].to_owned());
        rest = &rest[start + length + 2..];
    }
    found
}

/// A path without the number of a further call: TorchScript names the second one of `query` `query_1`.
pub(crate) fn without_call(path: &str) -> &str {
    match path.rsplit_once('_') {
        Some((module, number)) if is_number(number) => module,
        _ => path,
    }
}

/// A path without the numbers of modules: that of siblings is the same.
pub(crate) fn without_numbers(path: &str) -> String {
    path.split('.').filter(|part| part.parse::<u64>().is_err()).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, read, value, weight};
    use crate::model_file::onnx::NodeProto;

    #[test]
    fn a_node_that_has_lost_its_name_is_of_the_module_that_its_result_is_named_after() {
        for (name, made, path) in [
            ("", "/blocks/blocks.1/attn/qkv/MatMul_output_0", Some("blocks.1.attn.qkv")),
            ("MatMul_17", "/blocks.1/fc1/MatMul_1_output_0", Some("blocks.1.fc1")),
            ("", "model/dense/BiasAdd:0", Some("model.dense")),
            ("/blocks.0/fc1/MatMul", "/blocks.1/fc1/MatMul_output_0", Some("blocks.0.fc1")),
            ("/MatMul", "/blocks.1/fc1/MatMul_output_0", None),
            ("", "/MatMul_output_0", None),
            ("", "blocks/hidden", None),
            ("", "123", None),
        ] {
            let product = NodeProto { name: Some(name.into()), ..node("MatMul", &["x", "w"], &[made]) };
            let graph =
                read(graph(vec![product], vec![weight("w", &[4, 4])], vec![value("x", &[4])], vec![value(made, &[4])]));
            assert_eq!(of_node(&graph, &graph.nodes()[0]).as_deref(), path, "{name}, {made}");
        }
    }

    #[test]
    fn paths_are_those_of_the_source_whatever_exported_it() {
        let product = vec![node("MatMul", &["x", "w"], &["y"])];
        let graph = read(graph(product, vec![weight("w", &[4, 4])], vec![value("x", &[4])], vec![value("y", &[4])]));
        let node = |name: &str, scopes: Option<&str>| Node {
            name: name.into(),
            operator: "MatMul".into(),
            metadata: scopes.map(|scopes| (NAME_SCOPES.to_owned(), scopes.to_owned())).into_iter().collect(),
            ..Node::default()
        };
        for (name, scopes, path) in [
            (
                "/bert/encoder/layer.0/attention/self/query/MatMul",
                None,
                Some("bert.encoder.layer.0.attention.self.query"),
            ),
            ("/blocks/blocks.1/attn/qkv/MatMul_1", None, Some("blocks.1.attn.qkv")),
            ("/features/features.0/features.0.0/MatMul", None, Some("features.0.0")),
            ("MatMul_17", None, None),
            ("node_MatMul_83", Some("['', 'm', 'm.encoder', 'm.encoder.query', 'linear']"), Some("m.encoder.query")),
            ("node_MatMul_83", Some("['', 'linear']"), None),
            ("model/dense/MatMul", None, Some("model.dense")),
        ] {
            assert_eq!(of_node(&graph, &node(name, scopes)).as_deref(), path, "{name}");
        }
        for (name, path) in [
            ("layer3.0.conv1.weight", Some("layer3.0.conv1")),
            ("model/dense/MatMul/ReadVariableOp:0", Some("model/dense")),
            ("model/dense/BiasAdd/ReadVariableOp:0", Some("model/dense")),
            ("model/norm/batchnorm/mul/ReadVariableOp:0", Some("model/norm")),
            ("model/bn/ReadVariableOp_1:0", Some("model/bn")),
            ("functional_1/dense_1/Cast/ReadVariableOp:0", Some("functional_1/dense_1")),
            ("functional_1/bn_1/Cast_2/ReadVariableOp:0", Some("functional_1/bn_1")),
            ("functional_1/conv2d_1/convolution/ReadVariableOp:0", Some("functional_1/conv2d_1")),
            ("functional_1/conv2d_1/Squeeze/ReadVariableOp:0", Some("functional_1/conv2d_1")),
            ("model/query/einsum/Einsum/ReadVariableOp:0", Some("model/query")),
            ("dense_1/kernel:0", Some("dense_1")),
            ("linear_0.w_0", Some("linear_0")),
            ("conv2d_0.b_0_deepcopy_12", Some("conv2d_0")),
            ("model.layers.0.attn.q_proj.MatMul.weight", Some("model.layers.0.attn.q_proj")),
            ("model.layers.0.attn.q_proj.Add.bias", Some("model.layers.0.attn.q_proj")),
            ("linear_0.tmp_0", None),
            ("head", None),
        ] {
            assert_eq!(of_weight(name), path, "{name}");
        }
        for (name, generated) in [
            ("onnx::MatMul_758", true),
            ("val_12", true),
            ("/head/Constant_output_0", true),
            ("17", true),
            ("squeeze", true),
            ("blocks.0.attn.qkv.weight", false),
            ("cls_token", false),
            ("block_2/kernel", false),
            ("linear_0.w_0", false),
            ("conv2d_0.b_0", false),
            ("vision_transformer_0.w_0", false),
            ("conv2d_0.w_0_deepcopy_0", false),
            ("p2o.Constant.3", true),
            ("relu_35.tmp_0", true),
        ] {
            assert_eq!(is_generated(name), generated, "{name}");
        }
        for (name, wanted) in [
            ("conv1d_1/convolution/ExpandDims_1:0", "conv1d_1"),
            ("conv1d_1/convolution/ExpandDims_1", "conv1d_1/convolution/ExpandDims_1"),
            ("dense_1/table:0", "dense_1/table"),
            ("onnx::5", "onnx::5"),
            ("fc_W", "fc_W"),
        ] {
            assert_eq!(label(name), wanted, "{name}");
        }
    }

    #[test]
    fn only_paths_of_modules_tell_that_two_parameters_are_of_two() {
        for (first, second, wanted) in [
            ("fc.weight", "fc.bias", true),
            ("fc.weight", "gate.bias", false),
            ("fc.weight", "blocks.0.shift", false),
            ("fc.weight", "onnx::Add_5", true),
            ("onnx::MatMul_5", "fc.bias", true),
            ("attn.in_proj_weight", "attn.in_proj_bias", true),
            ("fc_W", "fc_B", true),
            ("w", "b.last", true),
            ("model/dense/foo/ReadVariableOp:0", "model/dense/BiasAdd/ReadVariableOp:0", true),
            ("linear_0.w_0", "linear_0.b_0", true),
            ("q_proj.MatMul.weight", "q_proj.Add.bias", true),
        ] {
            assert_eq!(may_be_of_one_module(first, second), wanted, "{first}, {second}");
        }
    }
}
