use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, support_vectors, trees};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Node, TensorType, ValueId};

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
    let compared = support_vectors::compared(node, total)?;
    let coefficients = support_vectors::floats(&node.node, "coefficients").to_vec();
    let rho = support_vectors::floats(&node.node, "rho").to_vec();
    let wanted =
        if total == 0 { coefficients.len().next_multiple_of(classes) } else { total.saturating_mul(classes - 1) };
    if coefficients.len() != wanted || total > 0 && counts.len() != classes {
        let message = format!("{} coefficients for {total} support vectors of {classes} classes", coefficients.len());
        return Err(node.error(message));
    }
    let (weights, shifts) = match total {
        // each class its row, and one number for all
        0 => (columns(&coefficients, classes), vec![rho.first().copied().unwrap_or(0.0)]),
        _ => {
            let pairs = classes * (classes - 1) / 2;
            if rho.len() != pairs {
                return Err(node.error(format!("{} numbers in rho for {pairs} pairs of classes", rho.len())));
            }
            (of_pairs(&coefficients, &counts), rho)
        }
    };
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
