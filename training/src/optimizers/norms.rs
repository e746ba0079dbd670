use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Graph, ValueId};

/// The factor that brings the joint Euclidean norm of all gradients down to `limit`; 1 when it is not above.
pub(crate) fn clip_scale(norm: f64, limit: f32) -> f32 {
    // PyTorch's `clip_grad_norm_` adds the same 1e-6.
    (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32
}

/// Sum of squares, added up in doubles in a fixed order.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>()
}

/// The same as nodes: a scalar.
pub(super) fn sum_of_squares_nodes(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let square = graph.times(value, value)?;
    let axes: Vec<i64> = (0..graph.shape(square)?.len() as i64).collect();
    if axes.is_empty() { Ok(square) } else { graph.reduce_sum(square, &axes, false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_scales_only_norms_above_the_limit() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
        let values: Vec<f32> = (0..19).map(|value| value as f32).collect();
        assert_eq!(sum_of_squares(&values), 2109.0);
    }
}
