use bytes::Bytes;

use super::onnx::TensorProto;
use crate::graph::{Constant, ElementType, TensorType};
use millstream_schemas::shown;

/// A tensor of a file as a constant, or what is wrong with it. Its bytes are shared where the file holds them as such.
pub(crate) fn constant_of(tensor: &TensorProto) -> Result<Constant, String> {
    let (dtype, shape) = stated_type(tensor)?;
    let wanted = shape.iter().product::<usize>() * dtype.bytes();
    let bytes = bytes_of(tensor, dtype);
    if bytes.len() != wanted {
        let name = shown(tensor.name());
        return Err(format!("tensor `{name}` of shape {shape:?} needs {wanted} bytes and has {}", bytes.len()));
    }
    Ok(Constant { dtype, shape, bytes })
}

/// Bytes that a tensor's type and shape need.
pub(super) fn bytes_stated(tensor: &TensorProto) -> Result<u64, String> {
    let (dtype, shape) = stated_type(tensor)?;
    Ok((shape.iter().product::<usize>() * dtype.bytes()) as u64)
}

/// Keeps the data as bytes, so that every later use shares them; for a tensor that the gate let pass.
pub(super) fn keep_as_bytes(tensor: &mut TensorProto) {
    let Some(dtype) = ElementType::from_onnx(tensor.data_type()).filter(|_| tensor.raw_data.is_none()) else { return };
    tensor.raw_data = Some(bytes_of(tensor, dtype));
    (tensor.float_data, tensor.double_data) = (Vec::new(), Vec::new());
    (tensor.int32_data, tensor.int64_data, tensor.uint64_data) = (Vec::new(), Vec::new(), Vec::new());
}

fn stated_type(tensor: &TensorProto) -> Result<(ElementType, Vec<usize>), String> {
    let name = shown(tensor.name());
    let dtype =
        ElementType::stated(tensor.data_type().into()).map_err(|told| format!("tensor `{name}` is of {told}"))?;
    let mut shape = Vec::with_capacity(tensor.dims.len());
    for length in &tensor.dims {
        shape.push(usize::try_from(*length).map_err(|_| format!("tensor `{name}` has an axis of length {length}"))?);
    }
    if !TensorType::new(dtype, &shape).fits_a_machine() {
        return Err(format!("tensor `{name}` of shape {shape:?} is larger than memory"));
    }
    Ok((dtype, shape))
}

fn bytes_of(tensor: &TensorProto, dtype: ElementType) -> Bytes {
    if let Some(raw) = &tensor.raw_data {
        return raw.clone();
    }
    let bytes: Vec<u8> = match dtype {
        ElementType::F32 => tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ElementType::F64 => tensor.double_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ElementType::I64 => tensor.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ElementType::U32 | ElementType::U64 => {
            tensor.uint64_data.iter().flat_map(|value| value.to_le_bytes()[..dtype.bytes()].to_vec()).collect()
        }
        // onnx.proto keeps all narrower types in `int32_data`, one element a number
        _ => tensor.int32_data.iter().flat_map(|value| value.to_le_bytes()[..dtype.bytes()].to_vec()).collect(),
    };
    bytes.into()
}
