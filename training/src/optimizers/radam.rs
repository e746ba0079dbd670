//! Adam whose first steps do not trust their few squares.

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
    name: "radam",
    summary: "Adam whose first steps do not trust their few squares.",
    documentation: "Liu et al., \"On the Variance of the Adaptive Learning Rate and Beyond\" (2020), as PyTorch's `RAdam` computes \
        it. m and v are Adam's; ρ∞ = 2/(1 − β₂) − 1 and ρ = ρ∞ − 2·t·β₂ᵗ/(1 − β₂ᵗ). Where ρ > 5: θ ← θ − η·r·m/(1 − β₁ᵗ) · \
        √(1 − β₂ᵗ)/(√v + ε) with r = √((ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)); before, in the first five steps or so, \
        θ ← θ − η·m/(1 − β₁ᵗ). It does without a warm-up. g ← g + λ·θ before all, or with `decoupled_weight_decay` \
        θ ← θ·(1 − η·λ). Biases and other vectors do not decay.",
    samples: &[
        "{}",
        r#"{"learning_rate": 0.0003, "weight_decay": 0.1}"#,
        r#"{"weight_decay": 0.1, "decoupled_weight_decay": true, "beta2": 0.5}"#,
    ],
    learning_rate: 1e-3,
    build: Build::of::<RAdam>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RAdam {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Pull towards zero on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// Whether weights are pulled themselves, by the learning rate times `weight_decay`, and not their gradients.
    decoupled_weight_decay: bool,
}

impl Default for RAdam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

impl Options for RAdam {
    fn validate(&self) -> Result<(), String> {
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        above("epsilon", self.epsilon)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl RAdam {
    fn moments(&self) -> Moments {
        Moments::new(self.beta1, self.beta2)
    }

    /// r·√(1 − β₂ᵗ), or nothing as long as ρ is too small.
    fn rectification(&self, step: u64) -> Option<f64> {
        let (number, [_, bias2]) = ((step + 1) as f64, self.moments().bias_corrections(step));
        let limit = 2.0 / (1.0 - self.beta2) - 1.0;
        let length = limit - 2.0 * number * (1.0 - bias2) / bias2;
        let rectified = (length - 4.0) * (length - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * length);
        (length > 5.0).then(|| (rectified * bias2).sqrt())
    }

    /// The weight decay of the gradient and that of the weight itself.
    fn decays(&self, facts: ParameterFacts<'_>) -> [f32; 2] {
        let decay = facts.decay(self.weight_decay as f32);
        if self.decoupled_weight_decay { [0.0, decay] } else { [decay, 0.0] }
    }
}

impl UpdateRule for RAdam {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        Moments::state(facts)
    }

    /// Learning rate η, step size η/(1 − β₁ᵗ), and of the factor on the mean, `adaptive`/(√v + ε) + `plain`, both parts, one
    /// of which is 0.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let [bias1, _] = self.moments().bias_corrections(step);
        let [adaptive, plain] = self.rectification(step).map_or([0.0, 1.0], |adaptive| [adaptive, 0.0]);
        vec![learning_rate, (f64::from(learning_rate) / bias1) as f32, adaptive as f32, plain as f32]
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
        let [decay, own_decay] = self.decays(facts);
        let [rate, step_size] = [0, 1].map(|index| coefficients[index] * facts.learning_rate_multiplier);
        let (keep, adaptive, plain) = (1.0 - rate * own_decay, coefficients[2], coefficients[3]);
        let [mean, squares] = floats(state);
        let means = mean.iter_mut().zip(squares.iter_mut());
        for ((value, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(means) {
            let gradient = gradient * scale + decay * *value;
            moments.add(mean, square, gradient);
            *value = *value * keep - step_size * *mean * (adaptive / (square.sqrt() + epsilon) + plain);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let (decay, is_decoupled) = (self.weight_decay as f32, self.decoupled_weight_decay);
        let gradient = if is_decoupled { inputs.gradient } else { inputs.decayed_gradient(graph, decay)? };
        let [mean, squares] = self.moments().nodes(graph, inputs.state, gradient)?;
        let root = graph.add("Sqrt", &[squares], &[])?;
        let epsilon = graph.scalar(self.epsilon as f32);
        let divisor = graph.plus(root, epsilon)?;
        let factor = graph.divided_by(inputs.coefficients[2], divisor)?;
        let factor = graph.plus(factor, inputs.coefficients[3])?;
        let (rate, step_size) = (inputs.rate(graph, 0)?, inputs.rate(graph, 1)?);
        let step = graph.times(mean, step_size)?;
        let change = graph.times(step, factor)?;
        let parameter = if is_decoupled { inputs.decayed_parameter(graph, rate, decay)? } else { inputs.parameter };
        Ok((graph.minus(parameter, change)?, vec![mean, squares]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// `torch.optim.RAdam(groups, lr=0.05, weight_decay=0.1)`, and with `decoupled_weight_decay=True, betas=(0.8, 0.9)`.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = RAdam { weight_decay: 0.1, ..RAdam::default() };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.86564517,
                0.28871831,
                -0.67441458,
                -1.1388291,
                -0.62228668,
                0.49813163,
                1.2894644,
                1.0673492,
                0.0020976574,
                -1.0296464,
                -1.2135776,
                -0.48026586,
                0.50963813,
                0.91330874,
                0.50836807,
                -0.17229179,
            ],
        );
        let rule = RAdam { decoupled_weight_decay: true, beta1: 0.8, beta2: 0.9, ..rule };
        assert_trajectory(
            &rule,
            0.05,
            [
                0.6785059,
                0.16461056,
                -0.63528687,
                -0.97260296,
                -0.4943389,
                0.46097708,
                1.1316756,
                0.93354422,
                0.010794131,
                -0.87246656,
                -1.056654,
                -0.46949518,
                0.4912993,
                0.94765097,
                0.57293314,
                -0.094795011,
            ],
        );
    }

    /// With a β₂ of at most ⅔ there are never enough squares.
    #[test]
    fn the_first_steps_are_not_divided() {
        let rule = RAdam::default();
        assert!((0..5).all(|step| rule.rectification(step).is_none()));
        assert!((5..1000).all(|step| rule.rectification(step).is_some_and(|factor| factor > 0.0 && factor <= 1.0)));
        let short = RAdam { beta2: 0.66, ..rule };
        assert!((0..1000).all(|step| short.rectification(step).is_none()));
    }
}
