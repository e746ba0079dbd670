//! The gradient over the root of the sum of its squares so far.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateStart, StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adagrad",
    summary: "The gradient over the root of the sum of its squares so far.",
    documentation: "Duchi, Hazan and Singer, \"Adaptive Subgradient Methods for Online Learning and Stochastic Optimization\" \
        (2011), as PyTorch's `Adagrad` computes it: g ← g + λ·θ; s ← s + g²; θ ← θ − η/(1 + t·`learning_rate_decay`) · g/(√s + ε) \
        at step t (from 0). s begins at `initial_sum`. Steps become shorter by themselves, so it goes with a `constant` schedule. \
        Biases and other vectors do not decay.",
    samples: &[
        "{}",
        r#"{"learning_rate": 0.1, "weight_decay": 0.1, "learning_rate_decay": 0.01}"#,
        r#"{"initial_sum": 0.1, "epsilon": 1e-7}"#,
    ],
    learning_rate: 1e-2,
    build: Build::of::<Adagrad>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Adagrad {
    /// How much slower step t is, 0 or more: the learning rate is divided by 1 + t times this.
    #[schemars(range(min = 0))]
    learning_rate_decay: f64,
    /// What the sum of squared gradients begins at, 0 or more.
    #[schemars(range(min = 0))]
    initial_sum: f64,
    /// Added to the root of the sum.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Added to the gradient, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { learning_rate_decay: 0.0, initial_sum: 0.0, epsilon: 1e-10, weight_decay: 0.0 }
    }
}

impl Options for Adagrad {
    fn validate(&self) -> Result<(), String> {
        at_least("learning_rate_decay", self.learning_rate_decay)?;
        at_least("initial_sum", self.initial_sum)?;
        above("epsilon", self.epsilon)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl UpdateRule for Adagrad {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        vec![StateTensor { start: StateStart::F32(self.initial_sum as f32), ..facts.state_alike("sum_of_squares") }]
    }

    /// Learning rate η of this step.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        vec![(f64::from(learning_rate) / (1.0 + step as f64 * self.learning_rate_decay)) as f32]
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
        let (epsilon, decay) = (self.epsilon as f32, facts.decay(self.weight_decay as f32));
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let [sums] = floats(state);
        for ((value, gradient), sum) in parameter.iter_mut().zip(gradient).zip(sums) {
            let gradient = gradient * scale + decay * *value;
            *sum += gradient * gradient;
            *value -= rate * gradient / (sum.sqrt() + epsilon);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let gradient = inputs.decayed_gradient(graph, self.weight_decay as f32)?;
        let square = graph.times(gradient, gradient)?;
        let sum = graph.plus(inputs.state[0], square)?;
        let root = graph.add("Sqrt", &[sum], &[])?;
        let epsilon = graph.scalar(self.epsilon as f32);
        let divisor = graph.plus(root, epsilon)?;
        let direction = graph.divided_by(gradient, divisor)?;
        let rate = inputs.rate(graph, 0)?;
        let change = graph.times(direction, rate)?;
        Ok((graph.minus(inputs.parameter, change)?, vec![sum]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::assert_trajectory;

    /// `torch.optim.Adagrad(groups, lr=0.1, weight_decay=0.1)`, and with `lr_decay=0.05, initial_accumulator_value=0.2`.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = Adagrad { weight_decay: 0.1, ..Adagrad::default() };
        assert_trajectory(
            &rule,
            0.1,
            [
                0.41602424,
                0.15962334,
                -0.55549848,
                -0.881392,
                -0.33001986,
                0.66942757,
                1.1453012,
                0.79481161,
                -0.24549472,
                -1.1748997,
                -1.1233298,
                -0.18555398,
                0.83835185,
                1.1788228,
                0.57227457,
                -0.48205024,
            ],
        );
        let rule = Adagrad { learning_rate_decay: 0.05, initial_sum: 0.2, ..rule };
        assert_trajectory(
            &rule,
            0.1,
            [
                0.62699336,
                0.23781617,
                -0.55538166,
                -0.94298714,
                -0.40208974,
                0.60685384,
                1.149087,
                0.82136852,
                -0.21534249,
                -1.2038097,
                -1.1048846,
                -0.16812977,
                0.81802082,
                1.1212926,
                0.50297105,
                -0.51808804,
            ],
        );
    }
}
