use millstream_schemas::ParameterEntry;
use ort::memory::Allocator;

use super::bound::OwnedTensor;
use super::store::{ParameterStore, Update};
use crate::TrainingError;
use crate::optimizers::{ParameterFacts, clip_scale, sum_of_squares};

/// Parameters in memory that the host and the graph share; updated in place, without a copy.
pub(super) struct HostStore {
    facts: Vec<ParameterFacts>,
    parameters: Vec<OwnedTensor>,
    state: Vec<Vec<Vec<f32>>>,
}

impl HostStore {
    pub(super) fn new(entries: &[ParameterEntry], state_tensors: usize) -> Result<Self, TrainingError> {
        let allocator = Allocator::default();
        let parameters = entries.iter().map(|entry| OwnedTensor::f32(&allocator, &entry.shape));
        let zeros = |entry: &ParameterEntry| vec![vec![0.0; entry.shape.iter().product()]; state_tensors];
        Ok(Self {
            facts: entries.iter().map(ParameterFacts::from).collect(),
            parameters: parameters.collect::<Result<_, _>>()?,
            state: entries.iter().map(zeros).collect(),
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

    fn update(&mut self, update: &Update<'_>, gradients: &[OwnedTensor]) -> Result<Option<f64>, TrainingError> {
        let of_weights = gradients.iter().zip(&self.facts).filter(|(_, facts)| !facts.is_statistic);
        let norm = of_weights.map(|(gradient, _)| sum_of_squares(gradient.values())).sum::<f64>().sqrt();
        // Squares of floats do not overflow a double: a norm is finite when all gradients are.
        if !norm.is_finite() {
            return Ok(Some(norm));
        }
        let scale = update.clip_norm.map_or(1.0, |limit| clip_scale(norm, limit));
        let coefficients = update.rule.coefficients(update.step, update.learning_rate);
        let tensors = self.parameters.iter_mut().zip(gradients).zip(&mut self.state).zip(&self.facts);
        for (((parameter, gradient), state), facts) in tensors {
            if facts.is_statistic {
                parameter.values_mut().copy_from_slice(gradient.values());
                continue;
            }
            update.rule.update(&coefficients, *facts, scale, parameter.values_mut(), gradient.values(), state);
        }
        Ok(Some(norm))
    }

    fn parameters(&self) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.parameters.iter().map(OwnedTensor::download).collect()
    }

    fn set_parameters(&mut self, values: &[Vec<f32>]) -> Result<(), TrainingError> {
        self.parameters.iter_mut().zip(values).try_for_each(|(tensor, values)| tensor.upload(values))
    }

    fn state(&self) -> Result<Vec<Vec<Vec<f32>>>, TrainingError> {
        Ok(self.state.clone())
    }

    fn set_state(&mut self, values: &[Vec<Vec<f32>>]) -> Result<(), TrainingError> {
        self.state = values.to_vec();
        Ok(())
    }
}
