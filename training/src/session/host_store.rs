use millstream_schemas::ParameterEntry;
use ort::memory::Allocator;

use super::bound::OwnedTensor;
use super::cohorts::Cohorts;
use super::store::{ParameterStore, Update};
use crate::TrainingError;
use crate::optimizers::{
    ParameterFacts, SharpnessAware, StateTensor, StateValues, UpdateRule, clip_scale, state_of, sum_of_squares,
};

/// Parameters in memory that the host and the graph share; updated in place, without a copy.
pub(super) struct HostStore {
    entries: Vec<ParameterEntry>,
    parameters: Vec<OwnedTensor>,
    state: Vec<Vec<StateValues>>,
    /// Parameters as they were before an ascent.
    before: Vec<(usize, Vec<f32>)>,
}

impl HostStore {
    pub(super) fn new(entries: &[ParameterEntry], rule: &dyn UpdateRule) -> Result<Self, TrainingError> {
        let allocator = Allocator::default();
        let parameters = entries.iter().map(|entry| OwnedTensor::f32(&allocator, &entry.shape));
        let state = |entry| state_of(rule, entry).iter().map(StateTensor::start_values).collect();
        Ok(Self {
            entries: entries.to_vec(),
            parameters: parameters.collect::<Result<_, _>>()?,
            state: entries.iter().map(state).collect(),
            before: Vec::new(),
        })
    }
}

impl ParameterStore for HostStore {
    fn sides(&self) -> usize {
        1
    }

    fn current(&self) -> usize {
        0
    }

    fn parameter(&self, _side: usize, index: usize) -> &OwnedTensor {
        &self.parameters[index]
    }

    fn update(&mut self, update: &Update<'_>, gradients: &mut [OwnedTensor]) -> Result<Option<f64>, TrainingError> {
        let of_cohorts = update.cohorts.next(update.step).into_iter();
        let coefficients: Vec<Vec<f32>> =
            of_cohorts.map(|(step, _)| update.rule.coefficients(step, update.learning_rate)).collect();
        let mut squares = 0.0;
        let tensors = self.parameters.iter().zip(gradients.iter_mut()).zip(&self.state).zip(&self.entries);
        for (index, (((parameter, gradient), state), entry)) in tensors.enumerate() {
            if entry.is_statistic || update.cohorts.is_frozen(index) {
                continue;
            }
            let (coefficients, gradient) = (&coefficients[update.cohorts.of(index)], gradient.values_mut());
            update.rule.penalize(coefficients, ParameterFacts::from(entry), parameter.values(), gradient, state);
            squares += sum_of_squares(gradient);
        }
        let norm = squares.sqrt();
        // Squares of floats do not overflow a double: a norm is finite when all gradients are.
        if !norm.is_finite() {
            return Ok(Some(norm));
        }
        let scale = update.clip_norm.map_or(1.0, |limit| clip_scale(norm, limit));
        let tensors = self.parameters.iter_mut().zip(gradients).zip(&mut self.state).zip(&self.entries);
        for (index, (((parameter, gradient), state), entry)) in tensors.enumerate() {
            if entry.is_statistic {
                parameter.values_mut().copy_from_slice(gradient.values());
                continue;
            }
            if update.cohorts.is_frozen(index) {
                continue;
            }
            let coefficients = &coefficients[update.cohorts.of(index)];
            let (facts, values) = (ParameterFacts::from(entry), parameter.values_mut());
            update.rule.update(coefficients, facts, scale, values, gradient.values(), state);
        }
        Ok(Some(norm))
    }

    fn ascend(
        &mut self,
        sharpness: SharpnessAware,
        cohorts: &Cohorts,
        gradients: &[OwnedTensor],
    ) -> Result<Option<usize>, TrainingError> {
        let all = self.parameters.iter_mut().zip(gradients).zip(&self.entries).enumerate();
        let moved = all.filter(|(index, (_, entry))| !entry.is_statistic && !cohorts.is_frozen(*index));
        let mut moved: Vec<_> = moved.map(|(index, ((parameter, gradient), _))| (index, parameter, gradient)).collect();
        let of_one = |(_, parameter, gradient): &(usize, &mut OwnedTensor, &OwnedTensor)| {
            sharpness.sum_of_squares(parameter.values(), gradient.values())
        };
        let norm = moved.iter().map(of_one).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(None);
        }
        let factor = sharpness.factor(norm);
        self.before.resize(moved.len(), (0, Vec::new()));
        for ((index, parameter, gradient), (place, before)) in moved.iter_mut().zip(&mut self.before) {
            let values = parameter.values_mut();
            *place = *index;
            before.clear();
            before.extend_from_slice(values);
            sharpness.ascend(values, gradient.values(), factor);
        }
        Ok(Some(0))
    }

    fn descend(&mut self) -> Result<(), TrainingError> {
        self.before.iter().for_each(|(index, before)| self.parameters[*index].values_mut().copy_from_slice(before));
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.parameters.iter().map(OwnedTensor::download).collect()
    }

    fn set_parameters(&mut self, values: &[Vec<f32>]) -> Result<(), TrainingError> {
        self.parameters.iter_mut().zip(values).try_for_each(|(tensor, values)| tensor.upload(values))
    }

    fn set_parameter(&mut self, index: usize, values: &[f32]) -> Result<(), TrainingError> {
        self.parameters[index].upload(values)
    }

    fn state(&self) -> Result<Vec<Vec<StateValues>>, TrainingError> {
        Ok(self.state.clone())
    }

    fn set_state(&mut self, values: &[Vec<StateValues>]) -> Result<(), TrainingError> {
        self.state = values.to_vec();
        Ok(())
    }
}
