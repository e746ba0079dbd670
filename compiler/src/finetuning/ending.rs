//! What a model does to its class scores before it gives them.

use std::collections::{HashMap, HashSet};

use super::score_effects::{ScoreEffect, leaves_rows_first, score_effect};
use crate::CompilerError;
use crate::finetuning::head::{head_behind, is_behind_linear_map};
use crate::finetuning::nodes::{named, producers};
use crate::graph::{Graph, Node, ValueId};
use crate::inference::infer_behind;
use crate::losses::PredictionKind;
use crate::operators::OperatorCatalog;
use millstream_schemas::shown;

/// The node that changes the scores on their way to this value, if there is one: the value's own maker, or one behind what moves, picks
/// or averages them. What makes chances of them, or bounded or cut numbers, or an index, leaves none that a softmax could take.
pub(crate) fn ending(graph: &Graph, value: ValueId) -> Option<&Node> {
    use ScoreEffect::{Averages, Bends, Chances, Indexes, Joins, Keeps, Picks, Reshapes, Resizes, Scales, Transposes};
    let makers = producers(graph);
    // Behind a mean or a sum, what was cut or bent there may be scores all the same; chances are not.
    let mut open = vec![(value, false)];
    let mut seen = 0;
    while let Some((value, mixed)) = open.pop() {
        let Some(node) = makers.get(&value).map(|index| &graph.nodes()[*index]) else { continue };
        seen += 1;
        if seen > graph.nodes().len() {
            return None;
        }
        match score_effect(node) {
            // the softmax that makes the output is taken away where the scores are looked for; this one stays
            Some(Chances) => return Some(node),
            Some(Bends | Indexes) if !mixed => return Some(node),
            Some(Keeps | Picks | Reshapes | Resizes | Transposes) => {
                open.extend(node.input(0).map(|value| (value, mixed)));
            }
            Some(Averages | Joins) => open.extend(node.inputs.iter().flatten().map(|value| (*value, true))),
            // by a number; a product of two computed values is something of its own
            Some(Scales) => {
                if let [only] = computed(node, &makers).as_slice() {
                    open.push((*only, mixed));
                }
            }
            _ => {}
        }
    }
    None
}

/// What a node reads that other nodes make.
fn computed(node: &Node, makers: &HashMap<ValueId, usize>) -> Vec<ValueId> {
    node.inputs.iter().flatten().copied().filter(|value| makers.contains_key(value)).collect()
}

/// Takes what follows a linear head out of the way of a new one, and says it; nothing where the head is bare, or followed
/// only by what makes probabilities of scores that are read so: a softmax over the classes, a sigmoid over labels.
pub(crate) fn lay_bare(
    graph: &mut Graph,
    output: ValueId,
    reads: PredictionKind,
    catalog: &OperatorCatalog,
) -> Option<String> {
    let removed = behind_head(graph, output, reads)?;
    let named_ones: Vec<String> = removed.iter().rev().map(|(index, _)| named(graph, &graph.nodes()[*index])).collect();
    let (first, _) = removed.last()?;
    let others = outputs_behind(graph, *first, output);
    let also = match others.as_slice() {
        [] => String::new(),
        others => format!("; this changes what is made of them too: output {}", others.join(", ")),
    };
    for (index, input) in &removed {
        graph.set_identity(*index, *input);
    }
    let changed: Vec<ValueId> = removed.iter().map(|(_, input)| *input).collect();
    infer_behind(graph, changed, catalog, &|_| None);
    let them = if removed.len() == 1 { "it" } else { "them" };
    Some(format!(
        "the model ends in {}; a new head is trained on what it gives itself, so the exported model goes without \
         {them}{also}",
        named_ones.join(", then ")
    ))
}

/// What makes something else of the scores of the last linear layer on their way to the output, from the output on: the
/// node, and the value that it changes. `None` where the way is not a single one, or has something that no score survives.
fn behind_head(graph: &Graph, output: ValueId, reads: PredictionKind) -> Option<Vec<(usize, ValueId)>> {
    use ScoreEffect::{
        Averages, Bends, Chances, Keeps, Logarithms, Picks, Reshapes, Resizes, Scales, Shifts, Transposes,
    };
    const FLOAT: i64 = 1;
    let makers = producers(graph);
    let mut removed = Vec::new();
    let mut value = output;
    let mut averaged = false;
    // A loop has no end, and the gate refuses graphs with one.
    for _ in 0..graph.nodes().len() {
        let index = *makers.get(&value)?;
        let node = &graph.nodes()[index];
        let (operator, effect) = (node.operator.as_str(), score_effect(node));
        let is_bent = matches!(effect, Some(Bends | Chances | Logarithms));
        let computed = computed(node, &makers);
        let is_sum = || head_behind(graph, value, reads).is_ok_and(|head| !head.others.is_empty());
        if !is_bent && is_sum() {
            return Some(removed);
        }
        let is_replaced = match (operator, effect) {
            ("Gemm" | "MatMul" | "Conv", _) => return Some(removed),
            // The bias of a product.
            ("Add", _) if computed.iter().any(|value| graph.nodes()[makers[value]].operator == "MatMul") => {
                return Some(removed);
            }
            ("Cast", _) if averaged || node.int("to") != Some(FLOAT) => return None,
            ("Cast", _) => true,
            (_, Some(Keeps | Reshapes)) => false,
            (_, Some(Transposes)) if leaves_rows_first(node) => false,
            (_, Some(Averages)) => {
                averaged = true;
                false
            }
            // means of what is bent at each place are of features, unless a linear layer at each place ends the model
            ("Relu", _) if averaged => is_behind_linear_map(graph, &makers, node).then_some(true)?,
            _ if averaged => return None,
            (_, Some(Picks | Resizes)) => false,
            _ if reads.links().contains(&operator) => !is_over_classes(graph, node),
            ("Add", _) | (_, Some(Scales | Shifts)) => true,
            _ if is_bent => true,
            _ => return None,
        };
        let moves = matches!(effect, Some(Picks | Resizes | Reshapes | Transposes));
        value = match computed.as_slice() {
            [only] => *only,
            // what says where to may be computed, too
            _ if moves => node.input(0)?,
            _ => return None,
        };
        if is_replaced {
            removed.push((index, value));
        }
    }
    None
}

/// Whether a softmax is over the classes, which are the second axis or the last; a sigmoid has no axis.
fn is_over_classes(graph: &Graph, node: &Node) -> bool {
    let axes = node.input(0).and_then(|input| graph.tensor_type(input)).map(|known| known.shape.len() as i64);
    node.int("axis").is_none_or(|axis| matches!(axis, 1 | -1) || axes.is_some_and(|axes| axis == axes - 1))
}

/// The other outputs of the model that come from a node, as they are shown.
fn outputs_behind(graph: &Graph, from: usize, output: ValueId) -> Vec<String> {
    let mut reached: HashSet<ValueId> = graph.nodes()[from].outputs.iter().flatten().copied().collect();
    // Nodes stand behind those that they read.
    for node in &graph.nodes()[from + 1..] {
        if node.inputs.iter().flatten().any(|input| reached.contains(input)) {
            reached.extend(node.outputs.iter().flatten());
        }
    }
    let others = graph.outputs().iter().filter(|other| **other != output && reached.contains(other));
    others.map(|other| format!("`{}`", shown(graph.name(*other)))).collect()
}

/// Refuses to train a kept head whose scores are something else by the time that the loss sees them.
pub(crate) fn require_scores(graph: &Graph, scores: ValueId) -> Result<(), CompilerError> {
    let wrong_axis = graph.nodes().iter().find(|node| {
        matches!(node.operator.as_str(), "Softmax" | "LogSoftmax")
            && node.input(0) == Some(scores)
            && !is_over_classes(graph, node)
    });
    let reason = match (ending(graph, scores), wrong_axis) {
        (Some(node), _) => {
            format!("the model ends in {}, and what it gives is no score any more", named(graph, node))
        }
        (None, Some(node)) => format!("{} works along another axis than that of the classes", named(graph, node)),
        (None, None) => return Ok(()),
    };
    Err(CompilerError::setting(
        "model.head",
        format!(
            "{reason}: training it with a loss of scores would be wrong. Use `head: new`, which replaces the head and \
         what follows it, or name an output with the scores before it in model.output"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use crate::handmade::{graph, model, node, value, weight, with};
    use crate::model_file::onnx::NodeProto;
    use crate::{FineTuning, HeadChoice, OperatorCatalog, compile};
    use millstream_schemas::recipe::TrainSelection;

    #[test]
    fn a_model_that_ends_in_a_sigmoid_is_not_trained_as_if_it_gave_scores() {
        let then = |operator: &str| vec![node(operator, &["s"], &["y"])];
        let two = |operator: &str| {
            let each = |name: &str| node(operator, &["s"], &[name]);
            vec![each("a"), each("b"), node("Mean", &["a", "b"], &["y"])]
        };
        // what follows the head; what keeping it says, and whether a new one is told to go without it
        let rows: Vec<(Vec<NodeProto>, Option<&str>, Option<bool>)> = vec![
            (then("Sigmoid"), Some("node `y` (Sigmoid)"), Some(true)),
            (then("HardSigmoid"), Some("node `y` (HardSigmoid)"), Some(true)),
            (then("Relu"), Some("node `y` (Relu)"), Some(true)),
            (then("Tanh"), Some("node `y` (Tanh)"), Some(true)),
            (then("Clip"), Some("node `y` (Clip)"), Some(true)),
            (
                vec![node("Sigmoid", &["s"], &["t"]), node("Flatten", &["t"], &["y"])],
                Some("node `t` (Sigmoid)"),
                Some(true),
            ),
            (then("LpNormalization"), Some("(LpNormalization)"), Some(true)),
            (two("Softmax"), Some("(Softmax)"), None),
            (two("Sigmoid"), Some("(Sigmoid)"), None),
            (
                vec![with(node("Softmax", &["s"], &["y"]), "axis", &[0])],
                Some("another axis than that of the classes"),
                Some(true),
            ),
            (
                vec![node("Softmax", &["s"], &["t"]), node("Log", &["t"], &["y"])],
                Some("needs a linear head"),
                Some(true),
            ),
            (vec![node("Softmax", &["s"], &["t"]), node("Clip", &["t"], &["y"])], Some("node `y` (Clip)"), Some(true)),
            (
                vec![node("Mul", &["s", "temperature"], &["t"]), node("Softmax", &["t"], &["y"])],
                Some("needs a linear head"),
                Some(true),
            ),
            (then("Softmax"), None, Some(false)),
            (then("LogSoftmax"), None, Some(false)),
            (then("Identity"), None, Some(false)),
        ];
        for (tail, kept, new) in rows {
            let nodes = [vec![node("Gemm", &["x", "head.weight", "head.bias"], &["s"])], tail.clone()].concat();
            let weights = vec![weight("head.weight", &[4, 3]), weight("head.bias", &[3]), weight("temperature", &[1])];
            let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
            let keep = FineTuning { head: HeadChoice::keep(), ..FineTuning::head(2, 3) };
            match (compile(&model, &keep, &OperatorCatalog::standard()), kept) {
                (Ok(_), None) => {}
                (Err(error), Some(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (found, wanted) => panic!("{tail:?}: wanted {wanted:?}, found {:?}", found.map(|_| ())),
            }
            if let Some(told) = new {
                let program = compile(&model, &FineTuning::head(2, 5), &OperatorCatalog::standard()).unwrap();
                assert_eq!(program.notes.iter().any(|note| note.contains("goes without")), told, "{:?}", program.notes);
            }
        }
    }

    #[test]
    fn chances_of_one_class_against_the_rest_make_way_for_a_new_head_with_what_divides_them_by_their_sum() {
        let divided = with(with(node("LpNormalization", &["t"], &["y"]), "axis", &[-1]), "p", &[1]);
        let nodes =
            vec![node("Gemm", &["x", "head.weight", "head.bias"], &["s"]), node("Sigmoid", &["s"], &["t"]), divided];
        let weights = vec![weight("head.weight", &[4, 3]), weight("head.bias", &[3])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
        let program = compile(&model, &FineTuning::head(2, 5), &OperatorCatalog::standard()).unwrap();
        let told = "node `t` (Sigmoid), then node `y` (LpNormalization)";
        assert!(program.notes.iter().any(|note| note.contains(told)), "{:?}", program.notes);
        assert_eq!(program.manifest.prediction.fixed_shape(), Some(vec![2, 5]));
    }

    #[test]
    fn a_softmax_behind_a_convolution_and_before_a_reshape_is_not_trained_as_scores() {
        let compiled = |tail: Vec<NodeProto>| {
            let nodes = [vec![node("Conv", &["x", "w"], &["s"])], tail].concat();
            let model = model(graph(
                nodes,
                vec![weight("w", &[3, 4, 1, 1])],
                vec![value("x", &[4, 1, 1])],
                vec![value("y", &[3])],
            ));
            let wanted = FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(2, 3) };
            let compiled = compile(&model, &wanted, &OperatorCatalog::standard());
            compiled.map(|program| program.manifest.prediction.name).map_err(|error| error.to_string())
        };
        assert_eq!(compiled(vec![node("Flatten", &["s"], &["y"])]), Ok("y".into()));
        let chances = vec![with(node("Softmax", &["s"], &["t"]), "axis", &[1]), node("Flatten", &["t"], &["y"])];
        assert_eq!(compiled(chances), Ok("s".into()), "the scores before the softmax are trained");
        let other_axis = vec![with(node("Softmax", &["s"], &["t"]), "axis", &[2]), node("Flatten", &["t"], &["y"])];
        let message = compiled(other_axis).unwrap_err();
        assert!(message.contains("node `t` (Softmax)") && message.contains("axis"), "{message}");
    }

    #[test]
    fn classes_of_a_convolution_whose_bent_scores_are_averaged_are_replaced() {
        let tail = |operator: &str, kernel: &str| {
            vec![
                node("Conv", &["x", kernel, "b"], &["s"]),
                node(operator, &["s"], &["bent"]),
                node("GlobalAveragePool", &["bent"], &["mean"]),
                node("Flatten", &["mean"], &["scores"]),
                node("Softmax", &["scores"], &["y"]),
            ]
        };
        let squeezed = |operator: &str, kernel: &str| {
            let weights = vec![weight("w", &[3, 4, 1, 1]), weight("wide", &[3, 4, 3, 3]), weight("b", &[3])];
            model(graph(tail(operator, kernel), weights, vec![value("x", &[4, 5, 5])], vec![value("y", &[3])]))
        };
        let catalog = OperatorCatalog::standard();
        let new = compile(&squeezed("Relu", "w"), &FineTuning::head(2, 7), &catalog).unwrap();
        let lengths: Vec<&[usize]> = new.manifest.parameters.iter().map(|entry| entry.shape.as_slice()).collect();
        assert_eq!(lengths, [&[7, 4, 1, 1][..], &[7]]);
        assert!(new.notes.iter().any(|note| note.contains("node `bent` (Relu)")), "{:?}", new.notes);
        // kept, it is trained on what the model has always given
        let keep = FineTuning { head: HeadChoice::keep(), ..FineTuning::head(2, 3) };
        let kept = compile(&squeezed("Relu", "w"), &keep, &catalog).unwrap();
        assert_eq!((kept.manifest.prediction.name.as_str(), kept.trained), ("scores", 15));
        assert!(kept.notes.is_empty(), "{:?}", kept.notes);
        for features in [squeezed("Clip", "w"), squeezed("Relu", "wide")] {
            let error = compile(&features, &FineTuning::head(2, 7), &catalog).unwrap_err().to_string();
            assert!(
                error.contains("(Clip) is no dense layer") || error.contains("(Relu) is no dense layer"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_output_that_changes_with_a_sigmoid_that_goes_is_told() {
        let nodes = vec![
            node("Gemm", &["x", "head.weight", "head.bias"], &["s"]),
            node("Sigmoid", &["s"], &["y"]),
            node("ReduceMax", &["y"], &["best"]),
        ];
        let weights = vec![weight("head.weight", &[4, 3]), weight("head.bias", &[3])];
        let outputs = vec![value("y", &[3]), value("best", &[1])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], outputs));
        let program = compile(
            &model,
            &FineTuning { output: Some("y".into()), ..FineTuning::head(2, 5) },
            &OperatorCatalog::standard(),
        )
        .unwrap();
        assert!(program.notes.iter().any(|note| note.ends_with("output `best`")), "{:?}", program.notes);
    }
}
