use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::recipe::{OptimizerRecipe, Sgd};

use super::{Built, NodeInputs, OptimizerKind, ParameterFacts, UpdateRule};
use crate::TrainingError;

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "sgd",
    summary: "stochastic gradient descent with momentum, as PyTorch's `SGD` computes it",
    build: |recipe| match recipe {
        OptimizerRecipe::Sgd(options) => Some(build(*options)),
        _ => None,
    },
};

fn build(options: Sgd) -> Built {
    let Sgd { learning_rate, momentum, nesterov, weight_decay } = options;
    TrainingError::check(
        "training.optimizer.sgd.learning_rate",
        learning_rate,
        learning_rate > 0.0,
        "a number above 0",
    )?;
    TrainingError::check("training.optimizer.sgd.momentum", momentum, (0.0..1.0).contains(&momentum), "0 to below 1")?;
    TrainingError::check(
        "training.optimizer.sgd.momentum",
        momentum,
        !nesterov || momentum > 0.0,
        "above 0 when `nesterov` is on",
    )?;
    TrainingError::check("training.optimizer.sgd.weight_decay", weight_decay, weight_decay >= 0.0, "0 or more")?;
    Ok(Box::new(Rule(options)))
}

/// d = g + λ·θ; b ← μ·b + d; θ ← θ − η·b, or with Nesterov θ ← θ − η·(d + μ·b).
#[derive(Debug)]
struct Rule(Sgd);

impl UpdateRule for Rule {
    fn state_names(&self) -> &'static [&'static str] {
        if self.0.momentum > 0.0 { &["momentum"] } else { &[] }
    }

    /// Learning rate η.
    fn coefficients(&self, _step: u64, learning_rate: f32) -> Vec<f32> {
        vec![learning_rate]
    }

    fn update(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts,
        scale: f32,
        parameter: &mut [f32],
        gradient: &[f32],
        state: &mut [Vec<f32>],
    ) {
        let Sgd { momentum, nesterov, weight_decay, .. } = self.0;
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let decay = if facts.decays { weight_decay } else { 0.0 };
        let [buffer] = state else {
            for (value, gradient) in parameter.iter_mut().zip(gradient) {
                *value -= rate * (gradient * scale + decay * *value);
            }
            return;
        };
        let ahead = if nesterov { 1.0 } else { 0.0 };
        for ((value, gradient), kept) in parameter.iter_mut().zip(gradient).zip(buffer) {
            let direction = gradient * scale + decay * *value;
            *kept = momentum * *kept + direction;
            let step = if ahead > 0.0 { direction + momentum * *kept } else { *kept };
            *value -= rate * step;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let Sgd { momentum, nesterov, weight_decay, .. } = self.0;
        let multiplier = graph.scalar(inputs.facts.learning_rate_multiplier);
        let rate = graph.times(inputs.coefficients[0], multiplier)?;
        let mut direction = inputs.gradient;
        if inputs.facts.decays && weight_decay > 0.0 {
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

    /// Three steps of `torch.optim.SGD` from p = 1 with gradients 0.5, −1, 2, written out by hand.
    #[test]
    fn three_steps_are_those_of_pytorchs_formula() {
        for (momentum, nesterov, decay) in [(0.0, false, 0.0), (0.9, false, 0.0), (0.9, true, 0.1), (0.0, false, 0.1)] {
            let (mut wanted, mut buffer) = (1.0_f64, None::<f64>);
            for gradient in [0.5_f64, -1.0, 2.0] {
                let mut direction = gradient + f64::from(decay) * wanted;
                if momentum > 0.0 {
                    let kept = buffer.map_or(direction, |kept| f64::from(momentum) * kept + direction);
                    buffer = Some(kept);
                    direction = if nesterov { direction + f64::from(momentum) * kept } else { kept };
                }
                wanted -= 0.1 * direction;
            }
            let rule = build(Sgd { learning_rate: 0.1, momentum, nesterov, weight_decay: decay }).unwrap();
            let facts = ParameterFacts { learning_rate_multiplier: 1.0, decays: true };
            let mut parameter = vec![1.0_f32];
            let mut state = vec![vec![0.0; 1]; rule.state_names().len()];
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
