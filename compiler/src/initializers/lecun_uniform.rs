use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "lecun_uniform",
    summary: "Uniform in ±√(3 / fan_in).",
    documentation: "Y. LeCun et al., \"Efficient BackProp\" (1998): uniform in ±√(3 / fan_in), of the same spread as `lecun_normal`.",
    samples: &[("{}", 0.058_926)],
    build: Build::of::<LecunUniform>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LecunUniform {}

impl Options for LecunUniform {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for LecunUniform {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        random.uniforms(count, (3.0 / fans.inputs()).sqrt())
    }
}
