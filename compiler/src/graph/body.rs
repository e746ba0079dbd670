use std::sync::Arc;

use super::Graph;
use crate::model_file::onnx::{GraphProto, NodeProto, ValueInfoProto, type_proto};

/// A graph that a node runs by itself, for example once for each step of `Scan`.
#[derive(Clone, Debug)]
pub struct Body {
    form: Form,
    /// How many of its inputs, the last ones, it reads from the graph around it: values that stay the same in all steps.
    outer: usize,
}

#[derive(Clone, Debug)]
enum Form {
    /// Ready to be written.
    Written(Box<GraphProto>),
    /// As a graph of typed values.
    Open(Arc<Graph>),
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.outer == other.outer && self.proto() == other.proto()
    }
}

impl Body {
    /// Of a graph whose last inputs are read from outside.
    pub(super) fn new(proto: GraphProto, outer: usize) -> Self {
        Self { form: Form::Written(Box::new(proto)), outer }
    }

    /// Of a graph whose last inputs are read from outside, which can be read again.
    pub(crate) fn open(graph: Graph, outer: usize) -> Self {
        Self { form: Form::Open(Arc::new(graph)), outer }
    }

    /// The graph, where it can be read.
    pub(crate) fn graph(&self) -> Option<&Graph> {
        match &self.form {
            Form::Open(graph) => Some(graph),
            Form::Written(_) => None,
        }
    }

    /// With another graph of the same inputs and outputs in its place, where it can be read.
    pub(crate) fn map<E>(&self, change: impl FnOnce(&Graph) -> Result<Graph, E>) -> Result<Self, E> {
        match self.graph() {
            Some(graph) => Ok(Self::open(change(graph)?, self.outer)),
            None => Ok(self.clone()),
        }
    }

    /// How many of the last inputs of its node are read by name, and are none of the operator's.
    pub(crate) fn outer(&self) -> usize {
        self.outer
    }

    fn proto(&self) -> GraphProto {
        match &self.form {
            Form::Written(proto) => (**proto).clone(),
            Form::Open(graph) => {
                let mut proto = graph.model_proto("body").graph.unwrap_or_default();
                // lengths are told by what is around it
                proto.value_info.clear();
                for value in proto.input.iter_mut().chain(&mut proto.output) {
                    forget_lengths(value);
                }
                proto
            }
        }
    }

    /// As it is written in a node: what it makes is called as no value around it is, by a prefix, and what it reads from
    /// outside as it is called there.
    pub(super) fn written(&self, prefix: &str, outer: &[String]) -> GraphProto {
        let mut proto = self.proto();
        let own = proto.input.len() - self.outer.min(proto.input.len());
        let read: Vec<String> = proto.input.drain(own..).map(|input| input.name().to_owned()).collect();
        let renamed = |name: &str| match read.iter().position(|read| read == name) {
            _ if name.is_empty() => String::new(),
            Some(at) => outer.get(at).cloned().unwrap_or_default(),
            None => format!("{prefix}/{name}"),
        };
        rename_graph(&mut proto, &|name: &mut String| *name = renamed(name));
        proto
    }
}

/// Lets all values and nodes of a graph, and of those in its nodes, have other names.
fn rename_graph(proto: &mut GraphProto, rename: &dyn Fn(&mut String)) {
    for value in proto.input.iter_mut().chain(&mut proto.output) {
        value.name.iter_mut().for_each(rename);
    }
    for tensor in &mut proto.initializer {
        tensor.name.iter_mut().for_each(rename);
    }
    for NodeProto { input, output, name, attribute, .. } in &mut proto.node {
        input.iter_mut().chain(output).chain(name).for_each(rename);
        attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(|inner| rename_graph(inner, rename));
    }
}

/// Leaves of a declared value what its elements are, and how many axes they have.
fn forget_lengths(value: &mut ValueInfoProto) {
    let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = kind {
        let dims = tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim);
        dims.for_each(|dim| dim.value = None);
    }
}
