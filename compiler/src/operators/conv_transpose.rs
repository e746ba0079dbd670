use super::{Gradient, Operator, Sample, TypeRuleInput, convolutions, varied, windows};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Length, Node, TensorType};
use windows::Window;

/// `ConvTranspose`: x `[N, C, …]`, kernel `[C, M/group, …]` and bias `[M]` to `[N, M, …]`: the data gradient of a
/// convolution. dx and the kernel's gradient are that convolution and its kernel's gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ConvTranspose",
    opsets: 13..=25,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples,
};

/// The convolution that this one turns around: from the output's spatial axes to the input's.
fn turned_around(node: &Node, x: &[Length], kernel: &[Length]) -> Result<(Window, usize), String> {
    let group = node.int("group").unwrap_or(1);
    let group = usize::try_from(group).ok().filter(|group| *group > 0).ok_or(format!("group is {group}"))?;
    let fits = x.len() >= 3
        && kernel.len() == x.len()
        && kernel[0].agrees_with(&x[1])
        && x[1].exact_quotient(&group.into()).is_some();
    if !fits || (&kernel[1] * group).is_excessive() {
        return Err(windows::misfit(x, kernel, group));
    }
    let rank = x.len() - 2;
    let (spatial, kernel) = (&x[2..], windows::kernel_lengths(&kernel[2..])?);
    windows::check_lengths(spatial, &kernel)?;
    let pads = windows::lengths(node, "pads", 2 * rank, 0, 0)?;
    let mut window = Window {
        kernel,
        strides: windows::lengths(node, "strides", rank, 1, 1)?,
        dilations: windows::lengths(node, "dilations", rank, 1, 1)?,
        before: pads[..rank].to_vec(),
        after: pads[rank..].to_vec(),
        input: vec![0.into(); rank],
        output: spatial.to_vec(),
        open_padding: None,
        takes_rest: false,
    };
    let beyond = windows::lengths(node, "output_padding", rank, 0, 0)?;
    let stated = node.ints("output_shape").map(|_| windows::lengths(node, "output_shape", rank, 1, 1)).transpose()?;
    let auto_pad = node.string("auto_pad").unwrap_or("NOTSET");
    for axis in 0..rank {
        let covered = (&spatial[axis] - 1) * window.strides[axis] + window.extent(axis) + beyond[axis];
        let wanted = match (&stated, auto_pad) {
            (Some(stated), _) => Some(Length::from(stated[axis])),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(&spatial[axis] * window.strides[axis]),
            _ => None,
        };
        if let Some(wanted) = wanted {
            let padding = &covered - &wanted;
            let padding = padding.fixed().ok_or(format!(
                "an output of {wanted}, longer than {covered}, or not known to fit it: export the model with fixed lengths"
            ))?;
            let (small, large) = (padding / 2, padding - padding / 2);
            let upper = auto_pad == "SAME_UPPER";
            (window.before[axis], window.after[axis]) = if upper { (small, large) } else { (large, small) };
        } else if auto_pad == "VALID" {
            (window.before[axis], window.after[axis]) = (0, 0);
        }
        let padding = window.before[axis] + window.after[axis];
        let length = &covered - padding;
        // where names are left open, ONNX Runtime refuses what would be cut away whole
        if length.as_number().is_some_and(|length| length <= 0) {
            return Err(format!("padding of {padding} on an output of {covered}"));
        }
        window.input[axis] = length;
    }
    Ok((window, group))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, kernel) = (rule.input(0)?, rule.input(1)?);
    let (window, group) = turned_around(rule.node, &x.shape, &kernel.shape).map_err(|message| rule.error(message))?;
    let channels = &kernel.shape[1] * group;
    if let Some(bias) = rule.optional(2).filter(|bias| bias.shape != std::slice::from_ref(&channels)) {
        return Err(rule.error(format!("a bias {bias} for {channels} channels")));
    }
    Ok(vec![TensorType { dtype: x.dtype, shape: [&[x.shape[0].clone(), channels], window.input.as_slice()].concat() }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, kernel, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let (window, group) =
        turned_around(&b.node, &b.input_shape(0)?, &b.input_shape(1)?).map_err(|message| b.error(message))?;
    if b.wants(0) {
        let mut attributes = window.attributes(&window.strides, &window.dilations, &window.before, &window.after);
        attributes.push(("group", Attribute::Int(group as i64)));
        let mut dx = b.graph.add("Conv", &[dy, kernel], &attributes)?;
        if b.graph.shape(dx)?[2..] != window.output {
            let axes: Vec<i64> = (2..2 + window.rank() as i64).collect();
            let starts = vec![0.into(); axes.len()];
            dx = b.graph.part(dx, &axes, &starts, &window.output, &vec![1; axes.len()])?;
        }
        b.give(0, dx)?;
    }
    if b.wants(1) {
        let dw = convolutions::weight_gradient(b.graph, dy, x, &window, group)?;
        b.give(1, dw)?;
    }
    if b.wants(2) {
        let db = convolutions::bias_gradient(b.graph, dy)?;
        b.give(2, db)?;
    }
    Ok(())
}

fn samples() -> Vec<Sample> {
    let conv = |name, x: &[usize], kernel: &[usize], group: i64, attributes: &[(&'static str, &[i64])]| {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let mut attributes: Vec<_> = attributes.iter().map(|(name, values)| (*name, ints(values))).collect();
        attributes.push(("group", group.into()));
        let bias = varied(&[kernel[1] * group as usize]);
        Sample::new(name, vec![varied(x), varied(kernel), bias], attributes)
    };
    let upper = vec![("auto_pad", "SAME_UPPER".into()), ("strides", vec![2, 2].into())];
    vec![
        conv("stride 1", &[2, 3, 4, 3], &[3, 5, 3, 3], 1, &[("pads", &[1, 1, 1, 1])]),
        conv("stride 2", &[1, 3, 3, 4], &[3, 2, 3, 3], 1, &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        conv(
            "longer output",
            &[1, 3, 3, 4],
            &[3, 2, 3, 3],
            1,
            &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1]), ("output_padding", &[1, 1])],
        ),
        conv("one-sided padding", &[1, 3, 3, 4], &[3, 2, 3, 3], 1, &[("strides", &[2, 2]), ("pads", &[0, 0, 1, 1])]),
        conv("dilated", &[1, 3, 3, 4], &[3, 5, 2, 3], 1, &[("dilations", &[2, 2]), ("strides", &[2, 1])]),
        conv("depthwise", &[2, 3, 3, 3], &[3, 1, 3, 3], 3, &[("strides", &[2, 2]), ("pads", &[0, 0, 1, 1])]),
        conv("two groups", &[1, 4, 3, 3], &[4, 3, 2, 2], 2, &[]),
        conv("stated output", &[1, 2, 3, 3], &[2, 2, 3, 3], 1, &[("strides", &[2, 2]), ("output_shape", &[6, 5])]),
        conv("one axis", &[1, 3, 4], &[3, 2, 3], 1, &[("strides", &[2])]),
        Sample::new("padding by rule", vec![varied(&[1, 2, 3, 3]), varied(&[2, 2, 3, 3])], upper),
    ]
}
