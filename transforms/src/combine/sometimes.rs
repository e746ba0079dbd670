//! Applies transforms to some rows only.

use millstream_schemas::Choice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::combination::{Chosen, Combination, Combine, Outcomes, Transforms};
use crate::options::{Options, between};
use crate::random::Random;
use crate::transform::{Build, Transform};

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
    probability: None,
    build: Build::combination::<Sometimes>(false),
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
        between("probability", self.probability, 0.0, 1.0)?;
        self.apply.validate()
    }
}

impl Combine for Sometimes {
    fn choose(&self, random: &mut Random) -> Chosen {
        if random.bernoulli(self.probability) { Chosen::All } else { Chosen::None }
    }

    fn is_random(&self) -> bool {
        self.probability > 0.0 && self.probability < 1.0
    }

    fn outcomes(&self) -> Outcomes {
        if self.probability >= 1.0 { Outcomes::All } else { Outcomes::AllOrNone }
    }
}

impl Combination for Sometimes {
    fn take(&mut self) -> Vec<Choice> {
        self.apply.take()
    }
}
