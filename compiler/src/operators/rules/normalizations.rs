//! What normalizations share: x̂ = (x − mean) · r over some axes, and the way back through it.

use crate::CompilerError;
use crate::backward::{Backward, Expansion};
use crate::graph::{Graph, Length, TensorType, ValueId};
use crate::operators::TypeRuleInput;

type Emitted = Result<ValueId, CompilerError>;

/// A tensor that was normalized over some axes.
pub(crate) struct Standardized {
    /// x̂.
    pub(crate) hat: ValueId,
    /// r, with the axes kept at length one.
    pub(crate) inverse: ValueId,
    /// The axes that means run over.
    pub(crate) axes: Vec<i64>,
    /// Whether the mean was taken off; else x̂ = x · r.
    pub(crate) is_centred: bool,
}

impl Standardized {
    /// x̂ = (x − mean) · r with r = 1/√(variance + ε).
    pub(crate) fn by_variance(
        graph: &mut Graph,
        x: ValueId,
        axes: Vec<i64>,
        epsilon: f32,
    ) -> Result<Self, CompilerError> {
        let mean = graph.reduce_mean(x, &axes)?;
        let centred = graph.minus(x, mean)?;
        let inverse = inverse_root_mean_square(graph, centred, &axes, epsilon)?;
        Ok(Self { hat: graph.times(centred, inverse)?, inverse, axes, is_centred: true })
    }

    /// x̂ = x · r with r = 1/√(mean(x²) + ε).
    pub(crate) fn by_mean_square(
        graph: &mut Graph,
        x: ValueId,
        axes: Vec<i64>,
        epsilon: f32,
    ) -> Result<Self, CompilerError> {
        let inverse = inverse_root_mean_square(graph, x, &axes, epsilon)?;
        Ok(Self { hat: graph.times(x, inverse)?, inverse, axes, is_centred: false })
    }

    /// dx for the gradient g of x̂: r · (g − mean(g) − x̂ · mean(g · x̂)), without mean(g) where none was taken off.
    pub(crate) fn back(&self, graph: &mut Graph, g: ValueId) -> Emitted {
        let mean = if self.is_centred { Some(graph.reduce_mean(g, &self.axes)?) } else { None };
        let product = graph.times(g, self.hat)?;
        let slope = graph.reduce_mean(product, &self.axes)?;
        let along = graph.times(self.hat, slope)?;
        let centred = match mean {
            Some(mean) => graph.minus(g, mean)?,
            None => g,
        };
        let rest = graph.minus(centred, along)?;
        graph.times(rest, self.inverse)
    }
}

/// 1/√(mean(x²) + ε).
fn inverse_root_mean_square(graph: &mut Graph, x: ValueId, axes: &[i64], epsilon: f32) -> Emitted {
    let square = graph.times(x, x)?;
    let mean = graph.reduce_mean(square, axes)?;
    let epsilon = graph.scalar(epsilon);
    let spread = graph.plus(mean, epsilon)?;
    let root = graph.add("Sqrt", &[spread], &[])?;
    graph.add("Reciprocal", &[root], &[])
}

/// Refuses an input that is given and is no vector of this length.
pub(crate) fn require_vector(rule: &TypeRuleInput<'_>, index: usize, length: &Length) -> Result<(), CompilerError> {
    match rule.optional(index) {
        Some(given) if given.shape.len() != 1 || given.shape[0] != *length => {
            Err(rule.error(format!("input {index} is {given}, wanted {length} numbers")))
        }
        _ => Ok(()),
    }
}

/// A vector along the channels of `[N, C, …]` as `[C, 1, …]`, which broadcasts.
pub(crate) fn along_channels(graph: &mut Graph, vector: ValueId, rank: usize) -> Emitted {
    let channels = graph.shape(vector)?[0].clone();
    let ones = std::iter::repeat_n(Length::from(1), rank.saturating_sub(2));
    let shape: Vec<Length> = std::iter::once(channels).chain(ones).collect();
    graph.reshape(vector, &shape)
}

/// The outputs of a normalization over the axes from `axis` on: x's type, and `statistics` tensors with these axes at
/// length one. The weights at `weights` must broadcast to the normalized axes.
pub(crate) fn types_from_axis(
    rule: &TypeRuleInput<'_>,
    weights: std::ops::Range<usize>,
    statistics: usize,
) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let axis = rule.axis(rule.node.int("axis").unwrap_or(-1), x.shape.len())?;
    for index in weights {
        let Some(weight) = rule.optional(index) else { continue };
        if rule.broadcast(&x.shape[axis..], &weight.shape)? != x.shape[axis..] {
            return Err(rule.error(format!("input {index} is {weight}, wanted {:?}", &x.shape[axis..])));
        }
    }
    let ones = std::iter::repeat_n(Length::from(1), x.shape.len() - axis);
    let statistic = TensorType::new(x.dtype, x.shape[..axis].iter().cloned().chain(ones));
    let mut types = vec![x.clone()];
    types.resize(1 + statistics, statistic);
    Ok(types)
}

/// y = scale · x · r with r = 1/√(mean(x²) + ε) over the axes from `axis` on.
pub(crate) fn root_mean_square_gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.output_gradient(1).is_some() {
        return Err(b.no_gradient("the loss depends on its statistics"));
    }
    let (x, scale, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let rank = b.input_shape(0)?.len();
    let axis = super::axes::from_front(b.node.int("axis").unwrap_or(-1), rank).map_err(|message| b.error(message))?;
    let epsilon = b.node.float("epsilon").unwrap_or(1e-5);
    let axes = (axis as i64..rank as i64).collect();
    let normalized = Standardized::by_mean_square(b.graph, x, axes, epsilon)?;
    if b.wants(1) {
        let dscale = b.graph.times(dy, normalized.hat)?;
        b.give(1, dscale)?;
    }
    if b.wants(0) {
        let g = b.graph.times(dy, scale)?;
        let dx = normalized.back(b.graph, g)?;
        b.give(0, dx)?;
    }
    Ok(())
}

/// The outputs of a normalization over the last axis of a sum: y, two statistics, and the sum.
pub(crate) fn types_of_a_sum(
    rule: &TypeRuleInput<'_>,
    weights: std::ops::Range<usize>,
) -> Result<Vec<TensorType>, CompilerError> {
    let (x, skip) = (rule.input(0)?, rule.input(1)?);
    let Some(hidden) = x.shape.last() else { return Err(rule.error(format!("{x} has no axis"))) };
    if rule.broadcast(&x.shape, &skip.shape)? != x.shape {
        return Err(rule.error(format!("input 1 is {skip}, wanted {x}")));
    }
    for index in weights {
        require_vector(rule, index, hidden)?;
    }
    let kept = x.shape[..x.shape.len() - 1].iter().cloned();
    let statistic = TensorType::new(x.dtype, kept.chain([1.into()]));
    Ok(vec![x.clone(), statistic.clone(), statistic, x.clone()])
}

/// x + skip + bias.
pub(crate) fn sum_with_skip(node: &mut Expansion<'_>, bias: Option<ValueId>) -> Emitted {
    let (x, skip) = (node.input(0)?, node.input(1)?);
    let sum = node.graph.plus(x, skip)?;
    match bias {
        Some(bias) => node.graph.plus(sum, bias),
        None => Ok(sum),
    }
}

/// The outputs of a normalization of `sum` by this operator.
pub(crate) fn of_a_sum(
    node: &mut Expansion<'_>,
    operator: &str,
    sum: ValueId,
    inputs: &[Option<ValueId>],
) -> Result<Vec<ValueId>, CompilerError> {
    if (1..3).any(|index| node.node.outputs.get(index).is_some_and(Option::is_some)) {
        return Err(node.no_gradient("it gives its statistics"));
    }
    let epsilon = node.node.float("epsilon").unwrap_or(DEFAULT_EPSILON_OF_A_SUM);
    let y = node.graph.add_with(operator, inputs, &[("axis", (-1).into()), ("epsilon", epsilon.into())], 1)?[0];
    Ok(vec![y, y, y, sum])
}

/// As ONNX Runtime has it for its own operators.
pub(crate) const DEFAULT_EPSILON_OF_A_SUM: f32 = 1e-12;
