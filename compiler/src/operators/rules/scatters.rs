//! Gradients of what picks elements by index: added up where they were picked.

use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Length, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// `ScatterElements` and `ScatterND` add from this opset on.
const ADDS_SINCE: i64 = 16;

/// Zeros of a shape, with each update added on `axis` at its index, on the other axes at its own place.
pub(crate) fn elements_added(
    b: &mut Backward<'_>,
    shape: &[Length],
    indices: ValueId,
    updates: ValueId,
    axis: i64,
) -> Emitted {
    require_adding(b)?;
    let zeros = b.graph.zeros(shape)?;
    let attributes = [("axis", axis.into()), ("reduction", "add".into())];
    b.graph.add("ScatterElements", &[zeros, indices, updates], &attributes)
}

/// Zeros of a shape, with each update added at the place that a row of indices names.
pub(crate) fn slices_added(b: &mut Backward<'_>, shape: &[Length], indices: ValueId, updates: ValueId) -> Emitted {
    require_adding(b)?;
    let zeros = b.graph.zeros(shape)?;
    b.graph.add("ScatterND", &[zeros, indices, updates], &[("reduction", "add".into())])
}

fn require_adding(b: &Backward<'_>) -> Result<(), CompilerError> {
    if b.graph.opset < ADDS_SINCE {
        return Err(b.no_gradient("opsets before 16 have no operator that adds at indices; convert the model to 17"));
    }
    Ok(())
}
