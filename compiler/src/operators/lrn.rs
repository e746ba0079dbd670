use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Length, Node, TensorType, ValueId};

/// `LRN`, local response normalization (Krizhevsky 2012): y = x · (bias + α/size · Σx²)^−β, the sum over `size` channels
/// around each of `[N, C, …]`. The means of squares are those of an `AveragePool` along the channels.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LRN",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let strong = || vec![("size", 3.into()), ("alpha", 2.0.into()), ("beta", 0.5.into()), ("bias", 1.5.into())];
        vec![
            Sample::new("three channels", vec![varied(&[2, 5, 2, 3])], strong()),
            Sample::new("default strength", vec![varied(&[1, 4, 3, 2])], vec![("size", 5.into())]),
            Sample::new(
                "a window of one",
                vec![varied(&[1, 3, 2, 2])],
                vec![("size", 1.into()), ("alpha", 0.5.into())],
            ),
        ]
    },
};

/// Channels of a window.
fn window(node: &Node) -> Result<usize, String> {
    let size = node.int("size").ok_or("no attribute `size`")?;
    usize::try_from(size).ok().filter(|size| (1..1 << 16).contains(size)).ok_or(format!("a window of {size} channels"))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    window(rule.node).map_err(|message| rule.error(message))?;
    if x.shape.len() < 2 {
        return Err(rule.error(format!("{x} has no channel axis")));
    }
    Ok(vec![x.clone()])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let x = node.input(0)?;
    let shape = node.input_type(0)?.shape;
    let size = window(&node.node).map_err(|message| node.error(message))? as i64;
    let attribute = |name: &str, default: f32| node.node.float(name).unwrap_or(default);
    let (alpha, beta, bias) = (attribute("alpha", 1e-4), attribute("beta", 0.75), attribute("bias", 1.0));
    let [alpha, power, bias] = [alpha, -beta, bias].map(|value| node.graph.scalar(value));
    let square = node.graph.times(x, x)?;
    let rest: Length = shape[2..].iter().product();
    let lines = node.graph.reshape(square, &[shape[0].clone(), 1.into(), shape[1].clone(), rest])?;
    let (before, after) = ((size - 1) / 2, size / 2);
    let pool: [(&str, Attribute); 3] = [
        ("kernel_shape", vec![size, 1].into()),
        ("pads", vec![before, 0, after, 0].into()),
        ("count_include_pad", 1.into()),
    ];
    let means = node.graph.add("AveragePool", &[lines], &pool)?;
    let means = node.graph.reshape(means, &shape)?;
    let scaled = node.graph.times(means, alpha)?;
    let base = node.graph.plus(scaled, bias)?;
    let factor = node.graph.add("Pow", &[base, power], &[])?;
    Ok(vec![node.graph.times(x, factor)?])
}
