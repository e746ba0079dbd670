//! Adam whose step is as long as the weights of a layer are large.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moments::Moments;
use super::norms::{sum_of_squares, sum_of_squares_nodes};
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "lamb",
    summary: "Adam whose step is as long as the weights of a layer are large.",
    documentation: "You et al., \"Large Batch Optimization for Deep Learning: Training BERT in 76 minutes\" (2020), algorithm 2 \
        with φ(z) = z: m and v are Adam's, their bias corrected; u = m/(√v + ε) + λ·θ; θ ← θ − η·‖θ‖/‖u‖·u, Euclidean norms of \
        each parameter. Where a norm is 0, so it is with new LoRA matrices, the ratio is 1. For large batches. As in the authors' \
        code, biases and other vectors neither decay nor have the ratio.",
    samples: &["{}", r#"{"learning_rate": 0.002, "weight_decay": 0.1}"#, r#"{"weight_decay": 0, "beta2": 0.9}"#],
    learning_rate: 1e-3,
    build: Build::of::<Lamb>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Lamb {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Added to the direction, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
}

impl Default for Lamb {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weight_decay: 0.01 }
    }
}

impl Options for Lamb {
    fn validate(&self) -> Result<(), String> {
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        above("epsilon", self.epsilon)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl Lamb {
    fn moments(&self) -> Moments {
        Moments::new(self.beta1, self.beta2)
    }
}

impl UpdateRule for Lamb {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        Moments::state(facts)
    }

    /// Learning rate η, 1/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ).
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let [bias1, bias2] = self.moments().bias_corrections(step);
        vec![learning_rate, (1.0 / bias1) as f32, (1.0 / bias2.sqrt()) as f32]
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
        let [mean_scale, root_scale] = [coefficients[1], coefficients[2]];
        let [mean, squares] = floats(state);
        for ((mean, square), gradient) in mean.iter_mut().zip(squares.iter_mut()).zip(gradient) {
            moments.add(mean, square, gradient * scale);
        }
        // Computed twice instead of kept: its norm is needed before it is.
        let direction = |value: f32, mean: f32, square: f32| {
            mean * mean_scale / (square.sqrt() * root_scale + epsilon) + decay * value
        };
        let mut rate = coefficients[0] * facts.learning_rate_multiplier;
        if facts.decays {
            let moments = mean.iter().zip(squares.iter());
            let squared = parameter.iter().zip(moments).map(|(value, (mean, square))| {
                let step = f64::from(direction(*value, *mean, *square));
                step * step
            });
            let (of_step, of_weights) = (squared.sum::<f64>().sqrt(), sum_of_squares(parameter).sqrt());
            if of_step > 0.0 && of_weights > 0.0 {
                rate *= (of_weights / of_step) as f32;
            }
        }
        for (value, (mean, square)) in parameter.iter_mut().zip(mean.iter().zip(squares.iter())) {
            *value -= rate * direction(*value, *mean, *square);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let [mean, squares] = self.moments().nodes(graph, inputs.state, inputs.gradient)?;
        let epsilon = graph.scalar(self.epsilon as f32);
        let root = graph.add("Sqrt", &[squares], &[])?;
        let root = graph.times(root, inputs.coefficients[2])?;
        let divisor = graph.plus(root, epsilon)?;
        let corrected = graph.times(mean, inputs.coefficients[1])?;
        let mut direction = graph.divided_by(corrected, divisor)?;
        let decay = inputs.facts.decay(self.weight_decay as f32);
        if decay > 0.0 {
            let decay = graph.scalar(decay);
            let pull = graph.times(inputs.parameter, decay)?;
            direction = graph.plus(direction, pull)?;
        }
        let mut rate = inputs.rate(graph, 0)?;
        if inputs.facts.decays {
            let mut norm = |value| {
                let sum = sum_of_squares_nodes(graph, value)?;
                graph.add("Sqrt", &[sum], &[])
            };
            let (of_weights, of_step) = (norm(inputs.parameter)?, norm(direction)?);
            let (zero, one) = (graph.scalar(0.0), graph.scalar(1.0));
            let [has_weights, has_step] = [of_weights, of_step].map(|norm| graph.add("Greater", &[norm, zero], &[]));
            let has_ratio = graph.add("And", &[has_weights?, has_step?], &[])?;
            let ratio = graph.divided_by(of_weights, of_step)?;
            let ratio = graph.add("Where", &[has_ratio, ratio, one], &[])?;
            rate = graph.times(rate, ratio)?;
        }
        let change = graph.times(direction, rate)?;
        Ok((graph.minus(inputs.parameter, change)?, vec![mean, squares]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::StateStart;
    use crate::optimizers::trajectory::{assert_trajectory, facts_of_matrix};

    /// Algorithm 2 in tensors of PyTorch, at step t from 1, for the matrix; for the vector `ratio` is 1 and 0.1 is 0:
    ///
    /// ```python
    /// m.lerp_(g, 0.1); v.mul_(0.999).addcmul_(g, g, value=0.001)
    /// u = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-6) + 0.1 * p
    /// p.sub_(0.05 * (p.norm() / u.norm()) * u)
    /// ```
    #[test]
    fn fifty_steps_are_those_of_the_paper() {
        assert_trajectory(
            &Lamb { weight_decay: 0.1, ..Lamb::default() },
            0.05,
            [
                0.26278716,
                -0.053264707,
                -0.55668688,
                -0.7011956,
                -0.18018229,
                0.61700237,
                0.98579872,
                0.67312288,
                -0.19499764,
                -1.0170213,
                -0.95507896,
                -0.2769247,
                0.75221777,
                1.1696554,
                0.65547574,
                -0.34609023,
            ],
        );
    }

    #[test]
    fn a_matrix_of_zeros_moves_by_the_learning_rate() {
        let rule = Lamb::default();
        let (mut parameter, mut state) = (vec![0.0_f32; 12], vec![StateStart::F32(0.0).values(12); 2]);
        rule.update(&rule.coefficients(0, 0.1), facts_of_matrix(), 1.0, &mut parameter, &[2.0; 12], &mut state);
        assert!(parameter.iter().all(|value| (value + 0.1).abs() < 1e-6), "{parameter:?}");
    }
}
