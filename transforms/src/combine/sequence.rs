//! Applies several transforms one after the other.

use millstream_schemas::Choice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::combination::{Chosen, Combination, Combine, Outcomes, Transforms};
use crate::options::Options;
use crate::random::Random;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "sequence",
    summary: "Applies several transforms one after the other.",
    documentation: "Groups transforms, so that `one_of` can choose between groups. A list alone is short for \
        `{apply: list}`.",
    targets: &[],
    changes_label: None,
    samples: &[r#"["horizontal_flip", {"rotate": {"degrees": 10}}]"#],
    probability: None,
    build: Build::combination::<Sequence>(true),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sequence {
    /// The transforms, in order.
    apply: Transforms,
}

impl Options for Sequence {
    fn validate(&self) -> Result<(), String> {
        self.apply.validate()
    }
}

impl Combine for Sequence {
    fn choose(&self, _: &mut Random) -> Chosen {
        Chosen::All
    }

    fn is_random(&self) -> bool {
        false
    }

    fn outcomes(&self) -> Outcomes {
        Outcomes::All
    }
}

impl Combination for Sequence {
    fn take(&mut self) -> Vec<Choice> {
        self.apply.take()
    }
}
