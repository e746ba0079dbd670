use super::average_pool::pool_window;
use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, ElementType, Length, TensorType};

/// `MaxPool`: the largest of each window over the spatial axes of `[N, C, …]`, and its index in x on request.
/// dx: dy added up at these indices.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MaxPool",
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
        let disjoint: &[(&'static str, &[i64])] = &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])];
        let padded: &[(&'static str, &[i64])] =
            &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])];
        let dilated: &[(&'static str, &[i64])] = &[("kernel_shape", &[2, 2]), ("dilations", &[2, 2])];
        vec![
            pool("disjoint windows", &[2, 2, 4, 6], disjoint, &[]),
            pool("windows cut at the end", &[1, 2, 5, 7], disjoint, &["ceil_mode"]),
            pool("overlap", &[2, 2, 5, 6], padded, &[]).since(16),
            pool("dilated", &[1, 2, 5, 5], dilated, &[]).since(16),
            pool("a sequence", &[2, 2, 7], &[("kernel_shape", &[3]), ("strides", &[3])], &[]),
            pool("with indices", &[1, 2, 4, 5], padded, &[]).with_outputs(2).since(16),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    let window = pool_window(rule.node, &x.shape).map_err(|message| rule.error(message))?;
    let shape = [&x.shape[..2], window.output.as_slice()].concat();
    Ok(vec![TensorType { dtype: x.dtype, shape: shape.clone() }, TensorType { dtype: ElementType::I64, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, dy, shape) = (b.input(0)?, b.dy()?, b.input_shape(0)?);
    let window = pool_window(&b.node, &shape).map_err(|message| b.error(message))?;
    let overlap = !window.is_disjoint();
    if overlap && b.graph.opset < 16 {
        return Err(b.no_gradient(
            "windows overlap, and opsets before 16 have no operator that adds at indices; convert the model to 17",
        ));
    }
    let column_major = b.node.int("storage_order").unwrap_or(0) != 0;
    let indices = if column_major {
        let kept = b.node.attributes.iter().filter(|(name, _)| *name != "storage_order");
        let attributes: Vec<(&str, Attribute)> = kept.map(|(name, value)| (name.as_str(), value.clone())).collect();
        b.graph.add_with("MaxPool", &[Some(x)], &attributes, 2)?[1]
    } else {
        b.graph.add_output(b.output(0)?, 1)?
    };
    let (places, windows) = (shape.iter().product::<Length>(), b.graph.known_type(dy)?.elements());
    let zeros = b.graph.zeros(&[places])?;
    let indices = b.graph.reshape(indices, &[&windows])?;
    let dy = b.graph.reshape(dy, &[&windows])?;
    let mut attributes = vec![("axis", Attribute::Int(0))];
    if overlap {
        attributes.push(("reduction", "add".into()));
    }
    let dx = b.graph.add("ScatterElements", &[zeros, indices, dy], &attributes)?;
    let dx = b.graph.reshape(dx, &shape)?;
    b.give(0, dx)
}
