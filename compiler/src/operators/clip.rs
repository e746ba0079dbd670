use super::{Gradient, Operator, Sample, SampleInput, same_as_first, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, ElementType};

/// `Clip`: y = min(max(x, low), high); either bound may be left out. dx = dy strictly between them, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Clip",
    opsets: 13..=25,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let bound = |value: f32| SampleInput::Fixed(Constant::f32([], &[value]));
        vec![
            Sample::new("both bounds", vec![varied(&[3, 7]), bound(-0.5), bound(0.25)], vec![]),
            Sample::new("low bound", vec![varied(&[3, 7]), bound(0.0)], vec![]),
            Sample::new("high bound", vec![varied(&[3, 7]), SampleInput::Absent, bound(0.5)], vec![]),
            Sample::new("no bound", vec![varied(&[3, 7])], vec![]),
        ]
    },
};

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (y, dy) = (b.output(0)?, b.dy()?);
    let mut inside = None;
    for (index, comparison) in [(1, "Greater"), (2, "Less")] {
        let Some(bound) = b.node.input(index) else { continue };
        let holds = b.graph.add(comparison, &[y, bound], &[])?;
        inside = Some(match inside {
            Some(other) => b.graph.add("And", &[other, holds], &[])?,
            None => holds,
        });
    }
    let Some(inside) = inside else { return b.give(0, dy) };
    let gate = b.graph.cast(inside, ElementType::F32)?;
    let dx = b.graph.times(dy, gate)?;
    b.give(0, dx)
}
