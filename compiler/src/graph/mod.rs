//! A graph of typed values, changed only by checked edits: a node is added, or patched, when its operator's rule states
//! the types of what it makes.

mod arena;
mod attributes;
mod batch_types;
mod body;
mod branches;
mod constant;
mod element_type;
mod emitters;
mod execution_order;
mod half_precision;
mod integers;
mod length;
mod node;
mod origin;
mod patches;
mod replacement;
mod run_time_lengths;
mod scan;
mod some_lengths;
mod stored_types;
mod tensor_type;
mod to_onnx;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

pub use attributes::Attribute;
pub use body::Body;
pub use constant::Constant;
pub use element_type::ElementType;
pub(crate) use emitters::{AXES_INPUT_SINCE, axes_input_since};
pub(crate) use half_precision::{bf16_to_f32, f16_to_f32};
pub use integers::{Integers, Known};
pub use length::{Length, fixed_lengths};
pub use node::{Node, ValueId};
pub(crate) use node::{OF_ONE_PROCESSOR, ONE_PROCESSOR, standard_domain};
pub(crate) use origin::{KIND, Origin, PRODUCER};
pub use scan::{Step, Steps};
pub(crate) use stored_types::in_float_type;
pub use tensor_type::TensorType;

use crate::CompilerError;
use millstream_schemas::shown;

#[derive(Clone, Debug)]
struct Value {
    name: String,
    tensor_type: Option<TensorType>,
    /// What its elements are, where the rest of its type is not known.
    element_type: Option<ElementType>,
    constant: Option<Constant>,
    /// Where it is no constant and its elements are known as expressions.
    integers: Option<Integers>,
    /// Whether a file states its type, and is to again.
    is_declared: bool,
    /// Where floats of other widths are computed with as 32-bit ones: what the file stores it as.
    stored: Option<ElementType>,
    /// What a file says that it was in the source.
    origin: Option<Origin>,
    /// Whether the reverse pass takes it for a constant.
    stops_gradient: bool,
    /// Whether a recipe names it as what is trained.
    is_asked_for: bool,
    /// Whether whoever runs the graph may replace it.
    is_overridable: bool,
    /// Where the node was last that makes it; holds where that node makes it.
    maker: usize,
}

/// What a graph asks about operators; a [`OperatorCatalog`](crate::operators::OperatorCatalog) answers.
pub trait OperatorTypes: std::fmt::Debug + Send + Sync {
    /// The types of the first `outputs` outputs of a node, whose inputs are in the graph and whose outputs are not;
    /// `None` where the operator is not known.
    ///
    /// # Errors
    /// The inputs do not fit the operator, or its outputs' shapes depend on data.
    fn output_types(
        &self,
        graph: &Graph,
        node: &Node,
        outputs: usize,
    ) -> Option<Result<Vec<TensorType>, CompilerError>>;
}

/// Nodes in an order in which every value is made before it is used.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Version of the standard operators that nodes follow.
    pub opset: i64,
    /// Versions of other domains.
    pub other_opsets: BTreeMap<String, i64>,
    /// Version of the standard operators that the file states which the graph was read from; that of the graph where there is none.
    pub(crate) file_opset: i64,
    operators: Arc<dyn OperatorTypes>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: Vec<ValueId>,
    /// Constants that whoever runs the graph may replace.
    overridable: Vec<ValueId>,
    outputs: Vec<ValueId>,
    names: HashMap<String, ValueId>,
    /// Of names that were wanted again: numbers up to this one are taken behind them.
    numbers: HashMap<String, u64>,
    /// Vectors of lengths that nodes compute, by what they hold.
    computed_lengths: HashMap<Vec<Length>, ValueId>,
    /// Whether nobody reads why a type is not known.
    is_quiet: bool,
    /// Where floats of 64 bits are computed with as 32-bit ones: by the place in memory of the narrower bytes of a constant these, and
    /// the constant as the file has it.
    doubles: Option<HashMap<usize, (Bytes, Constant)>>,
}

impl Graph {
    /// An empty graph that knows these operators, for example those of
    /// [`OperatorCatalog::standard`](crate::operators::OperatorCatalog::standard).
    pub fn new(opset: i64, operators: impl OperatorTypes + 'static) -> Self {
        Self::of(opset, Arc::new(operators))
    }

    fn of(opset: i64, operators: Arc<dyn OperatorTypes>) -> Self {
        Self {
            opset,
            other_opsets: BTreeMap::new(),
            file_opset: opset,
            operators,
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            overridable: Vec::new(),
            outputs: Vec::new(),
            names: HashMap::new(),
            numbers: HashMap::new(),
            computed_lengths: HashMap::new(),
            is_quiet: false,
            doubles: None,
        }
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, tensor_type: TensorType) -> ValueId {
        let id = self.value(name, Some(tensor_type));
        self.inputs.push(id);
        id
    }

    /// Adds an input whose type may not be known.
    pub(crate) fn untyped_input(&mut self, name: &str, tensor_type: Option<TensorType>) -> ValueId {
        let id = self.value(name, tensor_type);
        self.inputs.push(id);
        id
    }

    /// Adds a constant: stored in the model as an initializer.
    pub fn constant(&mut self, name: &str, constant: Constant) -> ValueId {
        let id = self.value(name, Some(constant.tensor_type()));
        self.values[id.0 as usize].constant = Some(constant);
        id
    }

    /// Adds a node with one output and states its type by the operator's own rule.
    pub fn add(
        &mut self,
        operator: &str,
        inputs: &[ValueId],
        attributes: &[(&str, Attribute)],
    ) -> Result<ValueId, CompilerError> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        Ok(self.add_with(operator, &inputs, attributes, 1)?[0])
    }

    /// Adds a node with optional inputs and several outputs.
    pub fn add_with(
        &mut self,
        operator: &str,
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Result<Vec<ValueId>, CompilerError> {
        self.add_in("", operator, inputs, attributes, outputs)
    }

    /// Adds a node of any domain; the graph takes version 1 of a domain that it states no version of.
    ///
    /// # Errors
    /// The catalog has no such operator, or the inputs do not fit it.
    pub fn add_in(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Result<Vec<ValueId>, CompilerError> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut node = Node {
            name: String::new(),
            operator: operator.to_owned(),
            domain: standard_domain(domain).to_owned(),
            inputs: inputs.to_vec(),
            outputs: Vec::new(),
            attributes,
            metadata: Vec::new(),
        };
        let types = self.types_of(&node, outputs).ok_or_else(|| CompilerError::Node {
            node: operator.to_owned(),
            operator: operator.to_owned(),
            message: "not in the operator table, so its output cannot be stated".into(),
        })??;
        if !node.domain.is_empty() {
            self.other_opsets.entry(node.domain.clone()).or_insert(1);
        }
        let ids: Vec<ValueId> = (0..outputs)
            .map(|index| {
                let name = if index == 0 { operator.to_owned() } else { format!("{operator}_{index}") };
                self.value(&name, types.get(index).cloned())
            })
            .collect();
        node.name = self.values[ids[0].0 as usize].name.clone();
        node.outputs = ids.iter().copied().map(Some).collect();
        self.push_node(node);
        Ok(ids)
    }

    /// As [`Graph::add`], where the caller knows the output's lengths and the operator's rule cannot tell them, since names
    /// leave open what it asks.
    fn add_stated(&mut self, operator: &str, inputs: &[ValueId], stated: TensorType) -> ValueId {
        let value = self.value(operator, Some(stated));
        self.push_node(Node {
            name: self.name(value).to_owned(),
            operator: operator.to_owned(),
            domain: String::new(),
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(value)],
            attributes: BTreeMap::new(),
            metadata: Vec::new(),
        });
        value
    }

    fn types_of(&self, node: &Node, outputs: usize) -> Option<Result<Vec<TensorType>, CompilerError>> {
        self.operators.output_types(self, node, outputs)
    }

    /// What is asked where nobody reads why a type is not known: to say it, all values are gone through from which that comes, and
    /// where it is asked of each node of a long chain, the time grows with the square of its length.
    pub(crate) fn quietly<T>(&mut self, asked: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.is_quiet, true);
        let found = asked(self);
        self.is_quiet = before;
        found
    }

    /// Adds a node with output names given; types come from the operator's rule, or from `stated` where the table has no
    /// such operator or the rule cannot tell before the run, also where that is up to the lengths that axes will have.
    ///
    /// # Errors
    /// The inputs do not fit the operator, whatever lengths their axes have.
    pub(crate) fn add_named(
        &mut self,
        node: Node,
        output_names: &[String],
        stated: &dyn Fn(&str) -> Option<TensorType>,
    ) -> Result<(), CompilerError> {
        let types = match self.quietly(|graph| graph.types_of(&node, output_names.len())) {
            None | Some(Err(CompilerError::NotKnown { .. })) => Vec::new(),
            Some(Err(_)) if self.fits_some_lengths(&node, output_names.len()) => Vec::new(),
            // it is read now
            Some(Err(error)) => {
                return Err(self.types_of(&node, output_names.len()).and_then(Result::err).unwrap_or(error));
            }
            Some(Ok(types)) => types,
        };
        self.push_named(node, output_names, &|index, name| types.get(index).cloned().or_else(|| stated(name)));
        Ok(())
    }

    /// Adds a node with names and types of its outputs as they are given.
    pub(crate) fn push_named(
        &mut self,
        mut node: Node,
        output_names: &[String],
        type_of: &dyn Fn(usize, &str) -> Option<TensorType>,
    ) {
        let named = output_names.iter().enumerate();
        node.outputs =
            named.map(|(index, name)| (!name.is_empty()).then(|| self.value(name, type_of(index, name)))).collect();
        self.push_node(node);
    }

    /// Declares an output of the graph; the value keeps its name.
    pub fn output(&mut self, value: ValueId) {
        self.outputs.push(value);
    }

    /// Declares which values are the graph's outputs, in order.
    pub fn set_outputs(&mut self, outputs: &[ValueId]) {
        self.outputs = outputs.to_vec();
    }

    /// Gives a value another name; refused when it is taken.
    pub fn rename(&mut self, value: ValueId, name: &str) -> Result<(), CompilerError> {
        if self.values[value.0 as usize].name == name {
            return Ok(());
        }
        if self.is_taken(name) {
            return Err(CompilerError::unsupported(
                format!("a second value named `{}`", shown(name)),
                "rename it in the model, names must be unique",
            ));
        }
        self.names.insert(name.to_owned(), value);
        let old = std::mem::replace(&mut self.values[value.0 as usize].name, name.to_owned());
        self.names.remove(&old);
        if let Some((wanted, _)) = old.rsplit_once('_') {
            self.numbers.remove(wanted);
        }
        Ok(())
    }

    /// Asks the node that makes `value` for its output number `index` as well, if it does not give it yet.
    ///
    /// # Errors
    /// No node makes the value, or the operator has no such output.
    pub fn add_output(&mut self, value: ValueId, index: usize) -> Result<ValueId, CompilerError> {
        let at = self.maker(value);
        let at = at.ok_or_else(|| self.patch_error(value, "no node makes it, so it has no other outputs".into()))?;
        let node = &self.nodes[at];
        if let Some(given) = node.outputs.get(index).copied().flatten() {
            return Ok(given);
        }
        let outputs = node.outputs.len().max(index + 1);
        let types = self.types_of(node, outputs);
        let types = types.ok_or_else(|| self.patch_error(value, "its operator is not in the table".into()))??;
        let (Some(new), Some(same)) = (types.get(index).cloned(), types.first()) else {
            return Err(self.patch_error(value, format!("its operator has no output {index}")));
        };
        let first = node.outputs.first().copied().flatten();
        if first.is_some_and(|first| self.tensor_type(first) != Some(same)) {
            return Err(self.patch_error(value, format!("with output {index} its first output would be {same}")));
        }
        let name = format!("{}_{index}", first.map_or(node.operator.as_str(), |first| self.name(first)));
        let new = self.value(&name, Some(new));
        let node = &mut self.nodes[at];
        node.outputs.resize(outputs, None);
        node.outputs[index] = Some(new);
        self.values[new.0 as usize].maker = at;
        Ok(new)
    }

    fn patch_error(&self, value: ValueId, message: String) -> CompilerError {
        CompilerError::Node { node: shown(self.name(value)), operator: "patch".into(), message }
    }

    /// Turns a constant into an input of the graph, so that its value is given at each run.
    pub fn constant_to_input(&mut self, value: ValueId) {
        self.values[value.0 as usize].constant = None;
        self.inputs.push(value);
    }

    /// Lets whoever runs the graph replace a constant.
    pub(crate) fn set_overridable(&mut self, value: ValueId) {
        self.overridable.push(value);
        self.values[value.0 as usize].is_overridable = true;
    }

    /// Whether whoever runs the graph may replace this constant.
    pub(crate) fn is_overridable(&self, value: ValueId) -> bool {
        self.values[value.0 as usize].is_overridable
    }

    /// Whether a constant is the graph's alone: whoever runs the graph neither replaces it nor is given it.
    pub(crate) fn is_own(&self, constant: ValueId) -> bool {
        !self.is_overridable(constant) && !self.outputs.contains(&constant)
    }

    /// Records that a node's output is always this constant; nodes that only served it fall away when written.
    pub(crate) fn set_constant(&mut self, value: ValueId, constant: Constant) {
        let entry = &mut self.values[value.0 as usize];
        entry.tensor_type = Some(constant.tensor_type());
        entry.constant = Some(constant);
    }

    /// Records what is known of a node's output before the run.
    pub(crate) fn set_known(&mut self, value: ValueId, known: Known) {
        match known {
            Known::Constant(constant) => self.set_constant(value, constant),
            Known::Integers(integers) => {
                let entry = &mut self.values[value.0 as usize];
                entry.tensor_type = Some(integers.tensor_type());
                entry.integers = Some(integers);
            }
        }
    }

    /// The version of the operators of a domain.
    pub fn opset_of(&self, domain: &str) -> i64 {
        if domain.is_empty() { self.opset } else { self.other_opsets.get(domain).copied().unwrap_or(1) }
    }

    /// What errors call a node: its name, or else its first output's; cut and escaped.
    pub fn label(&self, node: &Node) -> String {
        let first = || node.outputs.iter().flatten().next().map(|output| self.name(*output));
        shown(if node.name.is_empty() { first().unwrap_or(&node.operator) } else { &node.name })
    }

    /// Nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Inputs, in order.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// Outputs, in order.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// A value's name.
    pub fn name(&self, value: ValueId) -> &str {
        &self.values[value.0 as usize].name
    }

    /// The value of this name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.get(name).copied()
    }

    /// All values by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, ValueId)> {
        self.values.iter().zip(0..).map(|(value, index)| (value.name.as_str(), ValueId(index)))
    }

    /// A value's type; `None` behind an operator that the table does not know.
    pub fn tensor_type(&self, value: ValueId) -> Option<&TensorType> {
        self.values[value.0 as usize].tensor_type.as_ref()
    }

    /// A value's shape, or an error that says which value's is unknown.
    pub fn shape(&self, value: ValueId) -> Result<&[Length], CompilerError> {
        self.known_type(value).map(|known| known.shape.as_slice())
    }

    /// A value's type, or an error that names the first node on the way to it whose result has none, and why.
    pub fn known_type(&self, value: ValueId) -> Result<&TensorType, CompilerError> {
        self.tensor_type(value).ok_or_else(|| self.not_known(value))
    }

    fn not_known(&self, value: ValueId) -> CompilerError {
        let (mut culprit, mut first) = (None, value);
        while let Some(node) = self.producer(first).filter(|_| !self.is_quiet) {
            culprit = Some(node);
            let Some(input) = node.inputs.iter().flatten().find(|input| self.tensor_type(**input).is_none()) else {
                break;
            };
            first = *input;
        }
        let name = shown(self.name(first));
        let reason = culprit.and_then(|node| match self.types_of(node, node.outputs.len()) {
            None if node.domain == ONE_PROCESSOR => Some(OF_ONE_PROCESSOR.to_owned()),
            None => Some(format!("no row of the operator table states what {} makes", node.qualified_operator())),
            Some(Err(CompilerError::NotKnown { message, .. } | CompilerError::Node { message, .. })) => Some(message),
            Some(Err(error)) => Some(error.to_string()),
            Some(Ok(_)) => None,
        });
        let because = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        CompilerError::NotKnown {
            node: culprit.map_or_else(|| name.clone(), |node| self.label(node)),
            operator: culprit.map_or_else(|| "input".to_owned(), Node::qualified_operator),
            message: format!("the shape of `{name}` is not known before the run{because}; train only layers after it"),
        }
    }

    /// The constant a value always is, if it is one.
    pub fn constant_of(&self, value: ValueId) -> Option<&Constant> {
        self.values[value.0 as usize].constant.as_ref()
    }

    /// The elements of a value of integers where they are known before the run, as numbers or as expressions.
    pub fn integers_of(&self, value: ValueId) -> Option<Integers> {
        let entry = &self.values[value.0 as usize];
        entry.integers.clone().or_else(|| entry.constant.as_ref().and_then(Integers::of))
    }

    /// The lengths that a vector of integers holds, where they are known before the run.
    pub fn lengths_of(&self, value: ValueId) -> Option<Vec<Length>> {
        self.integers_of(value).map(|integers| integers.elements)
    }

    /// The node that makes a value; none for inputs and constants.
    pub fn producer(&self, value: ValueId) -> Option<&Node> {
        self.maker(value).map(|at| &self.nodes[at])
    }

    /// Where the node stands that makes a value.
    pub(crate) fn maker(&self, value: ValueId) -> Option<usize> {
        let at = self.values.get(value.0 as usize)?.maker;
        self.nodes.get(at).filter(|node| node.outputs.contains(&Some(value))).map(|_| at)
    }

    /// Where the first node stands that reads a value, and at which of its inputs.
    pub(crate) fn first_reader(&self, value: ValueId) -> Option<(usize, usize)> {
        let input = |node: &Node| node.inputs.iter().position(|input| *input == Some(value));
        self.nodes.iter().enumerate().find_map(|(at, node)| Some((at, input(node)?)))
    }

    fn value(&mut self, wanted: &str, tensor_type: Option<TensorType>) -> ValueId {
        let mut name = wanted.to_owned();
        let mut number = self.values.len();
        while self.names.contains_key(&name) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        let id = ValueId(u32::try_from(self.values.len()).expect("a graph has fewer than 2^32 values"));
        self.names.insert(name.clone(), id);
        let (element_type, constant, integers, stored, origin) = (None, None, None, None, None);
        let (is_declared, stops_gradient, is_asked_for, is_overridable) = (false, false, false, false);
        self.values.push(Value {
            name,
            tensor_type,
            element_type,
            constant,
            integers,
            is_declared,
            stored,
            origin,
            stops_gradient,
            is_asked_for,
            is_overridable,
            maker: usize::MAX,
        });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_node_is_asked_for_another_output_only_where_its_operator_has_one() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([1, 2, 4, 4]));
        let pooled = graph.add("MaxPool", &[x], &[("kernel_shape", vec![2, 2].into())]).unwrap();
        let bent = graph.add("Relu", &[pooled], &[]).unwrap();
        let indices = graph.add_output(pooled, 1).unwrap();
        let wanted = TensorType::new(ElementType::I64, [1, 2, 3, 3]);
        assert_eq!(graph.tensor_type(indices), Some(&wanted));
        assert_eq!(graph.nodes()[0].outputs, [Some(pooled), Some(indices)]);
        assert_eq!(graph.add_output(pooled, 1).unwrap(), indices);
        for (value, index, reason) in [(x, 1, "no node makes it"), (pooled, 2, "no output 2"), (bent, 1, "no output 1")]
        {
            let error = graph.add_output(value, index).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
