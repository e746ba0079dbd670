use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "zeros",
    summary: "All zeros: with a new head the first loss is exactly ln(classes).",
    documentation: "Every number is 0. Only for the last layer: layers before it would learn nothing.",
    samples: &[("{}", 0.0)],
    build: Build::of::<Zeros>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Zeros {}

impl Options for Zeros {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for Zeros {
    fn values(&self, shape: &[usize], _: Fans, _: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        vec![0.0; count]
    }
}
