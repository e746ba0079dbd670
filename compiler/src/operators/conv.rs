use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, convolutions, varied, windows};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, ElementType, Length, Node, TensorType};
use windows::Window;

/// `Conv`: x `[N, C, …]`, kernel `[M, C/group, …]` and bias `[M]` to `[N, M, …]`, over one to three spatial axes.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Conv",
    opsets: 13..=25,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples,
};

/// The windows of a convolution and its group count, checked against the shapes.
fn windows(node: &Node, x: &[Length], kernel: &[Length]) -> Result<(Window, usize), String> {
    let group = node.int("group").unwrap_or(1);
    let group = usize::try_from(group).ok().filter(|group| *group > 0).ok_or(format!("group is {group}"))?;
    let fits = x.len() >= 3
        && kernel.len() == x.len()
        && (&kernel[1] * group).agrees_with(&x[1])
        && kernel[0].exact_quotient(&group.into()).is_some();
    if !fits {
        return Err(windows::misfit(x, kernel, group));
    }
    let lengths = windows::kernel_lengths(&kernel[2..])?;
    let stated = node.ints("kernel_shape").is_none_or(|given| {
        given.len() == lengths.len() && given.iter().zip(&lengths).all(|(a, b)| usize::try_from(*a) == Ok(*b))
    });
    if !stated {
        return Err(format!("kernel_shape differs from the kernel {kernel:?}"));
    }
    Ok((Window::of(node, &x[2..], &lengths)?, group))
}

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let kernel = rule.input(1)?;
    if let Some(bias) =
        rule.optional(2).filter(|bias| bias.shape.first() != kernel.shape.first() || bias.shape.len() != 1)
    {
        return Err(rule.error(format!("a bias {bias} for a kernel {kernel}")));
    }
    types_of(rule, 1, rule.input(0)?.dtype)
}

/// The type of what a kernel, which is this input, makes of the first.
pub(super) fn types_of(
    rule: &TypeRuleInput<'_>,
    kernel: usize,
    dtype: ElementType,
) -> Result<Vec<TensorType>, CompilerError> {
    let (x, kernel) = (rule.input(0)?, rule.input(kernel)?);
    let shape = shape_of(rule.node, &x.shape, &kernel.shape).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype, shape }])
}

/// As [`shape_of`], of x `[N, …, C]`: `[N, …, M]`.
pub(super) fn shape_with_channels_last(node: &Node, x: &[Length], kernel: &[Length]) -> Result<Vec<Length>, String> {
    let mut x = x.to_vec();
    if x.len() > 2 {
        x[1..].rotate_right(1);
    }
    let mut made = shape_of(node, &x, kernel)?;
    made[1..].rotate_left(1);
    Ok(made)
}

/// The shape of what a node makes of x `[N, C, …]` by a kernel.
pub(super) fn shape_of(node: &Node, x: &[Length], kernel: &[Length]) -> Result<Vec<Length>, String> {
    let (window, _) = windows(node, x, kernel)?;
    Ok([&[x[0].clone(), kernel[0].clone()], window.output.as_slice()].concat())
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, kernel, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let (window, group) =
        windows(&b.node, &b.input_shape(0)?, &b.input_shape(1)?).map_err(|message| b.error(message))?;
    if let Some(reason) = window.open_reason() {
        return Err(b.no_gradient(reason));
    }
    b.require_writable(window.kernel.iter().product())?;
    if b.wants(0) {
        let dx = convolutions::data_gradient(b.graph, kernel, dy, &window, group)?;
        b.give(0, dx)?;
    }
    if b.wants(1) {
        let dw = convolutions::weight_gradient(b.graph, x, dy, &window, group)?;
        b.give(1, dw)?;
    }
    if b.wants(2) {
        let db = convolutions::bias_gradient(b.graph, dy)?;
        b.give(2, db)?;
    }
    Ok(())
}

fn samples() -> Vec<Sample> {
    let conv = |name, x: &[usize], kernel: &[usize], attributes: &[(&'static str, &[i64])]| {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let attributes = attributes.iter().map(|(name, values)| match *name {
            "group" => (*name, Attribute::Int(values[0])),
            name => (name, ints(values)),
        });
        let bias = varied(&kernel[..1]);
        Sample::new(name, vec![varied(x), varied(kernel), bias], attributes.collect())
    };
    let automatic = |name, size: usize, rule: &str| {
        let inputs: Vec<SampleInput> = vec![varied(&[1, 5, size, size]), varied(&[2, 5, 3, 3])];
        Sample::new(name, inputs, vec![("auto_pad", rule.into()), ("strides", vec![2, 2].into())])
    };
    vec![
        // transposed operands: few channels
        conv("stem", &[2, 3, 7, 7], &[4, 3, 3, 3], &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        conv("stem, one-sided padding", &[1, 3, 8, 8], &[2, 3, 3, 3], &[("strides", &[2, 2]), ("pads", &[0, 0, 1, 1])]),
        conv("stem, rows out of reach", &[1, 2, 9, 8], &[2, 2, 2, 2], &[("strides", &[3, 3])]),
        conv(
            "stem, dilated, rows out of reach",
            &[1, 2, 12, 11],
            &[2, 2, 2, 3],
            &[("strides", &[3, 2]), ("dilations", &[2, 2])],
        ),
        // one product: kernels of one element
        conv("pointwise", &[2, 6, 3, 4], &[4, 6, 1, 1], &[]),
        conv("pointwise, few channels", &[2, 3, 3, 4], &[4, 3, 1, 1], &[]),
        conv("pointwise, one image", &[1, 6, 3, 4], &[4, 6, 1, 1], &[]),
        conv("pointwise, stride 2", &[2, 5, 5, 6], &[3, 5, 1, 1], &[("strides", &[2, 2])]),
        conv("pointwise, padded", &[1, 5, 3, 3], &[2, 5, 1, 1], &[("pads", &[1, 0, 1, 2])]),
        // windows as one matrix: small maps
        conv("small map", &[2, 5, 5, 4], &[3, 5, 3, 3], &[("pads", &[1, 1, 1, 1]), ("kernel_shape", &[3, 3])]),
        conv("small map, one image", &[1, 5, 5, 4], &[3, 5, 3, 2], &[]),
        conv(
            "small map, one-sided padding",
            &[2, 5, 8, 6],
            &[2, 5, 3, 3],
            &[("strides", &[2, 2]), ("pads", &[0, 0, 1, 1])],
        ),
        conv("small map, rows out of reach", &[1, 5, 9, 8], &[2, 5, 2, 2], &[("strides", &[3, 3])]),
        conv("small map, dilated", &[1, 5, 7, 8], &[2, 5, 3, 3], &[("dilations", &[2, 2]), ("pads", &[2, 2, 2, 2])]),
        conv(
            "small map, dilated stride 2",
            &[1, 5, 8, 9],
            &[2, 5, 3, 3],
            &[("dilations", &[2, 2]), ("strides", &[2, 2]), ("pads", &[1, 2, 2, 1])],
        ),
        conv("more padding than kernel", &[1, 5, 4, 4], &[2, 5, 2, 2], &[("pads", &[2, 2, 2, 2])]),
        // a product for each element of the kernel: large maps
        conv("large map", &[2, 5, 15, 14], &[2, 5, 3, 3], &[("pads", &[1, 1, 1, 1])]),
        conv("large map, stride 2", &[1, 5, 30, 29], &[2, 5, 3, 3], &[("pads", &[0, 1, 1, 0]), ("strides", &[2, 2])]),
        // groups
        conv("depthwise", &[2, 4, 5, 5], &[4, 1, 3, 3], &[("group", &[4]), ("pads", &[1, 1, 1, 1])]),
        conv(
            "depthwise, two blocks of columns",
            &[1, 2, 4, 35],
            &[2, 1, 3, 3],
            &[("group", &[2]), ("pads", &[1, 0, 1, 1])],
        ),
        conv(
            "depthwise, dilated, stride 2, two blocks",
            &[1, 2, 9, 80],
            &[2, 1, 3, 2],
            &[("group", &[2]), ("strides", &[2, 2]), ("dilations", &[2, 3])],
        ),
        conv("depthwise, one axis", &[2, 3, 9], &[3, 1, 3], &[("group", &[3]), ("pads", &[1, 1])]),
        conv("depthwise, one image", &[1, 3, 5, 5], &[3, 1, 3, 3], &[("group", &[3])]),
        conv(
            "depthwise, stride 2",
            &[2, 3, 8, 7],
            &[3, 1, 3, 3],
            &[("group", &[3]), ("strides", &[2, 2]), ("pads", &[0, 0, 1, 1])],
        ),
        conv(
            "depthwise, two outputs a channel",
            &[2, 3, 5, 5],
            &[6, 1, 3, 3],
            &[("group", &[3]), ("pads", &[1, 1, 1, 1])],
        ),
        conv("two groups", &[2, 6, 5, 4], &[4, 3, 3, 3], &[("group", &[2]), ("pads", &[1, 1, 1, 1])]),
        conv(
            "two groups, stride 2",
            &[1, 4, 7, 8],
            &[4, 2, 3, 3],
            &[("group", &[2]), ("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])],
        ),
        conv("two groups, pointwise", &[2, 4, 3, 3], &[6, 2, 1, 1], &[("group", &[2])]),
        // other ranks
        conv("one axis", &[2, 5, 9], &[3, 5, 3], &[("pads", &[1, 1]), ("strides", &[2])]),
        conv("one axis, stride 1", &[2, 5, 9], &[3, 5, 4], &[("pads", &[1, 2])]),
        conv("three axes", &[1, 5, 3, 4, 3], &[2, 5, 2, 2, 2], &[]),
        automatic("padding by rule, upper", 6, "SAME_UPPER"),
        automatic("padding by rule, lower", 6, "SAME_LOWER"),
        automatic("no padding by rule", 7, "VALID"),
        Sample::new("without bias", vec![varied(&[1, 5, 4, 4]), varied(&[2, 5, 3, 3])], vec![]),
    ]
}
