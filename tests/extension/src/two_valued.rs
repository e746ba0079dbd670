//! An initializer.

use millstream::compiler::initializers::{self, Fans, InitializerFunction, InitializerKind, WeightRandom};
use millstream::schemas::choice::{Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const TWO_VALUED: InitializerKind = InitializerKind {
    name: "two_valued",
    summary: "One of two values, each as often as the other.",
    documentation: "±`gain`/√fan_in by the sign of a number in -1 to 1.",
    samples: &[("{}", 0.0589256), (r#"{"gain": 2}"#, 0.1178511)],
    build: initializers::Build::of::<TwoValued>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TwoValued {
    /// What the values are multiplied by, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    gain: f32,
}

impl Default for TwoValued {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Options for TwoValued {
    fn validate(&self) -> Result<(), String> {
        above("gain", self.gain.into())
    }
}

impl InitializerFunction for TwoValued {
    fn values(&self, shape: &[usize], fans: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let value = self.gain / (fans.fan_in as f32).sqrt();
        (0..shape.iter().product()).map(|_| value.copysign(random.symmetric() as f32)).collect()
    }
}
