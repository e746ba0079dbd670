use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, fixed_integer, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Constant, Graph, Length, Node, TensorType, ValueId};

/// `DFT`: y_k = Σ x_n · e^(−2πi·kn/N) along an axis, of pairs of real and imaginary parts on the last one, or of real parts
/// alone; the inverse has the other sign and a factor 1/N. dx: the other of the two, of dy, times N or 1/N.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "DFT",
    opsets: 17..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let sample = |name, x: &[usize], length: Option<i64>, flags: &[&'static str]| {
            let length = length.map(fixed_integer);
            let attributes = flags.iter().map(|name| (*name, Attribute::Int(1))).collect();
            Sample::new(name, std::iter::once(varied(x)).chain(length).collect(), attributes)
        };
        let axis = |sample: Sample, axis: i64, version: i64| {
            let mut sample = sample;
            if version < AXIS_INPUT_SINCE {
                sample.attributes.push(("axis", axis.into()));
                return sample.until(AXIS_INPUT_SINCE - 1);
            }
            if sample.inputs.len() == 1 {
                sample.inputs.push(SampleInput::Absent);
            }
            sample.inputs.push(fixed_integer(axis));
            sample.since(AXIS_INPUT_SINCE)
        };
        vec![
            sample("real parts", &[2, 5, 1], None, &[]),
            sample("pairs", &[2, 4, 2], None, &[]),
            sample("the first half", &[2, 6, 1], None, &["onesided"]),
            sample("the first half of an odd number", &[2, 5, 1], None, &["onesided"]),
            sample("the inverse", &[2, 5, 2], None, &["inverse"]),
            sample("longer", &[1, 3, 2], Some(6), &[]),
            sample("shorter", &[1, 6, 1], Some(4), &["onesided"]),
            axis(sample("another axis", &[2, 3, 4, 2], None, &[]), 2, 17),
            axis(sample("another axis", &[2, 3, 4, 2], None, &[]), 1, 20),
        ]
    },
};

/// The axis is an input from this opset on.
const AXIS_INPUT_SINCE: i64 = 20;

/// What a node does.
struct Transform {
    axis: usize,
    /// How many entries it reads and, if it makes both halves, makes; they are cut or filled up with zeros.
    count: Length,
    is_inverse: bool,
    is_half: bool,
}

impl Transform {
    fn of(graph: &Graph, node: &Node, x: &[Length]) -> Result<Self, String> {
        let is_on = |name: &str| node.int(name).unwrap_or(0) != 0;
        let axis = match graph.opset >= AXIS_INPUT_SINCE {
            false => node.int("axis").unwrap_or(1),
            true if node.input(2).is_none() => -2,
            true => {
                let given = axes::integers_of(graph, node, 2).and_then(|given| given.first().copied());
                given.ok_or("its axis is computed from data")?
            }
        };
        let axis = axes::from_front(axis, x.len())?;
        let count = match node.input(1) {
            None => x[axis].clone(),
            Some(length) => {
                let given = graph.lengths_of(length).and_then(|given| given.into_iter().next());
                given.ok_or("its length is computed from data")?
            }
        };
        let (is_inverse, is_half) = (is_on("inverse"), is_on("onesided"));
        if axis + 1 >= x.len() || count.as_number().is_some_and(|count| count < 1) {
            return Err(format!("{count} entries of axis {axis} of {x:?}"));
        }
        if is_inverse && is_half {
            return Err("the inverse of the first half; complete the second half and take the whole".into());
        }
        Ok(Self { axis, count, is_inverse, is_half })
    }

    /// How many entries it makes.
    fn made(&self) -> Length {
        if self.is_half { self.count.quotient(&2.into()) + 1 } else { self.count.clone() }
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let parts = x.shape.last().and_then(Length::as_number);
    if x.shape.len() < 2 || !matches!(parts, Some(1 | 2)) {
        let advice = if parts.is_none() { "; export the model with fixed lengths for what is open" } else { "" };
        return Err(rule.error(format!("{x}, whose last axis is no pair and no real part{advice}")));
    }
    let transform = Transform::of(rule.graph, rule.node, &x.shape).map_err(|message| rule.error(message))?;
    if transform.is_half && parts == Some(2) {
        return Err(rule.error("the first half of pairs, whose second half differs"));
    }
    let mut shape = x.shape.clone();
    shape[transform.axis] = transform.made();
    let last = shape.len() - 1;
    shape[last] = 2.into();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

/// Adds the transform of pairs along an axis.
pub(super) fn transformed(
    graph: &mut Graph,
    x: ValueId,
    axis: usize,
    flags: &[(&'static str, bool)],
) -> Result<ValueId, CompilerError> {
    let mut attributes: Vec<(&str, Attribute)> =
        flags.iter().map(|(name, is_on)| (*name, Attribute::Int(i64::from(*is_on)))).collect();
    let mut inputs = vec![Some(x)];
    if graph.opset < AXIS_INPUT_SINCE {
        attributes.push(("axis", Attribute::Int(axis as i64)));
    } else {
        let axis = graph.constant("axis", Constant::i64([], &[axis as i64]));
        inputs.extend([None, Some(axis)]);
    }
    Ok(graph.add_with("DFT", &inputs, &attributes, 1)?[0])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (shape, dy) = (b.input_shape(0)?, b.dy()?);
    let transform = Transform::of(b.graph, &b.node, &shape).map_err(|message| b.error(message))?;
    let Transform { axis, count, is_inverse, .. } = &transform;
    let axis = *axis;
    let nothing = vec![Length::from(0); shape.len()];
    let mut beyond = nothing.clone();
    beyond[axis] = count - transform.made();
    let whole = b.graph.pad(dy, &nothing, &beyond)?;
    let back = transformed(b.graph, whole, axis, &[("inverse", !is_inverse)])?;
    let factor = if *is_inverse { b.graph.one_over(count)? } else { b.graph.length_as_float(count)? };
    let mut dx = b.graph.times(back, factor)?;
    if shape.last().is_some_and(|parts| *parts == 1) {
        dx = b.graph.part(dx, &[shape.len() as i64 - 1], &[0], &[1], &[1])?;
    }
    if *count != shape[axis] {
        // entries that were cut have no gradient, and zeros that were filled in need none
        let (Some(read), Some(given)) = (count.fixed(), shape[axis].fixed()) else {
            return Err(b.no_gradient(format!(
                "{count} entries of {}; export the model with fixed lengths for what is open",
                shape[axis]
            )));
        };
        dx = b.graph.part(dx, &[axis as i64], &[0], &[read.min(given)], &[1])?;
        let mut cut = nothing.clone();
        cut[axis] = given.saturating_sub(read).into();
        dx = b.graph.pad(dx, &nothing, &cut)?;
    }
    b.give(0, dx)
}
