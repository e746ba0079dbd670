use super::{Gradient, Operator, Sample, TypeRuleInput, varied, windows};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Constant, Graph, Length, Node, TensorType, ValueId, fixed_lengths};
use windows::Window;

/// `AveragePool`: the mean of each window over the spatial axes of `[N, C, …]`, padding counted on request.
/// dx: dy / n added up over the windows.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "AveragePool",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let pool = |name, x: &[usize], ints: &[(&'static str, &[i64])], flags: &[&'static str]| {
            let lists = ints.iter().map(|(name, values)| (*name, Attribute::Ints(values.to_vec())));
            let flags = flags.iter().map(|name| (*name, Attribute::Int(1)));
            Sample::new(name, vec![varied(x)], lists.chain(flags).collect())
        };
        let padded: &[(&'static str, &[i64])] =
            &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[0, 0, 1, 1])];
        let dilated: &[(&'static str, &[i64])] = &[("kernel_shape", &[2, 2]), ("dilations", &[2, 2])];
        vec![
            pool("disjoint windows", &[2, 3, 4, 6], &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])], &[]),
            pool("overlap", &[1, 2, 5, 4], &[("kernel_shape", &[3, 2])], &[]),
            pool("padding not counted", &[2, 2, 6, 7], padded, &[]),
            pool("padding counted", &[2, 2, 6, 7], padded, &["count_include_pad"]),
            pool(
                "windows cut at the end",
                &[1, 2, 5, 6],
                &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])],
                &["ceil_mode"],
            ),
            pool(
                "padding counted, cut at the end",
                &[1, 2, 6, 6],
                &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1, 1, 0, 0])],
                &["ceil_mode", "count_include_pad"],
            )
            .since(19),
            pool("dilated", &[1, 2, 5, 5], dilated, &[]).since(19),
            pool("a sequence", &[2, 2, 7], &[("kernel_shape", &[3]), ("strides", &[3])], &[]),
        ]
    },
};

/// Larger windows are not gone back through: they would need a kernel of ones of that size.
const MOST_TAPS: usize = 1 << 16;

/// The windows of a pool.
pub(super) fn pool_window(node: &Node, x: &[Length]) -> Result<Window, String> {
    let kernel = node.ints("kernel_shape").ok_or("no attribute `kernel_shape`")?;
    let kernel = kernel.iter().map(|length| super::axes::length(*length)).collect::<Result<Vec<usize>, String>>()?;
    Window::of(node, x.get(2..).unwrap_or_default(), &kernel)
}

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![TensorType { dtype: rule.input(0)?.dtype, shape: pooled_shape(rule, false)? }])
}

/// The shape of what a pool makes of its first input, whose channels are its second or its last axis.
pub(super) fn pooled_shape(rule: &TypeRuleInput<'_>, is_last: bool) -> Result<Vec<Length>, CompilerError> {
    let mut shape = rule.input(0)?.shape.clone();
    if is_last && shape.len() > 2 {
        shape[1..].rotate_right(1);
    }
    let window = pool_window(rule.node, &shape).map_err(|message| rule.error(message))?;
    let mut made = [&shape[..2], window.output.as_slice()].concat();
    if is_last {
        made[1..].rotate_left(1);
    }
    Ok(made)
}

/// For each axis, how many elements of each window count. `input` and `output`: lengths of the window's.
fn counts(window: &Window, input: &[usize], output: &[usize], padding_counts: bool) -> Vec<Vec<usize>> {
    let inside = |axis: usize, at: usize| {
        let (first, last) = (window.before[axis], window.before[axis] + input[axis]);
        let (first, last) = if padding_counts { (0, last + window.after[axis]) } else { (first, last) };
        (first..last).contains(&at)
    };
    let count = |axis: usize, start: usize| {
        (0..window.kernel[axis]).filter(|tap| inside(axis, start + tap * window.dilations[axis])).count()
    };
    (0..window.rank())
        .map(|axis| (0..output[axis]).map(|at| count(axis, at * window.strides[axis])).collect())
        .collect()
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (shape, dy) = (b.input_shape(0)?, b.dy()?);
    let window = pool_window(&b.node, &shape).map_err(|message| b.error(message))?;
    let taps: usize = window.kernel.iter().product();
    if taps > MOST_TAPS {
        return Err(b.no_gradient(format!("a window of {taps} elements")));
    }
    if let Some(reason) = window.open_reason() {
        return Err(b.no_gradient(reason));
    }
    let dy = match fixed_lengths(&window.input).zip(window.fixed_output()) {
        Some((input, output)) => shared(b, dy, &window, &input, &output)?,
        None => shared_by_counting(b, dy, &window)?,
    };
    // all channels of all images as images of one channel
    let images = &shape[0] * &shape[1];
    let dy = b.graph.reshape(dy, &[&[images, 1.into()], window.output.as_slice()].concat())?;
    let ones = ones(b.graph, &window);
    let dx = window.scatter(b.graph, dy, ones, 1)?;
    let dx = b.graph.reshape(dx, &shape)?;
    b.give(0, dx)
}

/// A kernel that adds a window up.
pub(super) fn ones(graph: &mut Graph, window: &Window) -> ValueId {
    let shape = [&[1, 1], window.kernel.as_slice()].concat();
    let values = vec![1.0; window.kernel.iter().product()];
    graph.constant("ones", Constant::f32(shape, &values))
}

fn padding_counts(b: &Backward<'_>) -> bool {
    b.node.int("count_include_pad").unwrap_or(0) != 0
}

/// What each element of a window gets of `dy`: the count of a window is a product over the axes.
fn shared(
    b: &mut Backward<'_>,
    mut dy: ValueId,
    window: &Window,
    input: &[usize],
    output: &[usize],
) -> Result<ValueId, CompilerError> {
    for (windows, taps) in output.iter().zip(&window.kernel) {
        b.require_writable(windows.saturating_mul(*taps))?;
    }
    for (axis, counts) in counts(window, input, output, padding_counts(b)).iter().enumerate() {
        let mut along = vec![1; window.rank()];
        along[axis] = counts.len();
        let shares: Vec<f32> = counts.iter().map(|count| 1.0 / (*count).max(1) as f32).collect();
        let shares = b.graph.constant("shares", Constant::f32(along, &shares));
        dy = b.graph.times(dy, shares)?;
    }
    Ok(dy)
}

/// The same over axes of open length: the windows count ones.
fn shared_by_counting(b: &mut Backward<'_>, dy: ValueId, window: &Window) -> Result<ValueId, CompilerError> {
    let padded = window.before.iter().chain(&window.after).any(|pad| *pad > 0);
    let padding_counts = padding_counts(b);
    if !window.takes_rest && (!padded || padding_counts) {
        let taps = b.graph.scalar(1.0 / window.kernel.iter().product::<usize>() as f32);
        return b.graph.times(dy, taps);
    }
    let (mut counted, mut before, mut after) = (window.input.clone(), window.before.clone(), window.after.clone());
    if padding_counts {
        let pads = before.iter().zip(&after).map(|(before, after)| before + after);
        counted = counted.iter().zip(pads).map(|(length, pads)| length + pads).collect();
        (before, after) = (vec![0; window.rank()], vec![0; window.rank()]);
    }
    if window.takes_rest {
        // no further than a last window reaches that is not full
        after.iter_mut().zip(&window.strides).for_each(|(after, stride)| *after += stride - 1);
    }
    let shape = b.graph.lengths(&[&[1.into(), 1.into()], counted.as_slice()].concat())?;
    let one = Attribute::Tensor(Constant::f32([1], &[1.0]));
    let ones = b.graph.add("ConstantOfShape", &[shape], &[("value", one)])?;
    let kernel = self::ones(b.graph, window);
    let attributes = window.attributes(&window.strides, &window.dilations, &before, &after);
    let mut counts = b.graph.add("Conv", &[ones, kernel], &attributes)?;
    if b.graph.shape(counts)?[2..] != window.output {
        let axes: Vec<i64> = (2..window.rank() as i64 + 2).collect();
        counts =
            b.graph.part(counts, &axes, &vec![Length::from(0); axes.len()], &window.output, &vec![1; axes.len()])?;
    }
    b.graph.divided_by(dy, counts)
}
