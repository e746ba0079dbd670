use millstream_runtime::{Device, DeviceKind};
use millstream_schemas::recipe::Precision;

use crate::RecipeError;

/// The device as it computes in a precision.
///
/// # Errors
/// It computes in 32-bit floats alone.
pub(crate) fn in_precision(device: Device, precision: Precision) -> Result<Device, RecipeError> {
    match (precision, device.kind) {
        (Precision::Float32, _) => Ok(device),
        (_, DeviceKind::Cuda(_)) => Ok(device.using_tf32()),
        (_, DeviceKind::Cpu) => {
            let (name, reason) = (precision.name(), &device.reason);
            let message = format!(
                "`{name}` is for CUDA devices, and steps would run on the CPU ({reason}), which computes in 32-bit floats: \
                 ONNX Runtime's kernels for it have no other. Use `precision: float32`, or a machine with `device: cuda`"
            );
            Err(RecipeError::mismatch("training.precision", message))
        }
    }
}
