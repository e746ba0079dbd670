//! Whether what the frozen part of a model gives is kept.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::ByteSize;
use super::short_forms;

/// What becomes of the part of the model in front of all that is trained, which gives the same for the same row however long it
/// is trained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(transform = kept_alone)]
pub enum FrozenPrefixRecipe {
    /// It is run at each step and in each evaluation.
    #[default]
    Recomputed,
    /// As `kept` where rows are the same in each epoch and all fits; otherwise as `recomputed`, and the run says why.
    Auto,
    /// It is run once for each row, what it gives is kept, and steps run what follows. Refused where that cannot be.
    Kept {
        /// So many variants of each training row where transforms are random: epoch e takes the draws of epoch e mod `variants`. Without
        /// it random transforms are refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        variants: Option<u64>,
        /// Most bytes of it in memory, beside `data.memory`, of which it is a quarter unless it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory: Option<ByteSize>,
        /// Most bytes of it in files, where it does not fit into memory; none unless it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        disk: Option<ByteSize>,
        /// Where files lie, to be found again by other runs. In the output folder until the run ends unless it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
    },
}

impl FrozenPrefixRecipe {
    /// Whether nothing is kept.
    pub fn is_recomputed(&self) -> bool {
        *self == Self::Recomputed
    }
}

fn kept_alone(schema: &mut Schema) {
    short_forms::allow(schema, &["kept"]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_is_said_in_a_word_or_with_limits() {
        let read = |value| short_forms::read::<_, FrozenPrefixRecipe>(value);
        let kept = |variants, memory| FrozenPrefixRecipe::Kept { variants, memory, disk: None, folder: None };
        for (written, wanted) in [
            (json!("recomputed"), FrozenPrefixRecipe::Recomputed),
            (json!("auto"), FrozenPrefixRecipe::Auto),
            (json!("kept"), kept(None, None)),
            (json!({"kept": null}), kept(None, None)),
            (json!({"kept": {"variants": 4, "memory": "64 MiB"}}), kept(Some(4), Some(ByteSize(64 << 20)))),
        ] {
            assert_eq!(read(written).unwrap(), wanted);
            assert_eq!(read(serde_json::to_value(&wanted).unwrap()).unwrap(), wanted);
        }
        assert!(read(json!({"kept": {"variant": 4}})).is_err());
        assert!(read(json!({"auto": {"variants": 4}})).is_err());
    }
}
