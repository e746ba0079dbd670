//! A rule whose gradients have those of penalties in them, and are cut value by value.

use std::sync::Arc;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;
use serde::Serialize;

use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

/// Terms of the loss of weights that decay. Their gradients are added to the one of the loss, once for each update, at the weights
/// before it, in front of all clipping.
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

/// A rule with penalties, and a limit for each number of a gradient.
#[derive(Debug)]
pub(crate) struct Penalized {
    pub(crate) rule: Arc<dyn UpdateRule>,
    pub(crate) penalties: Penalties,
    /// The most that a number of a gradient is, either side of 0, that of penalties with it.
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

    /// As nodes, the first weights of a parameter that are remembered behind this update, with the state of the rule itself.
    fn first_weight<'a>(
        &self,
        graph: &mut Graph,
        inputs: &NodeInputs<'a>,
    ) -> Result<Option<(ValueId, &'a [ValueId])>, CompilerError> {
        if !self.remembers(inputs.facts) {
            return Ok(None);
        }
        let is_first = inputs.coefficients.last().expect("its own is the last");
        let (first, rest) = inputs.state.split_last().expect("its own is the last");
        let distance = graph.minus(inputs.parameter, *first)?;
        let change = graph.times(distance, *is_first)?;
        Ok(Some((graph.plus(*first, change)?, rest)))
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

    fn penalize(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        parameter: &[f32],
        gradient: &mut [f32],
        state: &[StateValues],
    ) {
        let (is_first, coefficients) = coefficients.split_last().expect("its own is the last");
        let Penalties { l1, l2, l2_sp } = self.of(facts);
        let mut inner = state;
        if self.remembers(facts) {
            let (first, rest) = state.split_last().expect("its own is the last");
            for ((gradient, value), first) in gradient.iter_mut().zip(parameter).zip(first.floats()) {
                // the update remembers it, once gradients are known to be numbers
                let first = first + is_first * (value - first);
                *gradient += l2_sp * (value - first);
            }
            inner = rest;
        }
        if l1 != 0.0 || l2 != 0.0 {
            for (gradient, value) in gradient.iter_mut().zip(parameter) {
                // not `signum`, which is 1 for 0
                let sign = if *value == 0.0 { 0.0 } else { value.signum() };
                *gradient += l1 * sign + l2 * value;
            }
        }
        self.rule.penalize(coefficients, facts, parameter, gradient, inner);
    }

    fn penalized_gradient(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<ValueId, CompilerError> {
        let (_, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        let Penalties { l1, l2, l2_sp } = self.of(inputs.facts);
        let (mut gradient, mut state) = (inputs.gradient, inputs.state);
        let mut pull = |graph: &mut Graph, strength: f32, value: ValueId| {
            let strength = graph.scalar(strength);
            let pull = graph.times(value, strength)?;
            gradient = graph.plus(gradient, pull)?;
            Ok::<(), CompilerError>(())
        };
        if let Some((first, rest)) = self.first_weight(graph, inputs)? {
            let distance = graph.minus(inputs.parameter, first)?;
            pull(graph, l2_sp, distance)?;
            state = rest;
        }
        if l1 != 0.0 {
            let sign = graph.add("Sign", &[inputs.parameter], &[])?;
            pull(graph, l1, sign)?;
        }
        if l2 != 0.0 {
            pull(graph, l2, inputs.parameter)?;
        }
        self.rule.penalized_gradient(graph, &NodeInputs { coefficients, state, gradient, ..*inputs })
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
        let state = match self.remembers(facts) {
            false => state,
            true => {
                let (first, rest) = state.split_last_mut().expect("its own is the last");
                for (first, value) in first.floats_mut().iter_mut().zip(parameter.iter()) {
                    *first += is_first * (value - *first);
                }
                rest
            }
        };
        match self.most {
            Some(most) => {
                let cut: Vec<f32> = gradient.iter().map(|value| (value * scale).clamp(-most, most)).collect();
                self.rule.update(coefficients, facts, 1.0, parameter, &cut, state);
            }
            None => self.rule.update(coefficients, facts, scale, parameter, gradient, state),
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let (_, coefficients) = inputs.coefficients.split_last().expect("its own is the last");
        let mut gradient = inputs.gradient;
        if let Some(most) = self.most {
            let bounds = [-most, most].map(|bound| graph.scalar(bound));
            gradient = graph.add("Clip", &[gradient, bounds[0], bounds[1]], &[])?;
        }
        let remembered = self.first_weight(graph, inputs)?;
        let state = remembered.map_or(inputs.state, |(_, rest)| rest);
        let inner = NodeInputs { coefficients, state, gradient, ..*inputs };
        let (parameter, mut new_state) = self.rule.nodes(graph, &inner)?;
        new_state.extend(remembered.map(|(first, _)| first));
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
    fn gradients_with_those_of_penalties_are_cut_where_weights_decay() {
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
                let (coefficients, mut penalized) = (rule.coefficients(step as u64, 0.5), gradient);
                rule.penalize(&coefficients, facts, &got, &mut penalized, &state);
                rule.update(&coefficients, facts, 0.5, &mut got, &penalized, &mut state);
                for ((value, gradient), start) in wanted.iter_mut().zip(gradient).zip(start) {
                    let sign = if *value == 0.0 { 0.0 } else { value.signum() };
                    let pull = if decays { 0.1 * sign + 0.2 * *value + 0.4 * (*value - start) } else { 0.0 };
                    *value -= 0.5 * (0.5 * (f64::from(gradient) + pull)).clamp(-1.0, 1.0);
                }
                for (got, wanted) in got.iter().zip(wanted) {
                    assert!((f64::from(*got) - wanted).abs() < 1e-6, "step {step}: {got}, wanted {wanted}");
                }
            }
        }
    }
}
