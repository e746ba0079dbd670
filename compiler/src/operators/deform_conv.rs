use super::sampling::{self, Along, Outside};
use super::{Gradient, Operator, Sample, TypeRuleInput, varied, windows};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, ElementType, Graph, Length, Node, TensorType, ValueId};
use windows::Window;

/// `DeformConv` (Zhu 2019): `Conv` over two spatial axes whose windows see x `[N, C, H, W]` at places moved by offsets
/// `[N, groups · elements · 2, …]`, times a mask `[N, groups · elements, …]`. As samples by the entries around each place, and a
/// product of matrices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "DeformConv",
    opsets: 19..=25,
    weights: &[1, 3],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let plain = vec![varied(&[1, 2, 4, 4]), varied(&[3, 2, 2, 2]), varied(&[1, 8, 3, 3])];
        let masked = [
            vec![varied(&[2, 2, 4, 4]), varied(&[3, 2, 2, 2]), varied(&[2, 8, 3, 3])],
            vec![varied(&[3]), varied(&[2, 4, 3, 3])],
        ];
        let grouped = vec![varied(&[1, 4, 4, 4]), varied(&[2, 2, 3, 3]), varied(&[1, 36, 2, 2])];
        let groups = vec![
            ("group", 2.into()),
            ("offset_group", 2.into()),
            ("strides", ints(&[2, 2])),
            ("pads", ints(&[1, 1, 1, 1])),
        ];
        vec![
            Sample::new("offsets", plain, vec![]),
            Sample::new("a bias and a mask", masked.concat(), vec![]),
            Sample::new("groups, strides and pads", grouped, groups),
        ]
    },
};

/// The windows, and the numbers of groups of the kernel and of offsets.
fn windows_of(node: &Node, x: &[Length], kernel: &[Length]) -> Result<(Window, usize, usize), String> {
    let count = |name: &str| {
        let given = node.int(name).unwrap_or(1);
        usize::try_from(given).ok().filter(|given| (1..1 << 16).contains(given)).ok_or(format!("{name} is {given}"))
    };
    let (group, offsets) = (count("group")?, count("offset_group")?);
    let ([_, channels, height, width], [made, inner, _, _]) = (x, kernel) else {
        return Err(format!("a kernel {kernel:?} over {x:?}, wanted two spatial axes"));
    };
    let fits = (inner * group).agrees_with(channels)
        && made.exact_quotient(&group.into()).is_some()
        && channels.exact_quotient(&offsets.into()).is_some();
    if !fits {
        return Err(windows::misfit(x, kernel, group));
    }
    let lengths = windows::kernel_lengths(&kernel[2..])?;
    let window = Window::of(node, &[height.clone(), width.clone()], &lengths)?;
    Ok((window, group, offsets))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, kernel, offsets) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    let (window, _, groups) = windows_of(rule.node, &x.shape, &kernel.shape).map_err(|message| rule.error(message))?;
    let elements =
        groups.saturating_mul(window.kernel.iter().fold(1, |all: usize, length| all.saturating_mul(*length)));
    let [down, across] = [&window.output[0], &window.output[1]];
    for (index, given, each) in [(2, Some(offsets), 2), (4, rule.optional(4), 1)] {
        let Some(given) = given else { continue };
        let wanted = [x.shape[0].clone(), elements.saturating_mul(each).into(), down.clone(), across.clone()];
        let fits =
            given.shape.len() == 4 && given.shape.iter().zip(&wanted).all(|(given, wanted)| given.agrees_with(wanted));
        if !fits {
            let open = given.shape.iter().chain(&wanted).any(|length| length.as_number().is_none());
            let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
            return Err(rule.error(format!("input {index} is {given}, wanted {wanted:?}{advice}")));
        }
    }
    let shape = vec![x.shape[0].clone(), kernel.shape[0].clone(), down.clone(), across.clone()];
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    const MOST_TAPS: usize = 1 << 10;
    let (x, kernel, offsets) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let (shape, kernel_shape) = (node.input_type(0)?.shape, node.input_type(1)?.shape);
    let (window, group, groups) =
        windows_of(&node.node, &shape, &kernel_shape).map_err(|message| node.error(message))?;
    let taps = window.kernel.iter().fold(1, |all: usize, length| all.saturating_mul(*length));
    if let Some(reason) =
        window.open_reason().or_else(|| (taps > MOST_TAPS).then(|| format!("a window of {taps} elements")))
    {
        return Err(node.no_gradient(reason));
    }
    let (bias, mask) = (node.node.input(3), node.node.input(4));
    let graph = &mut *node.graph;
    let [batch, channels] = [&shape[0], &shape[1]];
    let (places, count) = (&window.output[0] * &window.output[1], Length::from(taps));
    let each = channels.exact_quotient(&groups.into()).unwrap_or_else(|| channels.clone());
    // each group of offsets as an example of its own
    let examples = batch * groups;
    let split = graph.reshape(x, &[&examples, &each, &shape[2], &shape[3]])?;
    let offsets = graph.reshape(offsets, &[&examples, &count, &2.into(), &places])?;
    let strides = sampling::strides(graph, &shape[2..])?;
    let mut axes = Vec::new();
    for axis in 0..2 {
        let moved = graph.part(offsets, &[2], &[axis], &[1], &[1])?;
        let moved = graph.reshape(moved, &[&examples, &count, &places])?;
        let still = unmoved(graph, &window, axis)?;
        let at = graph.plus(moved, still)?;
        let taps = sampling::linear(graph, at, &shape[2 + axis], Outside::Zero)?;
        axes.push(Along { taps, stride: strides[axis] });
    }
    let entries = sampling::entries(graph, split)?;
    let base = sampling::beginnings(graph, &examples, &shape[2..], 2)?;
    let mut seen = sampling::sampled(graph, entries, Some(base), &axes)?;
    if let Some(mask) = mask {
        let mask = graph.reshape(mask, &[&examples, &count, &places, &1.into()])?;
        seen = graph.times(seen, mask)?;
    }
    // [examples, elements, places, channels] as rows of the kernel's matrix
    let rows = graph.transpose(seen, &[0, 3, 1, 2])?;
    let inner = &kernel_shape[1] * taps;
    let rows = graph.reshape(rows, &[batch, &group.into(), &inner, &places])?;
    let made = kernel_shape[0].exact_quotient(&group.into()).unwrap_or_else(|| kernel_shape[0].clone());
    let kernel = graph.reshape(kernel, &[&group.into(), &made, &inner])?;
    let product = graph.add("MatMul", &[kernel, rows], &[])?;
    let y = graph.reshape(product, &[batch, &kernel_shape[0], &window.output[0], &window.output[1]])?;
    Ok(vec![match bias {
        Some(bias) => {
            let bias = graph.reshape(bias, &[&kernel_shape[0], &1.into(), &1.into()])?;
            graph.plus(y, bias)?
        }
        None => y,
    }])
}

/// Where each element of each window lies along an axis without an offset: `[elements, places]`.
fn unmoved(graph: &mut Graph, window: &Window, axis: usize) -> Result<ValueId, CompilerError> {
    let [down, across] = [&window.output[0], &window.output[1]];
    let begin = graph.positions(&window.output[axis])?;
    let begin = graph.cast(begin, ElementType::F32)?;
    let [stride, before] = [window.strides[axis] as f32, window.before[axis] as f32].map(|number| graph.scalar(number));
    let begin = graph.times(begin, stride)?;
    let begin = graph.minus(begin, before)?;
    let one = Length::from(1);
    let begin = graph.reshape(begin, &if axis == 0 { [down, &one] } else { [&one, across] })?;
    let begin = graph.expand(begin, &[down, across])?;
    let begin = graph.reshape(begin, &[&one, &(down * across)])?;
    let within: Vec<f32> = window.taps().iter().map(|tap| tap[axis] as f32).collect();
    let within = graph.constant("within", crate::graph::Constant::f32([within.len(), 1], &within));
    graph.plus(begin, within)
}
