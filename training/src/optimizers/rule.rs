use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;

/// What is fixed for one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterFacts {
    /// Factor on the learning rate.
    pub learning_rate_multiplier: f32,
    /// Whether weight decay applies.
    pub decays: bool,
    /// Whether it is a running statistic, which takes its next value instead of an update.
    pub is_statistic: bool,
}

impl From<&ParameterEntry> for ParameterFacts {
    fn from(entry: &ParameterEntry) -> Self {
        Self {
            learning_rate_multiplier: entry.learning_rate_multiplier,
            decays: entry.weight_decay,
            is_statistic: entry.is_statistic,
        }
    }
}

/// How parameters are changed by their gradients: twice, in Rust and as graph nodes, which a test holds together.
pub trait UpdateRule: std::fmt::Debug + Send + Sync {
    /// What is remembered of each parameter from step to step, each with the parameter's shape, zero at first.
    fn state_names(&self) -> &'static [&'static str];

    /// The numbers that change from step to step; both twins compute with them. `step` counts from 0.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32>;

    /// Changes a parameter and its state in place; the gradient is to be multiplied by `scale` first.
    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [Vec<f32>],
    );

    /// The same as graph nodes: the new parameter and the new state. The gradient is already scaled.
    ///
    /// # Errors
    /// A node that does not fit the values it is given.
    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError>;
}

/// What an update reads in a graph.
#[derive(Debug)]
pub struct NodeInputs<'a> {
    /// Scalars, as [`UpdateRule::coefficients`] gives them.
    pub coefficients: &'a [ValueId],
    /// What is fixed for the parameter.
    pub facts: ParameterFacts,
    /// The parameter before the update.
    pub parameter: ValueId,
    /// Its gradient.
    pub gradient: ValueId,
    /// Its state, as [`UpdateRule::state_names`] names it.
    pub state: &'a [ValueId],
}
