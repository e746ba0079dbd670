//! The roots of sums of powers, y = (Σ |x|ᵖ)^(1/p), that pools compute.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, Node, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// The power of a node.
pub(crate) fn power(node: &Node) -> Result<i64, String> {
    match node.int("p").unwrap_or(2) {
        p if (1..=64).contains(&p) => Ok(p),
        p => Err(format!("p is {p}, wanted 1 to 64")),
    }
}

/// dy · y^(1−p), what each element of a sum gets; 0 where the sum is.
pub(crate) fn share(graph: &mut Graph, y: ValueId, dy: ValueId, p: i64) -> Emitted {
    if p == 1 {
        return Ok(dy);
    }
    let [zero, one] = [0.0, 1.0].map(|value| graph.scalar(value));
    let is_positive = graph.add("Greater", &[y, zero], &[])?;
    let gate = graph.cast(is_positive, ElementType::F32)?;
    let one_for_zero = graph.minus(one, gate)?;
    let divisor = graph.plus(y, one_for_zero)?;
    let divisor = raised(graph, divisor, p - 1)?;
    let dy = graph.times(dy, gate)?;
    graph.divided_by(dy, divisor)
}

/// sign(x) · |x|^(p−1).
pub(crate) fn slope(graph: &mut Graph, x: ValueId, p: i64) -> Emitted {
    match p {
        1 => graph.add("Sign", &[x], &[]),
        2 => Ok(x),
        _ => {
            let absolute = graph.add("Abs", &[x], &[])?;
            let raised = raised(graph, absolute, p - 2)?;
            graph.times(x, raised)
        }
    }
}

fn raised(graph: &mut Graph, x: ValueId, power: i64) -> Emitted {
    if power == 1 {
        return Ok(x);
    }
    let power = graph.scalar(power as f32);
    graph.add("Pow", &[x, power], &[])
}
