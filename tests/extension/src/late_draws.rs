//! A proposer of hyperparameters.

use millstream::schemas::choice::Options;
use millstream::search::proposers::{self, Proposal, ProposerFunction, ProposerKind, Request};
use millstream::search::{Objective, Space};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const LATE_DRAWS: ProposerKind = ProposerKind {
    name: "late_draws",
    summary: "What a random search draws so many trials later.",
    documentation: "Trial n has the settings that `random` draws for trial n + `trials`.",
    samples: &[r#"{"trials": 3}"#],
    build: proposers::Build::of::<LateDraws>(),
};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LateDraws {
    trials: u64,
}

impl Options for LateDraws {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ProposerFunction for LateDraws {
    fn check(&self, _: &Space, _: &[Objective]) -> Result<(), String> {
        Ok(())
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        Some(request.space.drawn(request.seed, request.number + self.trials).into())
    }

    fn learns(&self) -> bool {
        false
    }
}
