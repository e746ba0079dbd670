use std::collections::{HashMap, HashSet};

use super::onnx::{GraphProto, ModelProto};
use crate::CompilerError;

/// What ONNX Runtime, and protobuf itself, take in one piece.
pub(crate) const MOST_ENCODED: usize = i32::MAX as usize;

/// Lets nodes read one initializer where several are the same bytes in memory, as tensors do that name one region of a
/// file: otherwise each would be written out. Those in `own` stay apart, and so do outputs and inputs.
pub(crate) fn share(graph: &mut GraphProto, own: &HashSet<&str>) {
    let named: HashSet<String> = graph.output.iter().chain(&graph.input).map(|value| value.name().to_owned()).collect();
    let mut first: HashMap<(usize, i32, Vec<i64>), String> = HashMap::new();
    let mut stands_for: HashMap<String, String> = HashMap::new();
    graph.initializer.retain(|tensor| {
        let Some(bytes) = tensor.raw_data.as_ref().filter(|bytes| !bytes.is_empty()) else { return true };
        if own.contains(tensor.name()) || named.contains(tensor.name()) {
            return true;
        }
        let key = (bytes.as_ptr() as usize, tensor.data_type(), tensor.dims.clone());
        let kept = first.entry(key).or_insert_with(|| tensor.name().to_owned());
        if kept == tensor.name() {
            return true;
        }
        stands_for.insert(tensor.name().to_owned(), kept.clone());
        false
    });
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(kept) = stands_for.get(input) {
            input.clone_from(kept);
        }
    }
}

/// The model as bytes.
///
/// # Errors
/// It would be larger than an ONNX file in one piece can be.
pub(crate) fn encode(model: &ModelProto) -> Result<Vec<u8>, CompilerError> {
    use prost::Message;
    let length = model.encoded_len();
    if length > MOST_ENCODED {
        return Err(CompilerError::unsupported(
            format!("a model that takes {length} bytes with its weights"),
            format!("ONNX Runtime is handed at most {MOST_ENCODED}; take a smaller model, or weights of float16"),
        ));
    }
    Ok(model.encode_to_vec())
}
