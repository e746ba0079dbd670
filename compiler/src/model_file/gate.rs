//! What a model must be before anything else looks at it.

use std::collections::HashSet;
use std::path::Path;

use super::constant_of;
use super::onnx::{ModelProto, NodeProto, attribute_proto::AttributeType};
use crate::CompilerError;
use millstream_schemas::shown;

/// Opsets whose operators the rules follow.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=25;

pub(super) enum Problem {
    Malformed(String),
    Unsupported(String, &'static str),
}

impl Problem {
    pub(super) fn into_error(self, path: &Path) -> CompilerError {
        match self {
            Self::Malformed(message) => CompilerError::Malformed { path: path.to_owned(), message },
            Self::Unsupported(what, advice) => CompilerError::unsupported(what, advice),
        }
    }
}

pub(super) fn opset(proto: &ModelProto) -> Option<i64> {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    proto.opset_import.iter().find(|import| standard(import.domain())).map(|import| import.version())
}

/// Checks structure, names and sizes: every name is made once and before it is read, every tensor has the bytes that
/// its shape says.
pub(super) fn check(proto: &ModelProto) -> Result<(), Problem> {
    let malformed = |message: String| Err(Problem::Malformed(message));
    let Some(graph) = &proto.graph else { return malformed("it holds no graph".into()) };
    match opset(proto) {
        None => return malformed("it names no version of the standard operators".into()),
        Some(version) if !OPSETS.contains(&version) => {
            return Err(Problem::Unsupported(
                format!("opset {version}"),
                "opsets 13 to 25 are read; convert the model with onnx's version converter",
            ));
        }
        Some(_) => {}
    }
    if !proto.functions.is_empty() {
        return Err(Problem::Unsupported("a model with local functions".into(), "inline them with onnx.inliner"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(Problem::Unsupported("a sparse initializer".into(), "store the weights as dense tensors"));
    }
    if graph.node.is_empty() || graph.output.is_empty() {
        return malformed("its graph has no nodes or no outputs".into());
    }
    let mut made: HashSet<&str> = HashSet::new();
    for tensor in &graph.initializer {
        if tensor.name().is_empty() {
            return malformed("an initializer has no name".into());
        }
        if !made.insert(tensor.name()) {
            return malformed(format!("two initializers are named `{}`", shown(tensor.name())));
        }
        constant_of(tensor).map_err(Problem::Malformed)?;
    }
    let mut inputs: HashSet<&str> = HashSet::new();
    for input in &graph.input {
        if input.name().is_empty() {
            return malformed("an input has no name".into());
        }
        if !inputs.insert(input.name()) {
            return malformed(format!("two inputs are named `{}`", shown(input.name())));
        }
    }
    made.extend(inputs);
    for node in &graph.node {
        check_node(node, &mut made)?;
    }
    let mut outputs: HashSet<&str> = HashSet::new();
    for output in &graph.output {
        if !made.contains(output.name()) {
            return malformed(format!("nothing makes its output `{}`", shown(output.name())));
        }
        if !outputs.insert(output.name()) {
            return malformed(format!("two outputs are named `{}`", shown(output.name())));
        }
    }
    Ok(())
}

fn check_node<'a>(node: &'a NodeProto, made: &mut HashSet<&'a str>) -> Result<(), Problem> {
    let label =
        || shown(if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() });
    if node.output.iter().all(String::is_empty) {
        let operator = shown(node.op_type());
        return Err(Problem::Malformed(format!("node `{}` ({operator}) makes nothing", label())));
    }
    for input in node.input.iter().filter(|input| !input.is_empty()) {
        if !made.contains(input.as_str()) {
            return Err(Problem::Malformed(format!(
                "node `{}` reads `{}` before anything makes it",
                label(),
                shown(input)
            )));
        }
    }
    for output in node.output.iter().filter(|output| !output.is_empty()) {
        if !made.insert(output) {
            return Err(Problem::Malformed(format!("node `{}` makes `{}` a second time", label(), shown(output))));
        }
    }
    for attribute in &node.attribute {
        let nested =
            [AttributeType::Graph as i32, AttributeType::Graphs as i32].contains(&attribute.r#type.unwrap_or(0));
        if nested || attribute.g.is_some() || !attribute.graphs.is_empty() {
            return Err(Problem::Unsupported(
                format!("node `{}` ({}) with a nested graph", label(), shown(node.op_type())),
                "export the model without control flow",
            ));
        }
        if let Some(tensor) = &attribute.t {
            constant_of(tensor).map_err(|problem| Problem::Malformed(format!("node `{}`: {problem}", label())))?;
        }
    }
    Ok(())
}
