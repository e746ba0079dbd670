use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Patterns, defaults};
use crate::Choice;

/// When a run goes through its evaluation rows, through how many, and through which others beside `data.evaluate`; how the tuned
/// model is measured at its end and by `evaluate`, and what is fitted to it on these rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = defaults::short)]
pub struct EvaluationRecipe {
    /// After every so many epochs or steps; at the run's end always. What `best` and `early_stopping` are about are these
    /// evaluations.
    pub every: EvaluationInterval,
    /// Evaluate so many rows of each set, the same each time, drawn by `seed`; whole batches are taken. `millstream evaluate`
    /// takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<u64>,
    /// Other sets to evaluate on, by names of your own, each as `data.evaluate`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, Patterns>,
    /// Which of `sets` decides which state is the best and when the run gets no better; `data.evaluate` unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_on: Option<String>,
    /// Intervals of all metrics and of the loss; without it shares of rows alone have one, of 95 % (Wilson). A loss that compares rows
    /// with each other, as `info_nce` does, has none: that of a batch is not the mean of those of its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<IntervalsRecipe>,
    /// Columns by whose values the figures are told apart: texts, whole numbers or booleans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<String>,
    /// Values of a column that are told apart, the most frequent ones; the rows of all others are told together.
    #[schemars(range(min = 1, max = MOST_SLICES))]
    pub most_slices: usize,
    /// What is fitted to the tuned model on the evaluation rows, and written into it.
    #[serde(skip_serializing_if = "CalibrateRecipe::is_none")]
    pub calibrate: CalibrateRecipe,
    /// Several drawn views of each row, of which the mean is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_time_augmentation: Option<ViewsRecipe>,
}

/// More slices of a column are not told apart.
pub(super) const MOST_SLICES: usize = 1000;

/// More views of a row are not drawn.
pub(super) const MOST_VIEWS: u64 = 1000;

impl Default for EvaluationRecipe {
    fn default() -> Self {
        Self {
            every: EvaluationInterval::default(),
            rows: None,
            sets: BTreeMap::new(),
            best_on: None,
            intervals: None,
            slices: Vec::new(),
            most_slices: 20,
            calibrate: CalibrateRecipe::default(),
            test_time_augmentation: None,
        }
    }
}

impl EvaluationRecipe {
    /// The name under which the rows of `data.evaluate` stand among `sets`.
    pub const MAIN: &'static str = "evaluate";

    /// The name of the set that decides: of which rows the figures of a run are.
    pub fn decides(&self) -> &str {
        self.best_on.as_deref().unwrap_or(Self::MAIN)
    }

    /// Whether nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing is said of what is done when all steps are.
    pub fn is_usual_at_end(&self) -> bool {
        let Self { every, rows, sets, best_on, .. } = self.clone();
        *self == Self { every, rows, sets, best_on, ..Self::default() }
    }
}

/// Intervals of figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalsRecipe {
    /// How often rows are drawn anew for figures that are no shares of rows, the loss among them (Efron 1979); 0 for no intervals of these.
    pub bootstrap: u32,
    /// How often such an interval holds the figure of all rows that there could be, for example 0.95.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
}

impl Default for IntervalsRecipe {
    fn default() -> Self {
        Self { bootstrap: 1000, confidence: 0.95 }
    }
}

/// What is fitted to a tuned model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrateRecipe {
    /// Divide the scores of classes or labels by the number for which the evaluation rows are the most likely (Guo et al.
    /// 2017): the tuned model's probabilities are nearer to what comes true, and no answer changes.
    pub temperature: bool,
    /// From which probability on a label, or the second of two classes, is said to hold; ½ unless it is fitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdRecipe>,
}

impl CalibrateRecipe {
    /// Whether nothing is fitted.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a threshold is fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdRecipe {
    /// The greatest F1.
    F1,
    /// The greatest recall less false-positive rate (Youden 1950).
    Youden,
    /// The greatest precision of those with at least this recall, above 0 and up to 1.
    Recall(f64),
    /// The greatest recall of those with at least this precision, above 0 and up to 1.
    Precision(f64),
}

/// Several views of each row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewsRecipe {
    /// How many.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = MOST_VIEWS))]
    pub views: u64,
    /// What happens to a row in each of them, drawn afresh; `transforms.train` where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "transforms")]
    pub transforms: Option<Vec<Choice>>,
    /// What the mean is of; probabilities where it is not said, and the numbers themselves where the loss is one of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<ViewAverage>,
}

/// What the mean over views is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViewAverage {
    /// Probabilities: of the softmax of classes, of the sigmoid of labels.
    Probabilities,
    /// What the model gives before them.
    Logits,
}

fn eight() -> u64 {
    8
}

fn transforms(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let list = serde_json::json!({ "type": "array", "items": { "$ref": "#/$defs/Transform" } });
    schemars::json_schema!({ "anyOf": [list, { "type": "null" }], "default": null })
}

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EvaluationInterval {
    /// After every so many epochs.
    Epochs(#[schemars(range(min = 1))] u64),
    /// After every so many steps.
    Steps(#[schemars(range(min = 1))] u64),
}

impl Default for EvaluationInterval {
    fn default() -> Self {
        Self::Epochs(1)
    }
}
