//! The gradient over the root of the running mean of its squares.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "rmsprop",
    summary: "The gradient over the root of the running mean of its squares.",
    documentation: "Tieleman and Hinton, lecture 6.5 of \"Neural Networks for Machine Learning\" (2012), as PyTorch's `RMSprop` \
        computes it: g ← g + λ·θ; v ← α·v + (1 − α)·g²; d = g/(√v + ε); θ ← θ − η·d, or with momentum b ← μ·b + d; θ ← θ − η·b. \
        With `centered` (Graves, 2013) also a ← a + (1 − α)(g − a), and v − a² stands in the place of v, 0 where rounding makes \
        it negative. Biases and other vectors do not decay.",
    samples: &[
        "{}",
        r#"{"learning_rate": 0.001, "weight_decay": 0.1, "alpha": 0.9}"#,
        r#"{"momentum": 0.9, "centered": true, "epsilon": 0.001}"#,
    ],
    learning_rate: 1e-2,
    build: Build::of::<RmsProp>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RmsProp {
    /// Decay α of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    alpha: f64,
    /// Added to the root of the mean of squares.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Share of the last step that is kept, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    momentum: f64,
    /// Divide by the spread of the gradients around their mean.
    centered: bool,
    /// Added to the gradient, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

impl Options for RmsProp {
    fn validate(&self) -> Result<(), String> {
        share("alpha", self.alpha)?;
        above("epsilon", self.epsilon)?;
        share("momentum", self.momentum)?;
        at_least("weight_decay", self.weight_decay)
    }
}

impl RmsProp {
    /// α, 1 − α, ε and μ in the precision of the weights.
    fn values(&self) -> [f32; 4] {
        [self.alpha, 1.0 - self.alpha, self.epsilon, self.momentum].map(|value| value as f32)
    }

    /// Where the mean of gradients and the momentum lie in the state.
    fn places(&self) -> [Option<usize>; 2] {
        [self.centered.then_some(1), (self.momentum > 0.0).then_some(1 + usize::from(self.centered))]
    }
}

impl UpdateRule for RmsProp {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let [mean, momentum] = self.places();
        let names = [Some("mean_of_squares"), mean.map(|_| "mean"), momentum.map(|_| "momentum")];
        names.into_iter().flatten().map(|name| facts.state_alike(name)).collect()
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
        let ([kept, new, epsilon, momentum], [mean_at, momentum_at]) = (self.values(), self.places());
        let decay = facts.decay(self.weight_decay as f32);
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let mut state: Vec<&mut [f32]> = state.iter_mut().map(StateValues::floats_mut).collect();
        for (index, (value, gradient)) in parameter.iter_mut().zip(gradient).enumerate() {
            let gradient = gradient * scale + decay * *value;
            let square = kept * state[0][index] + new * gradient * gradient;
            state[0][index] = square;
            let mut spread = square;
            if let Some(place) = mean_at {
                let mean = &mut state[place][index];
                *mean += new * (gradient - *mean);
                spread = (square - *mean * *mean).max(0.0);
            }
            let mut direction = gradient / (spread.sqrt() + epsilon);
            if let Some(place) = momentum_at {
                direction += momentum * state[place][index];
                state[place][index] = direction;
            }
            *value -= rate * direction;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let [mean_at, momentum_at] = self.places();
        let [kept, new, epsilon, momentum] = self.values().map(|value| graph.scalar(value));
        let gradient = inputs.decayed_gradient(graph, self.weight_decay as f32)?;
        let old = graph.times(inputs.state[0], kept)?;
        let added = graph.times(gradient, new)?;
        let added = graph.times(added, gradient)?;
        let squares = graph.plus(old, added)?;
        let (mut spread, mut state) = (squares, vec![squares]);
        if let Some(place) = mean_at {
            let difference = graph.minus(gradient, inputs.state[place])?;
            let change = graph.times(difference, new)?;
            let mean = graph.plus(inputs.state[place], change)?;
            let square = graph.times(mean, mean)?;
            let difference = graph.minus(squares, square)?;
            spread = graph.add("Relu", &[difference], &[])?;
            state.push(mean);
        }
        let root = graph.add("Sqrt", &[spread], &[])?;
        let divisor = graph.plus(root, epsilon)?;
        let mut direction = graph.divided_by(gradient, divisor)?;
        if let Some(place) = momentum_at {
            let kept = graph.times(inputs.state[place], momentum)?;
            direction = graph.plus(direction, kept)?;
            state.push(direction);
        }
        let rate = inputs.rate(graph, 0)?;
        let change = graph.times(direction, rate)?;
        Ok((graph.minus(inputs.parameter, change)?, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::StateStart;
    use crate::optimizers::trajectory::assert_trajectory;

    /// `torch.optim.RMSprop(groups, lr=0.01, weight_decay=0.1)`, and with `momentum=0.9`, `centered=True` and both.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = RmsProp { weight_decay: 0.1, ..RmsProp::default() };
        assert_trajectory(
            &rule,
            0.01,
            [
                0.40767449,
                0.15071592,
                -0.55787861,
                -0.87742978,
                -0.32485658,
                0.67340022,
                1.147364,
                0.79464561,
                -0.24655643,
                -1.1760727,
                -1.1269803,
                -0.19031867,
                0.8381809,
                1.1824455,
                0.57904911,
                -0.47530746,
            ],
        );
        assert_trajectory(
            &RmsProp { momentum: 0.9, ..rule },
            0.01,
            [
                -1.4771916,
                -1.0441401,
                -0.82942551,
                -0.26212412,
                0.98001862,
                2.1061871,
                1.6553109,
                0.80608988,
                -0.63666171,
                -2.2090268,
                -2.2810409,
                -1.019171,
                0.77273047,
                3.1971729,
                3.8821902,
                1.5034673,
            ],
        );
        assert_trajectory(
            &RmsProp { centered: true, ..rule },
            0.01,
            [
                0.39875108,
                0.14507498,
                -0.56001681,
                -0.87653708,
                -0.31958798,
                0.68014061,
                1.1506172,
                0.7956425,
                -0.24807087,
                -1.1821874,
                -1.1319743,
                -0.19290747,
                0.83792657,
                1.1873249,
                0.58691049,
                -0.47105661,
            ],
        );
        assert_trajectory(
            &RmsProp { centered: true, momentum: 0.9, ..rule },
            0.01,
            [
                -1.5055493,
                -1.0639744,
                -0.83594936,
                -0.25487849,
                1.0068309,
                2.1390667,
                1.6705571,
                0.80919588,
                -0.64723521,
                -2.2461772,
                -2.3102574,
                -1.0338446,
                0.77019012,
                3.2447844,
                3.9580233,
                1.5443138,
            ],
        );
    }

    /// PyTorch takes the root of a small negative number here, which is none.
    #[test]
    fn gradients_without_spread_leave_numbers() {
        let rule = RmsProp { centered: true, alpha: 0.5, ..RmsProp::default() };
        let shape = [1];
        let facts = ParameterFacts {
            shape: &shape,
            layer: "layer",
            learning_rate_multiplier: 1.0,
            decays: true,
            weight_decay: None,
            is_statistic: false,
        };
        let (mut parameter, mut state) = (vec![0.0_f32], vec![StateStart::F32(0.0).values(1); 2]);
        for step in 0..200 {
            rule.update(&rule.coefficients(step, 1e-9), facts, 1.0, &mut parameter, &[0.3], &mut state);
        }
        assert!(parameter[0].is_finite() && parameter[0] < 0.0, "{parameter:?}");
    }
}
