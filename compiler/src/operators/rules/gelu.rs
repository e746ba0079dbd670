//! What Gelu and operators that hold it share.

use std::f32::consts::FRAC_1_SQRT_2;

use crate::CompilerError;
use crate::graph::{Graph, ValueId};

/// x · Φ(x) with the normal distribution Φ(x) = (1 + erf(x/√2)) / 2.
pub(crate) fn exact(graph: &mut Graph, x: ValueId) -> Result<ValueId, CompilerError> {
    let [half, root] = [0.5, FRAC_1_SQRT_2].map(|value| graph.scalar(value));
    let scaled = graph.times(x, root)?;
    let error = graph.add("Erf", &[scaled], &[])?;
    let centred = graph.times(error, half)?;
    let share = graph.plus(centred, half)?;
    graph.times(x, share)
}
