//! AdamW that needs no schedule: it trains at one point and evaluates the weighted mean of where it has been.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::choice::{Options, above, at_least, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateValues, floats};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "schedule_free_adamw",
    summary: "AdamW that needs no schedule: it trains at one point and evaluates the weighted mean of where it has been.",
    documentation: "Defazio et al., \"The Road Less Scheduled\" (2024), as `AdamWScheduleFree` of the authors' package schedulefree \
        computes it. Training is at y, and x is what is evaluated and exported: v ← β₂·v + (1 − β₂)·g²; \
        d = g/(√v/√(1 − β₂ᵗ) + ε) + λ·y; w = tʳ·(the highest η so far)^`weight_lr_power`, c = w/Σw; \
        y ← y + c·(z − y) + η·(β₁·(1 − c) − 1)·d; z ← z − η·d, with z = y at first; x = y + (1 − 1/β₁)·(z − y). \
        It remembers as much as AdamW. Take `schedule: {constant: {warmup: 0.05}}` beside it, and no schedule that falls: the mean \
        takes its place. It goes with no other average of the weights, and not with `batch_normalization: training`, whose statistics \
        would be those of y. Biases and other vectors do not decay.",
    samples: &[
        "{}",
        r#"{"learning_rate": 0.001, "weight_decay": 0.1, "beta1": 0.95}"#,
        r#"{"r": 1, "weight_lr_power": 1}"#,
    ],
    learning_rate: 2.5e-3,
    build: Build::of::<ScheduleFreeAdamW>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ScheduleFreeAdamW {
    /// How near to the mean training is, above 0 and below 1.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    beta2: f64,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    epsilon: f64,
    /// Pull towards zero, times the learning rate, on weights, not on norms and biases.
    #[schemars(range(min = 0))]
    weight_decay: f64,
    /// Step t counts in the mean by t to this power: above 0 later steps count more.
    #[schemars(range(min = 0))]
    r: f64,
    /// A step counts in the mean by the highest learning rate so far to this power, so that those of a warm-up count less.
    #[schemars(range(min = 0))]
    weight_lr_power: f64,
}

impl Default for ScheduleFreeAdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, r: 0.0, weight_lr_power: 2.0 }
    }
}

impl Options for ScheduleFreeAdamW {
    fn validate(&self) -> Result<(), String> {
        if !(self.beta1 > 0.0 && self.beta1 < 1.0) {
            return Err(format!("beta1 is above 0 and below 1, got {}", self.beta1));
        }
        share("beta2", self.beta2)?;
        above("epsilon", self.epsilon)?;
        at_least("weight_decay", self.weight_decay)?;
        at_least("r", self.r)?;
        at_least("weight_lr_power", self.weight_lr_power)
    }
}

impl ScheduleFreeAdamW {
    /// β₂ and 1 − β₂.
    fn shares(&self) -> [f32; 2] {
        [self.beta2, 1.0 - self.beta2].map(|value| value as f32)
    }
}

impl UpdateRule for ScheduleFreeAdamW {
    /// z, the second moment, Σw and the highest learning rate: what is frozen at times has a mean of its own.
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let of_weights = ["z", "mean_of_squares"].map(|name| facts.state_alike(name));
        let numbers =
            ["weight_sum", "highest_rate"].map(|name| ParameterFacts { shape: &[], ..facts }.state_alike(name));
        of_weights.into_iter().chain(numbers).collect()
    }

    /// Learning rate η, 1/√(1 − β₂ᵗ), tʳ, and 1 for the first step and 0 for others.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let number = (step + 1) as f64;
        let root_scale = 1.0 / (1.0 - self.beta2.powf(number)).sqrt();
        let is_first = if step == 0 { 1.0 } else { 0.0 };
        vec![learning_rate, root_scale as f32, number.powf(self.r) as f32, is_first]
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
        let [learning_rate, root_scale, step_weight, is_first] = *coefficients else {
            unreachable!("this rule has four coefficients")
        };
        let [z, squares, weight_sum, highest_rate] = floats(state);
        highest_rate[0] = highest_rate[0].max(learning_rate);
        let weight = step_weight * highest_rate[0].powf(self.weight_lr_power as f32);
        weight_sum[0] += weight;
        // steps at a learning rate of 0 have no weight
        let new = weight / weight_sum[0].max(f32::MIN_POSITIVE);
        let rate = learning_rate * facts.learning_rate_multiplier;
        let step = rate * (self.beta1 as f32 * (1.0 - new) - 1.0);
        let (decay, [kept, new_square]) = (facts.decay(self.weight_decay as f32), self.shares());
        let moments = z.iter_mut().zip(squares.iter_mut());
        for ((value, gradient), (z, square)) in parameter.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * scale;
            *z += is_first * (*value - *z);
            *square = kept * *square + new_square * gradient * gradient;
            let direction = gradient / (square.sqrt() * root_scale + self.epsilon as f32) + decay * *value;
            *value += new * (*z - *value) + step * direction;
            *z -= rate * direction;
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let [learning_rate, root_scale, step_weight, is_first] = *inputs.coefficients else {
            unreachable!("this rule has four coefficients")
        };
        let [z, squares, weight_sum, highest_rate] = *inputs.state else {
            unreachable!("this rule has four state tensors")
        };
        let [power, least, one, beta1, epsilon] =
            [self.weight_lr_power as f32, f32::MIN_POSITIVE, 1.0, self.beta1 as f32, self.epsilon as f32]
                .map(|value| graph.scalar(value));
        let [kept, new_square] = self.shares().map(|value| graph.scalar(value));

        let highest_rate = graph.add("Max", &[highest_rate, learning_rate], &[])?;
        let weight = graph.add("Pow", &[highest_rate, power], &[])?;
        let weight = graph.times(step_weight, weight)?;
        let weight_sum = graph.plus(weight_sum, weight)?;
        let divisor = graph.add("Max", &[weight_sum, least], &[])?;
        let new = graph.divided_by(weight, divisor)?;
        let rate = inputs.rate(graph, 0)?;
        let old = graph.minus(one, new)?;
        let step = graph.times(beta1, old)?;
        let step = graph.minus(step, one)?;
        let step = graph.times(rate, step)?;

        let distance = graph.minus(inputs.parameter, z)?;
        let change = graph.times(distance, is_first)?;
        let z = graph.plus(z, change)?;
        let kept = graph.times(squares, kept)?;
        let added = graph.times(inputs.gradient, new_square)?;
        let added = graph.times(added, inputs.gradient)?;
        let squares = graph.plus(kept, added)?;
        let root = graph.add("Sqrt", &[squares], &[])?;
        let root = graph.times(root, root_scale)?;
        let divisor = graph.plus(root, epsilon)?;
        let mut direction = graph.divided_by(inputs.gradient, divisor)?;
        let decay = inputs.facts.decay(self.weight_decay as f32);
        if decay > 0.0 {
            let decay = graph.scalar(decay);
            let pull = graph.times(inputs.parameter, decay)?;
            direction = graph.plus(direction, pull)?;
        }
        let distance = graph.minus(z, inputs.parameter)?;
        let towards = graph.times(distance, new)?;
        let along = graph.times(direction, step)?;
        let change = graph.plus(towards, along)?;
        let parameter = graph.plus(inputs.parameter, change)?;
        let change = graph.times(direction, rate)?;
        Ok((parameter, vec![graph.minus(z, change)?, squares, weight_sum, highest_rate]))
    }

    fn has_average(&self) -> bool {
        true
    }

    /// x of y and z.
    fn average(&self, _: ParameterFacts<'_>, mut parameter: Vec<f32>, state: &[StateValues]) -> Vec<f32> {
        let share = (1.0 - 1.0 / self.beta1) as f32;
        parameter.iter_mut().zip(state[0].floats()).for_each(|(value, z)| *value += share * (z - *value));
        parameter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::{assert_averaged_trajectory, facts_of_matrix};

    /// Fifty steps in doubles of the formula above, written down in Python by itself, which are to 1e-15 those of
    /// `schedulefree.AdamWScheduleFree(groups, lr=0.05, weight_decay=0.1)` of version 1.4.1 in doubles, y behind `train()` and x
    /// behind `eval()`; and with `betas=(0.95, 0.999)`, `r=1` and `weight_lr_power=1`.
    #[test]
    fn fifty_steps_are_those_of_schedulefree() {
        let decaying = ScheduleFreeAdamW { weight_decay: 0.1, ..ScheduleFreeAdamW::default() };
        assert_averaged_trajectory(&decaying, &|_| 0.05, DECAYING);
        let weighted = ScheduleFreeAdamW { beta1: 0.95, r: 1.0, weight_lr_power: 1.0, ..decaying };
        assert_averaged_trajectory(&weighted, &|_| 0.05, WEIGHTED);
    }

    /// As above, the first with `warmup_steps=10`.
    #[test]
    fn steps_of_a_warm_up_count_less() {
        let rule = ScheduleFreeAdamW { weight_decay: 0.1, ..ScheduleFreeAdamW::default() };
        assert_averaged_trajectory(&rule, &|step| 0.05 * ((step + 1) as f32 / 10.0).min(1.0), WARMED_UP);
    }

    #[test]
    fn steps_without_a_rate_move_nothing() {
        let rule = ScheduleFreeAdamW::default();
        let facts = facts_of_matrix();
        let mut state: Vec<StateValues> = rule.state(facts).iter().map(StateTensor::start_values).collect();
        let mut parameter = vec![1.5_f32; 12];
        for step in 0..3 {
            rule.update(&rule.coefficients(step, 0.0), facts, 1.0, &mut parameter, &[0.5; 12], &mut state);
        }
        assert_eq!((parameter.clone(), rule.average(facts, parameter, &state)), (vec![1.5; 12], vec![1.5; 12]));
    }

    /// y, then x.
    const DECAYING: [[f64; 16]; 2] = [
        [
            0.5619855,
            0.29930941,
            -0.40422345,
            -0.76546563,
            -0.31414068,
            0.49150342,
            0.93554162,
            0.63129747,
            -0.30186018,
            -1.1340122,
            -0.89354533,
            -0.036540061,
            0.94741719,
            1.1908513,
            0.4098765,
            -0.64399742,
        ],
        [
            0.5862665,
            0.32519778,
            -0.39184442,
            -0.7710338,
            -0.32969452,
            0.47716284,
            0.92657011,
            0.62778741,
            -0.30160271,
            -1.13133,
            -0.88298873,
            -0.019660322,
            0.95127471,
            1.1791751,
            0.38928337,
            -0.66468158,
        ],
    ];

    /// y, then x.
    const WEIGHTED: [[f64; 16]; 2] = [
        [
            0.56017696,
            0.30820014,
            -0.38109336,
            -0.74148777,
            -0.31502096,
            0.45539875,
            0.88977726,
            0.60647352,
            -0.28555524,
            -1.0795729,
            -0.8454058,
            -0.025817075,
            0.95070885,
            1.1850706,
            0.39193942,
            -0.66011891,
        ],
        [
            0.57117567,
            0.32090738,
            -0.37369174,
            -0.74232488,
            -0.32195805,
            0.44669215,
            0.88276573,
            0.60305851,
            -0.28492686,
            -1.0754652,
            -0.83762941,
            -0.017012958,
            0.95270934,
            1.1792355,
            0.38124072,
            -0.67076517,
        ],
    ];

    /// y, then x.
    const WARMED_UP: [[f64; 16]; 2] = [
        [
            0.79479634,
            0.50888934,
            -0.26104189,
            -0.72160532,
            -0.44216628,
            0.26170348,
            0.76619917,
            0.53189656,
            -0.27658437,
            -0.8787541,
            -0.69648719,
            0.10839069,
            1.0118137,
            1.059043,
            0.15458356,
            -0.84312363,
        ],
        [
            0.81885549,
            0.53706079,
            -0.24449213,
            -0.72242342,
            -0.45568173,
            0.24452218,
            0.75253349,
            0.52372128,
            -0.27878313,
            -0.87315622,
            -0.68176416,
            0.12888011,
            1.0183647,
            1.0499401,
            0.13437525,
            -0.86499975,
        ],
    ];
}
