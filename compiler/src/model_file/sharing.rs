use super::onnx::ModelProto;
use crate::CompilerError;

/// What ONNX Runtime, and protobuf itself, take in one piece.
pub(crate) const MOST_ENCODED: usize = i32::MAX as usize;

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
