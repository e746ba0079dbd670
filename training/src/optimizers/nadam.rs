//! Adam with Nesterov's look ahead.

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
    name: "nadam",
    summary: "Adam with Nesterov's look ahead.",
    documentation: "Dozat, \"Incorporating Nesterov Momentum into Adam\" (2016), as PyTorch's `NAdam` computes it: \
        μₜ = β₁·(1 − ½·0.96^(t·ψ)) with ψ = `momentum_decay`; g ← g + λ·θ; m ← m + (1 − β₁)(g − m); v ← β₂·v + (1 − β₂)·g²; \
        θ ← θ − η·((1 − μₜ)/(1 − μ₁…μₜ)·g + μₜ₊₁/(1 − μ₁…μₜ₊₁)·m) / (√(v/(1 − β₂ᵗ)) + ε). With `decoupled_weight_decay` \
        θ ← θ·(1 − η·λ) instead of the decay in the gradient. Biases and other vectors do not decay.",
    samples: &[
        "{}",
        r#"{"learning_rate": 0.0003, "weight_decay": 0.1}"#,
        r#"{"weight_decay": 0.1, "decoupled_weight_decay": true, "momentum_decay": 0.1}"#,
    ],
    learning_rate: 2e-3,
    build: Build::of::<NAdam>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NAdam {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// How fast the momentum grows from half of `beta1` to all of it, 0 (never) or more.
    #[schemars(range(min = 0))]
    momentum_decay: f64,
    /// Pull towards zero on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// Whether weights are pulled themselves, by the learning rate times `weight_decay`, and not their gradients.
    decoupled_weight_decay: bool,
}

impl Default for NAdam {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum_decay: 4e-3,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
        }
    }
}

impl Options for NAdam {
    fn validate(&self) -> Result<(), String> {
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        above("epsilon", self.epsilon)?;
        at_least("momentum_decay", self.momentum_decay)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl NAdam {
    fn moments(&self) -> Moments {
        Moments::new(self.beta1, self.beta2)
    }

    /// μ of the step with this number, from 1.
    fn momentum(&self, number: u64) -> f64 {
        self.beta1 * (1.0 - 0.5 * 0.96_f64.powf(number as f64 * self.momentum_decay))
    }

    /// μ₁…μₜ, or 0 as soon as it is too small for 1 − μ₁…μₜ to notice: after some hundred steps at the usual β₁.
    fn momentum_product(&self, number: u64) -> f64 {
        let mut product = 1.0;
        for number in 1..=number {
            product *= self.momentum(number);
            if product < f64::EPSILON / 4.0 {
                return 0.0;
            }
        }
        product
    }

    /// The weight decay of the gradient and that of the weight itself.
    fn decays(&self, facts: ParameterFacts<'_>) -> [f32; 2] {
        let decay = facts.decay(self.weight_decay as f32);
        if self.decoupled_weight_decay { [0.0, decay] } else { [decay, 0.0] }
    }
}

impl UpdateRule for NAdam {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        Moments::state(facts)
    }

    /// Learning rate η, what the gradient and what its mean is multiplied by, and 1/√(1 − β₂ᵗ).
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let (rate, number) = (f64::from(learning_rate), step + 1);
        let [_, bias2] = self.moments().bias_corrections(step);
        let [momentum, next] = [number, number + 1].map(|number| self.momentum(number));
        let product = self.momentum_product(number);
        let of_gradient = rate * (1.0 - momentum) / (1.0 - product);
        let of_mean = rate * next / (1.0 - product * next);
        vec![learning_rate, of_gradient as f32, of_mean as f32, (1.0 / bias2.sqrt()) as f32]
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
        let (moments, epsilon, root_scale) = (self.moments(), self.epsilon as f32, coefficients[3]);
        let [decay, own_decay] = self.decays(facts);
        let [rate, of_gradient, of_mean] = [0, 1, 2].map(|index| coefficients[index] * facts.learning_rate_multiplier);
        let keep = 1.0 - rate * own_decay;
        let [mean, squares] = floats(state);
        let means = mean.iter_mut().zip(squares.iter_mut());
        for ((value, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(means) {
            let gradient = gradient * scale + decay * *value;
            moments.add(mean, square, gradient);
            let divisor = square.sqrt() * root_scale + epsilon;
            *value = *value * keep - (of_gradient * gradient + of_mean * *mean) / divisor;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let (decay, is_decoupled) = (self.weight_decay as f32, self.decoupled_weight_decay);
        let gradient = if is_decoupled { inputs.gradient } else { inputs.decayed_gradient(graph, decay)? };
        let [mean, squares] = self.moments().nodes(graph, inputs.state, gradient)?;
        let root = graph.add("Sqrt", &[squares], &[])?;
        let root = graph.times(root, inputs.coefficients[3])?;
        let epsilon = graph.scalar(self.epsilon as f32);
        let divisor = graph.plus(root, epsilon)?;
        let (rate, of_gradient, of_mean) = (inputs.rate(graph, 0)?, inputs.rate(graph, 1)?, inputs.rate(graph, 2)?);
        let now = graph.times(gradient, of_gradient)?;
        let before = graph.times(mean, of_mean)?;
        let both = graph.plus(now, before)?;
        let change = graph.divided_by(both, divisor)?;
        let parameter = if is_decoupled { inputs.decayed_parameter(graph, rate, decay)? } else { inputs.parameter };
        Ok((graph.minus(parameter, change)?, vec![mean, squares]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// `torch.optim.NAdam(groups, lr=0.05, weight_decay=0.1)`, and with
    /// `decoupled_weight_decay=True, momentum_decay=0.1, betas=(0.8, 0.99)`.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = NAdam { weight_decay: 0.1, ..NAdam::default() };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.40710589,
                0.12334651,
                -0.5128417,
                -0.78005707,
                -0.29345235,
                0.58108896,
                1.0580043,
                0.73380917,
                -0.24032836,
                -1.0846947,
                -1.0410858,
                -0.18771185,
                0.85593325,
                1.1807855,
                0.52681255,
                -0.48350349,
            ],
        );
        let rule = NAdam { decoupled_weight_decay: true, momentum_decay: 0.1, beta1: 0.8, beta2: 0.99, ..rule };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.44460058,
                0.10640449,
                -0.53426957,
                -0.79457003,
                -0.28889316,
                0.56773388,
                1.0168778,
                0.71281499,
                -0.21291098,
                -1.0849097,
                -0.96538806,
                -0.20350741,
                0.83970392,
                1.1814685,
                0.53933674,
                -0.46538606,
            ],
        );
    }

    #[test]
    fn the_product_of_momenta_is_given_up_only_where_it_makes_no_difference() {
        for rule in [NAdam::default(), NAdam { beta1: 0.999, momentum_decay: 100.0, ..NAdam::default() }] {
            for number in [1, 10, 100, 1000, 100_000] {
                let whole: f64 = (1..=number).map(|number| rule.momentum(number)).product();
                assert_eq!(1.0 - rule.momentum_product(number), 1.0 - whole, "{rule:?}, {number}");
            }
        }
    }
}
