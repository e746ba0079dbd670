//! Adam with decoupled weight decay.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adamw",
    summary: "Adam with decoupled weight decay.",
    documentation: "Loshchilov and Hutter, \"Decoupled Weight Decay Regularization\" (2019), as PyTorch's `AdamW` computes it: \
        θ ← θ·(1 − η·λ); m ← m + (1 − β₁)(g − m); v ← β₂·v + (1 − β₂)·g²; θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε). \
        Biases and other vectors do not decay.",
    samples: &["{}", r#"{"learning_rate": 0.0003, "weight_decay": 0.1}"#, r#"{"weight_decay": 0}"#],
    learning_rate: 1e-3,
    build: Build::of::<AdamW>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdamW {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) epsilon: f64,
    /// Pull towards zero, times the learning rate, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    pub(super) weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl Options for AdamW {
    fn validate(&self) -> Result<(), String> {
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        above("epsilon", self.epsilon)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl AdamW {
    /// β₁, β₂, ε and λ in the precision of the weights.
    fn values(&self) -> [f32; 4] {
        [self.beta1, self.beta2, self.epsilon, self.weight_decay].map(|value| value as f32)
    }
}

impl UpdateRule for AdamW {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        ["mean", "mean_of_squares"].map(|name| facts.state_alike(name)).to_vec()
    }

    /// Learning rate η, step size η/(1 − β₁ᵗ), and 1/√(1 − β₂ᵗ).
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let count = (step + 1) as f64;
        let [beta1, beta2, ..] = self.values();
        let bias1 = 1.0 - f64::from(beta1).powf(count);
        let bias2 = 1.0 - f64::from(beta2).powf(count);
        let rate = f64::from(learning_rate);
        vec![learning_rate, (rate / bias1) as f32, (1.0 / bias2.sqrt()) as f32]
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
        let [beta1, beta2, epsilon, weight_decay] = self.values();
        let [rate, step_size, root_scale] = [coefficients[0], coefficients[1], coefficients[2]];
        let keep = 1.0 - rate * facts.learning_rate_multiplier * facts.decay(weight_decay);
        let step_size = step_size * facts.learning_rate_multiplier;
        let [mean, squares] = floats(state);
        let moments = mean.iter_mut().zip(squares.iter_mut());
        for ((value, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * scale;
            *mean += (1.0 - beta1) * (gradient - *mean);
            *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
            *value = *value * keep - step_size * *mean / (square.sqrt() * root_scale + epsilon);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let [beta1, beta2, epsilon, weight_decay] = self.values();
        let [rate, step_size, root_scale] = [inputs.coefficients[0], inputs.coefficients[1], inputs.coefficients[2]];
        let (gradient, mean, squares) = (inputs.gradient, inputs.state[0], inputs.state[1]);
        let [one_minus_beta1, beta2_value, one_minus_beta2, epsilon] =
            [1.0 - beta1, beta2, 1.0 - beta2, epsilon].map(|value| graph.scalar(value));

        let difference = graph.minus(gradient, mean)?;
        let change = graph.times(difference, one_minus_beta1)?;
        let new_mean = graph.plus(mean, change)?;
        let kept = graph.times(squares, beta2_value)?;
        // in this order as in `update`: a code of eight bits is to be the same
        let added = graph.times(gradient, one_minus_beta2)?;
        let added = graph.times(added, gradient)?;
        let new_squares = graph.plus(kept, added)?;

        let mut parameter = inputs.parameter;
        let weight_decay = inputs.facts.decay(weight_decay);
        if weight_decay > 0.0 {
            let factor = graph.scalar(inputs.facts.learning_rate_multiplier * weight_decay);
            let one = graph.scalar(1.0);
            let pull = graph.times(rate, factor)?;
            let keep = graph.minus(one, pull)?;
            parameter = graph.times(parameter, keep)?;
        }
        let multiplier = graph.scalar(inputs.facts.learning_rate_multiplier);
        let step_size = graph.times(step_size, multiplier)?;
        let root = graph.add("Sqrt", &[new_squares], &[])?;
        let root = graph.times(root, root_scale)?;
        let divisor = graph.plus(root, epsilon)?;
        let direction = graph.divided_by(new_mean, divisor)?;
        let change = graph.times(direction, step_size)?;
        let new_parameter = graph.minus(parameter, change)?;
        Ok((new_parameter, vec![new_mean, new_squares]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::StateStart;
    use crate::optimizers::trajectory::facts_of_matrix;

    /// `torch.optim.AdamW([p], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)`, three steps from p = [1, −2]
    /// with gradients [0.5, −1], [0.25, 3], [−0.125, 0.5]: written out by hand in doubles.
    #[test]
    fn three_steps_are_those_of_pytorchs_formula() {
        let gradients = [[0.5_f64, -1.0], [0.25, 3.0], [-0.125, 0.5]];
        let (mut wanted, mut mean, mut square) = ([1.0_f64, -2.0], [0.0_f64; 2], [0.0_f64; 2]);
        for (index, gradient) in gradients.iter().enumerate() {
            let t = index as i32 + 1;
            for i in 0..2 {
                wanted[i] *= 1.0 - 0.1 * 0.01;
                mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
                square[i] = 0.999 * square[i] + 0.001 * gradient[i] * gradient[i];
                let corrected_mean = mean[i] / (1.0 - 0.9_f64.powi(t));
                let corrected_square = square[i] / (1.0 - 0.999_f64.powi(t));
                wanted[i] -= 0.1 * corrected_mean / (corrected_square.sqrt() + 1e-8);
            }
        }
        let rule = AdamW::default();
        let facts = facts_of_matrix();
        let mut parameter = vec![1.0_f32, -2.0];
        let mut state = vec![StateStart::F32(0.0).values(2); 2];
        for (step, gradient) in gradients.iter().enumerate() {
            let gradient = gradient.map(|value| value as f32);
            let coefficients = rule.coefficients(step as u64, 0.1);
            rule.update(&coefficients, facts, 1.0, &mut parameter, &gradient, &mut state);
        }
        for (got, wanted) in parameter.iter().zip(wanted) {
            assert!((f64::from(*got) - wanted).abs() < 1e-6, "{got}, wanted {wanted}");
        }
    }

    #[test]
    fn a_parameter_without_decay_and_with_a_multiplier_moves_by_its_own_rate() {
        let rule = AdamW::default();
        let facts = ParameterFacts { learning_rate_multiplier: 0.5, decays: false, ..facts_of_matrix() };
        let (mut parameter, mut state) = (vec![1.0_f32], vec![StateStart::F32(0.0).values(1); 2]);
        rule.update(&rule.coefficients(0, 0.1), facts, 1.0, &mut parameter, &[2.0], &mut state);
        // The first step of Adam has length η whatever the gradient.
        assert!((parameter[0] - 0.95).abs() < 1e-6, "{}", parameter[0]);
    }
}
