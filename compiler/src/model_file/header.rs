use crate::graph::{Graph, PRODUCER};
use crate::model_file::onnx::{GraphProto, ModelProto, StringStringEntryProto};

/// The first version of the format in which initializers need not be inputs.
const LEAST_IR_VERSION: i64 = 4;

/// What a model's file says beside its nodes and weights: who made it, for which version of the format, its metadata.
#[derive(Clone, Debug)]
pub(crate) struct Header(ModelProto);

impl Header {
    pub(crate) fn of(proto: &ModelProto) -> Self {
        let file = proto.graph.as_ref().expect("the gate refuses a model without a graph");
        let graph = GraphProto {
            name: file.name.clone(),
            doc_string: file.doc_string.clone(),
            quantization_annotation: file.quantization_annotation.clone(),
            metadata_props: file.metadata_props.clone(),
            ..GraphProto::default()
        };
        Self(ModelProto {
            ir_version: Some(proto.ir_version().max(LEAST_IR_VERSION)),
            producer_name: proto.producer_name.clone(),
            producer_version: proto.producer_version.clone(),
            domain: proto.domain.clone(),
            model_version: proto.model_version,
            doc_string: proto.doc_string.clone(),
            metadata_props: proto.metadata_props.clone(),
            graph: Some(graph),
            ..ModelProto::default()
        })
    }

    /// Of a file that is made of several: as the first says, in the newest version of the format, with the metadata that all of them have.
    pub(crate) fn of_several(first: &ModelProto, others: &[&ModelProto]) -> Self {
        let Self(mut model) = Self::of(first);
        model.ir_version = others.iter().map(|other| other.ir_version()).chain(model.ir_version).max();
        model.metadata_props.retain(|entry| others.iter().all(|other| other.metadata_props.contains(entry)));
        if let Some(graph) = &mut model.graph {
            // they speak of values by names that are others now
            graph.quantization_annotation.clear();
            graph.metadata_props.clear();
        }
        Self(model)
    }

    /// A file of this kind with a graph: all nodes that its outputs need, as they stand.
    pub(crate) fn with(&self, graph: &Graph) -> ModelProto {
        let mut model = self.0.clone();
        let head = model.graph.take().expect("every header holds one");
        let written = graph.unfolded_proto(head.name());
        model.opset_import = written.opset_import;
        let body = written.graph.expect("a graph is written as one");
        model.graph = Some(GraphProto { node: body.node, initializer: body.initializer, input: body.input, ..head });
        if let Some(graph) = &mut model.graph {
            (graph.output, graph.value_info) = (body.output, body.value_info);
        }
        model
    }

    /// Says who wrote the file, and more under these keys. What an earlier run noted of the model that it made goes.
    pub(crate) fn signed(&self, metadata: &[(String, String)]) -> Self {
        let mut model = self.0.clone();
        model.producer_name = Some(PRODUCER.into());
        model.producer_version = Some(env!("CARGO_PKG_VERSION").into());
        model.metadata_props.retain(|entry| !entry.key().starts_with("millstream."));
        for (key, value) in metadata {
            model.metadata_props.retain(|entry| entry.key() != key);
            model.metadata_props.push(StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) });
        }
        Self(model)
    }
}
