use serde::{Deserialize, Serialize};

/// What is done to the columns of numbers inside a model, learned of the training rows. Lists have one number a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardization {
    /// Put in place of NaN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Vec<f32>>,
    /// Mean and standard deviation: an input x becomes (x − mean) / deviation, an answer y becomes y · deviation + mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<(Vec<f32>, Vec<f32>)>,
}
