//! Adam, whose weight decay is a part of the gradient.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moments::Moments;
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adam",
    summary: "Adam, whose weight decay is a part of the gradient.",
    documentation: "Kingma and Ba, \"Adam: A Method for Stochastic Optimization\" (2015), as PyTorch's `Adam` computes it: \
        g ← g + λ·θ; m ← m + (1 − β₁)(g − m); v ← β₂·v + (1 − β₂)·g²; θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε). With \
        `amsgrad` (Reddi et al., 2018) the largest v so far stands in the place of v. The decay goes through the moments, so \
        weights with large gradients decay less; `adamw` decays all alike. Biases and other vectors do not decay.",
    samples: &["{}", r#"{"learning_rate": 0.0003, "weight_decay": 0.1}"#, r#"{"amsgrad": true, "beta2": 0.9}"#],
    learning_rate: 1e-3,
    build: Build::of::<Adam>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Adam {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) epsilon: f64,
    /// Added to the gradient, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    pub(super) weight_decay: f64,
    /// Divide by the root of the largest second moment so far; one more number is remembered of each weight.
    pub(super) amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, amsgrad: false }
    }
}

impl Options for Adam {
    fn validate(&self) -> Result<(), String> {
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        above("epsilon", self.epsilon)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl Adam {
    fn moments(&self) -> Moments {
        Moments::new(self.beta1, self.beta2)
    }
}

impl UpdateRule for Adam {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let mut state = Moments::state(facts);
        state.extend(self.amsgrad.then(|| facts.state_alike("largest_mean_of_squares")));
        state
    }

    /// Step size η/(1 − β₁ᵗ), and 1/√(1 − β₂ᵗ).
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let [bias1, bias2] = self.moments().bias_corrections(step);
        vec![(f64::from(learning_rate) / bias1) as f32, (1.0 / bias2.sqrt()) as f32]
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
        let (moments, epsilon) = (self.moments(), self.epsilon as f32);
        let decay = facts.decay(self.weight_decay as f32);
        let (step_size, root_scale) = (coefficients[0] * facts.learning_rate_multiplier, coefficients[1]);
        let (of_moments, largest) = state.split_at_mut(2);
        let [mean, squares] = floats(of_moments);
        let mut largest = largest.first_mut().map(StateValues::floats_mut);
        for (index, (value, gradient)) in parameter.iter_mut().zip(gradient).enumerate() {
            let gradient = gradient * scale + decay * *value;
            moments.add(&mut mean[index], &mut squares[index], gradient);
            let mut square = squares[index];
            if let Some(largest) = &mut largest {
                square = square.max(largest[index]);
                largest[index] = square;
            }
            *value -= step_size * mean[index] / (square.sqrt() * root_scale + epsilon);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let gradient = inputs.decayed_gradient(graph, self.weight_decay as f32)?;
        let [mean, squares] = self.moments().nodes(graph, inputs.state, gradient)?;
        let mut state = vec![mean, squares];
        if let Some(largest) = inputs.state.get(2) {
            state.push(graph.add("Max", &[*largest, squares], &[])?);
        }
        let step_size = inputs.rate(graph, 0)?;
        let epsilon = graph.scalar(self.epsilon as f32);
        let root = graph.add("Sqrt", &[state[state.len() - 1]], &[])?;
        let root = graph.times(root, inputs.coefficients[1])?;
        let divisor = graph.plus(root, epsilon)?;
        let direction = graph.divided_by(mean, divisor)?;
        let change = graph.times(direction, step_size)?;
        Ok((graph.minus(inputs.parameter, change)?, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// `torch.optim.Adam(groups, lr=0.05, weight_decay=0.1)` and with `amsgrad=True, betas=(0.9, 0.9)`.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = Adam { weight_decay: 0.1, ..Adam::default() };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.34749848,
                0.0333369,
                -0.60368925,
                -0.8567878,
                -0.30382302,
                0.67630643,
                1.1633347,
                0.83007842,
                -0.17981976,
                -1.1456681,
                -1.1536734,
                -0.29539031,
                0.75221771,
                1.1696557,
                0.6554758,
                -0.34608996,
            ],
        );
        assert_trajectory(
            &Adam { amsgrad: true, beta2: 0.9, ..rule },
            0.05,
            [
                0.37594074,
                0.040238999,
                -0.61444944,
                -0.88597095,
                -0.33223221,
                0.67572761,
                1.1753407,
                0.84637856,
                -0.16946681,
                -1.1431124,
                -1.1599494,
                -0.29817569,
                0.74317068,
                1.145063,
                0.64184242,
                -0.34794879,
            ],
        );
    }
}
