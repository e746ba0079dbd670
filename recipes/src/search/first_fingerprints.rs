use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What each trial of a study is held against, in its `study.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstFingerprints {
    /// Trials with lower numbers were begun by builds that did not look.
    #[serde(default)]
    pub(super) held_from: u64,
    /// The workers of trials that began before any trial had figures: while they go on, what they are made of holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) begun: BTreeMap<u64, String>,
    /// As the first runs have noted them.
    pub(super) runs: Vec<RunFingerprints>,
}

/// Fingerprints of what runs by one name are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFingerprints {
    /// The run's name below its trial; none where a trial is one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<String>,
    /// The columns whose values are part of the fingerprints of rows; none where the run of an older build has noted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) targets: Option<Vec<String>>,
    /// By places of the recipe, those alone that are the same in all trials.
    pub(super) made_of: BTreeMap<String, String>,
}
