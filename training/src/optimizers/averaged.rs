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
    /// After each step average ← d·average + (1 − d)·weights, d = min(`decay`, (1 + t) / (10 + t)) with t steps before it, so that it
    /// does not stay where it began (Tarvainen and Valpola, "Mean teachers are better role models", 2017). After the first step, t = 0,
    /// it is the weights.
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

    /// The first epoch, from 0, whose end is taken; nothing where steps change the average.
    pub(crate) fn first_epoch(self) -> Option<u64> {
        match self {
            Self::Exponential { .. } => None,
            Self::Equal { from_epoch } => Some(from_epoch),
        }
    }

    /// Ends of epochs that are in the average of a run in which so many epochs are over.
    pub(crate) fn taken_of(self, epochs: u64) -> u64 {
        self.first_epoch().map_or(0, |first| epochs.saturating_sub(first))
    }

    /// Whether the average of a parameter has begun that had so many updates, in a run in which the weights at so many ends of
    /// epochs were [taken](Self::take). Before that the parameter itself is evaluated and exported.
    pub(crate) fn has_begun(self, updates: u64, taken: u64) -> bool {
        match self {
            Self::Exponential { .. } => updates > 0,
            Self::Equal { .. } => taken > 0,
        }
    }

    /// Whether the weights at the end of an epoch, which counts from 0, are taken into the average.
    pub(crate) fn takes_end_of(self, epoch: u64) -> bool {
        self.first_epoch().is_some_and(|first| epoch >= first)
    }

    /// Takes a parameter as it is at the end of an epoch into its average, the last of its state: as the `number`th that is taken,
    /// from 1.
    pub(crate) fn take(number: u64, parameter: &[f32], state: &mut [StateValues]) {
        let average = state.last_mut().expect("its own is the last").floats_mut();
        if number <= 1 {
            // whatever was there, to the bit
            average.copy_from_slice(parameter);
            return;
        }
        let share = (1.0 / number as f64) as f32;
        average.iter_mut().zip(parameter).for_each(|(average, value)| *average += share * (value - *average));
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

    fn penalize(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        parameter: &[f32],
        gradient: &mut [f32],
        state: &[StateValues],
    ) {
        let (_, coefficients) = coefficients.split_last().expect("its own is the last");
        let (_, state) = state.split_last().expect("its own is the last");
        self.rule.penalize(coefficients, facts, parameter, gradient, state);
    }

    fn penalized_gradient(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<ValueId, CompilerError> {
        let (_, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        let (_, state) = inputs.state.split_last().expect("its own is the last");
        self.rule.penalized_gradient(graph, &NodeInputs { coefficients, state, ..*inputs })
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

    const FACTS: ParameterFacts<'static> = ParameterFacts {
        shape: &[1],
        layer: "head",
        learning_rate_multiplier: 1.0,
        decays: false,
        weight_decay: None,
        is_statistic: false,
    };

    /// The weights after each of eight steps of SGD, and the average beside them.
    fn averages(averaging: Averaging) -> Vec<(f64, f64)> {
        let choice = Choice::new("sgd", json!({"momentum": 0.0, "weight_decay": 0.0}));
        let optimizer = Optimizer::choose(standard(), &choice, "training.optimizer").unwrap();
        let rule = Averaged { rule: Arc::clone(optimizer.rule()), averaging };
        let mut state: Vec<StateValues> = rule.state(FACTS).iter().map(StateTensor::start_values).collect();
        let mut parameter = [1.0_f32];
        let after = |step: u64| {
            let coefficients = rule.coefficients(step, 0.5);
            rule.update(&coefficients, FACTS, 1.0, &mut parameter, &[(step % 3) as f32 - 0.5], &mut state);
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
    fn an_equal_average_is_of_the_ends_of_epochs_from_its_first_on() {
        let averaging = Averaging::Equal { from_epoch: 2 };
        // no step moves it
        assert!(averages(averaging).iter().all(|(_, average)| *average == 0.0));
        let taken: Vec<bool> = (0..5).map(|epoch| averaging.takes_end_of(epoch)).collect();
        assert_eq!(taken, [false, false, true, true, true]);
        let counts: Vec<u64> = (0..6).map(|epochs| averaging.taken_of(epochs)).collect();
        assert_eq!(counts, [0, 0, 0, 1, 2, 3]);
        // updates alone do not begin it, and what was there before is no part of it
        assert!(!averaging.has_begun(9, 0) && averaging.has_begun(0, 1));
        let mut state = [StateValues::F32(vec![1e30])];
        for (number, (weight, wanted)) in (1..).zip([(0.1_f32, 0.1_f32), (0.3, 0.2), (0.8, 0.4)]) {
            Averaging::take(number, &[weight], &mut state);
            assert!((state[0].floats()[0] - wanted).abs() < 1e-6, "{number}: {state:?}, wanted {wanted}");
        }
    }
}
