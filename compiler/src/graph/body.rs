use std::any::Any;
use std::sync::Arc;

use crate::model_file::onnx::{GraphProto, NodeProto, ValueInfoProto, type_proto};

/// A graph of typed values that a node runs: what lies above this file.
pub(super) trait TypedGraph: std::fmt::Debug + Send + Sync {
    /// As it is written.
    fn to_proto(&self) -> GraphProto;

    /// Itself.
    fn as_any(&self) -> &dyn Any;
}

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
    Written(Arc<GraphProto>),
    /// As a graph of typed values.
    Typed(Arc<dyn TypedGraph>),
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.outer == other.outer && self.proto() == other.proto()
    }
}

impl Body {
    /// Of a graph whose last inputs are read from outside.
    pub(super) fn new(proto: GraphProto, outer: usize) -> Self {
        Self { form: Form::Written(Arc::new(proto)), outer }
    }

    /// Of a graph whose last inputs are read from outside, which can be read again.
    pub(super) fn of(graph: Arc<dyn TypedGraph>, outer: usize) -> Self {
        Self { form: Form::Typed(graph), outer }
    }

    /// The graph, where it can be read.
    pub(super) fn typed(&self) -> Option<&dyn Any> {
        match &self.form {
            Form::Typed(graph) => Some(graph.as_any()),
            Form::Written(_) => None,
        }
    }

    /// How many of the last inputs of its node are read by name, and are none of the operator's.
    pub(crate) fn outer(&self) -> usize {
        self.outer
    }

    fn proto(&self) -> GraphProto {
        match &self.form {
            Form::Written(proto) => GraphProto::clone(proto),
            Form::Typed(graph) => {
                let mut proto = graph.to_proto();
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
