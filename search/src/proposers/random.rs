//! Settings drawn at random.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposer_function::{Proposal, ProposerFunction, Request};
use super::proposer_kind::{Build, ProposerKind};
use crate::{Objective, Space};

pub(super) const PROPOSER: ProposerKind = ProposerKind {
    name: "random",
    summary: "Every parameter by itself, as its distribution says.",
    documentation: "Random search (Bergstra and Bengio, 2012). A parameter's setting depends on the seed, the trial's number and the \
        parameter's name alone, so that another parameter changes nothing about it. The measure that every other proposer is \
        held against.",
    samples: &["{}"],
    build: Build::of::<Uniform>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Uniform {}

impl Options for Uniform {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ProposerFunction for Uniform {
    fn check(&self, _: &Space, _: &[Objective]) -> Result<(), String> {
        Ok(())
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        Some(request.drawn().into())
    }

    fn learns(&self) -> bool {
        false
    }
}
