//! Momentum of which every direction counts alike, for matrices; AdamW for the rest.

use millstream_compiler::CompilerError;
use millstream_compiler::finetuning::pattern_matches;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, between, share};
use millstream_schemas::{ParameterEntry, nearest, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::newton_schulz::NewtonSchulz;
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "muon",
    summary: "Momentum of which every direction counts alike, for matrices; AdamW for the rest.",
    documentation: "Jordan et al., \"Muon: An optimizer for hidden layers in neural networks\" (2024), as PyTorch's `Muon` computes \
        it: m ← m + (1 − μ)(g − m); u = m, or with Nesterov g + μ(m − g); θ ← θ·(1 − η·λ) − η·s·O(u). O brings the singular \
        values of u near 1: u/‖u‖, then `newton_schulz_steps` times X ← a·X + (b·XXᵀ + c·(XXᵀ)²)X, here in 32-bit floats (PyTorch takes \
        bfloat16). s is said by `scaling`: `match_rms_adamw` (Liu et al., \"Muon is Scalable for LLM Training\", 2025) is \
        0.2·√max(rows, columns), with which learning rates and decays of AdamW fit; `original`, PyTorch's default, is \
        √max(1, rows/columns), and `spectral_unclamped` √(rows/columns). The latter two take the first axis for the outputs, \
        while many ONNX files hold the weights of a MatMul the other way round, so they are not the default here. \
        Matrices are weights of two axes, and kernels of 2-D convolutions read as [outputs, rest]. \
        All other parameters, and the layers that `adamw_layers` names, are trained by AdamW: usually name embedding tables and \
        the head.",
    samples: &[
        "{}",
        r#"{"scaling": "original", "nesterov": false, "weight_decay": 0, "momentum": 0.9}"#,
        r#"{"scaling": "spectral_unclamped", "adamw_rate": 0.5, "newton_schulz_steps": 3}"#,
        r#"{"adamw_layers": ["*"]}"#,
    ],
    learning_rate: 1e-3,
    build: Build::of::<Muon>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Muon {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    momentum: f64,
    /// Look ahead by the momentum.
    nesterov: bool,
    /// Pull towards zero, times the learning rate, on weights that decay, those of AdamW among them.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// How long the step of a matrix is, by its shape.
    scaling: Scaling,
    /// How often the matrix goes through the polynomial, 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    newton_schulz_steps: u32,
    /// a, b and c of the polynomial a·s + b·s³ + c·s⁵ that singular values go through.
    polynomial: [f64; 3],
    /// Least norm that a matrix is divided by.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Layers whose matrices AdamW trains too, as names with `*` and `?`.
    adamw_layers: Vec<String>,
    /// Factor on the learning rate of what AdamW trains, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    adamw_rate: f64,
    /// AdamW's decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    adamw_beta1: f64,
    /// AdamW's decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    adamw_beta2: f64,
    /// AdamW's number that is added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    adamw_epsilon: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scaling {
    /// 0.2·√max(rows, columns): the root mean square of AdamW's steps.
    MatchRmsAdamw,
    /// √max(1, rows/columns).
    Original,
    /// √(rows/columns).
    SpectralUnclamped,
}

impl Default for Muon {
    fn default() -> Self {
        Self {
            momentum: 0.95,
            nesterov: true,
            weight_decay: 0.1,
            scaling: Scaling::MatchRmsAdamw,
            newton_schulz_steps: 5,
            polynomial: [3.4445, -4.775, 2.0315],
            epsilon: 1e-7,
            adamw_layers: Vec::new(),
            adamw_rate: 1.0,
            adamw_beta1: 0.9,
            adamw_beta2: 0.999,
            adamw_epsilon: 1e-8,
        }
    }
}

impl Options for Muon {
    fn validate(&self) -> Result<(), String> {
        share("momentum", self.momentum)?;
        at_least("weight_decay", self.weight_decay)?;
        between("newton_schulz_steps", self.newton_schulz_steps, 1, 99)?;
        if let Some(value) = self.polynomial.iter().find(|value| !value.is_finite()) {
            return Err(format!("polynomial has three finite numbers, got {value}"));
        }
        above("epsilon", self.epsilon)?;
        above("adamw_rate", self.adamw_rate)?;
        share("adamw_beta1", self.adamw_beta1)?;
        share("adamw_beta2", self.adamw_beta2)?;
        above("adamw_epsilon", self.adamw_epsilon)
    }
}

impl Muon {
    fn adamw(&self) -> AdamW {
        AdamW {
            beta1: self.adamw_beta1,
            beta2: self.adamw_beta2,
            epsilon: self.adamw_epsilon,
            weight_decay: self.weight_decay,
        }
    }

    /// A parameter that AdamW trains, with its factor on the learning rate.
    fn by_adamw<'a>(&self, facts: ParameterFacts<'a>) -> ParameterFacts<'a> {
        ParameterFacts { learning_rate_multiplier: facts.learning_rate_multiplier * self.adamw_rate as f32, ..facts }
    }

    /// Rows and columns of a parameter that is a matrix; nothing of one that AdamW trains.
    fn matrix(&self, facts: ParameterFacts<'_>) -> Option<[usize; 2]> {
        if self.adamw_layers.iter().any(|pattern| pattern_matches(pattern, facts.layer)) {
            return None;
        }
        match *facts.shape {
            [rows, columns] => Some([rows, columns]),
            [rows, inputs, height, width] => Some([rows, inputs * height * width]),
            _ => None,
        }
    }

    fn newton_schulz(&self) -> NewtonSchulz {
        NewtonSchulz {
            coefficients: self.polynomial.map(|value| value as f32),
            iterations: self.newton_schulz_steps,
            epsilon: self.epsilon as f32,
        }
    }

    /// The factor s on a step.
    fn scale(&self, [rows, columns]: [usize; 2]) -> f32 {
        let (rows, columns) = (rows as f64, columns as f64);
        let scale = match self.scaling {
            Scaling::MatchRmsAdamw => 0.2 * rows.max(columns).sqrt(),
            Scaling::Original => (rows / columns).max(1.0).sqrt(),
            Scaling::SpectralUnclamped => (rows / columns).sqrt(),
        };
        scale as f32
    }

    /// Share of a new gradient in the mean, and of the mean in the direction.
    fn shares(&self) -> [f32; 2] {
        [1.0 - self.momentum, if self.nesterov { self.momentum } else { 1.0 }].map(|value| value as f32)
    }
}

impl UpdateRule for Muon {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        match self.matrix(facts) {
            Some(_) => vec![facts.state_alike("momentum")],
            None => self.adamw().state(facts),
        }
    }

    /// Those of AdamW, of which the first is the learning rate η.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        self.adamw().coefficients(step, learning_rate)
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
        let Some([rows, columns]) = self.matrix(facts) else {
            return self.adamw().update(coefficients, self.by_adamw(facts), scale, parameter, gradient, state);
        };
        let [new, of_mean] = self.shares();
        let [mean] = floats(state);
        let directions = mean.iter_mut().zip(gradient).map(|(mean, gradient)| {
            let gradient = gradient * scale;
            *mean += new * (gradient - *mean);
            gradient + of_mean * (*mean - gradient)
        });
        let directions: Vec<f32> = directions.collect();
        let orthogonal = self.newton_schulz().of(&directions, rows, columns);
        let rate = coefficients[0] * facts.learning_rate_multiplier;
        let keep = 1.0 - rate * facts.decay(self.weight_decay as f32);
        let step = rate * self.scale([rows, columns]);
        for (value, direction) in parameter.iter_mut().zip(orthogonal) {
            *value = *value * keep - step * direction;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let Some([rows, columns]) = self.matrix(inputs.facts) else {
            let facts = self.by_adamw(inputs.facts);
            return self.adamw().nodes(graph, &NodeInputs { facts, ..*inputs });
        };
        let (gradient, mean) = (inputs.gradient, inputs.state[0]);
        let [new, of_mean] = self.shares().map(|value| graph.scalar(value));
        let difference = graph.minus(gradient, mean)?;
        let change = graph.times(difference, new)?;
        let mean = graph.plus(mean, change)?;
        let difference = graph.minus(mean, gradient)?;
        let ahead = graph.times(difference, of_mean)?;
        let direction = graph.plus(gradient, ahead)?;
        let matrix = graph.reshape(direction, &[rows, columns])?;
        let orthogonal = self.newton_schulz().nodes(graph, matrix, rows, columns)?;
        let orthogonal = graph.reshape(orthogonal, inputs.facts.shape)?;
        let rate = inputs.rate(graph, 0)?;
        let scale = graph.scalar(self.scale([rows, columns]));
        let step = graph.times(rate, scale)?;
        let change = graph.times(orthogonal, step)?;
        let parameter = inputs.decayed_parameter(graph, rate, self.weight_decay as f32)?;
        Ok((graph.minus(parameter, change)?, vec![mean]))
    }

    fn check(&self, parameters: &[ParameterEntry]) -> Result<(), String> {
        let layers = || parameters.iter().map(|entry| entry.layer.as_str());
        let unknown = |pattern: &&String| !layers().any(|layer| pattern_matches(pattern, layer));
        let Some(pattern) = self.adamw_layers.iter().find(unknown) else { return Ok(()) };
        let near =
            nearest(pattern, layers()).map_or_else(String::new, |near| format!("; did you mean `{}`?", shown(near)));
        Err(format!("adamw_layers: no layer that is trained matches `{}`{near}", shown(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::{assert_trajectory, facts_of_matrix};

    /// `torch.optim.Muon([matrix], lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")`, with `torch.bfloat16` set to
    /// `torch.float32` before, and `torch.optim.AdamW([vector], lr=0.05, weight_decay=0.0)`; then with
    /// `lr=0.01, nesterov=False, adjust_lr_fn="original"` and the other with `lr=0.01`.
    #[test]
    fn fifty_steps_are_those_of_pytorch() {
        let rule = Muon::default();
        assert_trajectory(
            &rule,
            0.05,
            [
                0.77920163,
                0.33270532,
                -0.38548848,
                -0.6473738,
                -0.35567316,
                0.24023154,
                0.72018301,
                0.68726617,
                -0.046923645,
                -0.76217788,
                -0.76515502,
                -0.050181009,
                0.75221771,
                1.1696557,
                0.6554758,
                -0.34608996,
            ],
        );
        let rule = Muon { nesterov: false, scaling: Scaling::Original, ..rule };
        assert_trajectory(
            &rule,
            0.01,
            [
                0.95202672,
                0.46318084,
                -0.43138725,
                -0.86934996,
                -0.53253341,
                0.28074613,
                0.89691472,
                0.77584362,
                -0.099795759,
                -0.89787221,
                -0.86383742,
                -0.027091704,
                0.82552648,
                0.95988876,
                0.24048498,
                -0.6769684,
            ],
        );
    }

    #[test]
    fn what_is_a_matrix_is_said_by_shape_and_layer() {
        let rule = Muon { adamw_layers: vec!["embed*".into()], ..Muon::default() };
        for (shape, layer, wanted) in [
            (&[3, 4][..], "encoder.0", Some([3, 4])),
            (&[8, 3, 5, 5], "conv", Some([8, 75])),
            (&[3, 4], "embeddings", None),
            (&[4], "encoder.0", None),
            (&[2, 8, 4], "rnn", None),
        ] {
            let facts = ParameterFacts { shape, layer, ..facts_of_matrix() };
            assert_eq!(rule.matrix(facts), wanted, "{layer} {shape:?}");
            assert_eq!(rule.state(facts).len(), if wanted.is_some() { 1 } else { 2 });
        }
    }
}
