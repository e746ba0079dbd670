use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;
use millstream_schemas::recipe::OptimizerRecipe;

use crate::TrainingError;

/// A kind of optimizer.
#[derive(Debug)]
pub struct OptimizerKind {
    /// As in a recipe.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub summary: &'static str,
    /// The rule for these options, if they are of this kind.
    pub(super) build: fn(&OptimizerRecipe) -> Option<Built>,
}

pub(super) type Built = Result<Box<dyn UpdateRule>, TrainingError>;

/// What is fixed for one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ParameterFacts {
    /// Factor on the learning rate.
    pub(crate) learning_rate_multiplier: f32,
    /// Whether weight decay applies.
    pub(crate) decays: bool,
}

impl From<&ParameterEntry> for ParameterFacts {
    fn from(entry: &ParameterEntry) -> Self {
        Self { learning_rate_multiplier: entry.learning_rate_multiplier, decays: entry.weight_decay }
    }
}

/// How parameters are changed by their gradients.
pub(crate) trait UpdateRule: std::fmt::Debug + Send {
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
    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError>;
}

/// What an update reads in a graph.
pub(crate) struct NodeInputs<'a> {
    /// Scalars, as [`UpdateRule::coefficients`] gives them.
    pub(crate) coefficients: &'a [ValueId],
    pub(crate) facts: ParameterFacts,
    pub(crate) parameter: ValueId,
    pub(crate) gradient: ValueId,
    pub(crate) state: &'a [ValueId],
}
