use std::fmt;

use serde_json::Value;

use crate::numerics::SobolSequence;
use crate::{Assignment, History, Objective, Random, Space};

/// What a proposer is asked with. Nothing else may decide what it proposes: the same request gives the same proposal.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What may be chosen.
    pub space: &'a Space,
    /// The study's seed.
    pub seed: u64,
    /// The number of the trial that is proposed.
    pub number: u64,
    /// What is known.
    pub history: History<'a>,
}

impl Request<'_> {
    /// The random numbers of this trial for one purpose.
    pub fn random(&self, purpose: &str) -> Random {
        Random::of(self.seed, self.number, purpose)
    }

    /// Settings that are drawn at random.
    pub fn drawn(&self) -> Assignment {
        self.space.drawn(self.seed, self.number)
    }

    /// Settings that fill the space evenly with those of the other trials: the trial's point of a scrambled Sobol sequence.
    pub fn spread(&self) -> Assignment {
        let parameters = self.space.parameters();
        let seed = Random::of(self.seed, 0, "sobol").next_u64();
        let point = SobolSequence::new(parameters.len(), seed).point(self.number);
        let setting = |member: &usize| parameters[*member].distribution.at(point[*member]);
        self.space.filled_by(|group, _| group.members.iter().map(setting).collect())
    }
}

/// Settings to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// A setting for each parameter that is there.
    pub assignment: Assignment,
    /// What later proposals want to know of this one, kept with the trial; null where that is nothing.
    pub note: Value,
}

impl From<Assignment> for Proposal {
    fn from(assignment: Assignment) -> Self {
        Self { assignment, note: Value::Null }
    }
}

/// A proposer as it is chosen in a recipe.
pub trait ProposerFunction: fmt::Debug + Send + Sync {
    /// Refuses a space or objectives that it cannot do with, before anything is tried.
    ///
    /// # Errors
    /// Why not, and what could be done.
    fn check(&self, space: &Space, objectives: &[Objective]) -> Result<(), String>;

    /// Settings to try next; `None` where all there are were tried.
    fn propose(&self, request: &Request<'_>) -> Option<Proposal>;

    /// Whether figures of earlier trials decide what it proposes; false promises that they do not.
    fn learns(&self) -> bool {
        true
    }
}

/// Refuses several objectives, for proposers that look for one figure.
///
/// # Errors
/// There are several.
pub fn one_objective(name: &str, objectives: &[Objective]) -> Result<(), String> {
    match objectives.len() {
        1 => Ok(()),
        count => Err(format!("{name} looks for one figure, got {count}; nsga_ii, random, sobol and grid take several")),
    }
}
