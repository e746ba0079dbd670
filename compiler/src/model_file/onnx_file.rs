use std::io::{self, Write};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::onnx::{GraphProto, ModelProto, TensorProto};
use crate::CompilerError;

/// What ONNX Runtime, and protobuf itself, take in one piece.
pub(crate) const MOST_ENCODED: usize = i32::MAX as usize;

/// Fields of onnx.proto that a file is written around.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

/// An ONNX file that is about to be written. Its weights are those of the graph that it was made of, not copies.
#[derive(Clone, Debug)]
pub struct OnnxFile {
    model: ModelProto,
    length: usize,
}

impl OnnxFile {
    /// # Errors
    /// It would be larger than an ONNX file in one piece can be.
    pub(crate) fn new(model: ModelProto) -> Result<Self, CompilerError> {
        let length = model.encoded_len();
        if length > MOST_ENCODED {
            return Err(CompilerError::unsupported(
                format!("a model that takes {length} bytes with its weights"),
                format!("ONNX Runtime is handed at most {MOST_ENCODED}; take a smaller model, or weights of float16"),
            ));
        }
        Ok(Self { model, length })
    }

    /// Bytes that the file has.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The file in memory: its weights are copied.
    pub fn to_vec(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Writes the file, weight by weight, in the order of [`OnnxFile::to_vec`].
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let ModelProto { opset_import, metadata_props, training_info, functions, configuration, .. } = &self.model;
        let behind = ModelProto {
            opset_import: opset_import.clone(),
            metadata_props: metadata_props.clone(),
            training_info: training_info.clone(),
            functions: functions.clone(),
            configuration: configuration.clone(),
            ..ModelProto::default()
        };
        let front = ModelProto {
            ir_version: self.model.ir_version,
            producer_name: self.model.producer_name.clone(),
            producer_version: self.model.producer_version.clone(),
            domain: self.model.domain.clone(),
            model_version: self.model.model_version,
            doc_string: self.model.doc_string.clone(),
            ..ModelProto::default()
        };
        out.write_all(&front.encode_to_vec())?;
        if let Some(graph) = &self.model.graph {
            out.write_all(&prefix(GRAPH, graph.encoded_len()))?;
            write_graph(graph, out)?;
        }
        out.write_all(&behind.encode_to_vec())
    }
}

fn write_graph(graph: &GraphProto, out: &mut dyn Write) -> io::Result<()> {
    for node in &graph.node {
        out.write_all(&prefix(1, node.encoded_len()))?;
        out.write_all(&node.encode_to_vec())?;
    }
    let front = GraphProto { name: graph.name.clone(), ..GraphProto::default() };
    out.write_all(&front.encode_to_vec())?;
    for tensor in &graph.initializer {
        write_tensor(tensor, out)?;
    }
    let behind = GraphProto {
        sparse_initializer: graph.sparse_initializer.clone(),
        doc_string: graph.doc_string.clone(),
        input: graph.input.clone(),
        output: graph.output.clone(),
        value_info: graph.value_info.clone(),
        quantization_annotation: graph.quantization_annotation.clone(),
        metadata_props: graph.metadata_props.clone(),
        ..GraphProto::default()
    };
    out.write_all(&behind.encode_to_vec())
}

/// Tensors of our graphs hold bytes alone; another kind of data is copied on the way.
fn write_tensor(tensor: &TensorProto, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&prefix(INITIALIZER, tensor.encoded_len()))?;
    let TensorProto { raw_data, double_data, uint64_data, doc_string, external_data, data_location, .. } = tensor;
    let behind = TensorProto {
        double_data: double_data.clone(),
        uint64_data: uint64_data.clone(),
        doc_string: doc_string.clone(),
        external_data: external_data.clone(),
        data_location: *data_location,
        metadata_props: tensor.metadata_props.clone(),
        ..TensorProto::default()
    };
    let front = TensorProto {
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        segment: tensor.segment,
        float_data: tensor.float_data.clone(),
        int32_data: tensor.int32_data.clone(),
        string_data: tensor.string_data.clone(),
        int64_data: tensor.int64_data.clone(),
        name: tensor.name.clone(),
        ..TensorProto::default()
    };
    out.write_all(&front.encode_to_vec())?;
    if let Some(bytes) = raw_data {
        out.write_all(&prefix(RAW_DATA, bytes.len()))?;
        out.write_all(bytes)?;
    }
    out.write_all(&behind.encode_to_vec())
}

/// What stands before a field of so many bytes.
fn prefix(field: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key_len(field) + encoded_len_varint(length as u64));
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(length as u64, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::onnx::{
        NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorAnnotation, ValueInfoProto,
    };

    #[test]
    fn a_file_is_written_piece_by_piece_as_it_is_encoded_in_one() {
        let text = |text: &str| Some(text.to_owned());
        let entry = || vec![StringStringEntryProto { key: text("key"), value: text("value") }];
        let tensor = |name: &str, dims: &[i64]| TensorProto {
            name: text(name),
            dims: dims.to_vec(),
            data_type: Some(1),
            doc_string: text("a tensor"),
            metadata_props: entry(),
            ..TensorProto::default()
        };
        let raw = TensorProto { raw_data: Some(vec![7; 1200].into()), ..tensor("raw", &[300]) };
        let floats = TensorProto { float_data: vec![1.0, 2.0], ..tensor("floats", &[2]) };
        let outside = TensorProto { external_data: entry(), data_location: Some(1), ..tensor("outside", &[9]) };
        let value = |name: &str| ValueInfoProto { name: text(name), ..ValueInfoProto::default() };
        let graph = GraphProto {
            node: vec![NodeProto { name: text("node"), op_type: text("Relu"), ..NodeProto::default() }],
            name: text("graph"),
            initializer: vec![raw, floats, outside],
            doc_string: text("a graph"),
            input: vec![value("x")],
            output: vec![value("y")],
            value_info: vec![value("z")],
            quantization_annotation: vec![TensorAnnotation { tensor_name: text("z"), ..TensorAnnotation::default() }],
            metadata_props: entry(),
            ..GraphProto::default()
        };
        let whole = ModelProto {
            ir_version: Some(10),
            producer_name: text("a producer"),
            producer_version: text("1"),
            domain: text("a domain"),
            model_version: Some(3),
            doc_string: text("a model"),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: text(""), version: Some(17) }],
            metadata_props: entry(),
            ..ModelProto::default()
        };
        for model in [whole, ModelProto::default()] {
            let file = OnnxFile::new(model).unwrap();
            let mut written = Vec::new();
            file.write_to(&mut written).unwrap();
            assert_eq!(written, file.to_vec());
            assert_eq!(written.len(), file.length());
        }
    }
}
