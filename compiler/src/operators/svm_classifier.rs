use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, support_vectors, trees};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Node, TensorType, ValueId};

/// Numbers that the matrix of support vectors by pairs of classes may have: 256 MiB.
const MOST_NUMBERS: usize = 1 << 26;

/// `ai.onnx.ml.SVMClassifier`: `[rows, features]` to a label `[rows]` and scores `[rows, …]` by support vectors, where the labels are
/// whole numbers: two scores of two classes, one for each pair of more; one for each class of a linear machine and of one that tells
/// probabilities (`prob_a`). Scores as sums over support vectors; probabilities have no gradient here.
pub(super) const OPERATOR: Operator = Operator {
    domain: "ai.onnx.ml",
    name: "SVMClassifier",
    opsets: 1..=5,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let numbers = |values: &[f32]| Attribute::Floats(values.to_vec());
        let machine = || {
            vec![
                ("kernel_type", Attribute::from("RBF")),
                ("kernel_params", numbers(&[0.5, 0.0, 0.0])),
                ("support_vectors", numbers(&[0.5, -1.0, 0.25, 0.75, -0.5, 0.125])),
            ]
        };
        let of_two = vec![
            ("classlabels_ints", ints(&[4, 7])),
            ("vectors_per_class", ints(&[1, 2])),
            ("coefficients", numbers(&[1.0, -0.5, 0.75])),
            ("rho", numbers(&[0.3])),
        ];
        let of_three = vec![
            ("classlabels_ints", ints(&[4, 7, 9])),
            ("vectors_per_class", ints(&[1, 1, 1])),
            ("coefficients", numbers(&[1.0, -0.5, 0.75, 0.25, -1.0, 0.5])),
            ("rho", numbers(&[0.3, -0.1, 0.2])),
        ];
        let rows = || vec![fixed_floats(&[3, 2], &[0.0, 1.0, 0.5, -1.0, 0.25, 2.0])];
        vec![
            Sample::new("two classes", rows(), [machine(), of_two].concat()).with_outputs(2),
            Sample::new("pairs of three", rows(), [machine(), of_three].concat()).with_outputs(2),
        ]
    },
};

/// Number of classes; nothing where its labels are strings.
fn classes(node: &Node) -> Option<usize> {
    node.ints("classlabels_ints").map(<[i64]>::len).filter(|count| *count > 0)
}

/// How many support vectors each class has; none of a linear machine. `None` where a number is none of vectors.
fn counts(node: &Node) -> Option<Vec<usize>> {
    let counts = node.ints("vectors_per_class").unwrap_or_default().iter().map(|count| usize::try_from(*count).ok());
    let counts = counts.collect::<Option<Vec<usize>>>()?;
    counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count)).map(|_| counts)
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let rows = trees::rows(rule)?;
    let Some(classes) = classes(rule.node) else {
        return Err(CompilerError::NotKnown {
            node: rule.graph.label(rule.node),
            operator: rule.node.qualified_operator(),
            message: "its labels are strings, which have no type here".into(),
        });
    };
    let is_of_pairs = rule.node.ints("vectors_per_class").is_some_and(|counts| !counts.is_empty())
        && support_vectors::floats(rule.node, "prob_a").is_empty()
        && classes > 2;
    let scores = if is_of_pairs { classes * (classes - 1) / 2 } else { classes };
    Ok(vec![TensorType::new(ElementType::I64, [rows.clone()]), TensorType::f32([rows, scores.into()])])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    if !support_vectors::floats(&node.node, "prob_a").is_empty() {
        return Err(
            node.no_gradient("probabilities that agree with each pair of classes (prob_a) are searched for in the run")
        );
    }
    let Some(classes) = classes(&node.node) else { return Err(node.error("it has no labels that are whole numbers")) };
    let Some(counts) = counts(&node.node) else { return Err(node.error("vectors_per_class below zero")) };
    let total: usize = counts.iter().sum();
    if let Some(reason) = too_large(total, classes) {
        return Err(node.no_gradient(reason));
    }
    let compared = support_vectors::compared(node, total)?;
    let [coefficients, rho] = ["coefficients", "rho"].map(|name| support_vectors::floats(&node.node, name).to_vec());
    let (weights, shifts) = machine(&coefficients, &rho, &counts, classes).map_err(|message| node.error(message))?;
    let columns = shifts.len().max(if total == 0 { classes } else { 1 });
    let weights = Constant::f32([weights.len() / columns.max(1), columns], &weights);
    let weights = node.graph.constant("coefficients", weights);
    let sums = node.graph.add("MatMul", &[compared, weights], &[])?;
    let shifts = node.graph.constant("rho", Constant::f32([shifts.len()], &shifts));
    let mut scores = node.graph.plus(sums, shifts)?;
    if total > 0 && classes == 2 {
        let negative = node.graph.add("Neg", &[scores], &[])?;
        scores = node.graph.concat(&[negative, scores], 1)?;
    }
    let label = label(node)?;
    Ok(vec![label, scores])
}

/// Why a machine of so many support vectors and classes is not written as a product: the matrix of vectors by pairs is mostly zeros.
fn too_large(vectors: usize, classes: usize) -> Option<String> {
    let pairs = classes.saturating_mul(classes.saturating_sub(1)) / 2;
    let numbers = vectors.saturating_mul(pairs);
    (numbers > MOST_NUMBERS).then(|| {
        format!(
            "its {vectors} support vectors times {pairs} pairs of classes are {numbers} numbers of a matrix, and at most {MOST_NUMBERS} are \
             made for it"
        )
    })
}

/// What scores are sums by, as one of columns, and what is added to them. Coefficients and numbers in `rho` behind those that are used are
/// not looked at, as in ONNX Runtime.
fn machine(
    coefficients: &[f32],
    rho: &[f32],
    counts: &[usize],
    classes: usize,
) -> Result<(Vec<f32>, Vec<f32>), String> {
    let total: usize = counts.iter().sum();
    if total == 0 {
        // each class its row, and one number for all
        let used = coefficients.len() / classes.max(1) * classes;
        return Ok((columns(&coefficients[..used], classes), vec![rho.first().copied().unwrap_or(0.0)]));
    }
    let used = total.saturating_mul(classes.saturating_sub(1));
    if coefficients.len() < used || counts.len() != classes {
        return Err(format!("{} coefficients for {total} support vectors of {classes} classes", coefficients.len()));
    }
    let pairs = classes * classes.saturating_sub(1) / 2;
    let Some(shifts) = rho.get(..pairs) else {
        return Err(format!("{} numbers in rho for {pairs} pairs of classes", rho.len()));
    };
    Ok((of_pairs(&coefficients[..used], counts), shifts.to_vec()))
}

/// A matrix of rows as one of columns.
fn columns(values: &[f32], rows: usize) -> Vec<f32> {
    let width = values.len() / rows.max(1);
    let places = (0..width).flat_map(|at| (0..rows).map(move |row| row * width + at));
    places.map(|place| values[place]).collect()
}

/// `[vectors, pairs]` of coefficients `[classes − 1, vectors]`: of the pair of classes i < j those of the vectors of i stand in row
/// j − 1, and those of j in row i.
fn of_pairs(coefficients: &[f32], counts: &[usize]) -> Vec<f32> {
    let total: usize = counts.iter().sum();
    let owners: Vec<usize> = counts.iter().enumerate().flat_map(|(class, count)| vec![class; *count]).collect();
    let mut weights = Vec::new();
    for (vector, owner) in owners.iter().enumerate() {
        for first in 0..counts.len() {
            for second in first + 1..counts.len() {
                weights.push(match *owner {
                    owner if owner == first => coefficients[(second - 1) * total + vector],
                    owner if owner == second => coefficients[first * total + vector],
                    _ => 0.0,
                });
            }
        }
    }
    weights
}

/// The label by the operator itself.
fn label(node: &mut Expansion<'_>) -> Result<ValueId, CompilerError> {
    let Node { domain, operator, inputs, attributes, .. } = node.node.clone();
    let attributes: Vec<(&str, Attribute)> =
        attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    Ok(node.graph.add_in(&domain, &operator, &inputs, &attributes, 2)?[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_behind_those_that_are_used_are_cut_and_missing_ones_are_refused() {
        let (coefficients, rho) = ([1.0, -0.5, 0.75, 9.0, 9.0], [0.25, 8.0]);
        let exact = machine(&coefficients[..3], &rho[..1], &[1, 2], 2);
        assert_eq!(exact, Ok((vec![1.0, -0.5, 0.75], vec![0.25])));
        assert_eq!(machine(&coefficients, &rho, &[1, 2], 2), exact);
        // a linear machine of two classes
        assert_eq!(machine(&coefficients, &rho, &[], 2), Ok((vec![1.0, 0.75, -0.5, 9.0], vec![0.25])));
        for (coefficients, rho, counts) in
            [(&coefficients[..2], &rho[..], [1, 2]), (&coefficients[..], &rho[..0], [1, 2])]
        {
            assert!(machine(coefficients, rho, &counts, 2).is_err(), "{coefficients:?} {rho:?}");
        }
        assert!(machine(&coefficients, &rho, &[1, 2], 3).is_err());
    }

    #[test]
    fn a_matrix_of_vectors_by_pairs_that_takes_too_much_memory_is_refused() {
        assert_eq!(too_large(1 << 26, 2), None);
        assert!(too_large((1 << 26) + 1, 2).is_some());
        assert_eq!(too_large(0, usize::MAX), None);
        let reason = too_large(60_000, 100).unwrap();
        assert!(reason.contains("60000 support vectors times 4950 pairs of classes"), "{reason}");
    }
}
