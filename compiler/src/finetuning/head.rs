use std::collections::HashMap;

use crate::CompilerError;
use crate::finetuning::nodes::{named, producers};
use crate::graph::{Constant, Graph, TensorType, ValueId};
use crate::inference::infer_behind;
use crate::initializers::{Fans, Initializer};
use crate::losses::PredictionKind;
use crate::operators::OperatorCatalog;
use millstream_schemas::shown;

/// The last linear layer of a model, or the last convolution: a linear layer at each place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The output it leads to.
    pub output: ValueId,
    /// The value that holds the class scores before any softmax.
    pub logits: ValueId,
    /// Index of the node that multiplies.
    pub node: usize,
    /// The weight.
    pub weight: ValueId,
    /// The bias, if it has one.
    pub bias: Option<ValueId>,
    /// Which axis of the weight counts classes; all others together count features.
    pub class_axis: usize,
    /// Number of classes.
    pub classes: usize,
    /// Whether what it multiplies is known to be a matrix with a row for each row of scores.
    pub reads_matrix: bool,
}

/// Finds the linear layer that makes an output: walks back over what makes probabilities of its scores, shape operators and
/// enlargements, then over the addition of a bias, to a `Gemm`, `MatMul` or `Conv` with constant weights.
pub(crate) fn find_head(graph: &Graph, output: Option<&str>, reads: PredictionKind) -> Result<Head, CompilerError> {
    let output = chosen_output(graph, output)?;
    let producers = producers(graph);
    // a constant that no node makes
    let weight_of = |value: Option<ValueId>| {
        value.filter(|value| !producers.contains_key(value) && graph.float_constant(*value).is_some())
    };
    let (mut value, mut logits, mut bias, mut reshaped) = (output, output, None, false);
    let none_here = |what: &str| {
        CompilerError::setting(
            "model.head",
            format!(
                "no linear head leads to output `{}`: {what}. Name another output with model.output, or keep the head and \
             choose layers with model.train",
                shown(graph.name(output))
            ),
        )
    };
    loop {
        let Some(index) = producers.get(&value).copied() else {
            return Err(none_here(&format!("`{}` is made by no node", shown(graph.name(value)))));
        };
        let node = &graph.nodes()[index];
        let first = || node.input(0).ok_or_else(|| none_here(&format!("`{}` has no input", graph.label(node))));
        match node.operator.as_str() {
            operator if links(reads).contains(&operator) => {
                value = first()?;
                logits = value;
            }
            "Dropout" | "Identity" | "Resize" => value = first()?,
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => (value, reshaped) = (first()?, true),
            "Add" if bias.is_none() => {
                let sides = [(node.input(0), node.input(1)), (node.input(1), node.input(0))];
                let constant = sides.into_iter().find(|(constant, _)| weight_of(*constant).is_some());
                let Some((constant, Some(computed))) = constant else {
                    return Err(none_here(&format!("`{}` adds two computed values", graph.label(node))));
                };
                bias = constant;
                value = computed;
            }
            "Gemm" | "MatMul" => {
                let weight = weight_of(node.input(1));
                let shape = weight.and_then(|weight| graph.constant_of(weight)).map(|weight| weight.shape.as_slice());
                let (Some(weight), Some(shape @ [_, _])) = (weight, shape) else {
                    return Err(none_here(&format!("`{}` multiplies two computed values", graph.label(node))));
                };
                if bias.is_some() && node.input(2).is_some() {
                    return Err(none_here(&format!("two biases are added behind `{}`", graph.label(node))));
                }
                let class_axis = if node.int("transB").unwrap_or(0) != 0 { 0 } else { 1 };
                let is_matrix = graph.tensor_type(output).is_some_and(|known| known.shape.len() == 2);
                return Ok(Head {
                    reads_matrix: !reshaped && (node.is("Gemm") || is_matrix),
                    logits,
                    node: index,
                    weight,
                    bias: bias.or(node.input(2)),
                    class_axis,
                    classes: shape[class_axis],
                    output,
                });
            }
            "Conv" => {
                let weight = weight_of(node.input(1));
                let shape = weight.and_then(|weight| graph.constant_of(weight)).map(|weight| weight.shape.as_slice());
                let (Some(weight), Some([classes, _, _, ..]), 1) = (weight, shape, node.int("group").unwrap_or(1))
                else {
                    return Err(none_here(&format!("{} mixes not all channels", named(graph, node))));
                };
                if bias.is_some() {
                    return Err(none_here(&format!("a constant is added behind {}", named(graph, node))));
                }
                return Ok(Head {
                    reads_matrix: false,
                    logits,
                    node: index,
                    weight,
                    bias: node.input(2),
                    class_axis: 0,
                    classes: *classes,
                    output,
                });
            }
            _ => return Err(none_here(&format!("{} is no dense layer", named(graph, node)))),
        }
    }
}

/// What stands between scores and an output. The head is found behind a softmax also where the loss reads what it gives.
fn links(reads: PredictionKind) -> &'static [&'static str] {
    match reads.links() {
        [] => PredictionKind::ClassScores.links(),
        links => links,
    }
}

/// The scores before any softmax or sigmoid that belongs to them: of the linear head, or else of the output itself.
pub(crate) fn find_scores(
    graph: &Graph,
    output: Option<&str>,
    reads: PredictionKind,
) -> Result<ValueId, CompilerError> {
    if let Ok(head) = find_head(graph, output, reads) {
        return Ok(head.logits);
    }
    let output = chosen_output(graph, output)?;
    let producers = producers(graph);
    let mut value = output;
    while let Some(node) = producers.get(&value).map(|index| &graph.nodes()[*index]) {
        match (node.operator.as_str(), node.input(0)) {
            ("Identity", Some(input)) => value = input,
            (operator, Some(input)) if reads.links().contains(&operator) => return Ok(input),
            _ => break,
        }
    }
    Ok(output)
}

pub(crate) fn chosen_output(graph: &Graph, wanted: Option<&str>) -> Result<ValueId, CompilerError> {
    let names: Vec<&str> = graph.outputs().iter().map(|output| graph.name(*output)).collect();
    match (wanted, graph.outputs()) {
        (None, [only]) => Ok(*only),
        (None, several) => Err(CompilerError::setting(
            "model.output",
            format!(
                "the model has {} outputs ({}); name the one with the class scores with model.output",
                several.len(),
                list(&names)
            ),
        )),
        (Some(wanted), outputs) => match names.iter().position(|name| *name == wanted) {
            Some(at) => Ok(outputs[at]),
            None => {
                let hint = millstream_schemas::nearest(wanted, names.iter().copied())
                    .map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)));
                Err(CompilerError::setting(
                    "model.output",
                    format!("the model has no output `{wanted}`{hint} (it has {})", list(&names)),
                ))
            }
        },
    }
}

fn list(names: &[&str]) -> String {
    names.iter().take(8).map(shown).collect::<Vec<_>>().join(", ")
}

/// Puts fresh weights for `classes` classes in the head's place; its bias starts at zero.
pub(crate) fn replace_head(
    graph: &mut Graph,
    head: &mut Head,
    classes: usize,
    how: &Initializer,
    seed: u64,
    catalog: &OperatorCatalog,
) -> Result<(), CompilerError> {
    let reads = |value: &ValueId| {
        graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten()).filter(|read| *read == value).count()
    };
    if let Some(shared) = [Some(head.weight), head.bias].into_iter().flatten().find(|value| reads(value) > 1) {
        return Err(CompilerError::setting(
            "model.head",
            format!(
                "the head's weight `{}` is shared with another node, so it cannot be replaced; use `head: keep`",
                shown(graph.name(shared))
            ),
        ));
    }
    let mut shape = graph.constant_of(head.weight).expect("find_head saw it").shape.clone();
    shape[head.class_axis] = classes;
    let others = shape.iter().enumerate().filter(|(axis, _)| *axis != head.class_axis).map(|(_, length)| *length);
    let features = others.fold(1, usize::saturating_mul);
    if !TensorType::f32(shape.clone()).fits_a_machine() || features == 0 {
        return Err(CompilerError::Selection(format!("a head of {features} features and {classes} classes")));
    }
    let weight = how.draw(&shape, Fans::of_dense(features, classes), seed, graph.name(head.weight));
    graph.set_constant(head.weight, weight);
    if let Some(bias) = head.bias {
        graph.set_constant(bias, Constant::f32([classes], &vec![0.0; classes]));
    }
    head.classes = classes;
    restate(graph, head, classes, catalog);
    Ok(())
}

/// Types behind the head speak of the old classes: where the rules cannot tell them, those whose axis still counts classes,
/// the last one or that of a convolution's channels, are restated, the others are not known any more.
fn restate(graph: &mut Graph, head: &Head, classes: usize, catalog: &OperatorCatalog) {
    const KEEP_AXES: [&str; 8] = ["Add", "Cast", "Dropout", "Identity", "LogSoftmax", "Resize", "Sigmoid", "Softmax"];
    let is_channel = graph.nodes()[head.node].is("Conv");
    let mut of_classes: HashMap<ValueId, Option<TensorType>> = HashMap::new();
    for (at, node) in graph.nodes().iter().enumerate().skip(head.node) {
        let reads_classes = node.inputs.iter().flatten().any(|input| of_classes.contains_key(input));
        if at == head.node || reads_classes && KEEP_AXES.contains(&node.operator.as_str()) {
            for made in node.outputs.iter().flatten() {
                let mut known = graph.tensor_type(*made).cloned();
                let shape = known.as_mut().map(|known| known.shape.as_mut_slice());
                if let Some(counts) =
                    shape.and_then(|shape| if is_channel { shape.get_mut(1) } else { shape.last_mut() })
                {
                    *counts = classes.into();
                }
                of_classes.insert(*made, known);
            }
        }
    }
    let changed: Vec<ValueId> = std::iter::once(head.weight).chain(head.bias).collect();
    infer_behind(graph, changed, catalog, &|value| of_classes.get(&value).cloned().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{graph, model, node, read, value, weight, with};
    use crate::model_file::onnx::{ModelProto, NodeProto, ValueInfoProto, type_proto};
    use crate::{FineTuning, compile};
    use prost::Message;

    fn network(nodes: Vec<NodeProto>, outputs: Vec<ValueInfoProto>) -> Graph {
        let shapes: [(&str, &[usize]); 5] =
            [("w", &[4, 3]), ("turned", &[3, 4]), ("b", &[3]), ("cube", &[2, 4, 3]), ("kernel", &[3, 4, 1, 1])];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        read(graph(nodes, weights, vec![value("x", &[4]), value("z", &[4])], outputs))
    }

    #[test]
    fn the_head_is_found_in_every_form_that_exporters_write() {
        let gemm = |inputs: &[&str], output: &str| node("Gemm", inputs, &[output]);
        let then = |operator: &str| node(operator, &["s"], &["y"]);
        let turned = |inputs: &[&str], output: &str| with(gemm(inputs, output), "transB", &[1]);
        let matmul = || node("MatMul", &["x", "w"], &["m"]);
        let conv = |groups: i64| with(node("Conv", &["x", "kernel", "b"], &["s"]), "group", &[groups]);
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
            (vec![conv(1), then("Flatten")], Ok(("y", "kernel", Some("b"), 0, false))),
            (vec![conv(1), node("Resize", &["s", "", "b"], &["y"])], Ok(("y", "kernel", Some("b"), 0, false))),
            (vec![conv(2), then("Flatten")], Err("node `s` (Conv) mixes not all channels")),
            (vec![node("MatMul", &["x", "z"], &["y"])], Err("`y` multiplies two computed values")),
            (vec![node("MatMul", &["x", "cube"], &["y"])], Err("`y` multiplies two computed values")),
            (vec![node("Add", &["x", "z"], &["y"])], Err("`y` adds two computed values")),
            (vec![node("Relu", &["x"], &["y"])], Err("node `y` (Relu) is no dense layer")),
            (vec![node("Identity", &["x"], &["y"])], Err("`x` is made by no node")),
        ];
        for (nodes, wanted) in rows {
            let graph = network(nodes, vec![value("y", &[3])]);
            match (find_head(&graph, None, PredictionKind::ClassScores), wanted) {
                (Ok(head), Ok(wanted)) => {
                    let Head { logits, weight, bias, class_axis, reads_matrix, classes, .. } = &head;
                    let (logits, weight) = (graph.name(*logits), graph.name(*weight));
                    let bias = bias.map(|bias| graph.name(bias));
                    assert_eq!((logits, weight, bias, *class_axis, *reads_matrix), wanted);
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
            node("Unlisted", &["y"], &["best"]),
            node("Relu", &["z"], &["apart"]),
        ];
        let outputs = ["y", "probability", "best", "apart"].map(|name| value(name, &[3])).to_vec();
        let mut graph = network(nodes, outputs);
        let error = find_head(&graph, None, PredictionKind::ClassScores).unwrap_err().to_string();
        assert!(error.contains("the model has 4 outputs (y, probability, best, apart)"), "{error}");
        let error = find_head(&graph, Some("probabilities"), PredictionKind::ClassScores).unwrap_err().to_string();
        assert!(error.contains("did you mean `probability`?"), "{error}");
        let mut head = find_head(&graph, Some("probability"), PredictionKind::ClassScores).unwrap();
        replace_head(&mut graph, &mut head, 7, &Initializer::default(), 0, &OperatorCatalog::standard()).unwrap();
        let dims = |name: &str| graph.constant_of(graph.find(name).unwrap()).unwrap().shape.clone();
        assert_eq!((dims("w"), dims("b")), (vec![4, 7], vec![7]));
        let last = |value: &ValueId| graph.tensor_type(*value).map(|known| known.shape[1].fixed().unwrap());
        assert_eq!(graph.outputs().iter().map(last).collect::<Vec<_>>(), [Some(7), Some(7), None, Some(4)]);
    }

    #[test]
    fn outputs_whose_shape_nobody_knows_keep_their_element_type_in_the_exported_file() {
        let nodes = vec![node("Gemm", &["x", "w", "b"], &["s"]), node("odd.Curve", &["s"], &["y"])];
        let weights = vec![weight("w", &[4, 3]), weight("b", &[3])];
        let outputs = vec![value("s", &[3]), value("y", &[3])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], outputs));
        let wanted = FineTuning { output: Some("s".into()), ..FineTuning::head(2, 7) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let exported =
            ModelProto::decode(program.export(&program.parameters, &[]).unwrap().to_vec().as_slice()).unwrap();
        for output in &exported.graph.unwrap().output {
            let Some(type_proto::Value::TensorType(tensor)) = &output.r#type.as_ref().unwrap().value else { panic!() };
            assert_eq!(tensor.elem_type(), 1, "{}", output.name());
        }
    }
}
