//! Which constants of a graph were parameters in the source: what is trained when a layer is.

use std::collections::{HashMap, HashSet};

use super::angles::angles;
use super::constant_kind::FrozenReason;
use super::constant_rules::Asked;
use super::operator_settings::is_setting;
use super::score_constants::scores;
use super::views::VIEWS;
use super::weight::Weight;
use crate::graph::{Constant, ElementType, Graph, Node, ValueId};
use crate::operators::OperatorCatalog;

/// The parameters that each node reads, by index of the node.
pub(crate) struct Parameters<'a> {
    graph: &'a Graph,
    catalog: &'a OperatorCatalog,
    /// What lies behind each value that a constant is handed on by.
    stored: HashMap<ValueId, ValueId>,
    /// Values that a single number fills, in whatever form.
    filled: HashSet<ValueId>,
    /// Values that a parameter or an input of floats flows into.
    live: HashSet<ValueId>,
    behind_weights: HashSet<ValueId>,
    /// Values that sines and cosines are taken of, by arithmetic alone.
    angles: HashSet<ValueId>,
    /// Values that a softmax is taken of, by arithmetic alone.
    scores: HashSet<ValueId>,
    /// Constants that a node reads and that are not taken for weights of it, with the node.
    frozen: Vec<(ValueId, usize, FrozenReason)>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(graph: &'a Graph, catalog: &'a OperatorCatalog) -> Self {
        let stored = graph.constants().into_iter().map(|value| (value, value)).collect();
        let is_float = |value: &ValueId| graph.tensor_type(*value).is_none_or(|known| known.dtype.is_float());
        let live = graph.inputs().iter().copied().filter(is_float).collect();
        let (filled, behind_weights, frozen) = (HashSet::new(), HashSet::new(), Vec::new());
        Self {
            graph,
            catalog,
            stored,
            filled,
            live,
            behind_weights,
            angles: angles(graph),
            scores: scores(graph),
            frozen,
        }
    }

    /// Those of the node `at`; nodes are asked in order.
    pub(crate) fn of(&mut self, at: usize) -> Vec<Weight> {
        let node = &self.graph.nodes()[at];
        let first = node.input(0).and_then(|value| self.stored.get(&value).copied());
        let outputs = || node.outputs.iter().flatten().copied();
        if let (true, Some(stored)) = (node.domain.is_empty() && VIEWS.contains(&node.operator.as_str()), first) {
            self.stored.extend(outputs().take(1).map(|made| (made, stored)));
            let is_filled = node.input(0).is_some_and(|read| self.filled.contains(&read)) || self.fills(node, stored);
            self.filled.extend(outputs().take(usize::from(is_filled)));
            return Vec::new();
        }
        let is_fed = node.inputs.iter().flatten().any(|input| self.behind_weights.contains(input));
        let mut found = Vec::new();
        for input in 0..node.inputs.len() {
            match self.weight(node, at, input, is_fed) {
                Some(Ok(weight)) => found.push(weight),
                Some(Err((value, reason))) => self.frozen.push((value, at, reason)),
                None => {}
            }
        }
        // what is counted of a weight's result, lengths and places, is not made of the weight
        let floats = |value: &ValueId| self.graph.tensor_type(*value).is_none_or(|known| known.dtype.is_float());
        let made: Vec<ValueId> = outputs().filter(floats).collect();
        if is_fed || !found.is_empty() {
            self.behind_weights.extend(&made);
        }
        if !found.is_empty() || node.inputs.iter().flatten().any(|input| self.live.contains(input)) {
            self.live.extend(made);
        }
        found
    }

    /// Constants that are no weights of the nodes that were asked so far, each with a node that reads it and why.
    pub(crate) fn frozen(self) -> Vec<(ValueId, usize, FrozenReason)> {
        self.frozen
    }

    /// Whether a node makes many numbers of the only one of a constant, as exporters write a tensor of zeros.
    fn fills(&self, node: &Node, stored: ValueId) -> bool {
        let numbers = |constant: &Constant| constant.shape.iter().product::<usize>();
        let made = node.outputs.first().copied().flatten().and_then(|made| self.graph.tensor_type(made));
        let stays_one = made.is_some_and(|made| made.shape.iter().all(|length| length.fixed() == Some(1)));
        matches!(node.operator.as_str(), "Expand" | "Tile")
            && !stays_one
            && self.graph.constant_of(stored).is_some_and(|constant| numbers(constant) == 1)
    }

    /// What an input of a node is where it is a constant that enters the computation: a weight, or why it is none.
    fn weight(
        &self,
        node: &Node,
        at: usize,
        input: usize,
        is_fed: bool,
    ) -> Option<Result<Weight, (ValueId, FrozenReason)>> {
        let read = node.input(input)?;
        let value = *self.stored.get(&read)?;
        let constant = self.graph.float_constant(value)?;
        let row = self.catalog.find(&node.domain, &node.operator)?;
        if is_setting(node, input) || !may_be_float_output(self.graph, node) {
            return None;
        }
        let asked = Asked {
            graph: self.graph,
            stored: &self.stored,
            filled: &self.filled,
            live: &self.live,
            angles: &self.angles,
            scores: &self.scores,
            node,
            input,
            read,
            value,
            constant,
            name: self.graph.name(value),
            operator: if node.domain.is_empty() { node.operator.as_str() } else { "" },
            has_weights: row.weights.contains(&input),
            is_fed,
        };
        let reason = asked.reason();
        Some(match reason {
            Some(reason) => Err((value, reason)),
            None => Ok(Weight { value, shape: constant.shape.clone(), node: at, input }),
        })
    }
}

/// Whether an exporter may have stored a constant once for several parameters that only began alike: biases and scales, and
/// whatever holds one number throughout.
pub(crate) fn may_be_merged(constant: &Constant) -> bool {
    let is_vector = constant.shape.iter().filter(|length| **length > 1).count() <= 1;
    // zeros of both signs are alike: a scale of zero that was folded into a convolution makes them
    let mut values = constant.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four")));
    is_vector
        || constant.dtype == ElementType::F32 && values.next().is_some_and(|first| values.all(|value| value == first))
}

fn may_be_float_output(graph: &Graph, node: &Node) -> bool {
    let known = node.outputs.first().copied().flatten().and_then(|made| graph.tensor_type(made));
    known.is_none_or(|known| known.dtype.is_float())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetuning::untie;
    use crate::handmade::{graph, node, read, value, weight};
    use crate::model_file::onnx::{NodeProto, TensorProto};

    fn trained(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> Vec<String> {
        let graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]));
        let catalog = OperatorCatalog::standard();
        let mut parameters = Parameters::new(&graph, &catalog);
        let found = (0..graph.nodes().len()).flat_map(|at| parameters.of(at));
        found.map(|weight| graph.name(weight.value).to_owned()).collect()
    }

    fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
        TensorProto { float_data: values.to_vec(), ..weight(name, shape) }
    }

    #[test]
    fn what_was_a_parameter_in_the_source_is_trained_and_masks_tables_and_settings_are_not() {
        let waves = [0.0, 1.0, 0.0, 1.0, 0.84, 0.54, 0.01, 0.99, 0.9, -0.41, 0.02, 0.98, 0.14, -0.98, 0.03, 0.97];
        let mask: Vec<f32> = (0..16).map(|at| if at % 5 == 0 { 0.0 } else { -100.0 }).collect();
        // what a node reads beside `h`, which comes out of a layer; whether it is trained
        let rows: Vec<(&str, TensorProto, bool)> = vec![
            ("Add", weight("pos_embed", &[1, 4, 4]), true),
            ("Add", weight("onnx::Add_12", &[4]), true),
            ("Add", weight("onnx::Add_13", &[1, 4, 4]), true),
            ("Add", floats("onnx::Add_14", &[1, 4, 4], &mask), false),
            ("Add", floats("onnx::Add_15", &[1, 4, 4], &waves), false),
            ("Add", floats("encoder.positions", &[1, 4, 4], &waves), false),
            ("Add", weight("layers.0.attn_mask", &[1, 4, 4]), false),
            ("Mul", weight("blocks.0.layer_scale.gamma", &[4]), true),
            ("Mul", weight("blocks.0.scale", &[]), true),
            ("Mul", weight("val_3", &[]), false),
            ("Mul", weight("val_4", &[4, 4]), false),
            ("Div", weight("deviation", &[4]), false),
            ("Pow", weight("two.weight", &[1]), false),
            ("Concat", weight("cls_token", &[1, 4, 4]), true),
            // a class token that an exporter has folded, and coordinates and zeros
            ("Concat", floats("/vit/Expand_output_0", &[1, 1, 4], &[0.3, -0.2, 0.1, -0.4]), true),
            ("Concat", floats("val_6", &[1, 1, 4], &[-1.0, -0.3, 0.3, 1.0]), false),
            ("Concat", floats("val_7", &[1, 1, 4], &[0.0; 4]), false),
            // PaddlePaddle's
            ("Concat", weight("vision_transformer_0.w_0", &[1, 4, 4]), true),
            ("Add", weight("linear_0.b_0", &[1]), true),
            ("Mul", weight("p2o.Constant.3", &[4, 4]), false),
            ("MatMul", weight("val_5", &[4, 4]), true),
        ];
        for (operator, constant, is_trained) in rows {
            let name = constant.name().to_owned();
            let mut joined = node(operator, &["h", &name], &["y"]);
            if operator == "Concat" {
                joined = crate::handmade::with(joined, "axis", &[1]);
            }
            let nodes = vec![node("MatMul", &["x", "first.weight"], &["h"]), joined];
            let mut wanted = vec!["first.weight".to_owned()];
            wanted.extend(is_trained.then_some(name));
            assert_eq!(trained(nodes, vec![weight("first.weight", &[4, 4]), constant.clone()]), wanted, "{operator}");
        }
    }

    #[test]
    fn a_table_of_sines_and_cosines_that_is_read_by_position_is_not_trained_and_any_other_table_is() {
        // as RoFormer has it: [sines | cosines] of a position
        let table = |rows: usize, width: usize, wave: &dyn Fn(f64, usize) -> f64| {
            let places = (0..rows).flat_map(|row| (0..width).map(move |column| (row as f64, column)));
            places.map(|(row, column)| wave(row, column) as f32).collect::<Vec<f32>>()
        };
        let halves = |row: f64, column: usize| {
            let angle = row / 10000f64.powf((column % 4) as f64 / 4.0);
            if column < 4 { angle.sin() } else { angle.cos() }
        };
        let interleaved = |row: f64, column: usize| {
            let angle = row / 10000f64.powf((column / 2) as f64 / 4.0);
            if column.is_multiple_of(2) { angle.sin() } else { angle.cos() }
        };
        let in_32_bits = |row: f64, column: usize| {
            let angle = row as f32 * 10000f32.powf(-((column % 4) as f32) / 4.0);
            f64::from(if column < 4 { angle.sin() } else { angle.cos() })
        };
        let nudged = |row: f64, column: usize| halves(row, column) + if row == 7.0 && column == 2 { 1e-3 } else { 0.0 };
        // a first row of zeros and ones, and anything below
        let random = |row: f64, column: usize| ((row * 8.0 + column as f64) * 12.9898).sin();
        let begun = |row: f64, column: usize| if row > 0.0 { random(row, column) } else { halves(row, column) };
        type Case<'a> = (&'a str, usize, &'a dyn Fn(f64, usize) -> f64, bool);
        let rows: [Case<'_>; 9] = [
            ("RoFormer's", 512, &halves, false),
            ("interleaved", 64, &interleaved, false),
            ("angles in 32 bits", 1536, &in_32_bits, false),
            ("of four rows", 4, &halves, false),
            ("too short to tell", 3, &halves, true),
            ("with a number that is learned", 64, &nudged, true),
            ("begun alike", 64, &begun, true),
            ("random", 512, &random, true),
            ("all zeros", 64, &|_, _| 0.0, true),
        ];
        for name in ["embed_positions.weight", "onnx::Gather_7"] {
            for (what, rows, wave, is_trained) in &rows {
                let nodes = vec![
                    node("Gather", &[name, "places"], &["h"]),
                    node("MatMul", &["h", "second.weight"], &["own"]),
                    node("Add", &["x", "own"], &["y"]),
                ];
                let places = crate::handmade::whole("places", &[4], &[0, 1, 2, 3]);
                let table = floats(name, &[*rows, 8], &table(*rows, 8, *wave));
                let found = trained(nodes, vec![table, places, weight("second.weight", &[8, 4])]);
                assert_eq!(found.iter().any(|weight| weight == name), *is_trained, "{what}, {name}");
            }
        }
    }

    #[test]
    fn a_mask_of_minus_infinity_is_no_parameter_whatever_it_is_called() {
        let (low, full) = (f32::NEG_INFINITY, [f32::NEG_INFINITY; 16]);
        let causal: Vec<f32> = (0..16).map(|at| if at % 4 > at / 4 { low } else { 0.0 }).collect();
        let mixed: Vec<f32> = (0..16).map(|at| if at % 4 > at / 4 { low } else { 0.5 }).collect();
        let slopes: Vec<f32> = (0..16).map(|at| if at % 4 > at / 4 { low } else { (at % 4 - at / 4) as f32 }).collect();
        // what a node reads beside `h`, and whether it is taken for a parameter
        let rows: [(&str, &[f32], bool); 8] = [
            ("Add", &causal, false),
            ("Add", &slopes, false),
            ("Add", &full, true),
            ("Add", &mixed, true),
            ("Where", &full, false),
            ("Where", &causal, false),
            ("MatMul", &causal, true),
            ("MatMul", &full, true),
        ];
        for (operator, values, is_trained) in rows {
            let read: &[&str] = if operator == "Where" { &["c", "h", "m.causal"] } else { &["h", "m.causal"] };
            let nodes = vec![
                node("MatMul", &["x", "first.weight"], &["h"]),
                node("Greater", &["x", "h"], &["c"]),
                node(operator, read, &["y"]),
            ];
            let found = trained(nodes, vec![weight("first.weight", &[4, 4]), floats("m.causal", &[4, 4], values)]);
            assert_eq!(found.contains(&"m.causal".to_owned()), is_trained, "{operator} {values:?}");
        }
    }

    #[test]
    fn biases_by_distance_are_not_trained_and_other_biases_of_an_attention_are() {
        let slopes = [0.25f32, 0.0625, 0.015625, 0.00390625];
        let of = |bias: &dyn Fn(f32, i32, i32) -> f32, rows: i32| {
            let places = slopes.iter().flat_map(|slope| (0..rows * 4).map(move |at| (*slope, at / 4, at % 4)));
            places.map(|(slope, row, column)| bias(slope, row, column)).collect::<Vec<f32>>()
        };
        // values [heads, rows, 4], and whether they are learned
        let cases = [
            (1, of(&|slope, _, column| slope * (column - 3) as f32, 1), false),
            (1, of(&|slope, _, column| slope * -column as f32, 1), false),
            (4, of(&|slope, row, column| slope * (column - row) as f32, 4), false),
            (4, of(&|slope, row, column| -slope * (column - row).abs() as f32, 4), false),
            (4, of(&|slope, row, column| -slope * ((column - row) * (column - row)) as f32, 4), true),
            (1, of(&|slope, _, column| slope * (column - 3) as f32 + if column == 1 { 0.01 } else { 0.0 }, 1), true),
        ];
        for (rows, values, is_trained) in cases {
            for name in ["val_3", "onnx::Add_7"] {
                let nodes = vec![node("MatMul", &["x", "first.weight"], &["h"]), node("Add", &["h", name], &["y"])];
                let bias = floats(name, &[4, rows, 4], &values);
                let found = trained(nodes, vec![weight("first.weight", &[4, 4]), bias]);
                assert_eq!(found.contains(&name.to_owned()), is_trained, "{name} {values:?}");
            }
        }
    }

    #[test]
    fn networks_that_make_tables_of_coordinates_are_trained_and_what_fills_the_place_of_a_parameter_is_not() {
        let layer = |x: &str, scale: &str, shift: &str| node("InstanceNormalization", &[x, scale, shift], &["y"]);
        let all = |name: &str, number: f32| floats(name, &[4], &[number; 4]);
        let same = [[0.25; 9]; 4].concat();
        let turned = |operator: &str| {
            vec![
                node("MatMul", &["table", "val_1"], &["h"]),
                node(operator, &["h"], &["waves"]),
                node("Add", &["x", "waves"], &["y"]),
            ]
        };
        let depthwise = || vec![crate::handmade::with(node("Conv", &["x", "val_1"], &["y"]), "group", &[4])];
        let norm = |data: &str| {
            vec![
                node("BatchNormalization", &[data, "val_1", "val_2", "mean", "variance"], &["own"]),
                node("MatMul", &["x", "own"], &["y"]),
            ]
        };
        let statistics = || [all("mean", 0.0), all("variance", 1.0)];
        // nodes, constants, and which of them are trained
        let rows: Vec<(Vec<NodeProto>, Vec<TensorProto>, Vec<&str>)> = vec![
            (
                turned("Relu"),
                vec![weight("attn.relative_coords_table", &[4, 4]), weight("val_1", &[4, 4])],
                vec!["val_1"],
            ),
            (turned("Relu"), vec![weight("val_0", &[4, 4]), weight("val_1", &[4, 4])], vec!["val_1"]),
            (turned("Cos"), vec![weight("val_0", &[4, 4]), weight("val_1", &[4, 4])], vec![]),
            (vec![layer("x", "val_1", "val_2")], vec![all("val_1", 1.0), all("val_2", 0.0)], vec![]),
            (
                vec![layer("x", "n.weight", "n.bias")],
                vec![all("n.weight", 1.0), all("n.bias", 0.0)],
                vec!["n.weight", "n.bias"],
            ),
            (vec![layer("x", "val_1", "val_2")], vec![all("val_1", 2.0), all("val_2", 0.0)], vec!["val_1", "val_2"]),
            (depthwise(), vec![floats("val_1", &[4, 1, 3, 3], &same)], vec![]),
            (depthwise(), vec![weight("val_1", &[4, 1, 3, 3])], vec!["val_1"]),
            (
                vec![
                    node("Clip", &["val_1"], &["h"]),
                    node("Exp", &["h"], &["scale"]),
                    node("Mul", &["x", "scale"], &["y"]),
                ],
                vec![weight("val_1", &[4, 1])],
                vec!["val_1"],
            ),
            (depthwise(), vec![floats("val_1", &[4, 1, 3, 3], &[f32::NAN; 36])], vec!["val_1"]),
            (
                norm("kernel"),
                [vec![weight("kernel", &[4, 4]), all("val_1", 2.0), all("val_2", 0.0)], statistics().to_vec()].concat(),
                vec!["kernel", "val_1"],
            ),
            (
                vec![node("Mul", &["x", "weight"], &["h"]), node("Add", &["h", "tokens.bias"], &["y"])],
                vec![weight("weight", &[4, 4]), weight("tokens.bias", &[4, 4])],
                vec!["weight", "tokens.bias"],
            ),
        ];
        for (mut nodes, weights, wanted) in rows {
            if nodes[0].input[0] == "table" {
                nodes[0].input[0] = weights[0].name().to_owned();
            }
            assert_eq!(trained(nodes, weights), wanted);
        }
    }

    #[test]
    fn a_number_that_only_fills_the_first_state_of_a_recurrent_layer_is_not_trained() {
        let size = || crate::handmade::whole("size", &[2], &[4, 4]);
        // the number, whether it is expanded, the operator that reads it, and whether it is trained
        for (name, is_expanded, operator, is_trained) in [
            ("model/gru_1/zeros/Const:0", true, "MatMul", false),
            ("model/gru_1/zeros/Const:0", true, "PRelu", false),
            ("act.weight", true, "PRelu", true),
            ("model/act/ReadVariableOp:0", true, "PRelu", true),
            ("slope", false, "PRelu", true),
            ("blocks.0.scale", false, "Mul", true),
            ("blocks.0.scale", true, "Mul", true),
        ] {
            let read = if is_expanded { "turned" } else { name };
            let inputs = if operator == "MatMul" { [read, "second.weight"] } else { ["h", read] };
            let mut nodes = vec![node("MatMul", &["x", "first.weight"], &["h"])];
            if is_expanded {
                nodes.push(node("Expand", &[name, "size"], &["state"]));
                nodes.push(node("Transpose", &["state"], &["turned"]));
            }
            nodes.push(node(operator, &inputs, &["made"]));
            nodes.push(node("Add", &["h", "made"], &["y"]));
            let weights = ["first.weight", "second.weight"].map(|name| weight(name, &[4, 4]));
            let found = trained(nodes, [weights.to_vec(), vec![floats(name, &[1], &[0.0]), size()]].concat());
            assert_eq!(found.contains(&name.to_owned()), is_trained, "{name}, {operator}: {found:?}");
        }
    }

    #[test]
    fn a_weight_behind_a_transpose_is_trained_in_the_form_that_it_is_stored_in() {
        let nodes = vec![node("Transpose", &["linear.weight"], &["turned"]), node("MatMul", &["x", "turned"], &["y"])];
        assert_eq!(trained(nodes, vec![weight("linear.weight", &[4, 4])]), ["linear.weight"]);
    }

    #[test]
    fn copies_of_a_layer_are_untied_and_what_one_module_reads_twice_stays_tied() {
        let matmul = |name: &str, weight: &str, from: &str, to: &str| NodeProto {
            name: Some(name.into()),
            ..node("MatMul", &[from, weight], &[to])
        };
        // names of two nodes; how many weights there are afterwards
        for (first, second, count) in [
            ("/layers.0/linear/MatMul", "/layers.1/linear/MatMul", 2),
            ("/layers.0/linear/MatMul", "/layers.0/linear/MatMul_1", 1),
            ("/layers.0/linear/MatMul", "/layers.0/linear_1/MatMul", 1),
            ("/embed/MatMul", "/decoder/MatMul", 1),
            ("one", "two", 1),
        ] {
            let nodes = vec![matmul(first, "w", "x", "h"), matmul(second, "w", "h", "y")];
            let weights = vec![weight("w", &[4, 4])];
            let mut graph = read(graph(nodes, weights, vec![value("x", &[4, 4])], vec![value("y", &[4, 4])]));
            untie(&mut graph, &OperatorCatalog::standard());
            assert_eq!(graph.constants().len(), count, "{first}, {second}");
        }
    }
}
