use super::windows::Window;
use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Graph, Length, Node, TensorType};

/// `Col2Im`: columns `[N, C · elements of a block, blocks]` added up where their blocks lie: `[N, C, …image]`. dx: what each
/// element of a block sees of dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Col2Im",
    opsets: 18..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let sample = |name, x: &[usize], image: &[i64], block: &[i64], ints: &[(&'static str, &[i64])]| {
            let inputs = vec![varied(x), fixed_integers(image), fixed_integers(block)];
            Sample::new(name, inputs, ints.iter().map(|(name, ints)| (*name, Attribute::Ints(ints.to_vec()))).collect())
        };
        vec![
            sample("overlap", &[2, 8, 6], &[3, 4], &[2, 2], &[]),
            sample("strides", &[1, 4, 4], &[4, 5], &[2, 2], &[("strides", &[2, 2])]),
            sample("pads", &[1, 9, 8], &[2, 4], &[3, 3], &[("pads", &[1, 1, 1, 1])]),
            sample("dilations", &[1, 8, 3], &[3, 3], &[2, 2], &[("dilations", &[2, 1]), ("pads", &[0, 1, 0, 0])]),
            sample("one axis", &[2, 6, 3], &[5], &[3], &[]),
        ]
    },
};

/// The window that slides over the image.
fn window(graph: &Graph, node: &Node) -> Result<Window, String> {
    let lengths = |index: usize| node.input(index).and_then(|id| graph.lengths_of(id));
    let image = axes::lengths(lengths(1).ok_or("the image's shape is computed from data")?)?;
    let block = lengths(2).ok_or("the block's shape is computed from data")?;
    Window::of(node, &image, &super::windows::kernel_lengths(&block)?)
}

/// Nodes are written for each element of a block.
const MOST_TAPS: usize = 1 << 10;

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    rule.known_lengths(1)?;
    rule.known_lengths(2)?;
    let window = window(rule.graph, rule.node).map_err(|message| rule.error(message))?;
    let elements = axes::elements(&window.kernel).map(Length::from);
    let misfit = || {
        let open = x.shape.iter().chain(&window.input).any(|length| length.as_number().is_none());
        let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
        rule.error(format!("columns {:?} of blocks {:?} over {:?}{advice}", x.shape, window.kernel, window.input))
    };
    let [batch, rows, blocks] = x.shape.as_slice() else { return Err(misfit()) };
    let channels = elements.and_then(|elements| rows.exact_quotient(&elements)).ok_or_else(misfit)?;
    if !blocks.agrees_with(&window.output.iter().product()) {
        return Err(misfit());
    }
    let shape = [vec![batch.clone(), channels], window.input].concat();
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (shape, image, dy) = (b.input_shape(0)?, b.output_shape(0)?, b.dy()?);
    let window = window(b.graph, &b.node).map_err(|message| b.error(message))?;
    let taps = window.kernel.iter().fold(1, |product: usize, length| product.saturating_mul(*length));
    if taps > MOST_TAPS {
        return Err(b.no_gradient(format!("blocks of {taps} elements, more than {MOST_TAPS}")));
    }
    let padded = window.padded(b.graph, dy)?;
    let mut rows = vec![];
    for tap in window.taps() {
        let seen = window.seen_by(b.graph, padded, &tap)?;
        rows.push(b.graph.reshape(seen, &[&image[0], &image[1], &1.into(), &shape[2]])?);
    }
    let all = b.graph.concat(&rows, 2)?;
    let dx = b.graph.reshape(all, &shape)?;
    b.give(0, dx)
}
