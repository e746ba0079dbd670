use super::bound::OwnedTensor;
use super::cohorts::Cohorts;
use crate::TrainingError;
use crate::optimizers::{SharpnessAware, StateValues, UpdateRule};

/// What one update needs to know.
pub(super) struct Update<'a> {
    /// Updates done before this one.
    pub(super) step: u64,
    /// Who of the parameters is updated.
    pub(super) cohorts: &'a Cohorts,
    pub(super) learning_rate: f32,
    pub(super) clip_norm: Option<f32>,
    pub(super) rule: &'a dyn UpdateRule,
}

/// Where parameters and optimizer state live, and how they are updated there.
pub(super) trait ParameterStore {
    /// How many sets of parameter tensors there are; a binding is made for each.
    fn sides(&self) -> usize;

    /// The set that holds the current values.
    fn current(&self) -> usize;

    /// A parameter's tensor of one set.
    fn parameter(&self, side: usize, index: usize) -> &OwnedTensor;

    /// Updates every parameter that is not frozen by its gradient and that of penalties, which may be added to it in place; returns
    /// the joint norm of both, before it is clipped, where it was looked at. When that is not finite, nothing but gradients is
    /// changed.
    fn update(&mut self, update: &Update<'_>, gradients: &mut [OwnedTensor]) -> Result<Option<f64>, TrainingError>;

    /// Puts parameters uphill, by the gradients, into the set that it names, until [`ParameterStore::descend`]; nothing where
    /// the gradients are looked at and are no numbers.
    fn ascend(
        &mut self,
        sharpness: SharpnessAware,
        cohorts: &Cohorts,
        gradients: &[OwnedTensor],
    ) -> Result<Option<usize>, TrainingError>;

    /// Goes back to where the last [`ParameterStore::ascend`] began, to the bit.
    fn descend(&mut self) -> Result<(), TrainingError>;

    /// Copies of the parameters.
    fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError>;

    /// Replaces the parameters; lengths were checked.
    fn set_parameters(&mut self, values: &[Vec<f32>]) -> Result<(), TrainingError>;

    /// Replaces one of the current parameters; the length was checked.
    fn set_parameter(&mut self, index: usize, values: &[f32]) -> Result<(), TrainingError>;

    /// Copies of the state: for each parameter, the tensors its rule remembers.
    fn state(&self) -> Result<Vec<Vec<StateValues>>, TrainingError>;

    /// Replaces the state; lengths and types were checked.
    fn set_state(&mut self, values: &[Vec<StateValues>]) -> Result<(), TrainingError>;
}
