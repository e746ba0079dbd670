//! Steps of one length along the sign of the momentum.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "lion",
    summary: "Steps of one length along the sign of the momentum.",
    documentation: "Chen et al., \"Symbolic Discovery of Optimization Algorithms\" (2023): c = β₁·m + (1 − β₁)·g; \
        θ ← θ·(1 − η·λ) − η·sign(c); m ← β₂·m + (1 − β₂)·g. It remembers half as much as AdamW; the authors take a learning \
        rate 3 to 10 times smaller and a weight decay as many times larger. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"learning_rate": 0.0003, "weight_decay": 0.1}"#, r#"{"beta1": 0.95, "beta2": 0.98}"#],
    learning_rate: 1e-4,
    build: Build::of::<Lion>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lion {
    /// Share of the momentum in the direction of a step, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) beta1: f64,
    /// Decay of the momentum, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) beta2: f64,
    /// Pull towards zero, times the learning rate, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    pub(super) weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

impl Options for Lion {
    fn validate(&self) -> Result<(), String> {
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl Lion {
    /// β₁, β₂ and λ in the precision of the weights.
    fn values(&self) -> [f32; 3] {
        [self.beta1, self.beta2, self.weight_decay].map(|value| value as f32)
    }
}

impl UpdateRule for Lion {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        vec![facts.state_alike("momentum")]
    }

    /// Learning rate η.
    fn coefficients(&self, _step: u64, learning_rate: f32) -> Vec<f32> {
        vec![learning_rate]
    }

    fn is_elementwise(&self) -> bool {
        true
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
        let [beta1, beta2, weight_decay] = self.values();
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let keep = 1.0 - rate * facts.decay(weight_decay);
        let [momentum] = floats(state);
        for ((value, gradient), momentum) in parameter.iter_mut().zip(gradient).zip(momentum) {
            let gradient = gradient * scale;
            let direction = beta1 * *momentum + (1.0 - beta1) * gradient;
            *momentum = beta2 * *momentum + (1.0 - beta2) * gradient;
            // Not `signum`, which is 1 for 0.
            let sign = if direction == 0.0 { 0.0 } else { direction.signum() };
            *value = *value * keep - rate * sign;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let [beta1, beta2, weight_decay] = self.values();
        let (gradient, momentum) = (inputs.gradient, inputs.state[0]);
        let mut mixed = |share: f32| {
            let [kept, new] = [share, 1.0 - share].map(|value| graph.scalar(value));
            let kept = graph.times(momentum, kept)?;
            let new = graph.times(gradient, new)?;
            graph.plus(kept, new)
        };
        let (direction, new_momentum) = (mixed(beta1)?, mixed(beta2)?);
        let sign = graph.add("Sign", &[direction], &[])?;
        let multiplier = graph.scalar(inputs.facts.learning_rate_multiplier);
        let rate = graph.times(inputs.coefficients[0], multiplier)?;
        let mut parameter = inputs.parameter;
        let weight_decay = inputs.facts.decay(weight_decay);
        if weight_decay > 0.0 {
            let (decay, one) = (graph.scalar(weight_decay), graph.scalar(1.0));
            let pull = graph.times(rate, decay)?;
            let keep = graph.minus(one, pull)?;
            parameter = graph.times(parameter, keep)?;
        }
        let change = graph.times(sign, rate)?;
        Ok((graph.minus(parameter, change)?, vec![new_momentum]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::StateStart;
    use crate::optimizers::trajectory::facts_of_matrix;

    /// The algorithm of the paper, three steps from θ = 1 with gradients 0.5, −4, 0, written out by hand.
    #[test]
    fn three_steps_are_those_of_the_paper() {
        let rule = Lion { weight_decay: 0.1, ..Lion::default() };
        let facts = facts_of_matrix();
        let (mut parameter, mut state) = (vec![1.0_f32, 1.0], vec![StateStart::F32(0.0).values(2)]);
        // The second weight has no gradient at first: its step is 0, and only decay moves it.
        for (step, gradient) in [[0.5_f32, 0.0], [-4.0, 0.0], [0.0, 1.0]].into_iter().enumerate() {
            rule.update(&rule.coefficients(step as u64, 0.1), facts, 1.0, &mut parameter, &gradient, &mut state);
        }
        // m: 0.005, −0.03505, −0.0346995; directions 0.05, −0.3955, −0.031545; decay 0.99 each time.
        let wanted = [((1.0 * 0.99 - 0.1) * 0.99 + 0.1) * 0.99 + 0.1, 0.99_f64.powi(3) - 0.1];
        for (got, wanted) in parameter.iter().zip(wanted) {
            assert!((f64::from(*got) - wanted).abs() < 1e-6, "{got}, wanted {wanted}");
        }
        let momentum = state[0].floats();
        assert!((momentum[0] + 0.034_699_5).abs() < 1e-6 && (momentum[1] - 0.01).abs() < 1e-6, "{momentum:?}");
    }
}
