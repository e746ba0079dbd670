//! A rule whose gradients are cut value by value, and that weights are pulled by beside them.

use std::sync::Arc;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;
use serde::Serialize;

use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

/// What is added to the gradients of weights that decay, as if the loss had these terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Penalties {
    /// λ of λ·Σ|θ|: weights are pulled towards 0 by the same step whatever their size, to around 0 and not to it.
    pub l1: f32,
    /// λ of λ/2·Σθ².
    pub l2: f32,
    /// λ of λ/2·Σ(θ − θ₀)², θ₀ the weights before the first step: what was pretrained stays near (Li, Grandvalet and Davoine,
    /// "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", 2018).
    pub l2_sp: f32,
}

impl Penalties {
    fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// A rule behind penalties and a limit for each number of a gradient.
#[derive(Debug)]
pub(crate) struct Penalized {
    pub(crate) rule: Arc<dyn UpdateRule>,
    pub(crate) penalties: Penalties,
    /// The most that a number of a gradient is, either side of 0; before penalties.
    pub(crate) most: Option<f32>,
}

impl Penalized {
    /// The rule itself where there is nothing to do.
    pub(crate) fn around(rule: Arc<dyn UpdateRule>, penalties: Penalties, most: Option<f32>) -> Arc<dyn UpdateRule> {
        if penalties.is_none() && most.is_none() { rule } else { Arc::new(Self { rule, penalties, most }) }
    }

    fn of(&self, facts: ParameterFacts<'_>) -> Penalties {
        if facts.decays { self.penalties } else { Penalties::default() }
    }

    /// Whether the first weights of a parameter are remembered, as the last of its state.
    fn remembers(&self, facts: ParameterFacts<'_>) -> bool {
        self.of(facts).l2_sp != 0.0
    }
}

impl UpdateRule for Penalized {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let mut state = self.rule.state(facts);
        state.extend(self.remembers(facts).then(|| facts.state_alike("first_weight")));
        state
    }

    /// Those of the rule, then 1 for the first step and 0 for others.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let mut coefficients = self.rule.coefficients(step, learning_rate);
        coefficients.push(if step == 0 { 1.0 } else { 0.0 });
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
        let (is_first, coefficients) = coefficients.split_last().expect("its own is the last");
        let Penalties { l1, l2, l2_sp } = self.of(facts);
        let most = self.most.unwrap_or(f32::INFINITY);
        let mut pulled: Vec<f32> = gradient.iter().map(|value| (value * scale).clamp(-most, most)).collect();
        if l1 != 0.0 || l2 != 0.0 {
            for (pulled, value) in pulled.iter_mut().zip(parameter.iter()) {
                // not `signum`, which is 1 for 0
                let sign = if *value == 0.0 { 0.0 } else { value.signum() };
                *pulled += l1 * sign + l2 * value;
            }
        }
        let state = match self.remembers(facts) {
            false => state,
            true => {
                let (first, rest) = state.split_last_mut().expect("its own is the last");
                for ((pulled, value), first) in pulled.iter_mut().zip(parameter.iter()).zip(first.floats_mut()) {
                    *first += is_first * (value - *first);
                    *pulled += l2_sp * (value - *first);
                }
                rest
            }
        };
        self.rule.update(coefficients, facts, 1.0, parameter, &pulled, state);
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let (is_first, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        let Penalties { l1, l2, l2_sp } = self.of(inputs.facts);
        let mut gradient = inputs.gradient;
        if let Some(most) = self.most {
            let bounds = [-most, most].map(|bound| graph.scalar(bound));
            gradient = graph.add("Clip", &[gradient, bounds[0], bounds[1]], &[])?;
        }
        let mut pull = |graph: &mut Graph, strength: f32, value: ValueId| {
            let strength = graph.scalar(strength);
            let pull = graph.times(value, strength)?;
            gradient = graph.plus(gradient, pull)?;
            Ok::<(), CompilerError>(())
        };
        if l1 != 0.0 {
            let sign = graph.add("Sign", &[inputs.parameter], &[])?;
            pull(graph, l1, sign)?;
        }
        if l2 != 0.0 {
            pull(graph, l2, inputs.parameter)?;
        }
        let (mut state, mut first) = (inputs.state, None);
        if self.remembers(inputs.facts) {
            let (remembered, rest) = inputs.state.split_last().expect("its own is the last");
            let distance = graph.minus(inputs.parameter, *remembered)?;
            let change = graph.times(distance, *is_first)?;
            let remembered = graph.plus(*remembered, change)?;
            let distance = graph.minus(inputs.parameter, remembered)?;
            pull(graph, l2_sp, distance)?;
            (state, first) = (rest, Some(remembered));
        }
        let inner = NodeInputs { coefficients, state, gradient, ..*inputs };
        let (parameter, mut new_state) = self.rule.nodes(graph, &inner)?;
        new_state.extend(first);
        Ok((parameter, new_state))
    }

    fn has_average(&self) -> bool {
        self.rule.has_average()
    }

    fn average(&self, facts: ParameterFacts<'_>, parameter: Vec<f32>, state: &[StateValues]) -> Vec<f32> {
        let own = usize::from(self.remembers(facts));
        self.rule.average(facts, parameter, &state[..state.len() - own])
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

    #[test]
    fn gradients_are_cut_and_weights_pulled_where_they_decay() {
        let choice = Choice::new("sgd", json!({"momentum": 0.0, "weight_decay": 0.0}));
        let optimizer = Optimizer::choose(standard(), &choice, "training.optimizer").unwrap();
        let penalties = Penalties { l1: 0.1, l2: 0.2, l2_sp: 0.4 };
        let rule = Penalized { rule: Arc::clone(optimizer.rule()), penalties, most: Some(1.0) };
        for decays in [true, false] {
            let facts = ParameterFacts {
                shape: &[2],
                layer: "head",
                learning_rate_multiplier: 1.0,
                decays,
                weight_decay: None,
                is_statistic: false,
            };
            let mut state: Vec<StateValues> = rule.state(facts).iter().map(StateTensor::start_values).collect();
            let (mut got, start) = ([2.0_f32, 0.0], [2.0_f64, 0.0]);
            let mut wanted = start;
            for (step, gradient) in [[4.0_f32, -0.5], [-0.25, 0.5], [0.5, -8.0]].into_iter().enumerate() {
                rule.update(&rule.coefficients(step as u64, 0.5), facts, 0.5, &mut got, &gradient, &mut state);
                for ((value, gradient), start) in wanted.iter_mut().zip(gradient).zip(start) {
                    let sign = if *value == 0.0 { 0.0 } else { value.signum() };
                    let pull = if decays { 0.1 * sign + 0.2 * *value + 0.4 * (*value - start) } else { 0.0 };
                    *value -= 0.5 * ((0.5 * f64::from(gradient)).clamp(-1.0, 1.0) + pull);
                }
                for (got, wanted) in got.iter().zip(wanted) {
                    assert!((f64::from(*got) - wanted).abs() < 1e-6, "step {step}: {got}, wanted {wanted}");
                }
            }
        }
    }
}
