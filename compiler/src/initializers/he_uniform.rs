use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "he_uniform",
    summary: "Uniform in ±√(6 / fan_in): for layers followed by a ReLU.",
    documentation: "K. He et al., \"Delving deep into rectifiers\" (2015): uniform in ±√(6 / fan_in), of the same spread as `he_normal`.",
    samples: &[("{}", 0.083_333)],
    build: Build::of::<HeUniform>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HeUniform {}

impl Options for HeUniform {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for HeUniform {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        random.uniforms(count, (6.0 / fans.inputs()).sqrt())
    }
}
