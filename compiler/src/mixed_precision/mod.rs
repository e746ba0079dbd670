//! Mixed precision, as PyTorch's autocast has it: products of matrices and convolutions run in 16 bits, forward and backward,
//! and so does what lies between two of them and can; all else, the parameters and their gradients among it, stays in 32-bit
//! floats. It is an edit of a finished graph, which knows nothing of training.

mod kernels;
mod loss_scale;
mod narrow_constants;
mod report;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use millstream_schemas::recipe::Precision;

use crate::graph::{Attribute, ElementType, Graph, Length, Node, ValueId};
use kernels::{Kernel, Role, row_of};
pub(crate) use loss_scale::mixed_gradients;
use narrow_constants::NarrowConstants;
pub use report::{InFloat32, MixedPrecision};

/// The format of 16 bits that a precision computes with, where there is one.
pub(crate) fn format_of(precision: Precision) -> Option<ElementType> {
    match precision {
        Precision::Float32 | Precision::Tf32 => None,
        Precision::Bfloat16 => Some(ElementType::Bf16),
        Precision::Float16 => Some(ElementType::F16),
    }
}

/// What is known of a graph beside its nodes.
pub(crate) struct Plan<'a> {
    /// The format of 16 bits.
    pub(crate) format: ElementType,
    /// Inputs that are trained.
    pub(crate) parameters: &'a [ValueId],
    /// Values that are read in 32 bits by all but products: the prediction.
    pub(crate) wide: ValueId,
    /// Values, by number, whose nodes stay in 32 bits: those of the loss, forward and backward.
    pub(crate) loss: &'a [Range<u32>],
}

impl Plan<'_> {
    fn is_of_loss(&self, value: ValueId) -> bool {
        self.loss.iter().any(|range| range.contains(&value.0))
    }

    /// What the table says of a node, where it runs in 16 bits.
    fn kernel(&self, graph: &Graph, node: &Node) -> Option<&'static Kernel> {
        let has_body = || node.attributes.values().any(|value| matches!(value, Attribute::Body(_)));
        let row = row_of(node).filter(|row| row.runs(node, self.format, graph.opset_of(&node.domain)))?;
        let outputs = || node.outputs.iter().flatten();
        let known = |value: &ValueId| graph.tensor_type(*value).is_some() && graph.constant_of(*value).is_none();
        let typed = typed_inputs(node, row).all(|value| {
            graph.tensor_type(value).is_some_and(|known| known.dtype == ElementType::F32 || !known.dtype.is_float())
        });
        let reads_floats = typed_inputs(node, row).any(|value| is_float(graph, value));
        let stays = outputs().any(|value| self.is_of_loss(*value)) || has_body();
        (!stays && typed && reads_floats && outputs().all(known)).then_some(row)
    }
}

fn typed_inputs(node: &Node, row: &Kernel) -> impl Iterator<Item = ValueId> {
    node.inputs.iter().take(row.typed_inputs).flatten().copied()
}

/// Whether it is the same to a node what elements it reads.
fn reads_lengths_alone(node: &Node) -> bool {
    node.is("Shape") || node.is("Size")
}

fn is_float(graph: &Graph, value: ValueId) -> bool {
    graph.tensor_type(value).is_some_and(|known| known.dtype == ElementType::F32)
}

/// Lets a graph run in mixed precision. Its inputs and outputs keep their types.
fn mix(graph: &mut Graph, plan: &Plan<'_>, constants: &mut NarrowConstants) {
    let nodes = graph.take_nodes();
    let wanted = wanted_in_16_bits(graph, &nodes, plan);
    let outputs = graph.outputs().iter().copied().collect();
    let mut pass = Pass {
        graph,
        plan,
        constants,
        wanted,
        native: HashMap::new(),
        widened: HashSet::new(),
        narrow: HashMap::new(),
        makers: HashMap::new(),
        either: HashSet::new(),
        outputs,
    };
    nodes.into_iter().for_each(|node| pass.take(node));
}

/// As [`mix`], of a training step and its evaluation, which share their constants; counts the nodes of the step.
pub(crate) fn mix_both([step, evaluation]: [&mut Graph; 2], plan: &Plan<'_>) -> MixedPrecision {
    let mut constants = NarrowConstants::default();
    mix(step, plan, &mut constants);
    mix(evaluation, plan, &mut constants);
    MixedPrecision::of(step, plan.format, |value| plan.is_of_loss(value))
}

/// Values that only products in 16 bits read, with nothing but movements between.
fn wanted_in_16_bits(graph: &Graph, nodes: &[Node], plan: &Plan<'_>) -> HashSet<ValueId> {
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for value in node.inputs.iter().flatten() {
            readers.entry(*value).or_default().push(at);
        }
    }
    let outputs: HashSet<ValueId> = graph.outputs().iter().copied().chain([plan.wide]).collect();
    let mut wanted: HashSet<ValueId> = HashSet::new();
    for value in nodes.iter().rev().flat_map(|node| node.outputs.iter().flatten().copied()) {
        let Some(readers) = readers.get(&value).filter(|_| is_float(graph, value) && !outputs.contains(&value)) else {
            continue;
        };
        let serves = |at: &usize| {
            let node = &nodes[*at];
            reads_lengths_alone(node)
                || plan.kernel(graph, node).is_some_and(|row| match row.role {
                    Role::Product => typed_inputs(node, row).any(|typed| typed == value),
                    Role::Movement => node.outputs.iter().flatten().all(|made| wanted.contains(made)),
                    Role::Pointwise => false,
                })
        };
        if readers.iter().all(serves) {
            wanted.insert(value);
        }
    }
    wanted
}

struct Pass<'a> {
    graph: &'a mut Graph,
    plan: &'a Plan<'a>,
    constants: &'a mut NarrowConstants,
    wanted: HashSet<ValueId>,
    /// Values that are computed in 16 bits, with what they are called there.
    native: HashMap<ValueId, ValueId>,
    /// Those of them that are there in 32 bits too.
    widened: HashSet<ValueId>,
    /// Other values that are there in 16 bits too.
    narrow: HashMap<ValueId, ValueId>,
    /// Nodes that can make their result in 16 bits as well: masks and constants.
    makers: HashMap<ValueId, Node>,
    /// Values that stand beside others of 16 bits as if they were of 16 bits: parameters, masks, and what is made of them.
    either: HashSet<ValueId>,
    /// The graph's outputs.
    outputs: HashSet<ValueId>,
}

impl Pass<'_> {
    fn take(&mut self, mut node: Node) {
        if reads_lengths_alone(&node) {
            let read = node.inputs.iter_mut().flatten();
            read.for_each(|value| *value = self.native.get(value).copied().unwrap_or(*value));
            self.graph.push_node(node);
            return;
        }
        let row = self.plan.kernel(self.graph, &node);
        if let Some(row) = row.filter(|row| self.runs_in_16_bits(&node, row)) {
            self.put_in_16_bits(node, row);
            return;
        }
        for value in node.inputs.iter().flatten() {
            self.widen(*value);
        }
        if let Some(made) = node.outputs.first().copied().flatten() {
            let beside = |value: ValueId| !is_float(self.graph, value) || self.stands_beside(value);
            if self.makes_either(&node) {
                self.makers.insert(made, node.clone());
                self.either.insert(made);
            } else if row.is_some_and(|row| row.role != Role::Product)
                && node.inputs.iter().flatten().all(|value| beside(*value))
            {
                self.either.extend(node.outputs.iter().flatten());
            }
        }
        self.graph.push_node(node);
    }

    fn runs_in_16_bits(&self, node: &Node, row: &Kernel) -> bool {
        let floats: Vec<ValueId> = typed_inputs(node, row).filter(|value| is_float(self.graph, *value)).collect();
        let is_native = |value: &ValueId| self.native.contains_key(value);
        let goes_along = || {
            floats.iter().any(is_native) && floats.iter().all(|value| is_native(value) || self.stands_beside(*value))
        };
        let can_be_cast = || floats.iter().all(|value| self.constants.can_hold(self.graph, self.plan.format, *value));
        match row.role {
            Role::Product => can_be_cast(),
            Role::Pointwise => goes_along() && can_be_cast(),
            Role::Movement => {
                let is_wanted = || node.outputs.iter().flatten().all(|value| self.wanted.contains(value));
                let is_there = |value: &ValueId| is_native(value) || self.narrow.contains_key(value);
                // one cast in front of it, or none; several would be worse than one behind it
                let costs_no_more = || floats.iter().all(is_there) || floats.len() == 1 && !self.shrinks(node, &floats);
                (goes_along() || is_wanted() && costs_no_more()) && can_be_cast()
            }
        }
    }

    /// Whether less is left of what a node moves, so that a cast costs less behind it.
    fn shrinks(&self, node: &Node, floats: &[ValueId]) -> bool {
        let elements = |values: &[ValueId]| {
            let types = values.iter().filter_map(|value| self.graph.tensor_type(*value));
            types.map(|known| known.elements()).fold(Length::from(0), |sum, elements| sum + elements)
        };
        let made: Vec<ValueId> = node.outputs.iter().flatten().copied().collect();
        match (elements(floats).fixed(), elements(&made).fixed()) {
            (Some(read), Some(made)) => made < read,
            // of open lengths nothing is known but that a choice of elements leaves less
            _ => matches!(node.operator.as_str(), "Gather" | "GatherElements" | "GatherND" | "Slice"),
        }
    }

    /// Whether a value of 32 bits beside others of 16 bits keeps nothing in 32 bits: numbers and vectors that are parameters
    /// or constants within the range of the format, as the bias of a product is a part of it, and masks.
    fn stands_beside(&self, value: ValueId) -> bool {
        if self.makers.contains_key(&value) {
            return true;
        }
        let is_vector = || {
            let shape = self.graph.tensor_type(value).map_or(&[][..], |known| &known.shape);
            shape.iter().filter(|length| **length != 1).count() <= 1
        };
        match self.graph.constant_of(value) {
            Some(constant) => is_vector() && NarrowConstants::is_in_range(constant, self.plan.format),
            None if self.plan.parameters.contains(&value) => is_vector(),
            None => self.either.contains(&value),
        }
    }

    /// Whether a node can make its result in any format: zeros and ones, or one number again and again.
    fn makes_either(&self, node: &Node) -> bool {
        let Some(made) = node.outputs.first().copied().flatten().filter(|made| is_float(self.graph, *made)) else {
            return false;
        };
        if self.plan.is_of_loss(made) || self.graph.constant_of(made).is_some() {
            return false;
        }
        let reads =
            |dtype| node.input(0).and_then(|input| self.graph.tensor_type(input)).is_some_and(|t| t.dtype == dtype);
        node.is("Cast") && reads(ElementType::Bool)
            || node.is("ConstantOfShape")
                && match node.attributes.get("value") {
                    Some(Attribute::Tensor(value)) => NarrowConstants::is_in_range(value, self.plan.format),
                    _ => true,
                }
    }

    fn put_in_16_bits(&mut self, mut node: Node, row: &Kernel) {
        for index in 0..node.inputs.len() {
            let Some(value) = node.inputs[index] else { continue };
            if index < row.typed_inputs && is_float(self.graph, value) {
                node.inputs[index] = Some(self.narrowed(value));
            } else {
                self.widen(value);
            }
        }
        let mut widened = Vec::new();
        for output in node.outputs.iter_mut().flatten() {
            if !is_float(self.graph, *output) {
                continue;
            }
            let made = self.in_format(*output);
            if *output == self.plan.wide || self.outputs.contains(output) {
                widened.push((made, *output));
            }
            // of the prediction only products read it so
            let known = if *output == self.plan.wide { &mut self.narrow } else { &mut self.native };
            known.insert(*output, made);
            *output = made;
        }
        self.graph.push_node(node);
        // right here: at the end of the graph all gradients would be held until then, and be computed in another order
        for (from, to) in widened {
            self.widened.insert(to);
            self.cast(from, to, ElementType::F32);
        }
    }

    /// The value in 16 bits; made at the first request.
    fn narrowed(&mut self, value: ValueId) -> ValueId {
        if let Some(known) = self.native.get(&value).or_else(|| self.narrow.get(&value)) {
            return *known;
        }
        let format = self.plan.format;
        let made = if let Some(constant) = self.constants.of(self.graph, format, value) {
            let name = format!("{}.{}", self.graph.name(value), format.name());
            self.graph.named_constant(&name, constant)
        } else if let Some(mut maker) = self.makers.get(&value).cloned() {
            let made = self.in_format(value);
            if maker.is("Cast") {
                maker.attributes.insert("to".to_owned(), i64::from(format.to_onnx()).into());
            } else {
                let number = NarrowConstants::filling(&maker, format);
                maker.attributes.insert("value".to_owned(), Attribute::Tensor(number));
            }
            maker.outputs = vec![Some(made)];
            self.graph.name(made).clone_into(&mut maker.name);
            self.graph.push_node(maker);
            made
        } else {
            let made = self.in_format(value);
            self.cast(value, made, format);
            made
        };
        self.narrow.insert(value, made);
        made
    }

    /// Makes a value that is computed in 16 bits in 32 bits too, unless it is there.
    fn widen(&mut self, value: ValueId) {
        if let Some(from) = self.native.get(&value).copied()
            && self.widened.insert(value)
        {
            self.cast(from, value, ElementType::F32);
        }
    }

    /// A new value like one of 32 bits.
    fn in_format(&mut self, value: ValueId) -> ValueId {
        let format = self.plan.format;
        let name = format!("{}.{}", self.graph.name(value), format.name());
        let mut known = self.graph.tensor_type(value).expect("the type of what is made is known").clone();
        known.dtype = format;
        self.graph.typed_value(&name, known)
    }

    fn cast(&mut self, from: ValueId, to: ValueId, dtype: ElementType) {
        self.graph.push_node(Node {
            name: format!("{}.cast", self.graph.name(to)),
            operator: "Cast".into(),
            inputs: vec![Some(from)],
            outputs: vec![Some(to)],
            attributes: [("to".to_owned(), i64::from(dtype.to_onnx()).into())].into(),
            ..Node::default()
        });
    }
}

#[cfg(test)]
mod tests;
