use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};

use super::rule::{ParameterFacts, StateTensor};

/// The two running means of Adam and its kin: m of the gradients, v of their squares.
///
/// 1 − β is taken in doubles, as PyTorch takes it: in floats 1 − 0.999 is off by 5 in 100,000.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    betas: [f64; 2],
}

impl Moments {
    pub(super) fn new(beta1: f64, beta2: f64) -> Self {
        Self { betas: [beta1, beta2] }
    }

    /// m and v.
    pub(super) fn state(facts: ParameterFacts<'_>) -> Vec<StateTensor> {
        ["mean", "mean_of_squares"].map(|name| facts.state_alike(name)).to_vec()
    }

    /// 1 − β₁ᵗ and 1 − β₂ᵗ at `step` (from 0), so that t is `step` + 1.
    pub(super) fn bias_corrections(&self, step: u64) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf((step + 1) as f64))
    }

    /// β₂ and the shares of a new gradient, 1 − β₁ and 1 − β₂.
    fn shares(&self) -> [f32; 3] {
        let [beta1, beta2] = self.betas;
        [beta2, 1.0 - beta1, 1.0 - beta2].map(|value| value as f32)
    }

    /// Takes a gradient in.
    pub(super) fn add(&self, mean: &mut f32, square: &mut f32, gradient: f32) {
        let [kept, new, new_square] = self.shares();
        *mean += new * (gradient - *mean);
        *square = kept * *square + new_square * gradient * gradient;
    }

    /// The same as nodes: the new m and v.
    pub(super) fn nodes(
        &self,
        graph: &mut Graph,
        state: &[ValueId],
        gradient: ValueId,
    ) -> Result<[ValueId; 2], CompilerError> {
        let [kept, new, new_square] = self.shares().map(|value| graph.scalar(value));
        let difference = graph.minus(gradient, state[0])?;
        let change = graph.times(difference, new)?;
        let mean = graph.plus(state[0], change)?;
        let kept = graph.times(state[1], kept)?;
        let added = graph.times(gradient, new_square)?;
        let added = graph.times(added, gradient)?;
        Ok([mean, graph.plus(kept, added)?])
    }
}
