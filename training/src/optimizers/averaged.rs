//! A rule that also remembers an average of the weights, which evaluations and the exported model take.

use std::sync::Arc;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;
use serde::Serialize;

use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

/// Which average of the weights of all steps is evaluated and exported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// After each step average ← d·average + (1 − d)·weights, d = min(`decay`, (1 + t) / (10 + t)) after t steps, so that it
    /// does not stay where it began (Tarvainen and Valpola, "Mean teachers are better role models", 2017).
    Exponential {
        /// Share of the average that stays, 0 to below 1.
        decay: f64,
    },
    /// The mean of the weights at the ends of epochs from one on (Izmailov et al., "Averaging Weights Leads to Wider Optima and
    /// Better Generalization", 2018); before that the weights themselves. Steps do not change it: the end of an epoch does.
    Equal {
        /// Epochs that come before.
        from_epoch: u64,
    },
}

impl Averaging {
    /// As a recipe calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exponential { .. } => "ema",
            Self::Equal { .. } => "swa",
        }
    }

    /// The share of the weights in the average after the step `step`, which counts from 0.
    fn share(self, step: u64) -> f64 {
        match self {
            Self::Exponential { .. } if step == 0 => 1.0,
            Self::Exponential { decay } => 1.0 - decay.min((1 + step) as f64 / (10 + step) as f64),
            Self::Equal { .. } => 0.0,
        }
    }

    /// Which of the averaged weights those at the end of an epoch are, from 1; nothing where epochs do not count.
    pub(crate) fn place_of(self, epoch: u64) -> Option<u64> {
        match self {
            Self::Exponential { .. } => None,
            Self::Equal { from_epoch } => Some((epoch + 1).saturating_sub(from_epoch).max(1)),
        }
    }
}

/// The average among what is remembered of a parameter.
pub(crate) const WEIGHT_AVERAGE: &str = "weight_average";

/// A rule with an average beside it, the last of its state tensors.
#[derive(Debug)]
pub(crate) struct Averaged {
    pub(crate) rule: Arc<dyn UpdateRule>,
    pub(crate) averaging: Averaging,
}

impl UpdateRule for Averaged {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let mut state = self.rule.state(facts);
        state.push(facts.state_alike(WEIGHT_AVERAGE));
        state
    }

    /// Those of the rule, then the share of the weights in the average.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let mut coefficients = self.rule.coefficients(step, learning_rate);
        coefficients.push(self.averaging.share(step) as f32);
        coefficients
    }

    fn is_elementwise(&self) -> bool {
        self.rule.is_elementwise()
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
        let (share, coefficients) = coefficients.split_last().expect("its own is the last");
        let (average, state) = state.split_last_mut().expect("its own is the last");
        self.rule.update(coefficients, facts, scale, parameter, gradient, state);
        for (average, value) in average.floats_mut().iter_mut().zip(parameter) {
            *average += *share * (*value - *average);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let (share, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        let (average, state) = inputs.state.split_last().expect("its own is the last");
        let inner = NodeInputs { coefficients, state, ..*inputs };
        let (parameter, mut new_state) = self.rule.nodes(graph, &inner)?;
        let distance = graph.minus(parameter, *average)?;
        let change = graph.times(distance, *share)?;
        new_state.push(graph.plus(*average, change)?);
        Ok((parameter, new_state))
    }

    fn has_average(&self) -> bool {
        true
    }

    fn average(&self, _: ParameterFacts<'_>, parameter: Vec<f32>, state: &[StateValues]) -> Vec<f32> {
        state.last().map_or(parameter, |average| average.floats().to_vec())
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
    use crate::optimizers::{Optimizer, standard};

    /// The weights after each of eight steps of SGD, and the average beside them.
    fn averages(averaging: Averaging) -> Vec<(f64, f64)> {
        let choice = Choice::new("sgd", json!({"momentum": 0.0, "weight_decay": 0.0}));
        let optimizer = Optimizer::choose(standard(), &choice, "training.optimizer").unwrap();
        let rule = Averaged { rule: Arc::clone(optimizer.rule()), averaging };
        let facts = ParameterFacts {
            shape: &[1],
            layer: "head",
            learning_rate_multiplier: 1.0,
            decays: false,
            weight_decay: None,
            is_statistic: false,
        };
        let mut state: Vec<StateValues> = rule.state(facts).iter().map(StateTensor::start_values).collect();
        let mut parameter = [1.0_f32];
        let after = |step: u64| {
            let coefficients = rule.coefficients(step, 0.5);
            rule.update(&coefficients, facts, 1.0, &mut parameter, &[(step % 3) as f32 - 0.5], &mut state);
            (f64::from(parameter[0]), f64::from(state[state.len() - 1].floats()[0]))
        };
        (0..8).map(after).collect()
    }

    #[test]
    fn an_exponential_average_follows_the_weights_by_its_decay() {
        let mut wanted = None;
        for (step, (weight, average)) in averages(Averaging::Exponential { decay: 0.5 }).into_iter().enumerate() {
            let decay = 0.5_f64.min((1 + step) as f64 / (10 + step) as f64);
            let now = wanted.map_or(weight, |before: f64| decay * before + (1.0 - decay) * weight);
            assert!((average - now).abs() < 1e-6, "step {step}: {average}, wanted {now}");
            wanted = Some(now);
        }
    }

    #[test]
    fn an_equal_average_begins_with_the_weights_and_counts_epochs_from_its_first_on() {
        let equal = Averaging::Equal { from_epoch: 2 };
        let places: Vec<Option<u64>> = (0..5).map(|epoch| equal.place_of(epoch)).collect();
        assert_eq!(places, [Some(1), Some(1), Some(1), Some(2), Some(3)]);
        // no step moves it
        assert!(averages(equal).iter().all(|(_, average)| *average == 0.0));
    }
}
