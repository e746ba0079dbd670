use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a training step computes with. Parameters, their gradients, the optimizer's state and the exported model are 32-bit
/// floats in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Float32,
    /// 32-bit floats, of which products of matrices and convolutions read the first 10 bits behind the point: TensorFloat-32 of
    /// NVIDIA's GPUs from Ampere on.
    Tf32,
    /// Products of matrices and convolutions, and what lies between them, in bfloat16: the range of 32-bit floats with 7 bits
    /// behind the point. All else in 32-bit floats, TensorFloat-32 where a product stays there.
    Bfloat16,
    /// As `bfloat16`, in float16: 10 bits behind the point, and a range so small that the loss is scaled for the gradients to
    /// lie in it.
    Float16,
}

impl Precision {
    /// Whether it is 32-bit floats in full, which is all that a CPU computes with.
    pub fn is_float32(&self) -> bool {
        *self == Self::Float32
    }

    /// As recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Tf32 => "tf32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
        }
    }
}
