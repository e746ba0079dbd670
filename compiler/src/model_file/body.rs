//! The nodes of a file as those of a graph: functions, branches and loops written out, old operators as new ones.

use std::collections::{HashMap, HashSet};

use super::attributes::attributes;
use super::constant_of;
use super::control_flow::{Obstacle, Turns, branch, label, own_name};
use super::conversion;
use super::functions::{self, Functions};
use super::limits::Budget;
use super::onnx::{FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::scope::{Imported, Names, Place, Scope};
use super::{aside, embedding_bags, optionals, sequences, traditional};
use crate::CompilerError;
use crate::graph::{Graph, Node, TensorType, ValueId, standard_domain};
use crate::inference::Inference;
use crate::operators::OperatorCatalog;
use millstream_schemas::shown;

/// Makes the nodes of a graph.
pub(super) struct Importer<'a> {
    pub(super) graph: Graph,
    inference: Inference<'a>,
    functions: Functions<'a>,
    pub(super) names: Names<'a>,
    /// Types that the file declares for values of its graph.
    pub(super) declared: HashMap<String, TensorType>,
    /// Constants inside of functions, branches and loops by where they lie in memory: each is one, however often it is read.
    pub(super) constants: HashMap<usize, ValueId>,
    /// The same, as values.
    pub(super) inner: HashSet<ValueId>,
    pub(super) budget: Budget,
    /// Functions that are written out right now, outermost first.
    calls: Vec<&'a FunctionProto>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(
        model: &'a ModelProto,
        file: &'a GraphProto,
        graph: Graph,
        declared: HashMap<String, TensorType>,
        catalog: &'a OperatorCatalog,
    ) -> Self {
        Self {
            graph,
            inference: Inference::new(catalog),
            functions: Functions::of(model),
            names: Names::of(file),
            declared,
            constants: HashMap::new(),
            inner: HashSet::new(),
            budget: Budget::new(),
            calls: Vec::new(),
        }
    }

    /// Adds nodes.
    pub(super) fn nodes(&mut self, nodes: &'a [NodeProto], scope: &mut Scope<'a, '_>) -> Result<(), CompilerError> {
        nodes.iter().try_for_each(|node| self.node(node, scope))
    }

    /// States what the nodes from `first` on make.
    pub(super) fn infer(&mut self, first: usize) {
        (first..self.graph.nodes().len()).for_each(|at| self.inference.state(&mut self.graph, at));
    }

    /// Forgets the versions of domains whose operators have all been written out.
    pub(super) fn finish(mut self) -> Graph {
        let used: HashSet<&str> = self.graph.nodes().iter().map(|node| node.domain.as_str()).collect();
        let gone = |domain: &String| self.functions.has_domain(domain) && !used.contains(domain.as_str());
        let gone: Vec<String> = self.graph.other_opsets.keys().filter(|domain| gone(domain)).cloned().collect();
        for domain in gone {
            self.graph.other_opsets.remove(&domain);
        }
        self.graph
    }

    fn node(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<(), CompilerError> {
        if !scope.is_file() {
            self.take(node, scope)?;
        }
        if let Some(function) = self.functions.find(node) {
            return self.call(node, function, scope);
        }
        if self.left_aside(node, scope) || self.takes_optional(node, scope)? {
            return Ok(());
        }
        match (standard_domain(node.domain()), node.op_type()) {
            ("", "If") => return self.take_branch(node, scope),
            ("", "Loop" | "Scan") => return self.write_out(node, scope),
            ("", "Constant") if !scope.is_file() && node.attribute.iter().all(|a| a.ref_attr_name().is_empty()) => {
                let place = std::ptr::from_ref(node).addr();
                if let (Some(known), Some(name)) = (self.constants.get(&place), node.output.first()) {
                    scope.insert(name, Imported::Tensor(*known));
                    return Ok(());
                }
                self.plain(node, scope)?;
                let made = node.output.first().and_then(|name| scope.find(name)).and_then(Imported::tensor);
                self.constants.extend(made.map(|made| (place, made)));
                self.inner.extend(made);
                return Ok(());
            }
            _ => {}
        }
        self.plain(node, scope)
    }

    /// Leaves all that a node makes aside, if it reads or makes strings, maps or sequences of the data.
    fn left_aside(&self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> bool {
        let is_nesting = standard_domain(node.domain()).is_empty() && matches!(node.op_type(), "If" | "Loop" | "Scan");
        let mut inputs = self.inputs(node, scope);
        // what is carried through a loop may be anything
        inputs.truncate(if is_nesting { 1 } else { inputs.len() });
        if aside::outputs(node, &inputs).len() < node.output.len() {
            return false;
        }
        node.output.iter().for_each(|name| scope.insert(name, Imported::Aside));
        true
    }

    /// Takes a node on optional values, if it is one.
    fn takes_optional(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<bool, CompilerError> {
        let name = format!("{}{}", scope.place.prefix, own_name(node));
        let inputs = self.inputs(node, scope);
        let made = optionals::made(&mut self.graph, &self.names, node, &name, &inputs)?;
        for name in node.output.iter().filter(|_| made.is_some()) {
            scope.insert(name, made.clone().unwrap_or(Imported::Nothing));
        }
        Ok(made.is_some())
    }

    /// Counts the nodes from `first` on, which stand for one, and states what they make.
    fn take_added(&mut self, first: usize, node: &NodeProto) -> Result<(), CompilerError> {
        // a node may make thousands of values
        let made: usize = self.graph.nodes()[first..].iter().map(|node| node.outputs.len()).sum();
        self.budget.take(made, 0, &|| format!("node {}", label(node)))?;
        self.infer(first);
        Ok(())
    }

    /// Counts a node that is written out.
    fn take(&mut self, node: &NodeProto, scope: &Scope<'_, '_>) -> Result<(), CompilerError> {
        let names = 2 + node.input.len() + node.output.len();
        let text: usize = node.input.iter().chain(&node.output).map(String::len).sum();
        let attributes = node.attribute.iter().map(|attribute| {
            let strings = attribute.strings.iter().chain(&attribute.s).map(bytes::Bytes::len).sum::<usize>();
            attribute.name().len() + strings + 8 * attribute.ints.len() + 4 * attribute.floats.len()
        });
        let metadata = node.metadata_props.iter().map(|entry| entry.key().len() + entry.value().len());
        let bytes = names * scope.place.prefix.len()
            + text
            + node.name().len()
            + attributes.sum::<usize>()
            + metadata.sum::<usize>();
        let values = node.output.len().max(1);
        self.budget.take(values, bytes, &|| format!("node {} in `{}`", label(node), shown(&scope.place.prefix)))
    }

    pub(super) fn inputs(&self, node: &NodeProto, scope: &Scope<'_, '_>) -> Vec<Option<Imported>> {
        node.input.iter().map(|name| scope.find(name).filter(|_| !name.is_empty()).cloned()).collect()
    }

    /// A node that stays one, or becomes some of a newer version.
    fn plain(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<(), CompilerError> {
        let (first, inputs) = (self.graph.nodes().len(), self.inputs(node, scope));
        let prefix = &scope.place.prefix;
        let mut parsed = Node {
            name: if node.name().is_empty() { String::new() } else { format!("{prefix}{}", node.name()) },
            operator: node.op_type().to_owned(),
            domain: standard_domain(node.domain()).to_owned(),
            inputs: inputs.iter().map(|input| input.as_ref().and_then(Imported::tensor)).collect(),
            outputs: Vec::new(),
            attributes: attributes(node, scope)?,
            metadata: node.metadata_props.iter().map(|entry| (entry.key().into(), entry.value().into())).collect(),
        };
        self.say_place(&mut parsed, node, scope);
        let mut outputs = self.output_names(node, scope);
        // what is added for it is called after it
        let unnamed = parsed.name.is_empty();
        if unnamed {
            parsed.name = outputs.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        }
        if let Some(made) = sequences::made(&mut self.graph, &self.names, &parsed, &inputs)? {
            self.take_added(first, node)?;
            let members = made.iter().filter_map(Imported::sequence).map(|members| members.len()).sum::<usize>();
            self.budget.take(0, members * size_of::<ValueId>(), &|| format!("node {}", label(node)))?;
            for (name, value) in node.output.iter().zip(made) {
                scope.insert(name, value);
            }
            return Ok(());
        }
        if let Some(made) = traditional::made(&mut self.graph, &self.names, &parsed, &outputs)? {
            self.infer(first);
            for (name, value) in node.output.iter().zip(made) {
                scope.insert(name, value.map_or(Imported::Aside, Imported::Tensor));
            }
            return Ok(());
        }
        conversion::convert(&mut self.graph, &self.names, &mut parsed, &mut outputs, scope.opset)?;
        if unnamed {
            parsed.name = String::new();
        }
        let declared = &self.declared;
        self.graph.push_named(parsed, &outputs, &|_, name| declared.get(name).cloned());
        self.infer(first);
        let made = self.graph.nodes().last().expect("a node was just added").outputs.clone();
        let left = aside::outputs(node, &inputs);
        for (at, (name, id)) in node.output.iter().zip(made).enumerate() {
            if let Some(id) = id {
                scope.insert(name, if left.contains(&at) { Imported::Aside } else { Imported::Tensor(id) });
            }
        }
        Ok(())
    }

    /// Says of a node where in the file it comes from, where that is one place for several nodes.
    pub(super) fn say_place(&self, parsed: &mut Node, node: &NodeProto, scope: &Scope<'_, '_>) {
        if let Some(place) = &scope.place.of_all_turns {
            parsed.set_of_all_turns(format!("{place}{}", own_name(node)));
        } else if let Some(function) = self.calls.last() {
            // a constant of the function itself is one for all calls
            if parsed.inputs.iter().flatten().any(|value| self.inner.contains(value)) {
                parsed.set_of_all_turns(format!("{}.{}/{}", function.domain(), function.name(), own_name(node)));
            }
        }
    }

    /// What the graph calls the values that a node makes.
    pub(super) fn output_names(&self, node: &NodeProto, scope: &Scope<'_, '_>) -> Vec<String> {
        let inner = |name: &String| match scope.called.get(name.as_str()) {
            _ if name.is_empty() => String::new(),
            Some(outside) if !self.graph.is_taken(outside) => outside.clone(),
            _ if scope.is_file() => name.clone(),
            _ => self.names.free(&self.graph, &format!("{}{name}", scope.place.prefix)),
        };
        node.output.iter().map(inner).collect()
    }

    fn call(
        &mut self,
        node: &'a NodeProto,
        function: &'a FunctionProto,
        scope: &mut Scope<'a, '_>,
    ) -> Result<(), CompilerError> {
        let name = || shown(format!("{}.{}", function.domain(), function.name()));
        if self.calls.iter().any(|open| std::ptr::eq(*open, function)) {
            return Err(CompilerError::unsupported(
                format!("function `{}`, which calls itself,", name()),
                "functions are written out where they are called",
            ));
        }
        let opset = functions::opset(function).unwrap_or(self.graph.opset);
        if opset > self.graph.opset {
            return Err(CompilerError::unsupported(
                format!("function `{}` of opset {opset} in a model of opset {}", name(), scope.opset),
                "export the model so that its functions are of its own opset",
            ));
        }
        for import in &function.opset_import {
            let domain = standard_domain(import.domain());
            if !domain.is_empty() {
                self.graph.other_opsets.entry(domain.to_owned()).or_insert(import.version());
            }
        }
        let given = functions::given(function, node, scope);
        let mut inner = Scope::function(scope.place.inside(own_name(node)), opset, given);
        let inputs = self.inputs(node, scope);
        if inputs.len() > function.input.len() {
            return Err(unfit(
                node,
                format!("{} inputs, and the function takes {}", inputs.len(), function.input.len()),
            ));
        }
        for (name, value) in function.input.iter().zip(inputs) {
            if let Some(value) = value {
                inner.insert(name, value);
            }
        }
        inner.called = self.called(function.output.iter().map(String::as_str), node, scope);
        self.budget.enter(&|| format!("node {}", label(node)))?;
        self.calls.push(function);
        self.nodes(&function.node, &mut inner)?;
        self.calls.pop();
        self.budget.leave();
        for (name, inside) in node.output.iter().zip(&function.output).filter(|(name, _)| !name.is_empty()) {
            let value = inner.find(inside).cloned();
            scope
                .insert(name, value.ok_or_else(|| unfit(node, format!("its output `{}` is left out", shown(inside))))?);
        }
        Ok(())
    }

    /// What the outputs of a body are called outside of it.
    fn called(
        &self,
        inside: impl Iterator<Item = &'a str>,
        node: &NodeProto,
        scope: &Scope<'_, '_>,
    ) -> HashMap<&'a str, String> {
        let mut called = HashMap::new();
        for (inside, outside) in inside.zip(self.output_names(node, scope)).filter(|(_, outside)| !outside.is_empty()) {
            called.entry(inside).or_insert(outside);
        }
        called
    }

    fn take_branch(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<(), CompilerError> {
        let condition = node.input.first().and_then(|name| scope.find(name)).and_then(Imported::tensor);
        let taken = match branch(&self.graph, node, condition) {
            Ok(taken) => taken,
            Err(Obstacle::Open(refusal)) => return self.keep(node, scope, refusal),
            Err(Obstacle::Wrong(error)) => return Err(error),
        };
        let called = self.called(taken.output.iter().map(|output| output.name()), node, scope);
        let made = self.body(taken, &[], called, scope.place.inside(own_name(node)), scope)?;
        if made.len() < node.output.len() {
            return Err(unfit(node, format!("its branch makes {} values", made.len())));
        }
        for (name, value) in node.output.iter().zip(made) {
            scope.insert(name, value);
        }
        Ok(())
    }

    fn write_out(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<(), CompilerError> {
        if node.op_type() == "Scan" && scope.opset < 9 {
            return Err(unfit(
                node,
                "the form of before opset 9 is not read; convert the model to a newer opset".into(),
            ));
        }
        if embedding_bags::leaves_padding_out(&self.graph, node, scope) && self.embedding_bags(node, scope)? {
            return Ok(());
        }
        let (first, constants) = (self.graph.nodes().len(), self.constants.clone());
        match self.turns(node, scope) {
            Ok(()) => Ok(()),
            Err(Obstacle::Wrong(error)) => Err(error),
            Err(Obstacle::Open(refusal)) => {
                self.graph.drop_nodes(first);
                self.constants = constants;
                match self.embedding_bags(node, scope)? {
                    true => Ok(()),
                    false => self.keep(node, scope, embedding_bags::refused(node, refusal)),
                }
            }
        }
    }

    /// Writes a loop over bags of rows out for all bags at once; whether it is such a loop.
    fn embedding_bags(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<bool, CompilerError> {
        let first = self.graph.nodes().len();
        let Some(made) = embedding_bags::made(&mut self.graph, &self.names, node, scope)? else { return Ok(false) };
        self.take_added(first, node)?;
        let joined = made.joined;
        if self.graph.tensor_type(joined).is_none() {
            self.graph.drop_nodes(first);
            return Ok(false);
        }
        if let Some(count) = made.counted {
            let made = [Imported::Joined(joined), Imported::Tensor(count)];
            for (name, value) in node.output.iter().zip(made) {
                scope.insert(name, value);
            }
            return Ok(true);
        }
        let called = self.output_names(node, scope).into_iter().find(|name| !self.graph.is_taken(name));
        if let Some(called) = called {
            self.graph.rename(joined, &called)?;
        }
        scope.insert(&node.output[0], Imported::Tensor(joined));
        Ok(true)
    }

    fn turns(&mut self, node: &'a NodeProto, scope: &mut Scope<'a, '_>) -> Result<(), Obstacle> {
        let inputs = self.inputs(node, scope);
        let start = self.graph.nodes().len();
        let mut turns = Turns::of(&mut self.graph, &self.names, node, &inputs)?;
        self.take_added(start, node)?;
        while let Some(given) = turns.next(&mut self.graph, &self.names) {
            let place = scope.place.turn(own_name(node), turns.turn);
            // a turn counts even where it has no nodes
            let bytes = place.prefix.len();
            self.budget.take(1, bytes, &|| format!("turn {} of node {}", turns.turn, label(node)))?;
            let made = self.body(turns.body, &given, HashMap::new(), place, scope)?;
            turns.give(&mut self.graph, made)?;
        }
        let start = self.graph.nodes().len();
        let made = turns.finish(&mut self.graph, &self.names)?;
        self.take_added(start, node)?;
        for (name, value) in node.output.iter().zip(made) {
            scope.insert(name, value);
        }
        Ok(())
    }

    /// The nodes of a branch or of a turn, and what they make.
    fn body(
        &mut self,
        body: &'a GraphProto,
        given: &[Imported],
        called: HashMap<&'a str, String>,
        place: Place,
        outer: &Scope<'a, '_>,
    ) -> Result<Vec<Imported>, CompilerError> {
        let mut scope = Scope::within(outer, place);
        scope.called = called;
        if body.input.len() != given.len() {
            let (wanted, found) = (body.input.len(), given.len());
            return Err(CompilerError::Node {
                node: shown(&scope.place.prefix),
                operator: "body".into(),
                message: format!("it takes {wanted} values and is given {found}"),
            });
        }
        for tensor in &body.initializer {
            let constant = match aside::is_text(tensor) {
                true => Imported::Aside,
                false => Imported::Tensor(self.constant(tensor, &scope.place)),
            };
            scope.insert(tensor.name(), constant);
        }
        for (input, value) in body.input.iter().zip(given) {
            scope.insert(input.name(), value.clone());
        }
        self.budget.enter(&|| format!("a graph in `{}`", shown(&scope.place.prefix)))?;
        self.nodes(&body.node, &mut scope)?;
        self.budget.leave();
        let made = body.output.iter().map(|output| scope.find(output.name()).cloned());
        Ok(made.map(|value| value.expect("the gate checked that outputs are made")).collect())
    }

    pub(super) fn constant(&mut self, tensor: &TensorProto, place: &Place) -> ValueId {
        let key = std::ptr::from_ref(tensor).addr();
        if let Some(known) = self.constants.get(&key) {
            return *known;
        }
        let around = place.of_all_turns.as_ref().unwrap_or(&place.prefix);
        let name = self.names.free(&self.graph, &format!("{around}{}", tensor.name()));
        let made = self.graph.constant(&name, constant_of(tensor).expect("the gate checked every tensor"));
        self.constants.insert(key, made);
        self.inner.insert(made);
        made
    }
}

fn unfit(node: &NodeProto, message: String) -> CompilerError {
    CompilerError::Node { node: shown(own_name(node)), operator: shown(node.op_type()), message }
}
