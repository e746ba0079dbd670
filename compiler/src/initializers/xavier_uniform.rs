use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "xavier_uniform",
    summary: "Uniform in ±√(6 / (fan_in + fan_out)).",
    documentation: "X. Glorot and Y. Bengio, \"Understanding the difficulty of training deep feedforward neural networks\" (2010): uniform in \
        ±√(6 / (fan_in + fan_out)), of the same spread as `xavier_normal`.",
    samples: &[("{}", 0.027_778)],
    build: Build::of::<XavierUniform>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct XavierUniform {}

impl Options for XavierUniform {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for XavierUniform {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        random.uniforms(count, (6.0 / fans.both()).sqrt())
    }
}
