use millstream_schemas::shown;

use super::linear_weight::{LinearMap, LinearWeight};
use crate::CompilerError;

/// A linear map, as [`LinearMap::Dense`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    is_transposed: bool,
    /// What the stored weight is multiplied by where it is used.
    pub(super) factor: f32,
}

impl Dense {
    /// What a weight is used for; refused where that is a convolution, which `method` does not go to.
    pub(super) fn of(weight: &LinearWeight, method: &str) -> Result<Self, CompilerError> {
        match weight.map {
            LinearMap::Dense { inputs, outputs, is_transposed, factor } => {
                Ok(Self { inputs, outputs, is_transposed, factor })
            }
            LinearMap::Convolution { .. } => Err(CompilerError::setting(
                "",
                format!(
                    "`{method}` is for linear layers, and `{}` is a convolution; name linear layers, or use `lora`",
                    shown(&weight.layer)
                ),
            )),
        }
    }

    /// Where the stored weight has the number from an input to an output.
    pub(super) fn at(&self, input: usize, output: usize) -> usize {
        if self.is_transposed { output * self.inputs + input } else { input * self.outputs + output }
    }
}
