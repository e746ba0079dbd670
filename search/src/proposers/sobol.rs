//! Settings that fill the space evenly.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposer_function::{Proposal, ProposerFunction, Request};
use super::proposer_kind::{Build, ProposerKind};
use crate::{Objective, Space};

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "sobol",
    summary: "Points that fill the space evenly, whatever came of those before.",
    documentation: "A Sobol sequence with the direction numbers of Joe and Kuo (2008), scrambled by the seed as Owen (1995) does \
        it. Among 2ⁿ trials from the first on, each parameter has had one setting in each of 2ⁿ equal parts of its range. Beyond \
        128 parameters the rest is drawn at random. Good where many trials run at once, or where the whole space is to be seen.",
    samples: &["{}"],
    build: Build::of::<Sobol>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sobol {}

impl Options for Sobol {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ProposerFunction for Sobol {
    fn check(&self, _: &Space, _: &[Objective]) -> Result<(), String> {
        Ok(())
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        Some(request.spread().into())
    }

    fn learns(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::History;

    #[test]
    fn each_of_sixteen_parts_has_one_of_sixteen_trials() {
        let (space, _) =
            Space::extract(&json!([{"uniform": [0, 16]}, {"log_uniform": [1e-4, 1]}, {"integer": [1, 4]}])).unwrap();
        let history = History { trials: &[], finished: &[], objectives: &[] };
        let proposed =
            |number| Sobol {}.propose(&Request { space: &space, seed: 9, number, history }).unwrap().assignment;
        let mut parts: Vec<u64> = (0..16).map(|number| proposed(number).get("[0]").unwrap() as u64).collect();
        parts.sort_unstable();
        assert_eq!(parts, (0..16).collect::<Vec<_>>());
        let of_four = |wanted: f64| (0..16).filter(|number| proposed(*number).get("[2]") == Some(wanted)).count();
        assert_eq!([1.0, 2.0, 3.0, 4.0].map(of_four), [4; 4]);
    }
}
