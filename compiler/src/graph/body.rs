use crate::model_file::onnx::GraphProto;

/// A graph that a node runs by itself, for example once for each step of `Scan`, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    proto: GraphProto,
    /// How many of its inputs, the last ones, it reads from the graph around it: values that stay the same in all steps.
    outer: usize,
}

impl Body {
    /// Of a graph whose last inputs are read from outside.
    pub(super) fn new(proto: GraphProto, outer: usize) -> Self {
        Self { proto, outer }
    }

    /// How many of the last inputs of its node are read by name, and are none of the operator's.
    pub(super) fn outer(&self) -> usize {
        self.outer
    }

    /// As it is written in a node: what it makes is called as no value around it is, by a prefix, and what it reads from
    /// outside as it is called there.
    pub(super) fn written(&self, prefix: &str, outer: &[String]) -> GraphProto {
        let mut proto = self.proto.clone();
        let own = proto.input.len() - self.outer.min(proto.input.len());
        let read: Vec<String> = proto.input.drain(own..).map(|input| input.name().to_owned()).collect();
        let renamed = |name: &str| match read.iter().position(|read| read == name) {
            _ if name.is_empty() => String::new(),
            Some(at) => outer.get(at).cloned().unwrap_or_default(),
            None => format!("{prefix}/{name}"),
        };
        let rename = |name: &mut String| *name = renamed(name);
        for value in proto.input.iter_mut().chain(&mut proto.output) {
            value.name.iter_mut().for_each(rename);
        }
        for tensor in &mut proto.initializer {
            tensor.name.iter_mut().for_each(rename);
        }
        for node in &mut proto.node {
            node.input.iter_mut().chain(&mut node.output).chain(&mut node.name).for_each(rename);
        }
        proto
    }
}
