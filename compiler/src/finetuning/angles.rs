//! Which values of a graph are angles.

use std::collections::HashSet;

use super::views::VIEWS;
use crate::graph::{Graph, ValueId};

/// Values that sines and cosines are taken of, and what those are made of by arithmetic and in other forms.
pub(super) fn angles(graph: &Graph) -> HashSet<ValueId> {
    const ARITHMETIC: [&str; 10] =
        ["Add", "Cast", "Concat", "Div", "Einsum", "Gather", "MatMul", "Mul", "Slice", "Sub"];
    let mut found = HashSet::new();
    for node in graph.nodes().iter().rev().filter(|node| node.domain.is_empty()) {
        let operator = node.operator.as_str();
        let leads_there = node.outputs.iter().flatten().any(|made| found.contains(made));
        let hands_on = ARITHMETIC.contains(&operator) || VIEWS.contains(&operator);
        if matches!(operator, "Cos" | "Sin") || leads_there && hands_on {
            found.extend(node.inputs.iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::finetuning::constant_kind::FrozenReason;
    use crate::finetuning::parameters::Parameters;
    use crate::handmade::{graph, node, read, untyped, value, weight, whole, with};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::operators::OperatorCatalog;

    #[test]
    fn rotary_frequencies_of_a_file_with_its_constants_are_not_said_to_be_computed_when_it_was_written() {
        const NAME: &str = "/model/rotary_emb/Constant_1_output_0";
        let turned = |read: &str| {
            let both = with(node("Concat", &["angles", "angles"], &["both"]), "axis", &[-1]);
            vec![node("Mul", &["x", read], &["angles"]), both, node("Cos", &["both"], &["y"])]
        };
        let cast = || with(node("Cast", &[NAME], &["cast"]), "to", &[1]);
        let longer = || node("Unsqueeze", &[NAME, "first"], &["longer"]);
        let wider = || node("Expand", &["longer", "shape"], &["wider"]);
        let rows: [(Vec<NodeProto>, FrozenReason); 5] = [
            (turned(NAME), FrozenReason::Frequencies),
            ([vec![cast()], turned("cast")].concat(), FrozenReason::Frequencies),
            ([vec![longer()], turned("longer")].concat(), FrozenReason::Frequencies),
            ([vec![longer(), wider()], turned("wider")].concat(), FrozenReason::Frequencies),
            (vec![node("Mul", &["x", NAME], &["y"])], FrozenReason::Computed),
        ];
        for (nodes, wanted) in rows {
            let frequencies = TensorProto { float_data: vec![1.0, 0.1, 0.01, 0.001], ..weight(NAME, &[4]) };
            let constants = vec![frequencies, whole("first", &[1], &[0]), whole("shape", &[2], &[4, 4])];
            let file = graph(nodes.clone(), constants, vec![value("x", &[4, 4])], vec![untyped("y")]);
            let (graph, catalog) = (read(file), OperatorCatalog::standard());
            let mut parameters = Parameters::new(&graph, &catalog);
            for at in 0..graph.nodes().len() {
                parameters.of(at);
            }
            let of_name = |(value, _, reason)| (graph.name(value) == NAME).then_some(reason);
            let reasons: Vec<FrozenReason> = parameters.frozen().into_iter().filter_map(of_name).collect();
            assert_eq!(reasons, [wanted], "{nodes:?}");
        }
    }
}
