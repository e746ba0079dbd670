//! What a model must be before anything else looks at it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::aside::is_text;
use super::constant_of;
use super::conversion::OLDEST_OPSET;
use super::declared::problem_of_lengths;
use super::onnx::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, attribute_proto::AttributeType,
};
use crate::CompilerError;
use crate::graph::standard_domain;
use millstream_schemas::shown;

/// Opsets that are read.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = OLDEST_OPSET..=25;

/// The newest version of the format that ONNX Runtime 1.31 loads; of a newer one it says "Unsupported model IR version: 14, max supported
/// IR version: 13".
const NEWEST_IR_VERSION: i64 = 13;

pub(super) enum Problem {
    Malformed(String),
    Unsupported(String, String),
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
    let standard = proto.opset_import.iter().find(|import| standard_domain(import.domain()).is_empty());
    standard.map(|import| import.version())
}

/// Checks structure, names and sizes: every name is made once and before it is read, every tensor has the bytes that
/// its shape says.
pub(super) fn check(proto: &ModelProto) -> Result<(), Problem> {
    let malformed = |message: String| Err(Problem::Malformed(message));
    let Some(graph) = &proto.graph else { return malformed("it holds no graph".into()) };
    match proto.ir_version.unwrap_or(0) {
        version if version > NEWEST_IR_VERSION => {
            return Err(Problem::Unsupported(
                format!("a file of version {version} of ONNX's format (`ir_version`)"),
                format!(
                    "versions up to {NEWEST_IR_VERSION} are read, as by ONNX Runtime 1.31; export the model with an older release of onnx, or \
                     let onnx store it as version {NEWEST_IR_VERSION} (`model.ir_version = {NEWEST_IR_VERSION}`)"
                ),
            ));
        }
        ..=0 => {
            return malformed(
                "it names no version of ONNX's format (`ir_version`), as every file has to; export it again, or let onnx store it as \
                 version 8 (`model.ir_version = 8`)"
                    .into(),
            );
        }
        _ => {}
    }
    check_versions(&proto.opset_import).map_err(|problem| Problem::Malformed(format!("it {problem}")))?;
    match opset(proto) {
        None => return malformed("it names no version of the standard operators".into()),
        Some(version) if !OPSETS.contains(&version) => {
            return Err(Problem::Unsupported(
                format!("opset {version}"),
                format!(
                    "opsets {} to {} are read; convert the model with onnx's version converter",
                    OPSETS.start(),
                    OPSETS.end()
                ),
            ));
        }
        Some(_) => {}
    }
    if graph.node.is_empty() || graph.output.is_empty() {
        return malformed("its graph has no nodes or no outputs".into());
    }
    check_graph(graph, None)?;
    let mut functions: HashSet<(&str, &str, &str)> = HashSet::new();
    for function in &proto.functions {
        let key = (standard_domain(function.domain()), function.name(), function.overload());
        if !functions.insert(key) {
            return malformed(format!("two functions are named `{}`", shown(function.name())));
        }
        check_function(function)?;
    }
    Ok(())
}

/// What is wrong where the operators of a domain are said to be of two versions.
fn check_versions(imports: &[OperatorSetIdProto]) -> Result<(), String> {
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for import in imports {
        let domain = standard_domain(import.domain());
        let first = *versions.entry(domain).or_insert(import.version());
        if first != import.version() {
            let operators = match domain {
                "" => "the standard operators".to_owned(),
                domain => format!("the operators of `{}`", shown(domain)),
            };
            return Err(format!(
                "names versions {first} and {} of {operators} (`opset_import`); let it name the one that its nodes follow",
                import.version()
            ));
        }
    }
    Ok(())
}

/// The names that are made at a place, and those around it.
#[derive(Default)]
struct Seen<'a, 's> {
    outer: Option<&'s Seen<'a, 's>>,
    made: HashSet<&'a str>,
}

impl Seen<'_, '_> {
    fn contains(&self, name: &str) -> bool {
        let mut seen = self;
        loop {
            match seen.outer {
                _ if seen.made.contains(name) => return true,
                Some(outer) => seen = outer,
                None => return false,
            }
        }
    }
}

/// `outer`: the names around a graph that lies in a node.
fn check_graph<'a>(graph: &'a GraphProto, outer: Option<&Seen<'a, '_>>) -> Result<(), Problem> {
    let malformed = |message: String| Err(Problem::Malformed(message));
    if !graph.sparse_initializer.is_empty() {
        return Err(Problem::Unsupported("a sparse initializer".into(), "store the weights as dense tensors".into()));
    }
    let mut seen = Seen { outer, made: HashSet::new() };
    for tensor in &graph.initializer {
        if tensor.name().is_empty() {
            return malformed("an initializer has no name".into());
        }
        if !seen.made.insert(tensor.name()) {
            return malformed(format!("two initializers are named `{}`", shown(tensor.name())));
        }
        check_tensor(tensor).map_err(Problem::Malformed)?;
    }
    let mut inputs: HashSet<&str> = HashSet::new();
    for input in &graph.input {
        if input.name().is_empty() {
            return malformed("an input has no name".into());
        }
        if !inputs.insert(input.name()) {
            return malformed(format!("two inputs are named `{}`", shown(input.name())));
        }
        let is_given = seen.made.contains(input.name());
        if let Some(problem) = problem_of_lengths(input).filter(|_| outer.is_none() && !is_given) {
            return malformed(problem);
        }
    }
    seen.made.extend(inputs);
    for node in &graph.node {
        check_node(node, &mut seen)?;
    }
    let mut outputs: HashSet<&str> = HashSet::new();
    for output in &graph.output {
        if !seen.contains(output.name()) {
            return malformed(format!("nothing makes its output `{}`", shown(output.name())));
        }
        // the body of a loop may give a value twice: to the next turn, and as one of all turns
        if !outputs.insert(output.name()) && outer.is_none() {
            return malformed(format!("two outputs are named `{}`", shown(output.name())));
        }
    }
    Ok(())
}

/// Strings are left aside, whatever they are.
fn check_tensor(tensor: &TensorProto) -> Result<(), String> {
    if is_text(tensor) { Ok(()) } else { constant_of(tensor).map(drop) }
}

fn check_function(function: &FunctionProto) -> Result<(), Problem> {
    let name = || shown(function.name());
    check_versions(&function.opset_import)
        .map_err(|problem| Problem::Malformed(format!("function `{}` {problem}", name())))?;
    let mut seen = Seen::default();
    for input in &function.input {
        if input.is_empty() || !seen.made.insert(input) {
            let message = format!("two inputs of function `{}` are named `{}`", name(), shown(input));
            return Err(Problem::Malformed(message));
        }
    }
    for node in &function.node {
        check_node(node, &mut seen)?;
    }
    for output in &function.output {
        if !seen.contains(output) {
            let message = format!("nothing makes output `{}` of function `{}`", shown(output), name());
            return Err(Problem::Malformed(message));
        }
    }
    for default in &function.attribute_proto {
        if let Some(tensor) = &default.t {
            check_tensor(tensor).map_err(|problem| Problem::Malformed(format!("function `{}`: {problem}", name())))?;
        }
    }
    Ok(())
}

fn check_node<'a>(node: &'a NodeProto, seen: &mut Seen<'a, '_>) -> Result<(), Problem> {
    let label =
        || shown(if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() });
    if node.output.iter().all(String::is_empty) {
        let operator = shown(node.op_type());
        return Err(Problem::Malformed(format!("node `{}` ({operator}) makes nothing", label())));
    }
    for input in node.input.iter().filter(|input| !input.is_empty()) {
        if !seen.contains(input) {
            return Err(Problem::Malformed(format!(
                "node `{}` reads `{}` before anything makes it",
                label(),
                shown(input)
            )));
        }
    }
    let may_hold = standard_domain(node.domain()).is_empty() && matches!(node.op_type(), "If" | "Loop" | "Scan");
    for attribute in &node.attribute {
        let nested =
            [AttributeType::Graph as i32, AttributeType::Graphs as i32].contains(&attribute.r#type.unwrap_or(0));
        if !may_hold && (nested || attribute.g.is_some()) || !attribute.graphs.is_empty() {
            return Err(Problem::Unsupported(
                format!("node `{}` ({}) with a nested graph", label(), shown(node.op_type())),
                "export the model without control flow".into(),
            ));
        }
        if let Some(graph) = &attribute.g {
            check_graph(graph, Some(seen))?;
        }
        if let Some(tensor) = &attribute.t {
            check_tensor(tensor).map_err(|problem| Problem::Malformed(format!("node `{}`: {problem}", label())))?;
        }
    }
    for output in node.output.iter().filter(|output| !output.is_empty()) {
        if !seen.made.insert(output) {
            return Err(Problem::Malformed(format!("node `{}` makes `{}` a second time", label(), shown(output))));
        }
    }
    Ok(())
}
