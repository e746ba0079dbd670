use std::collections::{BTreeMap, HashMap};

use super::constant_of;
use super::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_shape_proto, tensor_shape_proto::dimension::Value as Dimension, type_proto,
};
use crate::CompilerError;
use crate::graph::{Attribute, ElementType, Graph, Length, Node, TensorType, ValueId, standard_domain};
use crate::operators::OperatorCatalog;
use crate::simplify;
use millstream_schemas::{AxisLength, shown};

/// Lengths for the symbolic axes of a model's inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    /// Length of a symbolic first axis, if it is one of a batch. With a name, axes that nobody fixes stay open as well.
    pub(crate) batch: Option<AxisLength>,
    /// Whole shapes by input name, where the data decides them.
    pub(crate) shapes: BTreeMap<String, Vec<AxisLength>>,
    /// Types of values by name, where neither an operator's rule nor the file tells them.
    pub(crate) stated: BTreeMap<String, TensorType>,
}

/// A length as shapes of a graph hold it.
pub(crate) fn length_of(length: &AxisLength) -> Length {
    match length {
        AxisLength::Fixed(length) => length.into(),
        AxisLength::Named(name) => Length::named(name),
    }
}

/// A model as a graph, by the rules of a catalog.
pub(crate) fn import(
    proto: &ModelProto,
    bindings: &Bindings,
    catalog: &OperatorCatalog,
) -> Result<Graph, CompilerError> {
    let file = proto.graph.as_ref().expect("the gate refuses a model without a graph");
    let opset = super::gate::opset(proto).expect("the gate refuses a model without an opset");
    let mut graph = Graph::new(opset, catalog.clone());
    for import in &proto.opset_import {
        if !matches!(import.domain(), "" | "ai.onnx") {
            graph.other_opsets.insert(import.domain().to_owned(), import.version());
        }
    }
    let mut values: HashMap<&str, ValueId> = HashMap::new();
    for tensor in &file.initializer {
        let constant = constant_of(tensor).expect("the gate checked every tensor");
        values.insert(tensor.name(), graph.constant(tensor.name(), constant));
    }
    let mut symbols = HashMap::new();
    for input in &file.input {
        if values.contains_key(input.name()) {
            continue; // up to IR version 3 every initializer is listed as an input too
        }
        let tensor_type = bind(input, bindings, &mut symbols)?;
        values.insert(input.name(), graph.input(input.name(), tensor_type));
    }
    let declared = declared_types(file, &symbols);
    let type_of = |name: &str| declared.get(name).or_else(|| bindings.stated.get(name)).cloned();
    let mut budget = simplify::FOLDED_BYTES;
    for node in &file.node {
        let inputs = node.input.iter().map(|name| values.get(name.as_str()).copied()).collect();
        let parsed = Node {
            name: node.name().to_owned(),
            operator: node.op_type().to_owned(),
            domain: standard_domain(node.domain()).to_owned(),
            inputs,
            outputs: Vec::new(),
            attributes: attributes(node)?,
        };
        graph.add_from_file(parsed, &node.output, &type_of)?;
        simplify::fold_last(&mut graph, catalog, &mut budget)?;
        let made = graph.nodes().last().expect("a node was just added");
        let outputs = made.outputs.clone();
        for (name, id) in node.output.iter().zip(outputs) {
            values.extend(id.map(|id| (name.as_str(), id)));
        }
    }
    for output in &file.output {
        graph.output(values[output.name()]);
    }
    Ok(graph)
}

/// Lengths of a declared value's axes, `None` for symbolic ones; nothing when no shape is declared.
pub(crate) fn known_shape(value: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let length = |dim: &tensor_shape_proto::Dimension| match &dim.value {
        Some(Dimension::DimValue(length)) => usize::try_from(*length).ok().filter(|length| *length > 0),
        _ => None,
    };
    let shape = tensor_of(value)?.shape.as_ref()?;
    Some(shape.dim.iter().map(length).collect())
}

/// What the elements of a declared value are.
pub(super) fn element_type(value: &ValueInfoProto) -> Option<ElementType> {
    ElementType::from_onnx(tensor_of(value)?.elem_type())
}

fn tensor_of(value: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}

fn symbol(value: &ValueInfoProto, axis: usize) -> Option<&str> {
    match &tensor_of(value)?.shape.as_ref()?.dim.get(axis)?.value {
        Some(Dimension::DimParam(name)) if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// The type of an input, its symbolic axes given lengths or names.
fn bind(
    input: &ValueInfoProto,
    bindings: &Bindings,
    symbols: &mut HashMap<String, Length>,
) -> Result<TensorType, CompilerError> {
    let name = shown(input.name());
    let dtype = tensor_of(input).and_then(|tensor| ElementType::from_onnx(tensor.elem_type())).ok_or_else(|| {
        CompilerError::unsupported(format!("input `{name}`"), "inputs must be tensors of numbers with a declared type")
    })?;
    let wanted = bindings.shapes.get(input.name());
    // without a declared shape any will do, so the data's
    let declared = known_shape(input).or_else(|| wanted.map(|wanted| vec![None; wanted.len()]));
    let declared = declared.ok_or_else(|| {
        CompilerError::unsupported(
            format!("input `{name}` without a declared shape"),
            "export the model with the shapes of its inputs",
        )
    })?;
    if let Some(wanted) = wanted {
        let same = |length: usize, wanted: &AxisLength| wanted.fixed().is_none_or(|wanted| wanted == length);
        let fits = declared.len() == wanted.len()
            && declared.iter().zip(wanted).all(|(length, wanted)| length.is_none_or(|length| same(length, wanted)));
        if !fits {
            let show = |length: &Option<usize>| length.map_or("?".into(), |length| length.to_string());
            let shape: Vec<String> = declared.iter().map(show).collect();
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            return Err(CompilerError::Selection(format!(
                "input `{name}` takes [{}] and the data gives [{}]",
                shape.join(", "),
                wanted.join(", ")
            )));
        }
    }
    let is_open = bindings.batch.as_ref().is_some_and(|batch| batch.fixed().is_none());
    let mut shape = Vec::with_capacity(declared.len());
    for (axis, length) in declared.iter().enumerate() {
        let given = wanted.map(|wanted| length_of(&wanted[axis]));
        let earlier = symbol(input, axis).and_then(|symbol| symbols.get(symbol).cloned());
        let batch = bindings.batch.as_ref().filter(|_| axis == 0).map(length_of);
        let own_name = || symbol(input, axis).map_or_else(|| format!("{}_axis_{axis}", input.name()), str::to_owned);
        let open = is_open.then(|| Length::named(&own_name()));
        let Some(length) = length.map(Length::from).or(given).or(earlier).or(batch).or(open) else {
            return Err(CompilerError::unsupported(
                format!("input `{name}` with axis {axis} of unknown length"),
                "state the size by a transform with a fixed output size, or export the model with a fixed size",
            ));
        };
        if let Some(symbol) = symbol(input, axis) {
            symbols.insert(symbol.to_owned(), length.clone());
        }
        shape.push(length);
    }
    if let (Some(fixed), Some(batch)) = (declared.first().copied().flatten(), &bindings.batch)
        && *batch != AxisLength::Fixed(fixed)
    {
        return Err(CompilerError::setting(
            "data.batch",
            format!(
                "input `{name}` takes a fixed batch of {fixed} rows and the recipe says {batch}; set data.batch to it, or \
                 export the model with a symbolic first axis"
            ),
        ));
    }
    let bound = TensorType { dtype, shape };
    if !bound.fits_a_machine() {
        return Err(CompilerError::Selection(format!("input `{name}` is {bound}, which no machine holds")));
    }
    Ok(bound)
}

/// Types that the file declares for values inside the graph, where all their axes are known or named as one of an input.
fn declared_types(file: &GraphProto, symbols: &HashMap<String, Length>) -> HashMap<String, TensorType> {
    let complete = |value: &ValueInfoProto| {
        let dtype = ElementType::from_onnx(tensor_of(value)?.elem_type())?;
        let lengths = known_shape(value)?.into_iter().enumerate();
        let shape = lengths
            .map(|(axis, length)| length.map(Length::from).or_else(|| symbols.get(symbol(value, axis)?).cloned()))
            .collect::<Option<Vec<Length>>>()?;
        let declared = TensorType { dtype, shape };
        declared.fits_a_machine().then(|| (value.name().to_owned(), declared))
    };
    file.value_info.iter().chain(&file.output).filter_map(complete).collect()
}

fn attributes(node: &NodeProto) -> Result<BTreeMap<String, Attribute>, CompilerError> {
    node.attribute.iter().map(|proto| Ok((proto.name().to_owned(), attribute(node, proto)?))).collect()
}

fn attribute(node: &NodeProto, proto: &AttributeProto) -> Result<Attribute, CompilerError> {
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let kind = proto.r#type.and_then(|kind| AttributeType::try_from(kind).ok());
    Ok(match kind {
        Some(AttributeType::Float) => Attribute::Float(proto.f()),
        Some(AttributeType::Int) => Attribute::Int(proto.i()),
        Some(AttributeType::String) => Attribute::String(proto.s.as_ref().map(text).unwrap_or_default()),
        Some(AttributeType::Floats) => Attribute::Floats(proto.floats.clone()),
        Some(AttributeType::Ints) => Attribute::Ints(proto.ints.clone()),
        Some(AttributeType::Strings) => Attribute::Strings(proto.strings.iter().map(text).collect()),
        Some(AttributeType::Tensor) if proto.t.is_some() => {
            let tensor = proto.t.as_ref().expect("just seen");
            Attribute::Tensor(constant_of(tensor).expect("the gate checked every tensor"))
        }
        _ => {
            return Err(CompilerError::unsupported(
                format!(
                    "attribute `{}` of node `{}` ({})",
                    shown(proto.name()),
                    shown(node.name()),
                    shown(node.op_type())
                ),
                "only numbers, strings and dense tensors are read",
            ));
        }
    })
}
