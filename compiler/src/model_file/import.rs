use std::collections::BTreeMap;

use super::aside::{is_declared_aside, is_text};
use super::body::Importer;
use super::constant_of;
use super::conversion::read_as;
use super::declared::{declared_types, element_type, free_symbol, input_type, origins};
use super::literals::of_trace;
use super::onnx::{ModelProto, ValueInfoProto};
use super::scope::{Imported, Scope};
use super::shared_names::shared_names;
use crate::CompilerError;
use crate::graph::{Graph, Length, Node, TensorType, ValueId, standard_domain};
use crate::operators::OperatorCatalog;
use millstream_schemas::{AxisLength, shown};

/// A file as a graph: its nodes as they stand, but for functions, branches and loops, which are written out, and operators of
/// old versions, which become new ones. Types are known as far as the file states them or the rules of a catalog can tell. An
/// axis without a length has the file's name for it, or one of its own. `shapes` are those of inputs that the data decides:
/// they say how many axes there are where the file does not. `lengths` are those of axes that have one in all batches, by the names
/// that the graph has for them without. The graph follows version `least` of the standard operators at least.
///
/// # Errors
/// What a branch or a loop does is known only in the run, or more is written out than the limits allow.
pub(crate) fn import(
    proto: &ModelProto,
    shapes: &BTreeMap<String, Vec<AxisLength>>,
    lengths: &BTreeMap<String, usize>,
    least: i64,
    catalog: &OperatorCatalog,
) -> Result<Graph, CompilerError> {
    let file = proto.graph.as_ref().expect("the gate refuses a model without a graph");
    let opset = super::gate::opset(proto).expect("the gate refuses a model without an opset");
    let mut graph = Graph::new(read_as(opset).max(least), catalog.clone());
    graph.file_opset = opset;
    for import in &proto.opset_import {
        if !standard_domain(import.domain()).is_empty() {
            graph.other_opsets.insert(import.domain().to_owned(), import.version());
        }
    }
    let mut scope = Scope::file(opset);
    for tensor in &file.initializer {
        if is_text(tensor) {
            scope.insert(tensor.name(), Imported::Aside);
            continue;
        }
        let constant = constant_of(tensor).expect("the gate checked every tensor");
        scope.insert(tensor.name(), Imported::Tensor(graph.constant(tensor.name(), constant)));
    }
    let rows = free_symbol(file);
    let ranks = |input: &ValueInfoProto| shapes.get(input.name()).map(Vec::len);
    let given = file.input.iter().filter(|input| scope.find(input.name()).is_none() && !is_declared_aside(input));
    let typed = given.map(|input| (input.name(), input_type(input, ranks(input), &rows)));
    let shared = shared_names(&typed.collect::<Vec<_>>());
    let of_one = |known: TensorType| known.with(&|name| lengths.get(name).map(Length::from));
    let in_shared = |known: TensorType| of_one(known.with(&|name| shared.get(name).cloned()));
    for input in &file.input {
        if let Some(Imported::Tensor(constant)) = scope.find(input.name()) {
            // up to IR version 3 every initializer is listed as an input
            if proto.ir_version() > 3 {
                graph.set_overridable(*constant);
            }
            continue;
        }
        if scope.find(input.name()).is_some() {
            continue;
        }
        if is_declared_aside(input) {
            scope.insert(input.name(), Imported::Aside);
            continue;
        }
        let value = graph.untyped_input(input.name(), input_type(input, ranks(input), &rows).map(in_shared));
        graph.set_element_type(value, element_type(input));
        scope.insert(input.name(), Imported::Tensor(value));
    }
    let declared = declared_types(file, &rows).into_iter().map(|(name, known)| (name, in_shared(known)));
    let mut importer = Importer::new(proto, file, graph, declared.collect(), catalog);
    importer.nodes(&file.node, &mut scope)?;
    let mut graph = importer.finish();
    for value in &file.value_info {
        if let Some(Imported::Tensor(id)) = scope.find(value.name()) {
            graph.set_declared(*id);
        }
    }
    for (name, origin) in origins(proto) {
        if let Some(Imported::Tensor(id)) = scope.find(name) {
            graph.set_origin(*id, Some(origin));
        }
    }
    // of the file as it is: what is added to the graph later has names of its own
    for (id, origin) in of_trace(file, &graph) {
        graph.set_origin(id, Some(origin));
    }
    for output in &file.output {
        let found = scope.find(output.name()).expect("the gate checked that outputs are made");
        if matches!(found, Imported::Aside | Imported::Nothing) {
            continue;
        }
        let value = found.tensor().ok_or_else(|| {
            CompilerError::unsupported(
                format!("output `{}`, a sequence of tensors,", shown(output.name())),
                "outputs are tensors; export the model with its members as outputs",
            )
        })?;
        let value = called(&mut graph, value, output.name());
        graph.set_element_type(value, element_type(output));
        graph.output(value);
    }
    if graph.outputs().is_empty() {
        let names = file.output.iter().map(|output| format!("`{}`", shown(output.name())));
        return Err(CompilerError::unsupported(
            format!(
                "a model whose outputs are made of strings, maps or sequences ({})",
                names.collect::<Vec<_>>().join(", ")
            ),
            "export the part of it that reads and makes tensors of numbers, for example behind the encoding of its categories",
        ));
    }
    Ok(graph)
}

/// A value under a name that the file gives it: itself, or a copy where it has another.
fn called(graph: &mut Graph, value: ValueId, name: &str) -> ValueId {
    if graph.name(value) == name {
        return value;
    }
    let stated = graph.tensor_type(value).cloned();
    let copy =
        Node { name: name.to_owned(), operator: "Identity".into(), inputs: vec![Some(value)], ..Node::default() };
    graph.push_named(copy, &[name.to_owned()], &|_, _| stated.clone());
    let made = graph.nodes().last().and_then(|node| node.outputs[0]);
    made.expect("a node with a named output was just added")
}
