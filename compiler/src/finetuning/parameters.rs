//! Which constants of a graph were parameters in the source: what is trained when a layer is.

use std::collections::{HashMap, HashSet};

use super::module_path::{is_generated, of_weight};
use crate::graph::{Constant, ElementType, Graph, Node, ValueId};
use crate::operators::OperatorCatalog;

/// Operators that hand on what they read in another form; a weight behind them is trained in the form that it is stored in.
const VIEWS: [&str; 7] = ["Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// Inputs that set how an operator computes: bounds, statistics, scales of a size, filling values; and quantized weights with
/// their scales, which stay as they are. Of whatever domain.
const SETTINGS: [(&str, &[usize]); 28] = [
    ("Attention", &[3, 4, 5, 6]),
    ("BatchNormalization", &[3, 4]),
    ("Clip", &[1, 2]),
    ("DequantizeLinear", &[0, 1, 2]),
    ("Dropout", &[1]),
    ("DynamicQuantizeLSTM", &[1, 2, 8, 9, 10, 11]),
    ("DynamicQuantizeMatMul", &[1, 2, 3]),
    ("GatherBlockQuantized", &[0, 2, 3]),
    ("GroupQueryAttention", &[5, 6, 7, 8, 10, 12, 13]),
    ("MatMulIntegerToFloat", &[0, 1, 2, 3, 4, 5]),
    ("MatMulBnb4", &[1, 2]),
    ("MatMulNBits", &[1, 2, 3]),
    ("Max", &[0, 1]),
    ("Min", &[0, 1]),
    ("NegativeLogLikelihoodLoss", &[2]),
    ("OneHot", &[0, 1, 2]),
    ("Pad", &[2]),
    ("Pow", &[1]),
    ("QAttention", &[0, 1, 3, 4, 5, 6, 7]),
    ("QEmbedLayerNormalization", &[2, 3, 4, 5, 6, 8, 9, 10, 11, 12]),
    ("QuantizeLinear", &[1, 2]),
    ("Range", &[0, 1, 2]),
    ("Resize", &[1, 2]),
    ("RoiAlign", &[1, 2]),
    ("RotaryEmbedding", &[1, 2, 3]),
    ("STFT", &[2]),
    ("SoftmaxCrossEntropyLoss", &[2]),
    ("Where", &[0]),
];

/// Last parts of the names of tensors that a module keeps and does not train.
const BUFFERS: [&str; 16] = [
    "alibi",
    "attn_mask",
    "bins",
    "cos",
    "freqs",
    "imputed",
    "inv_freq",
    "mask",
    "mean",
    "original_inv_freq",
    "relative_coords_table",
    "running_mean",
    "running_var",
    "sin",
    "std",
    "window",
];

/// A weight as one node reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The constant.
    pub value: ValueId,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Index of the node that reads it.
    pub node: usize,
    /// Which of the node's inputs it is.
    pub input: usize,
}

/// The parameters that each node reads, by index of the node.
pub(crate) struct Parameters<'a> {
    graph: &'a Graph,
    catalog: &'a OperatorCatalog,
    /// What lies behind each value that a constant is handed on by.
    stored: HashMap<ValueId, ValueId>,
    /// Values that a parameter or an input of floats flows into.
    live: HashSet<ValueId>,
    behind_weights: HashSet<ValueId>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(graph: &'a Graph, catalog: &'a OperatorCatalog) -> Self {
        let stored = graph.constants().into_iter().map(|value| (value, value)).collect();
        let is_float = |value: &ValueId| graph.tensor_type(*value).is_none_or(|known| known.dtype.is_float());
        let live = graph.inputs().iter().copied().filter(is_float).collect();
        Self { graph, catalog, stored, live, behind_weights: HashSet::new() }
    }

    /// Those of the node `at`; nodes are asked in order.
    pub(crate) fn of(&mut self, at: usize) -> Vec<Weight> {
        let node = &self.graph.nodes()[at];
        let first = node.input(0).and_then(|value| self.stored.get(&value).copied());
        let outputs = || node.outputs.iter().flatten().copied();
        if let (true, Some(stored)) = (node.domain.is_empty() && VIEWS.contains(&node.operator.as_str()), first) {
            self.stored.extend(outputs().take(1).map(|made| (made, stored)));
            return Vec::new();
        }
        let is_fed = node.inputs.iter().flatten().any(|input| self.behind_weights.contains(input));
        let found: Vec<Weight> =
            (0..node.inputs.len()).filter_map(|input| self.weight(node, at, input, is_fed)).collect();
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

    fn weight(&self, node: &Node, at: usize, input: usize, is_fed: bool) -> Option<Weight> {
        let read = node.input(input)?;
        let value = *self.stored.get(&read)?;
        let constant = self.graph.float_constant(value)?;
        let row = self.catalog.find(&node.domain, &node.operator)?;
        let name = self.graph.name(value);
        let is_named = !is_generated(name);
        let operator = if node.domain.is_empty() { node.operator.as_str() } else { "" };
        let sets = SETTINGS.iter().any(|(name, inputs)| *name == node.operator && inputs.contains(&input));
        if sets || is_buffer(name) || !may_be_float_output(self.graph, node) {
            return None;
        }
        let numbers: usize = constant.shape.iter().product();
        let is_weight = if row.weights.contains(&input) && !is_arithmetic(node) {
            let is_product = operator == "MatMul";
            let other = is_product.then(|| node.input(1 - input)).flatten();
            // frequencies times positions make a table; they are no layer
            let is_table = !is_named && other.is_some_and(|other| !self.live.contains(&other));
            let is_absent =
                !is_named && input == 2 && !is_product && operator == "LayerNormalization" && is_zero(constant);
            !is_table && !is_absent
        } else if is_named {
            // one number without the path of a module is a setting of the formula, as is what is taken away or divided by
            let is_own = of_weight(name).is_some() || numbers > 1 && !matches!(operator, "Div" | "Pow" | "Sub");
            // in front of all layers it normalizes the input
            is_own && (is_fed || !is_elementwise(operator)) && !is_wave_table(constant)
        } else {
            is_fed && row.weights.contains(&input) && numbers > 1 && is_learned(operator, constant)
        };
        is_weight.then(|| Weight { value, shape: constant.shape.clone(), node: at, input })
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

/// What decides by values alone, where an exporter has made up the name: biases and scales are learned; of wider tensors those
/// that are added, unless they are masks or tables of waves.
fn is_learned(operator: &str, constant: &Constant) -> bool {
    if constant.shape.iter().filter(|length| **length > 1).count() <= 1 {
        return true;
    }
    operator == "Add" && !is_mask(constant) && !is_wave_table(constant)
}

/// Zero, or so far below that a softmax makes nothing of it.
fn is_mask(constant: &Constant) -> bool {
    let values = constant.to_f32().unwrap_or_default();
    values.iter().any(|value| *value <= -50.0) && values.iter().all(|value| *value == 0.0 || *value <= -50.0)
}

/// Sines and cosines of positions: at the first they are zeros and ones.
fn is_wave_table(constant: &Constant) -> bool {
    let values = constant.to_f32().unwrap_or_default();
    let width = constant.shape.last().copied().unwrap_or(1).max(1);
    let first = &values[..width.min(values.len())];
    let mut is_bounded = values.iter().all(|value| value.abs() <= 1.0 + 1e-6);
    is_bounded &= values.iter().any(|value| *value != values[0]);
    is_bounded && first.iter().all(|value| value.abs() < 1e-6 || (value - 1.0).abs() < 1e-6)
}

fn is_zero(constant: &Constant) -> bool {
    constant.to_f32().is_some_and(|values| values.iter().all(|value| *value == 0.0))
}

fn is_buffer(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    BUFFERS.contains(&last) || last.ends_with("_mask") || last.ends_with("_index") || last.starts_with("rotary_")
}

/// A constant beside these is a bias or scale only behind a layer; in front of all layers it normalizes the input.
pub(crate) fn is_arithmetic(node: &Node) -> bool {
    node.domain.is_empty() && matches!(node.operator.as_str(), "Add" | "Mul")
}

fn is_elementwise(operator: &str) -> bool {
    matches!(operator, "Add" | "Div" | "Mul" | "Pow" | "Sub")
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
