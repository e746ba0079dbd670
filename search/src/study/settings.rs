use millstream_schemas::Choice;
use serde::{Deserialize, Serialize};

use crate::{Objective, Space};

/// What a study is. Two studies with the same settings propose the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudySettings {
    /// Its name.
    pub name: String,
    /// What all random numbers are drawn from.
    pub seed: u64,
    /// What may be chosen.
    pub space: Space,
    /// What is looked for; one figure or more.
    pub objectives: Vec<Objective>,
    /// Which settings are tried next.
    pub proposer: Choice,
    /// When a trial is not worth going on with; of several rules the strictest decision holds.
    pub stopping: Vec<Choice>,
    /// How often a trial is begun again whose worker was lost before it reported a new step, before it counts as failed.
    pub retries: u32,
}

impl StudySettings {
    /// A study with the proposer `tpe`, no stopping rule, the seed 0 and two retries.
    pub fn new(name: impl Into<String>, space: Space, objectives: Vec<Objective>) -> Self {
        let proposer = Choice::named("tpe");
        Self { name: name.into(), seed: 0, space, objectives, proposer, stopping: Vec::new(), retries: 2 }
    }
}
