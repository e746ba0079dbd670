use std::collections::{HashMap, HashSet};

use millstream_schemas::recipe::Initializer;

use crate::CompilerError;
use crate::finetuning::nodes::{named, producers};
use crate::graph::{Constant, TensorType};
use crate::initializers::{Fans, draw};
use crate::model_file::known_shape;
use crate::model_file::onnx::{
    GraphProto, ModelProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension::Value as Length, type_proto,
};
use millstream_schemas::shown;

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
    /// Whether what it multiplies is known to be a matrix with a row for each row of scores.
    pub reads_matrix: bool,
}

/// Finds the linear layer that makes an output: walks back over softmax and shape operators, then over the addition of
/// a bias, to a `Gemm` or `MatMul` with constant weights.
pub(crate) fn find_head(graph: &GraphProto, output: Option<&str>) -> Result<Head, CompilerError> {
    let output = chosen_output(graph, output)?;
    let producers = producers(graph);
    let tensors: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let weight_of =
        |name: Option<&str>| name.and_then(|name| tensors.get(name)).filter(|tensor| tensor.data_type() == 1);
    let (mut value, mut logits, mut bias, mut reshaped) = (output.as_str(), output.as_str(), None, false);
    let none_here = |what: &str| {
        CompilerError::setting(
            "model.head",
            format!(
                "no linear head leads to output `{}`: {what}. Name another output with model.output, or keep the head and \
             choose layers with model.train",
                shown(&output)
            ),
        )
    };
    loop {
        let Some(index) = producers.get(value).copied() else {
            return Err(none_here(&format!("`{}` is made by no node", shown(value))));
        };
        let node = &graph.node[index];
        let input = |at: usize| node.input.get(at).map(String::as_str).filter(|name| !name.is_empty());
        let first = || input(0).ok_or_else(|| none_here(&format!("`{}` has no input", shown(node.name()))));
        match node.op_type() {
            "Softmax" | "LogSoftmax" => {
                value = first()?;
                logits = value;
            }
            "Identity" => value = first()?,
            "Flatten" | "Squeeze" | "Reshape" => (value, reshaped) = (first()?, true),
            "Add" if bias.is_none() => {
                let sides = [(input(0), input(1)), (input(1), input(0))];
                let constant = sides.into_iter().find(|(constant, _)| weight_of(*constant).is_some());
                let Some((constant, Some(computed))) = constant else {
                    return Err(none_here(&format!("`{}` adds two computed values", shown(node.name()))));
                };
                bias = constant;
                value = computed;
            }
            "Gemm" | "MatMul" => {
                let Some(weight) = weight_of(input(1)).filter(|weight| weight.dims.len() == 2) else {
                    return Err(none_here(&format!("`{}` multiplies two computed values", shown(node.name()))));
                };
                let transposed =
                    node.attribute.iter().any(|attribute| attribute.name() == "transB" && attribute.i() != 0);
                let class_axis = if transposed { 0 } else { 1 };
                let is_matrix = |output: &ValueInfoProto| known_shape(output).is_some_and(|shape| shape.len() == 2);
                let declared = graph.output.iter().any(|declared| declared.name() == output && is_matrix(declared));
                return Ok(Head {
                    reads_matrix: !reshaped && (node.op_type() == "Gemm" || declared),
                    logits: logits.to_owned(),
                    node: index,
                    weight: weight.name().to_owned(),
                    bias: bias.or(input(2)).map(str::to_owned),
                    class_axis,
                    classes: weight.dims[class_axis] as usize,
                    output,
                });
            }
            _ => {
                return Err(none_here(&format!("{} is no dense layer", named(node))));
            }
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

pub(crate) fn chosen_output(graph: &GraphProto, wanted: Option<&str>) -> Result<String, CompilerError> {
    let names: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
    match (wanted, names.as_slice()) {
        (None, [only]) => Ok((*only).to_owned()),
        (None, several) => Err(CompilerError::setting(
            "model.output",
            format!(
                "the model has {} outputs ({}); name the one with the class scores with model.output",
                several.len(),
                list(several)
            ),
        )),
        (Some(wanted), names) if names.contains(&wanted) => Ok(wanted.to_owned()),
        (Some(wanted), names) => {
            let hint = millstream_schemas::nearest(wanted, names.iter().copied())
                .map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
            Err(CompilerError::setting(
                "model.output",
                format!("the model has no output `{wanted}`{hint} (it has {})", list(names)),
            ))
        }
    }
}

fn list(names: &[&str]) -> String {
    names.iter().take(8).map(shown).collect::<Vec<_>>().join(", ")
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
        return Err(CompilerError::setting(
            "model.head",
            format!(
                "the head's weight `{}` is shared with another node, so it cannot be replaced; use `head: keep`",
                shown(shared)
            ),
        ));
    }
    let old = graph.initializer.iter().find(|tensor| tensor.name() == head.weight).expect("find_head saw it");
    let features = old.dims[1 - head.class_axis] as usize;
    let shape = if head.class_axis == 0 { [classes, features] } else { [features, classes] };
    if !TensorType::f32(shape).fits_a_machine() || features == 0 {
        return Err(CompilerError::Selection(format!("a head of {features} features and {classes} classes")));
    }
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

/// Declared shapes behind the head speak of the old classes: those whose last axis still counts classes are restated,
/// the others are dropped.
fn restate_shapes(graph: &mut GraphProto, head: &Head, classes: usize) {
    const KEEP_AXES: [&str; 7] = ["Add", "Cast", "Dropout", "Identity", "LogSoftmax", "Sigmoid", "Softmax"];
    let mut behind: HashSet<&String> = graph.node[head.node].output.iter().collect();
    let mut of_classes = behind.clone();
    for node in &graph.node[head.node + 1..] {
        if node.input.iter().any(|input| behind.contains(input)) {
            behind.extend(&node.output);
        }
        if KEEP_AXES.contains(&node.op_type()) && node.input.iter().any(|input| of_classes.contains(input)) {
            of_classes.extend(&node.output);
        }
    }
    graph.value_info.retain(|value| value.name.as_ref().is_none_or(|name| !behind.contains(name)));
    graph.input.retain(|input| input.name() != head.weight && Some(input.name()) != head.bias.as_deref());
    for output in &mut graph.output {
        let (Some(name), Some(type_proto::Value::TensorType(tensor))) =
            (&output.name, output.r#type.as_mut().and_then(|kind| kind.value.as_mut()))
        else {
            continue;
        };
        if of_classes.contains(name) {
            if let Some(last) = tensor.shape.as_mut().and_then(|shape| shape.dim.last_mut()) {
                last.value = Some(Length::DimValue(classes as i64));
            }
        } else if behind.contains(name) {
            tensor.shape = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, node, proto, value, weight, with};
    use crate::model_file::onnx::NodeProto;

    fn network(nodes: Vec<NodeProto>, outputs: Vec<ValueInfoProto>) -> GraphProto {
        let shapes: [(&str, &[usize]); 4] = [("w", &[4, 3]), ("turned", &[3, 4]), ("b", &[3]), ("cube", &[2, 4, 3])];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        graph(nodes, weights, vec![value("x", &[4]), value("z", &[4])], outputs)
    }

    #[test]
    fn the_head_is_found_in_every_form_that_exporters_write() {
        let gemm = |inputs: &[&str], output: &str| node("Gemm", inputs, &[output]);
        let then = |operator: &str| node(operator, &["s"], &["y"]);
        let turned = |inputs: &[&str], output: &str| with(gemm(inputs, output), "transB", &[1]);
        let matmul = || node("MatMul", &["x", "w"], &["m"]);
        // nodes; logits, weight, bias, axis of the classes, whether it is known to read a matrix
        type Found<'a> = Result<(&'a str, &'a str, Option<&'a str>, usize, bool), &'a str>;
        let rows: Vec<(Vec<NodeProto>, Found<'_>)> = vec![
            (vec![gemm(&["x", "w", "b"], "y")], Ok(("y", "w", Some("b"), 1, true))),
            (vec![gemm(&["x", "w"], "y")], Ok(("y", "w", None, 1, true))),
            (vec![gemm(&["x", "w", ""], "y")], Ok(("y", "w", None, 1, true))),
            (vec![turned(&["x", "turned", "b"], "y")], Ok(("y", "turned", Some("b"), 0, true))),
            (vec![node("MatMul", &["x", "w"], &["y"])], Ok(("y", "w", None, 1, true))),
            (vec![matmul(), node("Add", &["m", "b"], &["y"])], Ok(("y", "w", Some("b"), 1, true))),
            (vec![matmul(), node("Add", &["b", "m"], &["y"])], Ok(("y", "w", Some("b"), 1, true))),
            (vec![gemm(&["x", "w", "b"], "s"), then("Softmax")], Ok(("s", "w", Some("b"), 1, true))),
            (vec![turned(&["x", "turned"], "s"), then("LogSoftmax")], Ok(("s", "turned", None, 0, true))),
            (vec![gemm(&["x", "w"], "s"), then("Flatten")], Ok(("y", "w", None, 1, false))),
            (
                vec![gemm(&["x", "w"], "t"), node("Softmax", &["t"], &["s"]), then("Flatten")],
                Ok(("t", "w", None, 1, false)),
            ),
            (vec![node("MatMul", &["x", "z"], &["y"])], Err("`y` multiplies two computed values")),
            (vec![node("MatMul", &["x", "cube"], &["y"])], Err("`y` multiplies two computed values")),
            (vec![node("Add", &["x", "z"], &["y"])], Err("`y` adds two computed values")),
            (vec![node("Relu", &["x"], &["y"])], Err("node `y` (Relu) is no dense layer")),
            (vec![node("Identity", &["x"], &["y"])], Err("`x` is made by no node")),
        ];
        for (nodes, wanted) in rows {
            match (find_head(&network(nodes, vec![value("y", &[3])]), None), wanted) {
                (Ok(head), Ok(wanted)) => {
                    let Head { logits, weight, bias, class_axis, reads_matrix, classes, .. } = &head;
                    assert_eq!((logits.as_str(), weight.as_str(), bias.as_deref(), *class_axis, *reads_matrix), wanted);
                    assert_eq!(*classes, 3);
                }
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (found, wanted) => panic!("wanted {wanted:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn of_several_outputs_one_is_named_and_only_shapes_that_count_classes_are_restated() {
        let nodes = vec![
            node("Gemm", &["x", "w", "b"], &["y"]),
            node("Softmax", &["y"], &["probability"]),
            node("ArgMax", &["y"], &["best"]),
            node("Relu", &["z"], &["apart"]),
        ];
        let outputs = ["y", "probability", "best", "apart"].map(|name| value(name, &[3])).to_vec();
        let mut model = proto(network(nodes, outputs));
        let graph = model.graph.as_ref().unwrap();
        let error = find_head(graph, None).unwrap_err().to_string();
        assert!(error.contains("the model has 4 outputs (y, probability, best, apart)"), "{error}");
        let error = find_head(graph, Some("probabilities")).unwrap_err().to_string();
        assert!(error.contains("did you mean `probability`?"), "{error}");
        let mut head = find_head(graph, Some("probability")).unwrap();
        replace_head(&mut model, &mut head, 7, Initializer::default(), 0).unwrap();
        let graph = model.graph.unwrap();
        let dims = |name: &str| graph.initializer.iter().find(|tensor| tensor.name() == name).unwrap().dims.clone();
        assert_eq!((dims("w"), dims("b")), (vec![4, 7], vec![7]));
        let last = |value: &ValueInfoProto| known_shape(value).map(|shape| shape[1].unwrap());
        assert_eq!(graph.output.iter().map(last).collect::<Vec<_>>(), [Some(7), Some(7), None, Some(3)]);
    }
}
