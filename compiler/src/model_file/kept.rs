//! Branches and loops of which the data decide what they do: nodes with graphs of their own, which read values around them.

use std::collections::{HashMap, HashSet};

use super::attributes::attributes;
use super::body::Importer;
use super::constant_of;
use super::control_flow::{graph_of, malformed, own_name};
use super::declared::known_shape;
use super::onnx::{GraphProto, NodeProto, TensorProto};
use super::scope::{Imported, Scope};
use crate::CompilerError;
use crate::graph::{Attribute, Body, Constant, ElementType, Graph, Known, Node, TensorType, ValueId};
use millstream_schemas::shown;

/// Constants of at most so many bytes that are no weights are written into each graph that reads them, which can then follow them.
const MOST_COPIED: usize = 1 << 13;

impl<'a> Importer<'a> {
    /// Keeps a node with the graphs that it runs; `refusal` says why it is not written out, where it cannot be kept either:
    /// its graphs read or make sequences of tensors.
    pub(super) fn keep(
        &mut self,
        node: &'a NodeProto,
        scope: &mut Scope<'a, '_>,
        refusal: CompilerError,
    ) -> Result<(), CompilerError> {
        let first = self.graph.nodes().len();
        let mut inputs = Vec::new();
        for (name, given) in node.input.iter().zip(self.inputs(node, scope)) {
            match given {
                Some(Imported::Tensor(value)) => inputs.push(Some(value)),
                None if name.is_empty() => inputs.push(None),
                _ => return Err(refusal),
            }
        }
        let bodies = bodies_of(node)?;
        let mut around = Around::default();
        for (_, body) in &bodies {
            let Some(names) = self.read_around(body, scope, &mut around) else { return Err(refusal) };
            around.names.push(names);
        }
        let mut made = attributes(node, scope)?;
        for (at, (name, body)) in bodies.iter().enumerate() {
            let graph = match self.fitted(node, body, &inputs, (&around, at), scope)? {
                Some(graph) => graph,
                None => return Err(refusal),
            };
            made.insert((*name).to_owned(), Attribute::Body(Body::open(graph, around.values.len())));
        }
        let prefix = &scope.place.prefix;
        let mut kept = Node {
            // what it makes may have a length that is called after it
            name: format!("{prefix}{}", own_name(node)),
            operator: node.op_type().to_owned(),
            inputs: inputs.into_iter().chain(around.values.iter().copied().map(Some)).collect(),
            attributes: made,
            ..Node::default()
        };
        self.say_place(&mut kept, node, scope);
        let outputs = self.output_names(node, scope);
        let declared = &self.declared;
        self.graph.push_named(kept, &outputs, &|_, name| declared.get(name).cloned());
        self.infer(first);
        let made = self.graph.nodes().last().expect("a node was just added").outputs.clone();
        for (name, value) in node.output.iter().zip(made) {
            if let Some(value) = value {
                scope.insert(name, Imported::Tensor(value));
            }
        }
        Ok(())
    }

    /// What the names stand for that a graph reads from around it, weights of its own among them; none where one is no tensor.
    fn read_around(
        &mut self,
        body: &'a GraphProto,
        scope: &Scope<'a, '_>,
        around: &mut Around<'a>,
    ) -> Option<Vec<(&'a str, ValueId)>> {
        let mut read = Vec::new();
        for name in names_around(body) {
            match scope.find(name)? {
                Imported::Tensor(value) => read.push((name, *value)),
                _ => return None,
            }
        }
        // so that they are weights as others are
        for tensor in body.initializer.iter().filter(|tensor| is_weight(tensor)) {
            read.push((tensor.name(), self.constant(tensor, &scope.place)));
        }
        for (_, value) in &read {
            if copied(&self.graph, *value).is_none() && !around.values.contains(value) {
                around.values.push(*value);
            }
        }
        Some(read)
    }

    /// A graph that a node runs, its own inputs of the types that each turn gives them; none where it makes a sequence of tensors.
    fn fitted(
        &mut self,
        node: &NodeProto,
        body: &'a GraphProto,
        inputs: &[Option<ValueId>],
        around: (&Around<'a>, usize),
        scope: &Scope<'a, '_>,
    ) -> Result<Option<Graph>, CompilerError> {
        let (mut own, states) = self.own_inputs(node, body, inputs)?;
        loop {
            let Some(graph) = self.inside(body, &own, around, scope)? else { return Ok(None) };
            let mut fits = true;
            for (input, output) in states.clone() {
                let made = graph.outputs().get(output).and_then(|made| graph.tensor_type(*made));
                let given = &mut own[input];
                if given.as_ref().is_some_and(|given| made.is_none_or(|made| !given.agrees_with(made))) {
                    // what a turn changes is not known in the next
                    *given = None;
                    fits = false;
                }
            }
            if fits {
                return Ok(Some(graph));
            }
        }
    }

    /// The types of a graph's own inputs, and which of them are states, with the outputs that are handed on to them.
    #[expect(clippy::type_complexity, reason = "two lists, named in the text above")]
    fn own_inputs(
        &self,
        node: &NodeProto,
        body: &GraphProto,
        inputs: &[Option<ValueId>],
    ) -> Result<(Vec<Option<TensorType>>, Vec<(usize, usize)>), CompilerError> {
        let known = |value: &Option<ValueId>| value.and_then(|value| self.graph.tensor_type(value)).cloned();
        let rank = |at: usize| body.input.get(at).and_then(known_shape).map_or(0, |shape| shape.len().min(1));
        let (own, states): (Vec<Option<TensorType>>, Vec<(usize, usize)>) = match node.op_type() {
            "Loop" => {
                let turn = TensorType::new(ElementType::I64, vec![1; rank(0)]);
                let goes_on = TensorType::new(ElementType::Bool, vec![1; rank(1)]);
                let given = inputs.iter().skip(2).map(known);
                let own: Vec<_> = [Some(turn), Some(goes_on)].into_iter().chain(given).collect();
                let states = (2..own.len()).map(|input| (input, input - 1)).collect();
                (own, states)
            }
            "Scan" => {
                let number = |name: &str| node.attribute.iter().find(|attribute| attribute.name() == name);
                let scanned = number("num_scan_inputs").map_or(0, |count| usize::try_from(count.i()).unwrap_or(0));
                let axes = number("scan_input_axes").map_or(&[][..], |axes| axes.ints.as_slice());
                let states = inputs.len().saturating_sub(scanned);
                let entry = |(at, value): (usize, &Option<ValueId>)| {
                    let mut known = known(value)?;
                    let axis = axes.get(at).copied().unwrap_or(0);
                    let axis = if axis < 0 { axis + known.shape.len() as i64 } else { axis };
                    let axis = usize::try_from(axis).ok().filter(|axis| *axis < known.shape.len())?;
                    known.shape.remove(axis);
                    Some(known)
                };
                let entries = inputs[states..].iter().enumerate().map(entry);
                (inputs[..states].iter().map(known).chain(entries).collect(), (0..states).map(|at| (at, at)).collect())
            }
            _ => (Vec::new(), Vec::new()),
        };
        if own.len() != body.input.len() {
            let (wanted, given) = (body.input.len(), own.len());
            return Err(malformed(node, format!("its graph takes {wanted} values and is given {given}")));
        }
        Ok((own, states))
    }

    /// A graph that a node runs, with inputs of these types, and behind them what it reads from around it.
    fn inside(
        &mut self,
        body: &'a GraphProto,
        own: &[Option<TensorType>],
        (around, at): (&Around<'a>, usize),
        scope: &Scope<'a, '_>,
    ) -> Result<Option<Graph>, CompilerError> {
        let mut graph = self.graph.apart();
        let mut inner = Scope::kept(scope);
        for (input, known) in body.input.iter().zip(own) {
            let name = self.names.free(&graph, input.name());
            let value = graph.untyped_input(&name, known.clone());
            inner.insert(input.name(), Imported::Tensor(value));
        }
        let mut values = HashMap::new();
        for value in &around.values {
            let name = self.names.free(&graph, self.graph.name(*value));
            let read = graph.untyped_input(&name, self.graph.tensor_type(*value).cloned());
            if let Some(integers) = self.graph.integers_of(*value).filter(|_| self.graph.constant_of(*value).is_none())
            {
                graph.set_known(read, Known::Integers(integers));
            }
            values.insert(*value, read);
        }
        for (name, value) in &around.names[at] {
            let read = match values.get(value) {
                Some(read) => *read,
                None => {
                    let constant = copied(&self.graph, *value).expect("others are inputs");
                    let read = graph.named_constant(self.graph.name(*value), constant);
                    values.insert(*value, read);
                    read
                }
            };
            inner.insert(name, Imported::Tensor(read));
        }
        for tensor in body.initializer.iter().filter(|tensor| !is_weight(tensor)) {
            let constant = match constant_of(tensor) {
                Ok(constant) => Imported::Tensor(graph.named_constant(tensor.name(), constant)),
                Err(_) => Imported::Aside,
            };
            inner.insert(tensor.name(), constant);
        }
        self.budget.enter(&|| format!("a graph in `{}`", shown(&scope.place.prefix)))?;
        std::mem::swap(&mut self.graph, &mut graph);
        let (constants, of_bodies) = (std::mem::take(&mut self.constants), std::mem::take(&mut self.inner));
        let added = self.nodes(&body.node, &mut inner);
        std::mem::swap(&mut self.graph, &mut graph);
        (self.constants, self.inner) = (constants, of_bodies);
        self.budget.leave();
        added?;
        let mut outputs: Vec<ValueId> = Vec::new();
        for output in &body.output {
            let Some(value) = inner.find(output.name()).and_then(Imported::tensor) else { return Ok(None) };
            // an output is made by a node, and has a name of its own
            let is_made = graph.producer(value).is_some() && !outputs.contains(&value);
            let is_folded = graph.constant_of(value).is_some();
            outputs.push(match is_made && !is_folded {
                true => value,
                false => graph.append("Identity", &[value], &[], output.name())?,
            });
        }
        graph.set_outputs(&outputs);
        Ok(Some(graph))
    }
}

/// The graphs that a node runs, which make what it does.
fn bodies_of(node: &NodeProto) -> Result<Vec<(&'static str, &GraphProto)>, CompilerError> {
    let names: &[&str] = if node.op_type() == "If" { &["then_branch", "else_branch"] } else { &["body"] };
    let of_turns = usize::from(node.op_type() == "Loop");
    let mut bodies = Vec::new();
    for name in names {
        let body = graph_of(node, name).ok_or_else(|| malformed(node, format!("it has no {name}")))?;
        if body.output.len() < node.output.len() + of_turns {
            return Err(malformed(node, format!("its {name} makes {} values", body.output.len())));
        }
        bodies.push((*name, body));
    }
    Ok(bodies)
}

/// What the graphs of a node read from around them.
#[derive(Default)]
struct Around<'a> {
    /// Each once.
    values: Vec<ValueId>,
    /// For each graph, what its names stand for.
    names: Vec<Vec<(&'a str, ValueId)>>,
}

/// Whether a constant of a graph may be a weight.
fn is_weight(tensor: &TensorProto) -> bool {
    constant_of(tensor).is_ok_and(|constant| constant.dtype.is_float() && constant.shape.iter().product::<usize>() > 1)
}

/// The constant that is written into a graph which reads it: a setting, or what shapes are computed of.
fn copied(graph: &Graph, value: ValueId) -> Option<Constant> {
    let constant = graph.constant_of(value)?;
    let is_number = constant.shape.iter().product::<usize>() <= 1;
    let is_small = (!constant.dtype.is_float() || is_number) && constant.bytes.len() <= MOST_COPIED;
    is_small.then(|| constant.clone())
}

/// The names that a graph reads and does not make, in the order in which it reads them first.
fn names_around(body: &GraphProto) -> Vec<&str> {
    let mut made: HashSet<&str> = body.input.iter().map(|input| input.name()).collect();
    made.extend(body.initializer.iter().map(|tensor| tensor.name()));
    let (mut seen, mut read) = (HashSet::new(), Vec::new());
    let mut reads = |name, made: &HashSet<&str>| {
        if !made.contains(name) && seen.insert(name) {
            read.push(name);
        }
    };
    for node in &body.node {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            reads(name.as_str(), &made);
        }
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            for name in names_around(inner) {
                reads(name, &made);
            }
        }
        made.extend(node.output.iter().map(String::as_str));
    }
    for output in &body.output {
        reads(output.name(), &made);
    }
    read
}
