//! The path of the module in the source that a node or a weight was exported from.

use crate::graph::Node;

/// What torch.export notes beside a node: the paths of the modules around it, outermost first, and the operation.
const NAME_SCOPES: &str = "pkg.torch.onnx.name_scopes";

/// Last parts of the names of parameters, behind the path of their module.
const PARTS: [&str; 9] = ["weight", "bias", "kernel", "gamma", "beta", "scale", "weights", "biases", "weight_bias"];

/// What TensorFlow calls the tensor of a variable, behind the operation that reads it.
const READ_VARIABLE: &str = "/ReadVariableOp";

/// Operations in whose names TensorFlow puts the variables of a layer.
const OPERATIONS: [&str; 12] = [
    "Add",
    "BiasAdd",
    "Conv1D",
    "Conv2D",
    "FusedBatchNormV3",
    "MatMul",
    "Mul",
    "Tensordot",
    "add",
    "batchnorm",
    "depthwise",
    "mul",
];

/// The path of the module that a node was exported from, with dots: from what torch.export notes beside it, or from its name
/// as TorchScript makes it, `/encoder/layer.0/query/MatMul`.
pub(crate) fn of_node(node: &Node) -> Option<String> {
    let scopes = node.metadata.iter().find(|(key, _)| key == NAME_SCOPES).map(|(_, value)| quoted(value));
    if let Some([.., module, _]) = scopes.as_deref() {
        return (!module.is_empty()).then(|| module.clone());
    }
    let (path, last) = node.name.trim_start_matches('/').rsplit_once('/')?;
    let is_own = last == node.operator || last.strip_prefix(&node.operator).is_some_and(|tail| tail.starts_with('_'));
    let path = if is_own { path } else { node.name.trim_start_matches('/') };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        // a list of modules is followed by its member, whose name holds that of the list
        while parts.last().is_some_and(|list| part.strip_prefix(*list).is_some_and(|tail| tail.starts_with('.'))) {
            parts.pop();
        }
        parts.push(part);
    }
    Some(parts.join("."))
}

/// The path of the module that a weight belongs to, where its name says so: `layer3.0.conv1` of `layer3.0.conv1.weight`.
///
/// TensorFlow's `model/dense/MatMul/ReadVariableOp:0` is of `model/dense`.
pub(crate) fn of_weight(name: &str) -> Option<&str> {
    if let Some(at) = name.rfind(READ_VARIABLE) {
        let mut path = &name[..at];
        while let Some((outer, _)) = path.rsplit_once('/').filter(|(_, last)| OPERATIONS.contains(last)) {
            path = outer;
        }
        return (!path.is_empty()).then_some(path);
    }
    let (path, part) = name.rsplit_once(['.', '/'])?;
    (PARTS.contains(&part) && !path.is_empty()).then_some(path)
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
const RESULTS: [&str; 16] = [
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
    "tile",
    "unfold",
    "where",
];

/// Whether `torch.export` may have named a constant after the operator whose result it keeps: a position table that was looked up
/// is `embedding`. Whether it is learned is another question.
pub(crate) fn may_be_result(name: &str) -> bool {
    RESULTS.contains(&name)
}

/// Whether an exporter made up a name: `onnx::MatMul_758`, `val_12`, `/head/Constant_output_0`, `squeeze`.
pub(crate) fn is_generated(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(name)
        || name.starts_with('/')
        || name.contains("::")
        || OPERATORS.contains(&name)
        || of_weight(name).is_none() && name.rsplit_once('_').is_some_and(|(_, tail)| is_number(tail))
}

/// The texts of a list as Python prints it: `['', 'encoder', "it's"]`.
fn quoted(list: &str) -> Vec<String> {
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
        Some((module, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => module,
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

    #[test]
    fn paths_are_those_of_the_source_whatever_exported_it() {
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
            assert_eq!(of_node(&node(name, scopes)).as_deref(), path, "{name}");
        }
        for (name, path) in [
            ("layer3.0.conv1.weight", Some("layer3.0.conv1")),
            ("model/dense/MatMul/ReadVariableOp:0", Some("model/dense")),
            ("model/dense/BiasAdd/ReadVariableOp:0", Some("model/dense")),
            ("model/norm/batchnorm/mul/ReadVariableOp:0", Some("model/norm")),
            ("model/bn/ReadVariableOp_1:0", Some("model/bn")),
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
        ] {
            assert_eq!(is_generated(name), generated, "{name}");
        }
    }
}
