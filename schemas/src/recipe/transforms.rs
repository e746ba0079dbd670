use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Choice;

/// What happens to each row before the model sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformsRecipe {
    /// For training, drawn afresh each epoch.
    #[serde(default)]
    #[schemars(schema_with = "transforms")]
    pub train: Vec<Choice>,
    /// For evaluation; nothing random is allowed here.
    #[serde(default)]
    #[schemars(schema_with = "transforms")]
    pub evaluate: Vec<Choice>,
}

fn transforms(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "$ref": "#/$defs/Transform" }, "default": [] })
}
