//! Which constants of a graph were parameters in the source: what is trained when a layer is.

use std::collections::{HashMap, HashSet};

use super::module_path::{is_generated, of_weight};
use crate::graph::{Constant, Graph, Node, ValueId};
use crate::operators::OperatorCatalog;

/// Operators that hand on what they read in another form; a weight behind them is trained in the form that it is stored in.
const VIEWS: [&str; 7] = ["Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// Inputs that set how an operator computes: bounds, statistics, scales of a size, filling values.
const SETTINGS: [(&str, &[usize]); 14] = [
    ("Attention", &[3, 4, 5, 6]),
    ("BatchNormalization", &[3, 4]),
    ("Clip", &[1, 2]),
    ("DequantizeLinear", &[0, 1, 2]),
    ("Dropout", &[1]),
    ("Max", &[0, 1]),
    ("Min", &[0, 1]),
    ("OneHot", &[0, 1, 2]),
    ("Pad", &[2]),
    ("Pow", &[1]),
    ("QuantizeLinear", &[1, 2]),
    ("Range", &[0, 1, 2]),
    ("Resize", &[1, 2]),
    ("Where", &[0]),
];

/// Last parts of the names of tensors that a module keeps and does not train.
const BUFFERS: [&str; 14] = [
    "alibi",
    "attn_mask",
    "bins",
    "cos",
    "freqs",
    "inv_freq",
    "mask",
    "mean",
    "original_inv_freq",
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
        if is_fed || !found.is_empty() {
            self.behind_weights.extend(outputs());
        }
        if !found.is_empty() || node.inputs.iter().flatten().any(|input| self.live.contains(input)) {
            let floats = |value: &ValueId| self.graph.tensor_type(*value).is_none_or(|known| known.dtype.is_float());
            let made: Vec<ValueId> = outputs().filter(floats).collect();
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
        let sets = SETTINGS.iter().any(|(name, inputs)| *name == operator && inputs.contains(&input));
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
            is_own && (is_fed || !is_elementwise(operator))
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
    let width = constant.dtype.bytes();
    is_vector || constant.bytes.chunks_exact(width).all(|number| number == &constant.bytes[..width])
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
    first.iter().all(|value| value.abs() < 1e-6 || (value - 1.0).abs() < 1e-6)
        && values.iter().all(|value| value.abs() <= 1.0)
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
