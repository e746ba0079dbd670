use millstream_schemas::choice::{Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "truncated_normal",
    summary: "Normal, drawn again beyond two standard deviations: what transformers start from.",
    documentation: "Normal with standard deviation `deviation`; numbers beyond two of them are drawn again, so that the spread of \
        what is drawn is 0.880 times that. J. Devlin et al., \"BERT\" (2018) and ViT start from 0.02.",
    samples: &[("{}", 0.017_59), (r#"{"deviation": 0.1}"#, 0.087_96)],
    build: Build::of::<TruncatedNormal>(),
};

/// Beyond so many standard deviations a number is drawn again.
const BOUND: f64 = 2.0;

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TruncatedNormal {
    /// Standard deviation of the normal distribution that is cut, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    deviation: f64,
}

impl Default for TruncatedNormal {
    fn default() -> Self {
        Self { deviation: 0.02 }
    }
}

impl Options for TruncatedNormal {
    fn validate(&self) -> Result<(), String> {
        above("deviation", self.deviation)
    }
}

impl InitializerFunction for TruncatedNormal {
    fn values(&self, shape: &[usize], _: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let mut within = || loop {
            let drawn = random.normal();
            if drawn.abs() <= BOUND {
                return (drawn * self.deviation) as f32;
            }
        };
        (0..shape.iter().product::<usize>()).map(|_| within()).collect()
    }
}
