//! AdamW that remembers a quarter as much: both moments in eight bits.

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Constant, Graph, ValueId};
use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::dynamic_map::{BLOCK, DynamicMap};
use super::optimizer_kind::{Build, OptimizerKind};
use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::{StateStart, StateValues};

pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adamw_8bit",
    summary: "AdamW that remembers a quarter as much: both moments in eight bits.",
    documentation: "Dettmers et al., \"8-bit Optimizers via Block-wise Quantization\" (2022), with the dynamic map of bitsandbytes: each 256 \
        elements of m and of v are codes of a byte, the first with a sign, times the largest of them. A step decodes them, computes as \
        `adamw` does, in floats, and codes the new moments anew. Parameters of fewer than `min_8bit_size` numbers are trained by AdamW. \
        Unlike there, a v above 0 has no code of 0: where gradients come seldom, m/√v would be beyond measure. \
        Biases and other vectors do not decay.",
    samples: &["{}", r#"{"min_8bit_size": 1}"#, r#"{"min_8bit_size": 40, "weight_decay": 0.1, "beta1": 0.8}"#],
    learning_rate: 1e-3,
    build: Build::of::<AdamW8Bit>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AdamW8Bit {
    /// Decay of the mean of gradients, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
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
    /// Parameters of fewer numbers keep moments of 32 bits.
    min_8bit_size: usize,
}

impl Default for AdamW8Bit {
    fn default() -> Self {
        let AdamW { beta1, beta2, epsilon, weight_decay } = AdamW::default();
        Self { beta1, beta2, epsilon, weight_decay, min_8bit_size: 4096 }
    }
}

impl Options for AdamW8Bit {
    fn validate(&self) -> Result<(), String> {
        self.adamw().validate()
    }
}

impl AdamW8Bit {
    fn adamw(&self) -> AdamW {
        let Self { beta1, beta2, epsilon, weight_decay, .. } = *self;
        AdamW { beta1, beta2, epsilon, weight_decay }
    }

    /// Blocks of a parameter whose moments are codes; nothing of one that AdamW trains.
    fn blocks(&self, facts: ParameterFacts<'_>) -> Option<usize> {
        let elements = facts.shape.iter().product::<usize>();
        (elements >= self.min_8bit_size.max(1)).then(|| elements.div_ceil(BLOCK))
    }

    /// 1 − β₁, β₂, 1 − β₂ and ε.
    fn values(&self) -> [f32; 4] {
        let [beta1, beta2, epsilon] = [self.beta1, self.beta2, self.epsilon].map(|value| value as f32);
        [1.0 - beta1, beta2, 1.0 - beta2, epsilon]
    }
}

impl UpdateRule for AdamW8Bit {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let Some(blocks) = self.blocks(facts) else { return self.adamw().state(facts) };
        let tensor = |name, columns, start| StateTensor { name, shape: vec![blocks, columns], start };
        vec![
            tensor("mean", BLOCK, StateStart::U8(DynamicMap::signed().zero())),
            tensor("mean_scale", 1, StateStart::F32(0.0)),
            tensor("mean_of_squares", BLOCK, StateStart::U8(DynamicMap::unsigned().zero())),
            tensor("mean_of_squares_scale", 1, StateStart::F32(0.0)),
        ]
    }

    /// Those of AdamW.
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
        if self.blocks(facts).is_none() {
            return self.adamw().update(coefficients, facts, scale, parameter, gradient, state);
        }
        let [mean, mean_scale, squares, squares_scale] = state else {
            unreachable!("four state tensors of a parameter in blocks")
        };
        let [new, kept, new_square, epsilon] = self.values();
        let [rate, step_size, root_scale] = [coefficients[0], coefficients[1], coefficients[2]];
        let keep = 1.0 - rate * facts.learning_rate_multiplier * facts.decay(self.weight_decay as f32);
        let step_size = step_size * facts.learning_rate_multiplier;
        let (signed, unsigned) = (DynamicMap::signed(), DynamicMap::unsigned());
        let means = mean.bytes_mut().chunks_mut(BLOCK).zip(mean_scale.floats_mut());
        let squares = squares.bytes_mut().chunks_mut(BLOCK).zip(squares_scale.floats_mut());
        let blocks = parameter.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK));
        for ((values, gradients), ((means, mean_scale), (squares, squares_scale))) in blocks.zip(means.zip(squares)) {
            let (mut new_means, mut new_squares) = ([0.0_f32; BLOCK], [0.0_f32; BLOCK]);
            for (at, (value, gradient)) in values.iter_mut().zip(gradients).enumerate() {
                let gradient = gradient * scale;
                let mean = signed.number(means[at]) * *mean_scale;
                let square = unsigned.number(squares[at]) * *squares_scale;
                let mean = mean + new * (gradient - mean);
                let square = kept * square + gradient * gradient * new_square;
                let direction = mean / (square.sqrt() * root_scale + epsilon);
                *value = *value * keep - direction * step_size;
                (new_means[at], new_squares[at]) = (mean, square);
            }
            signed.quantize(&new_means, means, mean_scale);
            unsigned.quantize(&new_squares, squares, squares_scale);
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let Some(blocks) = self.blocks(inputs.facts) else { return self.adamw().nodes(graph, inputs) };
        let [mean, mean_scale, squares, squares_scale] = *inputs.state else {
            unreachable!("four state tensors of a parameter in blocks")
        };
        let [step_size, root_scale] = [inputs.coefficients[1], inputs.coefficients[2]];
        let [new, kept, new_square, epsilon] = self.values().map(|value| graph.scalar(value));
        let (signed, unsigned) = (DynamicMap::signed(), DynamicMap::unsigned());
        let elements = inputs.facts.shape.iter().product::<usize>();
        let mut gradient = graph.reshape(inputs.gradient, &[elements])?;
        let missing = blocks * BLOCK - elements;
        if missing > 0 {
            let zeros = graph.constant("zeros", Constant::f32([missing], &vec![0.0; missing]));
            gradient = graph.add("Concat", &[gradient, zeros], &[("axis", 0.into())])?;
        }
        let gradient = graph.reshape(gradient, &[blocks, BLOCK])?;

        let mean = signed.number_nodes(graph, mean, mean_scale)?;
        let difference = graph.minus(gradient, mean)?;
        let change = graph.times(difference, new)?;
        let mean = graph.plus(mean, change)?;
        let squares = unsigned.number_nodes(graph, squares, squares_scale)?;
        let kept = graph.times(squares, kept)?;
        let square = graph.times(gradient, gradient)?;
        let added = graph.times(square, new_square)?;
        let squares = graph.plus(kept, added)?;
        let root = graph.add("Sqrt", &[squares], &[])?;
        let root = graph.times(root, root_scale)?;
        let divisor = graph.plus(root, epsilon)?;
        let direction = graph.divided_by(mean, divisor)?;
        let mut direction = graph.reshape(direction, &[blocks * BLOCK])?;
        if missing > 0 {
            direction = graph.slice(direction, &[0], &[0_usize], &[elements], &[1])?;
        }
        let direction = graph.reshape(direction, inputs.facts.shape)?;

        let multiplier = graph.scalar(inputs.facts.learning_rate_multiplier);
        let step_size = graph.times(step_size, multiplier)?;
        let change = graph.times(direction, step_size)?;
        let rate = inputs.rate(graph, 0)?;
        let parameter = inputs.decayed_parameter(graph, rate, self.weight_decay as f32)?;
        let parameter = graph.minus(parameter, change)?;
        let [mean, mean_scale] = signed.quantize_nodes(graph, mean)?;
        let [squares, squares_scale] = unsigned.quantize_nodes(graph, squares)?;
        Ok((parameter, vec![mean, mean_scale, squares, squares_scale]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::trajectory::{assert_trajectory, facts_of_matrix};

    fn started(rule: &AdamW8Bit, facts: ParameterFacts<'_>) -> Vec<StateValues> {
        rule.state(facts).iter().map(StateTensor::start_values).collect()
    }

    /// The formula in doubles, written down in Python by itself with the nearest of the 256 numbers of
    /// `bitsandbytes.functional.create_dynamic_map`, on the parameters and gradients of the other trajectories: at a rate of 0.05 with
    /// λ = 0.1, and at 0.02 with β = (0.8, 0.9). `optimizer_update_8bit_blockwise_pytorch` of bitsandbytes 0.50.2 gives the same to 1e-6.
    #[test]
    fn fifty_steps_are_those_of_bitsandbytes() {
        let rule = AdamW8Bit { min_8bit_size: 1, weight_decay: 0.1, ..AdamW8Bit::default() };
        assert_trajectory(&rule, 0.05, FIRST);
        assert_trajectory(&AdamW8Bit { weight_decay: 0.0, beta1: 0.8, beta2: 0.9, ..rule }, 0.02, SECOND);
    }

    const FIRST: [f64; 16] = [
        0.39751659,
        0.023244584,
        -0.60079019,
        -0.85892419,
        -0.31706414,
        0.63253146,
        1.0828579,
        0.77112373,
        -0.16448455,
        -1.1285258,
        -1.0492189,
        -0.28243612,
        0.7446513,
        1.1644026,
        0.65023211,
        -0.36278116,
    ];

    const SECOND: [f64; 16] = [
        0.85847872,
        0.37488776,
        -0.54873169,
        -1.0426983,
        -0.59142836,
        0.45657076,
        1.1113705,
        0.85529909,
        -0.14753509,
        -1.0780897,
        -1.0059443,
        -0.12975908,
        0.79031926,
        0.97483962,
        0.30665499,
        -0.61328112,
    ];

    #[test]
    fn small_parameters_are_those_of_adamw_to_the_bit_and_large_ones_are_remembered_in_a_quarter() {
        let (rule, adamw) = (AdamW8Bit::default(), AdamW::default());
        let small = ParameterFacts { shape: &[4095], ..facts_of_matrix() };
        let (mut a, mut b) = (vec![1.0_f32; 4095], vec![1.0_f32; 4095]);
        let (mut state_a, mut state_b) = (started(&rule, small), started(&rule, small));
        for step in 0..3 {
            let gradient: Vec<f32> = (0..4095).map(|at| ((at + step) as f32).sin()).collect();
            rule.update(&rule.coefficients(step as u64, 0.1), small, 0.5, &mut a, &gradient, &mut state_a);
            adamw.update(&adamw.coefficients(step as u64, 0.1), small, 0.5, &mut b, &gradient, &mut state_b);
        }
        assert_eq!((a, state_a), (b, state_b));
        let bytes = |rule: &dyn UpdateRule, shape: &[usize]| {
            let tensors = rule.state(ParameterFacts { shape, ..facts_of_matrix() });
            tensors.iter().map(StateTensor::bytes).sum::<usize>()
        };
        assert_eq!((bytes(&rule, &[64, 64]), bytes(&adamw, &[64, 64])), (2 * 4096 + 2 * 4 * 16, 8 * 4096));
        assert_eq!(bytes(&rule, &[4097]), 2 * 17 * 256 + 2 * 4 * 17);
    }

    /// What lies in one block does not change another, and a last block may be short.
    #[test]
    fn blocks_stand_by_themselves() {
        let rule = AdamW8Bit::default();
        let number = |at: usize| 1e-3 * ((at * 37 % 101) as f32 - 50.0);
        let moved = |largest: f32| {
            let facts = ParameterFacts { shape: &[4500], ..facts_of_matrix() };
            let (mut values, mut state) = (vec![0.0_f32; 4500], started(&rule, facts));
            for step in 0..4 {
                let mut gradient: Vec<f32> = (0..4500).map(|at| number(at + step)).collect();
                gradient[300] = largest;
                rule.update(&rule.coefficients(step as u64, 0.1), facts, 1.0, &mut values, &gradient, &mut state);
            }
            values
        };
        let (a, b) = (moved(0.01), moved(1e4));
        let differs: Vec<usize> = (0..4500).filter(|at| a[*at] != b[*at]).collect();
        assert!(differs.len() > 100 && differs.iter().all(|at| (256..512).contains(at)), "{differs:?}");
    }

    #[test]
    fn a_weight_whose_gradient_came_once_is_not_thrown_far_away() {
        let rule = AdamW8Bit { min_8bit_size: 1, weight_decay: 0.0, ..AdamW8Bit::default() };
        let facts = ParameterFacts { shape: &[2], ..facts_of_matrix() };
        let (mut values, mut state) = (vec![0.0_f32; 2], started(&rule, facts));
        for step in 0..20 {
            // the second is a ten-thousandth of the first, once
            let gradient = [1.0, if step == 0 { 1e-4 } else { 0.0 }];
            rule.update(&rule.coefficients(step, 0.1), facts, 1.0, &mut values, &gradient, &mut state);
        }
        assert!(values[1].abs() < 1.0, "{values:?}");
    }
}
