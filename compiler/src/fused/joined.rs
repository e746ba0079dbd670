//! Several graphs as one, in which equal values are one value.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::graph::{Attribute, Constant, Graph, Length, Node, Origin, ValueId};
use crate::operators::OperatorCatalog;

/// Which parts read a value: a bit for each.
type Readers = u128;

/// Parts that can be told apart.
pub(super) const MOST_PARTS: usize = Readers::BITS as usize;

/// A graph that others are added to. A node of an operator, with attributes and inputs that a node has already, is that node; a constant
/// of a type and bytes that one has already is that one; what hands on a value as it is is left out.
pub(super) struct Joined<'a> {
    pub(super) graph: Graph,
    catalog: &'a OperatorCatalog,
    hasher: RandomState,
    constants: HashMap<u64, Vec<ValueId>>,
    nodes: HashMap<u64, Vec<usize>>,
    /// By constant or value that a node makes: what it was called, and which parts read or make it.
    origins: HashMap<ValueId, (String, Readers)>,
}

/// A graph to add.
pub(super) struct Part<'a> {
    pub(super) graph: &'a Graph,
    /// What its inputs are in the joined graph.
    pub(super) inputs: &'a HashMap<ValueId, ValueId>,
    /// What the lengths that its inputs name are there.
    pub(super) lengths: &'a HashMap<String, Length>,
    /// Its number: below [`MOST_PARTS`].
    pub(super) number: usize,
    /// In front of what is its own alone.
    pub(super) label: String,
}

impl<'a> Joined<'a> {
    pub(super) fn new(graph: Graph, catalog: &'a OperatorCatalog) -> Self {
        Self {
            graph,
            catalog,
            hasher: RandomState::new(),
            constants: HashMap::new(),
            nodes: HashMap::new(),
            origins: HashMap::new(),
        }
    }

    /// Adds what a graph needs for its outputs; gives what stands for each of them.
    pub(super) fn add(&mut self, part: &Part<'_>) -> Vec<ValueId> {
        let mut known: HashMap<ValueId, ValueId> = part.inputs.clone();
        for node in part.graph.needed_nodes() {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for input in &node.inputs {
                inputs.push(input.map(|input| self.read(part, &mut known, input)));
            }
            let made = self.node(part, node, inputs);
            for (own, there) in node.outputs.iter().zip(made) {
                known.extend(own.zip(there));
            }
        }
        part.graph.outputs().to_vec().into_iter().map(|output| self.read(part, &mut known, output)).collect()
    }

    /// What stands for a value that a part reads.
    fn read(&mut self, part: &Part<'_>, known: &mut HashMap<ValueId, ValueId>, value: ValueId) -> ValueId {
        let bit: Readers = 1 << part.number;
        if let Some(there) = known.get(&value) {
            if let Some((_, readers)) = self.origins.get_mut(there) {
                *readers |= bit;
            }
            return *there;
        }
        let constant = part.graph.constant_of(value).expect("what no node makes and is no input is a constant");
        let there = self.constant(part.graph.name(value), constant, part.graph.origin(value));
        if let Some((_, readers)) = self.origins.get_mut(&there) {
            *readers |= bit;
        }
        known.insert(value, there);
        there
    }

    /// What was another thing in the source of another part is told by its name and place.
    fn constant(&mut self, name: &str, constant: &Constant, origin: Option<Origin>) -> ValueId {
        let key = self.hasher.hash_one((constant.dtype, &constant.shape, &constant.bytes));
        let same = |value: &&ValueId| self.graph.constant_of(**value).is_some_and(|known| known == constant);
        if let Some(known) = self.constants.get(&key).and_then(|known| known.iter().find(same)).copied() {
            if self.graph.origin(known) != origin {
                self.graph.set_origin(known, None);
            }
            return known;
        }
        let made = self.graph.constant(name, constant.clone());
        self.graph.set_origin(made, origin);
        self.constants.entry(key).or_default().push(made);
        self.origins.insert(made, (name.to_owned(), 0));
        made
    }

    /// What stands for the outputs of a node that reads these values.
    fn node(&mut self, part: &Part<'_>, node: &Node, inputs: Vec<Option<ValueId>>) -> Vec<Option<ValueId>> {
        let bit: Readers = 1 << part.number;
        if let (true, [Some(only)], [Some(_)]) = (node.is("Identity"), &inputs[..], &node.outputs[..]) {
            return vec![Some(*only)];
        }
        let key = self.is_repeatable(node, &inputs).then(|| self.key(node, &inputs));
        let same = |at: &&usize| is_same(&self.graph.nodes()[**at], node, &inputs);
        if let Some(at) = key.and_then(|key| self.nodes.get(&key)).and_then(|known| known.iter().find(same)) {
            let outputs = self.graph.nodes()[*at].outputs.clone();
            for output in outputs.iter().flatten() {
                if let Some((_, readers)) = self.origins.get_mut(output) {
                    *readers |= bit;
                }
            }
            return outputs;
        }
        let names: Vec<String> = node
            .outputs
            .iter()
            .map(|output| output.map_or_else(String::new, |output| part.graph.name(output).to_owned()))
            .collect();
        let types: Vec<_> = node
            .outputs
            .iter()
            .map(|output| output.and_then(|output| part.graph.tensor_type(output)).cloned())
            .collect();
        let length = |name: &str| match part.lengths.get(name) {
            Some(length) => Some(length.clone()),
            None => (part.number > 0).then(|| Length::named(&format!("{}.{name}", part.label))),
        };
        self.graph.push_named(Node { inputs, ..node.clone() }, &names, &|index, _| {
            types.get(index).cloned().flatten().map(|known| known.with(&length))
        });
        let at = self.graph.nodes().len() - 1;
        if let Some(key) = key {
            self.nodes.entry(key).or_default().push(at);
        }
        let outputs = self.graph.nodes()[at].outputs.clone();
        for (output, name) in outputs.iter().zip(names) {
            self.origins.extend(output.map(|output| (output, (name, bit))));
        }
        outputs
    }

    /// Whether two such nodes give the same. Operators of other domains may do anything, unless their rules are known.
    fn is_repeatable(&self, node: &Node, inputs: &[Option<ValueId>]) -> bool {
        if !node.domain.is_empty() {
            return self.catalog.find(&node.domain, &node.operator).is_some();
        }
        let drops = || {
            let mode = inputs.get(2).copied().flatten();
            mode.is_some_and(|mode| {
                self.graph.constant_of(mode).and_then(Constant::to_i64).is_none_or(|mode| mode != [0])
            })
        };
        !(node.draws() || node.operator == "Dropout" && drops())
    }

    fn key(&self, node: &Node, inputs: &[Option<ValueId>]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (&node.domain, &node.operator, inputs, node.outputs.len()).hash(&mut hasher);
        for (name, value) in &node.attributes {
            name.hash(&mut hasher);
            hash_attribute(value, &mut hasher);
        }
        hasher.finish()
    }

    /// Calls what belongs to one part alone after it: `m1/fc.weight`. `labels` are those of all parts by their numbers.
    pub(super) fn name(&mut self, labels: &[String]) {
        let own = |readers: Readers| {
            let only = readers.is_power_of_two() && labels.len() > 1;
            only.then(|| &labels[readers.trailing_zeros() as usize])
        };
        let mut values: Vec<(ValueId, (String, Readers))> = self.origins.drain().collect();
        values.sort_unstable_by_key(|(value, _)| *value);
        let mut labelled: HashMap<ValueId, &String> = HashMap::new();
        for (value, (name, readers)) in values {
            let Some(label) = own(readers) else { continue };
            labelled.insert(value, label);
            let free = self.graph.free_name(&format!("{label}/{name}"));
            self.graph.rename(value, &free).expect("the name is free");
        }
        for mut node in self.graph.take_nodes() {
            let label = node.outputs.iter().flatten().find_map(|output| labelled.get(output));
            if let (Some(label), false) = (label, node.name.is_empty()) {
                node.name = format!("{label}/{}", node.name);
            }
            self.graph.push_node(node);
        }
    }
}

/// Whether a node is one that reads these values and does the same.
fn is_same(known: &Node, node: &Node, inputs: &[Option<ValueId>]) -> bool {
    let given = |outputs: &[Option<ValueId>]| outputs.iter().map(Option::is_some).collect::<Vec<bool>>();
    known.operator == node.operator
        && known.domain == node.domain
        && known.inputs == inputs
        && given(&known.outputs) == given(&node.outputs)
        && known.attributes.len() == node.attributes.len()
        && known.attributes.iter().zip(&node.attributes).all(|(a, b)| a.0 == b.0 && same_attribute(a.1, b.1))
}

/// Floats are told apart by their bits.
fn same_attribute(a: &Attribute, b: &Attribute) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    match (a, b) {
        (Attribute::Float(a), Attribute::Float(b)) => a.to_bits() == b.to_bits(),
        (Attribute::Floats(a), Attribute::Floats(b)) => bits(a) == bits(b),
        // of a graph within a node nothing is known here
        (Attribute::Body(_), _) | (_, Attribute::Body(_)) => false,
        (a, b) => a == b,
    }
}

fn hash_attribute(value: &Attribute, hasher: &mut impl Hasher) {
    match value {
        Attribute::Float(value) => value.to_bits().hash(hasher),
        Attribute::Int(value) => value.hash(hasher),
        Attribute::String(value) => value.hash(hasher),
        Attribute::Bytes(value) => value.hash(hasher),
        Attribute::Floats(values) => values.iter().for_each(|value| value.to_bits().hash(hasher)),
        Attribute::Ints(values) => values.hash(hasher),
        Attribute::Strings(values) => values.hash(hasher),
        Attribute::Tensor(constant) => (constant.dtype, &constant.shape, &constant.bytes).hash(hasher),
        Attribute::Body(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;

    /// relu(x·w + 1), and what `more` adds to it.
    fn branch(weight: f32, more: impl FnOnce(&mut Graph, ValueId) -> ValueId) -> Graph {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 3]));
        let w = graph.constant("w", Constant::f32([], &[weight]));
        let one = graph.constant("one", Constant::f32([], &[1.0]));
        let product = graph.add("Mul", &[x, w], &[]).unwrap();
        let sum = graph.add("Add", &[product, one], &[]).unwrap();
        let y = graph.add("Relu", &[sum], &[]).unwrap();
        let y = more(&mut graph, y);
        graph.output(y);
        graph
    }

    fn joined(parts: &[Graph]) -> (Graph, Vec<ValueId>) {
        let catalog = OperatorCatalog::standard();
        let mut graph = Graph::new(17, catalog.clone());
        let x = graph.input("x", TensorType::f32([2, 3]));
        let mut joined = Joined::new(graph, &catalog);
        let labels: Vec<String> = (0..parts.len()).map(|at| format!("m{at}")).collect();
        let mut outputs = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let inputs = part.inputs().iter().map(|input| (*input, x)).collect();
            let part =
                Part { graph: part, inputs: &inputs, lengths: &HashMap::new(), number, label: labels[number].clone() };
            outputs.extend(joined.add(&part));
        }
        joined.name(&labels);
        (joined.graph, outputs)
    }

    #[test]
    fn what_is_equal_runs_once_and_what_differs_is_called_after_its_part() {
        let same = |graph: &mut Graph, y: ValueId| graph.add("Identity", &[y], &[]).unwrap();
        let (graph, outputs) = joined(&[branch(2.0, same), branch(2.0, |_, y| y)]);
        assert_eq!((graph.nodes().len(), outputs[0]), (3, outputs[1]));

        let tanh = |graph: &mut Graph, y: ValueId| graph.add("Tanh", &[y], &[]).unwrap();
        let (graph, outputs) = joined(&[branch(2.0, tanh), branch(2.0, same), branch(3.0, tanh)]);
        let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["Mul", "Add", "Relu", "m0/Tanh", "m2/Mul", "m2/Add", "m2/Relu", "m2/Tanh"]);
        assert_eq!(graph.constants().len(), 3, "two weights and a one");
        assert_eq!(graph.name(graph.nodes()[4].inputs[1].unwrap()), "m2/w");
        assert_eq!(graph.name(outputs[2]), "m2/Tanh");
    }

    #[test]
    fn what_files_say_of_their_constants_stays_known_where_they_agree() {
        let told = |of_weight: Option<Origin>, of_one: Option<Origin>| {
            let mut graph = branch(2.0, |_, y| y);
            for (name, origin) in [("w", of_weight), ("one", of_one)] {
                let value = graph.find(name).unwrap();
                graph.set_origin(value, origin);
            }
            graph
        };
        let (graph, _) = joined(&[
            told(Some(Origin::Parameter), Some(Origin::Buffer)),
            told(Some(Origin::Parameter), Some(Origin::Literal)),
        ]);
        let origins: Vec<Option<Origin>> = graph.constants().into_iter().map(|value| graph.origin(value)).collect();
        assert_eq!(origins, [Some(Origin::Parameter), None]);
    }

    #[test]
    fn zeros_of_two_signs_and_numbers_that_are_none_are_told_apart_by_their_bits() {
        let leaky = |alpha: f32| {
            branch(1.0, |graph: &mut Graph, y| graph.add("LeakyRelu", &[y], &[("alpha", alpha.into())]).unwrap())
        };
        assert_eq!(joined(&[leaky(0.0), leaky(-0.0)]).0.nodes().len(), 5);
        assert_eq!(joined(&[leaky(f32::NAN), leaky(f32::NAN)]).0.nodes().len(), 4);
        let scaled = |by: f32| branch(by, |_, y| y);
        assert_eq!(joined(&[scaled(0.0), scaled(-0.0)]).0.nodes().len(), 6);
        assert_eq!(joined(&[scaled(f32::NAN), scaled(f32::NAN)]).0.nodes().len(), 3);
    }

    #[test]
    fn what_is_drawn_at_random_is_drawn_for_each() {
        let noisy = || {
            branch(1.0, |graph: &mut Graph, y| {
                let noise = graph.add("RandomNormalLike", &[y], &[("dtype", 1.into())]).unwrap();
                graph.plus(y, noise).unwrap()
            })
        };
        assert_eq!(joined(&[noisy(), noisy()]).0.nodes().len(), 3 + 2 * 2);
        let dropped = |training: bool| {
            branch(1.0, |graph: &mut Graph, y| {
                let ratio = graph.scalar(0.5);
                let mode = crate::graph::ElementType::Bool;
                let mode = graph
                    .constant("mode", Constant { dtype: mode, shape: vec![], bytes: vec![u8::from(training)].into() });
                graph.add("Dropout", &[y, ratio, mode], &[]).unwrap()
            })
        };
        assert_eq!(joined(&[dropped(false), dropped(false)]).0.nodes().len(), 4);
        assert_eq!(joined(&[dropped(true), dropped(true)]).0.nodes().len(), 5);
    }
}
