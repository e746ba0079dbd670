use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::linear::{Edges, Linear};
use crate::graph::{Graph, Node, ValueId};

/// Operators that hand numbers on as they are, but for rounding.
pub(super) const VIEWS: &[&str] = &[
    "Cast",
    "Concat",
    "DequantizeLinear",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Pad",
    "QuantizeLinear",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];
/// Sums and products, of which rotations and normalizations are made.
pub(super) const ARITHMETIC: &[&str] = &[
    "Abs",
    "Add",
    "Clip",
    "Div",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "ReduceL2",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Sqrt",
    "Sub",
    "Where",
];
/// Normalizations and rotations as one node.
pub(super) const NORMALIZATIONS: &[&str] = &[
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LpNormalization",
    "RMSNormalization",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
];
/// What stands between the two layers of a feed-forward part, beside sums and products.
pub(super) const ACTIVATIONS: &[&str] = &[
    "BiasGelu",
    "Celu",
    "Conv",
    "Elu",
    "Erf",
    "Exp",
    "FastGelu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "PRelu",
    "QuickGelu",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Swish",
    "Tanh",
];

/// How the data of a graph flow between its linear layers.
pub(super) struct Flow<'a> {
    pub(super) edges: Edges<'a>,
    /// Values that come from the graph's inputs, not only from their lengths.
    fed: HashSet<ValueId>,
    linears: BTreeMap<usize, Linear>,
    /// The linear layer whose product or result a value is.
    made: HashMap<ValueId, usize>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let edges = Edges::new(graph);
        let mut fed: HashSet<ValueId> = graph.inputs().iter().copied().collect();
        let mut linears = BTreeMap::new();
        let mut made = HashMap::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            let is_length = node.is("Shape") || node.is("Size");
            if !is_length && node.inputs.iter().flatten().any(|input| fed.contains(input)) {
                let outputs = node.outputs.iter().flatten().copied();
                fed.extend(outputs.filter(|output| graph.constant_of(*output).is_none()));
            }
            if let Some(linear) = edges.linear(index).filter(|linear| fed.contains(&linear.input)) {
                made.extend([(linear.product, index), (linear.result, index)]);
                linears.insert(index, linear);
            }
        }
        Self { edges, fed, linears, made }
    }

    pub(super) fn graph(&self) -> &'a Graph {
        self.edges.graph
    }

    pub(super) fn linear(&self, node: usize) -> &Linear {
        &self.linears[&node]
    }

    /// Whether a node is a linear layer.
    pub(super) fn is_linear(&self, node: &Node) -> bool {
        node.outputs
            .first()
            .copied()
            .flatten()
            .is_some_and(|made| self.made.get(&made).is_some_and(|index| self.linears[index].product == made))
    }

    pub(super) fn is_fed(&self, value: ValueId) -> bool {
        self.fed.contains(&value)
    }

    /// What of a node's inputs are numbers that it works on, and come from the graph's inputs.
    pub(super) fn data(&self, node: &Node) -> Vec<ValueId> {
        let all: Vec<ValueId> = match node.operator.as_str() {
            "Where" => [1, 2].into_iter().filter_map(|at| node.input(at)).collect(),
            "Add" | "Concat" | "Div" | "Einsum" | "FusedMatMul" | "MatMul" | "Max" | "Min" | "Mul" | "Pow" | "Sub"
            | "Sum" => node.inputs.iter().flatten().copied().collect(),
            _ => node.input(0).into_iter().collect(),
        };
        all.into_iter().filter(|value| self.fed.contains(value)).collect()
    }

    fn passes(node: &Node, through: &[&[&str]]) -> bool {
        matches!(node.domain.as_str(), "" | "com.microsoft")
            && through.iter().any(|operators| operators.contains(&node.operator.as_str()))
    }

    /// The linear layers that a value is made of, through these operators alone.
    pub(super) fn linears_behind(&self, value: ValueId, through: &[&[&str]]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        self.walk_back(value, |value| {
            if let Some(linear) = self.made.get(&value) {
                found.insert(*linear);
                return Vec::new();
            }
            let node = self.edges.producer(value).filter(|node| Self::passes(node, through));
            node.map_or_else(Vec::new, |node| self.data(node))
        });
        found
    }

    /// The values that a value is made of, itself among them, through these operators alone.
    pub(super) fn behind(&self, value: ValueId, through: &[&[&str]]) -> HashSet<ValueId> {
        self.walk_back(value, |value| {
            let node = self.edges.producer(value).filter(|node| Self::passes(node, through));
            node.map_or_else(Vec::new, |node| self.data(node))
        })
    }

    /// Products of two computed values that a value is made of, through these operators alone.
    pub(super) fn products_behind(&self, value: ValueId, through: &[&[&str]]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        self.walk_back(value, |value| {
            let Some(index) = self.edges.producers.get(&value) else { return Vec::new() };
            let node = &self.graph().nodes()[*index];
            if self.is_product(node) {
                found.insert(*index);
                return Vec::new();
            }
            if self.made.contains_key(&value) || !Self::passes(node, through) { Vec::new() } else { self.data(node) }
        });
        found
    }

    /// Whether a node is the matrix product of two computed values.
    pub(super) fn is_product(&self, node: &Node) -> bool {
        let is_einsum = || node.is("Einsum") && node.string("equation").is_some_and(is_product_of_heads);
        (node.is("MatMul") || node.operator == "FusedMatMul" && node.domain == "com.microsoft" || is_einsum())
            && self.data(node).len() == 2
    }

    fn walk_back(&self, value: ValueId, mut next: impl FnMut(ValueId) -> Vec<ValueId>) -> HashSet<ValueId> {
        let (mut seen, mut open) = (HashSet::from([value]), vec![value]);
        while let Some(value) = open.pop() {
            for value in next(value) {
                if seen.insert(value) {
                    open.push(value);
                }
            }
        }
        seen
    }

    /// What is made of these values alone, they among them, through these operators; linear layers end it.
    pub(super) fn reach(&self, from: &[ValueId], through: &[&[&str]]) -> HashSet<ValueId> {
        let mut reached: HashSet<ValueId> = from.iter().copied().collect();
        let first = from.iter().filter_map(|value| self.edges.readers.get(value)).flatten().min().copied();
        let Some(first) = first else { return reached };
        for (index, node) in self.graph().nodes().iter().enumerate().skip(first) {
            let is_open = Self::passes(node, through) && !self.linears.contains_key(&index);
            if !is_open || !node.inputs.iter().flatten().any(|input| reached.contains(input)) {
                continue;
            }
            let data = self.data(node);
            if !data.is_empty() && data.iter().all(|value| reached.contains(value)) {
                reached.extend(node.outputs.iter().flatten());
            }
        }
        reached
    }

    /// The linear layers that read one of these values.
    pub(super) fn linears_ahead(&self, reached: &HashSet<ValueId>) -> Vec<usize> {
        self.linears.iter().filter(|(_, linear)| reached.contains(&linear.input)).map(|(node, _)| *node).collect()
    }

    /// The first sum of one of these values and one that is none of them.
    pub(super) fn residual(&self, reached: &HashSet<ValueId>) -> Option<Residual> {
        self.graph().nodes().iter().find_map(|node| {
            let skips = node.domain == "com.microsoft" && node.operator.starts_with("Skip");
            if !(node.is("Add") || node.is("Sum") || skips) {
                return None;
            }
            let addends = node.inputs.iter().take(2).flatten().copied().filter(|value| self.fed.contains(value));
            let addends: Vec<ValueId> = addends.collect();
            let [a, b] = addends.as_slice() else { return None };
            let other = match (reached.contains(a), reached.contains(b)) {
                (true, false) => *b,
                (false, true) => *a,
                _ => return None,
            };
            Some(Residual { sums: node.outputs.iter().flatten().copied().collect(), other })
        })
    }
}

/// Whether an equation multiplies the matrices of two operands, row by row and head by head: queries with keys as
/// `bind,bjnd->bnij`, or weights with values as `bnij,bjnd->bind`.
fn is_product_of_heads(equation: &str) -> bool {
    let text: String = equation.split_whitespace().collect();
    let Some((operands, made)) = text.split_once("->") else { return false };
    let Some((first, second)) = operands.split_once(',') else { return false };
    let is_plain = |labels: &str| {
        labels.chars().enumerate().all(|(at, label)| label.is_ascii_alphabetic() && labels.find(label) == Some(at))
    };
    let Some((contracted, last)) = first.chars().next_back().zip(made.chars().next_back()) else { return false };
    let is_batched = first.chars().any(|label| second.contains(label) && made.contains(label));
    [first, second, made].into_iter().all(is_plain)
        && second.contains(contracted)
        && is_batched
        && !first.contains(last)
        && (second.ends_with(contracted) || second.ends_with(last))
        && made.chars().all(|label| first.contains(label) || second.contains(label))
        && first.chars().all(|label| (label == contracted) != made.contains(label))
        && second.chars().all(|label| (label == contracted) != made.contains(label))
}

/// Where what a part of a block makes is added to what it has read.
pub(super) struct Residual {
    /// The sum, and what else its node gives.
    pub(super) sums: Vec<ValueId>,
    /// What it is added to.
    pub(super) other: ValueId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equation_that_multiplies_heads_is_told_from_others() {
        for (equation, wanted) in [
            ("ibnd,jbnd->bnij", true),
            ("bnij,jbnd->ibnd", true),
            ("bind, bjnd -> bnij", true),
            ("bnij,bjnd->bind", true),
            ("bhqk,bhkd->bhqd", true),
            ("bhqd,bhdk->bhqk", true),
            ("ibh,hnd->ibnd", false),
            ("td,dnh->tnh", false),
            ("binh,tnh->bnit", true),
            ("bij,bij->bij", false),
            ("bij,bjd->bi", false),
            ("...ij,...jk->...ik", false),
            ("bnij->bnij", false),
        ] {
            assert_eq!(is_product_of_heads(equation), wanted, "{equation}");
        }
    }
}
