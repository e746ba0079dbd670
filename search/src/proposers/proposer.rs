use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Choice, ChoiceError};
use serde::{Serialize, Serializer};

use super::proposer_function::{Proposal, ProposerFunction, Request};
use super::proposer_kind::ProposerKind;
use crate::{Objective, Space};

/// A proposer that was chosen. Serializes as the choice, with every default filled in.
#[derive(Clone, Debug)]
pub struct Proposer {
    choice: Choice,
    function: Arc<dyn ProposerFunction>,
}

impl Proposer {
    /// What is chosen at `place` of a recipe, from a catalog.
    ///
    /// # Errors
    /// An unknown name or option, or a value that makes no sense.
    pub fn choose(catalog: &Catalog<ProposerKind>, choice: &Choice, place: &str) -> Result<Self, ChoiceError> {
        let (choice, function) = catalog.find(choice, place)?.build.choose(choice, place)?;
        Ok(Self { choice, function })
    }

    /// The choice, with every default filled in.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Refuses a space or objectives that it cannot do with.
    ///
    /// # Errors
    /// Why not, and what could be done.
    pub fn check(&self, space: &Space, objectives: &[Objective]) -> Result<(), String> {
        self.function.check(space, objectives)
    }

    /// Settings to try next; `None` where all there are were tried.
    pub fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        self.function.propose(request)
    }

    /// Whether figures of earlier trials decide what it proposes.
    pub fn learns(&self) -> bool {
        self.function.learns()
    }
}

impl Serialize for Proposer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.choice.serialize(serializer)
    }
}
