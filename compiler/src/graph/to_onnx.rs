//! Writing a graph as ONNX bytes, and what running it will hold in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

use super::arena::Arena;
use super::execution_order::listed;
use super::{Attribute, Body, Constant, ElementType, Graph, KIND, Length, Node, PRODUCER, TensorType, ValueId};
use crate::CompilerError;
use crate::model_file::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto,
    tensor_shape_proto::dimension::Value as Dimension, type_proto,
};
use millstream_schemas::shown;

const IR_VERSION: i64 = 10;

/// Element type and shape.
type TensorKey<'a> = (i32, &'a [usize]);

impl Graph {
    /// The graph as the bytes of an ONNX model. Only what the outputs need is written.
    pub fn to_onnx(&self, name: &str) -> Vec<u8> {
        self.model_proto(name).encode_to_vec()
    }

    pub(crate) fn model_proto(&self, name: &str) -> ModelProto {
        self.written(name, listed(self.live_nodes()))
    }

    /// As [`Graph::model_proto`], with the nodes that make known constants.
    pub(crate) fn unfolded_proto(&self, name: &str) -> ModelProto {
        self.written(name, self.needed_nodes())
    }

    fn written(&self, name: &str, live: Vec<&Node>) -> ModelProto {
        let made: HashSet<ValueId> = live.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
        let stands_for = self.shared_constants(&live, &made);
        let mut used: Vec<ValueId> = live.iter().flat_map(|node| node.inputs.iter().flatten().copied()).collect();
        used.extend(&self.outputs);
        let mut seen = HashSet::new();
        let stored: Vec<ValueId> = used
            .into_iter()
            .filter(|value| seen.insert(*value) && !stands_for.contains_key(value) && !made.contains(value))
            .collect();
        let tensor =
            |value: &ValueId| self.constant_of(*value).map(|constant| tensor_proto(self.name(*value), constant));
        let initializer: Vec<TensorProto> = stored.iter().filter_map(tensor).collect();
        let overridable: Vec<ValueId> = self.overridable.iter().copied().filter(|value| seen.contains(value)).collect();
        let mut opset_import = vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(self.opset) }];
        opset_import.extend(
            self.other_opsets
                .iter()
                .map(|(domain, version)| OperatorSetIdProto { domain: Some(domain.clone()), version: Some(*version) }),
        );
        let told = self.told_constants(&stored, &overridable);
        let graph = GraphProto {
            name: Some(name.to_owned()),
            node: self.node_protos(&live, &stands_for),
            initializer,
            input: self.inputs.iter().chain(&overridable).map(|value| self.value_info(*value)).collect(),
            output: self.outputs.iter().map(|value| self.value_info(*value)).collect(),
            value_info: [self.declared_values(&live), told].concat(),
            ..GraphProto::default()
        };
        ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some(PRODUCER.into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            opset_import,
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    /// Bytes that computed values take in the runtime's arena, when nodes run in order and each value is freed after its last
    /// use: more than are alive at the worst node, since what is freed is not always what fits. Inputs and constants are not
    /// counted. `lengths` are those of named axes.
    ///
    /// # Errors
    /// An axis has a name without a length, or a value has more elements than any machine holds.
    pub fn activation_bytes(&self, lengths: &BTreeMap<String, usize>) -> Result<u64, CompilerError> {
        let live = self.live_nodes();
        let mut last_use: HashMap<ValueId, usize> = HashMap::new();
        for (at, node) in live.iter().enumerate() {
            last_use.extend(node.inputs.iter().flatten().map(|value| (*value, at)));
        }
        last_use.extend(self.outputs.iter().map(|value| (*value, live.len())));
        let mut arena = Arena::default();
        let mut taken = HashMap::new();
        for (at, node) in live.iter().enumerate() {
            for value in node.outputs.iter().flatten().filter(|value| last_use.contains_key(value)) {
                taken.insert(*value, arena.take(self.bytes_of(*value, lengths)?));
            }
            for value in node.inputs.iter().flatten().filter(|value| last_use.get(value) == Some(&at)) {
                if let Some(place) = taken.remove(value) {
                    arena.give(place);
                }
            }
        }
        Ok(arena.touched())
    }

    /// Bytes of a value; none where its type is not known.
    pub(crate) fn bytes_of(&self, value: ValueId, lengths: &BTreeMap<String, usize>) -> Result<u64, CompilerError> {
        let Some(known) = self.tensor_type(value) else { return Ok(0) };
        let elements = known.elements().with(&|name| lengths.get(name).map(Length::from));
        let Some(elements) = elements.fixed() else {
            let inputs = self.inputs.iter().filter_map(|input| self.tensor_type(*input));
            let given: HashSet<&str> = inputs.flat_map(|known| known.shape.iter().flat_map(Length::names)).collect();
            if elements.names().iter().any(|name| !given.contains(name)) {
                return Ok(0); // as long as a loop goes round in the run
            }
            return Err(CompilerError::unsupported(
                format!("`{}` of type {known} without a length for {elements}", shown(self.name(value))),
                "give a length of at least one for each named axis",
            ));
        };
        Ok(elements as u64 * known.dtype.bytes() as u64)
    }

    /// Constants of the same type that share their bytes in memory are written once: the one that stands for each other.
    fn shared_constants(&self, live: &[&Node], made: &HashSet<ValueId>) -> HashMap<ValueId, ValueId> {
        let mut first: HashMap<(usize, TensorKey<'_>), ValueId> = HashMap::new();
        let mut stands_for = HashMap::new();
        let outputs: HashSet<ValueId> = self.outputs.iter().copied().collect();
        for value in live.iter().flat_map(|node| node.inputs.iter().flatten().copied()) {
            let Some(constant) = self.constant_of(value).filter(|constant| !constant.bytes.is_empty()) else {
                continue;
            };
            if made.contains(&value) || self.is_overridable(value) {
                continue;
            }
            let key = (constant.bytes.as_ptr() as usize, (constant.dtype.to_onnx(), constant.shape.as_slice()));
            let kept = *first.entry(key).or_insert(value);
            if kept != value && !outputs.contains(&value) {
                stands_for.insert(value, kept);
            }
        }
        stands_for
    }

    /// What the outputs need.
    pub(crate) fn needed_nodes(&self) -> Vec<&Node> {
        let mut needed: HashSet<ValueId> = self.outputs.iter().copied().collect();
        let mut live: Vec<&Node> = Vec::new();
        for node in self.nodes.iter().rev().filter(|node| !node.outputs.is_empty()) {
            if node.outputs.iter().flatten().any(|value| needed.contains(value)) {
                needed.extend(node.inputs.iter().flatten());
                live.push(node);
            }
        }
        live.reverse();
        live
    }

    /// What the outputs need where known constants are given.
    pub(crate) fn live_nodes(&self) -> Vec<&Node> {
        let mut needed: HashSet<ValueId> = self.outputs.iter().copied().collect();
        let mut live = Vec::new();
        for node in self.nodes.iter().rev() {
            let outputs = || node.outputs.iter().flatten();
            let made = outputs().any(|value| needed.contains(value) && self.constant_of(*value).is_none());
            if made {
                needed.extend(node.inputs.iter().flatten().filter(|value| self.constant_of(**value).is_none()));
                live.push(node);
            }
        }
        live.reverse();
        live
    }

    /// ONNX Runtime refuses two nodes of one name, and files name nodes apart from values: later ones get a number.
    fn node_protos(&self, live: &[&Node], stands_for: &HashMap<ValueId, ValueId>) -> Vec<NodeProto> {
        let mut taken = HashSet::new();
        // of each name that was wanted again: the last number that it was given
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut unique = |mut node: NodeProto| {
            let wanted = node.name().to_owned();
            if wanted.is_empty() || taken.insert(wanted.clone()) {
                return node;
            }
            let number = numbers.entry(wanted.clone()).or_insert(1);
            while !taken.insert(node.name().to_owned()) {
                *number += 1;
                node.name = Some(format!("{wanted}_{number}"));
            }
            node
        };
        live.iter().map(|node| self.node_proto(node, stands_for)).map(&mut unique).collect()
    }

    fn node_proto(&self, node: &Node, stands_for: &HashMap<ValueId, ValueId>) -> NodeProto {
        let name = |id: ValueId| self.name(stands_for.get(&id).copied().unwrap_or(id)).to_owned();
        let names = |values: &[Option<ValueId>]| -> Vec<String> {
            values.iter().map(|value| value.map_or_else(String::new, name)).collect()
        };
        let (mut input, output) = (names(&node.inputs), names(&node.outputs));
        let outer = node.bodies().map(Body::outer).max().unwrap_or(0);
        let outer = input.split_off(input.len().saturating_sub(outer));
        let made = output.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        let attributes = node.attributes.iter();
        let attribute = attributes.map(|(name, value)| attribute_proto(name, value, made, &outer)).collect();
        NodeProto {
            input,
            output,
            attribute,
            name: Some(node.name.clone()),
            op_type: Some(node.operator.clone()),
            domain: (!node.domain.is_empty()).then(|| node.domain.clone()),
            metadata_props: node.metadata.iter().map(|(key, value)| entry(key, value)).collect(),
            ..NodeProto::default()
        }
    }

    /// What a file has stated of values inside the graph.
    fn declared_values(&self, live: &[&Node]) -> Vec<ValueInfoProto> {
        let made = live.iter().flat_map(|node| node.outputs.iter().flatten().copied());
        let outputs: HashSet<ValueId> = self.outputs.iter().copied().collect();
        let declared = made.filter(|value| self.values[value.0 as usize].is_declared && !outputs.contains(value));
        declared.filter(|value| self.tensor_type(*value).is_some()).map(|value| self.value_info(value)).collect()
    }

    /// What a file has said that constants were in the source; of those that are inputs or outputs as well there is another entry.
    fn told_constants(&self, stored: &[ValueId], overridable: &[ValueId]) -> Vec<ValueInfoProto> {
        let is_listed = |value: &ValueId| overridable.contains(value) || self.outputs.contains(value);
        // what was stored and is given now is no constant of the file any more
        let is_constant = |value: &ValueId| self.constant_of(*value).is_some() && !self.inputs.contains(value);
        let told = stored.iter().filter(|value| is_constant(value) && !is_listed(value)).filter_map(|value| {
            let metadata_props = vec![entry(KIND, self.origin(*value)?.word())];
            Some(ValueInfoProto { metadata_props, ..self.value_info(*value) })
        });
        told.collect()
    }

    fn value_info(&self, value: ValueId) -> ValueInfoProto {
        // a file without the element types of its outputs is no valid one
        let elements = || self.values[value.0 as usize].element_type.map(|dtype| tensor_of(dtype, None));
        let r#type = self.tensor_type(value).map(type_proto).or_else(elements);
        ValueInfoProto { name: Some(self.name(value).to_owned()), r#type, ..ValueInfoProto::default() }
    }
}

fn type_proto(tensor_type: &TensorType) -> TypeProto {
    let length = |length: &Length| match length.as_number() {
        Some(number) => Dimension::DimValue(number),
        None => Dimension::DimParam(length.onnx_name()),
    };
    let axes = tensor_type.shape.iter();
    let dim =
        axes.map(|axis| tensor_shape_proto::Dimension { value: Some(length(axis)), ..Default::default() }).collect();
    tensor_of(tensor_type.dtype, Some(TensorShapeProto { dim }))
}

fn tensor_of(dtype: ElementType, shape: Option<TensorShapeProto>) -> TypeProto {
    let tensor = type_proto::Tensor { elem_type: Some(dtype.to_onnx()), shape };
    TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
}

/// A key with a value, as ONNX writes metadata.
pub(crate) fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

/// A constant as an ONNX tensor.
pub(crate) fn tensor_proto(name: &str, constant: &Constant) -> TensorProto {
    TensorProto {
        name: (!name.is_empty()).then(|| name.to_owned()),
        dims: constant.shape.iter().map(|length| *length as i64).collect(),
        data_type: Some(constant.dtype.to_onnx()),
        raw_data: Some(constant.bytes.clone()),
        ..TensorProto::default()
    }
}

/// An attribute as ONNX writes it, of a node that makes a value of this name and whose graphs read these from outside.
fn attribute_proto(name: &str, value: &Attribute, made: &str, outer: &[String]) -> AttributeProto {
    let mut proto = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let kind = match value {
        Attribute::Float(value) => {
            proto.f = Some(*value);
            AttributeType::Float
        }
        Attribute::Int(value) => {
            proto.i = Some(*value);
            AttributeType::Int
        }
        Attribute::String(value) => {
            proto.s = Some(value.clone().into_bytes().into());
            AttributeType::String
        }
        Attribute::Bytes(value) => {
            proto.s = Some(value.clone());
            AttributeType::String
        }
        Attribute::Floats(values) => {
            proto.floats.clone_from(values);
            AttributeType::Floats
        }
        Attribute::Ints(values) => {
            proto.ints.clone_from(values);
            AttributeType::Ints
        }
        Attribute::Strings(values) => {
            proto.strings.clone_from(values);
            AttributeType::Strings
        }
        Attribute::Tensor(constant) => {
            proto.t = Some(tensor_proto("", constant));
            AttributeType::Tensor
        }
        Attribute::Body(body) => {
            // two branches of a node have names apart
            let prefix = if name == "body" { made.to_owned() } else { format!("{made}/{name}") };
            proto.g = Some(body.written(&prefix, outer));
            AttributeType::Graph
        }
    };
    proto.r#type = Some(kind as i32);
    proto
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Origin;
    use crate::operators::OperatorCatalog;

    #[test]
    fn a_weight_that_has_become_an_input_is_described_once() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let weight = graph.input("weight", TensorType::f32([2]));
        graph.set_origin(weight, Some(Origin::Parameter));
        let bias = graph.constant("bias", Constant::f32([2], &[0.5, 0.25]));
        graph.set_origin(bias, Some(Origin::Parameter));
        let sum = graph.plus(weight, bias).unwrap();
        graph.output(sum);
        let file = ModelProto::decode(graph.to_onnx("one").as_slice()).unwrap().graph.unwrap();
        assert_eq!(file.value_info.iter().map(ValueInfoProto::name).collect::<Vec<_>>(), ["bias"]);
    }

    #[test]
    fn no_two_nodes_are_written_with_one_name() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let mut value = graph.input("x", TensorType::f32([2]));
        for name in ["a", "b", "c"] {
            value = graph.add("Relu", &[value], &[]).unwrap();
            graph.rename(value, name).unwrap(); // which frees the name that the node keeps
        }
        graph.output(value);
        let model = ModelProto::decode(graph.to_onnx("three").as_slice()).unwrap();
        let nodes = model.graph.unwrap().node;
        assert_eq!(nodes.iter().map(NodeProto::name).collect::<Vec<_>>(), ["Relu", "Relu_2", "Relu_3"]);
    }
}
