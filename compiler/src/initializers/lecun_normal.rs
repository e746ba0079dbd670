use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "lecun_normal",
    summary: "Normal, standard deviation √(1 / fan_in).",
    documentation: "Y. LeCun et al., \"Efficient BackProp\" (1998): normal with standard deviation √(1 / fan_in).",
    samples: &[("{}", 0.058_926)],
    build: Build::of::<LecunNormal>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LecunNormal {}

impl Options for LecunNormal {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl InitializerFunction for LecunNormal {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let count = shape.iter().product();
        random.normals(count, (1.0 / fans.inputs()).sqrt())
    }
}
