//! Applies transforms to some rows only.

use millstream_schemas::recipe::TransformSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Choice, Combination, Combine, Outcomes, Transforms, build};
use crate::options::{Options, probability};
use crate::random::Random;
use crate::table::{Transform, schema};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "sometimes",
    summary: "Applies transforms with a probability, or none of them.",
    documentation: "Decides once for each row: all transforms under `apply` (one, or a list in order), or none.",
    targets: &[],
    changes_label: None,
    samples: &[
        r#"{"probability": 0.3, "apply": {"rotate": {"degrees": 45}}}"#,
        r#"{"probability": 0.5, "apply": ["horizontal_flip", {"gaussian_noise": {"sigma": 0.02}}]}"#,
    ],
    schema: schema::<Sometimes>(),
    build: build::<Sometimes>(false),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sometimes {
    /// How often, from 0 (never) to 1 (always).
    #[schemars(range(min = 0, max = 1))]
    probability: f64,
    /// One transform, or a list of them.
    apply: Transforms,
}

impl Options for Sometimes {
    fn validate(&self) -> Result<(), String> {
        probability(self.probability)?;
        self.apply.validate()
    }
}

impl Combine for Sometimes {
    fn choose(&self, random: &mut Random) -> Choice {
        if random.bernoulli(self.probability) { Choice::All } else { Choice::None }
    }

    fn is_random(&self) -> bool {
        self.probability > 0.0 && self.probability < 1.0
    }

    fn outcomes(&self) -> Outcomes {
        if self.probability >= 1.0 { Outcomes::All } else { Outcomes::AllOrNone }
    }
}

impl Combination for Sometimes {
    fn take(&mut self) -> Vec<TransformSpec> {
        self.apply.take()
    }
}
