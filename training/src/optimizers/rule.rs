use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;

use super::state_values::{StateStart, StateValues};

/// What is fixed for one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterFacts<'a> {
    /// Length of each axis.
    pub shape: &'a [usize],
    /// The layer it belongs to, as `inspect` names it.
    pub layer: &'a str,
    /// Factor on the learning rate.
    pub learning_rate_multiplier: f32,
    /// Whether weight decay applies.
    pub decays: bool,
    /// The strength of its weight decay, where that is not the rule's: [`ParameterFacts::decay`] heeds it.
    pub weight_decay: Option<f32>,
    /// Whether it is a running statistic, which takes its next value instead of an update.
    pub is_statistic: bool,
}

impl<'a> From<&'a ParameterEntry> for ParameterFacts<'a> {
    fn from(entry: &'a ParameterEntry) -> Self {
        Self {
            shape: &entry.shape,
            layer: &entry.layer,
            learning_rate_multiplier: entry.learning_rate_multiplier,
            decays: entry.weight_decay,
            weight_decay: entry.weight_decay_strength,
            is_statistic: entry.is_statistic,
        }
    }
}

impl ParameterFacts<'_> {
    /// The weight decay of this parameter where a rule has `weight_decay` for those that decay. Rules ask for it here, and not
    /// for [`ParameterFacts::decays`] alone: a group of a recipe may have a decay of its own.
    pub fn decay(&self, weight_decay: f32) -> f32 {
        if self.decays { self.weight_decay.unwrap_or(weight_decay) } else { 0.0 }
    }

    /// A state tensor as long as the parameter, zero at first.
    pub fn state_alike(&self, name: &'static str) -> StateTensor {
        StateTensor { name, shape: self.shape.to_vec(), start: StateStart::F32(0.0) }
    }
}

/// A tensor that is remembered of a parameter from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    /// Its name, one of its own among those of a parameter.
    pub name: &'static str,
    /// Length of each axis; none for a single number.
    pub shape: Vec<usize>,
    /// The value of every element before the first step, and by it their type.
    pub start: StateStart,
}

impl StateTensor {
    /// How many elements it holds.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many bytes they are.
    pub fn bytes(&self) -> usize {
        self.elements().saturating_mul(self.start.bytes())
    }

    /// Its elements before the first step.
    pub fn start_values(&self) -> StateValues {
        self.start.values(self.elements())
    }
}

/// How parameters are changed by their gradients: twice, in Rust and as graph nodes, which a test holds together.
pub trait UpdateRule: std::fmt::Debug + Send + Sync {
    /// What is remembered of a parameter from step to step; nothing is asked of running statistics.
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor>;

    /// The numbers that change from step to step; both twins compute with them. `step` counts from 0.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32>;

    /// Adds the gradients of penalties to that of the loss, in front of all clipping: most rules have none. The state is that of
    /// before the update.
    fn penalize(
        &self,
        _coefficients: &[f32],
        _facts: ParameterFacts<'_>,
        _parameter: &[f32],
        _gradient: &mut [f32],
        _state: &[StateValues],
    ) {
    }

    /// The same as graph nodes: the gradient that is clipped.
    ///
    /// # Errors
    /// As [`UpdateRule::nodes`].
    fn penalized_gradient(&self, _graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<ValueId, CompilerError> {
        Ok(inputs.gradient)
    }

    /// Changes a parameter and its state in place; the gradient, with that of penalties, is to be multiplied by `scale` first. The
    /// state is as [`UpdateRule::state`] states it: of floats alone, [`floats`](super::floats) gives it.
    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [StateValues],
    );

    /// The same as graph nodes: the new parameter and the new state. The gradient has that of penalties and is already scaled.
    ///
    /// # Errors
    /// A node that does not fit the values it is given.
    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError>;

    /// Whether each number of a parameter is updated by itself, by coefficients and facts that do not ask for shape and layer,
    /// and every tensor of its state has its shape, holds floats and begins alike for all: parameters whose other facts are
    /// equal are then updated as one where that is faster.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// Whether what is evaluated and exported is an average of the weights, which [`UpdateRule::average`] gives, and not the
    /// weights that are trained.
    fn has_average(&self) -> bool {
        false
    }

    /// What is evaluated and exported of a parameter, of the parameter and its state. Before its first update the parameter itself
    /// is.
    fn average(&self, _facts: ParameterFacts<'_>, parameter: Vec<f32>, _state: &[StateValues]) -> Vec<f32> {
        parameter
    }

    /// Refuses what of the options does not fit the parameters that are trained. Most rules take any.
    ///
    /// # Errors
    /// What is wrong, beginning with the option's name.
    fn check(&self, _parameters: &[ParameterEntry]) -> Result<(), String> {
        Ok(())
    }
}

/// What is remembered of a parameter; nothing of a running statistic, which has no update.
pub(crate) fn state_of(rule: &dyn UpdateRule, entry: &ParameterEntry) -> Vec<StateTensor> {
    if entry.is_statistic { Vec::new() } else { rule.state(ParameterFacts::from(entry)) }
}

/// What an update reads in a graph.
#[derive(Debug)]
pub struct NodeInputs<'a> {
    /// Scalars, as [`UpdateRule::coefficients`] gives them.
    pub coefficients: &'a [ValueId],
    /// What is fixed for the parameter.
    pub facts: ParameterFacts<'a>,
    /// The parameter before the update.
    pub parameter: ValueId,
    /// Its gradient.
    pub gradient: ValueId,
    /// Its state, as [`UpdateRule::state`] lists it.
    pub state: &'a [ValueId],
}

impl NodeInputs<'_> {
    /// A coefficient that is a rate: times the parameter's factor on the learning rate.
    ///
    /// # Errors
    /// None that a scalar could cause.
    pub fn rate(&self, graph: &mut Graph, coefficient: usize) -> Result<ValueId, CompilerError> {
        let multiplier = graph.scalar(self.facts.learning_rate_multiplier);
        graph.times(self.coefficients[coefficient], multiplier)
    }

    /// The gradient with λ·θ added where the parameter decays: decay as PyTorch's `Adam` and `SGD` have it.
    ///
    /// # Errors
    /// A gradient of another shape than the parameter's.
    pub fn decayed_gradient(&self, graph: &mut Graph, weight_decay: f32) -> Result<ValueId, CompilerError> {
        let decay = self.facts.decay(weight_decay);
        if decay == 0.0 {
            return Ok(self.gradient);
        }
        let decay = graph.scalar(decay);
        let pull = graph.times(self.parameter, decay)?;
        graph.plus(self.gradient, pull)
    }

    /// The parameter times 1 − η·λ where it decays: decay as PyTorch's `AdamW` has it.
    ///
    /// # Errors
    /// None that a scalar could cause.
    pub fn decayed_parameter(
        &self,
        graph: &mut Graph,
        rate: ValueId,
        weight_decay: f32,
    ) -> Result<ValueId, CompilerError> {
        let decay = self.facts.decay(weight_decay);
        if decay == 0.0 {
            return Ok(self.parameter);
        }
        let (decay, one) = (graph.scalar(decay), graph.scalar(1.0));
        let pull = graph.times(rate, decay)?;
        let keep = graph.minus(one, pull)?;
        graph.times(self.parameter, keep)
    }
}
