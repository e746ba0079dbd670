//! What BatchNormalization normalizes by in training, and where its statistics come from in the end.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::short_forms;

/// What BatchNormalization of trained layers normalizes by. Of frozen layers it always keeps the statistics of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(transform = reestimated_alone)]
pub enum BatchNormalization {
    /// The running statistics of the pretrained model, which stay as they are. Scale and bias are trained. Right for small data
    /// and small batches, whose own statistics are noise.
    #[default]
    Frozen,
    /// Mean and variance of each batch, as PyTorch's training mode; the running statistics follow them, and are what the
    /// evaluation and the exported model use. For much data that looks otherwise than what the model was trained on, in
    /// batches of 16 rows or more.
    Training,
    /// As `training`; the statistics of what is exported are computed anew for it, as means over batches of the training rows. Right
    /// for an `average` of weights, which has no statistics of its own, and where weights move so fast that those of the last
    /// batches come late.
    Reestimated {
        /// So many of the training rows, the same each time, drawn by `seed`; whole batches are taken. All of them unless it is
        /// said, in the batches of the first epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        rows: Option<u64>,
        /// What happens to the rows.
        #[serde(default)]
        transforms: StatisticsTransforms,
    },
}

/// What happens to training rows that statistics are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsTransforms {
    /// `transforms.train`, as drawn for the first epoch.
    #[default]
    Train,
    /// `transforms.evaluate`: what the exported model will see.
    Evaluate,
}

impl BatchNormalization {
    /// Whether statistics of batches are taken.
    pub fn follows_batches(self) -> bool {
        self != Self::Frozen
    }

    /// Whether statistics are computed anew for what is exported.
    pub fn is_reestimated(self) -> bool {
        matches!(self, Self::Reestimated { .. })
    }
}

fn reestimated_alone(schema: &mut Schema) {
    short_forms::allow(schema, &["reestimated"]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statistics_are_computed_anew_from_all_rows_or_from_some() {
        let read = |value| short_forms::read::<_, BatchNormalization>(value);
        let all = BatchNormalization::Reestimated { rows: None, transforms: StatisticsTransforms::Train };
        let some = BatchNormalization::Reestimated { rows: Some(64), transforms: StatisticsTransforms::Evaluate };
        for (written, wanted) in [
            (json!("training"), BatchNormalization::Training),
            (json!("reestimated"), all),
            (json!({"reestimated": null}), all),
            (json!({"reestimated": {"rows": 64, "transforms": "evaluate"}}), some),
        ] {
            assert_eq!(read(written).unwrap(), wanted);
            assert_eq!(read(serde_json::to_value(wanted).unwrap()).unwrap(), wanted);
        }
        assert!(read(json!({"reestimated": {"row": 64}})).is_err());
        assert!(read(json!({"frozen": {"rows": 64}})).is_err());
    }
}
