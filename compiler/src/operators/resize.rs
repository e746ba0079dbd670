use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_integers, resizing, shape_floats, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Constant, ElementType, Length, TensorType, ValueId};
use resizing::{ResizedAxis, Target, resized_axes};

/// `Resize`: each axis of x resampled, which is a product with a matrix R on that axis. dx: dy times Rᵀ on each of them.
/// R is what the same operator makes of the unit vectors, so no coordinate or weight is computed a second time; where
/// each element is repeated a whole number of times, dy is summed instead.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Resize",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples,
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    if rule.optional(3).is_some() && rule.optional(3).is_none_or(|sizes| sizes.shape.iter().all(|count| *count != 0)) {
        rule.known_lengths(3)?;
    }
    let is_known = |scales| shape_floats::of_constants(rule.graph, scales).is_some();
    if rule.optional(2).is_some() && rule.constant(2).is_none() && !rule.node.input(2).is_some_and(is_known) {
        return Err(rule.not_known(2));
    }
    let axes = resized_axes(rule.graph, rule.node, &x.shape).map_err(|message| rule.error(message))?;
    Ok(vec![TensorType { dtype: x.dtype, shape: axes.into_iter().map(|axis| axis.output).collect() }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (shape, mut dx) = (b.input_shape(0)?, b.dy()?);
    let resized = resized_axes(b.graph, &b.node, &shape).map_err(|message| b.error(message))?;
    let is_changed = |axis: &ResizedAxis| axis.target != Target::Same || axis.region != (0.0, 1.0);
    let mut changed: Vec<usize> = (0..shape.len()).filter(|axis| is_changed(&resized[*axis])).collect();
    let (mut split, mut summed) = (Vec::new(), Vec::new());
    let mut made = b.graph.shape(dx)?.to_vec();
    for (axis, length) in made.iter_mut().enumerate() {
        match repeats(b, &shape[axis], &resized[axis]).filter(|_| changed.contains(&axis)) {
            Some(times) => {
                split.extend([shape[axis].clone(), times]);
                summed.push(split.len() as i64 - 1);
                *length = shape[axis].clone();
                changed.retain(|other| *other != axis);
            }
            None => split.push(length.clone()),
        }
    }
    if !summed.is_empty() {
        dx = b.graph.reshape(dx, &split)?;
        dx = b.graph.reduce_sum(dx, &summed, false)?;
    }
    // the last axis first, by a product of matrices that reads dy as it lies
    for axis in changed.into_iter().rev() {
        let matrix = matrix(b, &shape[axis], &resized[axis])?;
        let (lead, tail): (Length, Length) = (made[..axis].iter().product(), made[axis + 1..].iter().product());
        let output = &resized[axis].output;
        made[axis] = shape[axis].clone();
        let product = if tail == 1 {
            let lines = b.graph.reshape(dx, &[&lead, output])?;
            b.graph.add("Gemm", &[lines, matrix], &[("transB", 1.into())])?
        } else {
            let blocks = b.graph.reshape(dx, &[&lead, output, &tail])?;
            b.graph.add("MatMul", &[matrix, blocks], &[])?
        };
        dx = b.graph.reshape(product, &made)?;
    }
    b.give(0, dx)
}

/// How often each element of an axis is repeated, where that is all that is done.
fn repeats(b: &Backward<'_>, input: &Length, axis: &ResizedAxis) -> Option<Length> {
    let attribute = |name: &str, default: &'static str| b.node.string(name).unwrap_or(default).to_owned();
    if attribute("mode", "nearest") != "nearest" {
        return None;
    }
    let times = axis.output.exact_quotient(input).filter(|times| times.is_at_least(2))?;
    if matches!(axis.target, Target::Scale(scale) if times.fixed() != Some(scale as usize) || scale.fract() != 0.0) {
        return None;
    }
    let coordinates = attribute("coordinate_transformation_mode", "half_pixel");
    let rounding = attribute("nearest_mode", "round_prefer_floor");
    let is_exact = match (coordinates.as_str(), rounding.as_str()) {
        ("asymmetric" | "tf_half_pixel_for_nn", "floor") => true,
        ("asymmetric", "round_prefer_floor") => times == 2,
        ("half_pixel" | "pytorch_half_pixel" | "half_pixel_symmetric", "round_prefer_floor" | "round_prefer_ceil") => {
            true
        }
        _ => false,
    };
    is_exact.then_some(times)
}

/// Rᵀ `[input, output]` of an axis: what becomes of the unit vectors, laid as `[1, input, input, 1]` and resized alike.
fn matrix(b: &mut Backward<'_>, input: &Length, axis: &ResizedAxis) -> Result<ValueId, CompilerError> {
    let mode = b.node.string("mode").unwrap_or("nearest");
    if b.node.string("coordinate_transformation_mode") == Some("tf_half_pixel_for_nn") && mode != "nearest" {
        return Err(b.no_gradient(format!("coordinates for nearest neighbours (tf_half_pixel_for_nn) in mode {mode}")));
    }
    if let Target::Scale(scale) = axis.target {
        // a policy rounds the length, which a scale alone cuts
        let cut = input.fixed().map(|input| (input as f32 * scale) as usize);
        if cut.is_some_and(|cut| axis.output != cut) {
            return Err(b.no_gradient(format!(
                "its policy (keep_aspect_ratio_policy) rounds an axis of {input} by {scale} up to {}",
                axis.output
            )));
        }
    }
    if let (Some(input), Some(output)) = (input.fixed(), axis.output.fixed()) {
        b.require_writable(input.saturating_mul(input.max(output)))?;
    }
    let units = unit_vectors(b, input)?;
    let units = b.graph.reshape(units, &[1.into(), input.clone(), input.clone(), 1.into()])?;
    let (start, end) = axis.region;
    let region = b.graph.constant("region", Constant::f32([8], &[0.0, 0.0, start, 0.0, 1.0, 1.0, end, 1.0]));
    let (scales, sizes) = match axis.target {
        Target::Same => (Some([1.0; 4]), None),
        Target::Scale(scale) => (Some([1.0, 1.0, scale, 1.0]), None),
        Target::Size => (None, Some([1.into(), input.clone(), axis.output.clone(), 1.into()])),
    };
    let scales = scales.map(|scales| b.graph.constant("scales", Constant::f32([4], &scales)));
    let sizes = match sizes {
        Some(sizes) => Some(b.graph.lengths(&sizes)?),
        None => None,
    };
    let kept = b.node.attributes.iter().filter(|(name, _)| {
        // what lies outside is a constant, which has no slope
        !matches!(name.as_str(), "axes" | "keep_aspect_ratio_policy" | "extrapolation_value")
    });
    let attributes: Vec<(String, Attribute)> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    let attributes: Vec<(&str, Attribute)> =
        attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let matrix = b.graph.add_with("Resize", &[Some(units), Some(region), scales, sizes], &attributes, 1)?[0];
    b.graph.reshape(matrix, &[input, &axis.output])
}

/// The matrix `[length, length]` with ones on its diagonal.
fn unit_vectors(b: &mut Backward<'_>, length: &Length) -> Result<ValueId, CompilerError> {
    let places = b.graph.positions(length)?;
    let columns = b.graph.reshape(places, &[length.clone(), 1.into()])?;
    let is_same = b.graph.add("Equal", &[columns, places], &[])?;
    b.graph.cast(is_same, ElementType::F32)
}

fn samples() -> Vec<Sample> {
    let by_scales = |name, shape: &[usize], scales: &[f32], strings: &[(&'static str, &'static str)]| {
        let scales = SampleInput::Fixed(Constant::f32([scales.len()], scales));
        let strings = strings.iter().map(|(name, value)| (*name, (*value).into()));
        Sample::new(name, vec![varied(shape), SampleInput::Absent, scales], strings.collect())
    };
    let by_sizes = |name, shape: &[usize], sizes: &[i64], strings: &[(&'static str, &'static str)]| {
        let strings = strings.iter().map(|(name, value)| (*name, (*value).into()));
        let inputs = vec![varied(shape), SampleInput::Absent, SampleInput::Absent, fixed_integers(sizes)];
        Sample::new(name, inputs, strings.collect())
    };
    let with = |mut sample: Sample, attributes: &[(&'static str, Attribute)]| {
        sample.attributes.extend_from_slice(attributes);
        sample
    };
    let coordinates = "coordinate_transformation_mode";
    let (linear, cubic) = (("mode", "linear"), ("mode", "cubic"));
    let floor = ("nearest_mode", "floor");
    let twice = [1.0, 1.0, 2.0, 2.0];
    let regions = SampleInput::Fixed(Constant::f32([8], &[0.0, 0.0, 0.1, -0.2, 1.0, 1.0, 0.9, 0.8]));
    let mut crop = by_sizes("a region", &[1, 2, 5, 6], &[1, 2, 4, 5], &[linear, (coordinates, "tf_crop_and_resize")]);
    crop.inputs[1] = regions;
    let crop = with(crop, &[("extrapolation_value", 0.5.into())]);
    let named = vec![varied(&[1, 2, 3, 4]), SampleInput::Absent, SampleInput::Absent, fixed_integers(&[6, 5])];
    let axes = vec![("axes", vec![-1, 2].into()), ("mode", "linear".into())];
    let policy = |name, policy: &'static str, sizes: &[i64]| {
        by_sizes(name, &[1, 2, 4, 6], sizes, &[linear, ("keep_aspect_ratio_policy", policy)])
    };
    let policy = |name, kind, sizes| with(policy(name, kind, sizes), &[("axes", vec![2, 3].into())]).since(18);
    vec![
        by_scales("twice", &[2, 3, 3, 4], &twice, &[(coordinates, "asymmetric"), floor]),
        by_scales("twice, default coordinates", &[1, 2, 3, 4], &twice, &[]),
        by_scales(
            "three times one axis",
            &[1, 2, 3, 4],
            &[1.0, 1.0, 3.0, 1.0],
            &[(coordinates, "tf_half_pixel_for_nn"), floor],
        ),
        by_sizes("twice by size", &[1, 2, 3, 2], &[1, 2, 6, 4], &[(coordinates, "pytorch_half_pixel")]),
        by_scales("nearest, a sequence", &[2, 3, 4], &[1.0, 1.0, 2.0], &[(coordinates, "asymmetric"), floor]),
        by_scales("nearest, by one and a half", &[1, 2, 4, 4], &[1.0, 1.0, 1.5, 0.5], &[]),
        by_scales(
            "nearest, up",
            &[1, 2, 3, 3],
            &[1.0, 1.0, 3.0, 2.0],
            &[(coordinates, "align_corners"), ("nearest_mode", "ceil")],
        ),
        by_sizes("nearest, to a size", &[1, 2, 5, 3], &[1, 2, 3, 7], &[("nearest_mode", "round_prefer_ceil")]),
        by_scales("linear, twice", &[1, 2, 3, 4], &twice, &[linear]),
        by_scales("linear, twice, corners aligned", &[2, 1, 3, 4], &twice, &[linear, (coordinates, "align_corners")]),
        by_scales("linear, down", &[1, 2, 6, 8], &[1.0, 1.0, 0.5, 0.75], &[linear, (coordinates, "asymmetric")]),
        by_sizes("linear, to a size", &[1, 2, 5, 4], &[1, 2, 3, 7], &[linear, (coordinates, "pytorch_half_pixel")]),
        by_sizes("linear, to one", &[1, 2, 4, 3], &[1, 2, 1, 3], &[linear, (coordinates, "pytorch_half_pixel")]),
        by_sizes("linear, symmetric", &[1, 1, 5, 4], &[1, 1, 3, 7], &[linear, (coordinates, "half_pixel_symmetric")])
            .since(19),
        by_scales("cubic, twice", &[1, 2, 3, 4], &twice, &[cubic]),
        with(
            by_sizes("cubic, to a size", &[1, 1, 5, 4], &[1, 1, 3, 7], &[cubic]),
            &[("cubic_coeff_a", (-0.5).into()), ("exclude_outside", 1.into())],
        ),
        with(by_sizes("linear, antialiased", &[1, 2, 7, 6], &[1, 2, 3, 4], &[linear]), &[("antialias", 1.into())])
            .since(18),
        with(by_sizes("cubic, antialiased", &[1, 2, 7, 6], &[1, 2, 3, 4], &[cubic]), &[("antialias", 1.into())])
            .since(18),
        Sample::new("named axes", named, axes).since(18),
        policy("not larger", "not_larger", &[2, 4]),
        policy("not smaller", "not_smaller", &[6, 6]),
        crop,
    ]
}
