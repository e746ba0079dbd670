use serde::Serialize;
use serde_json::Value;

/// What a method was added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MethodReport {
    /// The method's name.
    pub method: String,
    /// Its options, with every default filled in.
    pub options: Value,
    /// Name and shape of each weight that it adds to the model; what it trains of the model's own weights is not among them.
    pub added: Vec<(String, Vec<usize>)>,
    /// Names of the model's own layers that it adapts, from the input to the output.
    pub layers: Vec<String>,
    /// Whether what was trained can be written into the weights of these layers; where it cannot, it stays beside them.
    pub can_be_merged: bool,
}
