//! A rule whose weights are led back, every few steps, towards where they were.

use std::sync::Arc;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};
use millstream_schemas::ParameterEntry;
use serde::Serialize;

use super::rule::{NodeInputs, ParameterFacts, StateTensor, UpdateRule};
use super::state_values::StateValues;

/// Slow weights beside those that are trained (Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", 2019): after
/// every so many steps slow ← slow + α·(weights − slow), weights ← slow. The slow weights are what is evaluated and exported.
/// What the optimizer remembers stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lookahead {
    /// Steps between two returns, at least 1.
    pub steps: u64,
    /// Share of the way that the slow weights go, above 0 and at most 1.
    pub alpha: f32,
}

/// A rule with slow weights beside it, the last of its state tensors.
#[derive(Debug)]
pub(crate) struct WithLookahead {
    pub(crate) rule: Arc<dyn UpdateRule>,
    pub(crate) lookahead: Lookahead,
}

impl UpdateRule for WithLookahead {
    fn state(&self, facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        let mut state = self.rule.state(facts);
        state.push(facts.state_alike("slow_weight"));
        state
    }

    /// Those of the rule, then 1 for the first step and 0 for others, and 1 for a step behind which the weights are led back.
    fn coefficients(&self, step: u64, learning_rate: f32) -> Vec<f32> {
        let mut coefficients = self.rule.coefficients(step, learning_rate);
        let returns = (step + 1).is_multiple_of(self.lookahead.steps.max(1));
        coefficients.extend([step == 0, returns].map(|is_so| if is_so { 1.0 } else { 0.0 }));
        coefficients
    }

    fn is_elementwise(&self) -> bool {
        self.rule.is_elementwise()
    }

    fn penalize(
        &self,
        coefficients: &[f32],
        facts: ParameterFacts<'_>,
        parameter: &[f32],
        gradient: &mut [f32],
        state: &[StateValues],
    ) {
        let [coefficients @ .., _, _] = coefficients else { unreachable!("its own are the last two") };
        let (_, state) = state.split_last().expect("its own is the last");
        self.rule.penalize(coefficients, facts, parameter, gradient, state);
    }

    fn penalized_gradient(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<ValueId, CompilerError> {
        let [coefficients @ .., _, _] = inputs.coefficients else { unreachable!("its own are the last two") };
        let (_, state) = inputs.state.split_last().expect("its own is the last");
        self.rule.penalized_gradient(graph, &NodeInputs { coefficients, state, ..*inputs })
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
        let [coefficients @ .., is_first, returns] = coefficients else { unreachable!("its own are the last two") };
        let (slow, state) = state.split_last_mut().expect("its own is the last");
        let slow = slow.floats_mut();
        slow.iter_mut().zip(&*parameter).for_each(|(slow, value)| *slow += is_first * (value - *slow));
        self.rule.update(coefficients, facts, scale, parameter, gradient, state);
        if *returns > 0.0 {
            for (slow, value) in slow.iter_mut().zip(parameter) {
                *slow += self.lookahead.alpha * (*value - *slow);
                *value = *slow;
            }
        }
    }

    fn nodes(&self, graph: &mut Graph, inputs: &NodeInputs<'_>) -> Result<(ValueId, Vec<ValueId>), CompilerError> {
        let [coefficients @ .., is_first, returns] = inputs.coefficients else {
            unreachable!("its own are the last two")
        };
        let (slow, state) = inputs.state.split_last().expect("its own is the last");
        let distance = graph.minus(inputs.parameter, *slow)?;
        let change = graph.times(distance, *is_first)?;
        let slow = graph.plus(*slow, change)?;
        let inner = NodeInputs { coefficients, state, ..*inputs };
        let (parameter, mut new_state) = self.rule.nodes(graph, &inner)?;
        let [zero, alpha] = [0.0, self.lookahead.alpha].map(|value| graph.scalar(value));
        let returns = graph.add("Greater", &[*returns, zero], &[])?;
        let distance = graph.minus(parameter, slow)?;
        let change = graph.times(distance, alpha)?;
        let led_back = graph.plus(slow, change)?;
        // choices, so that both are the same to the bit
        let parameter = graph.add("Where", &[returns, led_back, parameter], &[])?;
        new_state.push(graph.add("Where", &[returns, led_back, slow], &[])?);
        Ok((parameter, new_state))
    }

    fn has_average(&self) -> bool {
        true
    }

    /// The slow weights.
    fn average(&self, _: ParameterFacts<'_>, parameter: Vec<f32>, state: &[StateValues]) -> Vec<f32> {
        state.last().map_or(parameter, |slow| slow.floats().to_vec())
    }

    fn check(&self, parameters: &[ParameterEntry]) -> Result<(), String> {
        self.rule.check(parameters)
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Choice;
    use serde_json::json;

    use super::*;
    use crate::optimizers::trajectory::assert_averaged_trajectory;
    use crate::optimizers::{Optimizer, standard};

    fn with_lookahead(name: &str, options: serde_json::Value, steps: u64, alpha: f32) -> WithLookahead {
        let optimizer = Optimizer::choose(standard(), &Choice::new(name, options), "training.optimizer").unwrap();
        WithLookahead { rule: Arc::clone(optimizer.rule()), lookahead: Lookahead { steps, alpha } }
    }

    /// Algorithm 1 of the paper, written down by itself in doubles, around SGD with μ = 0.9 and λ = 0.1 at a rate of 0.05 with
    /// k = 7 and α = 0.5, and around AdamW with λ = 0.1 at 0.05 with k = 6 and α = 0.8, on the parameters and gradients of the
    /// other trajectories: the fast weights, then the slow ones.
    #[test]
    fn fifty_steps_are_those_of_the_paper() {
        let sgd = with_lookahead("sgd", json!({"momentum": 0.9, "weight_decay": 0.1}), 7, 0.5);
        assert_averaged_trajectory(&sgd, &|_| 0.05, OF_SGD);
        let adamw = with_lookahead("adamw", json!({"weight_decay": 0.1}), 6, 0.8);
        assert_averaged_trajectory(&adamw, &|_| 0.05, OF_ADAMW);
    }

    /// Fast, then slow.
    const OF_SGD: [[f64; 16]; 2] = [
        [
            0.01175056,
            -0.31245994,
            -0.5709754,
            -0.47511367,
            0.031499619,
            0.66385693,
            0.9720168,
            0.68136816,
            -0.07614998,
            -0.8343878,
            -1.118509,
            -0.7704037,
            0.95000229,
            2.3262105,
            2.2855587,
            1.1221555,
        ],
        [
            0.16521431,
            -0.13313858,
            -0.45816583,
            -0.49356097,
            -0.12099895,
            0.43931433,
            0.77509797,
            0.6064244,
            0.018465965,
            -0.59463842,
            -0.82858305,
            -0.56305171,
            0.94026962,
            2.071138,
            1.8890313,
            0.7675732,
        ],
    ];

    /// Fast, then slow.
    const OF_ADAMW: [[f64; 16]; 2] = [
        [
            0.49768632,
            0.10839617,
            -0.57887436,
            -0.88119258,
            -0.36137465,
            0.58918733,
            1.0769482,
            0.78011171,
            -0.16431302,
            -1.0986686,
            -1.0171842,
            -0.23214818,
            0.76936061,
            1.1223613,
            0.56051202,
            -0.4203069,
        ],
        [
            0.53943116,
            0.15563265,
            -0.54947246,
            -0.88331486,
            -0.39030898,
            0.55108406,
            1.0446958,
            0.76570084,
            -0.1555041,
            -1.0725525,
            -0.98131039,
            -0.1997602,
            0.77528289,
            1.0966236,
            0.51659289,
            -0.46282023,
        ],
    ];
}
