//! What a weight is by the operator that reads it: a matrix, kernel or table, or a scale or shift whatever its axes.

use super::Weight;

/// Operators that normalize, each with the input that they scale by.
const NORMALIZATIONS: [(&str, usize); 10] = [
    ("BatchNormalization", 1),
    ("EmbedLayerNormalization", 5),
    ("GroupNorm", 1),
    ("GroupNormalization", 1),
    ("InstanceNormalization", 1),
    ("LayerNormalization", 1),
    ("RMSNormalization", 1),
    ("SimplifiedLayerNormalization", 1),
    ("SkipLayerNormalization", 2),
    ("SkipSimplifiedLayerNormalization", 2),
];

/// Operators that read rows of a table.
const TABLES: [&str; 2] = ["EmbedLayerNormalization", "Gather"];

/// Operators that go element by element: a vector in one of them is a scale, a shift or a slope.
const ELEMENTWISE: [&str; 5] = ["Add", "Div", "Mul", "PRelu", "Sub"];

/// Recurrent layers, whose input 3 is the bias of each direction.
const RECURRENT: [&str; 3] = ["GRU", "LSTM", "RNN"];

/// Whether an operator normalizes.
pub(super) fn normalizes(operator: &str) -> bool {
    scale_input(operator).is_some()
}

/// Whether it is a kernel that a normalization standardizes, and not what that scales or adds by.
pub(super) fn is_standardized(operator: &str, weight: &Weight) -> bool {
    normalizes(operator) && weight.input == 0 && weight.shape.len() >= 2
}

/// Whether a weight of a normalization, written as one node or in parts, is what it adds.
pub(super) fn is_added_by_norm(operator: &str, weight: &Weight) -> bool {
    scale_input(operator).map_or(operator == "Add", |input| weight.input != input)
}

/// Whether it is a table of rows, one for each of the numbers that come in.
pub(super) fn is_table(operator: &str, weight: &Weight) -> bool {
    weight.shape.len() >= 2 && TABLES.contains(&operator)
}

fn scale_input(operator: &str) -> Option<usize> {
    NORMALIZATIONS.iter().find(|(name, _)| *name == operator).map(|(_, input)| *input)
}

/// Whether at most one axis is longer than 1.
pub(super) fn is_vector(weight: &Weight) -> bool {
    weight.shape.iter().filter(|length| **length > 1).count() <= 1
}

/// Whether it is a matrix, kernel or table: then it has weight decay unless something else is said. Scales and shifts of
/// normalizations and biases are none, and neither are slopes, also where they are written with more axes than one, as
/// `[1, C, 1, 1]` or `[C, 1, 1]`. A matrix of one row or column is one.
pub(crate) fn is_matrix(operator: &str, weight: &Weight) -> bool {
    let is_bias = if RECURRENT.contains(&operator) { weight.input == 3 } else { weight.input > 1 && is_vector(weight) };
    // tables are among what one of these reads
    let is_of_norm = normalizes(operator) && !is_table(operator, weight) && !is_standardized(operator, weight);
    let is_of_vector = ELEMENTWISE.contains(&operator) && is_vector(weight);
    weight.shape.len() >= 2 && !(is_bias || is_of_norm || is_of_vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperatorCatalog;
    use crate::finetuning::layers;
    use crate::handmade::{graph, node, read, value, weight, with};

    #[test]
    fn norms_and_biases_of_several_axes_are_no_matrices_and_matrices_of_one_row_are() {
        let nodes = vec![
            node("Conv", &["x", "conv.weight", "conv.bias"], &["a"]),
            node("Mul", &["a", "norm.weight"], &["b"]),
            node("Add", &["b", "norm.bias"], &["c"]),
            node("PRelu", &["c", "act.slope"], &["d"]),
            with(node("LayerNormalization", &["d", "ln.weight", "ln.bias"], &["e"]), "axis", &[1]),
            node("Add", &["e", "positions"], &["f"]),
            node("Flatten", &["f"], &["g"]),
            node("Gemm", &["g", "fc.weight", "fc.bias"], &["h"]),
            node("MatMul", &["h", "score.weight"], &["y"]),
        ];
        // name, shape, whether it is a matrix
        let rows: [(&str, &[usize], bool); 11] = [
            ("conv.weight", &[4, 3, 1, 1], true),
            ("conv.bias", &[4], false),
            ("norm.weight", &[1, 4, 1, 1], false),
            ("norm.bias", &[4, 1, 1], false),
            ("act.slope", &[4, 1, 1], false),
            ("ln.weight", &[4, 2, 2], false),
            ("ln.bias", &[4, 2, 2], false),
            ("positions", &[1, 4, 2, 2], true),
            ("fc.weight", &[16, 1], true),
            ("fc.bias", &[1, 1], false),
            ("score.weight", &[1, 3], true),
        ];
        let weights = rows.iter().map(|(name, shape, _)| weight(name, shape)).collect();
        let graph = read(graph(nodes, weights, vec![value("x", &[3, 2, 2])], vec![value("y", &[3])]));
        let found = layers(&graph, &OperatorCatalog::standard());
        let all: Vec<&Weight> = found.iter().flat_map(|layer| &layer.weights).collect();
        assert_eq!(all.len(), rows.len());
        for weight in all {
            let name = graph.name(weight.value);
            let (.., wanted) = rows.iter().find(|(known, ..)| *known == name).unwrap();
            let operator = &graph.nodes()[weight.node].operator;
            assert_eq!(is_matrix(operator, weight), *wanted, "{name}");
        }
    }
}
