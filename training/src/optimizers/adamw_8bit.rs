//! AdamW that remembers a quarter as much: both moments in eight bits.

use millstream_schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::eight_bits::EightBits;
use super::optimizer_kind::{Build, OptimizerKind};

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
    build: Build::from_options::<AdamW8Bit, EightBits<AdamW>>(),
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
    /// Parameters of fewer numbers keep a state of 32 bits.
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
}

impl From<AdamW8Bit> for EightBits<AdamW> {
    fn from(options: AdamW8Bit) -> Self {
        Self { rule: options.adamw(), min_8bit_size: options.min_8bit_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizers::rule::{ParameterFacts, StateTensor, UpdateRule};
    use crate::optimizers::state_values::StateValues;
    use crate::optimizers::trajectory::{assert_trajectory, facts_of_matrix};

    fn started(rule: &dyn UpdateRule, facts: ParameterFacts<'_>) -> Vec<StateValues> {
        rule.state(facts).iter().map(StateTensor::start_values).collect()
    }

    /// The formula in doubles, written down in Python by itself with the nearest of the 256 numbers of
    /// `bitsandbytes.functional.create_dynamic_map`, on the parameters and gradients of the other trajectories: at a rate of 0.05 with
    /// λ = 0.1, and at 0.02 with β = (0.8, 0.9). `optimizer_update_8bit_blockwise_pytorch` of bitsandbytes 0.50.2 gives the same to 1e-6.
    #[test]
    fn fifty_steps_are_those_of_bitsandbytes() {
        let options = AdamW8Bit { min_8bit_size: 1, weight_decay: 0.1, ..AdamW8Bit::default() };
        assert_trajectory(&EightBits::from(options), 0.05, FIRST);
        let options = AdamW8Bit { weight_decay: 0.0, beta1: 0.8, beta2: 0.9, ..options };
        assert_trajectory(&EightBits::from(options), 0.02, SECOND);
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
        let (rule, adamw) = (EightBits::from(AdamW8Bit::default()), AdamW::default());
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
        let rule = EightBits::from(AdamW8Bit::default());
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
        let options = AdamW8Bit { min_8bit_size: 1, weight_decay: 0.0, ..AdamW8Bit::default() };
        let rule = EightBits::from(options);
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
