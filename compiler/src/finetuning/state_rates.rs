//! Rates at which the state of a state space decays, where an exporter has folded them: Mamba's `-exp(A_log)`.

use std::collections::HashSet;

use super::Weight;
use super::module_path::is_generated;
use super::views::VIEWS;
use crate::graph::{Constant, Graph, Node, ValueId};
use millstream_schemas::{count, shown};

/// Whether an input of a node is a matrix `[width, states]` of such rates: all of it is below zero, it multiplies steps that a softplus
/// has made, and the exponential of the product is taken.
pub(super) fn is_rate(graph: &Graph, node: &Node, input: usize, constant: &Constant) -> bool {
    let other = 1usize.checked_sub(input).and_then(|other| node.input(other));
    let made = node.outputs.first().copied().flatten();
    let is_below_zero = |numbers: Vec<f32>| numbers.iter().all(|number| number.is_finite() && *number < 0.0);
    node.is("Mul")
        && constant.shape.iter().filter(|length| **length > 1).count() > 1
        && constant.to_f32().is_some_and(is_below_zero)
        && other.is_some_and(|steps| is_behind_softplus(graph, steps))
        && made.is_some_and(|made| is_exponent(graph, made))
}

/// Whether a value is what a softplus makes, in whatever form. PyTorch's is the identity for what is large.
fn is_behind_softplus(graph: &Graph, mut value: ValueId) -> bool {
    while let Some(maker) = graph.producer(value) {
        let handed_on = match maker.operator.as_str() {
            _ if !maker.domain.is_empty() => None,
            "Softplus" => return true,
            "Where" => maker.input(2),
            "Clip" | "Gather" | "Slice" | "Split" => maker.input(0),
            _ if is_form(maker) => maker.input(0),
            _ => None,
        };
        let Some(read) = handed_on else { return false };
        value = read;
    }
    false
}

/// Whether the exponential of a value, in whatever form, is all that is made of it.
fn is_exponent(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        let mut readers = graph.nodes().iter().filter(|node| node.inputs.contains(&Some(value)));
        let (Some(reader), None) = (readers.next(), readers.next()) else { return false };
        if reader.is("Exp") {
            return true;
        }
        match reader.outputs.first().copied().flatten() {
            Some(made) if is_form(reader) && reader.input(0) == Some(value) => value = made,
            _ => return false,
        }
    }
}

/// Whether a node hands on the numbers that it reads.
fn is_form(node: &Node) -> bool {
    node.is("Cast") || VIEWS.iter().any(|view| node.is(view))
}

/// What is to be told of such rates that are trained.
pub(crate) fn note_of_rates<'a>(graph: &Graph, trained: impl Iterator<Item = &'a Weight>) -> Option<String> {
    let is_folded = |weight: &&Weight| {
        let node = graph.nodes().get(weight.node);
        let constant = graph.float_constant(weight.value).filter(|_| is_generated(graph.name(weight.value)));
        node.zip(constant).is_some_and(|(node, constant)| is_rate(graph, node, weight.input, constant))
    };
    let mut known = HashSet::new();
    let found: Vec<&Weight> = trained.filter(is_folded).filter(|weight| known.insert(weight.value)).collect();
    let first = found.first()?;
    Some(format!(
        "{} of rates of a state space (`{}` first) {} folded when the file was written, as `-exp(A_log)` is: what is stored is trained \
         itself, and a large learning rate may let it rise above zero",
        count(found.len(), "tensor"),
        shown(graph.name(first.value)),
        if found.len() == 1 { "was" } else { "were" }
    ))
}

#[cfg(test)]
mod tests {
    use crate::handmade::{graph, model, node, value, weight, whole, with};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::{FineTuning, HeadChoice, OperatorCatalog, compile};
    use millstream_schemas::recipe::TrainSelection;

    /// A state space of 4 channels with 3 states over 6 places: its steps by `step` of `a`, and what is made of the product `p`.
    fn state_space(step: NodeProto, behind: &str, rates: &str) -> Vec<NodeProto> {
        let mean = with(with(node("ReduceMean", &["e"], &["m"]), "axes", &[1, 2]), "keepdims", &[0]);
        vec![
            node("MatMul", &["x", "first.weight"], &["a"]),
            step,
            node("Greater", &["a", "limit"], &["is_large"]),
            node("Where", &["is_large", "a", "s"], &["d"]),
            node("Unsqueeze", &["d", "last"], &["steps"]),
            node("Mul", &["steps", rates], &["p"]),
            node(behind, &["p"], &["e"]),
            mean,
            node("Gemm", &["m", "head.weight"], &["y"]),
        ]
    }

    #[test]
    fn the_rates_of_a_state_space_that_an_exporter_has_folded_are_trained_and_told() {
        let below: Vec<f32> = (0..12).map(|at| -1.0 - (at % 3) as f32).collect();
        let mixed: Vec<f32> = (0..12).map(|at| if at == 5 { 0.5 } else { -1.0 }).collect();
        let rows: [(&str, &str, &str, &[f32], bool); 5] = [
            ("neg", "Softplus", "Exp", &below, true),
            ("/layers.0/Neg_output_0", "Softplus", "Exp", &below, true),
            ("neg", "Softplus", "Exp", &mixed, false),
            ("neg", "Softplus", "Tanh", &below, false),
            ("neg", "Sigmoid", "Exp", &below, false),
        ];
        for (name, step, behind, values, is_trained) in rows {
            let told = format!("{name} {step} {behind} {values:?}");
            let nodes = state_space(node(step, &["a"], &["s"]), behind, name);
            let weights = vec![
                weight("first.weight", &[4, 4]),
                TensorProto { float_data: vec![20.0], ..weight("limit", &[]) },
                whole("last", &[1], &[-1]),
                TensorProto { float_data: values.to_vec(), ..weight(name, &[4, 3]) },
                weight("head.weight", &[3, 3]),
            ];
            let model = model(graph(nodes, weights, vec![value("x", &[6, 4])], vec![value("y", &[3])]));
            let (train, head) = (TrainSelection::All, HeadChoice::keep());
            let wanted = FineTuning { train, head, ..FineTuning::head(2, 3) };
            let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
            let found = program.manifest.parameters.iter().any(|entry| entry.shape == [4, 3]);
            assert_eq!(found, is_trained, "{told}");
            let note = program.notes.iter().any(|note| note.contains(&format!("`{name}` first) was folded")));
            assert_eq!(note, is_trained, "{told}: {:?}", program.notes);
        }
    }
}
