use std::collections::{HashMap, HashSet};

use super::feature_axis::feature_axis;
use super::score_effects::{ScoreEffect, leaves_last_axis, leaves_rows_first, score_effect};
use crate::CompilerError;
use crate::finetuning::nodes::{named, producers};
use crate::graph::{Graph, Node, ValueId};
use crate::losses::PredictionKind;
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
    /// Heads of the same classes whose scores are added to its own, as where a model answers with the mean of two.
    pub others: Vec<Head>,
    /// Weights of new layers in front of it that belong to it.
    pub before: Vec<ValueId>,
    /// Results of its own `Dropout` nodes, which drop in training.
    pub dropped: Vec<ValueId>,
}

impl Head {
    /// Whether a weight is one of its own.
    pub fn has(&self, weight: ValueId) -> bool {
        self.weight == weight
            || self.bias == Some(weight)
            || self.before.contains(&weight)
            || self.others.iter().any(|other| other.has(weight))
    }

    /// Itself and those whose scores are added.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

/// Finds the linear layer that makes an output: walks back over what makes probabilities of its scores, shape operators, axes in another
/// order, enlargements and means over places, a `Relu` between these and a layer at each place, then over the addition of a bias, to a
/// `Gemm`, `MatMul` or `Conv` with constant weights; where an output is a sum or mean of several such, to each of them.
pub(crate) fn head_behind(graph: &Graph, value: ValueId, reads: PredictionKind) -> Result<Head, CompilerError> {
    let mut readers: HashMap<ValueId, usize> = HashMap::new();
    for read in graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten()) {
        *readers.entry(*read).or_default() += 1;
    }
    Search { graph, producers: producers(graph), readers, reads, output: value }.from(value, 0)
}

/// Whether a node reads what a linear layer at each place makes: a convolution of single places, as SqueezeNet ends in.
pub(super) fn is_behind_linear_map(graph: &Graph, producers: &HashMap<ValueId, usize>, node: &Node) -> bool {
    let maker = node.input(0).and_then(|read| producers.get(&read)).map(|index| &graph.nodes()[*index]);
    let kernel = maker.filter(|maker| maker.is("Conv")).and_then(|conv| conv.input(1));
    kernel
        .and_then(|kernel| graph.float_constant(kernel))
        .is_some_and(|kernel| kernel.shape.iter().skip(2).all(|side| *side == 1))
}

/// A search for the linear layers that an output comes from.
struct Search<'a> {
    graph: &'a Graph,
    producers: HashMap<ValueId, usize>,
    /// How many inputs of nodes a value is.
    readers: HashMap<ValueId, usize>,
    reads: PredictionKind,
    output: ValueId,
}

/// Sums of sums of heads are followed so deep.
const DEEPEST: usize = 4;

impl Search<'_> {
    fn from(&self, start: ValueId, depth: usize) -> Result<Head, CompilerError> {
        let graph = self.graph;
        let (mut value, mut logits, mut bias, mut reshaped, mut averaged) = (start, start, None, false, false);
        let (mut picked, mut resized, mut turning) = (false, false, None);
        loop {
            // In a sum, what something else reads as well is more than a part of the scores.
            if depth > 0 && self.readers.get(&value).copied().unwrap_or(0) > 1 {
                return Err(self.none_here(&format!("`{}` is read by other nodes too", shown(graph.name(value)))));
            }
            let Some(index) = self.producers.get(&value).copied() else {
                return Err(self.none_here(&format!("`{}` is made by no node", shown(graph.name(value)))));
            };
            let node = &graph.nodes()[index];
            let first =
                || node.input(0).ok_or_else(|| self.none_here(&format!("`{}` has no input", graph.label(node))));
            if bias.is_none()
                && !picked
                && let Some(parts) = self.parts(node)
            {
                return self.several(&parts, logits, depth, node);
            }
            let operator = node.operator.as_str();
            // what moves chances to other axes moves their scores alike; means and places in between are of chances alone
            let is_moved_alone = turning.is_none() || !(averaged || resized);
            if depth == 0 && is_moved_alone && links(self.reads).contains(&operator) {
                value = first()?;
                logits = value;
                continue;
            }
            match (operator, score_effect(node)) {
                ("Cast", _) => {
                    let is_output = value == logits;
                    value = first()?;
                    logits = if is_output { value } else { logits };
                }
                (_, Some(ScoreEffect::Keeps)) => value = first()?,
                (_, Some(ScoreEffect::Resizes)) => (value, resized) = (first()?, true),
                (_, Some(ScoreEffect::Averages)) => (value, reshaped, averaged) = (first()?, true, true),
                (_, Some(ScoreEffect::Reshapes)) => (value, reshaped) = (first()?, true),
                // of the places of a row one or some, as where a decoder answers with its last token
                (_, Some(ScoreEffect::Picks)) if leaves_last_axis(graph, node) => {
                    (value, reshaped, picked) = (first()?, true, true);
                }
                // a bias that is added behind it, or what is picked there, may be of another axis than the layer's
                (_, Some(ScoreEffect::Transposes)) if bias.is_none() && !picked && leaves_rows_first(node) => {
                    (value, reshaped, turning) = (first()?, true, turning.or(Some(node)));
                }
                ("Relu", _) if averaged && is_behind_linear_map(graph, &self.producers, node) => value = first()?,
                // of the largest over the places, as large as it is said
                ("Mul" | "Div" | "ReduceMax", _) if depth > 0 => {
                    let computed = self.computed(node);
                    let [only] = computed.as_slice() else {
                        return Err(self.none_here(&format!("{} is no dense layer", named(graph, node))));
                    };
                    (value, reshaped) = (*only, true);
                }
                ("Add", _) if bias.is_none() => {
                    let sides = [(node.input(0), node.input(1)), (node.input(1), node.input(0))];
                    let constant = sides.into_iter().find(|(constant, _)| self.weight(*constant).is_some());
                    let Some((constant, Some(computed))) = constant else {
                        return Err(self.none_here(&format!("`{}` adds two computed values", graph.label(node))));
                    };
                    bias = constant;
                    value = computed;
                }
                ("Gemm" | "MatMul", _) => {
                    let head = self.dense(index, bias, logits, reshaped)?;
                    return self.with_axis_of_classes(head, start, turning);
                }
                ("Conv", _) if !picked => {
                    let head = self.convolution(index, bias, logits)?;
                    return self.with_axis_of_classes(head, start, turning);
                }
                _ => return Err(self.none_here(&format!("{} is no dense layer", named(graph, node)))),
            }
        }
    }

    /// A head that was found behind a node that puts axes into another order: its classes must have an axis of their own where the search
    /// began. Where they share it with something else, as boxes of several shapes do, another number of them would not fit.
    fn with_axis_of_classes(&self, head: Head, start: ValueId, turning: Option<&Node>) -> Result<Head, CompilerError> {
        let Some(turning) = turning else { return Ok(head) };
        let known = self.graph.tensor_type(start);
        let length = feature_axis(self.graph, start).and_then(|axis| known?.shape.get(axis));
        match length {
            Some(length) if length.fixed().is_none_or(|length| length == head.classes) => Ok(head),
            _ => Err(self.none_here(&format!("{} is no dense layer", named(self.graph, turning)))),
        }
    }

    /// What a node sums or averages, if that is several computed values; also where it scales such a sum.
    fn parts(&self, node: &Node) -> Option<Vec<ValueId>> {
        let computed = self.computed(node);
        let made_by = |value: &ValueId| &self.graph.nodes()[self.producers[value]];
        let summed = match (node.operator.as_str(), computed.as_slice()) {
            ("Add" | "Mean" | "Sum", [_, _, ..]) => computed,
            ("Mul" | "Div", [only]) if matches!(made_by(only).operator.as_str(), "Add" | "Sum") => {
                self.computed(made_by(only))
            }
            ("ReduceMean" | "ReduceSum", [stacked, ..]) if made_by(stacked).is("Concat") => {
                self.computed(made_by(stacked))
            }
            _ => return None,
        };
        (summed.len() > 1 && summed.len() == summed.iter().collect::<HashSet<_>>().len()).then_some(summed)
    }

    /// The inputs of a node that other nodes make, numbers that stand in nodes of their own left out.
    fn computed(&self, node: &Node) -> Vec<ValueId> {
        let is_computed =
            |value: &ValueId| self.producers.get(value).is_some_and(|at| !self.graph.nodes()[*at].is("Constant"));
        node.inputs.iter().flatten().copied().filter(is_computed).collect()
    }

    /// The heads whose scores a node sums or averages.
    fn several(&self, parts: &[ValueId], logits: ValueId, depth: usize, at: &Node) -> Result<Head, CompilerError> {
        let refused = || self.none_here(&format!("`{}` adds two computed values", self.graph.label(at)));
        if depth >= DEEPEST {
            return Err(refused());
        }
        let heads = parts.iter().map(|part| self.from(*part, depth + 1)).collect::<Result<Vec<Head>, _>>();
        let mut heads = heads.map_err(|_| refused())?.into_iter();
        let first = heads.next().ok_or_else(refused)?;
        let others: Vec<Head> = heads.collect();
        if others.iter().any(|other| other.classes != first.classes) {
            return Err(self.none_here(&format!("{} adds scores of other classes", named(self.graph, at))));
        }
        let others = first.others.iter().cloned().chain(others).collect();
        Ok(Head { logits, reads_matrix: false, others, ..first })
    }

    /// A constant that no node makes.
    fn weight(&self, value: Option<ValueId>) -> Option<ValueId> {
        value.filter(|value| !self.producers.contains_key(value) && self.graph.float_constant(*value).is_some())
    }

    fn shape(&self, weight: Option<ValueId>) -> Option<&[usize]> {
        weight.and_then(|weight| self.graph.constant_of(weight)).map(|weight| weight.shape.as_slice())
    }

    /// A constant, also where what is read is the matrix transposed; and whether it is.
    fn matrix(&self, read: Option<ValueId>) -> (Option<ValueId>, bool) {
        let maker = read.and_then(|read| self.producers.get(&read)).map(|index| &self.graph.nodes()[*index]);
        match maker.filter(|maker| maker.is("Transpose")) {
            Some(transpose) if matches!(transpose.ints("perm"), None | Some([1, 0])) => {
                (self.weight(transpose.input(0)), true)
            }
            _ => (self.weight(read), false),
        }
    }

    fn dense(
        &self,
        index: usize,
        bias: Option<ValueId>,
        logits: ValueId,
        reshaped: bool,
    ) -> Result<Head, CompilerError> {
        let (graph, node) = (self.graph, &self.graph.nodes()[index]);
        let (weight, is_turned) = self.matrix(node.input(1));
        let (Some(weight), Some(shape @ [_, _])) = (weight, self.shape(weight)) else {
            return Err(self.none_here(&format!("`{}` multiplies two computed values", graph.label(node))));
        };
        if bias.is_some() && node.input(2).is_some() {
            return Err(self.none_here(&format!("two biases are added behind `{}`", graph.label(node))));
        }
        let class_axis = if (node.int("transB").unwrap_or(0) != 0) == is_turned { 1 } else { 0 };
        let is_matrix = graph.tensor_type(self.output).is_some_and(|known| known.shape.len() == 2);
        Ok(Head {
            reads_matrix: !reshaped && (node.is("Gemm") || is_matrix),
            logits,
            node: index,
            weight,
            bias: bias.or(node.input(2)),
            class_axis,
            classes: shape[class_axis],
            output: self.output,
            others: Vec::new(),
            before: Vec::new(),
            dropped: Vec::new(),
        })
    }

    fn convolution(&self, index: usize, bias: Option<ValueId>, logits: ValueId) -> Result<Head, CompilerError> {
        let node = &self.graph.nodes()[index];
        let weight = self.weight(node.input(1));
        let (Some(weight), Some([classes, _, _, ..]), 1) = (weight, self.shape(weight), node.int("group").unwrap_or(1))
        else {
            return Err(self.none_here(&format!("{} mixes not all channels", named(self.graph, node))));
        };
        if bias.is_some() {
            return Err(self.none_here(&format!("a constant is added behind {}", named(self.graph, node))));
        }
        Ok(Head {
            reads_matrix: false,
            logits,
            node: index,
            weight,
            bias: node.input(2),
            class_axis: 0,
            classes: *classes,
            output: self.output,
            others: Vec::new(),
            before: Vec::new(),
            dropped: Vec::new(),
        })
    }

    fn none_here(&self, what: &str) -> CompilerError {
        CompilerError::setting(
            "model.head",
            format!(
                "no linear head leads to output `{}`: {what}. Name another output with model.output, or keep the head and \
                 choose layers with model.train",
                shown(self.graph.name(self.output))
            ),
        )
    }
}

/// What stands between scores and an output. The head is found behind a softmax also where the loss reads what it gives.
fn links(reads: PredictionKind) -> &'static [&'static str] {
    match reads.links() {
        [] => PredictionKind::ClassScores.links(),
        links => links,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::chosen_output;
    use crate::finetuning::replacement::replace_head;
    use crate::handmade::{constant_node, graph, model, node, read, untyped, value, weight, whole, with};
    use crate::initializers::Initializer;
    use crate::model_file::onnx::{ModelProto, NodeProto, ValueInfoProto, type_proto};
    use crate::operators::OperatorCatalog;
    use crate::{FineTuning, compile};
    use prost::Message;

    fn network(nodes: Vec<NodeProto>, outputs: Vec<ValueInfoProto>) -> Graph {
        let shapes: [(&str, &[usize]); 6] = [
            ("w", &[4, 3]),
            ("turned", &[3, 4]),
            ("b", &[3]),
            ("cube", &[2, 4, 3]),
            ("kernel", &[3, 4, 1, 1]),
            ("wide_kernel", &[3, 4, 3, 3]),
        ];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        read(graph(nodes, weights, vec![value("x", &[4]), value("z", &[4])], outputs))
    }

    fn find_head(graph: &Graph, output: Option<&str>, reads: PredictionKind) -> Result<Head, CompilerError> {
        head_behind(graph, chosen_output(graph, output)?, reads)
    }

    #[test]
    fn the_head_is_found_in_every_form_that_exporters_write() {
        let gemm = |inputs: &[&str], output: &str| node("Gemm", inputs, &[output]);
        let then = |operator: &str| node(operator, &["s"], &["y"]);
        let turned = |inputs: &[&str], output: &str| with(gemm(inputs, output), "transB", &[1]);
        let matmul = || node("MatMul", &["x", "w"], &["m"]);
        let conv = |groups: i64| with(node("Conv", &["x", "kernel", "b"], &["s"]), "group", &[groups]);
        let squeezed = |kernel: &str| {
            vec![
                node("Conv", &["x", kernel, "b"], &["s"]),
                node("Relu", &["s"], &["r"]),
                node("GlobalAveragePool", &["r"], &["p"]),
                node("Flatten", &["p"], &["y"]),
            ]
        };
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
            (squeezed("kernel"), Ok(("y", "kernel", Some("b"), 0, false))),
            (squeezed("wide_kernel"), Err("node `r` (Relu) is no dense layer")),
            (vec![conv(1), then("Relu")], Err("node `y` (Relu) is no dense layer")),
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
    fn the_head_of_a_decoder_that_answers_with_one_token_is_found() {
        let taken = |operator: &str, indices: &str, axis: i64| {
            let node = node(operator, &["m", indices], &["y"]);
            if operator == "Gather" { with(node, "axis", &[axis]) } else { node }
        };
        let sliced = |axes: &str| node("Slice", &["m", "zero", "one", axes], &["y"]);
        // rows, tokens, classes: which node, whether it leaves the classes as they are
        for (picks, is_found) in [
            (taken("Gather", "one", 0), true),
            (taken("Gather", "one", 1), true),
            (taken("Gather", "one", 2), false),
            (taken("Gather", "one", -1), false),
            (taken("GatherND", "pair", 0), true),
            (taken("GatherND", "triple", 0), false),
            (sliced("one"), true),
            (sliced("two"), false),
            (node("Slice", &["m", "zero", "one"], &["y"]), true),
        ] {
            let told = format!("{picks:?}");
            let nodes = vec![node("MatMul", &["x", "w"], &["m"]), picks];
            let indices = [("zero", 0), ("one", 1), ("two", 2)].map(|(name, at)| whole(name, &[1], &[at]));
            let lists = [whole("pair", &[1, 2], &[0, 1]), whole("triple", &[1, 3], &[0, 1, 2])];
            let weights = [weight("w", &[4, 3])].into_iter().chain(indices).chain(lists).collect();
            let graph = read(graph(nodes, weights, vec![value("x", &[6, 4])], vec![untyped("y")]));
            match find_head(&graph, None, PredictionKind::ClassScores) {
                Ok(head) => {
                    let found = (graph.name(head.weight), graph.name(head.logits), head.reads_matrix, is_found);
                    assert_eq!(found, ("w", "y", false, true), "{told}");
                }
                Err(error) => {
                    assert!(!is_found && error.to_string().contains("is no dense layer"), "{told}: {error}");
                }
            }
        }
    }

    #[test]
    fn heads_whose_scores_are_added_are_found_together() {
        let head = |weight: &str, output: &str| node("Gemm", &["x", weight, "b"], &[output]);
        let two = || vec![head("w", "p"), head("w2", "q")];
        let summed = |operator: &str| [two(), vec![node(operator, &["p", "q"], &["y"])]].concat();
        let behind = |nodes: Vec<NodeProto>, operator: &str, inputs: &[&str]| {
            let mut nodes = nodes;
            nodes.last_mut().unwrap().output = vec!["s".into()];
            [nodes, vec![node(operator, inputs, &["y"])]].concat()
        };
        let stacked = || [two(), vec![with(node("Concat", &["p", "q"], &["s"]), "axis", &[0])]].concat();
        let weighted = vec![
            head("w", "p"),
            node("MatMul", &["x", "w2"], &["m"]),
            node("Mul", &["half", "m"], &["q"]),
            node("Add", &["p", "q"], &["y"]),
        ];
        let one_is_read_twice = [two(), vec![node("Relu", &["q"], &["r"]), node("Add", &["p", "q"], &["y"])]].concat();
        let other_classes =
            vec![head("w", "p"), node("Gemm", &["x", "wide"], &["q"]), node("Add", &["p", "q"], &["y"])];
        let residual = vec![head("w", "p"), node("Gemm", &["p", "square"], &["q"]), node("Add", &["p", "q"], &["y"])];
        // as TorchScript leaves the numbers of a source
        let number = vec![constant_node("two", &[])];
        let rows: [(Vec<NodeProto>, Result<usize, &str>); 13] = [
            (summed("Add"), Ok(2)),
            ([number, behind(summed("Add"), "Div", &["s", "two"])].concat(), Ok(2)),
            (summed("Sum"), Ok(2)),
            (summed("Mean"), Ok(2)),
            (behind(summed("Add"), "Div", &["s", "half"]), Ok(2)),
            (behind(summed("Add"), "Mul", &["half", "s"]), Ok(2)),
            (behind(summed("Mean"), "Softmax", &["s"]), Ok(2)),
            ([stacked(), vec![node("ReduceMean", &["s"], &["y"])]].concat(), Ok(2)),
            (weighted, Ok(2)),
            (one_is_read_twice, Err("adds two computed values")),
            (other_classes, Err("adds scores of other classes")),
            (residual, Err("adds two computed values")),
            (behind(vec![head("w", "y")], "Mul", &["half", "s"]), Err("(Mul) is no dense layer")),
        ];
        for (nodes, wanted) in rows {
            let shown: Vec<&str> = nodes.iter().map(NodeProto::op_type).collect();
            let shapes: [(&str, &[usize]); 6] =
                [("w", &[4, 3]), ("w2", &[4, 3]), ("wide", &[4, 5]), ("square", &[3, 3]), ("b", &[3]), ("half", &[1])];
            let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
            let graph = read(graph(nodes.clone(), weights, vec![value("x", &[4])], vec![value("y", &[3])]));
            match (find_head(&graph, None, PredictionKind::ClassScores), wanted) {
                (Ok(head), Ok(heads)) => {
                    assert_eq!(head.all().count(), heads, "{shown:?}");
                    assert!(head.has(graph.find("w").unwrap()) && head.has(graph.find("w2").unwrap()), "{shown:?}");
                }
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{shown:?}: {error}"),
                (found, wanted) => panic!("{shown:?}: wanted {wanted:?}, found {found:?}"),
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
    fn a_transposed_weight_that_two_products_read_is_not_replaced() {
        let first = || vec![node("Transpose", &["turned"], &["t"]), node("MatMul", &["x", "t"], &["y"])];
        for (second, is_shared) in [
            (vec![node("MatMul", &["z", "t"], &["apart"])], true),
            (vec![node("MatMul", &["z", "w"], &["apart"])], false),
        ] {
            let nodes = [first(), second].concat();
            let mut graph = network(nodes, vec![value("y", &[3]), value("apart", &[3])]);
            let mut head = find_head(&graph, Some("y"), PredictionKind::ClassScores).unwrap();
            assert_eq!(graph.name(head.weight), "turned");
            let catalog = OperatorCatalog::standard();
            match replace_head(&mut graph, &mut head, 7, &Initializer::default(), 0, &catalog) {
                Ok(()) => assert!(!is_shared),
                Err(error) => {
                    assert!(is_shared && error.to_string().contains("is shared with another node"), "{error}")
                }
            }
        }
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
