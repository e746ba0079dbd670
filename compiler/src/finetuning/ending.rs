//! What a model does to its class scores before it gives them.

use std::collections::HashSet;

use crate::CompilerError;
use crate::finetuning::nodes::{named, producers};
use crate::model_file::onnx::{GraphProto, NodeProto};
use millstream_schemas::shown;

/// What makes something else of class scores than a softmax expects: chances of their own, bounded or cut numbers, an index.
const ENDINGS: [&str; 14] = [
    "ArgMax",
    "Celu",
    "Clip",
    "Elu",
    "Exp",
    "HardSigmoid",
    "Hardmax",
    "LpNormalization",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "TopK",
];

/// Of these, the ones that make chances.
const CHANCES: [&str; 3] = ["HardSigmoid", "Hardmax", "Sigmoid"];

/// The node that changes the scores on their way to this value, if there is one: the value's own maker, or one behind
/// shape operators and averages.
pub(crate) fn ending<'a>(graph: &'a GraphProto, value: &str) -> Option<&'a NodeProto> {
    found(graph, value).map(|index| &graph.node[index])
}

fn found(graph: &GraphProto, value: &str) -> Option<usize> {
    let makers = producers(graph);
    // Behind a mean or a sum, what was cut or bent there may be scores all the same; chances are not.
    let mut open = vec![(value, false)];
    let mut seen = 0;
    while let Some((value, mixed)) = open.pop() {
        let Some(index) = makers.get(value).copied() else { continue };
        let node = &graph.node[index];
        seen += 1;
        if seen > graph.node.len() {
            return None;
        }
        match node.op_type() {
            operator if if mixed { CHANCES.contains(&operator) } else { ENDINGS.contains(&operator) } => {
                return Some(index);
            }
            // the one that makes the output is taken away where the scores are looked for; this one stays
            "Softmax" | "LogSoftmax" => return Some(index),
            "Identity" | "Flatten" | "Squeeze" | "Unsqueeze" | "Reshape" | "Cast" | "Dropout" => {
                open.extend(node.input.first().map(|name| (name.as_str(), mixed)));
            }
            "Mean" | "Sum" | "Add" | "Concat" | "ReduceMean" | "ReduceSum" | "ReduceMax" => {
                open.extend(node.input.iter().map(|name| (name.as_str(), true)));
            }
            // by a number; a product of two computed values is something of its own
            "Mul" | "Div" => {
                let names = node.input.iter().map(String::as_str);
                let computed: Vec<&str> = names.filter(|name| makers.contains_key(name)).collect();
                if let [only] = computed.as_slice() {
                    open.push((only, mixed));
                }
            }
            _ => {}
        }
    }
    None
}

/// Takes what follows a linear head out of the way of a new one, and says it; nothing where the head is bare, or followed
/// only by a softmax over the classes.
pub(crate) fn lay_bare(graph: &mut GraphProto, output: &str) -> Option<String> {
    let removed = behind_head(graph, output)?;
    let named_ones: Vec<String> = removed.iter().rev().map(|(index, _)| named(&graph.node[*index])).collect();
    let (first, _) = removed.last()?;
    let others = outputs_behind(graph, *first, output);
    let also = match others.as_slice() {
        [] => String::new(),
        others => format!("; this changes what is made of them too: output {}", others.join(", ")),
    };
    for (index, input) in &removed {
        let node = &mut graph.node[*index];
        node.op_type = Some("Identity".into());
        node.input = vec![input.clone()];
        node.attribute.clear();
    }
    let them = if removed.len() == 1 { "it" } else { "them" };
    Some(format!(
        "the model ends in {}; a new head is trained on what it gives itself, so the exported model goes without \
         {them}{also}",
        named_ones.join(", then ")
    ))
}

/// What makes something else of the scores of the last linear layer on their way to the output, from the output on: the
/// node, and the value that it changes. `None` where the way is not a single one, or has something that no score survives.
fn behind_head(graph: &GraphProto, output: &str) -> Option<Vec<(usize, String)>> {
    const REPLACED: [&str; 10] =
        ["Clip", "Elu", "Exp", "HardSigmoid", "Log", "Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"];
    const FLOAT: i64 = 1;
    let makers = producers(graph);
    let mut removed = Vec::new();
    let mut value = output;
    // A loop has no end, and the gate refuses graphs with one.
    for _ in 0..graph.node.len() {
        let index = *makers.get(value)?;
        let node = &graph.node[index];
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name() == name);
        let computed: Vec<&str> =
            node.input.iter().map(String::as_str).filter(|name| makers.contains_key(name)).collect();
        let is_replaced = match node.op_type() {
            "Gemm" | "MatMul" | "Conv" => return Some(removed),
            // The bias of a product.
            "Add" if computed.iter().any(|name| graph.node[makers[name]].op_type() == "MatMul") => {
                return Some(removed);
            }
            "Identity" | "Flatten" | "Squeeze" | "Unsqueeze" | "Reshape" | "Dropout" => false,
            "Softmax" | "LogSoftmax" => attribute("axis").is_some_and(|axis| !matches!(axis.i(), 1 | -1)),
            "Cast" if attribute("to").is_some_and(|to| to.i() == FLOAT) => true,
            "Mul" | "Div" | "Add" | "Sub" => true,
            operator if REPLACED.contains(&operator) => true,
            _ => return None,
        };
        let [next] = computed.as_slice() else { return None };
        value = next;
        if is_replaced {
            removed.push((index, value.to_owned()));
        }
    }
    None
}

/// The other outputs of the model that come from a node, as they are shown.
fn outputs_behind(graph: &GraphProto, from: usize, output: &str) -> Vec<String> {
    let mut reached: HashSet<&str> = graph.node[from].output.iter().map(String::as_str).collect();
    // Nodes stand behind those that they read.
    for node in &graph.node[from + 1..] {
        if node.input.iter().any(|input| reached.contains(input.as_str())) {
            reached.extend(node.output.iter().map(String::as_str));
        }
    }
    let others = graph.output.iter().map(|other| other.name()).filter(|name| *name != output && reached.contains(name));
    others.map(|name| format!("`{}`", shown(name))).collect()
}

/// Refuses to train a kept head whose scores are something else by the time that the loss sees them.
pub(crate) fn require_scores(graph: &GraphProto, scores: &str) -> Result<(), CompilerError> {
    let wrong_axis = graph.node.iter().find(|node| {
        matches!(node.op_type(), "Softmax" | "LogSoftmax")
            && node.input.first().is_some_and(|input| input == scores)
            && node.attribute.iter().any(|attribute| attribute.name() == "axis" && !matches!(attribute.i(), 1 | -1))
    });
    let reason = match (ending(graph, scores), wrong_axis) {
        (Some(node), _) => format!("the model ends in {}, and what it gives is no class score any more", named(node)),
        (None, Some(node)) => format!("{} works along another axis than that of the classes", named(node)),
        (None, None) => return Ok(()),
    };
    Err(CompilerError::setting(
        "model.head",
        format!(
            "{reason}: training it with a loss of class scores would be wrong. Use `head: new`, which replaces the head and \
         what follows it, or name an output with the scores before it in model.output"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use crate::handmade::{graph, model, node, value, weight, with};
    use crate::model_file::onnx::NodeProto;
    use crate::{FineTuning, OperatorCatalog, compile};
    use millstream_schemas::recipe::{HeadRecipe, TrainSelection};

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
            (then("LpNormalization"), Some("(LpNormalization)"), None),
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
            let keep = FineTuning { head: HeadRecipe::Keep, ..FineTuning::head(2, 3) };
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
    fn a_softmax_behind_a_convolution_and_before_a_reshape_is_not_trained_as_scores() {
        let compiled = |tail: Vec<NodeProto>| {
            let nodes = [vec![node("Conv", &["x", "w"], &["s"])], tail].concat();
            let model = model(graph(
                nodes,
                vec![weight("w", &[3, 4, 1, 1])],
                vec![value("x", &[4, 1, 1])],
                vec![value("y", &[3])],
            ));
            let wanted = FineTuning { head: HeadRecipe::Keep, train: TrainSelection::All, ..FineTuning::head(2, 3) };
            compile(&model, &wanted, &OperatorCatalog::standard()).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(compiled(vec![node("Flatten", &["s"], &["y"])]), Ok(()));
        let chances = vec![with(node("Softmax", &["s"], &["t"]), "axis", &[1]), node("Flatten", &["t"], &["y"])];
        let message = compiled(chances).unwrap_err();
        assert!(message.contains("node `t` (Softmax)") && message.contains("would be wrong"), "{message}");
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
