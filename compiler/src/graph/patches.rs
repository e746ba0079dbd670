//! Edits of a graph that is there: nodes in front of others, other operands, other types. Whoever lets a value have another
//! type says so by [`Graph::set_type`], and has what is behind it inferred anew.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Attribute, Constant, ElementType, Graph, Node, Origin, TensorType, ValueId};
use crate::CompilerError;

impl Graph {
    /// Whether a value is one of this graph.
    pub(crate) fn contains(&self, value: ValueId) -> bool {
        (value.0 as usize) < self.values.len()
    }

    /// Whether a value has this name.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The name, or with a number behind it where another value has it.
    pub(crate) fn free_name(&self, wanted: &str) -> String {
        self.numbered_name(wanted).0
    }

    /// As [`Graph::free_name`], for a value that is added now: the next that is to be called so need not begin anew.
    fn next_name(&mut self, wanted: &str) -> String {
        let (name, number) = self.numbered_name(wanted);
        if let Some(number) = number {
            self.numbers.insert(wanted.to_owned(), number);
        }
        name
    }

    /// A free name, and the number in it.
    fn numbered_name(&self, wanted: &str) -> (String, Option<u64>) {
        if !self.is_taken(wanted) {
            return (wanted.to_owned(), None);
        }
        let first = self.numbers.get(wanted).copied().unwrap_or(2);
        let numbered = (first..).map(|number| (format!("{wanted}_{number}"), Some(number)));
        numbered.into_iter().find(|(name, _)| !self.is_taken(name)).expect("numbers do not end")
    }

    /// Adds a standard operator whose output is called `name`, or nearly so where that is taken. Its type is known where the
    /// operator's rule can tell it. Inputs may differ by the names of their axes, which the data give the same length: what
    /// does not fit in the end is refused when lengths are bound.
    ///
    /// # Errors
    /// The inputs have lengths for all axes, and do not fit the operator.
    pub fn append(
        &mut self,
        operator: &str,
        inputs: &[ValueId],
        attributes: &[(&str, Attribute)],
        name: &str,
    ) -> Result<ValueId, CompilerError> {
        let name = self.next_name(name);
        let node = Node {
            name: name.clone(),
            operator: operator.to_owned(),
            domain: String::new(),
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: Vec::new(),
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            metadata: Vec::new(),
        };
        let is_open = |value: &ValueId| self.tensor_type(*value).is_none_or(|known| known.fixed_shape().is_none());
        let types = match self.types_of(&node, 1) {
            Some(Ok(types)) => types,
            None | Some(Err(CompilerError::NotKnown { .. })) => Vec::new(),
            Some(Err(_)) if inputs.iter().any(is_open) => Vec::new(),
            Some(Err(error)) => return Err(error),
        };
        self.push_named(node, &[name], &|index, _| types.get(index).cloned());
        let made = self.nodes.last().and_then(|node| node.outputs[0]);
        Ok(made.expect("a node with a named output was just added"))
    }

    /// Adds a constant called `name`, or nearly so where that is taken.
    pub fn named_constant(&mut self, name: &str, constant: Constant) -> ValueId {
        let name = self.next_name(name);
        self.constant(&name, constant)
    }

    /// Adds a value of another's type, which no node makes yet.
    pub(crate) fn like(&mut self, name: &str, value: ValueId) -> ValueId {
        let name = self.next_name(name);
        let made = self.value(&name, self.tensor_type(value).cloned());
        self.values[made.0 as usize].stored = self.values[value.0 as usize].stored;
        self.values[made.0 as usize].stops_gradient = self.values[value.0 as usize].stops_gradient;
        made
    }

    /// Lets `build` add nodes in front of the node `at`.
    pub(crate) fn in_front_of<T>(
        &mut self,
        at: usize,
        build: impl FnOnce(&mut Self) -> Result<T, CompilerError>,
    ) -> Result<T, CompilerError> {
        let after = self.nodes.split_off(at);
        let computed_lengths = std::mem::take(&mut self.computed_lengths);
        let built = build(self);
        if built.is_err() {
            self.nodes.truncate(at);
        }
        self.put_back(at, after, computed_lengths);
        built
    }

    /// Lets all that reads the first output of the node `at` read what `build` makes of it. `build` is given the graph, in
    /// which new nodes stand right behind the node, and the output; what the output was called is called `name`, or nearly so
    /// where that is taken, and what takes its place has its name.
    ///
    /// # Errors
    /// Those of `build`. The graph is as it was then, but for values that nothing reads.
    ///
    /// # Panics
    /// There is no such node, or it has no output.
    pub fn replace_result(
        &mut self,
        at: usize,
        name: &str,
        build: impl FnOnce(&mut Self, ValueId) -> Result<ValueId, CompilerError>,
    ) -> Result<(), CompilerError> {
        let output = self.nodes[at].outputs.first().copied().flatten().expect("the node has an output");
        let own = self.like(name, output);
        self.replace_output(at, output, own);
        let built = self.in_front_of(at + 1, |graph| {
            let made = build(graph, own)?;
            let is_new = graph.nodes[at + 1..].iter().any(|node| node.outputs.contains(&Some(made)));
            let made = if is_new { made } else { graph.append("Identity", &[made], &[], name)? };
            let new = graph.nodes[at + 1..].iter_mut().flat_map(|node| node.inputs.iter_mut().chain(&mut node.outputs));
            new.filter(|value| **value == Some(made)).for_each(|value| *value = Some(output));
            Ok(())
        });
        if built.is_err() {
            self.replace_output(at, own, output);
        }
        built
    }

    /// Lets the node `at` read another value.
    pub(crate) fn set_input(&mut self, at: usize, input: usize, value: ValueId) {
        self.nodes[at].inputs[input] = Some(value);
    }

    /// Lets all nodes that read a value of the table read what it stands for.
    pub(crate) fn replace_all_reads(&mut self, table: &HashMap<ValueId, ValueId>) {
        let reads = self.nodes.iter_mut().flat_map(|node| &mut node.inputs).flatten();
        reads.for_each(|read| *read = table.get(read).copied().unwrap_or(*read));
    }

    /// Lets all nodes from `first` on that read a value read another.
    pub(crate) fn replace_reads(&mut self, first: usize, from: ValueId, to: ValueId) {
        let reads = self.nodes[first..].iter_mut().flat_map(|node| &mut node.inputs);
        reads.filter(|read| **read == Some(from)).for_each(|read| *read = Some(to));
    }

    /// Lets a node make another value in the place of one.
    pub(crate) fn replace_output(&mut self, at: usize, from: ValueId, to: ValueId) {
        self.nodes[at].outputs.iter_mut().filter(|made| **made == Some(from)).for_each(|made| *made = Some(to));
        let made = self.nodes[at].outputs.contains(&Some(to));
        self.values[to.0 as usize].maker = if made { at } else { self.values[to.0 as usize].maker };
    }

    /// Lets a node hand on one of its inputs as it is.
    pub(crate) fn set_identity(&mut self, at: usize, input: ValueId) {
        let node = &mut self.nodes[at];
        node.operator = "Identity".into();
        node.domain = String::new();
        node.inputs = vec![Some(input)];
        node.outputs.truncate(1);
        node.attributes = BTreeMap::new();
    }

    /// Gives a node an attribute.
    pub(crate) fn set_attribute(&mut self, at: usize, name: &str, value: Attribute) {
        self.nodes[at].attributes.insert(name.to_owned(), value);
    }

    /// Lets a node have just these inputs.
    pub(crate) fn set_inputs(&mut self, at: usize, inputs: Vec<Option<ValueId>>) {
        self.nodes[at].inputs = inputs;
    }

    /// Takes nodes away; what they make must be a constant, or read by none.
    pub(crate) fn retain_nodes(&mut self, keep: impl Fn(&Node) -> bool) {
        self.nodes.retain(keep);
        self.note_makers(0);
    }

    /// Takes the nodes from the one `first` on away; nothing that stays reads what they make.
    pub(crate) fn drop_nodes(&mut self, first: usize) {
        self.nodes.truncate(first);
    }

    /// Puts a constant in the place of the only result of a node.
    pub(crate) fn replace_by_constant(&mut self, value: ValueId, constant: Constant) {
        self.retain_nodes(|node| !node.outputs.contains(&Some(value)));
        self.set_constant(value, constant);
    }

    /// Lets a constant that nothing reads any more be none.
    pub(crate) fn forget_constant(&mut self, value: ValueId) {
        self.values[value.0 as usize].constant = None;
    }

    /// Takes all nodes out, to be put back one after another by [`Graph::push_node`].
    pub(crate) fn take_nodes(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.nodes)
    }

    /// Adds a node whose values are in the graph.
    pub(crate) fn push_node(&mut self, node: Node) {
        self.nodes.push(node);
        self.note_makers(self.nodes.len() - 1);
    }

    /// Adds a value of this type, which no node makes yet, called `name`, or nearly so where that is taken.
    pub(crate) fn typed_value(&mut self, name: &str, tensor_type: TensorType) -> ValueId {
        self.value(name, Some(tensor_type))
    }

    /// The value that is added next will be the first behind this many.
    pub(crate) fn values_so_far(&self) -> u32 {
        u32::try_from(self.values.len()).expect("a graph has fewer than 2^32 values")
    }

    /// States another type of a value, or that none is known; nothing else is known of it then.
    pub(crate) fn set_type(&mut self, value: ValueId, tensor_type: Option<TensorType>) {
        let entry = &mut self.values[value.0 as usize];
        entry.element_type = entry.tensor_type.as_ref().map(|known| known.dtype).or(entry.element_type);
        entry.tensor_type = tensor_type;
        entry.constant = None;
        entry.integers = None;
    }

    /// Notes what the elements of a value are, whatever its shape.
    pub(crate) fn set_element_type(&mut self, value: ValueId, element_type: Option<ElementType>) {
        self.values[value.0 as usize].element_type = element_type;
    }

    /// Notes that a file states the type of a value.
    pub(crate) fn set_declared(&mut self, value: ValueId) {
        self.values[value.0 as usize].is_declared = true;
    }

    /// Notes what a file says that a constant was in the source.
    pub(crate) fn set_origin(&mut self, constant: ValueId, origin: Option<Origin>) {
        self.values[constant.0 as usize].origin = origin;
    }

    /// What a file says that a constant was in the source.
    pub(crate) fn origin(&self, constant: ValueId) -> Option<Origin> {
        self.values[constant.0 as usize].origin
    }

    /// Lets the reverse pass take a value for a constant, whatever it is computed from: nodes go on reading it, and no gradient
    /// flows back through it.
    pub fn stop_gradient(&mut self, value: ValueId) {
        self.values[value.0 as usize].stops_gradient = true;
    }

    /// Whether the reverse pass takes a value for a constant.
    pub fn stops_gradient(&self, value: ValueId) -> bool {
        self.values[value.0 as usize].stops_gradient
    }

    /// Notes that a recipe names a constant as what is trained.
    pub(crate) fn ask_for(&mut self, constant: ValueId) {
        self.values[constant.0 as usize].is_asked_for = true;
    }

    /// Whether a recipe names a constant as what is trained, though nothing else tells that it is a parameter.
    pub(crate) fn is_asked_for(&self, constant: ValueId) -> bool {
        self.values[constant.0 as usize].is_asked_for
    }

    /// Lets values be given in the place of these inputs; nodes that nothing needs then fall away when the graph is written.
    pub(crate) fn give_instead(&mut self, inputs: &[ValueId], given: &[ValueId]) {
        let given_ones: HashSet<ValueId> = given.iter().copied().collect();
        for output in self.nodes.iter_mut().flat_map(|node| &mut node.outputs) {
            *output = output.filter(|output| !given_ones.contains(output));
        }
        let taken: HashSet<ValueId> = inputs.iter().chain(given).copied().collect();
        self.inputs.retain(|input| !taken.contains(input));
        self.inputs.splice(0..0, given.iter().copied());
    }

    /// Lets just these be the graph's inputs; nothing that is needed reads another.
    pub(crate) fn keep_inputs(&mut self, inputs: &[ValueId]) {
        self.inputs.retain(|input| inputs.contains(input));
    }

    /// All constants that no node makes, in the order in which they were added.
    pub(crate) fn constants(&self) -> Vec<ValueId> {
        let made: HashSet<ValueId> =
            self.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
        let all = self.named().map(|(_, value)| value);
        all.filter(|value| self.constant_of(*value).is_some() && !made.contains(value)).collect()
    }

    /// The constant that a value is, where it is one of 32-bit floats.
    pub(crate) fn float_constant(&self, value: ValueId) -> Option<&Constant> {
        self.constant_of(value).filter(|constant| constant.dtype == ElementType::F32)
    }
}
