use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "xavier_normal",
    summary: "Normal, standard deviation √(2 / (fan_in + fan_out)).",
    documentation: "X. Glorot and Y. Bengio, \"Understanding the difficulty of training deep feedforward neural networks\" (2010): normal with \
        standard deviation √(2 / (fan_in + fan_out)).",
    samples: &[("{}", 0.027_778)],
    build: Build::of::<XavierNormal>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct XavierNormal {}

impl Options for XavierNormal {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for XavierNormal {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        random.normals(count, (2.0 / fans.both()).sqrt())
    }
}
