use crate::CompilerError;
use crate::graph::{Graph, ValueId};

/// Softmax cross-entropy with soft targets, the mean over the batch by weight.
///
/// `logits` and `targets` are `[batch, classes]`; a row of `targets` sums to its weight, so a row of zeros is left
/// out. With t' = (1 − s)·t + s·w/classes for smoothing s and row weight w = Σt (Szegedy et al. 2016):
/// loss = −Σ t'·log_softmax(logits) / max(Σ w, tiny).
pub fn cross_entropy(
    graph: &mut Graph,
    logits: ValueId,
    targets: ValueId,
    smoothing: f32,
) -> Result<ValueId, CompilerError> {
    let classes = graph.shape(logits)?[1];
    let log_probability = graph.add("LogSoftmax", &[logits], &[("axis", 1.into())])?;
    let smoothed = if smoothing > 0.0 {
        let weight = graph.reduce_sum(targets, &[1], true)?;
        let spread = graph.scalar(smoothing / classes as f32);
        let everywhere = graph.times(weight, spread)?;
        let kept = graph.scalar(1.0 - smoothing);
        let own = graph.times(targets, kept)?;
        graph.plus(own, everywhere)?
    } else {
        targets
    };
    let agreement = graph.times(smoothed, log_probability)?;
    let agreement = graph.reduce_sum(agreement, &[0, 1], false)?;
    let weight = graph.reduce_sum(targets, &[0, 1], false)?;
    let tiny = graph.scalar(1e-12); // a batch without any labelled row has loss 0, not NaN
    let weight = graph.add("Max", &[weight, tiny], &[])?;
    let mean = graph.divided_by(agreement, weight)?;
    graph.add("Neg", &[mean], &[])
}
