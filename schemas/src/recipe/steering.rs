//! What of a run is told for some parameters alone: groups with rates of their own, and when parameters are frozen.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeOwned, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

#[cfg(feature = "yaml")]
use super::Fault;

/// What a linear layer does in an attention, or in the feed-forward part behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerRole {
    /// Makes queries.
    Query,
    /// Makes keys.
    Key,
    /// Makes values.
    Value,
    /// Reads the heads.
    Output,
    /// Widens.
    FeedForwardIn,
    /// Narrows.
    FeedForwardOut,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// Of the head.
    Head,
    /// Added by `model.methods`.
    Added,
    /// A table that rows are taken from by number.
    Embeddings,
    /// A scale or shift of a normalization, or of a layer that is nothing but a scale.
    Norms,
    /// A vector that is added, whatever the axes that it is written with, those of recurrent layers among them, and any other of
    /// one axis that is not of `norms`.
    Biases,
    /// A matrix, kernel or table.
    Weights,
}

/// Some of the parameters: those of which all holds that is stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParameterSelection {
    /// Patterns of names of layers or of parameters (`*` any run, `?` one character), of which one is to match.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "texts")]
    pub r#match: Vec<String>,
    /// What their layer does in an attention: one of these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<LayerRole>")]
    pub roles: Vec<LayerRole>,
    /// What they are: one of these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<ParameterKind>")]
    pub kind: Vec<ParameterKind>,
    /// Of the first N layers, counted from the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub first: Option<usize>,
    /// Of the last N layers, the head included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub last: Option<usize>,
}

impl ParameterSelection {
    /// Whether nothing is stated, and all parameters are meant.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Those of the head.
    pub fn head() -> Self {
        Self { kind: vec![ParameterKind::Head], ..Self::default() }
    }

    #[cfg(feature = "yaml")]
    pub(super) fn check(&self, place: &str, faults: &mut Vec<Fault>) {
        if self.r#match.iter().any(|pattern| pattern.trim().is_empty()) {
            faults.push(Fault::value(format!("{place}.match"), "wanted some text, got nothing"));
        }
        for (name, count) in [("first", self.first), ("last", self.last)] {
            if count == Some(0) {
                faults.push(Fault::value(format!("{place}.{name}"), "wanted 1 or more, got 0"));
            }
        }
    }
}

/// `kind: norms, last: 3`; `all` for one that states nothing.
impl fmt::Display for ParameterSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        let value = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let stated = value.as_object().into_iter().flatten().map(|(name, value)| match value {
            Value::Array(list) => format!("{name}: {}", list.iter().map(text).collect::<Vec<_>>().join(" ")),
            value => format!("{name}: {value}"),
        });
        f.write_str(&stated.collect::<Vec<_>>().join(", "))
    }
}

/// Parameters with a learning rate or a weight decay of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParameterGroupRecipe {
    /// Patterns of names of layers or of parameters (`*` any run, `?` one character), of which one is to match.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "texts")]
    pub r#match: Vec<String>,
    /// What their layer does in an attention: one of these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<LayerRole>")]
    pub roles: Vec<LayerRole>,
    /// What they are: one of these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "list_of::<ParameterKind>")]
    pub kind: Vec<ParameterKind>,
    /// Of the first N layers, counted from the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub first: Option<usize>,
    /// Of the last N layers, the head included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub last: Option<usize>,
    /// Their learning rate: a number, or a factor on the rate that they would have, written `×0.1` or `x0.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<GroupRate>,
    /// Their weight decay, in place of the optimizer's; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub weight_decay: Option<f32>,
}

impl ParameterGroupRecipe {
    /// Which parameters are in it.
    pub fn selection(&self) -> ParameterSelection {
        let Self { r#match, roles, kind, first, last, .. } = self.clone();
        ParameterSelection { r#match, roles, kind, first, last }
    }

    #[cfg(feature = "yaml")]
    fn check(&self, place: &str, faults: &mut Vec<Fault>) {
        self.selection().check(place, faults);
        if self.learning_rate.is_none() && self.weight_decay.is_none() {
            faults.push(Fault::value(place, "it changes nothing; state its `learning_rate` or `weight_decay`"));
        }
        let rate = match self.learning_rate {
            Some(GroupRate::Factor(factor)) => f64::from(factor),
            Some(GroupRate::Rate(rate)) => rate,
            None => 1.0,
        };
        if !(rate.is_finite() && rate > 0.0) {
            let place = format!("{place}.learning_rate");
            faults.push(Fault::value(place, format!("wanted a finite number above 0, got {rate}")));
        }
        if let Some(decay) = self.weight_decay.filter(|decay| !(decay.is_finite() && *decay >= 0.0)) {
            let place = format!("{place}.weight_decay");
            faults.push(Fault::value(place, format!("wanted a finite number of 0 or more, got {decay}")));
        }
    }
}

/// The learning rate of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GroupRate {
    /// Times the rate that its parameters would have.
    Factor(f32),
    /// The rate at the schedule's full height.
    Rate(f64),
}

const RATE_FORMS: &str = "a learning rate, or a factor written `×0.1`";

impl fmt::Display for GroupRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor(factor) => write!(f, "×{factor}"),
            Self::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

impl FromStr for GroupRate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let factor = text.trim().strip_prefix(['×', 'x']).ok_or(())?;
        factor.trim_start().parse().map(Self::Factor).map_err(drop)
    }
}

impl Serialize for GroupRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Factor(_) => serializer.collect_str(self),
            Self::Rate(rate) => serializer.serialize_f64(*rate),
        }
    }
}

impl<'de> Deserialize<'de> for GroupRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RateVisitor;
        impl Visitor<'_> for RateVisitor {
            type Value = GroupRate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(RATE_FORMS)
            }

            fn visit_f64<E: de::Error>(self, rate: f64) -> Result<GroupRate, E> {
                Ok(GroupRate::Rate(rate))
            }

            fn visit_u64<E: de::Error>(self, rate: u64) -> Result<GroupRate, E> {
                self.visit_f64(rate as f64)
            }

            fn visit_i64<E: de::Error>(self, rate: i64) -> Result<GroupRate, E> {
                self.visit_f64(rate as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GroupRate, E> {
                text.parse().map_err(|()| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(RateVisitor)
    }
}

impl JsonSchema for GroupRate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GroupRate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "exclusiveMinimum": 0, "description": "The learning rate." },
            {
                "type": "string",
                "pattern": r"^\s*[×x]\s*[0-9.]+([eE][-+]?[0-9]+)?\s*$",
                "description": "A factor on the learning rate that they would have: `×0.1`.",
            },
        ] })
    }
}

/// A point of a run: the beginning of an epoch, or of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Moment {
    /// Of this epoch, counted from 1.
    Epoch(#[schemars(range(min = 1))] u64),
    /// Of this step, counted from 1.
    Step(#[schemars(range(min = 1))] u64),
}

impl Moment {
    /// The number.
    pub fn number(self) -> u64 {
        let (Self::Epoch(number) | Self::Step(number)) = self;
        number
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch(number) => write!(f, "epoch {number}"),
            Self::Step(number) => write!(f, "step {number}"),
        }
    }
}

/// From when on some parameters are trained, or are not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezingRecipe {
    /// The first epoch, or step, that it holds for.
    pub at: Moment,
    /// Which parameters, of those that `model.train` and `model.methods` train.
    pub layers: ParameterSelection,
}

/// A part at the start of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StartSpan {
    /// So many epochs.
    Epochs(#[schemars(range(min = 1))] u64),
    /// So many steps.
    Steps(#[schemars(range(min = 1))] u64),
}

impl StartSpan {
    /// What comes first behind it.
    pub fn end(self) -> Moment {
        match self {
            Self::Epochs(epochs) => Moment::Epoch(epochs.saturating_add(1)),
            Self::Steps(steps) => Moment::Step(steps.saturating_add(1)),
        }
    }

    #[cfg(feature = "yaml")]
    fn length(self) -> u64 {
        let (Self::Epochs(length) | Self::Steps(length)) = self;
        length
    }
}

/// What is wrong although its type allows it.
#[cfg(feature = "yaml")]
pub(super) fn check(
    groups: &[ParameterGroupRecipe],
    head_first: Option<StartSpan>,
    freezing: [(&str, &[FreezingRecipe]); 2],
    faults: &mut Vec<Fault>,
) {
    for (index, group) in groups.iter().enumerate() {
        group.check(&format!("training.groups[{index}]"), faults);
    }
    if head_first.is_some_and(|span| span.length() == 0) {
        faults.push(Fault::value("training.head_first", "wanted 1 or more, got 0"));
    }
    for (name, list) in freezing {
        for (index, entry) in list.iter().enumerate() {
            let place = format!("training.{name}[{index}]");
            if entry.at.number() == 0 {
                faults.push(Fault::value(format!("{place}.at"), "epochs and steps count from 1, got 0"));
            }
            entry.layers.check(&format!("{place}.layers"), faults);
        }
    }
}

/// One value or a list of them.
fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let read = match Value::deserialize(deserializer)? {
        list @ Value::Array(_) => serde_json::from_value(list),
        one => serde_json::from_value(one).map(|one| vec![one]),
    };
    read.map_err(de::Error::custom)
}

fn list_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

fn texts(generator: &mut SchemaGenerator) -> Schema {
    list_of::<String>(generator)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rate_is_a_number_or_a_factor_and_is_written_back() {
        for (written, rate, back) in [
            (json!(0.001), GroupRate::Rate(0.001), json!(0.001)),
            (json!("x0.1"), GroupRate::Factor(0.1), json!("×0.1")),
            (json!("× 2"), GroupRate::Factor(2.0), json!("×2")),
        ] {
            let read: GroupRate = serde_json::from_value(written).unwrap();
            assert_eq!((read, serde_json::to_value(read).unwrap()), (rate, back));
        }
        for written in [json!("0.1"), json!("x"), json!("fast"), json!(null), json!([1])] {
            let error = serde_json::from_value::<GroupRate>(written.clone()).unwrap_err().to_string();
            assert!(error.ends_with(RATE_FORMS), "{written}: {error}");
        }
    }

    #[test]
    fn one_value_and_a_list_of_one_are_the_same() {
        let read = |value| serde_json::from_value::<ParameterSelection>(value).unwrap();
        let selection = read(json!({"kind": "norms", "match": "layer4.*", "roles": "query"}));
        assert_eq!(selection, read(json!({"kind": ["norms"], "match": ["layer4.*"], "roles": ["query"]})));
        assert_eq!(read(serde_json::to_value(&selection).unwrap()), selection);
        assert_eq!(selection.to_string(), "match: layer4.*, roles: query, kind: norms");
        assert_eq!(ParameterSelection::default().to_string(), "all");
        assert!(serde_json::from_value::<ParameterSelection>(json!({"kind": "nroms"})).is_err());
    }

    #[test]
    fn what_follows_a_part_at_the_start_is_the_next() {
        assert_eq!(StartSpan::Epochs(2).end(), Moment::Epoch(3));
        assert_eq!(StartSpan::Steps(5).end(), Moment::Step(6));
        let read: FreezingRecipe = serde_json::from_value(json!({"at": {"epoch": 2}, "layers": {"last": 3}})).unwrap();
        assert_eq!((read.at, read.layers.last), (Moment::Epoch(2), Some(3)));
    }
}
