use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "constant",
    summary: "One number everywhere.",
    documentation: "Every number is `value`.",
    samples: &[(r#"{"value": 0.5}"#, 0.0)],
    build: Build::of::<ConstantValue>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConstantValue {
    /// The number.
    value: f32,
}

impl Options for ConstantValue {
    fn validate(&self) -> Result<(), String> {
        if self.value.is_finite() { Ok(()) } else { Err(format!("value is a finite number, got {}", self.value)) }
    }
}

impl InitializerFunction for ConstantValue {
    fn values(&self, shape: &[usize], _: Fans, _: &mut WeightRandom) -> Vec<f32> {
        vec![self.value; shape.iter().product()]
    }
}
