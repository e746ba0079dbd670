//! Layers that start from new weights instead of the model's own.

use std::collections::HashSet;

use millstream_schemas::{nearest, shown};

use super::{Layer, Weight, pattern_matches};
use crate::CompilerError;
use crate::graph::{Constant, Graph, Node};
use crate::initializers::{Fans, Initializer};

/// How layers of some names are drawn anew.
#[derive(Clone, Debug)]
pub struct LayerInitializer {
    /// Names of the layers (`*` any run, `?` one character).
    pub pattern: String,
    /// How their matrices, kernels and tables are drawn. Biases and shifts become 0, scales 1, slopes 0.25, statistics those
    /// of standardized values.
    pub initializer: Initializer,
}

/// Puts new weights into the layers of `wanted` that lead to the scores, the first pattern that matches counting; says how
/// many layers that are.
///
/// # Errors
/// A pattern matches none of them, or one that is not trained.
pub(crate) fn initialize(
    graph: &mut Graph,
    (layers, trainable, selected): (&[Layer], &[usize], &[usize]),
    wanted: &[LayerInitializer],
    seed: u64,
) -> Result<usize, CompilerError> {
    let names = || trainable.iter().map(|index| layers[*index].name.as_str());
    for LayerInitializer { pattern, .. } in wanted {
        if !names().any(|name| pattern_matches(pattern, name)) {
            let hint =
                nearest(pattern, names()).map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
            let message = format!(
                "no layer that leads to the scores matches `{}`{hint}; `millstream inspect MODEL` lists the layers",
                shown(pattern)
            );
            return Err(CompilerError::setting("model.initialize", message));
        }
    }
    let mut drawn = HashSet::new();
    let mut count = 0;
    for index in trainable {
        let layer = &layers[*index];
        let Some(how) = wanted.iter().find(|one| pattern_matches(&one.pattern, &layer.name)) else { continue };
        if !selected.contains(index) {
            let message = format!(
                "layer `{}` would start from new weights and stay as they were drawn: train it too, for example by \
                 `train: all`, or let no pattern match it",
                shown(&layer.name)
            );
            return Err(CompilerError::setting("model.initialize", message));
        }
        count += 1;
        for weight in layer.weights.iter().filter(|weight| drawn.insert(weight.value)) {
            let node = graph.nodes()[weight.node].clone();
            let values = match Start::of(graph, weight) {
                Start::At(value) => filled(&weight.shape, value),
                Start::Drawn(fans) => how.initializer.draw(&weight.shape, fans, seed, graph.name(weight.value)),
            };
            graph.set_constant(weight.value, values);
            if node.is("BatchNormalization") {
                standardize(graph, &node);
            }
        }
    }
    Ok(count)
}

/// Statistics of a mean of 0 and a variance of 1.
fn standardize(graph: &mut Graph, node: &Node) {
    for (input, value) in [(3, 0.0), (4, 1.0)] {
        let statistic = node.input(input).and_then(|value| Some((value, graph.float_constant(value)?.shape.clone())));
        if let Some((statistic, shape)) = statistic {
            graph.set_constant(statistic, filled(&shape, value));
        }
    }
}

fn filled(shape: &[usize], value: f32) -> Constant {
    Constant::f32(shape, &vec![value; shape.iter().product()])
}

/// Where a weight starts.
#[derive(Debug, PartialEq)]
enum Start {
    /// At one number throughout.
    At(f32),
    /// Drawn by an initializer.
    Drawn(Fans),
}

impl Start {
    fn of(graph: &Graph, weight: &Weight) -> Self {
        let node = &graph.nodes()[weight.node];
        let is_vector = weight.shape.iter().filter(|length| **length > 1).count() <= 1;
        // behind a `Transpose` or another view the node reads another form than the one that is stored
        let numbers = |shape: &[usize]| shape.iter().product::<usize>();
        let read = node.input(weight.input).and_then(|read| graph.tensor_type(read)?.fixed_shape());
        let read = read.filter(|read| numbers(read) == numbers(&weight.shape));
        let shape = read.as_deref().unwrap_or(&weight.shape);
        let (first, last) = (shape.first().copied().unwrap_or(1), shape.last().copied().unwrap_or(1));
        match (node.operator.as_str(), weight.input) {
            ("Conv" | "ConvTranspose", 1) => Self::Drawn(Fans::of_convolution(shape)),
            ("Gemm", 1) if node.int("transB").unwrap_or(0) != 0 => Self::Drawn(Fans::of_dense(last, first)),
            ("Gemm" | "MatMul", 1) => Self::Drawn(Fans::of_dense(first, last)),
            ("MatMul", 0) => Self::Drawn(Fans::of_dense(last, first)),
            ("GRU" | "LSTM" | "RNN", 1 | 2) => Self::Drawn(Fans::of_dense(last, shape.get(1).copied().unwrap_or(1))),
            ("GRU" | "LSTM" | "RNN", _) => Self::At(0.0),
            ("PRelu", _) => Self::At(0.25),
            ("Mul", _) if is_vector => Self::At(1.0),
            (operator, 1) if operator.ends_with("Normalization") => Self::At(1.0),
            (operator, _) if operator.ends_with("Normalization") => Self::At(0.0),
            _ if is_vector => Self::At(0.0),
            _ => Self::Drawn(Fans::of_dense(last, first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::{layers, layers_before};
    use crate::graph::ValueId;
    use crate::handmade::{graph, node, read, value, weight, with};
    use crate::model_file::onnx::NodeProto;
    use crate::operators::OperatorCatalog;

    fn holds(graph: &Graph, value: ValueId, number: f32) -> bool {
        let values = graph.constant_of(value).and_then(Constant::to_f32);
        values.is_some_and(|values| values.iter().all(|own| *own == number))
    }

    fn network() -> Graph {
        let nodes = vec![
            node("Conv", &["x", "stem.weight", "stem.bias"], &["a"]),
            node("BatchNormalization", &["a", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], &["b"]),
            node("PRelu", &["b", "act.weight"], &["c"]),
            node("Flatten", &["c"], &["d"]),
            with(node("Gemm", &["d", "fc.weight", "fc.bias"], &["e"]), "transB", &[1]),
            node("LayerNormalization", &["e", "norm.weight", "norm.bias"], &["f"]),
            node("MatMul", &["f", "head.weight"], &["y"]),
        ];
        let shapes: [(&str, &[usize]); 12] = [
            ("stem.weight", &[6, 3, 1, 1]),
            ("stem.bias", &[6]),
            ("bn.weight", &[6]),
            ("bn.bias", &[6]),
            ("bn.running_mean", &[6]),
            ("bn.running_var", &[6]),
            ("act.weight", &[6, 1, 1]),
            ("fc.weight", &[5, 6]),
            ("fc.bias", &[5]),
            ("norm.weight", &[5]),
            ("norm.bias", &[5]),
            ("head.weight", &[5, 2]),
        ];
        let weights = shapes.iter().map(|(name, shape)| weight(name, shape)).collect();
        read(graph(nodes, weights, vec![value("x", &[3, 1, 1])], vec![value("y", &[2])]))
    }

    fn drawn(patterns: &[&str], trained: usize) -> Result<Graph, CompilerError> {
        let mut graph = network();
        let wanted: Vec<LayerInitializer> = patterns
            .iter()
            .map(|pattern| LayerInitializer { pattern: (*pattern).into(), initializer: Initializer::default() })
            .collect();
        let layers = layers(&graph, &OperatorCatalog::standard());
        let trainable = layers_before(&graph, &layers, graph.find("y").unwrap());
        let selected: Vec<usize> = trainable[trainable.len() - trained..].to_vec();
        initialize(&mut graph, (&layers, &trainable, &selected), &wanted, 7).map(|_| graph)
    }

    #[test]
    fn the_whole_model_is_drawn_anew_and_scales_and_shifts_do_nothing() {
        let before = network();
        let after = drawn(&["*"], 6).unwrap();
        let find = |name: &str| after.find(name).unwrap();
        for (name, number) in [
            ("stem.bias", 0.0),
            ("bn.weight", 1.0),
            ("bn.bias", 0.0),
            ("bn.running_mean", 0.0),
            ("bn.running_var", 1.0),
            ("act.weight", 0.25),
            ("fc.bias", 0.0),
            ("norm.weight", 1.0),
            ("norm.bias", 0.0),
        ] {
            assert!(holds(&after, find(name), number), "{name} is not {number}");
        }
        for name in ["stem.weight", "fc.weight", "head.weight"] {
            let values =
                |graph: &Graph| graph.constant_of(graph.find(name).unwrap()).and_then(Constant::to_f32).unwrap();
            assert_ne!(values(&before), values(&after), "{name}");
            // xavier_uniform: no number is farther than √(6 / (fan_in + fan_out))
            let shape = after.constant_of(find(name)).unwrap().shape.clone();
            let bound = (6.0 / (shape[0] + shape[1]) as f32).sqrt();
            let largest = values(&after).iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(largest <= bound && largest > 0.5 * bound, "{name}: {largest}, at most {bound}");
        }
    }

    #[test]
    fn layers_that_no_pattern_matches_stay_as_they_are() {
        let (before, after) = (network(), drawn(&["f?", "head"], 6).unwrap());
        let same = |name: &str| {
            let constant = |graph: &Graph| graph.constant_of(graph.find(name).unwrap()).cloned().unwrap();
            constant(&before) == constant(&after)
        };
        assert!(["stem.weight", "bn.weight", "act.weight", "norm.weight"].iter().all(|name| same(name)));
        assert!(!same("fc.weight") && !same("head.weight"));
    }

    #[test]
    fn what_matches_nothing_or_is_not_trained_is_refused() {
        for (patterns, trained, message) in [
            (&["norn"][..], 6, "no layer that leads to the scores matches `norn`; did you mean `norm`?"),
            (&["*"], 2, "layer `stem` would start from new weights and stay as they were drawn"),
        ] {
            let error = drawn(patterns, trained).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn inputs_and_outputs_are_counted_as_a_weight_is_read() {
        let graph = network();
        let layers = layers(&graph, &OperatorCatalog::standard());
        let start = |name: &str| {
            let weight = layers.iter().flat_map(|layer| &layer.weights).find(|weight| graph.name(weight.value) == name);
            Start::of(&graph, weight.unwrap())
        };
        for (name, inputs, outputs) in [("stem.weight", 3, 6), ("fc.weight", 6, 5), ("head.weight", 5, 2)] {
            assert_eq!(start(name), Start::Drawn(Fans::of_dense(inputs, outputs)), "{name}");
        }
    }

    #[test]
    fn inputs_and_outputs_are_not_swapped_where_a_weight_is_read_through_a_transpose() {
        let turned = |order: &[i64]| with(node("Transpose", &["w"], &["t"]), "perm", order);
        let product = |operator: &str, from: &str| node(operator, &["x", from], &["y"]);
        let by_rows = |from: &str| with(product("Gemm", from), "transB", &[1]);
        let bent = |shape: &str| node("Reshape", &["w", shape], &["t"]);
        // nodes, the shape that is stored, and how many numbers go in and come out
        type Row = (Vec<NodeProto>, &'static [usize], (usize, usize));
        let rows: [Row; 8] = [
            (vec![product("MatMul", "w")], &[3, 5], (3, 5)),
            (vec![turned(&[1, 0]), product("MatMul", "t")], &[5, 3], (3, 5)),
            (vec![product("Gemm", "w")], &[3, 5], (3, 5)),
            (vec![turned(&[1, 0]), product("Gemm", "t")], &[5, 3], (3, 5)),
            (vec![by_rows("w")], &[5, 3], (3, 5)),
            (vec![turned(&[1, 0]), by_rows("t")], &[3, 5], (3, 5)),
            (vec![turned(&[0, 1]), product("MatMul", "t")], &[3, 5], (3, 5)),
            (vec![bent("rows"), by_rows("t")], &[5, 3, 1, 1], (3, 5)),
        ];
        for (nodes, shape, (inputs, outputs)) in rows {
            let told = format!("{nodes:?}");
            let weights = vec![weight("w", shape), crate::handmade::whole("rows", &[2], &[5, 3])];
            let graph = read(graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[5])]));
            let layers = layers(&graph, &OperatorCatalog::standard());
            let weight = layers.iter().flat_map(|layer| &layer.weights).next().unwrap();
            assert_eq!(weight.shape, shape, "{told}");
            assert_eq!(Start::of(&graph, weight), Start::Drawn(Fans::of_dense(inputs, outputs)), "{told}");
        }
    }
}
