use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "he_normal",
    summary: "Normal, standard deviation √(2 / fan_in): for layers followed by a ReLU.",
    documentation: "K. He et al., \"Delving deep into rectifiers\" (2015): normal with standard deviation √(2 / fan_in), which keeps the spread of \
        activations through layers with ReLU. `fan_in` is how many inputs a unit reads.",
    samples: &[("{}", 0.083_333)],
    build: Build::of::<HeNormal>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HeNormal {}

impl Options for HeNormal {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for HeNormal {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        random.normals(count, (2.0 / fans.inputs()).sqrt())
    }
}
