use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::defaults;
use crate::Choice;

/// What a search does with the values that a recipe leaves open: what it looks for, which values it tries next, when a trial ends
/// early, how often and on what each is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct SearchRecipe {
    /// Name of the study; that of its folder unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The figure that is looked for, or several: `loss` and those of `training.metrics` by their names in `metrics.json`, `seconds`
    /// (of the training steps, without warm-up), `parameters` (numbers that are trained) and `model_bytes`. Which way each is better
    /// is known. Unless it is said, the figure that decides which epoch is the best.
    #[serde(deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "names")]
    pub objective: Vec<String>,
    /// Which values are tried next.
    #[schemars(schema_with = "proposer")]
    pub proposer: Choice,
    /// When a trial is not worth going on with, by its evaluations; of several rules the strictest holds. Their steps are epochs, or with
    /// `evaluation.every: {steps: N}` so many steps of training.
    #[serde(deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules")]
    pub stopping: Vec<Choice>,
    /// Trials, those that end early and those that fail among them.
    #[schemars(range(min = 1))]
    pub trials: u64,
    /// Seed of what is tried.
    pub seed: u64,
    /// Trials that one process works on at a time.
    #[schemars(range(min = 1, max = MOST_PARALLEL))]
    pub parallel: usize,
    /// How often a trial is begun again whose process was lost before it reported a new evaluation, before it counts as failed.
    pub retries: u32,
    /// Runs of each trial, with the seeds `seed`, `seed` + 1, …; the mean of their figures counts.
    #[schemars(range(min = 1, max = MOST_REPEATS))]
    pub repeats: u64,
    /// Cross-validation: each trial is trained as often as there are folds of the training rows, each time measured on another fold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<FoldsRecipe>,
    /// What a trial's figures must hold to be taken for the best.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<ConstraintRecipe>,
}

/// More trials at a time are not worked on in one process.
pub(super) const MOST_PARALLEL: usize = 256;
/// More runs of one trial are not made.
pub(super) const MOST_REPEATS: u64 = 1000;
/// More folds are not made.
pub(super) const MOST_FOLDS: usize = 100;

impl Default for SearchRecipe {
    fn default() -> Self {
        Self {
            name: None,
            objective: Vec::new(),
            proposer: Choice::named("tpe"),
            stopping: Vec::new(),
            trials: 50,
            seed: 0,
            parallel: 1,
            retries: 2,
            repeats: 1,
            folds: None,
            constraints: Vec::new(),
        }
    }
}

/// The training rows in equal parts, the same for all trials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldsRecipe {
    /// How many.
    #[schemars(range(min = 2, max = MOST_FOLDS))]
    pub count: usize,
    /// A column whose values are as frequent in each fold as in all rows, `data.label` for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratify: Option<String>,
    /// A column whose rows of one value stay in one fold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Seed of which row comes into which fold.
    #[serde(default)]
    pub seed: u64,
}

/// A bound on a figure of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstraintRecipe {
    /// The figure, as in `objective`.
    pub figure: String,
    /// It is not above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// It is not below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// One item, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = match Value::deserialize(deserializer)? {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        one => vec![one],
    };
    items.into_iter().map(|item| serde_json::from_value(item).map_err(serde::de::Error::custom)).collect()
}

fn names(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let list = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    schemars::json_schema!({ "anyOf": [{ "type": "string" }, list] })
}

fn proposer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/$defs/Proposer", "default": "tpe" })
}

fn rules(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let list = json!({ "type": "array", "items": { "$ref": "#/$defs/StoppingRule" } });
    schemars::json_schema!({ "anyOf": [{ "$ref": "#/$defs/StoppingRule" }, list], "default": [] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_a_list_of_one_and_what_is_written_is_read_again() {
        for (written, objectives, rules) in [
            (json!({}), 0, 0),
            (json!({"objective": "accuracy", "stopping": "median"}), 1, 1),
            (json!({"objective": ["accuracy", "seconds"], "stopping": ["median", {"asha": {"min_steps": 2}}]}), 2, 2),
        ] {
            let search: SearchRecipe = serde_json::from_value(written).unwrap();
            assert_eq!((search.objective.len(), search.stopping.len(), search.trials), (objectives, rules, 50));
            let again: SearchRecipe = serde_json::from_value(serde_json::to_value(&search).unwrap()).unwrap();
            assert_eq!(again, search);
        }
    }
}
