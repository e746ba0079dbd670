use std::collections::HashMap;

use millstream_schemas::recipe::Initializer;

use crate::CompilerError;
use crate::graph::Constant;
use crate::initializers::{Fans, draw};
use crate::model_file::onnx::{
    GraphProto, ModelProto, TensorProto, ValueInfoProto, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension::Value as Length, type_proto,
};

/// The last linear layer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The output it leads to.
    pub output: String,
    /// The value that holds the class scores before any softmax.
    pub logits: String,
    /// Index of the node that multiplies.
    pub node: usize,
    /// Name of the weight.
    pub weight: String,
    /// Name of the bias, if it has one.
    pub bias: Option<String>,
    /// Which axis of the weight counts classes.
    pub class_axis: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Finds the linear layer that makes an output: walks back over softmax and shape operators, then over the addition of
/// a bias, to a `Gemm` or `MatMul` with constant weights.
pub(crate) fn find_head(graph: &GraphProto, output: Option<&str>) -> Result<Head, CompilerError> {
    let output = chosen_output(graph, output)?;
    let producers = producers(graph);
    let tensors: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let weight_of =
        |name: Option<&str>| name.and_then(|name| tensors.get(name)).filter(|tensor| tensor.data_type() == 1);
    let (mut value, mut logits, mut bias) = (output.as_str(), output.as_str(), None);
    let none_here = |what: &str| {
        CompilerError::Selection(format!(
            "no linear head leads to output `{output}`: {what}. Name another output with model.output, or keep the \
             head and choose layers with model.train"
        ))
    };
    loop {
        let Some(index) = producers.get(value).copied() else {
            return Err(none_here(&format!("`{value}` is made by no node")));
        };
        let node = &graph.node[index];
        let input = |at: usize| node.input.get(at).map(String::as_str).filter(|name| !name.is_empty());
        let first = || input(0).ok_or_else(|| none_here(&format!("`{}` has no input", node.name())));
        match node.op_type() {
            "Softmax" | "LogSoftmax" => {
                value = first()?;
                logits = value;
            }
            "Identity" | "Flatten" | "Squeeze" | "Reshape" => value = first()?,
            "Add" if bias.is_none() => {
                let sides = [(input(0), input(1)), (input(1), input(0))];
                let constant = sides.into_iter().find(|(constant, _)| weight_of(*constant).is_some());
                let Some((constant, Some(computed))) = constant else {
                    return Err(none_here(&format!("`{}` adds two computed values", node.name())));
                };
                bias = constant;
                value = computed;
            }
            "Gemm" | "MatMul" => {
                let Some(weight) = weight_of(input(1)).filter(|weight| weight.dims.len() == 2) else {
                    return Err(none_here(&format!("`{}` multiplies two computed values", node.name())));
                };
                let transposed =
                    node.attribute.iter().any(|attribute| attribute.name() == "transB" && attribute.i() != 0);
                let class_axis = if transposed { 0 } else { 1 };
                return Ok(Head {
                    logits: logits.to_owned(),
                    node: index,
                    weight: weight.name().to_owned(),
                    bias: bias.or(input(2)).map(str::to_owned),
                    class_axis,
                    classes: weight.dims[class_axis] as usize,
                    output,
                });
            }
            other => return Err(none_here(&format!("`{}` is a {other}, not a dense layer", node.name()))),
        }
    }
}

/// The class scores before any softmax: of the linear head, or else of the output itself.
pub(crate) fn find_scores(graph: &GraphProto, output: Option<&str>) -> Result<String, CompilerError> {
    let output = chosen_output(graph, output)?;
    if let Ok(head) = find_head(graph, Some(&output)) {
        return Ok(head.logits);
    }
    let producers = producers(graph);
    let mut value = output.as_str();
    while let Some(node) = producers.get(value).map(|index| &graph.node[*index]) {
        match (node.op_type(), node.input.first()) {
            ("Identity", Some(input)) => value = input,
            ("Softmax" | "LogSoftmax", Some(input)) => return Ok(input.clone()),
            _ => break,
        }
    }
    Ok(output)
}

/// Index of the node that makes each value.
fn producers(graph: &GraphProto) -> HashMap<&str, usize> {
    let nodes = graph.node.iter().enumerate();
    let made = nodes.flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)));
    made.filter(|(name, _)| !name.is_empty()).collect()
}

fn chosen_output(graph: &GraphProto, wanted: Option<&str>) -> Result<String, CompilerError> {
    let names: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
    match (wanted, names.as_slice()) {
        (None, [only]) => Ok((*only).to_owned()),
        (None, several) => Err(CompilerError::Selection(format!(
            "the model has {} outputs ({}); name the one with the class scores with model.output",
            several.len(),
            several.join(", ")
        ))),
        (Some(wanted), names) if names.contains(&wanted) => Ok(wanted.to_owned()),
        (Some(wanted), names) => {
            let hint = millstream_schemas::nearest(wanted, names.iter().copied())
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            Err(CompilerError::Selection(format!(
                "the model has no output `{wanted}`{hint} (it has {})",
                names.join(", ")
            )))
        }
    }
}

/// Puts fresh weights for `classes` classes in the head's place; its bias starts at zero.
pub(crate) fn replace_head(
    model: &mut ModelProto,
    head: &mut Head,
    classes: usize,
    how: Initializer,
    seed: u64,
) -> Result<(), CompilerError> {
    let graph = model.graph.as_mut().expect("the gate refuses a model without a graph");
    let reads = |name: &str| graph.node.iter().flat_map(|node| &node.input).filter(|input| *input == name).count();
    if let Some(shared) = [Some(&head.weight), head.bias.as_ref()].into_iter().flatten().find(|name| reads(name) > 1) {
        return Err(CompilerError::Selection(format!(
            "the head's weight `{shared}` is shared with another node, so it cannot be replaced; use `head: keep`"
        )));
    }
    let old = graph.initializer.iter().find(|tensor| tensor.name() == head.weight).expect("find_head saw it");
    let features = old.dims[1 - head.class_axis] as usize;
    let shape = if head.class_axis == 0 { [classes, features] } else { [features, classes] };
    let weight = draw(how, &shape, Fans::of_dense(features, classes), seed, &head.weight);
    let zeros = Constant::f32([classes], &vec![0.0; classes]);
    for tensor in &mut graph.initializer {
        if tensor.name() == head.weight {
            *tensor = crate::graph::tensor_proto(&head.weight, &weight);
        } else if Some(tensor.name()) == head.bias.as_deref() {
            let name = tensor.name().to_owned();
            *tensor = crate::graph::tensor_proto(&name, &zeros);
        }
    }
    head.classes = classes;
    restate_shapes(graph, head, classes);
    Ok(())
}

/// Declared shapes behind the head speak of the old classes: the output is restated, the others are dropped.
fn restate_shapes(graph: &mut GraphProto, head: &Head, classes: usize) {
    let mut behind: Vec<String> = graph.node[head.node].output.clone();
    for node in &graph.node[head.node + 1..] {
        if node.input.iter().any(|input| behind.contains(input)) {
            behind.extend(node.output.iter().cloned());
        }
    }
    graph.value_info.retain(|value| !behind.contains(&value.name().to_owned()));
    graph.input.retain(|input| input.name() != head.weight && Some(input.name()) != head.bias.as_deref());
    for output in graph.output.iter_mut().filter(|output| behind.contains(&output.name().to_owned())) {
        if let Some(last) = last_axis(output) {
            last.value = Some(Length::DimValue(classes as i64));
        }
    }
}

fn last_axis(value: &mut ValueInfoProto) -> Option<&mut Dimension> {
    match value.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_mut()?.dim.last_mut(),
        _ => None,
    }
}
