use serde::Serialize;

/// What a method was added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MethodReport {
    /// The method's name.
    pub method: String,
    /// Names of the model's own layers that it adapts, from the input to the output.
    pub layers: Vec<String>,
    /// Whether what was trained can be written into the weights of these layers; where it cannot, it stays beside them.
    pub can_be_merged: bool,
}
