use std::collections::BTreeMap;

use super::{Attribute, Body};
use millstream_schemas::shown;

/// A value of a [`Graph`](super::Graph).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// Key of a node's metadata: see [`Node::of_all_turns`].
const TURNS: &str = "millstream.turns_of";

/// Operators that draw: they give something else each time.
const DRAWING: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// The domain of what ONNX Runtime's optimizer lays out in blocks of channels, as long as the processor's registers.
pub(crate) const ONE_PROCESSOR: &str = "com.microsoft.nchwc";
/// What that means for a file.
pub(crate) const OF_ONE_PROCESSOR: &str =
    "ONNX Runtime has optimized the file for one kind of processor; take the file that it was made from";

/// One application of an operator.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Name as in the file; may be empty.
    pub name: String,
    /// Operator, for example `Conv`.
    pub operator: String,
    /// Domain; empty for the standard operators.
    pub domain: String,
    /// What it reads; `None` where an optional input is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// What it makes; `None` where an optional output is left out.
    pub outputs: Vec<Option<ValueId>>,
    /// Its attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// What its file says about it by key, for example which module of the source it comes from.
    pub metadata: Vec<(String, String)>,
}

impl Node {
    /// The operator, with its domain unless it is a standard one; cut and escaped.
    pub fn qualified_operator(&self) -> String {
        qualified(&self.operator, &self.domain)
    }

    /// An input, if it is there.
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => Some(*value),
            _ => None,
        }
    }

    /// A list of integers.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// Whether it is this operator of the standard domain.
    pub fn is(&self, operator: &str) -> bool {
        self.domain.is_empty() && self.operator == operator
    }

    /// Whether it draws: it gives something else each time. A `Dropout` does so only where it is told to, and is not meant.
    pub(crate) fn draws(&self) -> bool {
        DRAWING.contains(&self.operator.as_str())
    }

    /// Whether a `BatchNormalization` takes the statistics of its batch; up to opset 13 further outputs say so.
    pub(crate) fn normalizes_by_batch(&self) -> bool {
        self.int("training_mode").unwrap_or(0) != 0 || self.outputs.iter().flatten().count() > 1
    }

    /// Of a node that was written out of a loop or a function: its place in the file, the same for all turns or calls. What it
    /// reads in several of them is one weight.
    pub(crate) fn of_all_turns(&self) -> Option<&str> {
        self.metadata.iter().find(|(key, _)| key == TURNS).map(|(_, place)| place.as_str())
    }

    /// Says that it was written out of this place.
    pub(crate) fn set_of_all_turns(&mut self, place: String) {
        self.metadata.retain(|(key, _)| key != TURNS);
        self.metadata.push((TURNS.into(), place));
    }

    /// The graphs that it runs.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &Body> {
        self.attributes.values().filter_map(|attribute| match attribute {
            Attribute::Body(body) => Some(body),
            _ => None,
        })
    }

    /// A graph that it runs.
    pub(crate) fn body(&self, name: &str) -> Option<&Body> {
        match self.attributes.get(name) {
            Some(Attribute::Body(body)) => Some(body),
            _ => None,
        }
    }

    /// A string attribute.
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(Attribute::String(value)) => Some(value),
            _ => None,
        }
    }
}

/// How reports and errors name an operator: with its domain unless it is a standard one, cut and escaped.
fn qualified(operator: &str, domain: &str) -> String {
    match standard_domain(domain) {
        "" => shown(operator),
        domain => shown(format!("{domain}.{operator}")),
    }
}

/// A domain with one name for the standard one, which files call `""` or `ai.onnx`.
pub(crate) fn standard_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}
