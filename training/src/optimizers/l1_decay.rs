//! A rule whose weights are drawn to 0, and held there, behind each update.

use std::sync::Arc;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;

use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

/// A rule with a decay by L1: behind the update θ ← sign(θ)·max(|θ| − η·λ, 0), with η the parameter's rate of the step. It is
/// the proximal step of λ·Σ|θ|, soft thresholding (Donoho, "De-noising by Soft-Thresholding", 1995; behind a step of descent as in
/// Duchi and Singer, "Efficient Online and Batch Learning Using Forward Backward Splitting", 2009).
#[derive(Debug)]
pub(crate) struct WithL1Decay {
    pub(crate) rule: Arc<dyn UpdateRule>,
    /// λ, above 0.
    pub(crate) strength: f32,
}

impl WithL1Decay {
    /// The rule itself where there is nothing to do.
    pub(crate) fn around(rule: Arc<dyn UpdateRule>, strength: f32) -> Arc<dyn UpdateRule> {
        if strength == 0.0 { rule } else { Arc::new(Self { rule, strength }) }
    }
}

impl UpdateRule for WithL1Decay {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        self.rule.state(facts)
    }

    /// Those of the rule, then the learning rate.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let mut coefficients = self.rule.coefficients(step, learning_rate);
        coefficients.push(learning_rate);
        coefficients
    }

    fn is_elementwise(&self) -> bool {
        self.rule.is_elementwise()
    }

    fn penalize(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        parameter: &[f32],
        gradient: &mut [f32],
        state: &[StateValues],
    ) {
        let (_, coefficients) = coefficients.split_last().expect("its own is the last");
        self.rule.penalize(coefficients, facts, parameter, gradient, state);
    }

    fn penalized_gradient(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<ValueId, CompilerError> {
        let (_, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        self.rule.penalized_gradient(graph, &NodeInputs { coefficients, ..*inputs })
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [StateValues],
    ) {
        let (rate, coefficients) = coefficients.split_last().expect("its own is the last");
        self.rule.update(coefficients, facts, scale, parameter, gradient, state);
        if facts.decays {
            let threshold = rate * facts.learning_rate_multiplier * self.strength;
            // what is within the threshold is taken away, which leaves an exact 0 of the rest, and no number as it is
            for value in parameter {
                let within = f32::max(f32::min(*value, threshold), -threshold);
                *value -= within;
            }
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let (_, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        let (parameter, state) = self.rule.nodes(graph, &NodeInputs { coefficients, ..*inputs })?;
        if !inputs.facts.decays {
            return Ok((parameter, state));
        }
        let rate = inputs.rate(graph, coefficients.len())?;
        let strength = graph.scalar(self.strength);
        let threshold = graph.times(rate, strength)?;
        let below = graph.add("Neg", &[threshold], &[])?;
        let within = graph.add("Min", &[parameter, threshold], &[])?;
        let within = graph.add("Max", &[within, below], &[])?;
        Ok((graph.minus(parameter, within)?, state))
    }

    fn has_average(&self) -> bool {
        self.rule.has_average()
    }

    fn average(&self, facts: ParameterFacts<'_>, parameter: Vec<f32>, state: &[StateValues]) -> Vec<f32> {
        self.rule.average(facts, parameter, state)
    }

    fn check(&self, parameters: &[ParameterEntry]) -> Result<(), String> {
        self.rule.check(parameters)
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Choice;
    use serde_json::json;

    use super::*;
    use crate::optimizers::trajectory::facts_of_matrix;
    use crate::optimizers::{Optimizer, standard};

    /// Worked by hand: SGD at rates of 0.5 and then 0.25 with λ = 0.2, so that the thresholds are 0.1 and 0.05; a factor of 0.5 on
    /// the rate halves steps and thresholds.
    #[test]
    fn weights_within_the_threshold_become_exact_zeros_and_stay_there() {
        let choice = Choice::new("sgd", json!({"momentum": 0.0, "weight_decay": 0.0}));
        let optimizer = Optimizer::choose(standard(), &choice, "training.optimizer").unwrap();
        let rule = WithL1Decay { rule: Arc::clone(optimizer.rule()), strength: 0.2 };
        let start = [1.0_f32, -1.0, 0.09, -0.3, 0.0];
        let gradients = [[0.2_f32, 0.2, 0.0, -0.5, 0.0], [0.0, -4.0, 0.1, 0.0, -0.8]];
        for (decays, learning_rate_multiplier, wanted) in [
            (true, 1.0, [[0.8_f32, -1.0, 0.0, 0.0, 0.0], [0.75, 0.0, 0.0, 0.0, 0.15]]),
            (true, 0.5, [[0.9, -1.0, 0.04, -0.125, 0.0], [0.875, -0.475, 0.0025, -0.1, 0.075]]),
            (false, 1.0, [[0.9, -1.1, 0.09, -0.05, 0.0], [0.9, -0.1, 0.065, -0.05, 0.2]]),
        ] {
            let facts = ParameterFacts { shape: &[5], learning_rate_multiplier, decays, ..facts_of_matrix() };
            let mut state: Vec<StateValues> = rule.state(facts).iter().map(StateTensor::start_values).collect();
            let mut got = start;
            for (step, (gradient, wanted)) in gradients.iter().zip(wanted).enumerate() {
                let coefficients = rule.coefficients(step as u64, [0.5, 0.25][step]);
                rule.update(&coefficients, facts, 1.0, &mut got, gradient, &mut state);
                for (place, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                    let what = format!("{decays}, ×{learning_rate_multiplier}, step {step}, number {place}");
                    assert!((got - wanted).abs() < 1e-6, "{what}: {got}, wanted {wanted}");
                    assert!(wanted != 0.0 || *got == 0.0, "{what}: {got} is no exact zero");
                }
            }
        }
    }
}
