//! Stochastic gradient descent with momentum.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "sgd",
    summary: "Stochastic gradient descent with momentum.",
    documentation: "As PyTorch's `SGD` computes it: d = g + λ·θ; b ← μ·b + d; θ ← θ − η·b, or with Nesterov \
        θ ← θ − η·(d + μ·b). Biases and other vectors do not decay.",
    samples: &["{}", r#"{"momentum": 0}"#, r#"{"learning_rate": 0.1, "nesterov": true, "weight_decay": 0.0005}"#],
    learning_rate: 1e-2,
    build: Build::of::<Sgd>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sgd {
    /// Share of the last step that is kept, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub(super) momentum: f64,
    /// Look ahead by the momentum (Nesterov).
    pub(super) nesterov: bool,
    /// Added to the gradient, times the weight, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    pub(super) weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl Options for Sgd {
    fn validate(&self) -> Result<(), String> {
        share("momentum", self.momentum)?;
        at_least("weight_decay", self.weight_decay)?;
        if self.nesterov && self.momentum <= 0.0 {
            return Err(format!("momentum is above 0, because `nesterov` is on, got {}", self.momentum));
        }
        Ok(())
    }
}

impl Sgd {
    /// μ and λ in the precision of the weights.
    fn values(&self) -> [f32; 2] {
        [self.momentum, self.weight_decay].map(|value| value as f32)
    }
}

impl UpdateRule for Sgd {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        (self.momentum > 0.0).then(|| facts.state_alike("momentum")).into_iter().collect()
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
        let ([momentum, weight_decay], nesterov) = (self.values(), self.nesterov);
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let decay = facts.decay(weight_decay);
        let [buffer] = state else {
            for (value, gradient) in parameter.iter_mut().zip(gradient) {
                *value -= rate * (gradient * scale + decay * *value);
            }
            return;
        };
        let ahead = if nesterov { 1.0 } else { 0.0 };
        for ((value, gradient), kept) in parameter.iter_mut().zip(gradient).zip(buffer.floats_mut()) {
            let direction = gradient * scale + decay * *value;
            *kept = momentum * *kept + direction;
            let step = if ahead > 0.0 { direction + momentum * *kept } else { *kept };
            *value -= rate * step;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let ([momentum, weight_decay], nesterov) = (self.values(), self.nesterov);
        let multiplier = graph.scalar(inputs.facts.learning_rate_multiplier);
        let rate = graph.times(inputs.coefficients[0], multiplier)?;
        let mut direction = inputs.gradient;
        let weight_decay = inputs.facts.decay(weight_decay);
        if weight_decay > 0.0 {
            let decay = graph.scalar(weight_decay);
            let pull = graph.times(inputs.parameter, decay)?;
            direction = graph.plus(direction, pull)?;
        }
        let mut state = Vec::new();
        if let [buffer] = inputs.state {
            let momentum = graph.scalar(momentum);
            let kept = graph.times(*buffer, momentum)?;
            let new_buffer = graph.plus(kept, direction)?;
            state.push(new_buffer);
            direction = if nesterov {
                let ahead = graph.times(new_buffer, momentum)?;
                graph.plus(direction, ahead)?
            } else {
                new_buffer
            };
        }
        let change = graph.times(direction, rate)?;
        Ok((graph.minus(inputs.parameter, change)?, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::StateStart;
    use crate::optimizers::trajectory::facts_of_matrix;

    /// Three steps of `torch.optim.SGD` from p = 1 with gradients 0.5, −1, 2, written out by hand.
    #[test]
    fn three_steps_are_those_of_pytorchs_formula() {
        for (momentum, nesterov, decay) in [(0.0, false, 0.0), (0.9, false, 0.0), (0.9, true, 0.1), (0.0, false, 0.1)] {
            let (mut wanted, mut buffer) = (1.0_f64, None::<f64>);
            for gradient in [0.5_f64, -1.0, 2.0] {
                let mut direction = gradient + decay * wanted;
                if momentum > 0.0 {
                    let kept = buffer.map_or(direction, |kept| momentum * kept + direction);
                    buffer = Some(kept);
                    direction = if nesterov { direction + momentum * kept } else { kept };
                }
                wanted -= 0.1 * direction;
            }
            let rule = Sgd { momentum, nesterov, weight_decay: decay };
            let facts = facts_of_matrix();
            let mut parameter = vec![1.0_f32];
            let mut state = vec![StateStart::F32(0.0).values(1); rule.state(facts).len()];
            for (step, gradient) in [0.5_f32, -1.0, 2.0].into_iter().enumerate() {
                // The gradient comes four times too large, to be scaled down.
                let coefficients = rule.coefficients(step as u64, 0.1);
                rule.update(&coefficients, facts, 0.25, &mut parameter, &[4.0 * gradient], &mut state);
            }
            let got = f64::from(parameter[0]);
            assert!((got - wanted).abs() < 1e-6, "momentum {momentum}, nesterov {nesterov}: {got}, wanted {wanted}");
        }
    }
}
